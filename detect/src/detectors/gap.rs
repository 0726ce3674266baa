//! A cohort that falls silent together: devices that spoke in every window stop at the same time. Silence proper needs
//! ten-minute slots to be sure of one device; of many at once three windows suffice, and what it says is an outage.

use std::collections::BTreeMap;

use fleet::memory::sorted;
use fleet::{DeviceKey, EventTime};
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use crate::detectors::{Detector, Scene, Sightings};
use crate::evidence::Group;

/// A device counts when it spoke in as many windows in a row, and is silent from as many on.
const STEADY_WINDOWS: u32 = 15;
const SILENT_WINDOWS: i64 = 3;
/// It no longer counts this many windows after its last.
const FORGOTTEN_WINDOWS: i64 = 60;
/// Share of the steady ones that must be silent, and of the whole cohort.
const SHARE_OF_STEADY: f64 = 0.75;
const SHARE_OF_COHORT: f64 = 0.5;

#[derive(Default, Serialize, Deserialize)]
pub struct Gap {
    #[serde(serialize_with = "sorted::map")]
    steady: FxHashMap<DeviceKey, Steady>,
}

#[derive(Serialize, Deserialize)]
struct Steady {
    run: u32,
    last: EventTime,
}

impl Detector for Gap {
    fn name(&self) -> &'static str {
        "gap"
    }

    fn observe(&mut self, scene: &Scene<'_>, sightings: &mut Sightings) {
        let now = scene.tick.end;
        let width = scene.width;
        for device in scene.spoke() {
            let steady = self.steady.entry(*device).or_insert(Steady { run: 0, last: EventTime::MIN });
            steady.run = if now.minus(steady.last) == width { steady.run + 1 } else { 1 };
            steady.last = now;
        }
        // Nobody is steady who was cut off: it begins anew.
        for device in scene.roster.masked() {
            self.steady.remove(&device.key);
        }
        let mut silent = 0;
        self.steady.retain(|_, steady| {
            let since = now.minus(steady.last);
            silent += u32::from(since >= SILENT_WINDOWS * width);
            since <= FORGOTTEN_WINDOWS * width
        });
        // Most ticks end here: a hundred thousand devices are not sorted into cohorts to see that they speak.
        if silent < scene.config.group_min_devices.max(1) {
            return;
        }
        let mut cohorts: BTreeMap<_, (Vec<DeviceKey>, usize)> = BTreeMap::new();
        for (key, steady) in &self.steady {
            let Some(device) = scene.device(*key) else { continue };
            if steady.run < STEADY_WINDOWS || !device.is_known() {
                continue;
            }
            let (silent, all) = cohorts.entry((&device.device_type, &device.segment)).or_default();
            *all += 1;
            if now.minus(steady.last) >= SILENT_WINDOWS * width {
                silent.push(*key);
            }
        }
        for ((device_type, segment), (mut silent, all)) in cohorts {
            let Some(device) = silent.first().and_then(|key| scene.device(*key)) else { continue };
            let masked = scene.roster.masked_in_cohort(device).count();
            let cohort = scene.roster.cohort(device).len().saturating_sub(masked) as f64;
            let least = f64::from(scene.config.group_min_devices).max(SHARE_OF_COHORT * cohort);
            let together = silent.len() as f64 >= least && silent.len() as f64 >= SHARE_OF_STEADY * all as f64;
            if together {
                silent.sort_unstable();
                sightings.together.push(Together {
                    cohort: (device_type.clone(), segment.clone()),
                    group: Group::outage("silence, all at once"),
                    devices: silent,
                });
            }
        }
    }
}

/// A cohort does the same at the same time, so plainly that it needs no evidence of each device.
pub struct Together {
    pub cohort: (smol_str::SmolStr, smol_str::SmolStr),
    pub group: Group,
    pub devices: Vec<DeviceKey>,
}
