//! What people ask for, on its way to the process that acts: a topic, so that any process takes a command, and none is lost
//! while another takes over.

use std::time::Duration;

use ingest::kafka::client::{Purpose, create, failed};
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

pub struct Commands<'c> {
    kafka: &'c KafkaConfig,
    consumer: BaseConsumer<Quiet>,
    said: EachMinute,
}

impl<'c> Commands<'c> {
    /// `from`: below this offset all were taken.
    ///
    /// # Errors
    /// The topic is not there.
    pub fn new(kafka: &'c KafkaConfig, from: u64) -> anyhow::Result<Commands<'c>> {
        let admin = ingest::kafka::topics::admin(kafka)?;
        crate::live::our_topic(admin.inner(), &kafka.commands).map_err(super::journal::missing)?;
        let consumer: BaseConsumer<Quiet> = create(kafka, Purpose::Reader { to_its_end: true }, Quiet)?;
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&kafka.commands, 0, Offset::Offset(i64::try_from(from).unwrap_or(0)))?;
        consumer.assign(&list)?;
        Ok(Commands { kafka, consumer, said: EachMinute::default() })
    }

    /// The next one, with its offset; never waits.
    pub fn take(&mut self) -> Option<(u64, Sent)> {
        loop {
            match self.consumer.poll(Duration::ZERO)? {
                Ok(record) => {
                    let offset = u64::try_from(record.offset()).unwrap_or(0);
                    match serde_json::from_slice(record.payload().unwrap_or_default()) {
                        Ok(sent) => return Some((offset, sent)),
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
