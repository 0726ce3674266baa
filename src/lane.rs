//! One lane at work: log entries in, ticks judged and stored, findings out. A thread of its own (and one that stores, see
//! [`keeper`]); what it owns, nobody else touches.
//!
//! A step is what is stored at once. Where it is cut follows from the log alone: after the entry that leaves enough windows
//! pending, and every [`STEP_WINDOWS`] within what one entry closed. So whoever does a lane again cuts it in the same places.

mod keeper;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread;

use anyhow::{Context, anyhow};
use crossbeam_channel::{Receiver, Sender, bounded};
use detect::rules::columns::{ColumnMemory, Columns};
use detect::rules::{RuleHit, RuleKind};
use detect::{CurveFinding, Forgotten, Judge, Prepared, ToldEvidence};
use fleet::{Entry, EventTime, Fact, Finding, MICROS_PER_SECOND, Resume, Sighting, Tick, Window};
use ingest::Lane;
use ingest::windows::{LaneCounters, LaneMemory};
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;
use store::{DeviceNames, EvidenceRow, ScoredWindow, Store};

pub use self::keeper::{Heard, Judged, note_heard};
use self::keeper::{Keeper, ToKeep};
use crate::config::Config;
use crate::rules::CompiledRules;

/// A step is cut when this many windows wait: each file costs a sync and a header for every column, so few large ones.
const STEP_WINDOWS: usize = 32_768;

/// Where a version that is not on the shelf comes from.
pub type Loader = dyn Fn(u32) -> anyhow::Result<Option<Arc<Prepared>>> + Send + Sync;

/// Versions of the baselines, by number; the trainer puts them there before the log names them, and those that another
/// process learned are loaded.
#[derive(Clone, Default)]
pub struct Shelf {
    versions: Arc<Mutex<BTreeMap<u32, Arc<Prepared>>>>,
    loader: Option<Arc<Loader>>,
}

impl Shelf {
    pub fn loading(loader: Arc<Loader>) -> Shelf {
        Shelf { versions: Arc::default(), loader: Some(loader) }
    }

    pub fn put(&self, prepared: Arc<Prepared>) {
        self.versions.lock().unwrap_or_else(PoisonError::into_inner).insert(prepared.version, prepared);
    }

    /// # Errors
    /// The version is neither here nor stored: nothing can be judged by it.
    pub fn take(&self, version: u32) -> anyhow::Result<Arc<Prepared>> {
        let mut versions = self.versions.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(prepared) = versions.get(&version) {
            return Ok(Arc::clone(prepared));
        }
        let loaded = match &self.loader {
            Some(load) => load(version)?,
            None => None,
        };
        let prepared = loaded.with_context(|| {
            format!("baseline version `{version}` was announced and is not stored; pin one that `vedette baselines list` shows")
        })?;
        versions.insert(version, Arc::clone(&prepared));
        Ok(prepared)
    }
}

/// What device keys mean, of all lanes: a contact's peer may live in another lane.
#[derive(Clone, Default)]
pub struct Names(Arc<RwLock<Arc<DeviceNames>>>);

impl Names {
    pub fn insert(&self, device: Arc<fleet::Device>) {
        Arc::make_mut(&mut self.0.write().unwrap_or_else(PoisonError::into_inner)).insert(device);
    }

    /// As they are now: nobody waits for whoever keeps them while a disk syncs.
    pub fn now(&self) -> Arc<DeviceNames> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

pub enum LaneInput {
    Entry {
        offset: u64,
        entry: Entry,
    },
    /// Finish the step in hand and say so, see [`LaneWorker::run`].
    Flush,
}

/// What a step gave, for the stage that joins all lanes.
pub struct StepOutcome {
    pub lane: usize,
    pub through: EventTime,
    pub findings: Vec<Finding>,
    pub curve: Vec<CurveFinding>,
    /// Devices announced in the step, for whoever must place them.
    pub devices: Vec<Arc<fleet::Device>>,
    /// What was seen of devices that an action restricts.
    pub sightings: Vec<Sighting>,
}

#[derive(Serialize, Deserialize)]
struct Remembered {
    version: u32,
    judge: Vec<u8>,
    columns: Vec<u8>,
    roster: Vec<u8>,
    told: BTreeMap<String, EventTime>,
}

pub struct LaneWorker {
    number: usize,
    lane: Lane,
    judge: Judge,
    detect: detect::Config,
    judge_from: EventTime,
    shelf: Shelf,
    rules: Arc<CompiledRules>,
    memory: ColumnMemory,
    roster: detect::roster::Roster,
    /// Posture findings by id, and when they were first told.
    told: BTreeMap<String, EventTime>,
    names: Names,
    pending: VecDeque<(Tick, Resume)>,
    pending_windows: usize,
}

impl LaneWorker {
    pub fn new(
        number: usize,
        config: &Config,
        judge_from: EventTime,
        shelf: Shelf,
        rules: Arc<CompiledRules>,
        names: Names,
    ) -> LaneWorker {
        let width = i64::from(config.ingest.window_seconds) * MICROS_PER_SECOND;
        LaneWorker {
            number,
            lane: Lane::new(&config.ingest),
            judge: Judge::new(&config.detect, width, judge_from),
            detect: config.detect.clone(),
            judge_from,
            shelf,
            rules,
            memory: ColumnMemory::default(),
            roster: detect::roster::Roster::default(),
            told: BTreeMap::new(),
            names,
            pending: VecDeque::new(),
            pending_windows: 0,
        }
    }

    /// For the readings log, in which the positions of a source ascend but for what a router sends again.
    pub fn of_log(mut self) -> LaneWorker {
        self.lane = self.lane.with_ordered_sources();
        self
    }

    /// Goes on from what was remembered.
    pub fn recalled(mut self, config: &Config, lane: &LaneMemory, memory: &[u8]) -> anyhow::Result<LaneWorker> {
        let Remembered { version, judge, columns, roster, told } =
            postcard::from_bytes(memory).map_err(|error| anyhow!("what the lane remembers cannot be read: {error}"))?;
        self.judge.recall(&judge, self.version(version)?)?;
        self.memory = ColumnMemory::recall(&columns)?;
        self.roster = detect::roster::Roster::recall(&roster)?;
        self.told = told;
        self.lane = Lane::recalled(&config.ingest, lane).with_ordered_sources();
        Ok(self)
    }

    /// What is remembered of everything judged so far; with [`LaneWorker::lane_memory`] while nothing is pending.
    pub fn memory(&self) -> anyhow::Result<Vec<u8>> {
        Ok(postcard::to_stdvec(&Remembered {
            version: self.judge.version(),
            judge: self.judge.memory(),
            columns: self.memory.memory(),
            roster: self.roster.memory(),
            told: self.told.clone(),
        })?)
    }

    pub fn lane_memory(&self) -> LaneMemory {
        self.lane.memory()
    }

    /// Ticks were closed that no step holds yet.
    pub fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// The log's next entry.
    pub fn push(&mut self, offset: u64, entry: Entry) {
        let mut ticks = Vec::new();
        self.lane.push(offset, entry, &mut ticks);
        self.collect(ticks);
    }

    pub fn counters(&self) -> &LaneCounters {
        self.lane.counters()
    }

    /// Until the channel closes; gives the lane's counters, who was heard, and what of them was forgotten. `flushed` is told of
    /// each flush.
    pub fn run(
        self,
        input: &Receiver<LaneInput>,
        store: Arc<dyn Store>,
        out: Sender<StepOutcome>,
        flushed: Sender<()>,
    ) -> anyhow::Result<(LaneCounters, Heard, Forgotten)> {
        let keeper = Keeper { store, names: self.names.clone(), out, flushed };
        let (steps, to_keep) = bounded(0);
        thread::scope(|scope| {
            let keeper = scope.spawn(move || keeper.run(&to_keep));
            let judged = self.judge_all(input, &steps);
            drop(steps);
            // A keeper that fails takes the judge along; its own error says why.
            let (heard, forgotten) = keeper.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            Ok((judged?, heard, forgotten))
        })
    }

    fn judge_all(mut self, input: &Receiver<LaneInput>, steps: &Sender<ToKeep>) -> anyhow::Result<LaneCounters> {
        for message in input {
            match message {
                LaneInput::Entry { offset, entry } => {
                    self.push(offset, entry);
                    if self.pending_windows >= STEP_WINDOWS {
                        self.hand_over(steps)?;
                    }
                }
                LaneInput::Flush => {
                    self.hand_over(steps)?;
                    steps.send(ToKeep::Flush).map_err(|_| stopped())?;
                }
            }
        }
        let mut ticks = Vec::new();
        self.lane.finish(&mut ticks);
        self.collect(ticks);
        self.hand_over(steps)?;
        Ok(*self.lane.counters())
    }

    fn hand_over(&mut self, steps: &Sender<ToKeep>) -> anyhow::Result<()> {
        while let Some(judged) = self.step()? {
            steps.send(ToKeep::Step(Box::new(judged))).map_err(|_| stopped())?;
        }
        Ok(())
    }

    fn collect(&mut self, ticks: Vec<(Tick, Resume)>) {
        self.pending_windows += ticks.iter().map(|(tick, _)| tick.windows.len()).sum::<usize>();
        self.pending.extend(ticks);
    }

    /// Judges the next whole ticks that wait, about [`STEP_WINDOWS`] windows at most.
    pub fn step(&mut self) -> anyhow::Result<Option<Judged>> {
        let (mut ticks, mut total) = (Vec::new(), 0);
        let mut resume = None;
        while total < STEP_WINDOWS
            && let Some((tick, after)) = self.pending.pop_front()
        {
            total += tick.windows.len();
            resume = Some(after);
            ticks.push(tick);
        }
        self.pending_windows -= total;
        let mut windows = Vec::with_capacity(total);
        let (Some(first), Some(last), Some(resume)) =
            (ticks.first().map(|tick| tick.end), ticks.last().map(|tick| tick.end), resume)
        else {
            return Ok(None);
        };
        let closed = ticks.len();
        let mut findings = Vec::new();
        let mut hits = self.match_rules(&ticks, &mut findings)?.into_iter();
        let mut evidence = Vec::new();
        let mut curve = Vec::new();
        let mut devices = Vec::new();
        let mut sightings = Vec::new();
        let mut forgotten = Forgotten::default();
        for tick in ticks {
            if tick.baseline_version != self.judge.version() {
                self.judge.use_version(self.version(tick.baseline_version)?);
            }
            for fact in &tick.facts {
                if let Fact::Device { device, .. } = fact {
                    devices.push(Arc::clone(device));
                }
            }
            findings.extend(self.judge.take_facts(&tick));
            let judgement = self.judge.judge(&tick, &hits.next().unwrap_or_default());
            forgotten.add(judgement.forgotten);
            findings.extend(judgement.findings);
            curve.extend(judgement.curve);
            sightings.extend(judgement.sightings);
            evidence.extend(judgement.evidence.into_iter().map(|told| self.evidence_row(&tick, told)));
            for (window, score) in tick.windows.into_iter().zip(judgement.windows) {
                windows.push(ScoredWindow {
                    window,
                    score: score.score,
                    p_value: score.p_value,
                    evidence: score.evidence,
                    line: score.line,
                });
            }
        }
        let outcome = StepOutcome { lane: self.number, through: last, findings, curve, devices, sightings };
        Ok(Some(Judged {
            first_tick: first,
            last_tick: last,
            ticks: closed,
            resume,
            windows,
            evidence,
            forgotten,
            outcome,
        }))
    }

    fn version(&self, version: u32) -> anyhow::Result<Arc<Prepared>> {
        if version == 0 {
            return Ok(Arc::new(Prepared::nothing_learned()));
        }
        self.shelf.take(version)
    }

    /// Rules are matched for all ticks of the step at once. Facts are taken here by a roster of our own, because the judge
    /// takes them tick by tick. Windows that an action of ours explains match nothing.
    fn match_rules(&mut self, ticks: &[Tick], findings: &mut Vec<Finding>) -> anyhow::Result<Vec<Vec<RuleHit>>> {
        let total = ticks.iter().map(|tick| tick.windows.len()).sum();
        // By row: what a window is without the sign-ins that a ban made fail.
        let mut changed: Vec<(usize, Window)> = Vec::new();
        let mut windows: Vec<&Window> = Vec::with_capacity(total);
        let mut places: Vec<(usize, usize)> = Vec::with_capacity(total);
        let mut columns: Vec<Columns> = Vec::with_capacity(total);
        let mut versions: BTreeMap<u32, Arc<Prepared>> = BTreeMap::new();
        for (index, tick) in ticks.iter().enumerate() {
            self.roster.take_restrictions(tick, self.judge.width(), &self.detect);
            for fact in &tick.facts {
                match fact {
                    Fact::Device { device, .. } => self.roster.join(device),
                    Fact::Left { device, .. } => self.roster.leave(*device),
                    _ => {}
                }
            }
            if let std::collections::btree_map::Entry::Vacant(entry) = versions.entry(tick.baseline_version) {
                entry.insert(self.version(tick.baseline_version)?);
            }
            let mut types = versions[&tick.baseline_version].of_devices();
            let learned = |device: &fleet::Device| types.of(device).map(|prepared| &prepared.learned);
            let rows = self.memory.rows(tick, &self.roster, learned);
            for (place, (window, row)) in tick.windows.iter().zip(rows).enumerate() {
                if self.roster.is_masked(window.device) {
                    continue;
                }
                if let Some(without) = self.roster.without_masked_sign_ins(window) {
                    changed.push((windows.len(), without));
                }
                windows.push(window);
                columns.push(row);
                places.push((index, place));
            }
        }
        for (row, window) in &changed {
            windows[*row] = window;
        }
        let mut hits: Vec<Vec<RuleHit>> = vec![Vec::new(); ticks.len()];
        let (roster, judge_from, detect, told) = (&self.roster, self.judge_from, &self.detect, &mut self.told);
        self.rules.for_each_match(&windows, &columns, |rule, row| {
            let (tick, index) = places[row];
            let window = windows[row];
            let Some(device) = roster.device(window.device) else { return };
            if window.end <= judge_from || !device.is_known() {
                return;
            }
            match rule.kind {
                RuleKind::Behaviour => hits[tick].push(rule.hit(index, window, device)),
                // Once a type: the first tick that shows it is told, and of what follows there is no news.
                RuleKind::Posture => {
                    let emitted_at = window.end.plus_seconds(i64::from(detect.lateness_seconds));
                    let first = *told.entry(rule.posture_id(device)).or_insert(emitted_at);
                    if emitted_at <= first {
                        findings.push(rule.posture(window, device, emitted_at));
                    }
                }
            }
        })?;
        Ok(hits)
    }

    fn evidence_row(&self, tick: &Tick, told: ToldEvidence) -> EvidenceRow {
        let ToldEvidence { evidence, total, line } = told;
        let names = self.names.now();
        let device = names.get(evidence.device);
        let width = self.judge.width();
        EvidenceRow {
            device_id: device.map_or_else(SmolStr::default, |device| device.id.clone()),
            device_type: device.map_or_else(SmolStr::default, |device| device.device_type.clone()),
            window_start: EventTime(tick.end.0 - width),
            window_end: tick.end,
            detector: SmolStr::new_static(evidence.detector),
            subject: evidence.subject,
            observed: evidence.observed,
            expected_type: evidence.expected_type,
            expected_device: evidence.expected_device,
            peers_now: evidence.peers_now,
            technique: (!evidence.technique.is_empty()).then(|| SmolStr::new_static(evidence.technique)),
            evidence: evidence.weight,
            total,
            line,
            records: evidence.records,
        }
    }
}

/// The keeper's own error says why; this one is only met on the way there.
fn stopped() -> anyhow::Error {
    anyhow!("the lane's keeper has stopped")
}
