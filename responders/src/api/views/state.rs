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
    /// Nothing at all is sent to gateways, whatever the modes say.
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
    /// This process acts; others stand by.
    pub owner: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub journal: Option<JournalHead>,
    pub gateways: Vec<GatewayHealth>,
    /// How far the newest finding that was looked at is behind now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag_seconds: Option<f64>,
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
    pub product: String,
    pub breaker: Breaker,
    /// Orders that wait for it.
    pub queued: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<String>,
}

/// Whether a gateway is asked at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Breaker {
    /// It is.
    Closed,
    /// It failed too often, and is left alone for a while.
    Open,
    /// One request tries whether it is back.
    HalfOpen,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TokenList {
    pub tokens: Vec<TokenView>,
}
