//! Events of EMQX's rule engine, as a rule `SELECT *` writes them to Kafka: flat objects told apart by `event`.
//!
//! Fields: EMQX documentation, "Data sources and fields". `event` has the dotted name whether the rule selects from the
//! old topics of events or from the new ones.

use std::net::{IpAddr, SocketAddr};

use fleet::reading::{Message, Session, SessionEvent, SignIn};
use fleet::{Identity, Kind, Reading};
use smol_str::SmolStr;

use super::Payload;
use crate::decode::message::Context;
use crate::decode::record::{Names, Record, fields};
use crate::decode::reject::RejectReason;
use crate::decode::value::{MAX_TEXT, Scalar, Value};

fields! { Field, EMQX:
    Event "event", ClientId "clientid", Username "username", PeerHost "peerhost", PeerName "peername", Topic "topic",
    Payload "payload", Timestamp "timestamp", Reason "reason", ReasonCode "reason_code", Result "result",
    Action "action",
}

const FIELDS: usize = EMQX.names.len();
static NAMES: Names<FIELDS> = EMQX;

type Event<'a> = Record<'a, FIELDS>;

pub(in crate::decode) fn decode(line: &str, context: &Context<'_>) -> Result<Option<Reading>, RejectReason> {
    let event = Event::from_json(&NAMES, line)?;
    let name = event.get(Field::Event);
    let kind = match name.text()?.ok_or_else(|| name.missing())? {
        "message.publish" => message(&event, false)?,
        "message.delivered" => message(&event, true)?,
        "client.connected" => session(&event, SessionEvent::Connected, None)?,
        "client.disconnected" => disconnected(&event)?,
        "client.connack" if !succeeded(&event)? => {
            session(&event, SessionEvent::Refused, brief(event.get(Field::ReasonCode)))?
        }
        "client.check_authn_complete" => sign_in(&event)?,
        "client.check_authz_complete" if event.get(Field::Result).text()? == Some("deny") => {
            session(&event, SessionEvent::Refused, brief(event.get(Field::Action)))?
        }
        "session.subscribed" => session(&event, SessionEvent::Subscribed, None)?,
        // Acknowledgements, pings and drops say nothing that the events above do not; alarms are the broker's own.
        _ => return Ok(None),
    };
    let identity = identity(&event, context)?;
    let time = event.get(Field::Timestamp).instant_or(context.time)?;
    Ok(Some(Reading { time, position: context.position, identity, kind, malicious: false }))
}

/// EMQX writes the atom `undefined` as a text.
fn defined<'r>(value: Value<'r>) -> Result<Option<&'r str>, RejectReason> {
    Ok(value.text()?.filter(|text| *text != "undefined"))
}

/// For people to read; what is no short text (an Erlang term as an object) is left out.
fn brief(value: Value<'_>) -> Option<SmolStr> {
    match value.scalar {
        Scalar::Text(text) if !text.is_empty() && text.len() <= MAX_TEXT => Some(SmolStr::new(text)),
        _ => None,
    }
}

fn identity(event: &Event<'_>, context: &Context<'_>) -> Result<Identity, RejectReason> {
    let client_id = event.get(Field::ClientId);
    let named = defined(client_id)?.map(SmolStr::new).or_else(|| context.subject());
    let identity = Identity { client_id: named, ip: address(event)?, ..Identity::default() };
    if identity == Identity::default() { Err(client_id.missing()) } else { Ok(identity) }
}

/// Of the client, as the broker sees it.
fn address(event: &Event<'_>) -> Result<Option<IpAddr>, RejectReason> {
    let host = event.get(Field::PeerHost);
    if defined(host)?.is_some() {
        return host.ip();
    }
    let name = event.get(Field::PeerName);
    let Some(text) = defined(name)? else {
        return Ok(None);
    };
    // An IPv6 address has brackets in some versions only.
    let bare = |text: &str| text.rsplit_once(':').and_then(|(host, _)| host.parse::<IpAddr>().ok());
    let socket = text.parse::<SocketAddr>().map(|socket| socket.ip()).ok().or_else(|| bare(text));
    let ip = socket.ok_or_else(|| name.bad("an address and a port such as 192.168.0.10:32781"))?;
    Ok(Some(ip.to_canonical()))
}

fn message(event: &Event<'_>, inbound: bool) -> Result<Kind, RejectReason> {
    let topic = event.get(Field::Topic);
    let payload = Payload::measure(event.get(Field::Payload));
    Ok(Kind::Message(Message {
        inbound,
        topic: topic.short()?.ok_or_else(|| topic.missing())?,
        payload_bytes: payload.bytes,
        command: None,
        // What a device is told is no measurement of its own.
        value: payload.value.filter(|_| !inbound),
        refused: false,
    }))
}

fn session(event: &Event<'_>, what: SessionEvent, reason: Option<SmolStr>) -> Result<Kind, RejectReason> {
    let topic = event.get(Field::Topic).short()?;
    Ok(Kind::Session(Session { event: what, address: address(event)?, topic, reason, ..Session::default() }))
}

/// `takenover` and `discarded` say the same of a client that keeps its session and of one that does not: the same client
/// id connected again. The address is the displaced client's, so it is not that of the take-over.
fn disconnected(event: &Event<'_>) -> Result<Kind, RejectReason> {
    let reason = brief(event.get(Field::Reason));
    match reason.as_deref() {
        Some("takenover" | "discarded") => {
            Ok(Kind::Session(Session { event: SessionEvent::TakenOver, reason, ..Session::default() }))
        }
        _ => session(event, SessionEvent::Disconnected, reason),
    }
}

fn sign_in(event: &Event<'_>) -> Result<Kind, RejectReason> {
    let user = defined(event.get(Field::Username))?.map(SmolStr::new).unwrap_or_default();
    let success = succeeded(event)?;
    Ok(Kind::SignIn(SignIn { success, method: SmolStr::new_static("mqtt"), user, ..SignIn::default() }))
}

fn succeeded(event: &Event<'_>) -> Result<bool, RejectReason> {
    let code = event.get(Field::ReasonCode);
    match code.scalar {
        Scalar::Count(code) => Ok(*code == 0),
        _ => Ok(code.text()?.ok_or_else(|| code.missing())? == "success"),
    }
}
