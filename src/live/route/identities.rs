//! What routers learn of devices' addresses and names, for all of them and beyond their lives: a compacted topic of one
//! partition. A name holds while the inventory is the same, an address also beyond unless the inventory says whose it is.
//!
//! Records of a device may reach different routers, and not all of them say who has an address: a flow or an event does that
//! has the device's MAC beside an internal address, and a client's event where nobody else has it. What is learned is sent
//! before the readings that were routed by it; others follow within a beat. What one router has in hand while another learns
//! may still be taken for an unknown device's.

use std::time::{Duration, Instant};

use ingest::Error;
use ingest::identity::{Learned, Router};
use ingest::kafka::client::{Purpose, create, failed};
use ingest::kafka::committed::bounds_within;
use ingest::kafka::config::KafkaConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};
use serde::{Deserialize, Serialize};

use super::outbox::{Outbox, Outgoing};
use super::partitions::Quiet;
use crate::live::logs::EachMinute;

/// Of the layout of records.
const VERSION: u32 = 1;
const POLL: Duration = Duration::from_millis(100);
/// Without a record.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Serialize, Deserialize)]
struct Told {
    version: u32,
    /// What was known besides.
    inventory: String,
    learned: Learned,
}

pub struct Identities<'c> {
    kafka: &'c KafkaConfig,
    consumer: BaseConsumer<Quiet>,
    /// Offset of the next record.
    next: u64,
    said: EachMinute,
}

impl<'c> Identities<'c> {
    /// Nothing is read yet.
    pub fn new(kafka: &'c KafkaConfig) -> Result<Identities<'c>, Error> {
        let consumer: BaseConsumer<Quiet> = create(kafka, Purpose::Reader { to_its_end: false }, Quiet)?;
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&kafka.identities, 0, Offset::Beginning)
            .and_then(|()| consumer.assign(&list))
            .map_err(|error| failed(reading(kafka), &error))?;
        Ok(Identities { kafka, consumer, next: 0, said: EachMinute::default() })
    }

    /// Up to the topic's present end. `inventory`: the version of the router's.
    ///
    /// # Errors
    /// Kafka did not answer in time, or refuses. What was read until then holds.
    pub fn catch_up(&mut self, router: &mut Router, inventory: &str) -> Result<(), Error> {
        let (_, end) = bounds_within(&self.consumer, &self.kafka.identities, 0, PATIENCE)?;
        let mut since = Instant::now();
        while self.next < end {
            if self.take_one(POLL, router, inventory)? {
                since = Instant::now();
            } else if since.elapsed() > PATIENCE {
                let problem = "its end was not reached in time".to_owned();
                return Err(Error::Kafka { doing: reading(self.kafka), problem, retry: true });
            }
        }
        Ok(())
    }

    /// Takes what has come; never waits. Without it a router still learns by itself.
    pub fn follow(&mut self, router: &mut Router, inventory: &str) {
        loop {
            match self.take_one(Duration::ZERO, router, inventory) {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => {
                    if self.said.is_due() {
                        tracing::error!(%error, "what other routers learn of addresses cannot be followed");
                    }
                    return;
                }
            }
        }
    }

    fn take_one(&mut self, wait: Duration, router: &mut Router, inventory: &str) -> Result<bool, Error> {
        match self.consumer.poll(wait) {
            Some(Ok(record)) => {
                let offset = u64::try_from(record.offset()).unwrap_or(0);
                let told = told(record.payload().unwrap_or_default());
                self.next = offset + 1;
                match told {
                    Ok(told) => router.hear(&told.learned, told.inventory == inventory),
                    Err(problem) if self.said.is_due() => tracing::error!(
                        topic = self.kafka.identities,
                        offset,
                        problem,
                        "a record of the topic of identities cannot be used and is passed over; does something else write to it?"
                    ),
                    Err(_) => {}
                }
                Ok(true)
            }
            Some(Err(KafkaError::PartitionEOF(_))) | None => Ok(false),
            Some(Err(error)) => {
                let error = failed(reading(self.kafka), &error);
                if error.retry() { Ok(false) } else { Err(error) }
            }
        }
    }

    pub fn tell(
        &self,
        learned: Learned,
        inventory: &str,
        outbox: &Outbox,
        wanted: impl FnMut() -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let key = learned.key();
        let payload = serde_json::to_vec(&Told { version: VERSION, inventory: inventory.to_owned(), learned })?;
        let message = Outgoing {
            topic: &self.kafka.identities,
            partition: Some(0),
            key: Some(key.as_bytes()),
            payload: Some(&payload),
            ..Outgoing::default()
        };
        outbox.send(message, wanted)
    }
}

fn reading(kafka: &KafkaConfig) -> String {
    format!("reading what routers learned from `{}`", kafka.identities)
}

fn told(payload: &[u8]) -> Result<Told, String> {
    let told: Told = serde_json::from_slice(payload).map_err(|error| error.to_string())?;
    match told.version {
        VERSION => Ok(told),
        other => Err(format!("version `{other}`, expected `{VERSION}`; run the same release in all roles")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fleet::EventTime;
    use ingest::identity::Holder;

    #[test]
    fn records_of_the_topic_are_read_as_they_were_written() {
        let holders = vec![Holder { device: "a".into(), from: EventTime(5) }];
        let learned = Learned::Address { address: "10.0.0.5".parse().unwrap(), holders };
        assert_eq!(learned.key(), "address 10.0.0.5");
        let text = serde_json::to_string(&Told { version: VERSION, inventory: "i".into(), learned: learned.clone() });
        let text = text.unwrap();
        assert_eq!(told(text.as_bytes()).unwrap().learned, learned);
        let newer = text.replace("\"version\":1", "\"version\":2");
        assert!(told(newer.as_bytes()).err().unwrap().contains("version `2`"));
        assert!(told(b"").is_err());
    }
}
