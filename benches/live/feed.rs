//! Messages into the raw topic: history as fast as it goes, or as it happens at a pace.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ingest::kafka::client::{Purpose, create};
use ingest::kafka::config::KafkaConfig;
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use rdkafka::types::RDKafkaErrorCode;

use crate::Failure;
use crate::records::{BEGIN, SECOND, flow, refused};
use crate::stand::{LATENESS, RAW, Stand};

/// Hosts that a scan tries.
const SCANNED: u32 = 80;

pub struct Feed {
    producer: ThreadedProducer<DefaultProducerContext>,
    partitions: i32,
    devices: u32,
    /// Seconds between a device's messages.
    period: i64,
}

impl Feed {
    pub fn new(stand: &Stand) -> Result<Feed, Failure> {
        let kafka = KafkaConfig { brokers: stand.brokers.clone(), ..KafkaConfig::default() };
        let producer = create(&kafka, Purpose::Writer, DefaultProducerContext)?;
        let (partitions, devices, period) = (i32::from(stand.partitions), stand.devices, stand.period);
        Ok(Feed { producer, partitions, devices, period })
    }

    /// History from [`BEGIN`] on, closed at its end; gives the end of its last window, in microseconds.
    pub fn history(&self, messages: u64) -> Result<i64, Failure> {
        let mut line = String::new();
        let step = self.period as f64 * SECOND as f64 / f64::from(self.devices);
        let mut at = BEGIN;
        for number in 0..messages {
            at = BEGIN + (number as f64 * step) as i64;
            self.send(&mut line, number, at)?;
        }
        let end = at - at.rem_euclid(60 * SECOND) + 60 * SECOND;
        self.complete(end + i64::from(LATENESS) * SECOND)?;
        self.producer.flush(Duration::from_secs(60))?;
        Ok(end)
    }

    /// History at `speed` times the pace at which it happened, for so long, with a device that scans its neighbours every
    /// minute of it; gives the event time it reached.
    pub fn at_speed(&self, speed: f64, lasting: Duration) -> Result<i64, Failure> {
        let mut line = String::new();
        let step = self.period as f64 * SECOND as f64 / f64::from(self.devices);
        let (began, mut number, mut minute) = (Instant::now(), 0, 0);
        while began.elapsed() < lasting {
            let due = began.elapsed().as_secs_f64() * speed * SECOND as f64;
            while (number as f64 * step) < due {
                self.send(&mut line, number, BEGIN + (number as f64 * step) as i64)?;
                number += 1;
                let at = (number as f64 * step) as i64;
                if at >= (minute * 60 + 30) * SECOND {
                    self.scan(&mut line, (minute * 37) as u32 % self.devices, BEGIN + at)?;
                    minute += 1;
                }
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        self.producer.flush(Duration::from_secs(60))?;
        Ok(BEGIN + (number as f64 * step) as i64)
    }

    fn scan(&self, line: &mut String, device: u32, at: i64) -> Result<(), Failure> {
        for neighbour in 0..SCANNED {
            refused(line, device, neighbour, at);
            self.put(BaseRecord::to(RAW).partition(device as i32 % self.partitions).payload(line.as_str()))?;
        }
        Ok(())
    }

    fn send(&self, line: &mut String, number: u64, at: i64) -> Result<(), Failure> {
        let device = (number % u64::from(self.devices)) as u32;
        flow(line, number, device, at);
        self.put(BaseRecord::to(RAW).partition(device as i32 % self.partitions).payload(line.as_str()))
    }

    /// A heartbeat in every partition.
    fn complete(&self, through: i64) -> Result<(), Failure> {
        let text = through.to_string();
        for partition in 0..self.partitions {
            let heartbeat = Header { key: "vedette-heartbeat", value: Some(text.as_bytes()) };
            let headers = OwnedHeaders::new().insert(heartbeat);
            self.put(BaseRecord::<(), str>::to(RAW).partition(partition).headers(headers))?;
        }
        Ok(())
    }

    fn put(&self, mut record: BaseRecord<'_, (), str>) -> Result<(), Failure> {
        loop {
            match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), refused)) => {
                    record = refused;
                    std::thread::sleep(Duration::from_millis(2));
                }
                Err((error, _)) => return Err(error.into()),
            }
        }
    }
}

/// Live records at a pace, on a thread of their own, until dropped.
pub struct Paced {
    stop: Arc<AtomicBool>,
    pub sent: Arc<AtomicU64>,
    thread: Option<std::thread::JoinHandle<Result<(), Failure>>>,
}

impl Paced {
    pub fn start(feed: Feed, rate: u64) -> Paced {
        let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (asked, count) = (Arc::clone(&stop), Arc::clone(&sent));
        let thread = std::thread::spawn(move || {
            let mut line = String::new();
            let (began, mut number) = (Instant::now(), 0);
            while !asked.load(Ordering::Relaxed) {
                let due = (began.elapsed().as_secs_f64() * rate as f64) as u64;
                while number < due {
                    feed.send(&mut line, number, micros())?;
                    number += 1;
                }
                count.store(number, Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(2));
            }
            Ok(feed.producer.flush(Duration::from_secs(30))?)
        });
        Paced { stop, sent, thread: Some(thread) }
    }

    pub fn finish(mut self) -> Result<u64, Failure> {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().map_err(|_| "the feeding thread panicked")??;
        }
        Ok(self.sent.load(Ordering::Relaxed))
    }
}

impl Drop for Paced {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Since 1970.
#[expect(clippy::disallowed_methods, reason = "live records are dated now")]
pub fn micros() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as i64)
}
