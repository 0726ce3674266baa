//! An epoch's raw offsets: committed once everything that was made of them has arrived.

use ingest::kafka::committed::{ToCommit, commit};
use rdkafka::consumer::CommitMode;

use super::Route;
use super::metadata::metadata;

/// Next offsets, by topic and partition, each with the header that holds there.
pub type Positions = Vec<(String, i32, u64, Option<String>)>;

impl Route<'_> {
    pub(super) fn positions(&mut self) -> Positions {
        let sources = self.owned.iter_mut();
        sources.map(|source| (source.topic.name.clone(), source.partition, source.next, source.header())).collect()
    }

    pub(super) fn commit(&mut self) {
        let Some(arrived) = self.outbox.arrived() else { return };
        let mut newest = None;
        while self.waiting.front().is_some_and(|(epoch, _)| *epoch <= arrived) {
            newest = self.waiting.pop_front();
        }
        let Some((_, positions)) = newest else { return };
        self.status.sent();
        if let Err(error) = self.commit_positions(positions, CommitMode::Async) {
            // The next beat commits more; until then it would only be sent again.
            tracing::debug!(%error, "raw offsets were not committed");
        }
    }

    /// What says where a record goes.
    pub(super) fn routing(&self) -> String {
        format!("{}-{}", self.inventory.version(), self.places)
    }

    pub(super) fn commit_positions(&self, positions: Positions, mode: CommitMode) -> Result<(), ingest::Error> {
        let routing = self.routing();
        let texts: Vec<(String, i32, u64, String)> = positions
            .into_iter()
            .filter_map(|(topic, partition, next, header)| {
                let source = self.owned.iter().find(|source| source.is(&topic, partition))?;
                let text = metadata(&source.topic_id, &routing, header.as_deref());
                Some((topic, partition, next, text))
            })
            .collect();
        let commits: Vec<ToCommit<'_>> = texts
            .iter()
            .map(|(topic, partition, offset, metadata)| ToCommit {
                topic,
                partition: *partition,
                offset: *offset,
                metadata,
            })
            .collect();
        if commits.is_empty() {
            return Ok(());
        }
        commit(&self.consumer, &commits, mode)
    }
}
