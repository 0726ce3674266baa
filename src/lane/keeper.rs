//! Stores a lane's steps, on a thread of its own: while a disk makes one durable, the lane judges the next.

use std::sync::Arc;

use anyhow::anyhow;
use crossbeam_channel::{Receiver, Sender};
use detect::Forgotten;
use fleet::{DeviceKey, EventTime, Resume};
use rustc_hash::FxHashMap;
use store::{DeviceNames, EvidenceRow, ScoredWindow, Step, Store};

use super::{Names, StepOutcome};

/// The whole ticks of a step, judged.
pub struct Judged {
    pub first_tick: EventTime,
    pub last_tick: EventTime,
    pub ticks: usize,
    /// Where to go on once all of it is durable.
    pub resume: Resume,
    pub windows: Vec<ScoredWindow>,
    pub evidence: Vec<EvidenceRow>,
    pub forgotten: Forgotten,
    /// Goes out once the rest is stored.
    pub outcome: StepOutcome,
}

impl Judged {
    pub fn step<'a>(&'a self, devices: &'a DeviceNames) -> Step<'a> {
        Step {
            lane: self.outcome.lane as u32,
            first_tick: self.first_tick,
            last_tick: self.last_tick,
            devices,
            windows: &self.windows,
            evidence: &self.evidence,
        }
    }
}

/// From the start of a device's first window to the end of its last.
pub type Heard = FxHashMap<DeviceKey, (EventTime, EventTime)>;

pub fn note_heard(heard: &mut Heard, windows: &[ScoredWindow]) {
    for ScoredWindow { window, .. } in windows {
        heard.entry(window.device).or_insert((window.start, window.end)).1 = window.end;
    }
}

pub(super) enum ToKeep {
    Step(Box<Judged>),
    Flush,
}

pub(super) struct Keeper {
    pub store: Arc<dyn Store>,
    pub names: Names,
    pub out: Sender<StepOutcome>,
    /// Told when everything before a flush is stored; hangs up with the lane, so that nobody waits for one that failed.
    pub flushed: Sender<()>,
}

impl Keeper {
    /// Until the channel closes; gives who was heard, and what of them was forgotten.
    pub fn run(self, steps: &Receiver<ToKeep>) -> anyhow::Result<(Heard, Forgotten)> {
        let (mut heard, mut forgotten) = (Heard::default(), Forgotten::default());
        for message in steps {
            match message {
                ToKeep::Step(judged) => {
                    note_heard(&mut heard, &judged.windows);
                    forgotten.add(judged.forgotten);
                    self.keep(*judged)?;
                }
                // Whoever asked may have given up; that is theirs to report.
                ToKeep::Flush => _ = self.flushed.send(()),
            }
        }
        Ok((heard, forgotten))
    }

    fn keep(&self, judged: Judged) -> anyhow::Result<()> {
        self.store.write_step(&judged.step(&self.names.now()))?;
        self.out.send(judged.outcome).map_err(|_| anyhow!("the stage that joins the lanes has stopped"))
    }
}
