//! Records as producers of all kinds send them, and what stands in a topic afterwards.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{BorrowedMessage, Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext};
use rdkafka::{Offset, TopicPartitionList};

pub const SECOND: i64 = 1_000_000;
const PATIENCE: Duration = Duration::from_secs(30);

/// Microseconds since 1970, by this machine's clock.
#[expect(clippy::disallowed_methods, reason = "live records are dated when they are made")]
pub fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later than 1970").as_micros() as i64
}

/// A message of a device, as native JSON.
pub fn record(device: &str, at: i64) -> String {
    let seconds = at as f64 / SECOND as f64;
    format!(r#"{{"kind":"message","time":{seconds:.6},"client_id":"{device}","topic":"t","payload_bytes":20}}"#)
}

#[derive(Clone, Copy)]
pub struct Raw<'a> {
    pub topic: &'a str,
    pub partition: i32,
    pub key: Option<&'a str>,
    pub value: Option<&'a str>,
    pub headers: &'a [(&'a str, &'a str)],
    /// Milliseconds, as the producer says.
    pub timestamp: Option<i64>,
}

/// A partition's records, without anything special.
pub fn to<'a>(topic: &'a str, partition: i32, value: &'a str) -> Raw<'a> {
    Raw { topic, partition, key: None, value: Some(value), headers: &[], timestamp: None }
}

/// What the broker refused.
#[derive(Clone, Default)]
pub struct Refusals(Arc<Mutex<Vec<String>>>);

impl ClientContext for Refusals {}

impl ProducerContext for Refusals {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            self.0.lock().unwrap().push(error.to_string());
        }
    }
}

pub struct Sender(pub BaseProducer<Refusals>);

impl Sender {
    pub fn new(bootstrap: &str, settings: &[(&str, &str)]) -> Sender {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", bootstrap).set("linger.ms", "5").set("message.timeout.ms", "30000");
        settings.iter().for_each(|(name, value)| _ = config.set(*name, *value));
        Sender(config.create_with_context(Refusals::default()).expect("a producer"))
    }

    /// One that sends in transactions.
    pub fn transactional(bootstrap: &str, id: &str) -> Sender {
        let sender = Sender::new(bootstrap, &[("transactional.id", id)]);
        sender.0.init_transactions(PATIENCE).expect("transactions can be had");
        sender
    }

    pub fn send(&self, raw: Raw<'_>) {
        let mut record = BaseRecord::<str, str>::to(raw.topic).partition(raw.partition);
        (record.key, record.payload, record.timestamp) = (raw.key, raw.value, raw.timestamp);
        if !raw.headers.is_empty() {
            let add = |all: OwnedHeaders, (key, value): &(&str, &str)| all.insert(Header { key, value: Some(*value) });
            record.headers = Some(raw.headers.iter().fold(OwnedHeaders::new(), add));
        }
        self.0.send(record).map_err(|(error, _)| error).expect("there is room in the queue");
    }

    /// So many records of a device, a tenth of a second apart, of one partition.
    pub fn send_some(&self, topic: &str, partition: i32, device: &str, from: i64, count: i64) {
        for number in 0..count {
            self.send(to(topic, partition, &record(device, from + number * SECOND / 10)));
        }
        self.flush();
    }

    /// "These partitions are complete up to then."
    pub fn heartbeat(&self, topic: &str, partitions: &[i32], through: i64) {
        let through = through.to_string();
        for partition in partitions {
            let headers = &[("vedette-heartbeat", through.as_str())];
            // A compacted topic takes no record without a key.
            self.send(Raw { key: Some("heartbeat"), value: None, headers, ..to(topic, *partition, "") });
        }
        self.flush();
    }

    pub fn flush(&self) {
        self.0.flush(PATIENCE).expect("everything arrives");
        let refused = self.0.context().0.lock().unwrap().clone();
        assert!(refused.is_empty(), "{refused:?}");
    }
}

/// What was found in a topic.
#[derive(Debug)]
pub struct Stored {
    pub offset: i64,
    pub value: Option<String>,
    pub headers: Vec<(String, String)>,
}

/// Everything in a partition.
pub fn all_of(bootstrap: &str, topic: &str, partition: i32) -> Vec<Stored> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("group.id", "of-the-test")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .create()
        .expect("a consumer");
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, partition, Offset::Beginning).expect("an offset");
    consumer.assign(&list).expect("a partition to read");
    let mut found = Vec::new();
    loop {
        match consumer.poll(PATIENCE) {
            Some(Ok(message)) => found.push(stored(&message)),
            Some(Err(rdkafka::error::KafkaError::PartitionEOF(_))) => return found,
            Some(Err(error)) => panic!("{topic}/{partition}: {error}"),
            None => panic!("{topic}/{partition} has no end"),
        }
    }
}

/// How far a group has committed a partition; 0 before it has.
pub fn committed(bootstrap: &str, group: &str, topic: &str, partition: i32) -> i64 {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap).set("group.id", group);
    let consumer: BaseConsumer = config.create().expect("a consumer");
    let mut list = TopicPartitionList::new();
    list.add_partition(topic, partition);
    // A group that nobody has joined yet has no coordinator.
    let Ok(found) = consumer.committed_offsets(list, PATIENCE) else { return 0 };
    match found.elements()[0].offset() {
        Offset::Offset(offset) => offset,
        _ => 0,
    }
}

fn stored(message: &BorrowedMessage<'_>) -> Stored {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let headers = message.headers().map_or(Vec::new(), |headers| {
        headers.iter().map(|header| (header.key.to_owned(), header.value.map(text).unwrap_or_default())).collect()
    });
    Stored { offset: message.offset(), value: message.payload().map(text), headers }
}
