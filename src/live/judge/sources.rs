//! The sources a lane has heard of: which topic each is of, so that one made again takes the place of the one before, and
//! what people call those that are not waited for.

use std::collections::{BTreeMap, BTreeSet};

use fleet::id::source_id;
use ingest::log::LoggedMark;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::config::Config;
use crate::live::logs::EachMinute;

/// Of a topic: so many numbers are tried for a source that is to be named.
const MOST_PARTITIONS: i32 = 10_000;

/// By source, its topic's name and id.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct Sources {
    of_topic: BTreeMap<u32, (SmolStr, SmolStr)>,
    superseded: BTreeSet<SmolStr>,
}

impl Sources {
    /// Sources that the mark's topic takes the place of; `None`: the mark itself is of a topic that is no more.
    pub fn meet(&mut self, mark: &LoggedMark) -> Option<Vec<u32>> {
        if self.superseded.contains(&mark.topic_id) {
            return None;
        }
        let mut gone = Vec::new();
        for (source, (topic, id)) in &self.of_topic {
            if *topic == mark.topic && *id != mark.topic_id {
                self.superseded.insert(id.clone());
                gone.push(*source);
            }
        }
        for source in &gone {
            self.of_topic.remove(source);
        }
        self.of_topic.insert(mark.source, (mark.topic.clone(), mark.topic_id.clone()));
        Some(gone)
    }

    /// Sources of a topic that is no more.
    pub fn leave(&mut self, topic: &str) -> Vec<u32> {
        let gone = self.of_topic.iter().filter(|(_, (name, _))| name == topic).map(|(source, _)| *source).collect();
        self.of_topic.retain(|_, (name, _)| name != topic);
        gone
    }

    /// Topic and partition. One without a mark is found by its topic's id, where another partition of the topic has a mark;
    /// else it is of one of the `configured` topics of which none has.
    pub fn name(&self, source: u32, configured: &[String]) -> String {
        let topics: BTreeSet<&(SmolStr, SmolStr)> = match self.of_topic.get(&source) {
            Some(topic) => BTreeSet::from([topic]),
            None => self.of_topic.values().collect(),
        };
        for (topic, id) in topics {
            if let Some(partition) = (0..MOST_PARTITIONS).find(|partition| source_id(id, *partition) == source) {
                return format!("{topic}/{partition}");
            }
        }
        let is_silent = |topic: &&String| self.of_topic.values().all(|(name, _)| name != topic.as_str());
        let silent: Vec<&str> = configured.iter().filter(is_silent).map(String::as_str).collect();
        let topic = if silent.is_empty() { "a topic".to_owned() } else { silent.join(" or ") };
        format!("{topic}, of which nothing is known yet")
    }
}

/// Tells, once a minute, of sources that are not waited for.
pub struct Forced {
    lane: i32,
    /// `max_open_windows`.
    limit: usize,
    configured: Vec<String>,
    /// Not told yet.
    ticks: u64,
    said: EachMinute,
}

impl Forced {
    pub fn new(lane: i32, config: &Config) -> Forced {
        let configured = config.source.kafka.topics.iter().map(|topic| topic.name.clone()).collect();
        Forced { lane, limit: config.ingest.max_open_windows, configured, ticks: 0, said: EachMinute::default() }
    }

    /// So many ticks more were closed, the last of them without waiting for `source`.
    pub fn tell(&mut self, ticks: u64, source: u32, sources: &Sources) {
        self.ticks += ticks;
        if ticks == 0 || !self.said.is_due() {
            return;
        }
        let source = sources.name(source, &self.configured);
        tracing::warn!(
            lane = self.lane,
            source,
            ticks = std::mem::take(&mut self.ticks),
            limit = self.limit,
            "more windows are open than may be, so they close without waiting for the slowest source; what it has of them \
             comes late and is dropped: see why it is behind, or raise `max_open_windows` under [ingest]"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fleet::EventTime;

    #[test]
    fn a_source_is_named_by_what_marks_say() {
        let mut sources = Sources::default();
        let mark = LoggedMark {
            source: source_id("id", 3),
            topic: "raw".into(),
            topic_id: "id".into(),
            partition: 3,
            roster: Vec::new(),
            through: EventTime::MIN,
            below: 0,
        };
        assert_eq!(sources.meet(&mark), Some(Vec::new()));
        let configured = ["raw", "empty", "other"].map(str::to_owned);
        assert_eq!(sources.name(source_id("id", 3), &configured), "raw/3");
        assert_eq!(sources.name(source_id("id", 12), &configured), "raw/12", "it has no mark");
        let unknown = source_id("another", 0);
        assert_eq!(sources.name(unknown, &configured), "empty or other, of which nothing is known yet");
        assert_eq!(sources.name(unknown, &[]), "a topic, of which nothing is known yet");
        sources.leave("raw");
        assert!(sources.name(source_id("id", 3), &[]).starts_with("a topic"), "it is no more");
    }
}
