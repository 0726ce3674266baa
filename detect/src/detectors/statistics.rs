//! How strange a window's totals are: robust statistics per feature, and an isolation forest over all of them.
//!
//! Both are turned into tail probabilities on the type's own normal windows (the baseline's sample), so that they can be
//! compared. They score every window. As evidence they only support: totals drown one strange conversation in all the
//! usual ones, so alone they would find little and alarm often; with anything else they say which feature moved.

use baseline::TypeBaseline;
use baseline::render::number;
use baseline::robust::{log_scale, unlog_scale};
use fleet::feature::Trend;
use fleet::memory::sorted;
use fleet::{DeviceKey, FEATURES, Feature, Tick, Window};
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::detectors::{Detector, Scene, Sightings, Subject};
use crate::error::Error;
use crate::evidence::{Bearing, Evidence, Group, SUPPORT_WEIGHT};
use crate::forest::IsolationForest;
use crate::prepared::PreparedType;

/// Times the most extreme window of the sample before totals are told as evidence, and least z-score for it.
const BEYOND_SAMPLE: f32 = 1.5;
const LEAST_Z: f32 = 8.0;
/// Windows of the last ten ticks that must be so.
const WINDOWS_IN_A_ROW: u32 = 3;
/// A forest of fewer rows says nothing.
const LEAST_ROWS: usize = 64;

/// What is fitted from a type's sample.
pub struct TypeModels {
    expected: Expected,
    forest: Option<IsolationForest<f32>>,
    /// Scores of the sample's rows, ascending.
    forest_scores: Vec<f32>,
    /// Greatest z-score of each of the sample's rows, ascending.
    greatest_z: Vec<f32>,
}

impl TypeModels {
    pub fn fit(learned: &TypeBaseline, config: &Config) -> Result<TypeModels, Error> {
        let expected = Expected::of(learned);
        let rows: Vec<f32> = learned.sample.iter().flatten().map(|value| log_scale(*value)).collect();
        let mut greatest_z: Vec<f32> =
            rows.chunks_exact(FEATURES).map(|row| expected.strangest(row, &[0.0; FEATURES]).1).collect();
        greatest_z.sort_unstable_by(f32::total_cmp);
        if learned.sample.len() < LEAST_ROWS {
            return Ok(TypeModels { expected, forest: None, forest_scores: Vec::new(), greatest_z });
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
        Ok(TypeModels { expected, forest: Some(forest), forest_scores, greatest_z })
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

/// A type's location and scale of every feature (log scale), and which way is suspicious.
struct Expected {
    location: [f32; FEATURES],
    scale: [f32; FEATURES],
    /// 1 where more, or less, than usual is suspicious, else 0.
    up: [f32; FEATURES],
    down: [f32; FEATURES],
}

impl Expected {
    fn of(learned: &TypeBaseline) -> Expected {
        let robust = |index: usize| &learned.feature(Feature::ALL[index]).robust;
        let one_of = |index: usize, trends: [Trend; 2]| {
            if trends.contains(&Feature::ALL[index].definition().trend) { 1.0 } else { 0.0 }
        };
        Expected {
            location: std::array::from_fn(|index| robust(index).location),
            scale: std::array::from_fn(|index| robust(index).scale),
            up: std::array::from_fn(|index| one_of(index, [Trend::Up, Trend::Both])),
            down: std::array::from_fn(|index| one_of(index, [Trend::Down, Trend::Both])),
        }
    }

    /// The feature of a row (log scale) that lies furthest out in a suspicious direction, and its z-score.
    fn strangest(&self, row: &[f32], shift: &[f32; FEATURES]) -> (Feature, f32) {
        let z: [f32; FEATURES] = std::array::from_fn(|index| {
            let z = (row[index] - self.location[index] - shift[index]) / self.scale[index];
            (z * self.up[index]).max(-z * self.down[index])
        });
        let mut worst = (Feature::ALL[0], 0.0);
        for (feature, z) in Feature::ALL.iter().zip(z) {
            if z > worst.1 {
                worst = (*feature, z);
            }
        }
        worst
    }
}

/// The windows of one type: whose they are, and their features end to end, log scale.
struct Block<'a> {
    prepared: &'a PreparedType,
    subjects: Vec<Subject<'a>>,
    rows: Vec<f32>,
}

#[derive(Default, Serialize, Deserialize)]
pub struct Statistics {
    #[serde(serialize_with = "sorted::map")]
    runs: FxHashMap<DeviceKey, u32>,
}

impl Detector for Statistics {
    fn name(&self) -> &'static str {
        "statistics"
    }

    fn observe(&mut self, scene: &Scene<'_>, sightings: &mut Sightings) {
        for block in blocks(scene) {
            let PreparedType { learned, models, .. } = block.prepared;
            if !scene.calibrating {
                models.score_forest(&block, sightings);
            }
            let season = season(learned, scene.tick);
            let extreme = models.greatest_z.last().copied().unwrap_or(f32::MAX);
            for (subject, row) in block.subjects.iter().zip(block.rows.chunks_exact(FEATURES)) {
                let mut shift = season;
                if let Some(offsets) = subject.offsets {
                    shift.iter_mut().zip(offsets).for_each(|(shift, offset)| *shift += offset);
                }
                let (feature, z) = models.expected.strangest(row, &shift);
                sightings.score(subject.index, TypeModels::surprise(&models.greatest_z, z));
                if z < LEAST_Z || z < BEYOND_SAMPLE * extreme {
                    self.runs.remove(&subject.window.device);
                    continue;
                }
                let run = self.runs.entry(subject.window.device).or_insert(0);
                *run += 1;
                if *run >= WINDOWS_IN_A_ROW {
                    let shift = shift[feature.index()];
                    sightings.evidence.push(extreme_total(subject.window, learned, feature, z, shift));
                }
            }
        }
    }
}

/// In the order in which the types first occur.
fn blocks<'a>(scene: &Scene<'a>) -> Vec<Block<'a>> {
    let mut places: FxHashMap<*const PreparedType, usize> = FxHashMap::default();
    let mut blocks: Vec<Block<'a>> = Vec::new();
    for (subject, prepared) in scene.learned() {
        let next = blocks.len();
        let place = *places.entry(std::ptr::from_ref(prepared)).or_insert(next);
        if place == next {
            blocks.push(Block { prepared, subjects: Vec::new(), rows: Vec::new() });
        }
        blocks[place].subjects.push(subject);
        blocks[place].rows.extend(subject.window.features.iter().map(|value| log_scale(*value)));
    }
    blocks
}

/// All windows of a tick start at the same time.
fn season(learned: &TypeBaseline, tick: &Tick) -> [f32; FEATURES] {
    let Some(first) = tick.windows.first() else { return [0.0; FEATURES] };
    std::array::from_fn(|index| learned.features[index].seasonal_shift(first.start))
}

impl TypeModels {
    fn score_forest(&self, block: &Block<'_>, sightings: &mut Sightings) {
        let Some(forest) = &self.forest else { return };
        for (subject, score) in block.subjects.iter().zip(forest.score_rows(&block.rows)) {
            sightings.score(subject.index, TypeModels::surprise(&self.forest_scores, score));
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
