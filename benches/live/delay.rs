//! From when the broker had the mark that closes a window to when a consumer has the step's message, findings in it.
//!
//! Marks are dated by the broker (the readings topic has its append time), messages by when they are read here, on the
//! same machine. History is fed at sixty times its pace, so that every second closes a minute; at twelve times where several
//! processes insert into one ClickHouse on the same cores, which does not keep pace.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fleet::EventTime;
use ingest::kafka::client::{Purpose, create};
use ingest::kafka::committed::bounds;
use ingest::kafka::config::KafkaConfig;
use ingest::log::Message as Logged;
use rdkafka::consumer::{BaseConsumer, Consumer, DefaultConsumerContext};
use rdkafka::message::Message as _;
use rdkafka::{Offset, TopicPartitionList};

use crate::feed::{Feed, micros};
use crate::records::BEGIN;
use crate::stand::{Run, SELDOM, Service, Stand, closed, wait_lanes};
use crate::{Failure, Options, Report, quantile};

const LABEL: &str = "delay";
const SPEED: f64 = 60.0;
const SPEED_OF_SEVERAL: f64 = 12.0;
const LASTING: Duration = Duration::from_secs(60);
/// Twenty minutes of event time.
const LASTING_OF_SEVERAL: Duration = Duration::from_secs(110);
/// Event time that is not counted: caches fill, lanes are assigned.
const WARM_MICROS: i64 = 600_000_000;

/// A step's message: lane, end of its last tick, findings, and when it was read (milliseconds).
struct Told {
    lane: i32,
    through: i64,
    findings: usize,
    at: i64,
}

pub fn run(options: &Options, report: &mut Report) -> Result<(), Failure> {
    let stand = Stand::start(options, 4, 2_000, SELDOM)?;
    let lanes = stand.partitions;
    let toml = stand.prepare(&Run { label: LABEL, live: false, memory_seconds: 60 })?;
    let kafka = KafkaConfig { brokers: stand.brokers.clone(), group: "watching".to_owned(), ..KafkaConfig::default() };
    let over = Arc::new(AtomicBool::new(false));
    let reading = {
        let (kafka, over) = (kafka.clone(), Arc::clone(&over));
        std::thread::spawn(move || read_findings(&kafka, &over))
    };
    let mut services = stand.services(&toml, LABEL, "route,judge,act")?;
    wait_lanes(&mut services, usize::from(lanes), Duration::from_secs(60), |_| true)?;
    let (speed, lasting) =
        if options.processes > 1 { (SPEED_OF_SEVERAL, LASTING_OF_SEVERAL) } else { (SPEED, LASTING) };
    let rate = f64::from(stand.devices) / 10.0 * speed;
    let lasting = options.messages.map_or(lasting, |count| Duration::from_secs_f64(count as f64 / rate));
    let reached = Feed::new(&stand)?.at_speed(speed, lasting)?;
    // All but what is still open.
    wait_lanes(&mut services, usize::from(lanes), Duration::from_secs(60), closed(reached - 180_000_000))?;
    over.store(true, Ordering::Relaxed);
    let told = reading.join().map_err(|_| "the reading thread panicked")??;
    services.iter_mut().try_for_each(Service::stop)?;
    let mut all = Vec::new();
    let mut with_findings = Vec::new();
    let mut closings = BTreeMap::new();
    for lane in 0..i32::from(lanes) {
        closings.insert(lane, watermarks(&kafka, lane)?);
    }
    for step in told.iter().filter(|step| step.through > BEGIN + WARM_MICROS) {
        let marks = &closings[&step.lane];
        let place = marks.partition_point(|(through, _)| *through < step.through);
        let Some((_, appended)) = marks.get(place) else { continue };
        let delay = (step.at - appended) as f64;
        all.push(delay);
        if step.findings > 0 {
            with_findings.push(delay);
        }
    }
    if all.is_empty() {
        return Err("no step was measured; feed for longer with --messages".into());
    }
    report.say(format!(
        "{} devices at {speed} times their pace ({rate:.0} messages/s), {} process(es), {lanes} lanes, {:.0} windows a tick and lane",
        stand.devices,
        services.len(),
        f64::from(stand.devices) / f64::from(lanes)
    ));
    report.say("what,count,p50_ms,p99_ms,most_ms");
    let told = [("steps", all), ("steps with findings", with_findings)];
    for (what, mut delays) in told.into_iter().filter(|(_, delays)| !delays.is_empty()) {
        let (p50, p99, most) = (quantile(&mut delays, 0.5), quantile(&mut delays, 0.99), quantile(&mut delays, 1.0));
        report.say(format!("{what},{},{p50:.0},{p99:.0},{most:.0}", delays.len()));
    }
    report.say("goal: p99 at most 250 ms beyond the mark that closes the window");
    Ok(())
}

fn assigned(kafka: &KafkaConfig, topic: &str, partition: i32) -> Result<BaseConsumer<DefaultConsumerContext>, Failure> {
    let consumer: BaseConsumer<DefaultConsumerContext> =
        create(kafka, Purpose::Member { role: "bench" }, DefaultConsumerContext)?;
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, partition, Offset::Beginning)?;
    consumer.assign(&list)?;
    Ok(consumer)
}

fn read_findings(kafka: &KafkaConfig, over: &AtomicBool) -> Result<Vec<Told>, Failure> {
    let consumer = assigned(kafka, &format!("{LABEL}.findings"), 0)?;
    let mut told = Vec::new();
    while !over.load(Ordering::Relaxed) {
        let Some(record) = consumer.poll(Duration::from_millis(100)) else { continue };
        let record = record?;
        let at = micros() / 1_000;
        let message: serde_json::Value = serde_json::from_slice(record.payload().unwrap_or_default())?;
        let number = |name: &str| message[name].as_i64().ok_or_else(|| format!("no `{name}` in {message}"));
        told.push(Told {
            lane: number("lane")? as i32,
            through: number("through")?,
            findings: message["findings"].as_array().map_or(0, Vec::len),
            at,
        });
    }
    Ok(told)
}

/// How far a lane's log said it was complete, ascending, and when the broker had the mark that said so (milliseconds).
fn watermarks(kafka: &KafkaConfig, lane: i32) -> Result<Vec<(i64, i64)>, Failure> {
    let topic = format!("{LABEL}.readings");
    let consumer = assigned(kafka, &topic, lane)?;
    let (_, end) = bounds(&consumer, &topic, lane)?;
    let mut sources: BTreeMap<u32, Option<EventTime>> = BTreeMap::new();
    let mut found: Vec<(i64, i64)> = Vec::new();
    loop {
        let record = consumer.poll(Duration::from_secs(10)).ok_or("the readings log ends early")??;
        let payload = record.payload().unwrap_or_default();
        // The second byte tells batches, which are large, from the rest.
        if payload.get(1) == Some(&1)
            && let Logged::Mark(mark) = Logged::decode(payload)?
        {
            mark.roster.iter().for_each(|source| _ = sources.entry(*source).or_default());
            let known = sources.entry(mark.source).or_default();
            *known = (*known).max(Some(mark.through));
            let least = sources.values().copied().min().flatten();
            let appended = record.timestamp().to_millis().ok_or("a mark without a time")?;
            if let Some(least) = least
                && found.last().is_none_or(|(through, _)| *through < least.0)
            {
                found.push((least.0, appended));
            }
        }
        if record.offset() + 1 >= end as i64 {
            return Ok(found);
        }
    }
}
