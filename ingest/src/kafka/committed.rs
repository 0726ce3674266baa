//! What a group committed for a partition, and committing: an offset, and a few words beside it.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext};
use rdkafka::{Offset, TopicPartitionList};

use super::client::failed;
use crate::error::Error;

const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Committed {
    /// `None`: nothing was ever committed.
    pub offset: Option<u64>,
    pub metadata: String,
}

/// # Errors
/// The group's coordinator did not answer; to be tried again.
pub fn committed<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topic: &str,
    partition: i32,
) -> Result<Committed, Error> {
    let mut list = TopicPartitionList::new();
    list.add_partition(topic, partition);
    let doing = || format!("asking what was committed of `{topic}` partition {partition}");
    let answer = consumer.committed_offsets(list, PATIENCE).map_err(|error| failed(doing(), &error))?;
    let Some(element) = answer.find_partition(topic, partition) else { return Ok(Committed::default()) };
    element.error().map_err(|error| failed(doing(), &error))?;
    let offset = match element.offset() {
        Offset::Offset(offset) => u64::try_from(offset).ok(),
        _ => None,
    };
    Ok(Committed { offset, metadata: element.metadata().to_owned() })
}

pub struct ToCommit<'a> {
    pub topic: &'a str,
    pub partition: i32,
    pub offset: u64,
    pub metadata: &'a str,
}

pub fn commit<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    commits: &[ToCommit<'_>],
    mode: CommitMode,
) -> Result<(), Error> {
    let mut list = TopicPartitionList::with_capacity(commits.len());
    for commit in commits {
        let mut element = list.add_partition(commit.topic, commit.partition);
        let set = element.set_offset(Offset::Offset(i64::try_from(commit.offset).unwrap_or(i64::MAX)));
        set.map_err(|error| failed("setting an offset", &error))?;
        element.set_metadata(commit.metadata);
    }
    consumer.commit(&list, mode).map_err(|error| failed("committing", &error))
}

/// First and next offset of a partition, as the broker has them now.
pub fn bounds<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topic: &str,
    partition: i32,
) -> Result<(u64, u64), Error> {
    bounds_within(consumer, topic, partition, PATIENCE)
}

pub fn bounds_within<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topic: &str,
    partition: i32,
    patience: Duration,
) -> Result<(u64, u64), Error> {
    let (first, next) = consumer
        .fetch_watermarks(topic, partition, patience)
        .map_err(|error| failed(format!("asking how far `{topic}` partition {partition} reaches"), &error))?;
    Ok((first.max(0) as u64, next.max(0) as u64))
}
