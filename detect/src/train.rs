//! Calibrates a version of the baselines: the learning days are judged with it, as if they were new.

use std::collections::BTreeMap;
use std::sync::Arc;

use baseline::Baselines;
use fleet::{Device, EventTime, Fact, Tick, Window};

use crate::calibration::Calibration;
use crate::config::Config;
use crate::detectors::{self, Detector};
use crate::error::Error;
use crate::judge::{Judge, Recording};
use crate::prepared::{Prepared, Version};

/// `windows` are those the baselines were learned from, ordered by end; `width` of a window in microseconds.
///
/// Two passes: how far silence and drift got is needed to weigh them before the evidence's own envelope can be taken.
pub fn train(
    baselines: Baselines,
    windows: Vec<Window>,
    devices: &[Arc<Device>],
    width: i64,
    config: &Config,
) -> Result<Version, Error> {
    let device_days = baselines.types.iter().map(|learned| learned.device_days).sum::<u32>();
    let ticks = ticks(windows, devices);
    let never = Calibration { device_days, silence: f64::MAX, ..Calibration::default() };
    let mut version = Version { baselines, calibration: never };
    let heard = listen(&version, &ticks, width, config, detectors::measured())?;
    version.calibration.set_silence(&heard.silence);
    version.calibration.set_drift(&heard.drift);
    let heard = listen(&version, &ticks, width, config, detectors::all())?;
    version.calibration.set_evidence(&heard.evidence);
    Ok(version)
}

fn listen(
    version: &Version,
    ticks: &[Tick],
    width: i64,
    config: &Config,
    detectors: Vec<Box<dyn Detector>>,
) -> Result<Recording, Error> {
    let prepared = Arc::new(Prepared::new(version.clone(), config)?);
    let mut judge = Judge::recording(config, width, prepared, detectors);
    for tick in ticks {
        judge.take_facts(tick);
        judge.judge(tick, &[]);
    }
    Ok(judge.into_recording())
}

/// The windows as the lanes closed them, all devices in one lane.
fn ticks(windows: Vec<Window>, devices: &[Arc<Device>]) -> Vec<Tick> {
    let mut by_end: BTreeMap<EventTime, Vec<Window>> = BTreeMap::new();
    for window in windows {
        by_end.entry(window.end).or_default().push(window);
    }
    let mut ticks: Vec<Tick> = by_end
        .into_iter()
        .map(|(end, windows)| Tick { end, windows, facts: Vec::new(), baseline_version: 0 })
        .collect();
    if let Some(first) = ticks.first_mut() {
        first.facts = devices.iter().map(|device| Fact::Device(Arc::clone(device))).collect();
    }
    ticks
}
