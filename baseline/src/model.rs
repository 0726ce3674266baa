//! What normal looks like: robust statistics, destinations and a bounded sample, per device type and segment.
//!
//! A baseline never holds a fitted model: a forest is fitted from the sample inside `detect`, deterministically, whenever
//! the version changes. So a new detector needs no change here, and a baseline is something a person can read.

use std::collections::BTreeMap;

use fleet::{Confidence, EventTime, Feature};
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::destinations::Destinations;
use crate::robust::Robust;

/// One version; holds from event time `from`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Baselines {
    pub version: u32,
    pub from: EventTime,
    pub learned_since: EventTime,
    pub learned_until: EventTime,
    /// By device type and segment.
    pub types: Vec<TypeBaseline>,
}

impl Baselines {
    pub fn of(&self, device_type: &str, segment: &str) -> Option<&TypeBaseline> {
        self.types.iter().find(|learned| learned.device_type == device_type && learned.segment == segment)
    }

    /// Known destinations that `max_destinations` left no room for: of all types, and the type that has most. `None`: there
    /// was room.
    pub fn forgotten(&self) -> Option<(u64, &TypeBaseline)> {
        let most = self.types.iter().max_by_key(|learned| learned.destinations.forgotten)?;
        let all: u64 = self.types.iter().map(|learned| learned.destinations.forgotten).sum();
        (all > 0).then_some((all, most))
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TypeBaseline {
    pub device_type: SmolStr,
    pub segment: SmolStr,
    pub devices: u32,
    pub windows: u64,
    /// Distinct UTC days with a window.
    pub days: u32,
    /// Sum over devices of the days each was seen on.
    pub device_days: u32,
    pub confidence: Confidence,
    /// Windows left out of training, by reason.
    pub left_out: BTreeMap<SmolStr, u64>,
    /// In the order of [`fleet::Feature`].
    pub features: Vec<FeatureBaseline>,
    pub destinations: Destinations,
    /// Most windows in a row, of one device, with one and the same reported value. `None`: no values were reported, or
    /// such that stand still for good, and then standing still means nothing.
    pub longest_still_run: Option<u32>,
    /// Per device and feature: how far its own location lies from the type's (log scale), shrunk towards 0.
    pub device_offsets: BTreeMap<SmolStr, Vec<f32>>,
    /// Rows of features of normal windows, a seeded uniform sample.
    pub sample: Vec<Vec<f32>>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FeatureBaseline {
    pub name: SmolStr,
    pub confidence: Confidence,
    pub robust: Robust,
    /// Shift of the location in each hour of the day (24, UTC) or, with weeks enough, of the week (168), log scale.
    pub season: Vec<f32>,
}

impl FeatureBaseline {
    pub fn seasonal_shift(&self, at: EventTime) -> f32 {
        match self.season.len() {
            24 => self.season[at.hour()],
            168 => self.season[at.hour_of_week()],
            _ => 0.0,
        }
    }
}

impl TypeBaseline {
    pub fn feature(&self, feature: Feature) -> &FeatureBaseline {
        &self.features[feature.index()]
    }
}
