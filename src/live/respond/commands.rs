//! What people ask for, on its way to the process that acts: a topic, so that any process takes a command, and none is lost
//! while another takes over.
//!
//! The journal says how far they were taken. Where the topic is made again its offsets start over, and positions must not: how
//! often that was is in front of the offset ([`Position`]).

use std::time::Duration;

use ingest::kafka::client::{Purpose, create, failed};
use ingest::kafka::committed::bounds;
use ingest::kafka::config::KafkaConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};
use responders::journal::entry::{Called, Request};
use serde::{Deserialize, Serialize};

use crate::live::logs::EachMinute;
use crate::live::route::partitions::Quiet;

/// A message of the topic.
#[derive(Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Sent {
    Command(Request),
    Call(Called),
}

/// Where a command stands, of all topics that had the name: greater than that of any command before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Position {
    made_again: u64,
    offset: u64,
}

/// Bits of an offset: a million commands a second fill them in nine years.
const OFFSET_BITS: u32 = 48;

impl Position {
    fn of(number: u64) -> Position {
        Position { made_again: number >> OFFSET_BITS, offset: number & ((1 << OFFSET_BITS) - 1) }
    }

    fn number(self) -> u64 {
        self.made_again << OFFSET_BITS | self.offset
    }

    /// Where to go on in a topic that has `end` as its next offset.
    fn within(self, end: u64) -> Position {
        if self.offset <= end { self } else { self.first_of_next() }
    }

    /// Of a record that came where this position was expected: offsets only ever go back in another topic.
    fn at(self, offset: u64) -> Position {
        let position = if offset < self.offset { self.first_of_next() } else { self };
        Position { offset, ..position }
    }

    fn first_of_next(self) -> Position {
        Position { made_again: self.made_again + 1, offset: 0 }
    }
}

pub struct Commands<'c> {
    kafka: &'c KafkaConfig,
    consumer: BaseConsumer<Quiet>,
    next: Position,
    said: EachMinute,
}

impl<'c> Commands<'c> {
    /// `from`: below this position all were taken.
    ///
    /// # Errors
    /// The topic is not there.
    pub fn new(kafka: &'c KafkaConfig, from: u64) -> anyhow::Result<Commands<'c>> {
        let admin = ingest::kafka::topics::admin(kafka)?;
        crate::live::our_topic(admin.inner(), &kafka.commands).map_err(super::journal::missing)?;
        let consumer: BaseConsumer<Quiet> = create(kafka, Purpose::Reader { to_its_end: false }, Quiet)?;
        let (_, end) = bounds(&consumer, &kafka.commands, 0)?;
        let (before, next) = (Position::of(from), Position::of(from).within(end));
        if next != before {
            let (topic, offset) = (&kafka.commands, before.offset);
            tracing::warn!(topic, offset, end, "the topic of commands was made again: reading it from its beginning");
        }
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&kafka.commands, 0, Offset::Offset(i64::try_from(next.offset).unwrap_or(0)))?;
        consumer.assign(&list)?;
        Ok(Commands { kafka, consumer, next, said: EachMinute::default() })
    }

    /// The next one, with its position; never waits.
    pub fn take(&mut self) -> Option<(u64, Sent)> {
        loop {
            match self.consumer.poll(Duration::ZERO)? {
                Ok(record) => {
                    let offset = u64::try_from(record.offset()).unwrap_or(0);
                    let position = self.next.at(offset);
                    if position.made_again != self.next.made_again {
                        let topic = &self.kafka.commands;
                        tracing::warn!(topic, offset, "the topic of commands was made again under our hands");
                    }
                    self.next = Position { offset: offset + 1, ..position };
                    match serde_json::from_slice(record.payload().unwrap_or_default()) {
                        Ok(sent) => return Some((position.number(), sent)),
                        Err(error) => {
                            if self.said.is_due() {
                                let topic = &self.kafka.commands;
                                tracing::error!(topic, offset, %error, "a command cannot be read and is passed over; who wrote it?");
                            }
                        }
                    }
                }
                Err(KafkaError::PartitionEOF(_)) => return None,
                Err(error) => {
                    let error = failed(format!("reading `{}`", self.kafka.commands), &error);
                    if self.said.is_due() {
                        tracing::warn!(%error, "commands cannot be read; trying again");
                    }
                    return None;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_that_was_made_again_goes_on_from_its_beginning_with_greater_positions() {
        let taken = Position::of(500);
        assert_eq!((taken.within(500), taken.within(9_000)), (taken, taken), "it is the same topic");
        let again = taken.within(3);
        assert_eq!((again.offset, again.number() > 500), (0, true));
        let first = again.at(0);
        assert!(first == again && Position::of(first.number()) == first);
        // The next process begins after the third of them, in a topic that has them.
        let next = Position { offset: 3, ..first };
        assert_eq!(Position::of(next.number()).within(3), next);
        assert_eq!(next.within(1).number(), 2 << OFFSET_BITS, "and once more");
    }

    #[test]
    fn an_offset_that_goes_back_is_of_another_topic_and_one_that_leaps_of_the_same() {
        let next = Position::of(500);
        assert_eq!(next.at(500).number(), 500);
        assert_eq!(next.at(507).number(), 507, "what was aborted, or deleted by retention, has no records");
        let again = next.at(2);
        assert_eq!(again, Position { made_again: 1, offset: 2 });
        assert!(again.number() > next.at(1 << 40).number());
    }
}
