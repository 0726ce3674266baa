//! Actions: what was done about an incident, or would have been.

use std::fmt;

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::finding::names;
use crate::time::EventTime;

/// How far an action goes, mildest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    Observe,
    Notify,
    Quarantine,
}
names!(Level { Observe = "observe", Notify = "notify", Quarantine = "quarantine" });

/// `observe` says what it would do and touches nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    Observe,
}
names!(Mode { Observe = "observe" });

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    WouldAct,
    Refused,
}
names!(Decision { WouldAct = "would_act", Refused = "refused" });

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Action {
    pub action_id: String,
    pub incident_id: String,
    pub finding_id: String,
    pub device_id: SmolStr,
    pub device_type: SmolStr,
    pub level: Level,
    pub mode: Mode,
    pub decision: Decision,
    /// Why, or why not.
    pub reason: String,
    pub decided_at: EventTime,
}
