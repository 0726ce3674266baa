//! Calibrates a version of the baselines: the learning days are judged with it, as if they were new.

mod rehearsal;

use std::borrow::Borrow;
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use baseline::Baselines;
use fleet::{Device, DeviceKey, EventTime, Fact, MICROS_PER_SECOND, Tick, Window};
use rayon::prelude::*;
use rustc_hash::{FxHashMap, FxHashSet};
use smol_str::SmolStr;

use crate::calibration::Calibration;
use crate::config::Config;
use crate::detectors::{self, Detector};
use crate::error::Error;
use crate::judge::{Judge, Recording};
use crate::prepared::{Prepared, Version};

pub use rehearsal::Rehearsal;

const DAY: i64 = 86_400 * MICROS_PER_SECOND;

/// Days (UTC, see [`EventTime::day`]) on which a device was not itself: they say nothing of how far normal days go.
pub type NotNormal = FxHashSet<(DeviceKey, i64)>;

/// A stretch of event time in which an action of ours restricted a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restriction {
    pub device: DeviceKey,
    pub from: EventTime,
    /// `None`: it still does.
    pub until: Option<EventTime>,
}

impl Restriction {
    /// The whole days (UTC) that it touches, `grace` seconds after the release included. Nothing of them is learned: with
    /// the rest of a day the device would seem to be half as busy as it is.
    pub fn days(&self, grace: u32) -> Range<EventTime> {
        let begins = |day: i64| EventTime(day.saturating_mul(DAY));
        let until = self.until.map(|until| begins(until.plus_seconds(i64::from(grace)).day() + 1));
        begins(self.from.day())..until.unwrap_or(EventTime::MAX)
    }
}

/// What calibration must not take for normal.
#[derive(Default)]
pub struct LeftOut {
    pub days: NotNormal,
    /// Judged as they were in their time: in silence.
    pub restrictions: Vec<Restriction>,
}

/// `windows` are those the baselines were learned from; `width` of a window in microseconds. Gives what is to be stored,
/// and the same made ready for judging.
///
/// Two passes: how far silence and drift got is needed to weigh them before the evidence's own envelope can be taken.
pub fn train(
    baselines: Baselines,
    windows: Vec<Window>,
    devices: &[Arc<Device>],
    width: i64,
    config: &Config,
) -> Result<(Version, Prepared), Error> {
    train_without(&LeftOut::default(), baselines, windows, devices, width, config)
}

/// The same; on days that are `left_out` a device is judged, for without its windows it would be silent, and not listened
/// to.
pub fn train_without(
    left_out: &LeftOut,
    baselines: Baselines,
    windows: Vec<Window>,
    devices: &[Arc<Device>],
    width: i64,
    config: &Config,
) -> Result<(Version, Prepared), Error> {
    let device_days = baselines.types.iter().map(|learned| learned.device_days).sum::<u32>();
    let lanes = lanes(windows, devices, &left_out.restrictions);
    let never = Calibration { device_days, silence: f64::MAX, ..Calibration::default() };
    let mut version = Version { baselines, calibration: never };
    let prepared = Prepared::new(&version, config)?;
    let measured = prepared.with_calibration(version.calibration.clone());
    let mut heard = listen(measured, lanes.par_iter(), width, config, detectors::measured);
    heard.forget(&left_out.days);
    version.calibration.set_silence(&heard.silence);
    version.calibration.set_drift(&heard.drift);
    let all = prepared.with_calibration(version.calibration.clone());
    let mut heard = listen(all, lanes.into_par_iter(), width, config, detectors::all);
    heard.forget(&left_out.days);
    version.calibration.set_evidence(&heard.evidence);
    let prepared = prepared.with_calibration(version.calibration.clone());
    Ok((version, prepared))
}

/// Runs `work` on threads of its own, so many at most: whoever judges meanwhile does not wait for it.
pub fn aside<T: Send>(threads: usize, work: impl FnOnce() -> T + Send) -> T {
    match rayon::ThreadPoolBuilder::new().num_threads(threads.max(1)).build() {
        Ok(pool) => pool.install(work),
        Err(_) => work(),
    }
}

fn listen(
    prepared: Prepared,
    lanes: impl ParallelIterator<Item: Borrow<Vec<Tick>>>,
    width: i64,
    config: &Config,
    detectors: fn() -> Vec<Box<dyn Detector>>,
) -> Recording {
    let prepared = Arc::new(prepared);
    let listen_to = |ticks: &[Tick]| {
        let mut judge = Judge::recording(config, width, Arc::clone(&prepared), detectors());
        for tick in ticks {
            judge.take_facts(tick);
            judge.judge(tick, &[]);
        }
        judge.into_recording()
    };
    lanes.map(|ticks| listen_to(ticks.borrow())).reduce(Recording::default, Recording::merged)
}

/// The windows as lanes closed them: one lane a cohort, whole types together, every lane with the ticks of all.
fn lanes(windows: Vec<Window>, devices: &[Arc<Device>], restrictions: &[Restriction]) -> Vec<Vec<Tick>> {
    let ends: BTreeSet<EventTime> = windows.iter().map(|window| window.end).collect();
    let empty = |end: &EventTime| Tick { end: *end, windows: Vec::new(), facts: Vec::new(), baseline_version: 0 };
    let mut lane_of_cohort: FxHashMap<(&SmolStr, &SmolStr), usize> = FxHashMap::default();
    let mut lane_of: FxHashMap<DeviceKey, usize> = FxHashMap::default();
    let mut lanes: Vec<Vec<Tick>> = Vec::new();
    for device in devices {
        let next = lanes.len();
        let lane = *lane_of_cohort.entry((&device.device_type, &device.segment)).or_insert(next);
        if lane == next {
            lanes.push(ends.iter().map(empty).collect());
        }
        lane_of.insert(device.key, lane);
        if let Some(first) = lanes[lane].first_mut() {
            first.facts.push(Fact::Device { device: Arc::clone(device), from: EventTime::MIN });
        }
    }
    let places: FxHashMap<EventTime, usize> = ends.into_iter().enumerate().map(|(place, end)| (end, place)).collect();
    for window in windows {
        if let Some(lane) = lane_of.get(&window.device) {
            lanes[*lane][places[&window.end]].windows.push(window);
        }
    }
    let mut tell = |at: EventTime, fact: Fact| {
        for lane in &mut lanes {
            let place = lane.partition_point(|tick| tick.end <= at);
            if let Some(tick) = lane.get_mut(place) {
                tick.facts.push(fact.clone());
            }
        }
    };
    for &Restriction { device, from, until } in restrictions {
        tell(from, Fact::Restricted { device, from });
        if let Some(from) = until {
            tell(from, Fact::Freed { device, from });
        }
    }
    lanes
}
