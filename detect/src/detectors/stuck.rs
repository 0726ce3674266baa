//! Stuck values: a sensor that reports, and reports the same value again and again. How long a value may stand still is
//! learned of the type; where values stand still for good, nothing follows from it.

use baseline::render::number;
use baseline::still::StillRun;
use fleet::memory::sorted;
use fleet::{DeviceKey, EventTime, FEATURES, Feature, Position, Window};
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use crate::detectors::{Detector, Scene, Sightings, Subject};
use crate::evidence::{Bearing, Evidence, Group};

/// A run this many times the longest learned one, and so many windows more, is no coincidence.
const TIMES_LONGEST: u32 = 3;
const WINDOWS_MORE: u32 = 30;
const WEIGHT: f64 = 6.0;

#[derive(Default, Serialize, Deserialize)]
pub struct Stuck {
    #[serde(serialize_with = "sorted::map")]
    runs: FxHashMap<DeviceKey, Run>,
}

/// Remembered as its value and its windows.
#[derive(Clone, Copy, Default, Serialize, Deserialize)]
#[serde(from = "(f32, u32)", into = "(f32, u32)")]
struct Run(StillRun);

impl From<Run> for (f32, u32) {
    fn from(Run(run): Run) -> (f32, u32) {
        (run.value(), run.windows)
    }
}

impl From<(f32, u32)> for Run {
    fn from((value, windows): (f32, u32)) -> Run {
        let mut features = [0.0; FEATURES];
        features[Feature::ValueMean.index()] = value;
        let reporting = Window {
            device: DeviceKey(0),
            start: EventTime::MIN,
            end: EventTime::MIN,
            features,
            contacts: Vec::new(),
            details: None,
            first_record: Position::default(),
            last_record: Position::default(),
            records: 0,
            malicious: 0,
        };
        // A run's value is what its last window reported.
        let mut run = StillRun::default();
        run.add(&reporting);
        run.windows = windows;
        Run(run)
    }
}

impl Detector for Stuck {
    fn name(&self) -> &'static str {
        "stuck"
    }

    fn observe(&mut self, scene: &Scene<'_>, sightings: &mut Sightings) {
        for (Subject { index, window, .. }, prepared) in scene.learned() {
            if window.get(Feature::ValueSpread) < 0.0 {
                continue;
            }
            let Some(longest) = prepared.learned.longest_still_run else { continue };
            let Run(run) = self.runs.entry(window.device).or_default();
            run.add(window);
            let allowed = longest.saturating_mul(TIMES_LONGEST).saturating_add(WINDOWS_MORE);
            if run.windows <= allowed {
                continue;
            }
            sightings.score(index, WEIGHT);
            // Once: what goes on is no news.
            if run.windows > allowed + 1 {
                continue;
            }
            sightings.evidence.push(Evidence {
                device: window.device,
                detector: "stuck",
                subject: Feature::ValueMean.name().into(),
                shape: "stuck",
                weight: WEIGHT,
                bearing: Bearing::Fault,
                attack: false,
                strong: false,
                group: Some(Group { lasting: false, ..Group::change("stuck value", false) }),
                observed: format!("{} in {} windows in a row, to the last digit", number(run.value()), run.windows),
                expected_type: Some(format!("at most {longest} windows in a row with one value")),
                expected_device: None,
                peers_now: None,
                first_seen_type: None,
                first_seen_device: None,
                technique: "T0856",
                records: Some((window.first_record, window.last_record)),
            });
        }
    }
}
