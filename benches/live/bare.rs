//! The bare batch consume: librdkafka's batch call over all partitions of a topic, and nothing done with what comes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ingest::kafka::client::{Purpose, create};
use ingest::kafka::config::KafkaConfig;
use ingest::kafka::native::BatchQueue;
use ingest::kafka::topics::{admin, describe};
use rdkafka::consumer::{BaseConsumer, Consumer, DefaultConsumerContext};
use rdkafka::{Offset, TopicPartitionList};

use crate::Failure;
use crate::stand::mortal;
use crate::usage::cpu_seconds;

/// As `route` takes them.
const AT_ONCE: usize = 1_000;
const PATIENCE: Duration = Duration::from_secs(60);

/// In this process: prints the count, bytes, seconds and CPU seconds.
pub fn consume(brokers: &str, topic: &str, messages: u64) -> Result<(), Failure> {
    let kafka = KafkaConfig { brokers: brokers.to_owned(), group: "bare".to_owned(), ..KafkaConfig::default() };
    let described = describe(admin(&kafka)?.inner(), &[topic])?;
    let partitions = described.first().map(|found| found.partitions.clone()).unwrap_or_default();
    let consumer: Arc<BaseConsumer<DefaultConsumerContext>> =
        Arc::new(create(&kafka, Purpose::Member { role: "bare" }, DefaultConsumerContext)?);
    let mut queue = BatchQueue::new(Arc::clone(&consumer), AT_ONCE);
    let mut list = TopicPartitionList::new();
    for partition in partitions {
        queue.forwarder().forward(&consumer, topic, partition);
        list.add_partition_offset(topic, partition, Offset::Beginning)?;
    }
    let (cpu, began) = (cpu_seconds(std::process::id())?, Instant::now());
    consumer.assign(&list)?;
    let (mut count, mut bytes, mut last) = (0, 0, Instant::now());
    while count < messages {
        let taken = queue.consume(
            Duration::from_millis(100),
            |record| {
                count += 1;
                bytes += record.value.map_or(0, <[u8]>::len);
            },
            |_| {},
        );
        if taken > 0 {
            last = Instant::now();
        } else if last.elapsed() > PATIENCE {
            return Err(format!("{count} of {messages} messages came").into());
        }
    }
    let (seconds, cpu) = (began.elapsed().as_secs_f64(), cpu_seconds(std::process::id())? - cpu);
    println!("{count} {bytes} {seconds} {cpu}");
    Ok(())
}

pub struct Bare {
    pub bytes: f64,
    pub seconds: f64,
    pub cpu: f64,
}

/// In a process of its own, so that nothing else is counted.
pub fn run(brokers: &str, topic: &str, messages: u64) -> Result<Bare, Failure> {
    let output = mortal(&std::env::current_exe()?).args(["bare", brokers, topic, &messages.to_string()]).output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
    }
    let text = String::from_utf8(output.stdout)?;
    let numbers: Vec<f64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let [_, bytes, seconds, cpu] = numbers[..] else { return Err(format!("`{text}`").into()) };
    Ok(Bare { bytes, seconds, cpu })
}
