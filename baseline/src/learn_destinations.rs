//! Learns [`Destinations`] of one type from its normal windows, in the order of event time.
//!
//! The unit is the device-day: a destination that one device calls ten thousand times is still one habit. What at most
//! `rare_share` of the device-days uses is not known but counted, by class and behaviour.

mod parts;

use std::collections::BTreeMap;

use fleet::{DeviceKey, Direction, EventTime, Window};
use rustc_hash::{FxHashMap, FxHashSet};
use smol_str::SmolStr;

use crate::behaviour::{
    ADMINISTRATION_FLOWS, Behaviour, Exchange, FLOOR_BYTES, LONG_STAY_SLOTS, RECUR_WINDOWS, REFUSED_FLOWS,
    SLOT_SECONDS, STAY_SLOTS, Usual,
};
use crate::config::Config;
use crate::destinations::{ApplicationUse, DestinationUse, Destinations, EpisodeCount, Habit};
use crate::keys::{Application, Category, ContactClass};
use crate::robust::select_quantile;

use self::parts::{Part, Parts, Use};

/// Administration is normal for a type only when more than this share of its device-days shows it.
const ADMINISTRATION_SHARE: f32 = 0.5;
/// How many times a device's own median the windows of a run send.
const RUN_FACTOR: f32 = 6.0;
/// A longer learned run is not believed: it may have been an attack.
const LONGEST_BELIEVED_RUN: u32 = 12;
/// Windows of a device at a destination before its median means something.
const MIN_WINDOWS_OF_PAIR: usize = 40;

type DeviceDay = (DeviceKey, i64);

/// `name` gives a device's id.
pub fn learn_destinations(windows: &[&Window], name: &dyn Fn(DeviceKey) -> SmolStr, config: &Config) -> Destinations {
    let device_days: FxHashSet<DeviceDay> = windows.iter().map(|window| device_day(window)).collect();
    let devices = device_days.iter().map(|(device, _)| *device).collect::<FxHashSet<_>>().len();
    let total = device_days.len().max(1) as f32;
    let (mut parts, vocabulary) = Parts::of(windows);
    let applications = learn_applications(&parts, total, config.rare_share as f32);
    let usual: FxHashMap<Use, Usual> =
        applications.iter().map(|usage| ((usage.direction, usage.place, usage.application), usage.usual())).collect();

    parts.fold(|usage| usual.contains_key(&usage));
    let days = exchanges(&parts);
    let mut ranked = known_destinations(&parts, &days, total, config.rare_share as f32, devices);
    let forgotten = ranked.len().saturating_sub(config.max_destinations) as u64;
    ranked.truncate(config.max_destinations);
    let places: FxHashMap<u32, usize> = ranked.iter().enumerate().map(|(place, (key, _))| (*key, place)).collect();
    let mut known: Vec<DestinationUse> = ranked.into_iter().map(|(_, usage)| usage).collect();
    let rare: FxHashSet<u32> = days.keys().map(|(_, key)| *key).filter(|key| !places.contains_key(key)).collect();
    let episodes = count_episodes(&parts, &days, &places, &usual);
    add_habits(&mut known, &parts, &places, name);
    let (activity, device_activity) = activity(windows, &device_days, name);
    Destinations {
        rare: rare.len() as u64,
        applications,
        known,
        forgotten,
        episodes,
        activity,
        device_activity,
        vocabulary,
    }
}

fn device_day(window: &Window) -> DeviceDay {
    (window.device, window.start.day())
}

fn device_day_of(part: &Part) -> DeviceDay {
    (part.device, part.start.day())
}

/// Applications that more than a rare share of device-days uses; ephemeral ports never are one.
fn learn_applications(parts: &Parts, total: f32, rare_share: f32) -> Vec<ApplicationUse> {
    #[derive(Default)]
    struct Seen {
        device_days: FxHashSet<DeviceDay>,
        sent: Vec<f32>,
        peaks: FxHashMap<DeviceKey, f32>,
    }
    let mut seen: FxHashMap<Use, Seen> = FxHashMap::default();
    for part in &parts.all {
        let key @ (_, _, application) = parts.usage(part);
        if application == Application::Category(Category::High) {
            continue;
        }
        let seen = seen.entry(key).or_default();
        seen.device_days.insert(device_day_of(part));
        seen.sent.push(part.bytes_out as f32);
        let peak = seen.peaks.entry(part.device).or_default();
        *peak = peak.max(part.bytes_out as f32);
    }
    let seen: BTreeMap<Use, Seen> = seen.into_iter().collect();
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

/// By device-day and key.
type Days = FxHashMap<(DeviceDay, u32), Exchange>;

fn exchanges(parts: &Parts) -> Days {
    let mut days = Days::default();
    for part in &parts.all {
        let exchange = days.entry((device_day_of(part), part.key)).or_default();
        exchange.add(part.flows, part.refused, part.bytes_out, part.bytes_in, part.start);
    }
    days
}

fn is_attack(exchange: &Exchange, category: Category) -> bool {
    exchange.is_refused() || category == Category::Administration && exchange.flows >= ADMINISTRATION_FLOWS
}

/// With their keys; those that most device-days use first.
fn known_destinations(
    parts: &Parts,
    days: &Days,
    total: f32,
    rare_share: f32,
    devices: usize,
) -> Vec<(u32, DestinationUse)> {
    #[derive(Default)]
    struct Usage {
        device_days: u32,
        devices: FxHashSet<DeviceKey>,
        days: FxHashSet<i64>,
        refused: u32,
        attacks: u32,
    }
    let mut usages: FxHashMap<u32, Usage> = FxHashMap::default();
    for (((device, day), key), exchange) in days {
        let usage = usages.entry(*key).or_default();
        usage.device_days += 1;
        usage.devices.insert(*device);
        usage.days.insert(*day);
        usage.refused += u32::from(exchange.refused >= REFUSED_FLOWS);
        usage.attacks += u32::from(is_attack(exchange, parts.category(*key)));
    }
    let mut known = Vec::new();
    for (key, usage) in usages {
        let share = usage.device_days as f32 / total;
        // What few devices do in an attack's shape is not normal because they repeat it; and one scan of everybody does
        // not make administration normal.
        let suspicious = usage.attacks > 0 && 2 * usage.devices.len() < devices;
        let is_administration = parts.category(key) == Category::Administration;
        let least_share = if is_administration { rare_share.max(ADMINISTRATION_SHARE) } else { rare_share };
        if share <= least_share || suspicious {
            continue;
        }
        let usage = DestinationUse {
            key: parts.key(key).clone(),
            share,
            devices: usage.devices.len() as u32,
            days: usage.days.len() as u32,
            refused_share: usage.refused as f32 / usage.device_days as f32,
            habits: BTreeMap::new(),
        };
        known.push((key, usage));
    }
    known.sort_by(|(_, a), (_, b)| b.share.total_cmp(&a.share).then_with(|| a.key.cmp(&b.key)));
    known
}

fn count_episodes(
    parts: &Parts,
    days: &Days,
    known: &FxHashMap<u32, usize>,
    usual: &FxHashMap<Use, Usual>,
) -> Vec<EpisodeCount> {
    let mut counted: BTreeMap<(ContactClass, Behaviour), FxHashSet<DeviceDay>> = BTreeMap::new();
    for ((device_day, key), exchange) in days {
        let category = parts.category(*key);
        if known.contains_key(key) || is_attack(exchange, category) {
            continue;
        }
        let key = parts.key(*key);
        let class = ContactClass { direction: key.direction, place: key.place, category };
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

/// `places` says where in `known` a key stands.
fn add_habits(
    known: &mut [DestinationUse],
    parts: &Parts,
    places: &FxHashMap<u32, usize>,
    name: &dyn Fn(DeviceKey) -> SmolStr,
) {
    let mut sent: FxHashMap<(usize, DeviceKey), Vec<(EventTime, f32)>> = FxHashMap::default();
    for part in &parts.all {
        if let Some(place) = places.get(&part.key) {
            sent.entry((*place, part.device)).or_default().push((part.start, part.bytes_out as f32));
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
