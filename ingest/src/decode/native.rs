//! Vedette's own JSON lines: one object a line, one kind each. `docs/reading.schema.json` is the contract and
//! `docs/records.md` its explanation.
//!
//! Unknown keys are passed over (a newer writer may say more), an unknown `kind` is not: its meaning would be lost.

use fleet::reading::{Flow, Message, Outcome, Peer, Posture, Protocol, Session, SessionEvent, SignIn};
use fleet::{Identity, Kind, Reading};

use super::message::Context;
use super::plain::Order;
use super::record::{Names, Record, fields};
use super::reject::RejectReason;
use super::value::{lower, shorten};

fields! { Field, NATIVE:
    Kind "kind", Time "time", ClientId "client_id", Mac "mac", Ip "ip", Certificate "certificate", Label "label",
    Inbound "inbound", Topic "topic", PayloadBytes "payload_bytes", Command "command", Value "value", Refused "refused",
    ResponderIp "responder_ip", ResponderPort "responder_port", ResponderMac "responder_mac",
    OriginatorPort "originator_port", Protocol "protocol", Service "service", ServerName "server_name",
    Duration "duration", BytesOut "bytes_out", BytesIn "bytes_in", PacketsOut "packets_out", PacketsIn "packets_in",
    Outcome "outcome", Country "country",
    Success "success", Method "method", User "user", Address "address", DefaultCredential "default_credential",
    Token "token", Event "event", Reason "reason",
    Firmware "firmware", Attested "attested", Configuration "configuration", ListeningPorts "listening_ports",
    Credential "credential", Site "site",
}

const FIELDS: usize = NATIVE.names.len();
static NAMES: Names<FIELDS> = NATIVE;

type Line<'a> = Record<'a, FIELDS>;

pub(super) fn decode(line: &str, context: &Context<'_>, order: &mut Order) -> Result<Option<Reading>, RejectReason> {
    let record = Record::from_plain_json(&NAMES, line, order)?;
    let kind = record.get(Field::Kind);
    let kind = match kind.text()?.ok_or_else(|| kind.missing())? {
        "message" => Kind::Message(message(&record)?),
        "flow" => Kind::Flow(flow(&record)?),
        "sign_in" => Kind::SignIn(sign_in(&record)?),
        "session" => Kind::Session(session(&record)?),
        "posture" => Kind::Posture(posture(&record)?),
        unknown => return Err(RejectReason::UnknownKind { kind: shorten(unknown) }),
    };
    let time = record.get(Field::Time).time_or(context.time)?;
    let malicious = record.get(Field::Label).malicious()?;
    let identity = identity(&record, context)?;
    Ok(Some(Reading { time, position: context.position, identity, kind, malicious }))
}

fn identity(record: &Line<'_>, context: &Context<'_>) -> Result<Identity, RejectReason> {
    let mut identity = Identity {
        client_id: record.get(Field::ClientId).short()?,
        mac: record.get(Field::Mac).mac()?,
        ip: record.get(Field::Ip).ip()?,
        certificate: record.get(Field::Certificate).short()?,
    };
    if identity == Identity::default() {
        identity.client_id = context.subject();
    }
    if identity == Identity::default() {
        return Err(RejectReason::MissingField { field: "client_id, mac, ip or certificate" });
    }
    Ok(identity)
}

fn message(record: &Line<'_>) -> Result<Message, RejectReason> {
    let topic = record.get(Field::Topic);
    Ok(Message {
        inbound: record.get(Field::Inbound).flag()?.unwrap_or(false),
        topic: topic.short()?.ok_or_else(|| topic.missing())?,
        payload_bytes: record.get(Field::PayloadBytes).small_count()?.unwrap_or(0),
        command: record.get(Field::Command).short()?,
        value: record.get(Field::Value).number()?,
        refused: record.get(Field::Refused).flag()?.unwrap_or(false),
    })
}

fn flow(record: &Line<'_>) -> Result<Flow, RejectReason> {
    let responder = record.get(Field::ResponderIp);
    let protocol = record.get(Field::Protocol);
    Ok(Flow {
        responder: Peer {
            mac: record.get(Field::ResponderMac).mac()?,
            ip: responder.ip()?.ok_or_else(|| responder.missing())?,
            port: record.get(Field::ResponderPort).port()?.unwrap_or(0),
        },
        originator_port: record.get(Field::OriginatorPort).port()?.unwrap_or(0),
        protocol: Protocol::parse(protocol.text()?.ok_or_else(|| protocol.missing())?),
        service: record.get(Field::Service).text()?.map(lower).unwrap_or_default(),
        server_name: record.get(Field::ServerName).host()?,
        duration: record.get(Field::Duration).duration()?.unwrap_or(0),
        bytes_out: record.get(Field::BytesOut).count()?.unwrap_or(0),
        bytes_in: record.get(Field::BytesIn).count()?.unwrap_or(0),
        packets_out: record.get(Field::PacketsOut).small_count()?.unwrap_or(0),
        packets_in: record.get(Field::PacketsIn).small_count()?.unwrap_or(0),
        outcome: outcome(record)?,
        country: record.get(Field::Country).country()?,
    })
}

fn outcome(record: &Line<'_>) -> Result<Outcome, RejectReason> {
    let outcome = record.get(Field::Outcome);
    let Some(name) = outcome.text()? else { return Ok(Outcome::Established) };
    Outcome::from_name(name).ok_or_else(|| outcome.bad("established, refused, reset, unanswered or partial"))
}

fn sign_in(record: &Line<'_>) -> Result<SignIn, RejectReason> {
    let success = record.get(Field::Success);
    Ok(SignIn {
        inbound: record.get(Field::Inbound).flag()?.unwrap_or(false),
        success: success.flag()?.ok_or_else(|| success.missing())?,
        method: record.get(Field::Method).text()?.map(lower).unwrap_or_default(),
        user: record.get(Field::User).short()?.unwrap_or_default(),
        address: record.get(Field::Address).ip()?,
        country: record.get(Field::Country).country()?,
        default_credential: record.get(Field::DefaultCredential).flag()?.unwrap_or(false),
        token: record.get(Field::Token).short()?,
    })
}

fn session(record: &Line<'_>) -> Result<Session, RejectReason> {
    let event = record.get(Field::Event);
    let event = match event.text()?.ok_or_else(|| event.missing())? {
        "connected" => SessionEvent::Connected,
        "disconnected" => SessionEvent::Disconnected,
        "taken_over" => SessionEvent::TakenOver,
        "subscribed" => SessionEvent::Subscribed,
        "refused" => SessionEvent::Refused,
        _ => return Err(event.bad("connected, disconnected, taken_over, subscribed or refused")),
    };
    Ok(Session {
        event,
        address: record.get(Field::Address).ip()?,
        country: record.get(Field::Country).country()?,
        topic: record.get(Field::Topic).short()?,
        token: record.get(Field::Token).short()?,
        reason: record.get(Field::Reason).short()?,
    })
}

fn posture(record: &Line<'_>) -> Result<Posture, RejectReason> {
    Ok(Posture {
        firmware: record.get(Field::Firmware).short()?,
        attested: record.get(Field::Attested).flag()?,
        configuration: record.get(Field::Configuration).short()?,
        listening_ports: record.get(Field::ListeningPorts).ports()?,
        default_credential: record.get(Field::DefaultCredential).flag()?.unwrap_or(false),
        credential: record.get(Field::Credential).short()?,
        site: record.get(Field::Site).short()?,
        country: record.get(Field::Country).country()?,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_schema_names_exactly_what_is_read() {
        let schema: serde_json::Value =
            serde_json::from_str(include_str!("../../../docs/reading.schema.json")).expect("the schema is JSON");
        let mut named = BTreeSet::new();
        let kinds = Kind::NAMES.map(|kind| &schema["$defs"][kind]["properties"]);
        for properties in kinds.into_iter().chain([&schema["properties"]]) {
            named.extend(properties.as_object().expect("an object of properties").keys().map(String::as_str));
        }
        assert_eq!(named, BTreeSet::from(NAMES.names));
    }
}
