//! Messages on their way to a topic of one partition, or of somebody else's: what is published the broker has.

use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use crossbeam_channel::{Sender, bounded};
use ingest::kafka::client::{Purpose, create};
use ingest::kafka::config::KafkaConfig;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DeliveryResult, ProducerContext, ThreadedProducer};
use rdkafka::types::RDKafkaErrorCode;

use crate::live::trace::PARENT;

const LOOK_UP: Duration = Duration::from_millis(100);
/// What a record has beside its payload, at most: headers, and the batch it travels in.
const BESIDE: usize = 4 << 10;

pub struct Answers;

impl ClientContext for Answers {
    fn error(&self, error: KafkaError, reason: &str) {
        crate::live::logs::client_error("publisher", &error, reason);
    }

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        crate::live::logs::client_log("publisher", level, facility, message);
    }
}

impl ProducerContext for Answers {
    type DeliveryOpaque = Box<Sender<Result<(), KafkaError>>>;

    fn delivery(&self, result: &DeliveryResult<'_>, answer: Self::DeliveryOpaque) {
        // Whoever asked may have given up.
        let _ = answer.send(result.as_ref().map(|_| ()).map_err(|(error, _)| error.clone()));
    }
}

#[derive(Clone)]
pub struct Publisher {
    producer: Arc<ThreadedProducer<Answers>>,
    topic: Arc<str>,
}

impl Publisher {
    pub fn new(config: &KafkaConfig) -> anyhow::Result<Publisher> {
        Publisher::to(config, &config.findings)
    }

    /// The first partition of another topic.
    pub fn to(config: &KafkaConfig, topic: &str) -> anyhow::Result<Publisher> {
        let producer = create(config, Purpose::Writer, Answers)?;
        Ok(Publisher { producer: Arc::new(producer), topic: topic.into() })
    }

    /// Waits until the broker has it; `Ok(false)` when it is no longer `wanted`. `span`: in which it is sent.
    ///
    /// # Errors
    /// The broker refuses it for good (no such topic, no right to write, too large).
    pub fn publish(&self, message: &[u8], span: Option<String>, wanted: &dyn Fn() -> bool) -> anyhow::Result<bool> {
        self.send(message, None, span, wanted)
    }

    /// The same, to the partition of its key.
    ///
    /// # Errors
    /// As [`Publisher::publish`].
    pub fn publish_under(&self, key: &str, message: &[u8], wanted: &dyn Fn() -> bool) -> anyhow::Result<bool> {
        self.send(message, Some(key), None, wanted)
    }

    fn send(
        &self,
        message: &[u8],
        key: Option<&str>,
        span: Option<String>,
        wanted: &dyn Fn() -> bool,
    ) -> anyhow::Result<bool> {
        let (answer, answered) = bounded(1);
        let mut record = BaseRecord::<str, [u8], _>::with_opaque_to(&self.topic, Box::new(answer)).payload(message);
        record.key = key;
        record.partition = if key.is_none() { Some(0) } else { None };
        record.headers = span.map(|span| OwnedHeaders::new().insert(Header { key: PARENT, value: Some(&span) }));
        loop {
            match self.producer.send(record) {
                Ok(()) => break,
                Err((error, refused)) if error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull) => {
                    record = refused;
                    if !wanted() {
                        return Ok(false);
                    }
                    std::thread::sleep(LOOK_UP);
                }
                Err((error, _)) => return Err(refused(&self.topic, message.len(), &error)),
            }
        }
        loop {
            match answered.recv_timeout(LOOK_UP) {
                Ok(Ok(())) => return Ok(true),
                Ok(Err(error)) => return Err(refused(&self.topic, message.len(), &error)),
                Err(_) if !wanted() => return Ok(false),
                Err(_) => {}
            }
        }
    }
}

fn refused(topic: &str, bytes: usize, error: &KafkaError) -> anyhow::Error {
    if error.rdkafka_error_code() != Some(RDKafkaErrorCode::MessageSizeTooLarge) {
        return anyhow!("`{topic}` does not take it: {error}");
    }
    let least = bytes + BESIDE;
    anyhow!(
        "a message of {bytes} bytes is too large for `{topic}`: {error}; raise `max.message.bytes` of the topic to at least \
         {least} (`kafka-configs.sh --bootstrap-server BROKER --alter --entity-type topics --entity-name {topic} --add-config \
         max.message.bytes={least}`), and `message.max.bytes` under [source.kafka.properties] if it is less"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_large_says_how_large_the_topic_must_allow() {
        let said = |code| refused("plant.findings", 17_000_000, &KafkaError::MessageProduction(code)).to_string();
        let words = said(RDKafkaErrorCode::MessageSizeTooLarge);
        let remedy =
            "--alter --entity-type topics --entity-name plant.findings --add-config max.message.bytes=17004096";
        assert!(words.contains(remedy), "{words}");
        let words = said(RDKafkaErrorCode::TopicAuthorizationFailed);
        assert!(words.contains("plant.findings") && !words.contains("max.message.bytes"), "{words}");
    }
}
