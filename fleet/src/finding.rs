//! Findings: a device (or a group of them) that departed from its baseline, with reasons a responder can act on.

use std::fmt;

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::reading::Position;
use crate::time::EventTime;

macro_rules! names {
    ($type:ident { $($variant:ident = $name:literal),* $(,)? }) => {
        impl $type {
            pub const ALL: &'static [$type] = &[$($type::$variant),*];
            pub fn name(self) -> &'static str {
                match self { $($type::$variant => $name),* }
            }
            pub fn from_name(name: &str) -> Option<$type> {
                match name { $($name => Some($type::$variant),)* _ => None }
            }
        }
        impl fmt::Display for $type {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.pad(self.name())
            }
        }
    };
}
pub(crate) use names;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    Device,
    /// Devices of one type.
    Fleet,
    /// Devices of one site, across types.
    Site,
}
names!(Scope { Device = "device", Fleet = "fleet", Site = "site" });

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingKind {
    /// Somebody else uses the device.
    Compromise,
    /// Departed from its baseline; neither clearly hostile nor clearly broken.
    Anomaly,
    /// The device, or what it depends on, is broken: silence, stuck value.
    Fault,
    /// A group does something new together, of a benign shape.
    Change,
    /// A group went quiet or lost its service together.
    Outage,
    /// An identity the inventory does not know.
    UnknownDevice,
    /// A device the inventory has retired speaks.
    RetiredDevice,
    /// A posture rule: one per type and rule, outside the alert budget.
    Posture,
}
names!(FindingKind {
    Compromise = "compromise", Anomaly = "anomaly", Fault = "fault", Change = "change", Outage = "outage",
    UnknownDevice = "unknown_device", RetiredDevice = "retired_device", Posture = "posture",
});

impl FindingKind {
    /// Kinds that spend the alert budget.
    pub fn is_budgeted(self) -> bool {
        matches!(self, FindingKind::Compromise | FindingKind::Anomaly | FindingKind::Fault)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    Info,
    Low,
    Medium,
    High,
    Critical,
}
names!(Severity { Info = "info", Low = "low", Medium = "medium", High = "high", Critical = "critical" });

/// How sure a type's baseline is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Confidence {
    /// Too little seen: peers and rules only.
    #[default]
    Learning,
    /// Seen by fewer than two devices or on fewer than two days.
    Provisional,
    Ready,
}
names!(Confidence { Learning = "learning", Provisional = "provisional", Ready = "ready" });

/// One reason: what was seen, against what was expected.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reason {
    pub detector: SmolStr,
    /// Feature, or `service destination`.
    pub subject: SmolStr,
    pub observed: String,
    pub expected_type: Option<String>,
    pub expected_device: Option<String>,
    pub peers_now: Option<String>,
    pub first_seen_type: Option<bool>,
    pub first_seen_device: Option<bool>,
    /// MITRE ATT&CK technique.
    pub technique: Option<SmolStr>,
    /// Natural logarithm units: how much rarer than usual.
    pub evidence: f64,
    /// First and last contributing record.
    pub records: Option<(Position, Position)>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    pub finding_id: String,
    pub incident_id: String,
    pub scope: Scope,
    /// Empty for a group finding.
    pub device_id: SmolStr,
    /// Every device of a group finding; the one device otherwise.
    pub devices: Vec<SmolStr>,
    pub device_type: SmolStr,
    pub kind: FindingKind,
    pub severity: Severity,
    pub confidence: Confidence,
    /// Evidence, natural logarithm units, against the line it crossed.
    pub score: f64,
    pub line: f64,
    /// Probability of as much evidence on a normal device-day of this type.
    pub p_value: f64,
    /// Strongest first.
    pub detectors: Vec<SmolStr>,
    pub technique: SmolStr,
    /// Event time: end of the window that carried it over the line, plus lateness and any hold.
    pub emitted_at: EventTime,
    pub window_start: EventTime,
    pub window_end: EventTime,
    pub baseline_version: u32,
    /// Strongest first.
    pub reasons: Vec<Reason>,
    /// One paragraph for a person.
    pub explanation: String,
}

/// Findings about one device (or group) and episode, updated as it goes on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Incident {
    pub incident_id: String,
    pub scope: Scope,
    pub device_id: SmolStr,
    pub device_type: SmolStr,
    pub kind: FindingKind,
    pub severity: Severity,
    pub opened_at: EventTime,
    /// When it had been quiet for long enough; `None` while open.
    pub closed_at: Option<EventTime>,
    pub first_window: EventTime,
    pub last_window: EventTime,
    pub findings: u32,
}
