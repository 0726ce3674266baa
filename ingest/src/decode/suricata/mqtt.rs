//! An `mqtt` event: one exchange of packets, an object for each packet type. Suricata hears no client ids after the
//! connect, so all else is the client's by its address.

use fleet::reading::{Message, Session, SessionEvent};
use fleet::{Identity, Kind, Reading};
use smol_str::{SmolStr, format_smolstr};

use super::{Event, Field, address, port};
use crate::decode::message::Context;
use crate::decode::mqtt::Payload;
use crate::decode::reject::RejectReason;
use crate::decode::value::{Scalar, Value};

/// From here on MQTT's codes of what a broker answers are failures (but for those of `connack` before MQTT 5).
const FIRST_FAILURE: u64 = 128;

pub(super) fn reading(event: &Event<'_>, context: &Context<'_>) -> Result<Option<Reading>, RejectReason> {
    let mqtt = event.get(Field::Mqtt);
    let (connect, publish) = (mqtt.member("mqtt.connect"), mqtt.member("mqtt.publish"));
    let subscribe = mqtt.member("mqtt.subscribe");
    let from_broker = is_broker(port(event.get(Field::SrcPort))?) && !is_broker(port(event.get(Field::DestPort))?);
    let client = address(event.get(if from_broker { Field::DestIp } else { Field::SrcIp }))?;
    let mut identity = Identity { ip: Some(client), ..Identity::default() };
    let session = |event, topic, reason| {
        Kind::Session(Session { event, address: Some(client), topic, reason, ..Session::default() })
    };
    let kind = if is_object(connect) {
        identity.client_id = connect.member("mqtt.connect.client_id").short()?;
        match refusal(mqtt.member("mqtt.connack"))? {
            Some(reason) => session(SessionEvent::Refused, None, Some(reason)),
            None => session(SessionEvent::Connected, None, None),
        }
    } else if is_object(publish) {
        match message(publish, from_broker)? {
            Some(message) => Kind::Message(Message { refused: is_denied(mqtt)?, ..message }),
            None => return Ok(None),
        }
    } else if is_object(subscribe) {
        let refused = is_refused(mqtt.member("mqtt.suback"))?;
        let what = if refused { SessionEvent::Refused } else { SessionEvent::Subscribed };
        session(what, widest_topic(subscribe)?, None)
    } else {
        return Ok(None);
    };
    let time = event.get(Field::Timestamp).instant_or(context.time)?;
    Ok(Some(Reading { time, position: context.position, identity, kind, malicious: false }))
}

fn is_object(value: Value<'_>) -> bool {
    matches!(value.scalar, Scalar::Object(_))
}

/// MQTT's registered ports, without and with TLS.
fn is_broker(port: u16) -> bool {
    matches!(port, 1883 | 8883)
}

fn refusal(connack: Value<'_>) -> Result<Option<SmolStr>, RejectReason> {
    let code = connack.member("mqtt.connack.return_code").count()?;
    Ok(code.filter(|code| *code != 0).map(|code| format_smolstr!("return code {code}")))
}

fn is_refused(suback: Value<'_>) -> Result<bool, RejectReason> {
    let mut answers = 0;
    for granted in suback.member("mqtt.suback.qos_granted").items() {
        if granted.count()?.is_none_or(|code| code < FIRST_FAILURE) {
            return Ok(false);
        }
        answers += 1;
    }
    Ok(answers > 0)
}

/// The answer to a message, by its quality of service.
fn is_denied(mqtt: Value<'_>) -> Result<bool, RejectReason> {
    let codes = [
        mqtt.member("mqtt.puback").member("mqtt.puback.reason_code").count()?,
        mqtt.member("mqtt.pubrec").member("mqtt.pubrec.reason_code").count()?,
    ];
    Ok(codes.into_iter().flatten().any(|code| code >= FIRST_FAILURE))
}

/// `None`: under an alias (MQTT 5), which only those who heard the first message can resolve; or too long for Suricata's
/// `max-msg-length`, when it does not look for a topic.
fn message(publish: Value<'_>, inbound: bool) -> Result<Option<Message>, RejectReason> {
    let Some(topic) = publish.member("mqtt.publish.topic").short()? else {
        return Ok(None);
    };
    let payload = Payload::measure(publish.member("mqtt.publish.message"));
    let skipped = publish.member("mqtt.publish.skipped_length").small_count()?.unwrap_or(0);
    let value = payload.value.filter(|_| !inbound && skipped == 0);
    let payload_bytes = payload.bytes.saturating_add(skipped);
    Ok(Some(Message { inbound, topic, payload_bytes, value, ..Message::default() }))
}

/// A reading has one topic: of several the first that asks for everything below it, else the first.
fn widest_topic(subscribe: Value<'_>) -> Result<Option<SmolStr>, RejectReason> {
    let mut widest: Option<SmolStr> = None;
    for wanted in subscribe.member("mqtt.subscribe.topics").items() {
        let Some(topic) = wanted.member("mqtt.subscribe.topics.topic").short()? else { continue };
        if widest.as_ref().is_none_or(|held| topic.ends_with('#') && !held.ends_with('#')) {
            widest = Some(topic);
        }
    }
    Ok(widest)
}
