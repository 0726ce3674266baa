//! Calls to a gateway of one's own, and its answers: JSON, version 1. The Kafka topic of actions carries the same calls.
//! `docs/gateways-own.md` is this for those who write a receiver.
//!
//! That it was reached says nothing: many receivers answer before they have done anything. An answer has to say what it did.

use std::collections::BTreeMap;

use fleet::Level;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use smol_str::SmolStr;

use crate::gateways::{Applied, Failure, Found, Key, Order, Undone};
use crate::rest::shortened;

/// A receipt is written to the journal.
const LARGEST_RECEIPT: usize = 4096;

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

impl Answer {
    /// # Errors
    /// Why it was not done, in the receiver's words.
    pub fn heard(self) -> Result<Answer, Failure> {
        let Some(error) = &self.error else { return Ok(self) };
        let message = format!("the receiver says: {}", shortened(error));
        Err(if self.retry { Failure::unreachable(message) } else { Failure::refused(message) })
    }

    /// # Errors
    /// It does not say that it did it.
    pub fn done(self) -> Result<Answer, Failure> {
        let said = self.heard()?;
        if said.done {
            return Ok(said);
        }
        Err(Failure::refused("the receiver's answer has no `\"done\": true`, nor an `error` that says why"))
    }

    /// # Errors
    /// As [`Answer::done`]; a receipt that is too large.
    pub fn applied(self) -> Result<Applied, Failure> {
        let said = self.done()?;
        if said.receipt.as_ref().is_some_and(|receipt| receipt.to_string().len() > LARGEST_RECEIPT) {
            return Err(Failure::refused(format!("the receiver's receipt has more than {LARGEST_RECEIPT} bytes")));
        }
        Ok(Applied { receipt: said.receipt, already: said.already })
    }

    /// # Errors
    /// Why it could not look; it does not say what it found.
    pub fn found(self) -> Result<Found, Failure> {
        let said = self.heard()?;
        let found = said.found.ok_or_else(|| {
            Failure::refused("the receiver's answer has no `found`, expected in_force, absent, foreign or unknown")
        })?;
        Ok(found.told(said.by))
    }

    /// # Errors
    /// As [`Answer::done`].
    pub fn undone(self) -> Result<Undone, Failure> {
        let said = self.done()?;
        Ok(match said.found {
            Some(Seen::Foreign) => Undone::Foreign { by: by(said.by) },
            _ if said.already => Undone::Already,
            _ => Undone::Done,
        })
    }
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
    fn told(self, whose: Option<String>) -> Found {
        match self {
            Seen::InForce => Found::InForce,
            Seen::Absent => Found::Absent,
            Seen::Foreign => Found::Foreign { by: by(whose) },
            Seen::Unknown => Found::Unknown,
        }
    }
}

fn by(whose: Option<String>) -> String {
    whose.map_or_else(|| "somebody else".to_owned(), |whose| shortened(&whose))
}
