//! One budget's books: what is held against each device, who waits for peers, which groups changed together.

use std::collections::BTreeMap;

use fleet::memory::sorted;
use fleet::{DeviceKey, EventTime};
use rustc_hash::{FxHashMap, FxHashSet};
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::config::Config;
use crate::evidence::{Evidence, Group, Ledger, Piece};
use crate::roster::Roster;

/// How long a known change excuses those who follow.
const CHANGE_LASTS_SECONDS: i64 = 86_400;
/// A group that shows nothing new for this long is over.
const GROUP_ENDS_SECONDS: f64 = 3.0 * 3600.0;

type CohortName = (SmolStr, SmolStr);

#[derive(Serialize, Deserialize)]
pub(crate) struct Account {
    /// Follows from the baselines and the budget.
    #[serde(skip)]
    pub line: f64,
    #[serde(serialize_with = "sorted::map")]
    ledgers: FxHashMap<DeviceKey, Ledger>,
    waiting: Vec<Waiting>,
    /// Nobody, between ticks.
    #[serde(skip)]
    touched: FxHashSet<DeviceKey>,
}

#[derive(Serialize, Deserialize)]
struct Waiting {
    device: DeviceKey,
    crossed_at: EventTime,
    hold_seconds: u32,
}

/// A device's evidence crossed the line and, where it had to wait, still stood.
pub(crate) struct Crossing {
    pub device: DeviceKey,
    /// End of the window that carried it over.
    pub crossed_at: EventTime,
    pub hold_seconds: u32,
    pub evidence: f64,
    /// The line it crossed.
    pub line: f64,
    /// Strongest first, with the weight each had.
    pub pieces: Vec<(Piece, f64)>,
}

impl Account {
    pub fn new(line: f64) -> Account {
        Account { line, ledgers: FxHashMap::default(), waiting: Vec::new(), touched: FxHashSet::default() }
    }

    pub fn add(&mut self, evidence: Evidence, at: EventTime) {
        self.touched.insert(evidence.device);
        self.ledgers.entry(evidence.device).or_default().add(evidence, at);
    }

    pub fn excuse(&mut self, devices: impl Iterator<Item = DeviceKey>, group: &Group) {
        for device in devices {
            if let Some(ledger) = self.ledgers.get_mut(&device) {
                ledger.excuse(group);
            }
        }
    }

    pub fn total(&mut self, device: DeviceKey, now: EventTime, half_life: f64) -> f64 {
        self.ledgers.get_mut(&device).map_or(0.0, |ledger| ledger.total(now, half_life))
    }

    pub fn leave(&mut self, device: DeviceKey) {
        self.ledgers.remove(&device);
    }

    /// Devices whose books changed in this tick, in a fixed order.
    pub fn touched(&self) -> Vec<DeviceKey> {
        let mut touched: Vec<DeviceKey> = self.touched.iter().copied().collect();
        touched.sort_unstable();
        touched
    }

    /// Ends a tick: who crossed the line, and whose wait is over.
    pub fn close(&mut self, now: EventTime, roster: &Roster, config: &Config) -> Vec<Crossing> {
        let half_life = config.half_life();
        for device in self.touched() {
            if self.total(device, now, half_life) < self.line * roster.share_of_line(device, config) {
                continue;
            }
            let attacked = self.ledgers[&device]
                .strongest(now, half_life)
                .iter()
                .any(|(piece, weight)| piece.evidence.attack && *weight > 0.0);
            let hold_seconds = if attacked { 0 } else { config.hold_seconds };
            self.waiting.push(Waiting { device, crossed_at: now, hold_seconds });
        }
        self.touched.clear();
        let mut crossings = Vec::new();
        let mut still_waiting: Vec<Waiting> = Vec::new();
        let mut told: FxHashSet<DeviceKey> = FxHashSet::default();
        for waiting in std::mem::take(&mut self.waiting) {
            // What it waited to tell was told.
            if told.contains(&waiting.device) {
                continue;
            }
            if waiting.crossed_at.plus_seconds(i64::from(waiting.hold_seconds)) > now {
                still_waiting.push(waiting);
                continue;
            }
            let evidence = self.total(waiting.device, now, half_life);
            let drained = (-f64::from(waiting.hold_seconds) / half_life).exp2();
            let line = self.line * roster.share_of_line(waiting.device, config);
            if evidence < line * drained {
                continue;
            }
            let Some(ledger) = self.ledgers.get_mut(&waiting.device) else { continue };
            let pieces = ledger
                .strongest(now, half_life)
                .into_iter()
                .filter(|(_, weight)| *weight > 0.0)
                .map(|(piece, weight)| (piece.clone(), weight))
                .collect();
            ledger.settle();
            told.insert(waiting.device);
            still_waiting.retain(|other| other.device != waiting.device);
            crossings.push(Crossing {
                device: waiting.device,
                crossed_at: waiting.crossed_at,
                hold_seconds: waiting.hold_seconds,
                evidence,
                line,
                pieces,
            });
        }
        self.waiting = still_waiting;
        crossings
    }

    /// Books of devices that have drained are closed, so that memory follows what goes on, not who there is.
    pub fn forget_drained(&mut self, now: EventTime, half_life: f64) {
        self.ledgers.retain(|_, ledger| {
            ledger.total(now, half_life);
            !ledger.is_empty()
        });
    }
}

/// Which cohort shares what, and since when.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Groups {
    shown: BTreeMap<(CohortName, Group), BTreeMap<DeviceKey, EventTime>>,
    known_since: BTreeMap<(CohortName, Group), EventTime>,
    /// When a cohort last showed a change (`false`) or an outage (`true`).
    open: BTreeMap<(CohortName, bool), EventTime>,
    /// Devices that showed an attack's shape, and when: a worm's victims are no group, however many they are.
    attacked: BTreeMap<DeviceKey, EventTime>,
}

/// What a piece of evidence is, in the light of the cohort.
pub(crate) enum Shared {
    /// The device's own.
    Own,
    /// A group does it: those devices are excused; `opened` when this is a new finding.
    Group { devices: Vec<DeviceKey>, opened: bool },
}

impl Groups {
    pub fn weigh(&mut self, evidence: &Evidence, now: EventTime, roster: &Roster, config: &Config) -> Shared {
        if evidence.attack {
            self.attacked.insert(evidence.device, now);
        }
        let Some(group) = evidence.group.as_ref().filter(|_| !evidence.attack) else {
            return Shared::Own;
        };
        // An outage hits the attacked as well.
        if !group.outage && self.is_attacked(evidence.device, now, config) {
            return Shared::Own;
        }
        let Some(device) = roster.device(evidence.device) else { return Shared::Own };
        let cohort = roster.cohort(device);
        let name: CohortName = (device.device_type.clone(), device.segment.clone());
        let shown = self.shown.entry((name.clone(), group.clone())).or_default();
        shown.insert(evidence.device, now);
        let window = f64::from(config.group_window_seconds);
        let attacked = &self.attacked;
        let is_attacked =
            |key: &DeviceKey| !group.outage && attacked.get(key).is_some_and(|at| now.seconds_since(*at) <= window);
        shown.retain(|key, at| now.seconds_since(*at) <= window && !is_attacked(key));
        let share = if group.staying { config.group_share_stay } else { config.group_share };
        // Who is cut off can show nothing now; what it showed before counts.
        let mute = roster.masked_in_cohort(device).filter(|key| !shown.contains_key(key)).count();
        let peers = cohort.len().saturating_sub(mute) as f64;
        let needed = (config.group_min_devices as usize).max((share * peers).ceil() as usize);
        let is_known = group.lasting
            && self
                .known_since
                .get(&(name.clone(), group.clone()))
                .is_some_and(|since| now.minus(*since) < CHANGE_LASTS_SECONDS * fleet::MICROS_PER_SECOND);
        let is_group = shown.len() >= needed && cohort.len() > config.group_min_devices as usize;
        if !is_known && !is_group {
            return Shared::Own;
        }
        let devices: Vec<DeviceKey> = shown.keys().copied().collect();
        self.known_since.insert((name.clone(), group.clone()), now);
        let opened = !group.silent && self.goes_on(name, group.outage, now) && is_group;
        Shared::Group { devices, opened }
    }

    fn is_attacked(&self, device: DeviceKey, now: EventTime, config: &Config) -> bool {
        let window = f64::from(config.group_window_seconds);
        self.attacked.get(&device).is_some_and(|at| now.seconds_since(*at) <= window)
    }

    /// A group that was told of is none: as many of its devices turned out to be attacked that too few are left.
    pub fn is_withdrawn(&mut self, devices: &[DeviceKey], cohort: CohortName, now: EventTime, config: &Config) -> bool {
        let attacked = devices.iter().filter(|device| self.is_attacked(**device, now, config)).count();
        let withdrawn = devices.len() - attacked < config.group_min_devices as usize;
        if withdrawn {
            self.open.remove(&(cohort, false));
        }
        withdrawn
    }

    /// A cohort's change or outage goes on; `true` when it begins.
    pub fn goes_on(&mut self, cohort: CohortName, outage: bool, now: EventTime) -> bool {
        let last = self.open.insert((cohort, outage), now);
        last.is_none_or(|last| now.seconds_since(last) > GROUP_ENDS_SECONDS)
    }

    /// Drops what is too old to matter.
    pub fn forget(&mut self, now: EventTime, config: &Config) {
        let window = f64::from(config.group_window_seconds);
        self.shown.retain(|_, devices| devices.values().any(|at| now.seconds_since(*at) <= window));
        self.known_since.retain(|_, since| now.minus(*since) < CHANGE_LASTS_SECONDS * fleet::MICROS_PER_SECOND);
        self.open.retain(|_, last| now.seconds_since(*last) <= GROUP_ENDS_SECONDS);
        self.attacked.retain(|_, at| now.seconds_since(*at) <= window);
    }
}
