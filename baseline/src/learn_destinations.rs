//! Learns [`Destinations`] of one type from its normal windows, in the order of event time.
//!
//! The unit is the device-day: a destination that one device calls ten thousand times is still one habit. What at most
//! `rare_share` of the device-days uses is not known but counted, by class and behaviour.

use std::collections::{BTreeMap, BTreeSet};

use fleet::{Contact, DeviceKey, Direction, EventTime, Place, Service, Window};
use rustc_hash::{FxHashMap, FxHashSet};
use smol_str::SmolStr;

use crate::behaviour::{
    ADMINISTRATION_FLOWS, Behaviour, Exchange, FLOOR_BYTES, LONG_STAY_SLOTS, RECUR_WINDOWS, REFUSED_FLOWS,
    SLOT_SECONDS, STAY_SLOTS, Usual,
};
use crate::config::Config;
use crate::destinations::{ApplicationUse, DestinationUse, Destinations, EpisodeCount, Habit, Vocabulary};
use crate::keys::{Application, Category, ContactClass, ContactKey, fold};
use crate::robust::select_quantile;

/// Administration is normal for a type only when more than this share of its device-days shows it.
const ADMINISTRATION_SHARE: f32 = 0.5;
/// How many times a device's own median the windows of a run send.
const RUN_FACTOR: f32 = 6.0;
/// A longer learned run is not believed: it may have been an attack.
const LONGEST_BELIEVED_RUN: u32 = 12;
/// Windows of a device at a destination before its median means something.
const MIN_WINDOWS_OF_PAIR: usize = 40;

type DeviceDay = (DeviceKey, i64);
type Use = (Direction, Place, Application);

/// `name` gives a device's id.
pub fn learn_destinations(windows: &[&Window], name: &dyn Fn(DeviceKey) -> SmolStr, config: &Config) -> Destinations {
    let device_days: FxHashSet<DeviceDay> = windows.iter().map(|window| device_day(window)).collect();
    let devices = device_days.iter().map(|(device, _)| *device).collect::<FxHashSet<_>>().len();
    let total = device_days.len().max(1) as f32;
    let applications = learn_applications(windows, total, config.rare_share as f32);
    let usual: FxHashMap<Use, Usual> =
        applications.iter().map(|usage| ((usage.direction, usage.place, usage.application), usage.usual())).collect();

    let days = exchanges(windows, &usual);
    let mut known = known_destinations(&days, total, config.rare_share as f32, devices);
    let forgotten = known.len().saturating_sub(config.max_destinations) as u64;
    known.truncate(config.max_destinations);
    let known_keys: FxHashSet<ContactKey> = known.iter().map(|usage| usage.key.clone()).collect();
    let rare: FxHashSet<&ContactKey> =
        days.keys().map(|(_, key)| key).filter(|key| !known_keys.contains(*key)).collect();
    let episodes = count_episodes(&days, &known_keys, &usual);
    add_habits(&mut known, windows, &usual, name);
    let (activity, device_activity) = activity(windows, &device_days, name);
    Destinations {
        rare: rare.len() as u64,
        applications,
        known,
        forgotten,
        episodes,
        activity,
        device_activity,
        vocabulary: vocabulary(windows),
    }
}

fn device_day(window: &Window) -> DeviceDay {
    (window.device, window.start.day())
}

/// Applications that more than a rare share of device-days uses; ephemeral ports never are one.
fn learn_applications(windows: &[&Window], total: f32, rare_share: f32) -> Vec<ApplicationUse> {
    #[derive(Default)]
    struct Seen {
        device_days: FxHashSet<DeviceDay>,
        sent: Vec<f32>,
        peaks: FxHashMap<DeviceKey, f32>,
    }
    let mut seen: BTreeMap<Use, Seen> = BTreeMap::new();
    for window in windows {
        for contact in window.contacts.iter().filter(|contact| !contact.is_rest()) {
            let key = ContactKey::of(contact);
            if key.application == Application::Category(Category::High) {
                continue;
            }
            let seen = seen.entry((key.direction, key.place, key.application)).or_default();
            seen.device_days.insert(device_day(window));
            seen.sent.push(contact.bytes_out as f32);
            let peak = seen.peaks.entry(window.device).or_default();
            *peak = peak.max(contact.bytes_out as f32);
        }
    }
    let mut applications = Vec::new();
    for ((direction, place, application), mut seen) in seen {
        let share = seen.device_days.len() as f32 / total;
        if share <= rare_share {
            continue;
        }
        let mut peaks: Vec<f32> = seen.peaks.into_values().collect();
        applications.push(ApplicationUse {
            direction,
            place,
            application,
            share,
            usual_bytes_out: median(&mut seen.sent),
            peak_bytes_out: median(&mut peaks),
        });
    }
    applications
}

fn median(values: &mut [f32]) -> f32 {
    select_quantile(values, 0.5)
}

type Days = FxHashMap<(DeviceDay, ContactKey), (Category, Exchange)>;

fn exchanges(windows: &[&Window], usual: &FxHashMap<Use, Usual>) -> Days {
    let mut days = Days::default();
    let mut folded = Vec::new();
    for window in windows {
        fold(&window.contacts, |key| usual.contains_key(&(key.direction, key.place, key.application)), &mut folded);
        for part in &folded {
            let (_, exchange) = days
                .entry((device_day(window), part.key.clone()))
                .or_insert_with(|| (part.category, Exchange::default()));
            exchange.add(part.flows, part.refused, part.bytes_out, part.bytes_in, window.start);
        }
    }
    days
}

fn is_attack(exchange: &Exchange, category: Category) -> bool {
    exchange.is_refused() || category == Category::Administration && exchange.flows >= ADMINISTRATION_FLOWS
}

fn known_destinations(days: &Days, total: f32, rare_share: f32, devices: usize) -> Vec<DestinationUse> {
    #[derive(Default)]
    struct Usage {
        device_days: u32,
        devices: FxHashSet<DeviceKey>,
        days: FxHashSet<i64>,
        refused: u32,
        attacks: u32,
        administration: bool,
    }
    let mut usages: BTreeMap<&ContactKey, Usage> = BTreeMap::new();
    for (((device, day), key), (category, exchange)) in days {
        let usage = usages.entry(key).or_default();
        usage.device_days += 1;
        usage.devices.insert(*device);
        usage.days.insert(*day);
        usage.refused += u32::from(exchange.refused >= REFUSED_FLOWS);
        usage.administration = *category == Category::Administration;
        usage.attacks += u32::from(is_attack(exchange, *category));
    }
    let mut known = Vec::new();
    for (key, usage) in usages {
        let share = usage.device_days as f32 / total;
        // What few devices do in an attack's shape is not normal because they repeat it; and one scan of everybody does
        // not make administration normal.
        let suspicious = usage.attacks > 0 && 2 * usage.devices.len() < devices;
        let least_share = if usage.administration { rare_share.max(ADMINISTRATION_SHARE) } else { rare_share };
        if share <= least_share || suspicious {
            continue;
        }
        known.push(DestinationUse {
            key: key.clone(),
            share,
            devices: usage.devices.len() as u32,
            days: usage.days.len() as u32,
            refused_share: usage.refused as f32 / usage.device_days as f32,
            habits: BTreeMap::new(),
        });
    }
    known.sort_by(|a, b| b.share.total_cmp(&a.share).then_with(|| a.key.cmp(&b.key)));
    known
}

fn count_episodes(days: &Days, known: &FxHashSet<ContactKey>, usual: &FxHashMap<Use, Usual>) -> Vec<EpisodeCount> {
    let mut counted: BTreeMap<(ContactClass, Behaviour), FxHashSet<DeviceDay>> = BTreeMap::new();
    for ((device_day, key), (category, exchange)) in days {
        if known.contains(key) || is_attack(exchange, *category) {
            continue;
        }
        let class = ContactClass { direction: key.direction, place: key.place, category: *category };
        let usual = usual.get(&(key.direction, key.place, key.application)).copied();
        for (behaviour, shown) in [
            (Behaviour::Touch, true),
            (Behaviour::Recur, exchange.windows >= RECUR_WINDOWS && !exchange.is_download()),
            (Behaviour::Stay, exchange.slots >= STAY_SLOTS && !exchange.is_download()),
            (Behaviour::LongStay, exchange.slots >= LONG_STAY_SLOTS),
            (Behaviour::Download, exchange.is_download()),
            (Behaviour::Upload, exchange.is_upload(usual)),
        ] {
            if shown {
                counted.entry((class, behaviour)).or_default().insert(*device_day);
            }
        }
    }
    counted
        .into_iter()
        .map(|((class, behaviour), days)| EpisodeCount {
            class,
            behaviour,
            device_days: days.len() as u32,
            devices: days.iter().map(|(device, _)| *device).collect::<FxHashSet<_>>().len() as u32,
        })
        .collect()
}

/// Bytes above which a window belongs to a run.
pub fn run_threshold(usual_bytes_out: f32) -> f32 {
    RUN_FACTOR * usual_bytes_out.max(FLOOR_BYTES)
}

fn add_habits(
    known: &mut [DestinationUse],
    windows: &[&Window],
    usual: &FxHashMap<Use, Usual>,
    name: &dyn Fn(DeviceKey) -> SmolStr,
) {
    let index: FxHashMap<ContactKey, usize> =
        known.iter().enumerate().map(|(index, usage)| (usage.key.clone(), index)).collect();
    let mut sent: FxHashMap<(usize, DeviceKey), Vec<(EventTime, f32)>> = FxHashMap::default();
    let mut folded = Vec::new();
    for window in windows {
        fold(&window.contacts, |key| usual.contains_key(&(key.direction, key.place, key.application)), &mut folded);
        for part in &folded {
            if let Some(index) = index.get(&part.key) {
                sent.entry((*index, window.device)).or_default().push((window.start, part.bytes_out as f32));
            }
        }
    }
    for ((index, device), windows) in sent {
        if windows.len() < MIN_WINDOWS_OF_PAIR {
            continue;
        }
        let mut bytes: Vec<f32> = windows.iter().map(|(_, bytes)| *bytes).collect();
        let mut habit = Habit { bytes_out: median(&mut bytes), longest_run: 0 };
        let (mut run, mut day) = (0, i64::MIN);
        for (start, bytes) in windows {
            let continues = start.day() == day && bytes > run_threshold(habit.bytes_out);
            run = if continues { run + 1 } else { u32::from(bytes > run_threshold(habit.bytes_out)) };
            day = start.day();
            habit.longest_run = habit.longest_run.max(run).min(LONGEST_BELIEVED_RUN);
        }
        known[index].habits.insert(name(device), habit);
    }
}

/// Share of ten-minute slots in which devices originate something: by hour of the day, and by device.
fn activity(
    windows: &[&Window],
    device_days: &FxHashSet<DeviceDay>,
    name: &dyn Fn(DeviceKey) -> SmolStr,
) -> (Vec<f32>, BTreeMap<SmolStr, f32>) {
    const SLOTS_PER_HOUR: f32 = 3600.0 / SLOT_SECONDS as f32;
    let mut slots: FxHashSet<(DeviceKey, i64)> = FxHashSet::default();
    for window in windows {
        if window.contacts.iter().any(|contact| contact.direction == Direction::Outbound) {
            slots.insert((window.device, window.start.0.div_euclid(SLOT_SECONDS * fleet::MICROS_PER_SECOND)));
        }
    }
    let mut days_of: FxHashMap<DeviceKey, u32> = FxHashMap::default();
    for (device, _) in device_days {
        *days_of.entry(*device).or_default() += 1;
    }
    let mut in_hour = [0u32; 24];
    let mut of_device: BTreeMap<DeviceKey, u32> = BTreeMap::new();
    for (device, slot) in &slots {
        in_hour[(slot * SLOT_SECONDS).div_euclid(3600).rem_euclid(24) as usize] += 1;
        *of_device.entry(*device).or_default() += 1;
    }
    let per_hour = device_days.len().max(1) as f32 * SLOTS_PER_HOUR;
    let hours = in_hour.iter().map(|count| *count as f32 / per_hour).collect();
    let devices = of_device
        .into_iter()
        .map(|(device, count)| (name(device), count as f32 / (days_of[&device] as f32 * 24.0 * SLOTS_PER_HOUR)))
        .collect();
    (hours, devices)
}

fn vocabulary(windows: &[&Window]) -> Vocabulary {
    let mut vocabulary = Vocabulary::default();
    for window in windows {
        for contact in &window.contacts {
            note_word(&mut vocabulary, contact);
        }
        for country in window.details.iter().flat_map(|details| &details.countries) {
            insert(&mut vocabulary.countries, country);
        }
    }
    vocabulary
}

fn note_word(vocabulary: &mut Vocabulary, contact: &Contact) {
    match contact.service.0.as_str() {
        Service::TOPIC => insert(&mut vocabulary.topics, &contact.destination.text()),
        Service::COMMAND => insert(&mut vocabulary.commands, &contact.destination.text()),
        _ if contact.peer.is_some() => insert(&mut vocabulary.peer_services, &contact.service.0),
        _ => {}
    }
}

fn insert(words: &mut BTreeSet<SmolStr>, word: &SmolStr) {
    if words.len() < Vocabulary::MAX && !words.contains(word) {
        words.insert(word.clone());
    }
}
