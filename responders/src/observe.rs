//! The observing responder: the default policy, its guard-rails, and no hands.
//!
//! It decides at an incident's findings of compromise, until it would act: what later findings add cannot undo that. Of
//! several refusals the first is told.

use std::collections::BTreeMap;

use fleet::device::Standing;
use fleet::id::stable_id;
use fleet::memory::Format;
use fleet::{Action, Confidence, Decision, Device, EventTime, Finding, FindingKind, Level, Mode, Scope};
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::Responder;
use crate::config::Config;
use crate::error::Error;

const FORMAT: Format = Format { of: "responder", version: 2 };

const DAY: i64 = 86_400 * fleet::MICROS_PER_SECOND;
/// An incident ends some hours after its last finding, whose windows are a day at most: nothing of it comes after so long.
const DECIDED_FOR: i64 = 2 * DAY;

pub struct Observer {
    config: Config,
    /// Devices the inventory has of each type.
    type_sizes: BTreeMap<SmolStr, u32>,
    past: Past,
}

/// What was decided, as long as later decisions hang on it.
#[derive(Default, Serialize, Deserialize)]
struct Past {
    /// Devices that would be in quarantine, by type, and since when.
    isolated: BTreeMap<SmolStr, Vec<(SmolStr, EventTime)>>,
    /// By incident: the last decision, and when a finding of it was last seen.
    decided: BTreeMap<String, (Decision, EventTime)>,
}

impl Observer {
    pub fn new(config: Config, type_sizes: BTreeMap<SmolStr, u32>) -> Observer {
        Observer { config, type_sizes, past: Past::default() }
    }

    /// The first guard-rail that forbids it.
    fn objection(&self, finding: &Finding, device: Option<&Device>) -> Option<String> {
        if finding.severity < self.config.min_severity {
            return Some(format!("severity {} is below {}", finding.severity, self.config.min_severity));
        }
        if finding.scope != Scope::Device {
            return Some(format!(
                "a {} finding names {} devices; quarantine is decided for single devices only",
                finding.scope,
                finding.devices.len()
            ));
        }
        let Some(device) = device else {
            return Some("the device is not in the inventory".to_owned());
        };
        match device.standing {
            Standing::Unknown => return Some("the identity is unknown to the inventory".to_owned()),
            Standing::Shared => return Some("the identity is shared by several devices".to_owned()),
            Standing::Active | Standing::Retired => {}
        }
        if finding.confidence == Confidence::Learning {
            return Some(format!("the baseline of type `{}` is still learning; confirm by hand", finding.device_type));
        }
        let size = self.type_sizes.get(&finding.device_type).copied().unwrap_or(0);
        let cap = self.config.cap_devices.max((f64::from(size) * self.config.cap_share).floor() as u32);
        let isolated = self.past.isolated.get(&finding.device_type);
        let isolated = isolated.map_or(0, |devices| devices.iter().filter(|(id, _)| *id != finding.device_id).count());
        if isolated as u32 >= cap {
            return Some(format!(
                "the cap of {cap} devices of type `{}` in 24 hours is reached; look before more are cut off",
                finding.device_type
            ));
        }
        None
    }
}

impl Past {
    /// Findings come in the order in which they are emitted: what is too old for this one is for all that follow.
    fn forget(&mut self, now: EventTime) {
        for devices in self.isolated.values_mut() {
            devices.retain(|(_, since)| now.minus(*since) < DAY);
        }
        self.isolated.retain(|_, devices| !devices.is_empty());
        self.decided.retain(|_, (_, seen)| now.minus(*seen) < DECIDED_FOR);
    }
}

impl Responder for Observer {
    fn respond(&mut self, finding: &Finding, device: Option<&Device>) -> Option<Action> {
        self.past.forget(finding.emitted_at);
        let before = self.past.decided.get_mut(&finding.incident_id).map(|(decision, seen)| {
            *seen = finding.emitted_at;
            *decision
        });
        if finding.kind != FindingKind::Compromise {
            return None;
        }
        let objection = self.objection(finding, device);
        let decision = if objection.is_some() { Decision::Refused } else { Decision::WouldAct };
        if before == Some(Decision::WouldAct) || before == Some(decision) {
            return None;
        }
        self.past.decided.insert(finding.incident_id.clone(), (decision, finding.emitted_at));
        if decision == Decision::WouldAct {
            let isolated = self.past.isolated.entry(finding.device_type.clone()).or_default();
            isolated.push((finding.device_id.clone(), finding.emitted_at));
        }
        let reason = objection.unwrap_or_else(|| {
            let first = finding.reasons.first().map_or("", |reason| reason.subject.as_str());
            format!("{} of severity {}, first reason: {first}", finding.kind, finding.severity)
        });
        Some(Action {
            action_id: stable_id(&[&finding.incident_id, Level::Quarantine.name(), decision.name()]),
            incident_id: finding.incident_id.clone(),
            finding_id: finding.finding_id.clone(),
            device_id: finding.device_id.clone(),
            device_type: finding.device_type.clone(),
            level: Level::Quarantine,
            mode: Mode::Observe,
            decision,
            reason,
            decided_at: finding.emitted_at,
        })
    }

    fn memory(&self) -> Vec<u8> {
        FORMAT.save(&self.past)
    }

    fn recall(&mut self, memory: &[u8]) -> Result<(), Error> {
        self.past = FORMAT.load(memory)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
