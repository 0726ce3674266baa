//! The raw partitions a router owns: their decoders, how far each is read, and up to which event time it is complete.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use fleet::id::source_id;
use fleet::{EventTime, MICROS_PER_SECOND, Reading};
use ingest::kafka::config::RawTopic;
use ingest::kafka::native::Described;
use ingest::{Config, Decoder, RejectReason, Rejected};
use rdkafka::types::RDKafkaErrorCode;
use smol_str::SmolStr;

use super::metadata::header_word;

/// Bytes of a header beside the offset: brokers take 4,096 for everything there (`offset.metadata.max.bytes`).
const MOST_HEADER: usize = 3_000;
/// A header of this name says: this partition is complete up to that event time (microseconds since 1970, in decimal).
pub const HEARTBEAT: &str = "vedette-heartbeat";

pub struct RawPartition {
    pub id: u32,
    pub topic: RawTopic,
    pub topic_id: SmolStr,
    pub partition: i32,
    /// Topic and partition, for people.
    pub name: Arc<str>,
    pub decoder: Decoder,
    /// Offset of the next record.
    pub next: u64,
    /// Greatest event time seen.
    greatest: EventTime,
    /// The last mark's.
    vouched: EventTime,
    /// Event times were observed since the last whole beat; or it has not been ours for one.
    pub heard: bool,
    /// Too far ahead of the others.
    pub paused: bool,
    /// Offsets that were passed over, from and to: nothing may have been there, or retention deleted it.
    pub gaps: Vec<(u64, u64)>,
    /// Something else than the record at `next` came, by this offset: the topic is another one, its end was lost, or
    /// librdkafka lost its place. Nothing is taken until it was told where to go on.
    pub went_back: Option<u64>,
    /// Not to be moved before: it cannot be read.
    pub again_at: Option<Instant>,
    /// Nobody answered for it: not to be asked about before.
    pub ask_at: Option<Instant>,
    /// Why it cannot be read, and when that was told.
    pub problem: Option<(RDKafkaErrorCode, Instant)>,
    /// librdkafka may have lost its place, as when partitions come, go or are resumed: a gap is to be seen twice before it
    /// is believed.
    pub doubted: bool,
    /// A record came.
    begun: bool,
    /// Its header is too long to be kept, and that was told.
    is_told: bool,
}

impl RawPartition {
    pub fn new(topic: &RawTopic, topic_id: &str, partition: i32, next: u64) -> RawPartition {
        RawPartition {
            id: source_id(topic_id, partition),
            topic: topic.clone(),
            topic_id: topic_id.into(),
            partition,
            name: format!("{}/{partition}", topic.name).into(),
            decoder: Decoder::new(topic.format),
            next,
            greatest: EventTime::MIN,
            vouched: EventTime::MIN,
            heard: true,
            paused: false,
            gaps: Vec::new(),
            went_back: None,
            again_at: None,
            ask_at: None,
            problem: None,
            doubted: true,
            begun: false,
            is_told: false,
        }
    }

    /// What whoever goes on at `next` has to know of the lines before, in one word.
    pub fn header(&mut self) -> Option<String> {
        let word = header_word(&self.decoder, self.topic.format)?;
        if word.len() <= MOST_HEADER {
            return Some(word);
        }
        if !std::mem::replace(&mut self.is_told, true) {
            let (source, bytes) = (&*self.name, word.len());
            tracing::warn!(
                source,
                bytes,
                most = MOST_HEADER,
                "a header line is too long to be kept beside the offset: after a restart records are rejected until the \
                 next header; log fewer columns, or send the header more often"
            );
        }
        None
    }

    /// Whether what stands at `offset` follows; what was passed over on the way is noted.
    pub fn comes_to(&mut self, offset: u64) -> bool {
        // librdkafka may begin where an older commit said than we asked for: then it is sent again. To move it would not
        // do, as every rebalance takes it back to the last record it gave us.
        if !std::mem::replace(&mut self.begun, true) && offset < self.next {
            self.next = offset;
        }
        if self.went_back.is_none() && (offset < self.next || (self.doubted && offset > self.next)) {
            self.went_back = Some(offset.min(self.next));
        }
        if self.went_back.is_some() {
            return false;
        }
        if offset > self.next {
            self.gaps.push((self.next, offset));
        }
        self.doubted = false;
        self.next = offset;
        true
    }

    /// librdkafka was told to go on there.
    pub fn moved(&mut self, next: u64) {
        (self.next, self.went_back, self.again_at, self.doubted) = (next, None, None, false);
    }

    pub fn may_be_asked(&self) -> bool {
        self.ask_at.is_none_or(|at| at <= Instant::now())
    }

    pub fn is_to_move(&self) -> bool {
        self.went_back.is_some() && self.again_at.is_none_or(|at| at <= Instant::now())
    }

    pub fn is(&self, topic: &str, partition: i32) -> bool {
        self.partition == partition && self.topic.name == topic
    }

    /// Greatest event time seen.
    pub fn reached(&self) -> EventTime {
        self.greatest
    }

    pub fn observe(&mut self, time: EventTime) {
        self.greatest = self.greatest.max(time);
        self.heard = true;
    }

    /// A reading dated too far after the broker had it (milliseconds) is refused: one clock in 2099 must not close every
    /// window.
    pub fn refuse_ahead(&self, reading: &Reading, appended: i64, config: &Config) -> Option<RejectReason> {
        let limit = furthest(appended, config);
        (reading.time > limit).then_some(RejectReason::ClockAhead { time: reading.time, limit })
    }

    /// The same of a heartbeat.
    pub fn is_ahead(&self, time: EventTime, appended: i64, config: &Config) -> bool {
        // Whoever feeds history says with the last ones that its end is complete, lateness included.
        let lateness = i64::from(self.topic.lateness_seconds) + i64::from(config.window_seconds);
        time > furthest(appended, config).plus_seconds(lateness)
    }

    /// Up to where this partition is complete. `quiet_since`: the broker's time (milliseconds) at which the previous mark
    /// was appended, if the partition was read to its end after that. A process that slept, or whose clock is wrong, so
    /// never vouches for what it has not read.
    pub fn through(&mut self, quiet_since: Option<i64>) -> EventTime {
        let lateness = i64::from(self.topic.lateness_seconds) * MICROS_PER_SECOND;
        let read = EventTime(self.greatest.0.saturating_sub(lateness));
        let quiet = quiet_since
            .filter(|_| self.topic.live)
            .map_or(EventTime::MIN, |at| EventTime(at.saturating_mul(1_000).saturating_sub(lateness)));
        self.vouched = self.vouched.max(read).max(quiet);
        self.vouched
    }

    /// Whether there is anything to say: a partition of fed history without a record has no time at all.
    pub fn has_time(&self) -> bool {
        self.topic.live || self.greatest > EventTime::MIN
    }
}

/// The latest event time of a record that the broker had at `appended` (milliseconds).
fn furthest(appended: i64, config: &Config) -> EventTime {
    let ahead = i64::try_from(config.max_ahead_seconds).unwrap_or(i64::MAX).saturating_mul(MICROS_PER_SECOND);
    EventTime(appended.saturating_mul(1_000).saturating_add(ahead))
}

/// Every raw partition there is, owned by whomever.
#[derive(Default)]
pub struct RosterNow {
    pub ids: Vec<u32>,
    topic_ids: BTreeMap<String, String>,
}

impl RosterNow {
    /// From what the brokers say of the raw topics; those that are missing are left as they were.
    pub fn update(&mut self, described: &[Described]) -> bool {
        let mut ids = Vec::new();
        for topic in described.iter().filter(|topic| topic.problem.is_none()) {
            self.topic_ids.insert(topic.name.clone(), topic.id.clone());
            ids.extend(topic.partitions.iter().map(|partition| source_id(&topic.id, *partition)));
        }
        ids.sort_unstable();
        let changed = !ids.is_empty() && ids != self.ids;
        if changed {
            self.ids = ids;
        }
        changed
    }

    pub fn topic_id(&self, topic: &str) -> Option<&str> {
        self.topic_ids.get(topic).map(String::as_str)
    }
}

pub fn rejected(source: &RawPartition, offset: u64, reason: RejectReason, value: &[u8]) -> Rejected {
    let position = fleet::Position { source: source.id, offset };
    Rejected::new(position, &source.name, reason, value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ingest::Format;

    fn partition(live: bool) -> RawPartition {
        let topic = RawTopic { name: "raw".into(), format: Format::Native, lateness_seconds: 70, live };
        RawPartition::new(&topic, "uuid", 3, 0)
    }

    #[test]
    fn a_quiet_partition_is_complete_up_to_the_brokers_time_only_where_records_come_as_they_happen() {
        let appended = 1_772_755_200_000;
        let mut live = partition(true);
        assert_eq!(live.through(None), EventTime(i64::MIN));
        assert_eq!(live.through(Some(appended)), EventTime(appended * 1_000 - 70_000_000));
        assert_eq!(live.through(None), EventTime(appended * 1_000 - 70_000_000), "it takes nothing back");
        let mut fed = partition(false);
        assert!(!fed.has_time());
        fed.observe(EventTime(100_000_000));
        assert_eq!(fed.through(Some(appended)), EventTime(30_000_000));
    }

    #[test]
    fn what_was_passed_over_is_noted_and_going_back_stops_everything() {
        let mut source = partition(true);
        assert!(source.comes_to(0));
        source.next = 1;
        source.doubted = true;
        assert!(!source.comes_to(5), "after a rebalance a gap is librdkafka's until it is seen again");
        assert_eq!(source.went_back, Some(1));
        source.moved(1);
        assert!(source.comes_to(5) && source.comes_to(5));
        assert_eq!(source.gaps, [(1, 5)]);
        assert!(!source.comes_to(2) && !source.comes_to(6), "not before it is known why");
        assert_eq!((source.next, source.went_back), (5, Some(2)));
    }

    #[test]
    fn a_topic_made_again_is_another_source() {
        assert_ne!(source_id("one", 0), source_id("other", 0));
        assert_ne!(source_id("one", 0), source_id("one", 1));
        assert_eq!(source_id("one", 0), source_id("one", 0));
    }
}
