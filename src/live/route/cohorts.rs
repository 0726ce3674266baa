//! Which lane a cohort has, for all routers and for good: a topic of one partition with one record a cohort.
//!
//! Routers that meet a cohort at once propose lanes without knowing of each other. The first record of a cohort holds, so
//! the log's order says which; nothing is sent to a lane before it was read there.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::ensure;
use fleet::{Cohort, Device};
use ingest::Error;
use ingest::identity::LaneTable;
use ingest::kafka::client::{Purpose, create, failed};
use ingest::kafka::config::KafkaConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};
use serde::{Deserialize, Serialize};

use super::outbox::{Outbox, Outgoing};
use super::partitions::Quiet;
use crate::live::stop::Stop;

/// Of the layout of records.
const VERSION: u32 = 1;
const POLL: Duration = Duration::from_millis(100);
/// Without a record, before it is tried again later.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Serialize, Deserialize)]
struct Placed {
    version: u32,
    /// Id of the readings topic: one that was made again has other lanes.
    readings: String,
    cohort: Cohort,
    lane: usize,
}

pub struct Cohorts<'c> {
    kafka: &'c KafkaConfig,
    readings: String,
    /// Offset of the next record.
    next: u64,
}

impl<'c> Cohorts<'c> {
    /// `readings`: the id of the readings topic.
    pub fn new(kafka: &'c KafkaConfig, readings: &str) -> Cohorts<'c> {
        Cohorts { kafka, readings: readings.to_owned(), next: 0 }
    }

    /// Gives every cohort of the devices the lane that all routers have for it.
    ///
    /// # Errors
    /// Kafka did not answer in time, or refuses. What was read until then holds.
    pub fn settle(&mut self, devices: &[Arc<Device>], table: &mut LaneTable, stop: &Stop) -> anyhow::Result<()> {
        self.read(table)?;
        let proposals = table.proposals(devices);
        if proposals.is_empty() {
            return Ok(());
        }
        // What is refused here is not the readings' trouble.
        let outbox = Outbox::new(self.kafka)?;
        for (cohort, lane) in &proposals {
            let (key, payload) = (cohort.to_string(), self.record(cohort, *lane)?);
            let message = Outgoing {
                topic: &self.kafka.cohorts,
                partition: Some(0),
                key: Some(key.as_bytes()),
                payload: Some(&payload),
                ..Outgoing::default()
            };
            outbox.send(message, || {
                ensure!(!stop.is_asked(), "asked to stop while Kafka takes nothing");
                Ok(())
            })?;
        }
        outbox.flush(PATIENCE)?;
        outbox.check()?;
        self.read(table)?;
        let missing = table.proposals(devices).len();
        if missing > 0 {
            let problem = format!("{missing} records that were taken do not come back yet");
            return Err(Error::Kafka { doing: self.reading(), problem, retry: true }.into());
        }
        tracing::info!(cohorts = proposals.len(), "cohorts that are new have their lanes");
        Ok(())
    }

    /// Up to the topic's end.
    fn read(&mut self, table: &mut LaneTable) -> Result<(), Error> {
        let consumer: BaseConsumer<Quiet> = create(self.kafka, Purpose::Reader { to_its_end: true }, Quiet)?;
        let mut list = TopicPartitionList::new();
        let from = Offset::Offset(i64::try_from(self.next).unwrap_or(i64::MAX));
        list.add_partition_offset(&self.kafka.cohorts, 0, from)
            .and_then(|()| consumer.assign(&list))
            .map_err(|error| failed(self.reading(), &error))?;
        let (mut since, mut problem) = (Instant::now(), None);
        while since.elapsed() < PATIENCE {
            match consumer.poll(POLL) {
                Some(Ok(record)) => {
                    let offset = u64::try_from(record.offset()).unwrap_or(0);
                    self.take(offset, record.payload().unwrap_or_default(), table);
                    since = Instant::now();
                }
                Some(Err(KafkaError::PartitionEOF(_))) => return Ok(()),
                Some(Err(error)) => {
                    let error = failed(self.reading(), &error);
                    if !error.retry() {
                        return Err(error);
                    }
                    problem = Some(error);
                }
                None => {}
            }
        }
        let no_end = || {
            let problem = "its end was not reached in time".to_owned();
            Error::Kafka { doing: self.reading(), problem, retry: true }
        };
        Err(problem.unwrap_or_else(no_end))
    }

    fn reading(&self) -> String {
        format!("reading the lanes of cohorts from `{}`", self.kafka.cohorts)
    }

    fn take(&mut self, offset: u64, payload: &[u8], table: &mut LaneTable) {
        let topic = &self.kafka.cohorts;
        if offset != self.next {
            let expected = self.next;
            tracing::error!(
                topic,
                offset,
                expected,
                "the topic of cohorts was made again, or lost records: routers may have other lanes for a cohort; \
                 keep it for good (retention.ms = -1), and start all routers again"
            );
        }
        self.next = offset + 1;
        match self.placed(payload, table.lanes()) {
            Ok(Some((cohort, lane))) => table.place(cohort, lane),
            Ok(None) => {}
            Err(problem) => tracing::error!(
                topic,
                offset,
                problem,
                "a record of the topic of cohorts cannot be used and is passed over; does something else write to it?"
            ),
        }
    }

    fn record(&self, cohort: &Cohort, lane: usize) -> anyhow::Result<Vec<u8>> {
        let readings = self.readings.clone();
        Ok(serde_json::to_vec(&Placed { version: VERSION, readings, cohort: cohort.clone(), lane })?)
    }

    /// `None`: of another readings topic.
    fn placed(&self, payload: &[u8], lanes: usize) -> Result<Option<(Cohort, usize)>, String> {
        let Placed { version, readings, cohort, lane } =
            serde_json::from_slice(payload).map_err(|error| error.to_string())?;
        if version != VERSION {
            return Err(format!("version `{version}`, expected `{VERSION}`; run the same release in all roles"));
        }
        if readings != self.readings {
            return Ok(None);
        }
        if lane >= lanes {
            return Err(format!("cohort `{cohort}` has lane `{lane}`, expected one of {lanes}"));
        }
        Ok(Some((cohort, lane)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cohort(device_type: &str) -> Cohort {
        Cohort { device_type: device_type.into(), segment: "s/1".into(), shard: 2 }
    }

    #[test]
    fn the_first_record_of_a_cohort_holds() {
        let kafka = KafkaConfig::default();
        let (mut ours, mut theirs) = (Cohorts::new(&kafka, "id"), Cohorts::new(&kafka, "id"));
        let log = [("lamp", 3), ("plug", 0), ("lamp", 1)]
            .map(|(device_type, lane)| ours.record(&cohort(device_type), lane).unwrap());
        let mut tables = [LaneTable::empty(4), LaneTable::empty(4)];
        for (reader, table) in [&mut ours, &mut theirs].into_iter().zip(&mut tables) {
            (0..).zip(&log).for_each(|(offset, record)| reader.take(offset, record, table));
            assert_eq!(reader.next, 3);
            assert_eq!((table.lane_of(&cohort("lamp")), table.lane_of(&cohort("plug"))), (3, 0));
        }
    }

    #[test]
    fn what_is_not_ours_is_passed_over() {
        let kafka = KafkaConfig::default();
        let ours = Cohorts::new(&kafka, "id");
        let record = |of: &str, lane| Cohorts::new(&kafka, of).record(&cohort("lamp"), lane).unwrap();
        assert_eq!(ours.placed(&record("another", 9), 4), Ok(None));
        assert_eq!(ours.placed(&record("id", 2), 4), Ok(Some((cohort("lamp"), 2))));
        let refused = |record: &[u8]| ours.placed(record, 4).unwrap_err();
        assert!(refused(&record("id", 4)).contains("lane `4`"));
        let whole = record("id", 2);
        refused(&whole[..whole.len() - 1]);
        refused(b"");
        let newer = String::from_utf8(whole).unwrap().replace("\"version\":1", "\"version\":2");
        assert!(refused(newer.as_bytes()).contains("version `2`"));
        let (mut ours, mut table) = (ours, LaneTable::empty(4));
        ours.take(0, b"nothing of ours", &mut table);
        ours.take(1, &record("another", 1), &mut table);
        ours.take(2, &record("id", 3), &mut table);
        assert_eq!((ours.next, table.lane_of(&cohort("lamp"))), (3, 3));
    }
}
