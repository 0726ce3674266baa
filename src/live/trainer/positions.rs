//! How far the lanes are, asked of Kafka: what they committed.

use std::time::{Duration, Instant};

use anyhow::anyhow;
use fleet::{EventTime, MICROS_PER_SECOND, Resume};
use ingest::kafka::client::{Purpose, create};
use ingest::kafka::committed::{bounds, committed};
use ingest::kafka::config::KafkaConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};

use crate::live::assignment::Member;
use crate::live::judge::position::LanePosition;
use crate::live::readings_topic;

/// Over so long the speed of event time is measured.
const SPEED_OVER: Duration = Duration::from_millis(1_500);
/// What lanes may close before an announcement has reached all of them, in seconds of the clock.
const AHEAD_SECONDS: f64 = 10.0;

/// Asks for the groups `judge` and `act` without being a member of them.
pub struct Positions {
    kafka: KafkaConfig,
    judge: BaseConsumer<Member>,
    act: BaseConsumer<Member>,
}

impl Positions {
    pub fn new(kafka: &KafkaConfig) -> anyhow::Result<Positions> {
        let asking = |role| create(kafka, Purpose::Member { role }, Member::default());
        Ok(Positions { kafka: kafka.clone(), judge: asking("judge")?, act: asking("act")? })
    }

    /// Partitions of the readings log.
    pub fn partitions(&self) -> anyhow::Result<Vec<i32>> {
        Ok(readings_topic(self.judge.client(), &self.kafka)?.partitions)
    }

    /// After each lane's last durable step; `None` for one that never committed.
    pub fn lanes(&self) -> anyhow::Result<Vec<Option<Resume>>> {
        let mut lanes = Vec::new();
        for lane in self.partitions()? {
            let found = committed(&self.judge, &self.kafka.readings, lane)?;
            lanes.push(match found.offset {
                Some(_) => {
                    let position: LanePosition =
                        found.metadata.parse().map_err(|problem: String| anyhow!("lane {lane}: {problem}"))?;
                    Some(position.step)
                }
                None => None,
            });
        }
        Ok(lanes)
    }

    /// Up to where every lane has stored its windows; `None` while one has stored nothing.
    pub fn closed(&self) -> anyhow::Result<Option<EventTime>> {
        let closed = self.lanes()?.into_iter().map(|lane| lane.map(|resume| resume.closed_through));
        Ok(closed.min().flatten().filter(|closed| *closed > EventTime::MIN))
    }

    /// Messages on the findings topic until now.
    pub fn published(&self) -> anyhow::Result<u64> {
        Ok(bounds(&self.act, &self.kafka.findings, 0)?.1)
    }

    /// Of those, how many `act` has taken for good.
    pub fn acted_on(&self) -> anyhow::Result<u64> {
        let found = committed(&self.act, &self.kafka.findings, 0)?;
        let (first, _) = bounds(&self.act, &self.kafka.findings, 0)?;
        Ok(found.offset.unwrap_or(first))
    }

    /// A window's end that no lane will have closed before it has read what is announced now: ten seconds ahead of the
    /// furthest, at the speed of event time. Where nothing was closed yet, the beginning of time.
    pub fn ahead(&self, width: i64) -> anyhow::Result<EventTime> {
        let furthest = || -> anyhow::Result<Option<EventTime>> {
            Ok(self.lanes()?.into_iter().flatten().map(|resume| resume.closed_through).max())
        };
        let (Some(first), began) = (furthest()?, Instant::now()) else { return Ok(EventTime::MIN) };
        std::thread::sleep(SPEED_OVER);
        let last = furthest()?.unwrap_or(first);
        let speed = last.seconds_since(first).max(0.0) / began.elapsed().as_secs_f64();
        let ahead = (AHEAD_SECONDS * speed * MICROS_PER_SECOND as f64) as i64;
        Ok(EventTime(last.0.saturating_add(ahead.max(2 * width))).window_end(width))
    }
}
