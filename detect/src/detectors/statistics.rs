//! How strange a window's totals are: robust statistics per feature, and an isolation forest over all of them.
//!
//! Both are turned into tail probabilities on the type's own normal windows (the baseline's sample), so that they can be
//! compared. They score every window. As evidence they only support: totals drown one strange conversation in all the
//! usual ones, so alone they would find little and alarm often; with anything else they say which feature moved.

use baseline::TypeBaseline;
use baseline::render::number;
use baseline::robust::unlog_scale;
use fleet::feature::Trend;
use fleet::{DeviceKey, FEATURES, Feature, Window};
use rustc_hash::FxHashMap;

use crate::config::Config;
use crate::detectors::{Detector, Scene, Sightings};
use crate::error::Error;
use crate::evidence::{Bearing, Evidence, Group, SUPPORT_WEIGHT};
use crate::forest::IsolationForest;

/// Times the most extreme window of the sample before totals are told as evidence, and least z-score for it.
const BEYOND_SAMPLE: f32 = 1.5;
const LEAST_Z: f32 = 8.0;
/// Windows of the last ten ticks that must be so.
const WINDOWS_IN_A_ROW: u32 = 3;
/// A forest of fewer rows says nothing.
const LEAST_ROWS: usize = 64;

/// What is fitted from a type's sample.
pub struct TypeModels {
    forest: Option<IsolationForest<f32>>,
    /// Scores of the sample's rows, ascending.
    forest_scores: Vec<f32>,
    /// Greatest z-score of each of the sample's rows, ascending.
    greatest_z: Vec<f32>,
}

impl TypeModels {
    pub fn fit(learned: &TypeBaseline, config: &Config) -> Result<TypeModels, Error> {
        let mut greatest_z: Vec<f32> = learned
            .sample
            .iter()
            .map(|row| strangest(learned, row, |feature| shift_of(learned, "", feature)).1)
            .collect();
        greatest_z.sort_unstable_by(f32::total_cmp);
        if learned.sample.len() < LEAST_ROWS {
            return Ok(TypeModels { forest: None, forest_scores: Vec::new(), greatest_z });
        }
        let mut rows = Vec::with_capacity(learned.sample.len() * FEATURES);
        for row in &learned.sample {
            rows.extend(row.iter().map(|value| baseline::robust::log_scale(*value)));
        }
        let failed = |source| Error::Forest { device_type: learned.device_type.to_string(), source };
        let forest = IsolationForest::<f64>::params()
            .trees(config.trees)
            .sample_size(config.sample_size)
            .extension(config.forest_components)
            .seed(config.seed)
            .fit_rows(&rows, FEATURES)
            .map_err(failed)?;
        let mut forest_scores = forest.score_rows(&rows);
        forest_scores.sort_unstable_by(f32::total_cmp);
        Ok(TypeModels { forest: Some(forest), forest_scores, greatest_z })
    }

    /// `-ln` of the share of normal windows that score at least as high.
    fn surprise(sorted: &[f32], score: f32) -> f64 {
        if sorted.is_empty() {
            return 0.0;
        }
        let below = sorted.partition_point(|other| *other < score);
        let at_least = sorted.len() - below;
        -((at_least as f64 + 1.0) / (sorted.len() as f64 + 1.0)).ln()
    }
}

fn shift_of(learned: &TypeBaseline, device_id: &str, feature: Feature) -> f32 {
    learned.device_offset(device_id, feature)
}

/// The feature that lies furthest out in a suspicious direction, and its z-score.
fn strangest(learned: &TypeBaseline, row: &[f32], shift: impl Fn(Feature) -> f32) -> (Feature, f32) {
    let mut worst = (Feature::ALL[0], 0.0f32);
    for feature in Feature::ALL {
        let expected = learned.feature(*feature);
        let z = expected.robust.z(row[feature.index()], shift(*feature));
        let suspicious = match feature.definition().trend {
            Trend::Up => z,
            Trend::Down => -z,
            Trend::Both => z.abs(),
            Trend::None => 0.0,
        };
        if suspicious > worst.1 {
            worst = (*feature, suspicious);
        }
    }
    worst
}

/// Windows of one type: their places in the tick, and their features end to end.
type Block = (Vec<usize>, Vec<f32>);

#[derive(Default)]
pub struct Statistics {
    runs: FxHashMap<DeviceKey, u32>,
}

impl Detector for Statistics {
    fn name(&self) -> &'static str {
        "statistics"
    }

    fn observe(&mut self, scene: &Scene<'_>, sightings: &mut Sightings) {
        if !scene.calibrating {
            self.score_forests(scene, sightings);
        }
        for (index, window) in scene.tick.windows.iter().enumerate() {
            let Some(device) = scene.device(window.device) else { continue };
            let Some(prepared) = scene.prepared_type(device) else { continue };
            let learned = &prepared.learned;
            let offsets = learned.device_offsets.get(&device.id);
            let shift = |feature: Feature| {
                offsets.map_or(0.0, |offsets| offsets[feature.index()])
                    + learned.feature(feature).seasonal_shift(window.start)
            };
            let (feature, z) = strangest(learned, &window.features, shift);
            sightings.score(index, TypeModels::surprise(&prepared.models.greatest_z, z));
            let extreme = prepared.models.greatest_z.last().copied().unwrap_or(f32::MAX);
            if z < LEAST_Z || z < BEYOND_SAMPLE * extreme {
                self.runs.remove(&window.device);
                continue;
            }
            let run = self.runs.entry(window.device).or_insert(0);
            *run += 1;
            if *run >= WINDOWS_IN_A_ROW {
                sightings.evidence.push(extreme_total(window, learned, feature, z, shift(feature)));
            }
        }
    }
}

impl Statistics {
    /// All windows of one type in one block.
    fn score_forests(&self, scene: &Scene<'_>, sightings: &mut Sightings) {
        let mut blocks: FxHashMap<(&str, &str), Block> = FxHashMap::default();
        for (index, window) in scene.tick.windows.iter().enumerate() {
            let Some(device) = scene.device(window.device) else { continue };
            let (indexes, rows) = blocks.entry((&device.device_type, &device.segment)).or_default();
            indexes.push(index);
            rows.extend(window.features.iter().map(|value| baseline::robust::log_scale(*value)));
        }
        for (indexes, rows) in blocks.values() {
            let Some(device) = scene.device(scene.tick.windows[indexes[0]].device) else { continue };
            let Some(prepared) = scene.prepared_type(device) else { continue };
            let Some(forest) = &prepared.models.forest else { continue };
            for (index, score) in indexes.iter().zip(forest.score_rows(rows)) {
                sightings.score(*index, TypeModels::surprise(&prepared.models.forest_scores, score));
            }
        }
    }
}

fn extreme_total(window: &Window, learned: &TypeBaseline, feature: Feature, z: f32, shift: f32) -> Evidence {
    let expected = learned.feature(feature);
    let value = window.get(feature);
    Evidence {
        device: window.device,
        detector: "statistics",
        subject: feature.name().into(),
        shape: "extreme_total",
        weight: SUPPORT_WEIGHT,
        bearing: Bearing::Novelty,
        attack: false,
        strong: false,
        group: Some(Group::silent(format!("{} moved", feature.name()))),
        observed: format!("{} {} ({z:.0} robust deviations out)", number(value), feature.definition().unit),
        expected_type: Some(format!("{} .. {}", number(expected.robust.q005), number(expected.robust.q995))),
        expected_device: Some(format!("about {}", number(unlog_scale(expected.robust.location + shift)))),
        peers_now: None,
        first_seen_type: None,
        first_seen_device: None,
        technique: technique_of(feature),
        records: Some((window.first_record, window.last_record)),
    }
}

pub(crate) fn technique_of(feature: Feature) -> &'static str {
    match feature {
        Feature::Messages | Feature::MessagesReceived | Feature::Connects | Feature::Disconnects => "T0814",
        Feature::PayloadMean | Feature::PayloadP95 | Feature::PayloadMax => "T1030",
        Feature::BytesOut | Feature::UpDownRatio => "T1041",
        Feature::SignInFailures => "T1110.001",
        Feature::AuthorisationRefusals => "T0861",
        Feature::InternalFanOut | Feature::Destinations | Feature::Ports => "T1046",
        Feature::Commands => "T0855",
        Feature::ValueMean => "T0856",
        Feature::SourceAddresses => "T0859",
        _ => "T1071",
    }
}
