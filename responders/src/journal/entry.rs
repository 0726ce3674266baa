//! What an entry says. JSON, one line an entry, so that it can be read without Vedette.

use std::collections::BTreeMap;
use std::time::Duration;

use fleet::{EventTime, FindingKind, Level, Mode, Severity, State};
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

pub use super::verdict::{Ground, KeptBack, Reach, ReachOf, Verdict};
use crate::gateways::Key;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// From 1, without holes.
    pub seq: u64,
    /// By the clock of who wrote it; never before the entry before.
    pub at: EventTime,
    /// Hash of the entry before, 64 zeros at the beginning.
    pub previous: SmolStr,
    #[serde(flatten)]
    pub body: Body,
    /// SHA-256, hexadecimal, over the line's bytes before `,"hash"`.
    #[serde(default)]
    pub hash: SmolStr,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Body {
    /// A process writes from here on.
    Began(Began),
    /// It ended in order, and sends nothing any more.
    Ended(Began),
    Proposed(Box<Proposal>),
    Moved(Box<Move>),
    Noted(Note),
    KeptBack(Box<KeptBack>),
    Commanded(Box<Commanded>),
    /// Somebody called the API.
    Called(Called),
    /// The chain up to the entry before this one is vouched for.
    Signed(Signed),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Began {
    pub owner: String,
    pub release: String,
    /// For how long it sends on the brokers' word, without a new one.
    #[serde(default)]
    pub lease_seconds: u32,
}

impl Began {
    pub fn lease(&self) -> Duration {
        Duration::from_secs(self.lease_seconds.into())
    }
}

/// What is to be done, and what led to it. Its action begins in the state `proposed`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Proposal {
    /// Of device, incident and level.
    pub action_id: String,
    pub incident_id: String,
    pub finding_id: String,
    pub device_id: SmolStr,
    pub device_type: SmolStr,
    pub site: SmolStr,
    #[serde(default)]
    pub segment: SmolStr,
    /// Of the finding. An entry's own `kind` stands beside it in the same object.
    #[serde(rename = "finding_kind")]
    pub kind: FindingKind,
    pub severity: Severity,
    pub level: Level,
    /// In the order in which they are tried; empty where nobody has to be asked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gateways: Vec<SmolStr>,
    pub playbook: SmolStr,
    pub playbook_version: SmolStr,
    pub mode: Mode,
    /// How long it holds once it is applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_seconds: Option<u32>,
    /// No answer by then means no.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer_by: Option<EventTime>,
    /// People who have to agree, each of them another one.
    pub approvals: u8,
    /// Levels that people are asked about in mode `auto` as well.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ask_for: Vec<Level>,
    /// The action of the step before it, where the playbook stops when that one fails: it waits for that one to hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// What is done where telemetry says that it did not work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub if_still_talking: Option<Level>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub talking_ttl_seconds: Option<u32>,
    /// What it is for, in a sentence.
    pub why: String,
    /// Event time: begin of the incident's first window, and when the finding was told.
    pub first_window: EventTime,
    pub found_at: EventTime,
}

/// An action goes to another state; the rest is what changed with it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Move {
    pub action_id: String,
    pub to: State,
    /// `policy`, `loop`, or who said so.
    pub by: SmolStr,
    pub reason: String,
    /// To `applying`: through whom, what the device is known by at this moment, and until when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<SmolStr>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub names: BTreeMap<Key, SmolStr>,
    /// Its addresses beside the one in `names`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub further: Vec<SmolStr>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<EventTime>,
    /// To `applied`: what the gateway gave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<serde_json::Value>,
    /// To `releasing`: it never was in force for certain, and ends as `failed` once nothing of it is left.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub gave_up: bool,
}

impl Move {
    pub fn new(action_id: &str, to: State, by: &str, reason: impl Into<String>) -> Move {
        Move {
            action_id: action_id.to_owned(),
            to,
            by: by.into(),
            reason: reason.into(),
            gateway: None,
            names: BTreeMap::new(),
            further: Vec::new(),
            until: None,
            receipt: None,
            gave_up: false,
        }
    }
}

/// Something about an action that leaves its state as it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Note {
    pub action_id: String,
    #[serde(flatten)]
    pub what: Noted,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "note", rename_all = "snake_case")]
pub enum Noted {
    /// A call failed and is tried again.
    Attempt {
        failure: String,
        attempts: u32,
        next_at: EventTime,
        /// Otherwise it was held back on our side, and nothing of it can come through.
        #[serde(default = "yes", skip_serializing_if = "Clone::clone")]
        was_sent: bool,
    },
    /// Tried through another gateway, which is the action's from here on.
    Rerouted {
        gateway: SmolStr,
        names: BTreeMap<Key, SmolStr>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        further: Vec<SmolStr>,
        reason: String,
    },
    /// No sign of the device in this many windows since it was applied.
    Quiet {
        windows: u32,
        through: EventTime,
    },
    /// It was seen in windows that began after it was applied.
    Talking {
        windows: u32,
        through: EventTime,
        seen: String,
    },
    Extended {
        until: EventTime,
        by: SmolStr,
    },
    /// One of several people agreed.
    Agreed {
        by: SmolStr,
    },
    /// The gateway took it back, or will not; whether it holds it is still to be read. Of what ended: a look found nothing of it
    /// after nothing could come through any more.
    Undone {
        reason: String,
        /// It will not.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        is_refused: bool,
    },
    /// A call to apply it ended after the action had gone on: what the gateway gave, or nothing where it may come through yet.
    /// Also what was given for some of its addresses, while others are tried again.
    Late {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        receipt: Option<serde_json::Value>,
    },
}

fn yes() -> bool {
    true
}

/// What somebody asked for, and what came of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Commanded {
    pub command_id: String,
    pub by: SmolStr,
    pub command: Command,
    /// Why, where the command itself does not say.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// Nothing: it was obeyed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// Where it stood in the log of commands: what is below was taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum Command {
    Approve {
        action_id: String,
    },
    Deny {
        action_id: String,
        reason: String,
    },
    Release {
        action_id: String,
        reason: String,
    },
    Extend {
        action_id: String,
        until: EventTime,
    },
    Mode {
        of: ModeOf,
        mode: Mode,
    },
    /// Nothing is applied any more until it is lifted; what was applied is still taken back in time.
    Stop {
        on: bool,
        reason: String,
    },
    Verdict(Box<Verdict>),
}

/// Whose mode it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ModeOf {
    All,
    Gateway(SmolStr),
    Playbook(SmolStr),
}

/// A command on its way to the process that works.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Request {
    pub command_id: String,
    pub by: SmolStr,
    pub issued_at: EventTime,
    /// Not obeyed after.
    pub deadline: EventTime,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
    #[serde(flatten)]
    pub command: Command,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Called {
    /// Empty: nobody that could be told.
    pub by: SmolStr,
    /// A token that was claimed without success.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claimed: Option<String>,
    pub peer: String,
    pub method: SmolStr,
    pub route: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    pub status: u16,
    /// Calls before this one that are no entries of their own.
    #[serde(default)]
    pub unrecorded: u64,
    /// Where it stood in the log of commands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signed {
    /// Hash of the entry before: with it all entries up to there.
    pub head: SmolStr,
    /// Ed25519 over the head's 64 characters; key and signature hexadecimal.
    pub key: SmolStr,
    pub signature: SmolStr,
}
