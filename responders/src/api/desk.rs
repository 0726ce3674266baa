//! What the front door answers: the API knows who may ask, a desk knows the journal.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::api::command::{Command, CommandOutcome};
use crate::api::views::{
    ActionDetail, ActionFilter, Actions, Health, IncidentDetail, IncidentFilter, IncidentStats, Incidents, ModeView,
    Playbooks, StatsFilter, VerdictFilter, Verdicts,
};
use crate::rights::{Role, TokenView};

/// Calls block, on threads kept for them. An answer that comes after [`crate::api::ApiConfig::answer_seconds`] reaches nobody,
/// and what it did is done all the same.
pub trait Desk: Send + Sync + 'static {
    fn actions(&self, filter: &ActionFilter) -> Result<Actions, Refusal>;
    fn action(&self, action_id: &str) -> Result<ActionDetail, Refusal>;
    fn incidents(&self, filter: &IncidentFilter) -> Result<Incidents, Refusal>;
    fn incident(&self, incident_id: &str) -> Result<IncidentDetail, Refusal>;
    fn incident_stats(&self, filter: &StatsFilter) -> Result<IncidentStats, Refusal>;
    fn verdicts(&self, filter: &VerdictFilter) -> Result<Verdicts, Refusal>;
    fn playbooks(&self) -> Result<Playbooks, Refusal>;
    fn mode(&self) -> Result<ModeView, Refusal>;
    fn health(&self) -> Result<Health, Refusal>;

    /// Appends the command to the journal. The role was checked; whether an approval takes two people (two different
    /// [`Caller::name`]s) and still is in time is not. Of commands with one caller and key, the first is carried out, and its
    /// outcome is given again.
    fn command(&self, asked: &Asked, command: &Command) -> Result<CommandOutcome, Refusal>;

    /// Writes down that somebody called, refused or not. Reading is not answered without it.
    fn record_call(&self, call: &Call) -> Result<(), Refusal>;
}

/// Who calls.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caller {
    /// The token's name; `anonymous` on loopback where there are no tokens.
    pub name: String,
    pub role: Role,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_id: Option<String>,
    pub peer: IpAddr,
}

impl Caller {
    pub fn anonymous(peer: IpAddr) -> Caller {
        Caller { name: "anonymous".to_owned(), role: Role::Viewer, token_id: None, peer }
    }

    pub fn new(token: TokenView, peer: IpAddr) -> Caller {
        Caller { name: token.name, role: token.role, token_id: Some(token.id), peer }
    }
}

/// Who asks for a command, and the key that makes it one however often it is sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    pub caller: Caller,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
}

/// One call, for the audit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// None: whoever it was could not show it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caller: Option<Caller>,
    /// The token that was claimed without success, where there is one of that id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claimed: Option<String>,
    pub peer: IpAddr,
    pub method: String,
    /// As in the OpenAPI document, such as `/v1/actions/{id}/approve`; `-`: there is no such route.
    pub route: String,
    /// What `{id}` was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    pub status: u16,
    /// Calls before this one that are no entries of their own: refused for too many failures, or not to be written down.
    #[serde(default)]
    pub unrecorded: u64,
}

/// Why not: an HTTP status, what is wrong, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// 400 to 599.
    pub status: u16,
    /// The bad value in backquotes. No secrets: it is sent to the caller.
    pub message: String,
    pub remedy: String,
    /// Seconds.
    pub retry_after: Option<u64>,
}

impl Refusal {
    pub fn new(status: u16, message: impl Into<String>, remedy: impl Into<String>) -> Refusal {
        Refusal { status, message: message.into(), remedy: remedy.into(), retry_after: None }
    }

    /// The request itself cannot be right.
    pub fn wrong(message: impl Into<String>, remedy: impl Into<String>) -> Refusal {
        Refusal::new(400, message, remedy)
    }

    pub fn forbidden(message: impl Into<String>, remedy: impl Into<String>) -> Refusal {
        Refusal::new(403, message, remedy)
    }

    pub fn not_found(message: impl Into<String>, remedy: impl Into<String>) -> Refusal {
        Refusal::new(404, message, remedy)
    }

    /// Not in this state, or too late.
    pub fn conflict(message: impl Into<String>, remedy: impl Into<String>) -> Refusal {
        Refusal::new(409, message, remedy)
    }

    /// Not now.
    pub fn unavailable(message: impl Into<String>, remedy: impl Into<String>) -> Refusal {
        Refusal::new(503, message, remedy)
    }
}
