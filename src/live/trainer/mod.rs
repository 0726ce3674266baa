//! New versions of the baselines while a system runs: learned from stored windows, checked, stored, announced.
//!
//! * [`schedule`]: now and then, by whoever has the first lane
//! * [`check`]: what is held back
//! * [`announce`]: how lanes are told
//! * [`positions`]: how far they are

pub mod announce;
mod check;
pub mod positions;
pub mod schedule;

use std::ops::Range;
use std::sync::Arc;

use anyhow::Context;
use detect::train::{Rehearsal, Restriction};
use detect::{Prepared, Version};
use fleet::device::Standing;
use fleet::{Device, DeviceKey, EventTime, FindingKind, MICROS_PER_SECOND, Profile, Window};
use rustc_hash::FxHashMap;
use smol_str::SmolStr;
use store::{BaselineRow, Heard, Home, Spell};

use self::check::reason_to_hold_back;
use crate::config::Config;
use crate::live::route::inventory::InventoryFile;
use crate::trainer::record::{By, Checked, Training};
use crate::trainer::{self, Lesson};

/// Of each type, devices that stay however many are left out: fewer say little of how devices of a type differ.
const LEAST_DEVICES: usize = 5;

/// A version that is stored.
pub struct Trained {
    pub version: u32,
    pub types: usize,
    pub windows: u64,
    pub forgotten: Option<WithoutRoom>,
    pub training: Training,
}

/// Known destinations that `max_destinations` left no room for, and the type that has most of them.
pub struct WithoutRoom {
    pub destinations: u64,
    pub device_type: SmolStr,
}

/// Learns the next version from windows that start in `span`, checks it and stores it. `None`: there is no window of a known
/// type. Takes minutes; uses `trainer.threads` cores.
pub fn train(config: &Config, home: &dyn Home, span: Range<EventTime>, by: By) -> anyhow::Result<Option<Trained>> {
    detect::train::aside(config.trainer.threads, || learn_and_store(config, home, span, by))
}

fn learn_and_store(
    config: &Config,
    home: &dyn Home,
    span: Range<EventTime>,
    by: By,
) -> anyhow::Result<Option<Trained>> {
    let stored = home.read_baselines()?;
    let devices = devices(config, home)?;
    let heard = home.heard(span.clone())?;
    let keys = chosen(&heard, &devices, config.trainer.max_windows, config.baseline.seed);
    let of_devices = chosen(&heard, &devices, u64::MAX, config.baseline.seed).len();
    let adopted = span.end.plus_seconds(-i64::from(config.trainer.adopt_days) * 86_400);
    let mut spells = Spells::new(home.spells(span.clone(), adopted)?, &keys);
    let restrictions = by_key(&home.read_restrictions()?, &keys);
    spells.add(&restrictions, config.detect.release_grace_seconds);
    let read = |range: Range<EventTime>| {
        home.read_windows(range, &|id| keys.get(id).copied()).context("the windows to learn from cannot be read back")
    };
    let windows = read(span.clone())?;
    let number = stored.iter().map(|row| row.version).max().unwrap_or(0) + 1;
    let not_normal = |window: &Window| spells.of(window);
    let mut training = Training {
        by,
        since: windows.iter().map(|window| window.start).min().unwrap_or(span.start),
        until: span.end,
        devices: keys.len() as u32,
        of_devices: of_devices as u32,
        not_normal: windows.iter().filter(|window| not_normal(window).is_some()).count() as u64,
        checked: None,
        held_back: None,
    };
    let lesson = Lesson {
        windows,
        devices: &devices,
        since: span.start,
        until: span.end,
        number,
        not_normal: &not_normal,
        restrictions: &restrictions,
    };
    let Some((mut version, prepared)) = trainer::learn(lesson, config)? else { return Ok(None) };
    if let Some(against) = announce::present(&stored) {
        let since = training.until.plus_seconds(-i64::from(config.trainer.check_hours) * 3_600).max(training.since);
        let windows = read(since..training.until)?;
        let present = trainer::version(against, &stored)?;
        let (before, after) = rehearse(config, &present, Arc::new(prepared), windows, &devices, &restrictions)?;
        let checked = Checked { against, since, until: training.until, before, after };
        training.held_back = reason_to_hold_back(&checked, &config.trainer);
        training.checked = Some(checked);
    }
    // Somebody else may have stored a version meanwhile.
    loop {
        let rows = trainer::rows(&version, Some(&training))?;
        match home.write_baselines(version.baselines.version, &rows) {
            Err(store::Error::VersionTaken { .. }) => version.baselines.version += 1,
            Err(error) => return Err(error.into()),
            Ok(()) => break,
        }
    }
    Ok(Some(Trained {
        version: version.baselines.version,
        types: version.baselines.types.len(),
        windows: version.baselines.types.iter().map(|learned| learned.windows).sum(),
        forgotten: version
            .baselines
            .forgotten()
            .map(|(destinations, most)| WithoutRoom { destinations, device_type: most.device_type.clone() }),
        training,
    }))
}

/// How much each of two versions finds in the same windows.
fn rehearse(
    config: &Config,
    present: &Version,
    new: Arc<Prepared>,
    windows: Vec<Window>,
    devices: &[Arc<Device>],
    restrictions: &[Restriction],
) -> anyhow::Result<(u64, u64)> {
    let width = i64::from(config.ingest.window_seconds) * MICROS_PER_SECOND;
    let rehearsal = Rehearsal::new(windows, devices, restrictions, width, &config.detect);
    let present = Arc::new(detect::prepare(present, &config.detect)?);
    Ok((rehearsal.findings(&present).len() as u64, rehearsal.findings(&new).len() as u64))
}

/// Whom the inventory names, with its rows' numbers for keys, and after them the unknown ones in the order they were met:
/// who is in neither is nobody's type any more, and is not learned from.
fn devices(config: &Config, home: &dyn Home) -> anyhow::Result<Vec<Arc<Device>>> {
    let mut devices = InventoryFile::read(config)?.parse()?.devices().to_vec();
    let mut strangers = home.read_devices()?;
    let known: FxHashMap<&SmolStr, ()> = devices.iter().map(|device| (&device.id, ())).collect();
    strangers.retain(|row| row.standing == Standing::Unknown && !known.contains_key(&row.device_id));
    drop(known);
    strangers.sort_by(|a, b| (a.first_seen, &a.device_id).cmp(&(b.first_seen, &b.device_id)));
    for row in strangers {
        let key = DeviceKey(devices.len() as u32);
        let profile = Arc::new(Profile { device_type: row.device_type, segment: row.segment, ..Profile::default() });
        let (id, criticality, standing) = (row.device_id, row.criticality, row.standing);
        devices.push(Arc::new(Device { key, id, criticality, standing, profile }));
    }
    Ok(devices)
}

/// Devices to learn from: all that were heard, or as many of each type as `most` windows allow, by a hash of their ids.
fn chosen(heard: &[Heard], devices: &[Arc<Device>], most: u64, seed: u64) -> FxHashMap<SmolStr, DeviceKey> {
    let by_id: FxHashMap<&SmolStr, &Arc<Device>> = devices.iter().map(|device| (&device.id, device)).collect();
    let mut of_type: FxHashMap<(&SmolStr, &SmolStr), Vec<(&Device, u64)>> = FxHashMap::default();
    let mut total = 0;
    for heard in heard {
        let Some(device) = by_id.get(&heard.device_id) else { continue };
        of_type.entry((&device.device_type, &device.segment)).or_default().push((device, heard.windows));
        total += heard.windows;
    }
    let share = (most as f64 / total.max(1) as f64).min(1.0);
    let mut keys = FxHashMap::default();
    let seed = seed.to_string();
    for mut members in of_type.into_values() {
        members.sort_by_cached_key(|(device, _)| fleet::id::stable_hash(&["trainer", &seed, &device.id]));
        let room = (share * members.iter().map(|(_, windows)| *windows).sum::<u64>() as f64).ceil() as u64;
        let mut taken = 0;
        for (nth, (device, windows)) in members.into_iter().enumerate() {
            if nth >= LEAST_DEVICES && taken + windows > room {
                break;
            }
            taken += windows;
            keys.insert(device.id.clone(), device.key);
        }
    }
    keys
}

/// Of devices that are learned from.
fn by_key(restricted: &[store::Restriction], keys: &FxHashMap<SmolStr, DeviceKey>) -> Vec<Restriction> {
    let of_device = |restricted: &store::Restriction| {
        let device = *keys.get(&restricted.device_id)?;
        Some(Restriction { device, from: restricted.from, until: restricted.until })
    };
    restricted.iter().filter_map(of_device).collect()
}

/// When devices were not themselves, and why, for looking windows up.
struct Spells(FxHashMap<DeviceKey, Vec<(EventTime, EventTime, &'static str)>>);

impl Spells {
    fn new(spells: Vec<Spell>, keys: &FxHashMap<SmolStr, DeviceKey>) -> Spells {
        let mut of: FxHashMap<DeviceKey, Vec<_>> = FxHashMap::default();
        for spell in spells {
            if let Some(key) = keys.get(&spell.device_id) {
                of.entry(*key).or_default().push((spell.from, spell.until, reason(spell.kind)));
            }
        }
        Spells(of)
    }

    /// `grace`: seconds after a release that still count as restricted.
    fn add(&mut self, restrictions: &[Restriction], grace: u32) {
        for restriction in restrictions {
            let days = restriction.days(grace);
            let spells = self.0.entry(restriction.device).or_default();
            spells.push((days.start, days.end, "on a day of an action of ours"));
        }
    }

    fn of(&self, window: &Window) -> Option<&'static str> {
        let touches =
            |(from, until, _): &&(EventTime, EventTime, &'static str)| window.start < *until && window.end > *from;
        self.0.get(&window.device)?.iter().find(touches).map(|(.., reason)| *reason)
    }
}

fn reason(kind: FindingKind) -> &'static str {
    match kind {
        FindingKind::Compromise => "in an incident (compromise)",
        FindingKind::Anomaly => "in an incident (anomaly)",
        FindingKind::Fault => "in an incident (fault)",
        FindingKind::Outage => "in an outage",
        FindingKind::Change => "in a change of the whole group",
        _ => "in a finding",
    }
}

/// All rows of a version; none when there is no such version.
pub fn rows_of(rows: &[BaselineRow], version: u32) -> Vec<BaselineRow> {
    rows.iter().filter(|row| row.version == version && !row.is_announcement()).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use fleet::{Criticality, FEATURES, Position};

    fn device(key: u32, device_type: &str) -> Arc<Device> {
        Arc::new(Device {
            key: DeviceKey(key),
            id: format!("{device_type}-{key}").into(),
            criticality: Criticality::Low,
            standing: Standing::Active,
            profile: Arc::new(Profile { device_type: device_type.into(), ..Profile::default() }),
        })
    }

    fn heard(devices: &[Arc<Device>], windows: u64) -> Vec<Heard> {
        let first = EventTime(0);
        devices.iter().map(|device| Heard { device_id: device.id.clone(), windows, first }).collect()
    }

    #[test]
    fn with_room_everybody_is_learned_from_and_without_a_share_of_each_type() {
        let mut devices: Vec<Arc<Device>> = (0..400).map(|key| device(key, "lamp")).collect();
        devices.extend((400..404).map(|key| device(key, "gate")));
        let everybody = heard(&devices, 10);
        assert_eq!(chosen(&everybody, &devices, 4_040, 7).len(), 404);
        let some = chosen(&everybody, &devices, 1_010, 7);
        let gates = some.keys().filter(|id| id.starts_with("gate")).count();
        assert_eq!((some.len() - gates, gates), (100, 4), "a small type stays whole");
        assert_eq!(some, chosen(&everybody, &devices, 1_010, 7));
        assert_ne!(some, chosen(&everybody, &devices, 1_010, 8));
    }

    #[test]
    fn who_is_in_no_inventory_is_not_learned_from() {
        let devices = [device(0, "lamp")];
        let mut everybody = heard(&devices, 10);
        everybody.push(Heard { device_id: "gone".into(), windows: 10, first: EventTime(0) });
        assert_eq!(chosen(&everybody, &devices, 100, 7).len(), 1);
    }

    fn window(device: u32, start: i64) -> Window {
        Window {
            device: DeviceKey(device),
            start: EventTime(start),
            end: EventTime(start + 60),
            features: [0.0; FEATURES],
            contacts: Vec::new(),
            details: None,
            first_record: Position::default(),
            last_record: Position::default(),
            records: 1,
            malicious: 0,
        }
    }

    #[test]
    fn the_days_of_an_action_do_not_train() {
        let keys = [("lamp-1".into(), DeviceKey(1))].into_iter().collect();
        let day = |day: i64| EventTime(day * 86_400 * MICROS_PER_SECOND);
        let restricted = |id: &str, from, until| store::Restriction { device_id: id.into(), from, until };
        let of_act = [
            restricted("lamp-1", day(2).plus_seconds(5), Some(day(2).plus_seconds(65))),
            restricted("lamp-9", day(2), None),
        ];
        let restrictions = by_key(&of_act, &keys);
        assert_eq!(restrictions.len(), 1, "who is not learned from needs none");
        let mut spells = Spells::new(Vec::new(), &keys);
        spells.add(&restrictions, 600);
        let reason = |start: EventTime| spells.of(&window(1, start.0));
        assert_eq!((reason(day(1)), reason(day(3))), (None, None));
        assert_eq!(reason(day(2)), Some("on a day of an action of ours"));
        assert_eq!(reason(EventTime(day(3).0 - 60)), Some("on a day of an action of ours"));
    }

    #[test]
    fn a_window_that_touches_a_spell_is_left_out_with_its_reason() {
        let keys = [("lamp-1".into(), DeviceKey(1))].into_iter().collect();
        let spell = |id: &str, kind| Spell { device_id: id.into(), kind, from: EventTime(60), until: EventTime(120) };
        let spells = Spells::new(vec![spell("lamp-1", FindingKind::Fault), spell("lamp-9", FindingKind::Fault)], &keys);
        assert_eq!(spells.of(&window(1, 0)), None);
        assert_eq!(spells.of(&window(1, 60)), Some("in an incident (fault)"));
        assert_eq!(spells.of(&window(1, 90)), Some("in an incident (fault)"));
        assert_eq!(spells.of(&window(1, 120)), None);
        assert_eq!(spells.of(&window(2, 60)), None);
    }
}
