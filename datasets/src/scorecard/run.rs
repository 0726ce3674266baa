//! `OUT/run.json`: what a replay must remember besides its tables, so that the score card can be recomputed from them. A
//! service keeps one too, for those who look on.
//!
//! Labels are kept here and not in a table: no detector, baseline or responder reads this file.

use std::collections::BTreeMap;

use fleet::EventTime;
use fleet::id::source_id;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

/// One replay of one data set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunInfo {
    pub dataset: String,
    /// One line for a person.
    pub title: String,
    pub semi_synthetic: bool,
    pub seed: u64,
    /// Version of the program.
    pub version: String,
    /// Version of the baselines the judged part was held against.
    pub baseline_version: u32,
    /// False incidents per 1,000 device-days that the operator bears.
    pub budget: f64,
    /// The judged part is `[learn_until, end)`.
    pub learn_until: EventTime,
    pub end: EventTime,
    /// Days of the judged part in which each device was watched; `None`: all of them throughout.
    #[serde(default)]
    pub days_watched: Option<BTreeMap<SmolStr, f64>>,
    pub episodes: Vec<Episode>,
    /// File names; a record's `Position::source` is an index into them.
    pub sources: Vec<String>,
    /// Raw topics of a service: there `Position::source` is [`source_id`] of a partition of one of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub topics: Vec<RawTopic>,
    pub readings: u64,
    /// Records that could not be used, by reason.
    pub rejected: BTreeMap<String, u64>,
    /// Readings of windows that had been closed.
    pub late: u64,
    /// Wall-clock time the replay took.
    pub seconds: f64,
    pub state: RunState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    Running,
    Complete,
    /// A service writes it, or did.
    Live,
}

/// A topic made again has the same name and another id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RawTopic {
    pub name: String,
    pub id: String,
}

/// Partitions of a topic that are looked for; a number holds nothing but a hash.
const PARTITIONS: i32 = 4_096;

/// What happened to which devices, from when to when; `end` is exclusive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Episode {
    pub name: String,
    pub device_ids: Vec<String>,
    pub start: EventTime,
    pub end: EventTime,
    /// To be found; otherwise a benign change that must not alarm.
    pub incident: bool,
}

impl RunInfo {
    /// Whether `[start, end)` lies in the judged part, wholly or partly.
    pub fn is_judged(&self, start: EventTime, end: EventTime) -> bool {
        start < self.end && end > self.learn_until
    }

    pub fn judged_days(&self) -> f64 {
        self.end.seconds_since(self.learn_until).max(0.0) / 86_400.0
    }

    /// Days of the judged part in which this device was watched.
    pub fn days_watched(&self, device_id: &str) -> f64 {
        match &self.days_watched {
            Some(days) => days.get(device_id).copied().unwrap_or(0.0),
            None => self.judged_days(),
        }
    }

    /// Where a record stands, for a person: file name and line or row, counted from 1; or topic, partition and offset.
    pub fn place_of(&self, position: fleet::Position) -> String {
        let number = position.offset.saturating_add(1);
        if let Some(file) = self.sources.get(position.source as usize) {
            return format!("{file}:{number}");
        }
        let of_topic = |topic: &RawTopic| {
            let partition = (0..PARTITIONS).find(|partition| source_id(&topic.id, *partition) == position.source)?;
            Some(format!("{}/{partition} offset {}", topic.name, position.offset))
        };
        let place = self.topics.iter().find_map(of_topic);
        place.unwrap_or_else(|| format!("source {}:{number}", position.source))
    }
}
