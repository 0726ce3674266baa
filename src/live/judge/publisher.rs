//! Findings and closed ticks on their way to the findings topic: a step is published when the broker says it has it.

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
        let producer = create(config, Purpose::Writer, Answers)?;
        Ok(Publisher { producer: Arc::new(producer), topic: config.findings.as_str().into() })
    }

    /// Waits until the broker has it; `Ok(false)` when it is no longer `wanted`. `span`: in which it is sent.
    ///
    /// # Errors
    /// The broker refuses it for good (no such topic, no right to write, too large).
    pub fn publish(&self, message: &[u8], span: Option<String>, wanted: &dyn Fn() -> bool) -> anyhow::Result<bool> {
        let (answer, answered) = bounded(1);
        let mut record = BaseRecord::<(), [u8], _>::with_opaque_to(&self.topic, Box::new(answer)).payload(message);
        record.partition = Some(0);
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
                Err((error, _)) => return Err(anyhow!("findings cannot be published to `{}`: {error}", self.topic)),
            }
        }
        loop {
            match answered.recv_timeout(LOOK_UP) {
                Ok(Ok(())) => return Ok(true),
                Ok(Err(error)) => return Err(anyhow!("findings were not taken by `{}`: {error}", self.topic)),
                Err(_) if !wanted() => return Ok(false),
                Err(_) => {}
            }
        }
    }
}
