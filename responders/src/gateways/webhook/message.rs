//! Calls to a gateway of one's own, and its answers: JSON, version 1. The Kafka topic of actions carries the same calls.
//! `docs/gateways-own.md` is this for those who write a receiver.

use std::collections::BTreeMap;

use fleet::Level;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use smol_str::SmolStr;

use crate::gateways::rest::shortened;
use crate::gateways::{Found, Key, Order};

/// A change that a receiver could misread gets another.
pub const SCHEMA: &str = "vedette.gateway/1";

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Call {
    Apply,
    ReadBack,
    Undo,
    Probe,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Message<'a> {
    pub schema: &'static str,
    /// As the configuration calls the gateway.
    pub gateway: &'a str,
    pub call: Call,
    /// None for [`Call::Probe`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<ActionOf<'a>>,
}

/// An [`Order`] as others read it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ActionOf<'a> {
    /// The idempotency key: the same call with the same id twice is one call.
    pub action_id: &'a str,
    pub incident_id: &'a str,
    pub device_id: &'a str,
    pub level: Level,
    /// What the device is known by at this moment, by kind of name.
    pub names: BTreeMap<Key, &'a str>,
    /// Its addresses beside the one in `names`, where it has any.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub further: &'a [SmolStr],
    /// RFC 3339; `null` when somebody will end it.
    pub until: Option<String>,
    pub note: &'a str,
    /// What the receiver gave when this was applied.
    pub receipt: Option<&'a Value>,
}

impl<'a> Message<'a> {
    pub fn new(gateway: &'a str, call: Call, order: Option<&'a Order>) -> Message<'a> {
        let action = order.map(|order| ActionOf {
            action_id: &order.action_id,
            incident_id: &order.incident_id,
            device_id: &order.device_id,
            level: order.level,
            names: order.names.iter().map(|(key, name)| (*key, name.as_str())).collect(),
            further: &order.further,
            until: order.until.map(|until| until.to_string()),
            note: &order.note,
            receipt: order.receipt.as_ref(),
        });
        Message { schema: SCHEMA, gateway, call, action }
    }

    pub fn to_json(&self) -> String {
        serde_json::json!(self).to_string()
    }
}

/// Fields a receiver adds of its own are passed over.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Answer {
    /// Of apply, undo and probe: it is done. For undo also when somebody else's was left (`found`: `foreign`).
    pub done: bool,
    /// It was so before.
    pub already: bool,
    /// Of read_back, and of undo.
    pub found: Option<Seen>,
    /// Who, when it is foreign.
    pub by: Option<String>,
    /// Given back with later calls of the same action; no secrets, at most 4096 bytes.
    pub receipt: Option<Value>,
    /// Why it was not done.
    pub error: Option<String>,
    /// Whether the same may work later.
    pub retry: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Seen {
    InForce,
    Absent,
    Foreign,
    Unknown,
}

impl Seen {
    pub(super) fn told(self, whose: Option<String>) -> Found {
        match self {
            Seen::InForce => Found::InForce,
            Seen::Absent => Found::Absent,
            Seen::Foreign => Found::Foreign { by: by(whose) },
            Seen::Unknown => Found::Unknown,
        }
    }
}

pub(super) fn by(whose: Option<String>) -> String {
    whose.map_or_else(|| "somebody else".to_owned(), |whose| shortened(&whose))
}
