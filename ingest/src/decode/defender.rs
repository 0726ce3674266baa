//! Device metrics of AWS IoT Device Defender: what a device's own agent reports, of which the listening ports are read.
//!
//! Fields: AWS IoT Device Defender documentation, "Sending metrics from devices"; each has a long and a short name. A
//! report does not name its thing: the MQTT topic does, so whatever brings it to Kafka has to put that into the key.

use fleet::reading::{Posture, Protocol};
use fleet::{EventTime, Identity, Kind, Reading};
use smol_str::SmolStr;

use super::message::Context;
use super::record::{Names, Record, fields};
use super::reject::RejectReason;
use super::value::Value;

fields! { Field, REPORT:
    Header "header", Hed "hed", Metrics "metrics", Met "met", ThingName "thing_name", CamelThingName "thingName",
    ClientId "client_id",
}

const FIELDS: usize = REPORT.names.len();
static NAMES: Names<FIELDS> = REPORT;

type Report<'a> = Record<'a, FIELDS>;

pub(super) fn decode(line: &str, context: &Context<'_>) -> Result<Option<Reading>, RejectReason> {
    let report = Report::from_json(&NAMES, line)?;
    let header = either(report.get(Field::Header), report.get(Field::Hed));
    let time = report_time(either(header.member("header.report_id"), header.member("hed.rid")), context)?;
    let identity = Identity { client_id: Some(thing(&report, context)?), ..Identity::default() };
    let metrics = either(report.get(Field::Metrics), report.get(Field::Met));
    let posture = Posture { listening_ports: listening_ports(metrics)?, ..Posture::default() };
    let kind = Kind::Posture(posture);
    Ok(Some(Reading { time, position: context.position, identity, kind, malicious: false }))
}

fn either<'r>(long: Value<'r>, short: Value<'r>) -> Value<'r> {
    if long.is_missing() && !short.is_missing() { short } else { long }
}

/// Agents are told to take the time for the id, since it has to grow; one that counts from 1 tells no time.
fn report_time(report_id: Value<'_>, context: &Context<'_>) -> Result<EventTime, RejectReason> {
    const YEAR_2001: EventTime = EventTime(1_000_000_000 * fleet::MICROS_PER_SECOND);
    match report_id.instant()? {
        Some(time) if time >= YEAR_2001 => Ok(time),
        Some(_) => context.time.ok_or_else(|| report_id.bad("seconds since 1970, as agents write by default")),
        None => context.time.ok_or_else(|| report_id.missing()),
    }
}

fn thing(report: &Report<'_>, context: &Context<'_>) -> Result<SmolStr, RejectReason> {
    for field in [Field::ThingName, Field::CamelThingName, Field::ClientId] {
        if let Some(name) = report.get(field).short()? {
            return Ok(name);
        }
    }
    let around = context.subject().or_else(|| context.key());
    let name = around.ok_or(RejectReason::MissingField { field: "thing_name, or the message's key" })?;
    Ok(of_topic(&name).map(SmolStr::new).unwrap_or(name))
}

/// The thing in `$aws/things/<thing>/defender/metrics/json`, which some bridges take for the key as it is.
fn of_topic(key: &str) -> Option<&str> {
    let (thing, rest) = key.strip_prefix("$aws/things/")?.split_once('/')?;
    (rest.starts_with("defender/") && !thing.is_empty()).then_some(thing)
}

/// TCP's first. A client's UDP socket looks as if it listened, on a port that changes with every call.
fn listening_ports(metrics: Value<'_>) -> Result<Vec<u16>, RejectReason> {
    const FIRST_EPHEMERAL: u16 = 32_768;
    let tcp = either(metrics.member("metrics.listening_tcp_ports"), metrics.member("met.tp"));
    let udp = either(metrics.member("metrics.listening_udp_ports"), metrics.member("met.up"));
    let mut ports = Vec::new();
    for (protocol, listed) in [(Protocol::Tcp, tcp), (Protocol::Udp, udp)] {
        for item in either(listed.member("listening_ports.ports"), listed.member("listening_ports.pts")).items() {
            let port = either(item.member("listening_ports.ports.port"), item.member("listening_ports.pts.pt"));
            let Some(number) = port.port()? else { return Err(port.missing()) };
            if (protocol == Protocol::Tcp || number < FIRST_EPHEMERAL) && !ports.contains(&number) {
                ports.push(number);
            }
        }
    }
    Ok(ports)
}
