//! The inverse of the native decoder: a reading as one line. What writes native files (simulator, feeds, tests) shares
//! it, so that a field cannot be written one way and read another.

use fleet::reading::{Flow, Message, Outcome, Posture, Session, SessionEvent, SignIn};
use fleet::{Kind, MICROS_PER_SECOND, Reading};
use serde::Serialize;

/// One JSON object without line break. What is at its default is left out; the position is not part of a line.
pub fn to_native_json(reading: &Reading) -> String {
    let mut line = Line(String::with_capacity(256));
    line.put("kind", reading.kind.name());
    line.put("time", reading.time.to_string());
    line.put_some("client_id", reading.identity.client_id.as_deref());
    line.put_some("mac", reading.identity.mac);
    line.put_some("ip", reading.identity.ip);
    line.put_some("certificate", reading.identity.certificate.as_deref());
    match &reading.kind {
        Kind::Message(message) => line.message(message),
        Kind::Flow(flow) => line.flow(flow),
        Kind::SignIn(sign_in) => line.sign_in(sign_in),
        Kind::Session(session) => line.session(session),
        Kind::Posture(posture) => line.posture(posture),
    }
    if reading.malicious {
        line.put("label", "malicious");
    }
    line.0.push('}');
    line.0
}

struct Line(String);

impl Line {
    fn put(&mut self, key: &str, value: impl Serialize) {
        self.0.push(if self.0.is_empty() { '{' } else { ',' });
        self.0.push('"');
        self.0.push_str(key);
        self.0.push_str("\":");
        // Texts, numbers and lists of numbers always have a JSON form; `null` reads as missing.
        self.0.push_str(&serde_json::to_string(&value).unwrap_or_else(|_| "null".to_string()));
    }

    fn put_some(&mut self, key: &str, value: Option<impl Serialize>) {
        if let Some(value) = value {
            self.put(key, value);
        }
    }

    fn put_text(&mut self, key: &str, text: &str) {
        if !text.is_empty() {
            self.put(key, text);
        }
    }

    fn put_count(&mut self, key: &str, count: u64) {
        if count > 0 {
            self.put(key, count);
        }
    }

    fn put_flag(&mut self, key: &str, flag: bool) {
        if flag {
            self.put(key, true);
        }
    }

    fn put_country(&mut self, country: Option<[u8; 2]>) {
        self.put_some("country", country.map(|letters| String::from_utf8_lossy(&letters).into_owned()));
    }

    fn message(&mut self, message: &Message) {
        self.put_flag("inbound", message.inbound);
        self.put_text("topic", &message.topic);
        self.put_count("payload_bytes", message.payload_bytes.into());
        self.put_some("command", message.command.as_deref());
        self.put_some("value", message.value);
        self.put_flag("refused", message.refused);
    }

    fn flow(&mut self, flow: &Flow) {
        self.put("responder_ip", flow.responder.ip);
        self.put_count("responder_port", flow.responder.port.into());
        self.put_some("responder_mac", flow.responder.mac);
        self.put_count("originator_port", flow.originator_port.into());
        self.put("protocol", flow.protocol.name());
        self.put_text("service", &flow.service);
        self.put_some("server_name", flow.server_name.as_deref());
        if flow.duration > 0 {
            self.put("duration", flow.duration as f64 / MICROS_PER_SECOND as f64);
        }
        self.put_count("bytes_out", flow.bytes_out);
        self.put_count("bytes_in", flow.bytes_in);
        self.put_count("packets_out", flow.packets_out.into());
        self.put_count("packets_in", flow.packets_in.into());
        if flow.outcome != Outcome::Established {
            self.put_text("outcome", flow.outcome.name());
        }
        self.put_country(flow.country);
    }

    fn sign_in(&mut self, sign_in: &SignIn) {
        self.put_flag("inbound", sign_in.inbound);
        self.put("success", sign_in.success);
        self.put_text("method", &sign_in.method);
        self.put_text("user", &sign_in.user);
        self.put_some("address", sign_in.address);
        self.put_country(sign_in.country);
        self.put_flag("default_credential", sign_in.default_credential);
        self.put_some("token", sign_in.token.as_deref());
    }

    fn session(&mut self, session: &Session) {
        let event = match session.event {
            SessionEvent::Connected => "connected",
            SessionEvent::Disconnected => "disconnected",
            SessionEvent::TakenOver => "taken_over",
            SessionEvent::Subscribed => "subscribed",
            SessionEvent::Refused => "refused",
        };
        self.put("event", event);
        self.put_some("address", session.address);
        self.put_country(session.country);
        self.put_some("topic", session.topic.as_deref());
        self.put_some("token", session.token.as_deref());
        self.put_some("reason", session.reason.as_deref());
    }

    fn posture(&mut self, posture: &Posture) {
        self.put_some("firmware", posture.firmware.as_deref());
        self.put_some("attested", posture.attested);
        self.put_some("configuration", posture.configuration.as_deref());
        if !posture.listening_ports.is_empty() {
            self.put("listening_ports", &posture.listening_ports);
        }
        self.put_flag("default_credential", posture.default_credential);
        self.put_some("credential", posture.credential.as_deref());
        self.put_some("site", posture.site.as_deref());
        self.put_country(posture.country);
    }
}
