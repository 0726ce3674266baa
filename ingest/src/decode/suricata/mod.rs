//! Suricata's EVE log: its flows, and what it understood of MQTT.
//!
//! Fields: Suricata documentation, "EVE JSON format". Events are told apart by `event_type`; details stand in an object
//! of that name.

mod flow;
mod mqtt;

use std::net::IpAddr;

use fleet::Reading;

use super::message::Context;
use super::record::{Names, Record, fields};
use super::reject::RejectReason;
use super::value::Value;

fields! { Field, EVE:
    Timestamp "timestamp", EventType "event_type", SrcIp "src_ip", SrcPort "src_port", DestIp "dest_ip",
    DestPort "dest_port", Proto "proto", AppProto "app_proto", Flow "flow", Tcp "tcp", Ether "ether", Mqtt "mqtt",
}

const FIELDS: usize = EVE.names.len();
static NAMES: Names<FIELDS> = EVE;

type Event<'a> = Record<'a, FIELDS>;

/// `Ok(None)`: an event of another type (alerts, DNS, HTTP ...), or an MQTT packet that says nothing of a client.
pub(super) fn decode(line: &str, context: &Context<'_>) -> Result<Option<Reading>, RejectReason> {
    let event = Event::from_json(&NAMES, line)?;
    let event_type = event.get(Field::EventType);
    match event_type.text()?.ok_or_else(|| event_type.missing())? {
        "flow" => flow::reading(&event, context).map(Some),
        "mqtt" => mqtt::reading(&event, context),
        _ => Ok(None),
    }
}

fn address(value: Value<'_>) -> Result<IpAddr, RejectReason> {
    value.ip()?.ok_or_else(|| value.missing())
}

/// Left out where a protocol has none.
fn port(value: Value<'_>) -> Result<u16, RejectReason> {
    Ok(value.port()?.unwrap_or(0))
}
