//! The role `judge`: the readings log to windows, evidence and findings. One thread polls, and never asks the store; a lane
//! that is full has its partition paused; lanes that fail are begun again.

mod begin;
mod keep;
mod lane;
pub mod lease;
mod members;
pub mod position;
pub mod publisher;
mod sources;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use crossbeam_channel::{Sender, TrySendError, bounded};
use detect::RuleSet;
use ingest::kafka::client::{Purpose, create};
use ingest::kafka::committed::{bounds, committed};
use opentelemetry::KeyValue;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message as _;
use rdkafka::{Offset, TopicPartitionList};
use store::{Home, Store};

use crate::config::Config;
use crate::lane::Shelf;
use crate::live::assignment::{Change, Member, leave};
use crate::live::judge::begin::Beginning;
use crate::live::judge::keep::Keep;
use crate::live::judge::lane::ToLane;
use crate::live::judge::lease::Lease;
use crate::live::judge::position::LanePosition;
use crate::live::judge::publisher::Publisher;
use crate::live::logs::EachMinute;
use crate::live::metrics::metrics;
use crate::live::status::Status;
use crate::live::stop::Stop;
use crate::live::trainer::schedule::{self, FirstLane};
use crate::live::{Role, may_pass};
use crate::rules::CompiledRules;

const POLL: Duration = Duration::from_millis(50);
/// Entries taken in one turn.
const AT_ONCE: usize = 1_024;
/// What a lane may have waiting; its partition is paused beyond, and resumed at a quarter. A pause throws away what was
/// fetched ahead, so it must be rare also where entries are small, as the devices of an inventory are.
const WAITING: usize = 65_536;
const WAITING_BYTES: usize = 16 << 20;
/// KiB, unless the operator says otherwise.
const FETCHED_AHEAD: &str = "16384";
/// Between a lane's failure and its new beginning: what somebody must mend, and what passes by itself.
const BEGIN_AGAIN: Duration = Duration::from_secs(15);
const PASSES: Duration = Duration::from_secs(2);

type Leases = Arc<Mutex<BTreeMap<i32, Lease>>>;

pub struct JudgeParts {
    pub store: Arc<dyn Home>,
    pub shelf: Shelf,
    pub status: Status,
}

pub fn run(config: &Config, parts: JudgeParts, stop: &Stop) -> anyhow::Result<()> {
    let first_lane = FirstLane::default();
    schedule::start(config, Arc::clone(&parts.store), &first_lane, stop)?;
    let judge = Judging::start(Arc::new(config.clone()), parts)?;
    let consumer = Arc::clone(&judge.consumer);
    let done = judge.work(&first_lane, stop);
    leave(consumer, stop);
    done
}

struct Judging {
    config: Arc<Config>,
    parts: JudgeParts,
    rules: Arc<CompiledRules>,
    consumer: Arc<BaseConsumer<Member>>,
    publisher: Publisher,
    leases: Leases,
    lanes: BTreeMap<i32, Running>,
    /// Lanes that failed, and when to begin again.
    failed: BTreeMap<i32, Instant>,
    /// Lines about a lane's failures.
    said: BTreeMap<i32, EachMinute>,
}

struct Running {
    input: Sender<ToLane>,
    overflow: VecDeque<ToLane>,
    paused: bool,
    lease: Lease,
    thread: JoinHandle<anyhow::Result<()>>,
    /// Offset it began at.
    from: u64,
    /// Offset of the next entry.
    next: u64,
}

impl Judging {
    fn start(config: Arc<Config>, parts: JudgeParts) -> anyhow::Result<Judging> {
        let kafka = &config.source.kafka;
        let leases: Leases = Arc::default();
        let member = Member::default();
        let of_member = Arc::clone(&leases);
        member.before_revoked(Box::new(move |partitions| {
            let leases = of_member.lock().unwrap_or_else(PoisonError::into_inner);
            for (_, partition) in partitions {
                if let Some(lease) = leases.get(partition) {
                    lease.withdraw();
                }
            }
        }));
        let mut of_judge = kafka.clone();
        of_judge.properties.entry("queued.max.messages.kbytes".to_owned()).or_insert_with(|| FETCHED_AHEAD.to_owned());
        let consumer: Arc<BaseConsumer<Member>> =
            Arc::new(create(&of_judge, Purpose::Member { role: "judge" }, member)?);
        consumer.subscribe(&[&kafka.readings]).context("subscribing to the readings log")?;
        Ok(Judging {
            publisher: Publisher::new(kafka)?,
            config,
            parts,
            rules: Arc::new(CompiledRules::compile(RuleSet::shipped()?)?),
            consumer,
            leases,
            lanes: BTreeMap::new(),
            failed: BTreeMap::new(),
            said: BTreeMap::new(),
        })
    }

    fn work(mut self, first_lane: &FirstLane, stop: &Stop) -> anyhow::Result<()> {
        while !stop.is_asked() {
            first_lane.is_here(self.lanes.contains_key(&0));
            if let Err(error) = self.turn() {
                self.give_up();
                return Err(error);
            }
        }
        first_lane.is_here(false);
        self.finish(stop);
        Ok(())
    }

    fn turn(&mut self) -> anyhow::Result<()> {
        let consumer = Arc::clone(&self.consumer);
        // Up to as many as one lane takes, before the lanes are looked at again.
        for taken in 0..AT_ONCE {
            let polled = consumer.poll(if taken == 0 { POLL } else { Duration::ZERO });
            self.changes();
            match polled {
                None => break,
                Some(Ok(record)) => {
                    let timestamp = record.timestamp().to_millis();
                    let payload = record.payload().unwrap_or_default().to_vec();
                    let offset = u64::try_from(record.offset()).unwrap_or(0);
                    self.follow(record.partition(), offset);
                    self.dispatch(record.partition(), ToLane::Record { offset, timestamp, payload });
                }
                // The client's context has told of it.
                Some(Err(_)) => {}
            }
        }
        self.drain();
        self.watch();
        Ok(self.consumer.context().check()?)
    }

    fn changes(&mut self) {
        for change in self.consumer.context().changes() {
            match change {
                Change::Assigned(partitions) => {
                    for (_, partition) in partitions {
                        self.begin_or_retry(partition);
                        // librdkafka keeps a pause when a partition goes and comes again; and resuming what is not
                        // paused would drop what was fetched.
                        if self.lanes.contains_key(&partition) {
                            self.pause(partition);
                            self.resume(partition);
                        }
                    }
                    self.parts.status.joined(Role::Judge);
                }
                Change::Revoked(partitions) => {
                    for (_, partition) in partitions {
                        self.failed.remove(&partition);
                        if let Some(running) = self.lanes.remove(&partition) {
                            // Its lease is withdrawn: it ends by itself, and nothing it still does counts.
                            tracing::info!(lane = partition, "lane given up");
                            drop(running.input);
                        }
                        self.leases.lock().unwrap_or_else(PoisonError::into_inner).remove(&partition);
                        self.parts.status.lane_gone(partition);
                    }
                }
            }
        }
    }

    fn begin_or_retry(&mut self, partition: i32) {
        if let Err(error) = self.begin(partition) {
            self.fail(partition, &error.context("it cannot begin"));
        }
    }

    /// The lane's partition waits, and the lane begins again in a while.
    fn fail(&mut self, partition: i32, error: &anyhow::Error) {
        let passes = may_pass(error);
        let failure = format!("{error:#}");
        if self.said.entry(partition).or_default().is_due() {
            if passes {
                tracing::warn!(lane = partition, failure, "a lane waits; it begins again in a while");
            } else {
                tracing::error!(lane = partition, failure, "a lane stands still; it begins again in a while");
            }
        }
        self.parts.status.lane_failed(partition, failure);
        self.pause(partition);
        let due = Instant::now() + if passes { PASSES } else { BEGIN_AGAIN };
        self.failed.insert(partition, due);
    }

    fn begin(&mut self, partition: i32) -> anyhow::Result<()> {
        let topic = &self.config.source.kafka.readings;
        let mark = committed(&self.consumer, topic, partition)?;
        let (first, end) = bounds(&self.consumer, topic, partition)?;
        let position: Option<LanePosition> = match mark.offset {
            Some(_) => Some(mark.metadata.parse().map_err(|problem: String| anyhow!(problem))?),
            None => None,
        };
        let mut offset = mark.offset.unwrap_or(first);
        if offset < first {
            self.lost(partition, offset, first);
            offset = first;
        }
        let beginning = Beginning {
            lane: partition,
            from: offset,
            position,
            log_is_whole: first == 0,
            is_level: offset >= end,
            store: Arc::clone(&self.parts.store),
            shelf: self.parts.shelf.clone(),
            rules: Arc::clone(&self.rules),
            config: Arc::clone(&self.config),
        };
        let lease = Lease::default();
        let keep = Keep {
            lane: partition,
            topic: topic.clone(),
            store: Arc::clone(&self.parts.store) as Arc<dyn Store>,
            publisher: self.publisher.clone(),
            consumer: Arc::clone(&self.consumer),
            lease: lease.clone(),
            offset,
            position: position.unwrap_or(LanePosition::START),
            has_stored: false,
            max_episodes: self.config.detect.max_episodes_per_device,
            said: EachMinute::default(),
        };
        let (input, entries) = bounded(WAITING);
        let of_thread = lease.clone();
        let thread = std::thread::Builder::new()
            .name(format!("lane-{partition}"))
            .spawn(move || beginning.begin(&of_thread)?.run(&entries, keep, &of_thread))?;
        self.leases.lock().unwrap_or_else(PoisonError::into_inner).insert(partition, lease.clone());
        self.parts.status.lane_runs(partition, lease.clone());
        self.lanes.insert(
            partition,
            Running { input, overflow: VecDeque::new(), paused: false, lease, thread, from: offset, next: offset },
        );
        Ok(())
    }

    /// Nothing but retention leaves a gap in the readings log.
    fn follow(&mut self, partition: i32, offset: u64) {
        let Some(running) = self.lanes.get_mut(&partition) else { return };
        let expected = std::mem::replace(&mut running.next, offset + 1);
        if expected < offset {
            self.lost(partition, expected, offset);
        }
    }

    fn lost(&self, lane: i32, from: u64, to: u64) {
        let (topic, lost) = (&self.config.source.kafka.readings, to - from);
        tracing::error!(
            lane,
            lost,
            from,
            to,
            "retention deleted entries of the readings log before they were judged; going on from the earliest"
        );
        metrics().retention_lost.add(lost, &[KeyValue::new("topic", topic.clone())]);
    }

    fn dispatch(&mut self, partition: i32, message: ToLane) {
        let Some(running) = self.lanes.get_mut(&partition) else { return };
        running.offer(message);
        if !running.overflow.is_empty() && !running.paused {
            running.paused = true;
            running.lease.note_paused(true);
            self.pause(partition);
        }
    }

    fn drain(&mut self) {
        let mut resume = Vec::new();
        for (partition, running) in &mut self.lanes {
            running.drain();
            if running.paused
                && running.overflow.is_empty()
                && running.input.len() <= WAITING / 4
                && running.lease.waiting() <= WAITING_BYTES / 4
            {
                running.paused = false;
                running.lease.note_paused(false);
                resume.push(*partition);
            }
        }
        resume.into_iter().for_each(|partition| self.resume(partition));
    }

    /// Lanes that ended by themselves failed: what they were at is done again from what was committed.
    fn watch(&mut self) {
        let ended: Vec<i32> =
            self.lanes.iter().filter(|(_, running)| running.thread.is_finished()).map(|(number, _)| *number).collect();
        for partition in ended {
            let Some(running) = self.lanes.remove(&partition) else { continue };
            running.lease.withdraw();
            match running.thread.join() {
                Ok(Ok(())) => {}
                Ok(Err(error)) => self.fail(partition, &error),
                Err(_) => {
                    self.fail(partition, &anyhow!("it panicked; this is a defect of vedette, please report it"));
                }
            }
        }
        // One a turn: each asks the brokers, and meanwhile nobody polls.
        let now = Instant::now();
        let due = self.failed.iter().find(|(_, due)| **due <= now).map(|(partition, _)| *partition);
        if let Some(partition) = due {
            self.failed.remove(&partition);
            self.begin_or_retry(partition);
            let Some(running) = self.lanes.get(&partition) else { return };
            let from = Offset::Offset(i64::try_from(running.from).unwrap_or(i64::MAX));
            let topic = &self.config.source.kafka.readings;
            match self.consumer.seek(topic, partition, from, Duration::from_secs(10)) {
                Ok(()) => self.resume(partition),
                Err(error) => {
                    // It must not read on from elsewhere.
                    if let Some(running) = self.lanes.remove(&partition) {
                        running.lease.withdraw();
                    }
                    let error = ingest::kafka::client::failed("reading a lane from where it was", &error);
                    self.fail(partition, &error.into());
                }
            }
        }
    }

    fn resume(&self, partition: i32) {
        if let Err(error) = self.consumer.resume(&self.list(partition)) {
            tracing::warn!(lane = partition, %error, "the partition cannot be resumed");
        }
    }

    fn pause(&self, partition: i32) {
        if let Err(error) = self.consumer.pause(&self.list(partition)) {
            tracing::warn!(lane = partition, %error, "the partition cannot be paused");
        }
    }

    fn list(&self, partition: i32) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        list.add_partition(&self.config.source.kafka.readings, partition);
        list
    }

    /// Lets go of all lanes as they are: what they did not commit is done again.
    fn give_up(mut self) {
        self.failed.keys().for_each(|lane| self.parts.status.lane_gone(*lane));
        for (partition, running) in std::mem::take(&mut self.lanes) {
            running.lease.withdraw();
            drop(running.input);
            if running.thread.join().is_err() {
                tracing::error!(lane = partition, "a lane panicked");
            }
            self.parts.status.lane_gone(partition);
        }
    }

    fn finish(mut self, stop: &Stop) {
        let mut to_tell: Vec<i32> = self.lanes.keys().copied().collect();
        // What waits before it was not judged; it is read again.
        self.lanes.values_mut().for_each(|running| running.overflow.clear());
        let mut hurried = false;
        while self.lanes.values().any(|running| !running.thread.is_finished()) {
            to_tell.retain(|lane| matches!(self.lanes[lane].input.try_send(ToLane::Stop), Err(TrySendError::Full(_))));
            if stop.is_pressing() {
                self.lanes.values().for_each(|running| running.lease.withdraw());
                hurried = true;
            }
            if stop.is_overdue() {
                break;
            }
            std::thread::sleep(POLL / 5);
        }
        if hurried {
            tracing::warn!("not all lanes could store what was in hand; it is read again at the next start");
        }
        for (partition, running) in std::mem::take(&mut self.lanes) {
            drop(running.input);
            if !running.thread.is_finished() {
                continue;
            }
            match running.thread.join() {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::error!(lane = partition, error = format!("{error:#}"), "a lane ended badly"),
                Err(_) => tracing::error!(lane = partition, "a lane panicked"),
            }
        }
        self.consumer.unsubscribe();
        tracing::info!("judge has stopped");
    }
}

impl Running {
    fn offer(&mut self, message: ToLane) {
        self.overflow.push_back(message);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(message) = self.overflow.pop_front() {
            let bytes = message.bytes();
            if self.lease.waiting() > WAITING_BYTES {
                self.overflow.push_front(message);
                return;
            }
            self.lease.handed(bytes);
            // A lane that hung up has failed, and is begun again from what it committed.
            if let Err(TrySendError::Full(message)) = self.input.try_send(message) {
                self.lease.taken(bytes);
                self.overflow.push_front(message);
                return;
            }
        }
    }
}
