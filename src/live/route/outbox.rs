//! What leaves for Kafka: an idempotent producer that never gives up on a message, and what has arrived of it.
//!
//! Messages are sent in epochs. Once everything of an epoch and of those before it is acknowledged, whatever it was made
//! from may be committed.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::anyhow;
use ingest::Error;
use ingest::kafka::client::{Purpose, create};
use ingest::kafka::config::KafkaConfig;
use ingest::kafka::topics::admin;
use ingest::log::{Message as Entry, encode};
use rdkafka::client::ClientContext;
use rdkafka::error::KafkaError;
use rdkafka::message::{Message, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer};
use rdkafka::types::RDKafkaErrorCode;

use crate::live::logs::EachMinute;
use crate::live::readings_topic;

/// While the queue is full, the caller is asked this often whether it wants to go on waiting.
const FULL: Duration = Duration::from_millis(50);

/// One message.
#[derive(Default)]
pub struct Outgoing<'a> {
    pub topic: &'a str,
    /// `None`: any.
    pub partition: Option<i32>,
    pub key: Option<&'a [u8]>,
    pub payload: Option<&'a [u8]>,
    pub headers: Option<OwnedHeaders>,
    /// It is a mark of this source.
    pub mark_of: Option<u32>,
    /// A copy for people: if Kafka refuses it, that is told, and everything goes on.
    pub is_copy: bool,
}

pub struct Ticket {
    epoch: u64,
    mark_of: Option<u32>,
    is_copy: bool,
}

#[derive(Default)]
struct Arrived {
    /// Messages on their way, of each epoch that is not through; the last one is being filled.
    epochs: VecDeque<(u64, u64)>,
    /// Milliseconds: when the broker appended each source's latest mark.
    marks: BTreeMap<u32, i64>,
    /// The broker's time, milliseconds, and when it was that.
    newest: Option<(i64, Instant)>,
    failure: Option<String>,
    refused: EachMinute,
}

impl Arrived {
    fn settle(&mut self, epoch: u64) {
        if let Some((_, waiting)) = self.epochs.iter_mut().find(|(number, _)| *number == epoch) {
            *waiting -= 1;
        }
    }

    fn refuse(&mut self, topic: &str, error: &KafkaError) {
        if self.refused.is_due() {
            tracing::warn!(topic, %error, "copies of rejected records are refused; the records themselves are counted and stored");
        }
    }
}

#[derive(Clone, Default)]
pub struct OutboxContext(Arc<Mutex<Arrived>>);

impl OutboxContext {
    fn arrived<T>(&self, change: impl FnOnce(&mut Arrived) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl ClientContext for OutboxContext {
    fn error(&self, error: KafkaError, reason: &str) {
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::Fatal) {
            self.arrived(|arrived| arrived.failure = Some(reason.to_owned()));
        }
        crate::live::logs::client_error("producer", &error, reason);
    }

    fn log(&self, level: rdkafka::config::RDKafkaLogLevel, facility: &str, message: &str) {
        crate::live::logs::client_log("producer", level, facility, message);
    }
}

impl ProducerContext for OutboxContext {
    type DeliveryOpaque = Box<Ticket>;

    fn delivery(&self, result: &DeliveryResult<'_>, ticket: Box<Ticket>) {
        self.arrived(|arrived| match result {
            Ok(message) => {
                crate::live::logs::brokers(true);
                arrived.settle(ticket.epoch);
                if let (Some(source), Some(at)) = (ticket.mark_of, message.timestamp().to_millis()) {
                    arrived.marks.insert(source, at);
                    arrived.newest = Some((at, Instant::now()));
                }
            }
            Err((error, message)) if ticket.is_copy => {
                arrived.settle(ticket.epoch);
                arrived.refuse(message.topic(), error);
            }
            Err((error, message)) => {
                let failure = format!("a message for topic `{}` was not taken: {error}", message.topic());
                arrived.failure.get_or_insert(failure);
            }
        });
    }
}

pub struct Outbox {
    producer: ThreadedProducer<OutboxContext>,
    context: OutboxContext,
    epoch: u64,
}

impl Outbox {
    pub fn new(config: &KafkaConfig) -> anyhow::Result<Outbox> {
        let context = OutboxContext::default();
        context.arrived(|arrived| arrived.epochs.push_back((0, 0)));
        let producer = create(config, Purpose::Writer, context.clone())?;
        Ok(Outbox { producer, context, epoch: 0 })
    }

    /// Queues a message. While there is no room, `wait` is called again and again; its error ends the wait.
    pub fn send(&self, message: Outgoing<'_>, mut wait: impl FnMut() -> anyhow::Result<()>) -> anyhow::Result<()> {
        let Outgoing { topic, partition, key, payload, headers, mark_of, is_copy } = message;
        self.context.arrived(|arrived| {
            if let Some((_, waiting)) = arrived.epochs.back_mut() {
                *waiting += 1;
            }
        });
        let ticket = Box::new(Ticket { epoch: self.epoch, mark_of, is_copy });
        let mut record = BaseRecord::<[u8], [u8], _>::with_opaque_to(topic, ticket);
        (record.partition, record.key, record.payload, record.headers) = (partition, key, payload, headers);
        loop {
            match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((error, refused)) if error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull) => {
                    record = refused;
                    std::thread::sleep(FULL);
                    wait()?;
                    self.check()?;
                }
                Err((error, _)) if is_copy => {
                    self.context.arrived(|arrived| {
                        arrived.settle(self.epoch);
                        arrived.refuse(topic, &error);
                    });
                    return Ok(());
                }
                Err((error, _)) => return Err(anyhow!("a message for topic `{topic}` cannot be sent: {error}")),
            }
        }
    }

    /// Ends the epoch; gives its number.
    pub fn end_epoch(&mut self) -> u64 {
        let ended = self.epoch;
        self.epoch += 1;
        let next = self.epoch;
        self.context.arrived(|arrived| arrived.epochs.push_back((next, 0)));
        ended
    }

    /// The last epoch of which, and before which, everything has arrived.
    pub fn arrived(&self) -> Option<u64> {
        self.context.arrived(|arrived| {
            while arrived.epochs.len() > 1 && arrived.epochs.front().is_some_and(|(_, waiting)| *waiting == 0) {
                arrived.epochs.pop_front();
            }
            arrived.epochs.front().and_then(|(epoch, _)| epoch.checked_sub(1))
        })
    }

    /// When the broker appended the latest mark of `source` that arrived; milliseconds.
    pub fn mark_appended(&self, source: u32) -> Option<i64> {
        self.context.arrived(|arrived| arrived.marks.get(&source).copied())
    }

    /// The broker's time, milliseconds; `None`: no mark has arrived.
    pub fn brokers_time(&self) -> Option<i64> {
        let (at, since) = self.context.arrived(|arrived| arrived.newest)?;
        Some(at.saturating_add(i64::try_from(since.elapsed().as_millis()).unwrap_or(i64::MAX)))
    }

    /// # Errors
    /// The producer cannot go on: to keep the order, whoever sends must start over from what was committed.
    pub fn check(&self) -> Result<(), Error> {
        match self.context.arrived(|arrived| arrived.failure.clone()) {
            Some(problem) => Err(Error::Kafka { doing: "sending".to_owned(), problem, retry: true }),
            None => Ok(()),
        }
    }

    /// Waits until all has arrived.
    pub fn flush(&self, timeout: Duration) -> anyhow::Result<()> {
        self.producer.flush(timeout).map_err(|error| Error::Kafka {
            doing: "sending".to_owned(),
            problem: format!("not everything arrived in time: {error}"),
            retry: true,
        })?;
        Ok(self.check()?)
    }
}

/// Writes an entry to every lane's log.
pub fn tell_lanes(kafka: &KafkaConfig, message: &Entry) -> anyhow::Result<()> {
    let topic = readings_topic(admin(kafka)?.inner(), kafka)?;
    let outbox = Outbox::new(kafka)?;
    let message = encode(message);
    for lane in &topic.partitions {
        let message =
            Outgoing { topic: &kafka.readings, partition: Some(*lane), payload: Some(&message), ..Outgoing::default() };
        outbox.send(message, || Ok(()))?;
    }
    outbox.flush(Duration::from_secs(30))
}
