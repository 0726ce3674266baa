//! One message to somebody outside, and who takes it there.

use std::fmt;

use fleet::{EventTime, FindingKind, Severity};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use smol_str::SmolStr;

use crate::gateways::Failure;

/// What a message is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The finding that opened an incident or made it graver, with its evidence (OCSF 2004); for machines.
    Finding,
    /// An incident is there (2005).
    Opened,
    /// It is graver than was told (2005).
    Raised,
    /// A person has judged it (2005).
    Verdict,
    /// It has been quiet for long enough (2005).
    Closed,
    /// A playbook says that people are to be told (7001).
    Notify,
    /// A playbook says that a ticket is to be opened (7001).
    Ticket,
    /// An action is on its way (7001); for machines.
    Step,
    /// An action is somewhere (7001).
    Action,
    /// What the rate limit held back, in one.
    Digest,
    /// Messages could not be delivered.
    Lost,
}

impl Kind {
    pub const ALL: [Kind; 11] = [
        Kind::Finding,
        Kind::Opened,
        Kind::Raised,
        Kind::Verdict,
        Kind::Closed,
        Kind::Notify,
        Kind::Ticket,
        Kind::Step,
        Kind::Action,
        Kind::Digest,
        Kind::Lost,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Kind::Finding => "finding",
            Kind::Opened => "opened",
            Kind::Raised => "raised",
            Kind::Verdict => "verdict",
            Kind::Closed => "closed",
            Kind::Notify => "notify",
            Kind::Ticket => "ticket",
            Kind::Step => "step",
            Kind::Action => "action",
            Kind::Digest => "digest",
            Kind::Lost => "lost",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(self.name())
    }
}

/// No payloads and no secrets: it leaves the house.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Outgoing {
    /// The same for the same message, after every restart too: whoever receives it drops copies by it.
    pub key: String,
    /// When it happened.
    pub at: EventTime,
    pub kind: Kind,
    pub severity: Severity,
    /// `None` where the incident is not known any more, or where it is about several.
    pub finding_kind: Option<FindingKind>,
    /// Empty where it is about several; so are the next two.
    pub incident_id: String,
    pub device_id: SmolStr,
    pub device_type: SmolStr,
    /// One line.
    pub title: String,
    /// For a person; some lines.
    pub text: String,
    /// As OCSF 1.5 has it.
    pub event: Value,
}

/// Who takes messages somewhere. Calls block, within the sink's own time limit; each sink has a thread of its own.
pub trait Sink: Send {
    /// # Errors
    /// It did not arrive, or nobody can tell; `retry()` says whether the same may work later.
    fn send(&mut self, message: &Outgoing) -> Result<(), Failure>;
}
