//! Small synthetic fleets: seeded normal days, what a test injects into them, and all of detection run over the result.

#![allow(dead_code, reason = "each test file uses a part")]

pub mod lane;
pub mod minute;
pub mod shapes;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, OnceLock};

use baseline::{Period, learn};
use detect::{Config, Prepared};
use fleet::device::Standing;
use fleet::{
    Cohort, Criticality, Device, DeviceKey, EventTime, Fact, Finding, FindingKind, Incident, MICROS_PER_SECOND,
    Profile, Scope, Tick, Window,
};
use smol_str::{SmolStr, format_smolstr};

pub use lane::Lane;
pub use minute::{Minute, cloud};

pub const MINUTE: i64 = 60 * MICROS_PER_SECOND;
pub const DAY: i64 = 1440;
/// Days that are learned from; what comes after is judged.
pub const LEARNED_DAYS: i64 = 3;
/// The first judged minute.
pub const JUDGED: i64 = LEARNED_DAYS * DAY;
/// 2026-03-02, a Monday, 00:00 UTC.
const START: i64 = 1_772_409_600 * MICROS_PER_SECOND;

/// The instant at which minute `minute` begins.
pub fn at(minute: i64) -> EventTime {
    EventTime(START + minute * MINUTE)
}

type Change = Box<dyn Fn(&mut Minute, i64)>;
/// What an attack does in a minute, given how many of it have passed.
pub type Attack = fn(&mut Minute, i64);

pub struct World {
    pub devices: Vec<Arc<Device>>,
    pub config: Config,
    seed: u64,
    /// Judged minutes.
    minutes: i64,
    changes: Vec<(Vec<usize>, i64, i64, Change)>,
}

/// What detection said.
pub struct Outcome {
    /// In the order in which they were released.
    pub findings: Vec<Finding>,
    pub incidents: Vec<Incident>,
    /// Device, detector, shape, and the total it added up to.
    pub evidence: Vec<(usize, &'static str, &'static str, f64)>,
    /// Evidence held against each device at the end of each judged tick, by minute; only where it has a window.
    pub held: Vec<(i64, usize, f32)>,
    pub line: f64,
}

impl World {
    /// `types` are names with their number of devices, all at one site; numbered in this order. One judged day.
    pub fn of(types: &[(&str, usize)]) -> World {
        let mut devices = Vec::new();
        for (device_type, count) in types {
            for _ in 0..*count {
                devices.push(Arc::new(device(devices.len(), device_type)));
            }
        }
        // A small forest is as good for these, and a test ten times as fast.
        let config = Config { trees: 10, ..Config::default() };
        World { devices, config, seed: 1, minutes: DAY, changes: Vec::new() }
    }

    /// Three types of four and more: enough device-days for rates that mean something.
    pub fn usual() -> World {
        World::of(&[("camera", 6), ("sensor", 5), ("plug", 5)])
    }

    pub fn seed(mut self, seed: u64) -> World {
        self.seed = seed;
        self
    }

    pub fn minutes(mut self, minutes: i64) -> World {
        self.minutes = minutes;
        self
    }

    /// Changes minutes `from..until` of a device, counted from the first learned day ([`JUDGED`] on is judged). The
    /// closure is told how many minutes of it have passed.
    pub fn inject(self, device: usize, from: i64, until: i64, change: impl Fn(&mut Minute, i64) + 'static) -> World {
        self.inject_all(&[device], from, until, change)
    }

    pub fn inject_all(
        mut self,
        devices: &[usize],
        from: i64,
        until: i64,
        change: impl Fn(&mut Minute, i64) + 'static,
    ) -> World {
        self.changes.push((devices.to_vec(), from, until, Box::new(change)));
        self
    }

    /// Device numbers of a type.
    pub fn members(&self, device_type: &str) -> Vec<usize> {
        (0..self.devices.len()).filter(|device| self.devices[*device].device_type == device_type).collect()
    }

    pub fn windows(&self, from: i64, until: i64) -> Vec<Window> {
        let mut windows = Vec::new();
        for minute in from..until {
            for (number, device) in self.devices.iter().enumerate() {
                let mut speech = Minute::normal(device, number, minute, self.seed);
                for (devices, from, until, change) in &self.changes {
                    if (*from..*until).contains(&minute) && devices.contains(&number) {
                        change(&mut speech, minute - from);
                    }
                }
                windows.extend(speech.window(device.key, at(minute), &self.devices));
            }
        }
        windows
    }

    /// Learning days without injections are learned once a test binary.
    pub fn learned(&self) -> detect::Version {
        static LEARNED: Mutex<BTreeMap<String, Arc<OnceLock<detect::Version>>>> = Mutex::new(BTreeMap::new());
        if self.changes.iter().any(|(_, from, ..)| *from < JUDGED) {
            return self.learn();
        }
        let types: Vec<&str> = self.devices.iter().map(|device| device.device_type.as_str()).collect();
        let name = format!("{} {types:?} {:?}", self.seed, self.config);
        let cell = Arc::clone(LEARNED.lock().unwrap().entry(name).or_default());
        cell.get_or_init(|| self.learn()).clone()
    }

    fn learn(&self) -> detect::Version {
        self.train().0
    }

    pub fn train(&self) -> (detect::Version, Prepared) {
        let windows = self.windows(0, JUDGED);
        let devices = &self.devices;
        let lookup = |key: DeviceKey| devices.get(key.0 as usize).map(AsRef::as_ref);
        let period = Period { since: EventTime(START - 1), until: at(JUDGED) };
        let baselines = learn(&windows, &lookup, &|_| None, &period, 1, &baseline::Config::default()).unwrap();
        detect::train(baselines, windows, &self.devices, MINUTE, &self.config).unwrap()
    }

    pub fn ticks(&self) -> Vec<Tick> {
        let mut windows = self.windows(JUDGED, JUDGED + self.minutes).into_iter().peekable();
        let mut ticks = Vec::new();
        for minute in JUDGED..JUDGED + self.minutes {
            let end = at(minute + 1);
            let mut tick = Tick { end, windows: Vec::new(), facts: Vec::new(), baseline_version: 1 };
            while let Some(window) = windows.next_if(|window| window.end == end) {
                tick.windows.push(window);
            }
            ticks.push(tick);
        }
        ticks[0].facts = self
            .devices
            .iter()
            .map(|device| Fact::Device { device: Arc::clone(device), from: EventTime::MIN })
            .collect();
        ticks
    }

    pub fn run(&self) -> Outcome {
        self.judge(&self.learned(), &self.ticks(), true)
    }

    /// Judges `ticks` one by one; `to_the_end`: nothing more will come, so nothing is held back.
    pub fn judge(&self, version: &detect::Version, ticks: &[Tick], to_the_end: bool) -> Outcome {
        let line = version.calibration.line(self.config.budget);
        let prepared = Prepared::new(version, &self.config).unwrap();
        let mut lane = Lane::new(&self.config, vec![prepared]);
        let mut outcome =
            Outcome { findings: Vec::new(), incidents: Vec::new(), evidence: Vec::new(), held: Vec::new(), line };
        let mut incidents: BTreeMap<String, Incident> = BTreeMap::new();
        let mut changed = |these: Vec<Incident>| {
            incidents.extend(these.into_iter().map(|incident| (incident.incident_id.clone(), incident)));
        };
        for tick in ticks {
            let step = lane.tick(tick);
            outcome.findings.extend(step.released);
            changed(step.incidents);
            for told in step.judgement.evidence {
                let piece = &told.evidence;
                outcome.evidence.push((piece.device.0 as usize, piece.detector, piece.shape, told.total));
            }
            for (window, score) in tick.windows.iter().zip(&step.judgement.windows) {
                outcome.held.push(((tick.end.0 - START) / MINUTE, window.device.0 as usize, score.evidence));
            }
        }
        if to_the_end {
            outcome.findings.extend(lane.joiner.finish());
        }
        changed(lane.joiner.changed_incidents());
        outcome.incidents = incidents.into_values().collect();
        outcome.incidents.sort_by(|a, b| (a.opened_at, &a.incident_id).cmp(&(b.opened_at, &b.incident_id)));
        outcome
    }
}

impl Outcome {
    pub fn about(&self, device: usize) -> Vec<&Finding> {
        let id = id_of(device);
        self.findings.iter().filter(|finding| finding.scope == Scope::Device && finding.device_id == id).collect()
    }

    pub fn devices(&self) -> Vec<&Finding> {
        self.findings.iter().filter(|finding| finding.scope == Scope::Device).collect()
    }

    pub fn groups(&self) -> Vec<&Finding> {
        self.findings.iter().filter(|finding| finding.scope != Scope::Device).collect()
    }

    pub fn of_kind(&self, kind: FindingKind) -> Vec<&Finding> {
        self.findings.iter().filter(|finding| finding.kind == kind).collect()
    }

    /// What was said, for a failing test's message.
    pub fn said(&self) -> String {
        let mut text = format!("line {:.2}\n", self.line);
        for finding in self.findings.iter().take(30) {
            text.push_str(&format!("{} {} {}\n", finding.emitted_at, finding.finding_id, finding.explanation));
        }
        text
    }
}

pub fn id_of(device: usize) -> SmolStr {
    format_smolstr!("device-{device}")
}

/// Of a device inside: what its peers know it by.
pub fn address_of(device: usize) -> IpAddr {
    IpAddr::from([192, 168, 1, 10 + device as u8])
}

fn device(key: usize, device_type: &str) -> Device {
    Device {
        key: DeviceKey(key as u32),
        id: id_of(key),
        criticality: Criticality::Medium,
        standing: Standing::Active,
        profile: Arc::new(Profile {
            device_type: SmolStr::new(device_type),
            site: "north".into(),
            owner: "works".into(),
            firmware: "1.0.0".into(),
            protocol: "mqtt".into(),
            cohort: Cohort { device_type: SmolStr::new(device_type), segment: SmolStr::default(), shard: 0 },
            ..Profile::default()
        }),
    }
}
