//! What comes of the findings: all lanes' in the order of event time, joined into incidents, answered by the responder,
//! stored.

use std::collections::BTreeMap;
use std::sync::Arc;

use crossbeam_channel::Receiver;
use datasets::scorecard::curve::{CurveInput, CurveInputPoint};
use datasets::scorecard::incidents::Alarm;
use detect::Joiner;
use fleet::device::Standing;
use fleet::{Action, Device, EventTime, Finding, Incident};
use responders::{Observer, Responder};
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;
use store::Store;

use crate::config::Config;
use crate::lane::StepOutcome;

pub struct Act {
    joiner: Joiner,
    responder: Box<dyn Responder + Send>,
    devices: FxHashMap<SmolStr, Arc<Device>>,
    names: FxHashMap<fleet::DeviceKey, SmolStr>,
    curve: CurveInput,
    store: Arc<dyn Store>,
    batches: u64,
}

/// What became of findings that can be told, and of incidents that nobody added to.
pub struct Answered {
    pub findings: Vec<Finding>,
    pub actions: Vec<Action>,
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
    responder: Vec<u8>,
}

/// How many active devices there are of each type.
pub fn type_sizes(devices: &[Arc<Device>]) -> BTreeMap<SmolStr, u32> {
    let mut sizes: BTreeMap<SmolStr, u32> = BTreeMap::new();
    for device in devices.iter().filter(|device| device.standing == Standing::Active) {
        *sizes.entry(device.device_type.clone()).or_default() += 1;
    }
    sizes
}

impl Act {
    /// `type_sizes`: active devices of each type, which caps are a share of.
    pub fn new(config: &Config, lanes: usize, type_sizes: BTreeMap<SmolStr, u32>, store: Arc<dyn Store>) -> Act {
        let points = config.detect.curve_budgets.iter();
        Act {
            joiner: Joiner::new(&config.detect, lanes),
            responder: Box::new(Observer::new(config.responders.clone(), type_sizes)),
            devices: FxHashMap::default(),
            names: FxHashMap::default(),
            curve: CurveInput(
                points.map(|budget| CurveInputPoint { budget: *budget, line: 0.0, findings: Vec::new() }).collect(),
            ),
            store,
            batches: 0,
        }
    }

    /// Until every lane has ended.
    pub fn run(mut self, outcomes: &Receiver<StepOutcome>) -> anyhow::Result<Act> {
        // A replay has an end: they are written once.
        let mut incidents: BTreeMap<String, Incident> = BTreeMap::new();
        let mut changed = |these: Vec<Incident>| {
            incidents.extend(these.into_iter().map(|incident| (incident.incident_id.clone(), incident)));
        };
        for outcome in outcomes {
            for device in outcome.devices {
                self.names.insert(device.key, device.id.clone());
                self.meet(device);
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
            self.store(&answered)?;
            changed(answered.incidents);
        }
        let released = self.joiner.finish();
        let answered = self.answer(released);
        self.store(&answered)?;
        changed(answered.incidents);
        self.store.write_incidents(&incidents.into_values().collect::<Vec<_>>())?;
        for point in &mut self.curve.0 {
            point.findings.sort_by(|a, b| (a.emitted_at, &a.device_id).cmp(&(b.emitted_at, &b.device_id)));
        }
        Ok(self)
    }

    /// Whom findings may name.
    pub fn meet(&mut self, device: Arc<Device>) {
        self.joiner.locate(device.id.clone(), device.site.clone());
        self.devices.insert(device.id.clone(), device);
    }

    /// A lane has closed every tick up to `through`, and found this; gives what can be told by now.
    pub fn take(&mut self, lane: usize, through: EventTime, findings: Vec<Finding>) -> Answered {
        self.joiner.push(lane, through, findings);
        let released = self.joiner.advance();
        self.answer(released)
    }

    fn answer(&mut self, findings: Vec<Finding>) -> Answered {
        let mut actions = Vec::new();
        for finding in &findings {
            let device = self.devices.get(&finding.device_id).map(AsRef::as_ref);
            actions.extend(self.responder.respond(finding, device));
        }
        Answered { findings, actions, incidents: self.joiner.changed_incidents() }
    }

    fn store(&mut self, answered: &Answered) -> anyhow::Result<()> {
        if answered.findings.is_empty() {
            return Ok(());
        }
        let name = format!("act-{:06}", self.batches);
        self.batches += 1;
        self.store.write_findings(&name, &answered.findings)?;
        if !answered.actions.is_empty() {
            self.store.write_actions(&name, &answered.actions)?;
        }
        Ok(())
    }

    /// Joiner and responder; what findings name comes with them.
    pub fn memory(&self) -> ActMemory {
        ActMemory { joiner: self.joiner.memory(), responder: self.responder.memory() }
    }

    pub fn recall(&mut self, memory: &ActMemory) -> anyhow::Result<()> {
        self.joiner.recall(&memory.joiner)?;
        self.responder.recall(&memory.responder)?;
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
