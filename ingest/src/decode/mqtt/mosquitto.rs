//! Messages that a bridge took from an MQTT broker such as Mosquitto and wrote to Kafka, each as a JSON object.
//!
//! No two bridges write quite the same, and most do not learn who published: they see what a subscriber sees. So the
//! keys that are common are read in all their spellings, and what the record does not say the message's key may.

use fleet::reading::Message;
use fleet::{Identity, Kind, Reading};
use smol_str::SmolStr;

use super::Payload;
use crate::decode::message::Context;
use crate::decode::record::{Names, Record, fields};
use crate::decode::reject::RejectReason;

fields! { Field, BRIDGED:
    Topic "topic", Payload "payload", Timestamp "timestamp", Ts "ts", ClientId "client_id", Clientid "clientid",
    CamelClientId "clientId", Username "username",
}

const FIELDS: usize = BRIDGED.names.len();
static NAMES: Names<FIELDS> = BRIDGED;

pub(in crate::decode) fn decode(line: &str, context: &Context<'_>) -> Result<Option<Reading>, RejectReason> {
    let record = Record::from_json(&NAMES, line)?;
    let topic = record.get(Field::Topic);
    let topic = topic.short()?.ok_or_else(|| topic.missing())?;
    let client_id = client_id(&record, &topic, context)?;
    let timestamp = record.get(Field::Timestamp);
    let time = if timestamp.is_missing() { record.get(Field::Ts).instant()? } else { timestamp.instant()? };
    let time = time.or(context.time).ok_or_else(|| timestamp.missing())?;
    let payload = Payload::measure(record.get(Field::Payload));
    let message = Message { topic, payload_bytes: payload.bytes, value: payload.value, ..Message::default() };
    let identity = Identity { client_id: Some(client_id), ..Identity::default() };
    Ok(Some(Reading { time, position: context.position, identity, kind: Kind::Message(message), malicious: false }))
}

/// The surest first. A user name comes last: whole fleets share one. A key that is the topic (Kafka Connect's MQTT source
/// writes such keys) would make a device of every topic.
fn client_id(record: &Record<'_, FIELDS>, topic: &str, context: &Context<'_>) -> Result<SmolStr, RejectReason> {
    for field in [Field::ClientId, Field::Clientid, Field::CamelClientId] {
        if let Some(client_id) = record.get(field).short()? {
            return Ok(client_id);
        }
    }
    let around = context.subject().or_else(|| context.key().filter(|key| key != topic));
    match around {
        Some(name) => Ok(name),
        None => record
            .get(Field::Username)
            .short()?
            .ok_or(RejectReason::MissingField { field: "client_id, clientid, username, or the message's key" }),
    }
}
