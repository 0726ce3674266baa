//! Raw partitions as they are given to this router: beginning where was committed, keeping pace with each other.

use std::time::Instant;

use anyhow::Context;
use fleet::{EventTime, MICROS_PER_SECOND};
use ingest::kafka::committed::{bounds, committed};
use opentelemetry::KeyValue;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::Consumer;

use super::sources::RawPartition;
use super::{ALIGN, Route, metadata};
use crate::live::metrics::metrics;

impl Route<'_> {
    /// While history is read, no partition runs ahead of the others by more than lanes may hold open: those that do are
    /// paused until the slowest with something left to read has come after them.
    pub(super) fn align(&mut self) -> anyhow::Result<()> {
        if self.owned.len() < 2 || self.aligned.elapsed() < ALIGN {
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
            source.paused = is_ahead;
            changed.push((source.topic.name.clone(), source.partition, is_ahead));
        }
        changed.iter().try_for_each(|(topic, partition, is_ahead)| self.pause(topic, *partition, *is_ahead))
    }

    pub(super) fn pause(&self, topic: &str, partition: i32, pause: bool) -> anyhow::Result<()> {
        let mut list = TopicPartitionList::new();
        list.add_partition(topic, partition);
        let told = if pause { self.consumer.pause(&list) } else { self.consumer.resume(&list) };
        told.with_context(|| format!("pausing or resuming `{topic}/{partition}`"))
    }

    pub(super) fn begin(&mut self, topic: &str, partition: i32) -> anyhow::Result<()> {
        let Some(settings) = self.config.source.kafka.topics.iter().find(|raw| raw.name == topic) else {
            return Ok(());
        };
        let id = self.roster.topic_id(topic).unwrap_or(topic).to_owned();
        let mark = committed(&self.consumer, topic, partition)?;
        let (first, _) = bounds(&self.consumer, topic, partition)?;
        let mut next = mark.offset.unwrap_or(first);
        if let Some(offset) = mark.offset.filter(|offset| *offset < first) {
            let lost = first - offset;
            tracing::error!(
                topic,
                partition,
                lost,
                from = offset,
                to = first,
                "retention deleted records before they were read; going on from the earliest"
            );
            metrics().retention_lost.add(lost, &[KeyValue::new("topic", topic.to_owned())]);
            next = first;
        }
        let routing = self.inventory.version();
        let announced = mark.metadata == metadata(&id, &routing);
        if !announced {
            self.announce_all()?;
        }
        tracing::info!(topic, partition, from = next, "reading raw partition");
        self.owned.retain(|source| !source.is(topic, partition));
        self.owned.push(RawPartition::new(settings, &id, partition, next));
        Ok(())
    }
}
