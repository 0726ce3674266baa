//! Playbooks: what is done about which findings, as files that people write and read.
//!
//! A playbook is a condition (SQL, which the front door compiles with the store's engine over [`columns`]), limits on where
//! and when it holds, and steps. Of all playbooks the first that applies decides, highest priority first
//! ([`Playbooks`]), and its [`Playbook::steps`] are taken.

pub mod cacao;
pub mod columns;
pub mod folder;
pub mod hours;
mod mistake;
mod parse;
pub mod period;
pub mod shipped;
pub mod step;
pub mod warnings;

use std::fmt;

use fleet::id::stable_id;
use fleet::{Criticality, Device, EventTime, Finding, Level, Mode};
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

pub use cacao::NotMapped;
pub use columns::Circumstances;
pub use folder::{Playbooks, load_folder};
pub use hours::Hours;
pub use period::Period;
pub use shipped::shipped;
pub use step::{Escalation, OnFailure, Step, StillTalking, lasts};
pub use warnings::Warning;

use crate::error::Error;

/// One file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Playbook {
    /// Lower-case letters, digits and hyphens; no two playbooks have the same.
    pub id: SmolStr,
    pub title: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    #[serde(default)]
    pub mode: Mode,
    /// 1 to 100; the highest is asked first, and of equal ones the first by id.
    #[serde(default = "middle")]
    pub priority: u8,
    /// SQL over [`columns::COLUMNS`]; null is no.
    pub when: String,
    #[serde(default, rename = "where", skip_serializing_if = "Selection::is_empty")]
    pub only: Selection,
    #[serde(default, skip_serializing_if = "Selection::is_empty")]
    pub except: Selection,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hours: Option<Hours>,
    #[serde(default, skip_serializing_if = "Approval::is_default")]
    pub approval: Approval,
    /// Taken in this order, each an action of its own; no two of the same level.
    #[serde(rename = "step")]
    pub steps: Vec<Step>,
    /// Where it was read; no part of what it says.
    #[serde(skip)]
    pub written: Written,
}

/// Where a playbook was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Empty when it was never a file.
    pub file: String,
    /// Of `when`, counted from 1.
    pub when_line: usize,
}

/// Devices, by what the inventory says of them. An empty list asks for nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Selection {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sites: Vec<SmolStr>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub segments: Vec<SmolStr>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub types: Vec<SmolStr>,
    /// What the inventory calls `purpose`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<SmolStr>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub owners: Vec<SmolStr>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub criticality: Vec<Criticality>,
}

/// Who is asked, where somebody has to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Approval {
    /// Names of people or groups, as the notices show them; anybody who has the right may answer all the same.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ask: Vec<String>,
    /// No answer by then means no.
    pub within: Period,
    /// Levels that need it even where the mode is `auto`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub levels: Vec<Level>,
    /// Two different people have to say yes, at every level of the playbook that is asked for.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub four_eyes: bool,
}

impl Default for Approval {
    fn default() -> Approval {
        Approval { ask: Vec::new(), within: Period::minutes(15), levels: Vec::new(), four_eyes: false }
    }
}

impl Approval {
    fn is_default(&self) -> bool {
        *self == Approval::default()
    }
}

fn middle() -> u8 {
    50
}

impl Playbook {
    /// # Errors
    /// What is wrong, with file, line, and a caret under it. The predicate is not looked into: see [`Playbook::wrong_when`].
    pub fn parse(text: &str, file: &str) -> Result<Playbook, Error> {
        parse::parse(text, file)
    }

    /// As a file that [`Playbook::parse`] reads.
    ///
    /// # Errors
    /// None for a playbook that was parsed.
    pub fn to_toml(&self) -> Result<String, Error> {
        toml::to_string_pretty(self).map_err(|error| Error::Wrong(format!("playbook `{}`: {error}", self.id)))
    }

    /// Stands for what the playbook says; the same however it is laid out and commented, and wherever it is stored.
    pub fn version(&self) -> String {
        let laid_out_alike = Playbook { when: warnings::conjuncts(&self.when).join(" and "), ..self.clone() };
        // Field by field in a fixed order, and a field at its default may be written or not.
        let content = serde_json::to_string(&laid_out_alike).unwrap_or_default();
        stable_id(&["playbook", &content])
    }

    /// Whether it holds for this device at this time; the predicate apart. `device` is `None` for group findings, of which
    /// only the type is known.
    pub fn applies(&self, finding: &Finding, device: Option<&Device>, at: EventTime) -> bool {
        self.only.holds(finding, device)
            && !self.except.strikes(finding, device)
            && self.hours.as_ref().is_none_or(|hours| hours.apply_at(at))
    }

    /// Whether somebody has to say yes first, as far as this playbook goes; the modes above it may ask for more.
    pub fn needs_approval(&self, level: Level) -> bool {
        level.restricts()
            && match self.mode {
                Mode::Observe => false,
                Mode::Approve => true,
                Mode::Auto => self.approval.levels.contains(&level),
            }
    }

    /// Whether any of its steps, or what they escalate to, is noticed by the device.
    pub fn restricts(&self) -> bool {
        self.steps.iter().flat_map(Step::levels).any(Level::restricts)
    }

    /// What the SQL engine said of `when`, with the place of the predicate in front.
    pub fn wrong_when(&self, problem: &dyn fmt::Display) -> Error {
        let Written { file, when_line } = &self.written;
        let place = if file.is_empty() { String::new() } else { format!("{file}:{when_line}: ") };
        Error::Wrong(format!("{place}`when` of playbook `{}`: {problem}", self.id))
    }
}

impl Selection {
    pub fn is_empty(&self) -> bool {
        *self == Selection::default()
    }

    /// Whether every list that asks for something has the device.
    fn holds(&self, finding: &Finding, device: Option<&Device>) -> bool {
        self.lists(finding, device).into_iter().all(|found| found != Some(false))
    }

    /// Whether any list has the device.
    fn strikes(&self, finding: &Finding, device: Option<&Device>) -> bool {
        self.lists(finding, device).contains(&Some(true))
    }

    /// For each list whether it has the device; `None` of an empty one.
    fn lists(&self, finding: &Finding, device: Option<&Device>) -> [Option<bool>; 6] {
        let has = |list: &[SmolStr], value: Option<&SmolStr>| {
            (!list.is_empty()).then(|| value.is_some_and(|value| list.contains(value)))
        };
        let criticality = || device.is_some_and(|device| self.criticality.contains(&device.criticality));
        [
            has(&self.sites, device.map(|device| &device.site)),
            has(&self.segments, device.map(|device| &device.segment)),
            has(&self.types, Some(device.map_or(&finding.device_type, |device| &device.device_type))),
            has(&self.roles, device.map(|device| &device.purpose)),
            has(&self.owners, device.map(|device| &device.owner)),
            (!self.criticality.is_empty()).then(criticality),
        ]
    }
}

#[cfg(test)]
mod tests;
