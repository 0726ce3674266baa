//! What `act` does with a message, on a thread of its own: the store may take its time. Like a lane it is a function of its
//! log: what it stores is named by the log's offset, and what it remembers is stored now and then.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use crossbeam_channel::{Receiver, RecvTimeoutError};
use fleet::memory::Format;
use fleet::{Device, DeviceKey, EventTime};
use ingest::kafka::committed::{ToCommit, bounds, commit, committed};
use ingest::log::DeviceRecord;
use opentelemetry::KeyValue;
use opentelemetry::trace::{SpanContext, SpanKind};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;
use store::Store;

use super::ToAct;
use super::names::{log_name, name};
use crate::act::{Act, ActMemory};
use crate::config::Config;
use crate::live::assignment::Member;
use crate::live::judge::lease::Lease;
use crate::live::logs::EachMinute;
use crate::live::message::{Parts, StepMessage};
use crate::live::metrics::metrics;
use crate::live::respond::{Answering, ToAnswer};
use crate::live::retry::{Pause, until_it_works};
use crate::live::stop::Stop;
use crate::live::trace::{Part, acted, finding_ids};
use crate::live::{StandsStill, may_pass, now, readings_topic};

/// How often it looks whether it is time to commit.
const LOOK_UP: Duration = Duration::from_millis(200);
/// The store's name for what this role remembers.
const MEMORY: &str = "act";
const FORMAT: Format = Format { of: "role `act`", version: 4 };
/// Findings that wait to be told and whose origin is known, at most.
const ORIGINS: usize = 4_096;

/// What it works with.
#[derive(Clone)]
pub struct Means {
    pub config: Arc<Config>,
    pub store: Arc<dyn Store>,
    pub consumer: Arc<BaseConsumer<Member>>,
    pub lease: Lease,
    pub stop: Stop,
}

impl Means {
    /// Whether a store that is away is worth waiting for.
    fn are_wanted(&self) -> bool {
        self.lease.holds() && !self.stop.is_pressing()
    }
}

#[derive(Serialize, Deserialize)]
struct Memory {
    act: ActMemory,
    devices: Vec<DeviceRecord>,
    /// By lane: everything up to here was taken.
    closed: BTreeMap<usize, EventTime>,
    next: u64,
    /// What people were told.
    told: Vec<u8>,
}

pub struct Acting {
    means: Means,
    act: Act,
    answering: Answering,
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

impl Acting {
    /// A broker takes no commit while members of the group come and go, and answers nobody when it has just begun: that is
    /// tried again. `None`: it is not wanted any more.
    pub fn begin(means: &Means) -> anyhow::Result<Option<Acting>> {
        let (mut pause, mut said) = (Pause::default(), EachMinute::default());
        loop {
            match Acting::try_to_begin(means.clone()) {
                Err(error) if may_pass(&error) => {
                    if said.is_due() {
                        tracing::warn!(error = format!("{error:#}"), "act cannot begin; trying again");
                    }
                }
                begun => return begun,
            }
            if !pause.wait(&|| means.are_wanted()) {
                return Ok(None);
            }
        }
    }

    fn try_to_begin(means: Means) -> anyhow::Result<Option<Acting>> {
        let (config, store, consumer) = (&means.config, &means.store, &means.consumer);
        let kafka = &config.source.kafka;
        let lanes = readings_topic(consumer.client(), kafka)?.partitions.len();
        let log = log_name(consumer.client(), kafka)?;
        let mut act = Act::new(config, lanes, Arc::clone(store));
        let mark = committed(consumer, &kafka.findings, 0)?;
        let (first, _) = bounds(consumer, &kafka.findings, 0)?;
        if mark.offset.is_none() && !begin_anew(&means, first)? {
            return Ok(None);
        }
        let mut closed = BTreeMap::new();
        let mut devices = BTreeMap::new();
        let mut next = mark.offset.unwrap_or(first);
        let mut told = Vec::new();
        if let Some(tick) = mark.metadata.strip_prefix("v1 memory=") {
            let tick = EventTime(tick.parse().with_context(|| format!("`{tick}` is no memory's name"))?);
            let mut bytes = None;
            let asked = until_it_works("read what act remembers", &|| means.are_wanted(), || {
                bytes = store.read_memory(MEMORY, tick)?;
                Ok(())
            })?;
            if !asked {
                return Ok(None);
            }
            let bytes = bytes.ok_or_else(|| {
                StandsStill(format!("what `act` remembers at {tick} is not in the store; was it emptied?"))
            })?;
            let memory: Memory = FORMAT.load(&bytes)?;
            act.recall(&memory.act)?;
            devices.extend(memory.devices.into_iter().map(|record| (record.id.clone(), record)));
            closed = memory.closed;
            next = memory.next;
            told = memory.told;
        }
        for record in devices.values() {
            act.meet(&device(record));
        }
        if next < first {
            let (topic, lost) = (&kafka.findings, first - next);
            let words = "retention deleted findings before they were joined; going on from the earliest";
            tracing::error!(lost, from = next, to = first, "{words}");
            metrics().retention_lost.add(lost, &[KeyValue::new("topic", topic.clone())]);
            next = first;
        }
        let reached = closed.values().min().copied().unwrap_or(EventTime::MIN);
        let answering = Answering::start(config, store, &means.lease, &means.stop, reached, &told)?;
        tracing::info!(from = next, "act begins");
        let remembered_next = next;
        Ok(Some(Acting {
            means,
            act,
            answering,
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
        }))
    }

    /// Until nobody gives it anything any more, or it is time to end; then what it remembers is stored and committed, if that is
    /// still its right.
    pub fn run(mut self, messages: &Receiver<ToAct>) -> anyhow::Result<()> {
        let worked = self.work(messages);
        // However it ended: whoever comes next finds nobody of this life at work.
        let ended = self.answering.end();
        worked.and(ended)
    }

    fn work(&mut self, messages: &Receiver<ToAct>) -> anyhow::Result<()> {
        loop {
            match next(messages, &self.means.stop) {
                Ok(message) => {
                    self.means.lease.taken(message.payload.len());
                    if !self.means.lease.holds() {
                        return Ok(());
                    }
                    self.take(message.offset, &message.payload, message.from)?;
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    // What was told is written down first: nobody reads it again.
                    while !self.answering.is_level() && self.means.are_wanted() {
                        self.answering.check()?;
                        std::thread::sleep(LOOK_UP / 10);
                    }
                    return self.commit_if_due(true);
                }
            }
            self.answering.check()?;
            self.commit_if_due(false)?;
        }
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
        let mut met = Vec::new();
        for record in message.devices {
            let device = device(&record);
            self.act.meet(&device);
            met.push(device);
            self.devices.insert(record.id.clone(), record);
        }
        let (lane, sightings) = (message.lane, message.sightings);
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
        if answered.is_empty() && !is_news && sightings.is_empty() {
            return Ok(());
        }
        if !answered.is_empty() || !sightings.is_empty() {
            let named = answered.findings.iter().filter_map(|finding| self.devices.get(&finding.device_id));
            let reached = self.closed.values().min().copied().unwrap_or(EventTime::MIN);
            let to_answer = ToAnswer {
                number: 0,
                offset,
                findings: answered.findings.clone(),
                devices: named.map(device).chain(met).collect(),
                sightings,
                incidents: answered.incidents.clone(),
                reached,
            };
            let means = &self.means;
            if !self.answering.give(to_answer, &|| means.are_wanted()) {
                // Nothing from here on may be committed: the message is read again.
                means.lease.withdraw();
                return Ok(());
            }
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
                KeyValue::new("incidents", count(answered.incidents.len())),
            ],
        );
        let store = &self.means.store;
        let stored = until_it_works("store findings", &|| self.means.are_wanted(), || {
            if !answered.findings.is_empty() {
                store.write_findings(&name, &answered.findings)?;
            }
            store.write_incidents(&answered.incidents)
        })?;
        if !stored {
            // Nothing after this may be committed: the message is read again.
            self.means.lease.withdraw();
        }
        Ok(())
    }

    /// What is remembered goes with the offset: after a crash the log is read again from there, and everything stored
    /// again under the same names.
    fn commit_if_due(&mut self, now: bool) -> anyhow::Result<()> {
        let Means { config, store, consumer, lease, .. } = &self.means;
        let every = Duration::from_secs(u64::from(config.run.memory_seconds));
        let due = self.remembered.is_none_or(|at| at.elapsed() >= every);
        if !(due || now) || self.next == self.remembered_next || !lease.holds() || !self.answering.is_level() {
            return Ok(());
        }
        // Whoever begins there would never have the parts that came before.
        if !self.parts.is_empty() {
            return Ok(());
        }
        // A name that ascends with the log, whoever gives it.
        let tick = EventTime(i64::try_from(self.next).unwrap_or(i64::MAX));
        let devices = self.devices.values().cloned().collect();
        let (closed, told) = (self.closed.clone(), self.answering.remembered());
        let memory = Memory { act: self.act.memory(), devices, closed, next: self.next, told };
        let bytes = FORMAT.save(&memory);
        let stored = until_it_works("store what act remembers", &|| self.means.are_wanted(), || {
            store.write_memory(MEMORY, tick, &bytes)
        })?;
        if !stored {
            return Ok(());
        }
        let metadata = format!("v1 memory={}", tick.0);
        let topic = &config.source.kafka.findings;
        let to_commit = [ToCommit { topic, partition: 0, offset: self.next, metadata: &metadata }];
        if let Some(Err(error)) = lease.while_held(|| commit(consumer, &to_commit, CommitMode::Async)) {
            tracing::debug!(%error, "act's offset was not committed");
        }
        self.remembered = Some(Instant::now());
        self.remembered_next = self.next;
        Ok(())
    }
}

/// Nothing was ever committed. While the log has its beginning, all of it is done again under the same names; otherwise
/// whoever worked before would leave a hole. `false`: it is not wanted any more.
fn begin_anew(means: &Means, first: u64) -> anyhow::Result<bool> {
    let Means { config, store, consumer, lease, .. } = means;
    let kafka = &config.source.kafka;
    let mut worked_before = false;
    let asked = until_it_works("ask whether act worked before", &|| means.are_wanted(), || {
        worked_before = first > 0 && store.newest_memory(MEMORY)?.is_some();
        Ok(())
    })?;
    if !asked {
        return Ok(false);
    }
    if worked_before {
        let problem = format!(
            "the store has what `act` remembers, the group `{}-act` has no commit, and the topic `{}` has lost its \
             beginning; was the group deleted? Begin with an empty store, or restore the \
             group's offset together with its metadata",
            kafka.group, kafka.findings
        );
        return Err(StandsStill(problem).into());
    }
    // Before anything is stored: a crash is to leave no store that remembers beside a group that does not.
    let beginning = [ToCommit { topic: &kafka.findings, partition: 0, offset: first, metadata: "" }];
    let committed = lease.while_held(|| commit(consumer, &beginning, CommitMode::Sync)).transpose()?;
    Ok(committed.is_some())
}

/// What is to be taken next. Once it is time to end, nothing: what waits is read again, and what was taken is committed.
fn next(messages: &Receiver<ToAct>, stop: &Stop) -> Result<ToAct, RecvTimeoutError> {
    if stop.is_pressing() { Err(RecvTimeoutError::Disconnected) } else { messages.recv_timeout(LOOK_UP) }
}

/// A key means nothing here: findings name devices by id.
fn device(record: &DeviceRecord) -> Arc<Device> {
    Arc::new(record.device(DeviceKey(0), Arc::new(record.profile())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::stop::GRACE;
    use crossbeam_channel::unbounded;

    #[test]
    fn what_waits_is_left_once_it_is_time_to_end() {
        let (input, messages) = unbounded();
        for offset in [7, 8] {
            input.send(ToAct { offset, payload: Vec::new(), from: None }).unwrap();
        }
        let now = Instant::now();
        assert_eq!(next(&messages, &Stop::default()).unwrap().offset, 7);
        assert_eq!(next(&messages, &Stop::asked_at(now)).unwrap().offset, 8, "there is time left");
        input.send(ToAct { offset: 9, payload: Vec::new(), from: None }).unwrap();
        let long_ago = now.checked_sub(GRACE).unwrap();
        assert!(matches!(next(&messages, &Stop::asked_at(long_ago)), Err(RecvTimeoutError::Disconnected)));
    }
}
