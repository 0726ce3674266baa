//! Silence: a device that should have spoken and did not.
//!
//! "Longest gap ever seen" is no measure (a type's recorded gaps reach seven hours). Instead every ten-minute slot adds
//! how surprising its silence is: the chance that this device would have spoken in it, which is the least of what its
//! type does at this hour, what the device does, and what its peers do right now. When everybody is quiet, nobody is
//! accused.

use fleet::memory::sorted;
use fleet::{DeviceKey, EventTime, MICROS_PER_SECOND};
use rustc_hash::{FxHashMap, FxHashSet};
use serde::{Deserialize, Serialize};

use baseline::behaviour::SLOT_SECONDS;

use crate::detectors::{Detector, Scene, Sightings};
use crate::evidence::{Bearing, Evidence, Group};
use crate::rates::MAX_WEIGHT;

const SLOT: i64 = SLOT_SECONDS * MICROS_PER_SECOND;
/// No slot proves more than this: even the steadiest device pauses.
const MAX_CHANCE: f64 = 0.6;
/// Surprise from which on silence is written down at all.
const WORTH_TELLING: f64 = 1.5;
/// Judged days are stranger than learned ones.
const NOVELTY: f64 = 1.0;

#[derive(Default, Serialize, Deserialize)]
pub struct Silence {
    slot: Option<i64>,
    #[serde(serialize_with = "sorted::set")]
    spoke: FxHashSet<DeviceKey>,
    #[serde(serialize_with = "sorted::map")]
    quiet: FxHashMap<DeviceKey, Quiet>,
    /// Devices that an action of ours kept quiet in a part of the slot: nothing follows from the rest of it.
    #[serde(serialize_with = "sorted::set")]
    kept_quiet: FxHashSet<DeviceKey>,
}

#[derive(Default, Clone, Copy, Serialize, Deserialize)]
struct Quiet {
    surprise: f64,
    slots: u32,
}

impl Detector for Silence {
    fn name(&self) -> &'static str {
        "silence"
    }

    fn observe(&mut self, scene: &Scene<'_>, sightings: &mut Sightings) {
        let start = EventTime(scene.tick.end.0 - 1);
        let slot = start.0.div_euclid(SLOT);
        if let Some(last) = self.slot
            && slot > last
        {
            for closed in last..slot {
                self.close(scene, closed, sightings);
            }
        }
        self.slot = Some(slot);
        self.kept_quiet.extend(scene.roster.masked().map(|device| device.key));
        for device in scene.spoke() {
            if self.spoke.insert(*device) {
                self.quiet.entry(*device).or_default();
            }
        }
    }
}

impl Silence {
    fn close(&mut self, scene: &Scene<'_>, slot: i64, sightings: &mut Sightings) {
        for ((device_type, segment), cohort) in scene.roster.cohorts() {
            let Some(prepared) = scene.prepared.of(device_type, segment) else { continue };
            let destinations = &prepared.learned.destinations;
            let kept_quiet = |key: &DeviceKey| self.kept_quiet.contains(key) || scene.roster.is_masked(*key);
            let free = || cohort.iter().filter(|key| !kept_quiet(key));
            let speaking = free().filter(|key| self.spoke.contains(key)).count() as f64;
            let peers = free().count().saturating_sub(1);
            let now = match peers {
                0 => 0.0,
                1 => 0.5,
                _ => (speaking + 0.5) / (peers as f64 + 1.0),
            };
            let hour = (slot * SLOT_SECONDS).div_euclid(3600).rem_euclid(24) as usize;
            let this_hour = f64::from(destinations.activity.get(hour).copied().unwrap_or(0.0));
            for key in cohort {
                // Whoever was never heard is not missed.
                let Some(quiet) = self.quiet.get_mut(key) else { continue };
                if self.spoke.contains(key) || kept_quiet(key) {
                    *quiet = Quiet::default();
                    continue;
                }
                let Some(device) = scene.device(*key) else { continue };
                let own = destinations.device_activity.get(&device.id).map_or(1.0, |share| f64::from(*share));
                let chance = this_hour.min(own).min(now).min(MAX_CHANCE);
                quiet.surprise += -(1.0 - chance).ln();
                quiet.slots += 1;
                sightings.silences.push((*key, quiet.surprise));
                if quiet.surprise < WORTH_TELLING {
                    continue;
                }
                let beyond = quiet.surprise - scene.prepared.calibration.silence - NOVELTY;
                sightings.evidence.push(Evidence {
                    device: *key,
                    detector: "silence",
                    subject: "seconds_since_heard".into(),
                    shape: "silence",
                    weight: beyond.clamp(0.05, MAX_WEIGHT),
                    bearing: Bearing::Fault,
                    attack: false,
                    strong: false,
                    group: Some(Group::outage("silence")),
                    observed: format!("nothing in {} slots of ten minutes", quiet.slots),
                    expected_type: Some(format!("traffic in {:.0} % of slots at this hour", this_hour * 100.0)),
                    expected_device: Some(format!("traffic in {:.0} % of slots", own * 100.0)),
                    peers_now: Some(format!("{speaking} of {} speaking", cohort.len())),
                    first_seen_type: None,
                    first_seen_device: None,
                    technique: "T0829",
                    records: None,
                });
            }
        }
        self.spoke.clear();
        self.kept_quiet.clear();
    }
}
