//! What is in force: modes, playbooks, gateways, the journal.

use std::collections::BTreeMap;

use fleet::Mode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::api::views::ModeName;
use crate::rights::{Moment, TokenView};

/// Of the modes that apply to an action the least holds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ModeView {
    #[schema(value_type = ModeName)]
    pub global: Mode,
    #[schema(value_type = BTreeMap<String, ModeName>)]
    pub gateways: BTreeMap<String, Mode>,
    #[schema(value_type = BTreeMap<String, ModeName>)]
    pub playbooks: BTreeMap<String, Mode>,
    /// Nothing is applied, whatever the modes say; what was applied is still taken back in time.
    pub stopped: bool,
    /// Who stopped it, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped_by: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Playbooks {
    pub playbooks: Vec<PlaybookView>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PlaybookView {
    pub id: String,
    pub title: String,
    #[schema(value_type = ModeName)]
    pub mode: Mode,
    pub version: String,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Health {
    /// Who acts, as the journal has it: who began last, and did not say that it ended. Who was killed is named until another begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub journal: Option<JournalHead>,
    pub gateways: Vec<GatewayHealth>,
    /// Actions that wait for approval.
    pub waiting: u64,
}

/// The last entry of the journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct JournalHead {
    /// Its number.
    pub entry: u64,
    /// Its hash, hexadecimal: whoever kept an earlier one can tell that nothing was changed.
    pub hash: String,
    pub at: Moment,
    /// Number of the last entry that a signature covers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct GatewayHealth {
    pub name: String,
    /// Nothing is sent to it for a while, for it did not answer. None where another process acts: the one that does knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_alone: Option<bool>,
    /// Calls that wait for it, the one in hand included. None where another process acts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queued: Option<u64>,
    /// Of an action that is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TokenList {
    pub tokens: Vec<TokenView>,
}
