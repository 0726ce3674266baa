//! The role `act`: all lanes' findings in the order of event time, joined into incidents, answered, stored.
//!
//! The findings topic has one partition, so one process works and the others stand by. Like a lane it is a function of its
//! log: what it stores is named by the log's offset, and what it remembers is stored now and then.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use fleet::memory::Format;
use fleet::{Device, DeviceKey, EventTime};
use ingest::Inventory;
use ingest::kafka::client::{Purpose, create};
use ingest::kafka::committed::{ToCommit, bounds, commit, committed};
use ingest::kafka::config::KafkaConfig;
use ingest::log::DeviceRecord;
use opentelemetry::KeyValue;
use opentelemetry::trace::{SpanContext, SpanKind};
use rdkafka::client::{Client, ClientContext};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;
use store::Store;

use crate::act::{Act, ActMemory, type_sizes};
use crate::config::Config;
use crate::live::assignment::{Change, Member};
use crate::live::judge::lease::Lease;
use crate::live::logs::{EachMinute, are_brokers_away};
use crate::live::message::{Parts, StepMessage};
use crate::live::retry::until_it_works;
use crate::live::status::Status;
use crate::live::stop::Stop;
use crate::live::trace::{PARENT, Part, acted, finding_ids, origin};
use crate::live::{Role, now, our_topic, readings_topic};

const POLL: Duration = Duration::from_millis(200);
/// The store's name for what this role remembers.
const MEMORY: &str = "act";
const FORMAT: Format = Format { of: "role `act`", version: 2 };
/// Findings that wait to be told and whose origin is known, at most.
const ORIGINS: usize = 4_096;

/// The findings log's part of the names of what is stored: a log that is made again has other messages at the same offsets.
pub fn log_name<C: ClientContext>(client: &Client<C>, kafka: &KafkaConfig) -> anyhow::Result<String> {
    Ok(fleet::id::stable_id(&[&our_topic(client, &kafka.findings)?.id]))
}

fn name(log: &str, offset: u64) -> String {
    format!("act-{log}-{offset}")
}

/// Whether nobody stores anything under this name any more: `taken` messages of the log were taken for good.
pub fn is_settled(name: &str, log: &str, taken: u64) -> bool {
    let Some((of, offset)) = name.strip_prefix("act-").and_then(|rest| rest.rsplit_once('-')) else { return false };
    of != log || offset.parse::<u64>().is_ok_and(|offset| offset < taken)
}

pub fn run(config: &Config, store: &Arc<dyn Store>, status: &Status, stop: &Stop) -> anyhow::Result<()> {
    let kafka = &config.source.kafka;
    let member = Member::default();
    let lease = Arc::new(std::sync::Mutex::new(Lease::default()));
    let of_member = Arc::clone(&lease);
    member.before_revoked(Box::new(move |partitions| {
        if partitions.is_empty() {
            return;
        }
        of_member.lock().unwrap_or_else(std::sync::PoisonError::into_inner).withdraw();
    }));
    let consumer: BaseConsumer<Member> = create(kafka, Purpose::Member { role: "act" }, member)?;
    consumer.subscribe(&[&kafka.findings]).context("subscribing to the findings")?;
    let mut acting: Option<Acting<'_>> = None;
    while !stop.is_asked() {
        let polled = consumer.poll(POLL);
        for change in consumer.context().changes() {
            let is_assigned = matches!(change, Change::Assigned(_));
            match change {
                // With cooperative rebalancing a member is also told that nothing changed for it.
                Change::Assigned(partitions) | Change::Revoked(partitions) if partitions.is_empty() => {}
                Change::Assigned(_) => {
                    let fresh = Lease::default();
                    *lease.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = fresh.clone();
                    acting = Some(Acting::begin(config, store, &consumer, fresh, stop)?);
                }
                Change::Revoked(_) => {
                    acting = None;
                    tracing::info!("act stands by");
                }
            }
            if is_assigned {
                status.joined(Role::Act);
            }
        }
        consumer.context().check()?;
        match polled {
            Some(Ok(record)) => {
                let Some(acting) = &mut acting else { continue };
                let offset = u64::try_from(record.offset()).unwrap_or(0);
                acting.take(offset, record.payload().unwrap_or_default(), sent_from(&record))?;
            }
            // The client's context has told of it.
            Some(Err(_)) => {}
            None => {}
        }
        if let Some(acting) = &mut acting {
            acting.commit_if_due(&consumer, false)?;
        }
    }
    if let Some(acting) = &mut acting {
        acting.commit_if_due(&consumer, true)?;
    }
    consumer.unsubscribe();
    tracing::info!("act has stopped");
    Ok(())
}

#[derive(Serialize, Deserialize)]
struct Memory {
    act: ActMemory,
    devices: Vec<DeviceRecord>,
    /// By lane: everything up to here was taken.
    closed: BTreeMap<usize, EventTime>,
    next: u64,
}

struct Acting<'c> {
    config: &'c Config,
    store: Arc<dyn Store>,
    lease: Lease,
    stop: Stop,
    act: Act,
    log: String,
    lanes: usize,
    /// Whom findings named so far: as many as there are devices.
    devices: BTreeMap<SmolStr, DeviceRecord>,
    closed: BTreeMap<usize, EventTime>,
    parts: Parts,
    /// Messages that are none of ours, since that was last said.
    foreign: u64,
    foreign_said: EachMinute,
    /// By finding: the span that published it, until it is told.
    origins: BTreeMap<String, SpanContext>,
    next: u64,
    /// `None`: not in this life. Soon, as of a lane.
    remembered: Option<Instant>,
    remembered_next: u64,
}

impl<'c> Acting<'c> {
    fn begin(
        config: &'c Config,
        store: &Arc<dyn Store>,
        consumer: &BaseConsumer<Member>,
        lease: Lease,
        stop: &Stop,
    ) -> anyhow::Result<Acting<'c>> {
        let kafka = &config.source.kafka;
        let lanes = readings_topic(consumer.client(), kafka)?.partitions.len();
        let log = log_name(consumer.client(), kafka)?;
        let mut act = Act::new(config, lanes, type_sizes(inventory(config)?.devices()), Arc::clone(store));
        let mark = committed(consumer, &kafka.findings, 0)?;
        let (first, _) = bounds(consumer, &kafka.findings, 0)?;
        let mut closed = BTreeMap::new();
        let mut devices = BTreeMap::new();
        let mut next = mark.offset.unwrap_or(first);
        if let Some(tick) = mark.metadata.strip_prefix("v1 memory=") {
            let tick = EventTime(tick.parse().with_context(|| format!("`{tick}` is no memory's name"))?);
            let bytes = store
                .read_memory(MEMORY, tick)?
                .with_context(|| format!("what `act` remembers at {tick} is not in the store; was it emptied?"))?;
            let memory: Memory = FORMAT.load(&bytes)?;
            act.recall(&memory.act)?;
            devices.extend(memory.devices.into_iter().map(|record| (record.id.clone(), record)));
            closed = memory.closed;
            next = memory.next;
        }
        for record in devices.values() {
            act.meet(device(record));
        }
        tracing::info!(from = next, "act begins");
        let remembered_next = next;
        Ok(Acting {
            config,
            store: Arc::clone(store),
            lease,
            stop: stop.clone(),
            act,
            log,
            lanes,
            devices,
            closed,
            parts: Parts::default(),
            foreign: 0,
            foreign_said: EachMinute::default(),
            origins: BTreeMap::new(),
            next,
            remembered: None,
            remembered_next,
        })
    }

    fn take(&mut self, offset: u64, payload: &[u8], from: Option<SpanContext>) -> anyhow::Result<()> {
        let since = now();
        if offset < self.next {
            return Ok(());
        }
        self.next = offset + 1;
        let message =
            StepMessage::decode(payload, self.lanes).with_context(|| format!("the findings log at offset {offset}"))?;
        let message = match message {
            Ok(message) => message,
            Err(foreign) => {
                self.foreign += 1;
                if self.foreign_said.is_due() {
                    let messages = std::mem::take(&mut self.foreign);
                    tracing::error!(offset, messages, "a message of the findings topic is passed over: {foreign}");
                }
                return Ok(());
            }
        };
        let closed = self.closed.entry(message.lane).or_insert(EventTime::MIN);
        // Published again by a lane that could not commit, or by one that lost its place.
        if message.through <= *closed {
            return Ok(());
        }
        let Some(message) = self.parts.join(message) else { return Ok(()) };
        *closed = message.through;
        let name = name(&self.log, offset);
        for record in message.devices {
            self.act.meet(device(&record));
            self.devices.insert(record.id.clone(), record);
        }
        let lane = message.lane;
        let taken = finding_ids(message.findings.iter());
        let mut origins: Vec<SpanContext> = Vec::new();
        if let Some(from) = from.filter(|_| !message.findings.is_empty()) {
            if self.origins.len() + message.findings.len() > ORIGINS {
                self.origins.clear();
            }
            let ids = message.findings.iter().map(|finding| finding.finding_id.to_string());
            self.origins.extend(ids.map(|id| (id, from.clone())));
            origins.push(from);
        }
        let is_news = !message.findings.is_empty();
        let answered = self.act.take(lane, message.through, message.findings);
        if answered.is_empty() && !is_news {
            return Ok(());
        }
        for finding in &answered.findings {
            let known = self.origins.remove(finding.finding_id.as_str());
            origins.extend(known.filter(|origin| !origins.contains(origin)));
        }
        let told = finding_ids(answered.findings.iter());
        // Incidents end without anybody finding anything; that is no trace of a finding.
        let is_traced = is_news || !answered.findings.is_empty();
        let trace = if is_traced { acted(since, &origins, taken, told, lane, offset) } else { Part::none() };
        let _entered = trace.enter();
        if answered.is_empty() {
            return Ok(());
        }
        let count = |many: usize| many as i64;
        let _storing = trace.within(
            "store",
            SpanKind::Client,
            [
                KeyValue::new("findings", count(answered.findings.len())),
                KeyValue::new("actions", count(answered.actions.len())),
                KeyValue::new("incidents", count(answered.incidents.len())),
            ],
        );
        let store = &self.store;
        let stored = until_it_works("store findings", &|| self.is_wanted(), || {
            if !answered.findings.is_empty() {
                store.write_findings(&name, &answered.findings)?;
            }
            if !answered.actions.is_empty() {
                store.write_actions(&name, &answered.actions)?;
            }
            store.write_incidents(&answered.incidents)
        })?;
        if !stored {
            // Nothing after this may be committed: the message is read again.
            self.lease.withdraw();
        }
        Ok(())
    }

    fn is_wanted(&self) -> bool {
        self.lease.holds() && !self.stop.is_pressing()
    }

    /// What is remembered goes with the offset: after a crash the log is read again from there, and everything stored
    /// again under the same names.
    fn commit_if_due(&mut self, consumer: &BaseConsumer<Member>, now: bool) -> anyhow::Result<()> {
        let every = Duration::from_secs(u64::from(self.config.run.memory_seconds));
        let due = self.remembered.is_none_or(|at| at.elapsed() >= every);
        if !(due || now) || self.next == self.remembered_next || !self.lease.holds() {
            return Ok(());
        }
        // The last commit would wait as long as a session may be silent.
        if now && are_brokers_away() {
            return Ok(());
        }
        // Whoever begins there would never have the parts that came before.
        if !self.parts.is_empty() {
            return Ok(());
        }
        // A name that ascends with the log, whoever gives it.
        let tick = EventTime(i64::try_from(self.next).unwrap_or(i64::MAX));
        let devices = self.devices.values().cloned().collect();
        let memory = Memory { act: self.act.memory(), devices, closed: self.closed.clone(), next: self.next };
        let bytes = FORMAT.save(&memory);
        let store = &self.store;
        let stored = until_it_works("store what act remembers", &|| self.is_wanted(), || {
            store.write_memory(MEMORY, tick, &bytes)
        })?;
        if !stored {
            return Ok(());
        }
        let metadata = format!("v1 memory={}", tick.0);
        let topic = &self.config.source.kafka.findings;
        let to_commit = [ToCommit { topic, partition: 0, offset: self.next, metadata: &metadata }];
        let mode = if now { CommitMode::Sync } else { CommitMode::Async };
        if let Some(Err(error)) = self.lease.while_held(|| commit(consumer, &to_commit, mode)) {
            tracing::debug!(%error, "act's offset was not committed");
        }
        self.remembered = Some(Instant::now());
        self.remembered_next = self.next;
        Ok(())
    }
}

/// The span that a message was published in.
fn sent_from(record: &BorrowedMessage<'_>) -> Option<SpanContext> {
    let parent = record.headers()?.iter().find(|header| header.key == PARENT)?;
    origin(parent.value?)
}

/// A key means nothing here: findings name devices by id.
fn device(record: &DeviceRecord) -> Arc<Device> {
    Arc::new(record.device(DeviceKey(0), Arc::new(record.profile())))
}

pub fn inventory(config: &Config) -> anyhow::Result<Inventory> {
    let Some(path) = &config.source.inventory else { return Ok(Inventory::empty()) };
    let file = std::fs::File::open(path)
        .with_context(|| format!("the inventory `{}` cannot be read; check [source] inventory", path.display()))?;
    Ok(Inventory::from_csv(file, &path.display().to_string())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_settled_once_their_message_was_taken_for_good() {
        let (log, other) = (fleet::id::stable_id(&["a+b/c="]), fleet::id::stable_id(&["the one before"]));
        let of = |log, offset| is_settled(&name(log, offset), &fleet::id::stable_id(&["a+b/c="]), 7);
        assert!(of(log.as_str(), 6) && !of(log.as_str(), 7) && of(other.as_str(), 1_000));
        for not_ours in ["act-6", "version-1", "announced-1-at-6", "finding-1"] {
            assert!(!is_settled(not_ours, &log, 7), "{not_ours}");
        }
    }
}
