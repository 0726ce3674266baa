//! Raw partitions as they are given to this router: beginning where was committed, keeping pace with each other.

use std::time::{Duration, Instant};

use fleet::{EventTime, MICROS_PER_SECOND};
use ingest::kafka::client::failed;
use ingest::kafka::committed::{bounds, committed};
use ingest::kafka::native::PartitionProblem;
use opentelemetry::KeyValue;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};

use super::metadata::{decoder, routing_of, topic_of};
use super::sources::RawPartition;
use super::{ALIGN, Route};
use crate::live::logs::SAY_AGAIN;
use crate::live::metrics::metrics;

const SEEK: Duration = Duration::from_secs(5);

/// A client that other clients speak for: what it meets, they meet too.
pub struct Quiet;

impl ClientContext for Quiet {
    fn error(&self, _: KafkaError, _: &str) {}

    fn log(&self, _: RDKafkaLogLevel, _: &str, _: &str) {}
}

impl ConsumerContext for Quiet {}

/// A partition that is ours and not yet read.
pub struct Beginning {
    pub topic: String,
    pub partition: i32,
    /// librdkafka is elsewhere.
    pub seek: bool,
}

impl Beginning {
    pub fn assigned((topic, partition): (String, i32)) -> Beginning {
        Beginning { topic, partition, seek: false }
    }

    pub fn is(&self, topic: &str, partition: i32) -> bool {
        self.partition == partition && self.topic == topic
    }
}

impl Route<'_> {
    /// While history is read, no partition runs ahead of the others by more than lanes may hold open: those that do are
    /// paused until the slowest with something left to read has come after them.
    pub(super) fn align(&mut self) -> anyhow::Result<()> {
        // Also alone: the one that it was ahead of may be another router's by now.
        if self.aligned.elapsed() < ALIGN {
            return Ok(());
        }
        self.aligned = Instant::now();
        let open = i64::try_from(self.config.ingest.max_open_windows).unwrap_or(i64::MAX);
        let width = i64::from(self.config.ingest.window_seconds) * MICROS_PER_SECOND;
        let most_ahead = open.saturating_mul(width) / 4;
        let furthest = self.owned.iter().map(RawPartition::reached).max().unwrap_or(EventTime::MIN);
        let mut slowest = furthest;
        for source in &self.owned {
            let is_behind = furthest.minus(source.reached()) > most_ahead && source.reached() < slowest;
            // Whoever has nothing to read holds nobody up.
            if is_behind
                && bounds(&self.consumer, &source.topic.name, source.partition).is_ok_and(|(_, end)| source.next < end)
            {
                slowest = source.reached();
            }
        }
        let mut changed = Vec::new();
        for source in &mut self.owned {
            let is_ahead = slowest < furthest && source.reached().minus(slowest) > most_ahead;
            if is_ahead == source.paused {
                continue;
            }
            (source.paused, source.doubted) = (is_ahead, true);
            changed.push((source.topic.name.clone(), source.partition, is_ahead));
        }
        changed.iter().try_for_each(|(topic, partition, is_ahead)| self.pause(topic, *partition, *is_ahead))
    }

    /// Begins what was assigned; what the brokers cannot be asked about now waits, paused, so that no record is passed over.
    pub(super) fn begin_all(&mut self) -> anyhow::Result<()> {
        for begun in std::mem::take(&mut self.to_begin) {
            match self.refresh_roster().and_then(|()| self.begin(&begun)) {
                // librdkafka keeps a pause when a partition goes and comes again; and resuming what is not paused would
                // drop what was fetched.
                Ok(()) => {
                    [true, false].iter().try_for_each(|pause| self.pause(&begun.topic, begun.partition, *pause))?;
                }
                Err(error) if error.downcast_ref::<ingest::Error>().is_some_and(ingest::Error::retry) => {
                    self.tried = Instant::now();
                    let (topic, partition) = (&begun.topic, begun.partition);
                    tracing::debug!(topic, partition, error = format!("{error:#}"), "a raw partition waits to begin");
                    self.pause(topic, partition, true)?;
                    self.to_begin.push(begun);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    pub(super) fn pause(&self, topic: &str, partition: i32, pause: bool) -> anyhow::Result<()> {
        let mut list = TopicPartitionList::new();
        list.add_partition(topic, partition);
        let told = if pause { self.consumer.pause(&list) } else { self.consumer.resume(&list) };
        Ok(told.map_err(|error| failed(format!("pausing or resuming `{topic}/{partition}`"), &error))?)
    }

    fn begin(&mut self, begun: &Beginning) -> anyhow::Result<()> {
        let (topic, partition) = (begun.topic.as_str(), begun.partition);
        let Some(settings) = self.config.source.kafka.topics.iter().find(|raw| raw.name == topic) else {
            return Ok(());
        };
        let id = self.roster.topic_id(topic).unwrap_or(topic).to_owned();
        let mark = committed(&self.consumer, topic, partition)?;
        let (first, _) = bounds(&self.consumer, topic, partition)?;
        // What was committed of a topic that is no more says nothing of the one made again under its name.
        let is_of_another = topic_of(&mark.metadata).is_some_and(|of| of != id);
        let mut next = mark.offset.filter(|_| !is_of_another).unwrap_or(first);
        if is_of_another {
            tracing::warn!(topic, partition, "the raw topic is another one than before: reading it from its beginning");
        }
        let earliest = next.max(first);
        if begun.seek || is_of_another {
            self.seek(topic, partition, earliest)?;
        }
        if next < earliest {
            lost(topic, partition, next, earliest);
            next = earliest;
        }
        let before = routing_of(&mark.metadata).unwrap_or_default();
        if is_of_another || before != self.routing() {
            // Whoever routed it may have told lanes otherwise, also after we told them: once for each, they are told again.
            self.announced &= !self.answered.insert(before.to_owned());
            self.announce_all()?;
        }
        tracing::info!(topic, partition, from = next, "reading raw partition");
        self.owned.retain(|source| !source.is(topic, partition));
        let mut source = RawPartition::new(settings, &id, partition, next);
        if !is_of_another {
            source.decoder = decoder(&mark.metadata, settings.format);
        }
        self.owned.push(source);
        Ok(())
    }

    /// A partition that librdkafka has not yet begun to fetch cannot be moved; it is tried again.
    fn seek(&self, topic: &str, partition: i32, next: u64) -> Result<(), ingest::Error> {
        let to = Offset::Offset(i64::try_from(next).unwrap_or(i64::MAX));
        self.consumer.seek(topic, partition, to, SEEK).map_err(|error| ingest::Error::Kafka {
            doing: format!("reading `{topic}/{partition}` from offset {next}"),
            problem: error.to_string(),
            retry: true,
        })
    }

    /// What came instead of a record. librdkafka's batch call counts it as one, and would go on behind the next one after
    /// a rebalance: it is told where to go on.
    pub(super) fn meet(&mut self, problem: &PartitionProblem) {
        let (topic, partition, code) = (problem.topic.as_str(), problem.partition, problem.code);
        let Some(source) = self.owned.iter_mut().find(|source| source.is(topic, partition)) else { return };
        source.went_back.get_or_insert(source.next);
        // What lasts comes again after each seek.
        source.again_at = Some(Instant::now() + SEEK);
        if source.problem.is_none_or(|(said, at)| said != code || at.elapsed() >= SAY_AGAIN) {
            source.problem = Some((code, Instant::now()));
            tracing::warn!(topic, partition, %code, "a raw partition cannot be read; trying again until it can");
        }
    }

    /// Behind a partition's last record may stand what is none, markers of transactions: librdkafka passes over them
    /// without telling.
    pub(super) fn pass_markers(&mut self) {
        let Ok(positions) = self.consumer.position() else { return };
        for source in &mut self.owned {
            let at = positions.find_partition(&source.topic.name, source.partition).map(|element| element.offset());
            if let Some(Offset::Offset(at)) = at
                && let Ok(at) = u64::try_from(at)
                && source.next < at
            {
                source.comes_to(at);
            }
        }
    }

    /// Partitions of which another record came than the next one: the topic was made again, librdkafka lost its place, or
    /// the brokers lost the partition's end.
    pub(super) fn go_back(&mut self) -> anyhow::Result<()> {
        if !self.owned.iter().any(RawPartition::is_to_move) {
            return Ok(());
        }
        self.refresh_roster()?;
        for place in 0..self.owned.len() {
            let source = &self.owned[place];
            if !source.is_to_move() {
                continue;
            }
            let (Some(back), name, partition) = (source.went_back, source.topic.name.clone(), source.partition) else {
                continue;
            };
            let Ok((_, end)) = bounds(&self.watcher, &name, partition) else { continue };
            let next = if end < source.next { back } else { source.next };
            if next < source.next {
                let (topic, lost) = (name.as_str(), source.next - next);
                tracing::error!(topic, partition, lost, "the brokers lost the end of a raw partition; going on there");
                // What was read before says nothing of what comes now.
                self.waiting.clear();
            }
            if let Err(error) = self.seek(&name, partition, next) {
                tracing::debug!(%error, "a raw partition waits to go on");
                continue;
            }
            self.owned[place].moved(next);
        }
        Ok(())
    }

    /// Offsets that were passed over: transactions and compaction leave such gaps; before a partition's first offset it
    /// was retention.
    pub(super) fn count_lost(&mut self) {
        for source in self.owned.iter_mut().filter(|source| !source.gaps.is_empty()) {
            let Ok((first, _)) = bounds(&self.watcher, &source.topic.name, source.partition) else { continue };
            for (from, to) in source.gaps.drain(..) {
                tracing::debug!(source = source.name.as_ref(), from, to, "offsets were passed over");
                if from < first.min(to) {
                    lost(&source.topic.name, source.partition, from, first.min(to));
                }
            }
        }
    }
}

fn lost(topic: &str, partition: i32, from: u64, to: u64) {
    let lost = to - from;
    tracing::error!(
        topic,
        partition,
        lost,
        from,
        to,
        "retention deleted records before they were read; going on from the earliest"
    );
    metrics().retention_lost.add(lost, &[KeyValue::new("topic", topic.to_owned())]);
}
