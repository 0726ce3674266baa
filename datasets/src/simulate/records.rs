//! The records of the simulated collectors: who is named how in which kind of reading, and how late each arrives.
//!
//! Flow sensors see MAC and address and export in batches, up to a minute after the flow; brokers know the client id
//! and deliver at once; devices behind a gateway have no address. A few records are held up for minutes.

use std::net::IpAddr;

use fleet::reading::{Flow, Message, Outcome, Peer, Posture, Protocol, Session, SessionEvent, SignIn};
use fleet::{EventTime, Identity, Kind, Position, Reading};
use smol_str::SmolStr;

use super::clock::{SECOND, seconds};
use super::random::Random;
use super::roster::Roster;

/// Longest regular way of a record to the file: below the lateness the demo allows for.
pub(super) const LONGEST_DELAY: i64 = 64 * SECOND;
/// Share of records held up beyond that.
const HELD_UP: f64 = 0.0002;

/// A reading and when the collector wrote it down.
pub(super) struct Sent {
    pub arrival: i64,
    pub reading: Reading,
}

/// Where records are made: whose fleet, by which dice, to which list, under which label.
pub(super) struct Stage<'a> {
    pub roster: &'a Roster,
    pub random: &'a mut Random,
    pub out: &'a mut Vec<Sent>,
    pub malicious: bool,
}

/// What a flow is like, whoever takes part in it.
#[derive(Clone)]
pub(super) struct Shape {
    pub port: u16,
    pub protocol: Protocol,
    pub service: &'static str,
    pub server_name: Option<SmolStr>,
    pub country: Option<[u8; 2]>,
    pub seconds: f64,
    pub out: f64,
    pub back: f64,
    pub outcome: Outcome,
}

impl Shape {
    pub fn tcp(port: u16, service: &'static str, out: f64, back: f64, seconds: f64) -> Shape {
        Shape {
            port,
            protocol: Protocol::Tcp,
            service,
            server_name: None,
            country: None,
            seconds,
            out,
            back,
            outcome: Outcome::Established,
        }
    }

    pub fn udp(port: u16, service: &'static str, out: f64, back: f64, seconds: f64) -> Shape {
        Shape { protocol: Protocol::Udp, ..Shape::tcp(port, service, out, back, seconds) }
    }

    pub fn named(self, name: &str) -> Shape {
        Shape { server_name: Some(SmolStr::new(name)), ..self }
    }

    pub fn in_country(self, country: &[u8; 2]) -> Shape {
        Shape { country: Some(*country), ..self }
    }

    pub fn ending(self, outcome: Outcome) -> Shape {
        match outcome {
            Outcome::Refused | Outcome::Unanswered => Shape { outcome, back: 0.0, out: 0.0, seconds: 0.0, ..self },
            Outcome::Established | Outcome::Reset | Outcome::Partial => Shape { outcome, ..self },
        }
    }
}

impl Stage<'_> {
    /// From the unit to an address of nobody we know.
    pub fn flow(&mut self, unit: usize, time: i64, to: IpAddr, shape: Shape) {
        let unit = &self.roster.units[unit];
        let identity = Identity { mac: unit.mac, ip: unit.address(time), ..Identity::default() };
        let responder = Peer { mac: None, ip: to, port: shape.port };
        self.send_flow(identity, responder, time, shape);
    }

    /// From one device of ours to another.
    pub fn flow_between(&mut self, from: usize, to: usize, time: i64, shape: Shape) {
        let (from, to) = (&self.roster.units[from], &self.roster.units[to]);
        let Some(ip) = to.address(time) else { return };
        let identity = Identity { mac: from.mac, ip: from.address(time), ..Identity::default() };
        self.send_flow(identity, Peer { mac: to.mac, ip, port: shape.port }, time, shape);
    }

    /// From an address of nobody we know to the unit.
    pub fn flow_to(&mut self, unit: usize, time: i64, from: IpAddr, shape: Shape) {
        let unit = &self.roster.units[unit];
        let Some(ip) = unit.address(time) else { return };
        let identity = Identity { ip: Some(from), ..Identity::default() };
        self.send_flow(identity, Peer { mac: unit.mac, ip, port: shape.port }, time, shape);
    }

    fn send_flow(&mut self, identity: Identity, responder: Peer, time: i64, shape: Shape) {
        let bytes_out = shape.out.max(0.0).round() as u64;
        let bytes_in = shape.back.max(0.0).round() as u64;
        let flow = Flow {
            responder,
            originator_port: 32_768 + self.random.below(28_000) as u16,
            protocol: shape.protocol,
            service: SmolStr::new_static(shape.service),
            server_name: shape.server_name,
            duration: seconds(shape.seconds),
            bytes_out,
            bytes_in,
            packets_out: packets(bytes_out, bytes_in),
            packets_in: if shape.outcome == Outcome::Unanswered { 0 } else { packets(bytes_in, bytes_out) },
            outcome: shape.outcome,
            country: shape.country,
        };
        let delay = seconds(self.random.between(1.0, 62.0));
        self.send(identity, time, delay, Kind::Flow(flow));
    }

    pub fn message(&mut self, unit: usize, time: i64, message: Message) {
        self.send_by_broker(unit, time, Kind::Message(message));
    }

    pub fn session(&mut self, unit: usize, time: i64, event: SessionEvent, session: Session) {
        self.send_by_broker(unit, time, Kind::Session(Session { event, ..session }));
    }

    pub fn sign_in(&mut self, unit: usize, time: i64, sign_in: SignIn) {
        self.send_by_broker(unit, time, Kind::SignIn(sign_in));
    }

    pub fn posture(&mut self, unit: usize, time: i64, posture: Posture) {
        self.send_by_broker(unit, time, Kind::Posture(posture));
    }

    fn send_by_broker(&mut self, unit: usize, time: i64, kind: Kind) {
        let unit = &self.roster.units[unit];
        let identity = Identity {
            client_id: unit.client_id.clone(),
            mac: if unit.uses_broker() { None } else { unit.mac },
            ip: unit.address(time),
            certificate: unit.certificate.clone(),
        };
        let direct = 0.05 + self.random.exponential(0.4).min(20.0);
        let through_gateway = if unit.mac.is_none() { self.random.between(0.0, 12.0) } else { 0.0 };
        self.send(identity, time, seconds(direct + through_gateway), kind);
    }

    /// As [`Stage::message`], from an address that is not the unit's.
    pub fn message_from(&mut self, unit: usize, time: i64, address: IpAddr, message: Message) {
        let identity =
            Identity { client_id: self.roster.units[unit].client_id.clone(), ip: Some(address), ..Identity::default() };
        let delay = seconds(0.05 + self.random.exponential(0.4).min(20.0));
        self.send(identity, time, delay, Kind::Message(message));
    }

    /// As [`Stage::session`], from an address that is not the unit's.
    pub fn session_from(&mut self, unit: usize, time: i64, event: SessionEvent, session: Session) {
        let identity = Identity {
            client_id: self.roster.units[unit].client_id.clone(),
            ip: session.address,
            ..Identity::default()
        };
        let delay = seconds(0.05 + self.random.exponential(0.4).min(20.0));
        self.send(identity, time, delay, Kind::Session(Session { event, ..session }));
    }

    fn send(&mut self, identity: Identity, time: i64, delay: i64, kind: Kind) {
        let held_up = if self.random.chance(HELD_UP) { seconds(self.random.between(90.0, 900.0)) } else { 0 };
        let reading =
            Reading { time: EventTime(time), position: Position::default(), identity, kind, malicious: self.malicious };
        self.out.push(Sent { arrival: time + delay.min(LONGEST_DELAY) + held_up, reading });
    }
}

/// Data packets of up to 1,200 bytes, and about one acknowledgement for two packets of the other side.
fn packets(own: u64, other: u64) -> u32 {
    (own.div_ceil(1200) + other.div_ceil(2400)).max(1) as u32
}
