//! Stores a lane's steps, on a thread of its own: while a disk makes one durable, the lane judges the next.

use std::sync::Arc;

use anyhow::anyhow;
use crossbeam_channel::{Receiver, Sender};
use fleet::{DeviceKey, EventTime};
use rustc_hash::FxHashMap;
use store::{EvidenceRow, ScoredWindow, Step, Store};

use super::{Names, StepOutcome};

/// The whole ticks of a step, judged.
pub(super) struct Judged {
    pub first_tick: EventTime,
    pub last_tick: EventTime,
    pub windows: Vec<ScoredWindow>,
    pub evidence: Vec<EvidenceRow>,
    /// Goes out once the rest is stored.
    pub outcome: StepOutcome,
}

/// From the start of a device's first window to the end of its last.
pub type Heard = FxHashMap<DeviceKey, (EventTime, EventTime)>;

pub(super) enum ToKeep {
    Step(Judged),
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
    /// Until the channel closes; gives who was heard.
    pub fn run(self, steps: &Receiver<ToKeep>) -> anyhow::Result<Heard> {
        let mut heard = Heard::default();
        for message in steps {
            match message {
                ToKeep::Step(judged) => {
                    for ScoredWindow { window, .. } in &judged.windows {
                        heard.entry(window.device).or_insert((window.start, window.end)).1 = window.end;
                    }
                    self.keep(judged)?;
                }
                // Whoever asked may have given up; that is theirs to report.
                ToKeep::Flush => _ = self.flushed.send(()),
            }
        }
        Ok(heard)
    }

    fn keep(&self, judged: Judged) -> anyhow::Result<()> {
        let names = self.names.now();
        self.store.write_step(&Step {
            lane: judged.outcome.lane as u32,
            first_tick: judged.first_tick,
            last_tick: judged.last_tick,
            devices: &names,
            windows: &judged.windows,
            evidence: &judged.evidence,
        })?;
        self.out.send(judged.outcome).map_err(|_| anyhow!("the stage that joins the lanes has stopped"))
    }
}
