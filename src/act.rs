//! What comes of the findings: all lanes' in the order of event time, joined into incidents, stored; in a replay also answered.

use std::collections::BTreeMap;
use std::sync::Arc;

use crossbeam_channel::Receiver;
use datasets::scorecard::curve::{CurveInput, CurveInputPoint};
use datasets::scorecard::incidents::Alarm;
use detect::Joiner;
use fleet::{Action, Device, EventTime, Finding, Incident};
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;
use store::Store;

use crate::config::Config;
use crate::lane::StepOutcome;
use crate::respond::replay::ReplayResponder;

pub struct Act {
    joiner: Joiner,
    names: FxHashMap<fleet::DeviceKey, SmolStr>,
    curve: CurveInput,
    store: Arc<dyn Store>,
    batches: u64,
}

/// What became of findings that can be told, and of incidents that nobody added to.
pub struct Answered {
    pub findings: Vec<Finding>,
    /// Those that changed, as they stand now.
    pub incidents: Vec<Incident>,
}

impl Answered {
    pub fn is_empty(&self) -> bool {
        self.findings.is_empty() && self.incidents.is_empty()
    }
}

#[derive(Serialize, Deserialize)]
pub struct ActMemory {
    joiner: Vec<u8>,
}

impl Act {
    pub fn new(config: &Config, lanes: usize, store: Arc<dyn Store>) -> Act {
        let points = config.detect.curve_budgets.iter();
        Act {
            joiner: Joiner::new(&config.detect, lanes),
            names: FxHashMap::default(),
            curve: CurveInput(
                points.map(|budget| CurveInputPoint { budget: *budget, line: 0.0, findings: Vec::new() }).collect(),
            ),
            store,
            batches: 0,
        }
    }

    /// Until every lane has ended.
    pub fn run(mut self, mut responder: ReplayResponder, outcomes: &Receiver<StepOutcome>) -> anyhow::Result<Act> {
        // A replay has an end: they are written once.
        let mut incidents: BTreeMap<String, Incident> = BTreeMap::new();
        let mut changed = |these: Vec<Incident>| {
            incidents.extend(these.into_iter().map(|incident| (incident.incident_id.clone(), incident)));
        };
        for outcome in outcomes {
            for device in outcome.devices {
                self.names.insert(device.key, device.id.clone());
                self.meet(&device);
                responder.meet(device);
            }
            for finding in outcome.curve {
                let device_id = self.names.get(&finding.device).cloned().unwrap_or_default();
                self.curve.0[finding.budget].findings.push(Alarm {
                    device_id,
                    emitted_at: finding.emitted_at,
                    window_start: finding.window_start,
                    window_end: finding.window_end,
                });
            }
            let answered = self.take(outcome.lane, outcome.through, outcome.findings);
            self.store(&answered, responder.answer(&answered.findings)?)?;
            changed(answered.incidents);
        }
        let released = self.joiner.finish();
        let answered = self.answer(released);
        self.store(&answered, responder.answer(&answered.findings)?)?;
        changed(answered.incidents);
        self.store.write_incidents(&incidents.into_values().collect::<Vec<_>>())?;
        for point in &mut self.curve.0 {
            point.findings.sort_by(|a, b| (a.emitted_at, &a.device_id).cmp(&(b.emitted_at, &b.device_id)));
        }
        Ok(self)
    }

    /// Whom findings may name.
    pub fn meet(&mut self, device: &Device) {
        self.joiner.locate(device.id.clone(), device.site.clone());
    }

    /// A lane has closed every tick up to `through`, and found this; gives what can be told by now.
    pub fn take(&mut self, lane: usize, through: EventTime, findings: Vec<Finding>) -> Answered {
        self.joiner.push(lane, through, findings);
        let released = self.joiner.advance();
        self.answer(released)
    }

    fn answer(&mut self, findings: Vec<Finding>) -> Answered {
        Answered { findings, incidents: self.joiner.changed_incidents() }
    }

    fn store(&mut self, answered: &Answered, actions: Vec<Action>) -> anyhow::Result<()> {
        if answered.findings.is_empty() {
            return Ok(());
        }
        let name = format!("act-{:06}", self.batches);
        self.batches += 1;
        self.store.write_findings(&name, &answered.findings)?;
        if !actions.is_empty() {
            self.store.write_actions(&name, &actions)?;
        }
        Ok(())
    }

    /// What findings name comes with them.
    pub fn memory(&self) -> ActMemory {
        ActMemory { joiner: self.joiner.memory() }
    }

    pub fn recall(&mut self, memory: &ActMemory) -> anyhow::Result<()> {
        self.joiner.recall(&memory.joiner)?;
        Ok(())
    }

    /// What each budget of the operating curve would have found, with the line it was held to.
    pub fn into_curve(mut self, line: impl Fn(f64) -> f64) -> CurveInput {
        for point in &mut self.curve.0 {
            point.line = line(point.budget);
        }
        self.curve
    }
}
