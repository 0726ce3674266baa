//! Readings in one line.

use fleet::reading::{Flow, Message, Outcome, Peer, Protocol, SignIn};
use fleet::{EventTime, Identity, Kind, MICROS_PER_SECOND, Position, Reading};

pub const START: i64 = 1_772_409_600;

/// Seconds after the beginning of all tests.
pub fn at(seconds: i64) -> EventTime {
    EventTime((START + seconds) * MICROS_PER_SECOND)
}

/// `mac ip client_id certificate`, `-` for none; what is left out is none.
pub fn identity(text: &str) -> Identity {
    let mut words = text.split_whitespace().map(|word| Some(word).filter(|word| *word != "-"));
    let mut next = || words.next().flatten();
    Identity {
        mac: next().map(|mac| mac.parse().unwrap()),
        ip: next().map(|ip| ip.parse().unwrap()),
        client_id: next().map(Into::into),
        certificate: next().map(Into::into),
    }
}

pub fn reading(seconds: i64, who: &str, kind: Kind) -> Reading {
    Reading { time: at(seconds), position: Position::default(), identity: identity(who), kind, malicious: false }
}

/// An answered TCP flow to port 443; `to` is `mac ip`.
pub fn flow(to: &str) -> Flow {
    let to = identity(to);
    Flow {
        responder: Peer { mac: to.mac, ip: to.ip.unwrap(), port: 443 },
        originator_port: 40_000,
        protocol: Protocol::Tcp,
        service: "".into(),
        server_name: None,
        duration: 1_500_000,
        bytes_out: 100,
        bytes_in: 1_000,
        packets_out: 5,
        packets_in: 4,
        outcome: Outcome::Established,
        country: None,
    }
}

pub fn unanswered(to: &str) -> Flow {
    Flow { outcome: Outcome::Unanswered, bytes_in: 0, packets_in: 0, ..flow(to) }
}

pub fn message(topic: &str, payload_bytes: u32) -> Message {
    Message { topic: topic.into(), payload_bytes, ..Message::default() }
}

pub fn sign_in(success: bool, from: &str) -> SignIn {
    SignIn { inbound: true, success, method: "ssh".into(), address: from.parse().ok(), ..SignIn::default() }
}
