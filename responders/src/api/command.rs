//! What can be asked for: as it is sent, and as the journal keeps it.

use std::fmt;

use fleet::Mode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::api::views::{ModeName, StateName};
use crate::rights::Moment;

/// One command, as whoever obeys it reads it in the journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum Command {
    Approve { action_id: String, note: String },
    Deny { action_id: String, note: String },
    Release { action_id: String, note: String },
    Extend { action_id: String, until: Moment, note: String },
    SetMode(ModeRequest),
    Stop { note: String },
    Resume { note: String },
    Verdict(VerdictRequest),
}

/// With approve, deny, release, stop and resume. Without a body: no note.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NoteRequest {
    /// Why; at most 1000 characters. It is kept in the journal: no secrets.
    #[serde(default)]
    #[schema(max_length = 1000)]
    pub note: String,
}

/// Exactly one of `until` and `for_seconds`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExtendRequest {
    /// The new end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Moment>,
    /// The new end, counted from now, not from the present end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    pub for_seconds: Option<u32>,
    #[serde(default)]
    #[schema(max_length = 1000)]
    pub note: String,
}

/// The mode of one gateway, of one playbook, or, with neither, of everything.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ModeRequest {
    #[schema(value_type = ModeName)]
    pub mode: Mode,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub playbook: Option<String>,
    #[serde(default)]
    #[schema(max_length = 1000)]
    pub note: String,
}

/// About a whole incident or one finding of it: exactly one of the two.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VerdictRequest {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incident: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finding: Option<String>,
    pub verdict: Verdict,
    #[serde(default)]
    pub scope: VerdictScope,
    /// Until when it holds for what comes; needed for every scope but `incident`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Moment>,
    #[serde(default)]
    #[schema(max_length = 1000)]
    pub note: String,
    /// Only says what it would have changed on history; nothing is kept.
    #[serde(default)]
    pub preview: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It was what it was taken for.
    True,
    /// It was nothing.
    False,
    /// It was something new and harmless: it may be learned.
    BenignChange,
    /// Something is broken.
    Fault,
}

impl fmt::Display for Verdict {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(match self {
            Verdict::True => "true",
            Verdict::False => "false",
            Verdict::BenignChange => "benign_change",
            Verdict::Fault => "fault",
        })
    }
}

/// How far a verdict reaches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum VerdictScope {
    /// This incident alone.
    #[default]
    Incident,
    /// The same reasons on the same device.
    Device,
    /// The same reasons on devices of its type.
    DeviceType,
    /// The same reasons on devices of its site.
    Site,
}

/// What came of a command.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CommandOutcome {
    /// Number of its entry in the journal; none for a preview.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entry: Option<u64>,
    /// For a person: what happens now.
    pub message: String,
    /// The state of the action it was about, as far as known.
    #[schema(value_type = Option<StateName>)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<fleet::State>,
    /// How many approvals by different names are still needed.
    #[serde(default)]
    pub approvals_missing: u32,
    /// The same `Idempotency-Key` came before: this is what came of it then.
    #[serde(default)]
    pub repeated: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preview: Option<VerdictPreview>,
}

/// What a verdict would have changed, had it been known at the beginning of the span.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct VerdictPreview {
    pub since: Moment,
    pub until: Moment,
    /// Findings that would not have been told.
    pub findings: u64,
    pub incidents: u64,
    pub devices: u64,
    /// Incidents among them that somebody has called true: look at these before it is kept.
    pub hides_true_incidents: Vec<String>,
}
