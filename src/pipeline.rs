//! The three stages started, fed and stopped: route, judge (a lane per core), act. A file as source and channels between
//! the stages; the stages themselves know neither.

use std::sync::Arc;
use std::thread;

use anyhow::{Context, anyhow};
use crossbeam_channel::{Receiver, bounded};
use datasets::Departure;
use datasets::scorecard::curve::CurveInput;
use detect::{Forgotten, RuleSet, Version};
use fleet::{Device, EventTime, Fact, MICROS_PER_SECOND};
use ingest::identity::Router;
use ingest::windows::LaneCounters;
use ingest::{Fetched, Inventory, Source, Tally};
use store::{ParquetStore, RejectedRow, Store};

use crate::act::Act;
use crate::config::Config;
use crate::lane::{Heard, LaneWorker, Names, Shelf};
use crate::progress::Progress;
use crate::respond::playbooks::CompiledPlaybooks;
use crate::respond::replay::ReplayResponder;
use crate::route::Route;
use crate::rules::CompiledRules;
use crate::trainer;

/// Batches that may wait before a stage; with more the next stage finds them no longer in its cache.
const WAITING: usize = 2;
/// From so many lines on, a share of rejected ones above the limit ends the run: the format is another.
const LINES_TO_JUDGE_A_FORMAT: u64 = 10_000;

pub struct Run<'a> {
    pub config: &'a Config,
    pub inventory: Inventory,
    pub source: Box<dyn Source + Send>,
    pub departures: Vec<Departure>,
    /// Learn from windows up to here, judge from here on; `None`: nothing is learned, everything is judged.
    pub learn_until: Option<EventTime>,
    pub lanes: usize,
    pub store: Arc<ParquetStore>,
    pub playbooks: CompiledPlaybooks,
}

pub struct Outcome {
    pub tally: Tally,
    pub lanes: LaneCounters,
    pub heard: Heard,
    pub forgotten: Forgotten,
    pub reached: Option<EventTime>,
    pub version: Option<Version>,
    pub curve: CurveInput,
    pub devices: Vec<Arc<Device>>,
}

pub fn run(run: Run<'_>, progress: &mut Progress) -> anyhow::Result<Outcome> {
    let config = run.config;
    let rules = Arc::new(CompiledRules::compile(RuleSet::shipped()?)?);
    let shelf = Shelf::default();
    let names = Names::default();
    let judge_from = run.learn_until.unwrap_or(EventTime::MIN);
    let router = Router::new(run.inventory, &config.ingest);
    let (outcome_sender, outcomes) = bounded(WAITING * run.lanes);
    let act = Act::new(config, run.lanes, Arc::clone(&run.store) as Arc<dyn Store>);
    let responder = ReplayResponder::new(config, run.playbooks, router.devices(), run.store.dir())?;

    thread::scope(|scope| {
        let mut inputs = Vec::new();
        let mut lanes = Vec::new();
        for number in 0..run.lanes {
            let (input, entries) = bounded(WAITING);
            let store = Arc::clone(&run.store) as Arc<dyn Store>;
            let worker = LaneWorker::new(number, config, judge_from, shelf.clone(), Arc::clone(&rules), names.clone());
            let out = outcome_sender.clone();
            let (flushed, is_flushed) = bounded(1);
            inputs.push((input, is_flushed));
            lanes.push(scope.spawn(move || worker.run(&entries, store, out, flushed)));
        }
        drop(outcome_sender);
        let act = scope.spawn(move || act.run(responder, &outcomes));
        let (fetched_sender, fetched) = bounded(WAITING);
        let mut source = run.source;
        let reader = scope.spawn(move || -> anyhow::Result<()> {
            loop {
                let mut batch = Fetched::default();
                let more = source.fetch(&mut batch)?;
                let share = source.progress();
                if fetched_sender.send((batch, share)).is_err() || !more {
                    return Ok(());
                }
            }
        });

        let routed = Route::new(router, inputs, names, config.ingest.lateness_seconds).and_then(|route| {
            let mut feeder =
                Feeder { route, config, store: &run.store, shelf: &shelf, learn_until: run.learn_until, version: None };
            for departure in &run.departures {
                let from = departure.from;
                feeder.route.tell_lane_of(&departure.device_id, |device| Fact::Left { device: device.key, from })?;
            }
            let tally = feeder.feed(&fetched, progress)?;
            Ok((feeder.finish()?, tally))
        });
        // The feeder has hung up: whoever still waits for it ends. A stage's own error says more than that it hung up.
        drop(fetched);
        let mut counters = LaneCounters::default();
        let mut heard = Heard::default();
        let mut forgotten = Forgotten::default();
        let mut failure = joined(reader.join(), "reader").err();
        for lane in lanes {
            match joined(lane.join(), "lane") {
                Ok((of_lane, heard_by_lane, forgotten_by_lane)) => {
                    add(&mut counters, of_lane);
                    heard.extend(heard_by_lane);
                    forgotten.add(forgotten_by_lane);
                }
                Err(error) => {
                    failure.get_or_insert(error);
                }
            }
        }
        // A stage that stops takes its neighbours along; the innermost says why.
        let act = joined(act.join(), "act")?;
        if let Some(error) = failure {
            return Err(error);
        }
        let (fed, tally) = routed?;
        let line = |budget: f64| fed.version.as_ref().map_or(0.0, |version| version.calibration.line(budget));
        let curve = act.into_curve(line);
        Ok(Outcome {
            tally,
            lanes: counters,
            heard,
            forgotten,
            reached: fed.route.reached(),
            curve,
            devices: fed.route.devices().to_vec(),
            version: fed.version,
        })
    })
}

fn joined<T>(result: thread::Result<anyhow::Result<T>>, stage: &str) -> anyhow::Result<T> {
    match result {
        Ok(result) => result,
        Err(_) => Err(anyhow!("the {stage} stage panicked; this is a defect of vedette, please report it")),
    }
}

fn add(sum: &mut LaneCounters, of_lane: LaneCounters) {
    sum.accepted += of_lane.accepted;
    sum.late += of_lane.late;
    sum.duplicates += of_lane.duplicates;
    sum.forced += of_lane.forced;
}

/// Feeds the lanes' logs, and has a version learned between the learning and the judging part.
struct Feeder<'a> {
    route: Route,
    config: &'a Config,
    store: &'a Arc<ParquetStore>,
    shelf: &'a Shelf,
    learn_until: Option<EventTime>,
    version: Option<Version>,
}

impl Feeder<'_> {
    fn feed(&mut self, fetched: &Receiver<(Fetched, f64)>, progress: &mut Progress) -> anyhow::Result<Tally> {
        let mut tally = Tally::default();
        let mut rejected_batches = 0;
        for (batch, share) in fetched {
            tally.add(&batch);
            if tally.readings + tally.rejected() >= LINES_TO_JUDGE_A_FORMAT {
                tally.check(self.config.ingest.max_rejected_share)?;
            }
            if !batch.rejected.is_empty() {
                self.store.write_rejected(&format!("batch-{rejected_batches}"), &rejected_rows(&batch))?;
                rejected_batches += 1;
            }
            self.route.take(batch.readings)?;
            self.advance(self.route.watermark(), progress)?;
            progress.update(share, tally.readings, self.route.reached());
        }
        tally.check(self.config.ingest.max_rejected_share)?;
        Ok(tally)
    }

    /// Marks time; learning happens when everything up to its end is complete, and before anything later closes.
    fn advance(&mut self, watermark: EventTime, progress: &Progress) -> anyhow::Result<()> {
        if let Some(until) = self.learn_until
            && watermark >= until
        {
            self.learn_until = None;
            self.route.mark(until)?;
            self.learn(until, progress)?;
        }
        self.route.mark(watermark)
    }

    fn learn(&mut self, until: EventTime, progress: &Progress) -> anyhow::Result<()> {
        self.route.flush()?;
        progress.say(&format!("learning from windows up to {until}"));
        let number = 1;
        let version = trainer::learn_version(self.store, self.route.devices(), until, number, self.config, self.shelf)
            .context("learning failed")?;
        match version {
            Some(version) => {
                self.route.tell(&Fact::Baseline { version: number, from: until })?;
                self.version = Some(version);
            }
            None => progress.say("no window of a known device type to learn from: judging by peers and rules only"),
        }
        Ok(())
    }

    /// Marks the end of the last window in every lane, also in those that heard nothing of late, and hangs up.
    fn finish(mut self) -> anyhow::Result<Fed> {
        if let Some(reached) = self.route.reached() {
            let width = i64::from(self.config.ingest.window_seconds) * MICROS_PER_SECOND;
            self.route.mark(reached.window_end(width))?;
        }
        self.route.hang_up();
        Ok(Fed { route: self.route, version: self.version })
    }
}

struct Fed {
    route: Route,
    version: Option<Version>,
}

fn rejected_rows(batch: &Fetched) -> Vec<RejectedRow> {
    let row = |rejected: &ingest::Rejected| RejectedRow {
        file: rejected.file.as_ref().into(),
        position: rejected.position,
        reason: rejected.reason.name().into(),
        detail: rejected.detail.clone(),
        sample: String::from_utf8_lossy(rejected.sample()).into_owned(),
    };
    batch.rejected.iter().map(row).collect()
}
