//! Slow drift: what moves a little every hour is never strange in one window, but adds up. Cumulative sums (Page 1954) of
//! the robust z-scores of a few features, against type, device and hour; how far such sums get on normal days is
//! learned, because real z-scores are neither independent nor quite centred.
//!
//! Like all totals it only supports: it says which way something moves, and alone it raises nothing.

use baseline::TypeBaseline;
use baseline::render::number;
use baseline::robust::unlog_scale;
use fleet::feature::Trend;
use fleet::memory::sorted;
use fleet::{DeviceKey, EventTime, Feature, Window};
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::detectors::statistics::technique_of;
use crate::detectors::{Detector, Scene, Sightings, Subject};
use crate::evidence::{Bearing, Evidence, Group, SUPPORT_WEIGHT};
use crate::prepared::PreparedType;

const FEATURES_WATCHED: [Feature; 4] = [Feature::Messages, Feature::BytesOut, Feature::PayloadMean, Feature::ValueMean];
/// Page's reference value: half of the shift, in standard deviations, that is to be found.
const SLACK: f32 = 0.5;
/// One wild window is no drift.
const MOST_OF_ONE_WINDOW: f32 = 4.0;
/// Times what learning days reached, and least sum worth a word.
const BEYOND_LEARNED: f64 = 1.5;
const LEAST: f64 = 50.0;

#[derive(Default, Serialize, Deserialize)]
pub struct Drift {
    #[serde(serialize_with = "sorted::map")]
    devices: FxHashMap<DeviceKey, [Sums; FEATURES_WATCHED.len()]>,
}

/// Of one feature: upwards and downwards.
#[derive(Clone, Copy, Default, Serialize, Deserialize)]
struct Sums {
    up: Sum,
    down: Sum,
}

#[derive(Clone, Copy, Default, Serialize, Deserialize)]
struct Sum {
    sum: f32,
    /// Told, and not back at 0 since.
    told: bool,
}

impl Sum {
    /// `true` when it crosses `limit` and was not told yet.
    fn add(&mut self, z: f32, limit: f64) -> bool {
        // Twice the limit at most: a drift that is over drains as fast as it came.
        let most = (2.0 * limit).min(f64::from(f32::MAX)) as f32;
        self.sum = (self.sum + z.clamp(-MOST_OF_ONE_WINDOW, MOST_OF_ONE_WINDOW) - SLACK).clamp(0.0, most);
        if self.sum == 0.0 {
            self.told = false;
        }
        if self.told || f64::from(self.sum) <= limit {
            return false;
        }
        self.told = true;
        true
    }
}

impl Detector for Drift {
    fn name(&self) -> &'static str {
        "drift"
    }

    fn observe(&mut self, scene: &Scene<'_>, sightings: &mut Sightings) {
        let mut types: FxHashMap<*const PreparedType, OfType> = FxHashMap::default();
        for (Subject { window, device, offsets, .. }, prepared) in scene.learned() {
            let learned = &prepared.learned;
            let of_type = || OfType::new(scene, &device.device_type, learned);
            let OfType { limit, seasons } = types.entry(std::ptr::from_ref(prepared)).or_insert_with(of_type);
            let sums = self.devices.entry(window.device).or_default();
            let mut furthest = 0.0f32;
            for ((feature, season), sums) in FEATURES_WATCHED.into_iter().zip(seasons).zip(sums) {
                if !is_reported(window, feature) {
                    continue;
                }
                let shift = offsets.map_or(0.0, |offsets| offsets[feature.index()]) + *season;
                let z = learned.feature(feature).robust.z(window.get(feature), shift);
                let trend = feature.definition().trend;
                if matches!(trend, Trend::Up | Trend::Both) {
                    if sums.up.add(z, *limit) {
                        sightings.evidence.push(drifting(window, learned, feature, shift, "up", sums.up.sum));
                    }
                    furthest = furthest.max(sums.up.sum);
                }
                if matches!(trend, Trend::Down | Trend::Both) {
                    if sums.down.add(-z, *limit) {
                        sightings.evidence.push(drifting(window, learned, feature, shift, "down", sums.down.sum));
                    }
                    furthest = furthest.max(sums.down.sum);
                }
            }
            if limit.is_infinite() {
                sightings.drifts.push((window.device, f64::from(furthest)));
            }
        }
    }
}

/// What holds for all windows of a type in one tick.
struct OfType {
    /// Infinite while it is being learned: nothing is told then.
    limit: f64,
    seasons: [f32; FEATURES_WATCHED.len()],
}

impl OfType {
    fn new(scene: &Scene<'_>, device_type: &SmolStr, learned: &TypeBaseline) -> OfType {
        let reached = scene.prepared.calibration.drift.get(device_type);
        let start = EventTime(scene.tick.end.0 - scene.width);
        OfType {
            limit: reached.map_or(f64::INFINITY, |reached| LEAST.max(BEYOND_LEARNED * reached)),
            seasons: FEATURES_WATCHED.map(|feature| learned.feature(feature).seasonal_shift(start)),
        }
    }
}

/// A window without messages has no mean payload, and one without values no mean value.
fn is_reported(window: &Window, feature: Feature) -> bool {
    match feature {
        Feature::PayloadMean => window.get(Feature::Messages) > 0.0,
        Feature::ValueMean => window.get(Feature::ValueSpread) >= 0.0,
        _ => true,
    }
}

fn drifting(window: &Window, learned: &TypeBaseline, feature: Feature, shift: f32, way: &str, sum: f32) -> Evidence {
    let expected = learned.feature(feature);
    Evidence {
        device: window.device,
        detector: "drift",
        subject: feature.name().into(),
        shape: "drift",
        weight: SUPPORT_WEIGHT,
        bearing: Bearing::Novelty,
        attack: false,
        strong: false,
        // The same group as an extreme total of the feature: the cohort moved, fast or slowly.
        group: Some(Group::silent(format!("{} moved", feature.name()))),
        observed: format!(
            "drifts {way}: now {} {}, deviations add up to {sum:.0}",
            number(window.get(feature)),
            feature.definition().unit
        ),
        expected_type: Some(format!("{} .. {}", number(expected.robust.q05), number(expected.robust.q95))),
        expected_device: Some(format!("about {}", number(unlog_scale(expected.robust.location + shift)))),
        peers_now: None,
        first_seen_type: None,
        first_seen_device: None,
        technique: technique_of(feature),
        records: Some((window.first_record, window.last_record)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_shifts_add_up_and_noise_does_not() {
        let mut drifting = Sum::default();
        assert_eq!((0..1000).filter(|_| drifting.add(0.8, 50.0)).count(), 1, "told once");
        let mut steady = Sum::default();
        assert!((0..1000).all(|window| !steady.add(if window % 2 == 0 { 1.5 } else { -1.5 }, 50.0)));
    }

    #[test]
    fn one_wild_window_is_no_drift_and_a_drift_that_ended_can_be_told_again() {
        let mut sum = Sum::default();
        assert!(!sum.add(1e9, 50.0));
        while !sum.add(2.0, 50.0) {}
        (0..200).for_each(|_| assert!(!sum.add(-2.0, 50.0)));
        assert!((0..200).any(|_| sum.add(2.0, 50.0)));
    }
}
