//! Records made by hand, so that what must come of them is known to the last one; and the readings log read back.

use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use fleet::EventTime;
use ingest::log::Message;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, Message as _, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};

use crate::kafka::Broker;
use crate::vedette::{free_address, succeed, text};

pub const RAW: &str = "vedette.raw";
pub const READINGS: &str = "vedette.readings";

/// A configuration of its own in a folder of its own.
pub struct Bench {
    pub folder: tempfile::TempDir,
    pub config: PathBuf,
    pub admin: String,
    pub store: PathBuf,
}

pub struct Options<'a> {
    /// Lines of `device_id,device_type,client_id`.
    pub inventory: &'a str,
    pub raw_partitions: u16,
    pub lanes: u16,
    pub window_seconds: u32,
    pub lateness_seconds: u32,
    pub live: bool,
    pub memory_seconds: u32,
    /// The embedded store's folder; in the bench's own when `None`.
    pub store: Option<PathBuf>,
}

impl Bench {
    pub fn new(broker: &Broker, options: &Options<'_>) -> Bench {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (config, admin) = (folder.path().join("vedette.toml"), free_address());
        let store = options.store.clone().unwrap_or_else(|| folder.path().join("store"));
        let inventory = format!("device_id,device_type,client_id\n{}\n", options.inventory);
        std::fs::write(folder.path().join("inventory.csv"), inventory).expect("the inventory is written");
        let toml = format!(
            "[ingest]\nwindow_seconds = {}\n[source]\ninventory = \"inventory.csv\"\n\
             [source.kafka]\nbrokers = \"{}\"\ninstance = \"one\"\nreadings_partitions = {}\n\
             [source.kafka.properties]\n\"session.timeout.ms\" = \"6000\"\n\"heartbeat.interval.ms\" = \"500\"\n\
             [[source.kafka.topics]]\nname = \"{RAW}\"\nformat = \"native-json\"\nlive = {}\nlateness_seconds = {}\n\
             [run]\nadmin = \"{admin}\"\nmemory_seconds = {}\n[store]\npath = \"{}\"\n",
            options.window_seconds,
            broker.bootstrap,
            options.lanes,
            options.live,
            options.lateness_seconds,
            options.memory_seconds,
            store.display(),
        );
        std::fs::write(&config, toml).expect("the configuration is written");
        let raw = options.raw_partitions.to_string();
        succeed(&["topics", "create", "--config", text(&config), "--raw-partitions", &raw]);
        Bench { folder, config, admin, store }
    }

    pub fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }
}

pub struct Sender(ThreadedProducer<DefaultProducerContext>);

impl Sender {
    pub fn new(broker: &Broker) -> Sender {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &broker.bootstrap).set("linger.ms", "5").set("acks", "all");
        config.set("compression.type", "lz4");
        Sender(config.create().expect("a producer"))
    }

    pub fn send(&self, partition: i32, value: &[u8]) {
        self.put(BaseRecord::<(), [u8]>::to(RAW).partition(partition).payload(value));
    }

    /// Says that the partition is complete up to `seconds`, as `vedette feed` does.
    pub fn heartbeat(&self, partition: i32, seconds: i64) {
        let text = (seconds * 1_000_000).to_string();
        let headers = OwnedHeaders::new().insert(Header { key: "vedette-heartbeat", value: Some(text.as_bytes()) });
        self.put(BaseRecord::<(), [u8]>::to(RAW).partition(partition).headers(headers));
    }

    fn put(&self, mut record: BaseRecord<'_, (), [u8]>) {
        loop {
            match self.0.send(record) {
                Ok(()) => return,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), refused)) => record = refused,
                Err((error, _)) => panic!("`{RAW}` takes no records: {error}"),
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub fn flush(&self) {
        self.0.flush(Duration::from_secs(60)).expect("all records arrived");
    }
}

/// A message of `client` at `seconds`.
pub fn message(client: &str, seconds: f64) -> String {
    format!(
        r#"{{"kind":"message","time":{seconds:.3},"client_id":"{client}","topic":"site/a/{client}","payload_bytes":64}}"#
    )
}

#[expect(clippy::disallowed_methods, reason = "records of the present")]
pub fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs_f64()
}

/// Readings of one message of the readings log.
pub struct Logged {
    pub offset: u64,
    pub devices: Vec<String>,
    pub times: Vec<EventTime>,
}

/// The batches of one lane's log from an offset on, up to what is there now.
pub fn logged(broker: &Broker, lane: i32, from: u64) -> Vec<Logged> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &broker.bootstrap).set("group.id", "test").set("enable.auto.commit", "false");
    let consumer: BaseConsumer = config.create().expect("a consumer");
    let (_, end) = consumer.fetch_watermarks(READINGS, lane, Duration::from_secs(20)).expect("the broker answers");
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(READINGS, lane, Offset::Offset(from as i64)).expect("an offset");
    consumer.assign(&list).expect("a partition");
    let (mut batches, until) = (Vec::new(), Instant::now() + Duration::from_secs(30));
    let mut next = from as i64;
    while next < end {
        assert!(Instant::now() < until, "lane {lane}: nothing after {next} of {end}");
        let Some(record) = consumer.poll(Duration::from_millis(200)) else { continue };
        let record = record.expect("a record");
        next = record.offset() + 1;
        let decoded = Message::decode(record.payload().unwrap_or_default()).expect("it is of the readings log");
        if let Message::Batch { devices, readings, .. } = decoded {
            batches.push(Logged {
                offset: record.offset() as u64,
                devices: devices.iter().map(ToString::to_string).collect(),
                times: readings.iter().map(|reading| reading.time).collect(),
            });
        }
    }
    batches
}
