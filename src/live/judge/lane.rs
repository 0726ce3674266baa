//! A lane of the readings log: one partition, one thread that judges and one that keeps.
//!
//! A step is what one mark closed, so whoever reads this log cuts it alike; its rows have names that follow from the cut,
//! and doing it again leaves one copy. What the judge remembers is stored now and then; after a crash it is loaded and
//! the log read again from there, in silence up to what was committed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, anyhow};
use crossbeam_channel::{Receiver, Sender, bounded};
use fleet::memory::Format;
use fleet::{Batch, DeviceKey, Entry, EventTime, Fact, Mark, Resume};
use ingest::log::{DeviceRecord, Intern, LoggedFact, LoggedMark, Message, RejectedRecord};
use ingest::windows::{LaneCounters, LaneMemory};
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;
use store::RejectedRow;

use crate::config::Config;
use crate::lane::{Heard, Judged, LaneWorker, Names, Shelf, note_heard};
use crate::live::judge::keep::{Keep, Kept};
use crate::live::judge::lease::Lease;
use crate::live::judge::members::LaneMembers;
use crate::live::judge::position::LanePosition;
use crate::live::judge::sources::{Forced, Sources};
use crate::live::now;
use crate::live::trace::{Part, Taken};
use crate::rules::CompiledRules;

/// What the poll loop hands over.
pub enum ToLane {
    Record {
        offset: u64,
        timestamp: Option<i64>,
        payload: Vec<u8>,
    },
    /// Store what is remembered, and end.
    Stop,
}

impl ToLane {
    pub fn bytes(&self) -> usize {
        match self {
            ToLane::Record { payload, .. } => payload.len(),
            ToLane::Stop => 0,
        }
    }
}

/// Where to begin.
pub struct Begin {
    pub lane: i32,
    /// `None`: nothing was ever committed for this lane.
    pub position: Option<LanePosition>,
    /// The stored memory that the position names.
    pub memory: Option<Vec<u8>>,
}

const FORMAT: Format = Format { of: "lane", version: 2 };

#[derive(Serialize, Deserialize)]
struct Memory {
    lane: LaneMemory,
    worker: Vec<u8>,
    ids: Vec<SmolStr>,
    members: LaneMembers,
    sources: Sources,
    heard: Vec<(DeviceKey, EventTime, EventTime)>,
    refused: BTreeMap<u32, u64>,
}

pub struct LiveLane {
    lane: i32,
    worker: LaneWorker,
    intern: Intern,
    names: Names,
    sources: Sources,
    forced: Forced,
    members: LaneMembers,
    heard: Heard,
    rejected: Vec<RejectedRow>,
    /// By source: the position of the last rejected record; a router that crashed sends what it had sent again.
    refused: BTreeMap<u32, u64>,
    /// Up to here everything is stored and published: it is judged again only to remember it.
    done: Resume,
    /// Milliseconds: when the broker had the entry in hand.
    appended: Option<i64>,
    /// What was told of so far.
    counted: LaneCounters,
    taken: Taken,
    /// When memory was stored last. The first step of a life does: a service that is killed every few seconds would else read
    /// ever more again, and never come further.
    remembered: Option<Instant>,
    /// What the stored memory is named by: one name, one content.
    remembered_at: EventTime,
    memory_every: Duration,
}

impl LiveLane {
    pub fn begin(config: &Config, begin: Begin, shelf: &Shelf, rules: &Arc<CompiledRules>) -> anyhow::Result<LiveLane> {
        let names = Names::default();
        let judge_from = config.run.judge_from.unwrap_or(EventTime::MIN);
        let number = begin.lane as usize;
        let worker =
            LaneWorker::new(number, config, judge_from, shelf.clone(), Arc::clone(rules), names.clone()).of_log();
        let done = begin.position.map_or(Resume::START, |position| position.step);
        let mut lane = LiveLane {
            lane: begin.lane,
            intern: Intern::default(),
            sources: Sources::default(),
            forced: Forced::new(begin.lane, config),
            members: LaneMembers::default(),
            heard: Heard::default(),
            rejected: Vec::new(),
            refused: BTreeMap::new(),
            done,
            appended: None,
            counted: LaneCounters::default(),
            taken: Taken::default(),
            remembered: None,
            remembered_at: begin.position.and_then(|position| position.memory).unwrap_or(EventTime::MIN),
            memory_every: Duration::from_secs(u64::from(config.run.memory_seconds)),
            names,
            worker,
        };
        if let Some(bytes) = begin.memory {
            let memory: Memory = FORMAT.load(&bytes).with_context(|| format!("beginning lane {}", begin.lane))?;
            // Also whom it only knows as a peer.
            for (key, id) in (0..).map(DeviceKey).zip(&memory.ids) {
                lane.names.insert(Arc::new(named(key, id)));
            }
            lane.intern = Intern::from_ids(memory.ids);
            for record in memory.members.all() {
                lane.names.insert(lane.intern.device(record));
            }
            lane.members = memory.members;
            lane.sources = memory.sources;
            lane.refused = memory.refused;
            lane.heard = memory.heard.into_iter().map(|(key, first, last)| (key, (first, last))).collect();
            lane.worker = lane.worker.recalled(config, &memory.lane, &memory.worker)?;
        }
        Ok(lane)
    }

    /// Until told to stop, or the lease is withdrawn.
    pub fn run(mut self, input: &Receiver<ToLane>, keep: Keep, lease: &Lease) -> anyhow::Result<()> {
        let (steps, to_keep) = bounded(0);
        std::thread::scope(|scope| {
            let keeper =
                std::thread::Builder::new().name(format!("keeper-{}", self.lane)).spawn_scoped(scope, move || {
                    let kept = keep.run(&to_keep);
                    // The judge would only notice at its next step, which may be long in coming.
                    if kept.is_err() {
                        lease.withdraw();
                    }
                    kept
                })?;
            let judged = self.judge_all(input, &steps, lease);
            drop(steps);
            // A keeper that fails takes the judge along; its own error says why.
            keeper.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            if lease.holds() { judged } else { Ok(()) }
        })
    }

    fn judge_all(&mut self, input: &Receiver<ToLane>, steps: &Sender<Kept>, lease: &Lease) -> anyhow::Result<()> {
        for message in input {
            if !lease.holds() {
                return Ok(());
            }
            match message {
                ToLane::Record { offset, timestamp, payload } => {
                    self.appended = timestamp;
                    self.taken.entry(offset, payload.len());
                    lease.taken(payload.len());
                    self.take(offset, &payload, steps)
                        .with_context(|| format!("lane {} at offset {offset}", self.lane))?;
                    lease.note(offset, timestamp, self.worker.counters());
                }
                ToLane::Stop => {
                    self.send(steps, None, Part::none(), true)?;
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn take(&mut self, offset: u64, payload: &[u8], steps: &Sender<Kept>) -> anyhow::Result<()> {
        let began = Instant::now();
        match Message::decode(payload)? {
            Message::Batch { devices, rows, readings } => {
                let count = readings.len();
                let keys: Vec<DeviceKey> = devices.iter().map(|id| self.known(id)).collect();
                let rows = rows.iter().filter_map(|row| row.owner(&keys)).collect();
                self.worker.push(offset, Entry::Batch(Batch { readings: Arc::new(readings), rows }));
                self.taken.readings(count, began);
            }
            Message::Facts(facts) => {
                for fact in facts {
                    match &fact {
                        LoggedFact::Left { device, from } => self.members.leave(device, *from),
                        // Every lane is told, so it may be of another one, and here a peer at most.
                        LoggedFact::Restricted { device, .. } | LoggedFact::Freed { device, .. } => {
                            self.known(device);
                        }
                        _ => {}
                    }
                    let mut fact = self.intern.fact(fact);
                    if let Fact::Device { device, from } = &mut fact {
                        self.names.insert(Arc::clone(device));
                        *from = self.members.announce(DeviceRecord::from(device.as_ref()), *from);
                    }
                    self.worker.push(offset, Entry::Fact(fact));
                }
            }
            Message::Members(told) => {
                for (id, from) in self.members.compare(offset, &told) {
                    let device = self.intern.key(&id);
                    self.worker.push(offset, Entry::Fact(Fact::Left { device, from }));
                }
            }
            Message::Rejected(records) => {
                for record in records {
                    let is_new = self.refused.get(&record.source).is_none_or(|last| *last < record.offset);
                    if is_new {
                        self.refused.insert(record.source, record.offset);
                    }
                    if is_new && offset >= self.done.frontier {
                        self.rejected.push(rejected_row(record));
                    }
                }
            }
            Message::TopicRemoved(topic) => {
                for source in self.sources.leave(&topic) {
                    self.worker.push(offset, Entry::Fact(Fact::SourceRemoved { source }));
                }
                self.close(now(), steps)?;
            }
            Message::Mark(mark) => self.mark(offset, mark, steps)?,
        }
        Ok(())
    }

    /// The key of a device; a peer of another lane has a name here and nothing else.
    fn known(&mut self, id: &SmolStr) -> DeviceKey {
        let before = self.intern.ids().len();
        let key = self.intern.key(id);
        if key.0 as usize >= before {
            self.names.insert(Arc::new(named(key, id)));
        }
        key
    }

    fn mark(&mut self, offset: u64, mark: LoggedMark, steps: &Sender<Kept>) -> anyhow::Result<()> {
        let Some(gone) = self.sources.meet(&mark) else { return Ok(()) };
        for source in gone {
            self.worker.push(offset, Entry::Fact(Fact::SourceRemoved { source }));
        }
        let LoggedMark { source, roster, through, below, .. } = mark;
        let judging = now();
        self.worker.push(offset, Entry::Mark(Mark { source, roster: roster.into(), through, below }));
        self.close(judging, steps)
    }

    /// Judges what the entry just taken closed.
    fn close(&mut self, mut judging: SystemTime, steps: &Sender<Kept>) -> anyhow::Result<()> {
        while let Some(judged) = self.worker.step()? {
            note_heard(&mut self.heard, &judged.windows);
            if judged.last_tick > self.done.closed_through {
                let trace = self.taken.step(self.lane, judging, &judged);
                self.send(steps, Some(judged), trace, false)?;
            } else {
                self.taken = Taken::default();
                // Whoever judged it first counted it.
                self.counted = *self.worker.counters();
            }
            judging = now();
        }
        Ok(())
    }

    /// Hands a step on, with what is remembered if it is time to store that.
    fn send(
        &mut self,
        steps: &Sender<Kept>,
        judged: Option<Judged>,
        trace: Part,
        stopping: bool,
    ) -> anyhow::Result<()> {
        // First: what is remembered is without the rejected records that no step has taken yet.
        let rejected = if judged.is_some() { std::mem::take(&mut self.rejected) } else { Vec::new() };
        let is_due = stopping || self.remembered.is_none_or(|at| at.elapsed() >= self.memory_every);
        let mut memory = None;
        if is_due && !self.worker.has_pending() {
            let lane = self.worker.lane_memory();
            // What was committed may be beyond what was judged again so far: nothing new to remember.
            let at = lane.at.closed_through;
            if at > self.remembered_at && at >= self.done.closed_through {
                self.remembered_at = at;
                self.members.forget_below(lane.at.low);
                memory = Some((lane.at, self.remember(lane)?));
            }
        }
        if memory.is_some() {
            self.remembered = Some(Instant::now());
        }
        let names = self.names.now();
        let heard = memory.is_some().then(|| self.device_rows());
        let counters = *self.worker.counters();
        let before = std::mem::replace(&mut self.counted, counters);
        let forced = counters.forced - before.forced;
        if let Some(source) = counters.not_waited_for {
            self.forced.tell(forced, source, &self.sources);
        }
        steps
            .send(Kept {
                judged,
                trace,
                rejected,
                memory,
                names,
                devices: heard.unwrap_or_default(),
                mark_appended: self.appended,
                late: counters.late - before.late,
                duplicates: counters.duplicates - before.duplicates,
                forced,
            })
            .map_err(|_| anyhow!("the keeper of lane {} has stopped", self.lane))
    }

    fn remember(&self, lane: LaneMemory) -> anyhow::Result<Vec<u8>> {
        let mut heard: Vec<_> = self.heard.iter().map(|(key, (first, last))| (*key, *first, *last)).collect();
        heard.sort_unstable();
        let mut refused = self.refused.clone();
        for row in self.rejected.iter().rev() {
            // They are read again.
            match row.position.offset.checked_sub(1) {
                Some(before) => refused.insert(row.position.source, before),
                None => refused.remove(&row.position.source),
            };
        }
        let memory = Memory {
            lane,
            worker: self.worker.memory()?,
            ids: self.intern.ids().to_vec(),
            members: self.members.clone(),
            sources: self.sources.clone(),
            heard,
            refused,
        };
        Ok(FORMAT.save(&memory))
    }

    fn device_rows(&self) -> Vec<store::DeviceRow> {
        let names = self.names.now();
        let row = |record: &DeviceRecord| {
            let key = self.intern.find(&record.id)?;
            let heard = self.heard.get(&key);
            Some(store::DeviceRow::new(names.get(key)?, heard.map(|(first, _)| *first), heard.map(|(_, last)| *last)))
        };
        self.members.present().filter_map(row).collect()
    }
}

fn named(key: DeviceKey, id: &SmolStr) -> fleet::Device {
    fleet::Device {
        key,
        id: id.clone(),
        criticality: fleet::Criticality::default(),
        standing: fleet::device::Standing::Unknown,
        profile: Arc::default(),
    }
}

fn rejected_row(record: RejectedRecord) -> RejectedRow {
    RejectedRow {
        file: record.name,
        position: fleet::Position { source: record.source, offset: record.offset },
        reason: record.reason,
        detail: record.detail,
        sample: String::from_utf8_lossy(&record.sample).into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::judge::members::tests::record;
    use crossbeam_channel::unbounded;
    use detect::RuleSet;
    use fleet::device::Standing;
    use fleet::id::source_id;
    use fleet::{Owner, Position, Role};
    use ingest::log::{BatchDraft, Members, encode};
    use ingest::{Decoder, Format};

    /// Of a partition of the topic `raw`; the roster names partitions too.
    fn mark(partition: i32, roster: &[i32], through: &str) -> Message {
        let source = |partition: i32| source_id("id", partition);
        Message::Mark(LoggedMark {
            source: source(partition),
            topic: "raw".into(),
            topic_id: "id".into(),
            partition,
            roster: roster.iter().copied().map(source).collect(),
            through: EventTime::parse(through).unwrap(),
            below: 0,
        })
    }

    /// Readings of the device `a` in one message, at these times and offsets of a partition.
    fn batch(partition: i32, readings: &[(&str, u64)]) -> Vec<u8> {
        let mut draft = BatchDraft::default();
        let mut decoder = Decoder::new(Format::Native);
        for (time, offset) in readings {
            let line = format!(r#"{{"kind":"message","time":"{time}","client_id":"a","topic":"t"}}"#);
            let position = Position { source: source_id("id", partition), offset: *offset };
            let reading = decoder.decode(line.as_bytes(), position).unwrap().unwrap();
            let owner = Owner { device: DeviceKey(0), role: Role::Originator, peer: None };
            draft.push(&reading, &[owner], |_| "a".into());
        }
        draft.take()
    }

    /// What a lane remembers once the messages, and whatever they say, are in force.
    fn remembered(rules: &Arc<CompiledRules>, messages: &[Message]) -> (Vec<u8>, Vec<SmolStr>) {
        let begin = Begin { lane: 0, position: None, memory: None };
        let mut lane = LiveLane::begin(&Config::default(), begin, &Shelf::default(), rules).unwrap();
        // The first says where event time begins; the second closes a tick.
        let marks = ["2026-03-06T00:00:00Z", "2026-03-06T00:01:00Z"].map(|through| mark(0, &[0], through));
        let (steps, kept) = unbounded();
        for (offset, message) in (0..).zip(messages.iter().chain(&marks)) {
            lane.take(offset, &encode(message), &steps).unwrap();
        }
        assert_eq!(kept.len(), 1, "the second mark closes a tick");
        let present = lane.members.present().map(|record| record.id.clone()).collect();
        (lane.worker.memory().unwrap(), present)
    }

    #[test]
    fn whoever_is_not_waited_for_is_counted_and_has_a_name() {
        let rules = Arc::new(CompiledRules::compile(RuleSet::shipped().unwrap()).unwrap());
        let ingest = ingest::Config { max_open_windows: 2, ..ingest::Config::default() };
        let config = Config { ingest, ..Config::default() };
        let begin = Begin { lane: 0, position: None, memory: None };
        let mut lane = LiveLane::begin(&config, begin, &Shelf::default(), &rules).unwrap();
        let device = LoggedFact::Device { device: record("a", Standing::Active), from: EventTime::MIN };
        let (steps, kept) = unbounded();
        let three = [("2026-03-06T00:00:05Z", 0), ("2026-03-06T00:01:05Z", 1), ("2026-03-06T00:02:05Z", 2)];
        let entries = [
            encode(&Message::Facts(vec![device])),
            encode(&mark(0, &[0, 7], "2026-03-06T00:00:00Z")),
            batch(0, &three),
            encode(&mark(0, &[0, 7], "2026-03-06T00:03:00Z")),
            batch(7, &[("2026-03-06T00:00:20Z", 0)]),
            encode(&mark(7, &[0, 7], "2026-03-06T00:03:00Z")),
        ];
        for (offset, entry) in (0..).zip(&entries) {
            lane.take(offset, entry, &steps).unwrap();
        }
        let counted: Vec<(u64, u64)> = kept.try_iter().map(|kept| (kept.forced, kept.late)).collect();
        assert_eq!(counted, [(1, 0), (0, 1)], "the first window closes without it, the others do not");
        let source = lane.worker.counters().not_waited_for.unwrap();
        assert_eq!(lane.sources.name(source, &[]), "raw/7");
    }

    #[test]
    fn a_peer_of_another_lane_keeps_its_name() {
        let rules = Arc::new(CompiledRules::compile(RuleSet::shipped().unwrap()).unwrap());
        let begin = Begin { lane: 0, position: None, memory: None };
        let mut lane = LiveLane::begin(&Config::default(), begin, &Shelf::default(), &rules).unwrap();
        let line = r#"{"kind":"flow","time":"2026-03-06T00:00:05Z","client_id":"a","responder_ip":"10.0.0.9","protocol":"tcp"}"#;
        let position = Position { source: source_id("id", 0), offset: 0 };
        let reading = Decoder::new(Format::Native).decode(line.as_bytes(), position).unwrap().unwrap();
        let owner = Owner { device: DeviceKey(0), role: Role::Originator, peer: Some(DeviceKey(1)) };
        let mut draft = BatchDraft::default();
        draft.push(&reading, &[owner], |key| SmolStr::new(["a", "recorder"][key.0 as usize]));
        let device = LoggedFact::Device { device: record("a", Standing::Active), from: EventTime::MIN };
        let marks = ["2026-03-06T00:00:00Z", "2026-03-06T00:01:00Z"].map(|through| encode(&mark(0, &[0], through)));
        let (steps, kept) = unbounded();
        let entries = [encode(&Message::Facts(vec![device])), draft.take()];
        for (offset, entry) in (0..).zip(entries.iter().chain(&marks)) {
            lane.take(offset, entry, &steps).unwrap();
        }
        let (_, memory) = kept.try_recv().unwrap().memory.expect("the first step of a life is remembered");
        let begin = Begin { lane: 0, position: None, memory: Some(memory) };
        let again = LiveLane::begin(&Config::default(), begin, &Shelf::default(), &rules).unwrap();
        let (names, key) = (again.names.now(), again.intern.find("recorder").unwrap());
        assert_eq!(names.get(key).unwrap().id, "recorder");
        let known = names.get(again.intern.find("a").unwrap()).unwrap();
        assert_eq!(known.profile.device_type, "lamp", "whom it has, it has whole");
    }

    #[test]
    fn what_is_seen_of_whom_an_action_restricts_goes_with_the_step() {
        let rules = Arc::new(CompiledRules::compile(RuleSet::shipped().unwrap()).unwrap());
        let begin = Begin { lane: 0, position: None, memory: None };
        let mut lane = LiveLane::begin(&Config::default(), begin, &Shelf::default(), &rules).unwrap();
        let from = EventTime::parse("2026-03-06T00:00:30Z").unwrap();
        let facts = vec![
            LoggedFact::Restricted { device: "a".into(), from },
            LoggedFact::Restricted { device: "elsewhere".into(), from },
            LoggedFact::Device { device: record("a", Standing::Active), from: EventTime::MIN },
        ];
        let entries = [
            encode(&Message::Facts(facts)),
            encode(&mark(0, &[0], "2026-03-06T00:00:00Z")),
            batch(0, &[("2026-03-06T00:00:40Z", 0)]),
            encode(&mark(0, &[0], "2026-03-06T00:01:00Z")),
            encode(&mark(0, &[0], "2026-03-06T00:02:00Z")),
        ];
        let (steps, kept) = unbounded();
        for (offset, entry) in (0..).zip(&entries) {
            lane.take(offset, entry, &steps).unwrap();
        }
        let judged: Vec<Judged> = kept.try_iter().filter_map(|kept| kept.judged).collect();
        let seen = judged.iter().flat_map(|judged| &judged.outcome.sightings);
        let seen: Vec<(&str, u32)> = seen.map(|it| (it.device_id.as_str(), it.messages)).collect();
        assert_eq!(seen, [("a", 1), ("a", 0)], "then it went quiet; of whom other lanes have they tell");
        let key = lane.intern.find("elsewhere").unwrap();
        assert_eq!(lane.names.now().get(key).unwrap().id, "elsewhere");
    }

    #[test]
    fn whoever_is_left_out_has_left() {
        let rules = Arc::new(CompiledRules::compile(RuleSet::shipped().unwrap()).unwrap());
        let announced = |id| LoggedFact::Device { device: record(id, Standing::Active), from: EventTime::MIN };
        let both = || Message::Facts(vec![announced("a"), announced("b")]);
        let left = Message::Facts(vec![LoggedFact::Left { device: "b".into(), from: EventTime::MIN }]);
        let members = |ids: &[&str]| {
            Message::Members(Members { devices: ids.iter().map(SmolStr::new).collect(), ..Members::default() })
        };
        let told_so = remembered(&rules, &[both(), left]);
        assert_eq!(told_so.1, ["a"]);
        assert_eq!(remembered(&rules, &[both(), members(&["a"])]), told_so);
        let nobody_left = remembered(&rules, &[both(), members(&["a", "b"])]);
        assert_ne!(nobody_left.0, told_so.0);
        assert_eq!(nobody_left.1, ["a", "b"]);
    }
}
