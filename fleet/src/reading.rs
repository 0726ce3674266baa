//! A reading: one thing one device did or reported at one event time.
//!
//! Texts are `SmolStr`: what devices say is short, so a flow is decoded, routed and windowed without allocating.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::address::Mac;
use crate::device::DeviceKey;
use crate::time::EventTime;
use crate::window::Service;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    pub time: EventTime,
    pub position: Position,
    /// Who did it, as the record names it. For a flow: its originator.
    pub identity: Identity,
    pub kind: Kind,
    /// The data set's label, if it has one. Carried for the score card; no detector sees it.
    pub malicious: bool,
}

/// Where a record can be fetched again: source (a file's number in the run's `sources`, or a topic partition), and the
/// line, row or offset in it, counted from 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Position {
    pub source: u32,
    pub offset: u64,
}

/// A device as a record names it; every part may be missing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Identity {
    pub client_id: Option<SmolStr>,
    pub mac: Option<Mac>,
    pub ip: Option<IpAddr>,
    /// Fingerprint or common name of the certificate.
    pub certificate: Option<SmolStr>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Kind {
    Message(Message),
    Flow(Flow),
    SignIn(SignIn),
    Session(Session),
    Posture(Posture),
}

impl Kind {
    pub const NAMES: [&'static str; 5] = ["message", "flow", "sign_in", "session", "posture"];

    pub fn name(&self) -> &'static str {
        match self {
            Kind::Message(_) => "message",
            Kind::Flow(_) => "flow",
            Kind::SignIn(_) => "sign_in",
            Kind::Session(_) => "session",
            Kind::Posture(_) => "posture",
        }
    }
}

/// A message the device published to, or was delivered by, a broker. Only the payload's size is kept.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// `true`: delivered to the device; `false`: published by it.
    pub inbound: bool,
    pub topic: SmolStr,
    pub payload_bytes: u32,
    /// Name of the command, when the message is one.
    pub command: Option<SmolStr>,
    /// The reported measurement, when there is one number to report.
    pub value: Option<f64>,
    /// The broker refused it (authorisation).
    pub refused: bool,
}

/// One network flow record between the reading's identity (originator) and `responder`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Flow {
    pub responder: Peer,
    pub originator_port: u16,
    pub protocol: Protocol,
    /// What the sensor recognised (`dns`, `ssl`, ...); empty when it did not.
    pub service: SmolStr,
    /// DNS name of the responder when known (SNI, DNS answer, HTTP host).
    pub server_name: Option<SmolStr>,
    /// Microseconds.
    pub duration: i64,
    /// Payload bytes and packets from originator, and from responder.
    pub bytes_out: u64,
    pub bytes_in: u64,
    pub packets_out: u32,
    pub packets_in: u32,
    pub outcome: Outcome,
    /// ISO 3166-1 alpha-2 of the responder (or of the originator, for inbound), when the collector knows it.
    pub country: Option<[u8; 2]>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    pub mac: Option<Mac>,
    pub ip: IpAddr,
    pub port: u16,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    Tcp,
    Udp,
    Icmp,
    #[default]
    Other,
}

impl Protocol {
    pub fn name(self) -> &'static str {
        match self {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
            Protocol::Icmp => "icmp",
            Protocol::Other => "other",
        }
    }

    pub fn parse(text: &str) -> Protocol {
        match text {
            "tcp" | "TCP" | "6" => Protocol::Tcp,
            "udp" | "UDP" | "17" => Protocol::Udp,
            "icmp" | "ICMP" | "1" | "58" | "icmp6" | "IPv6-ICMP" => Protocol::Icmp,
            _ => Protocol::Other,
        }
    }
}

/// What became of a flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    #[default]
    Established,
    /// The responder said no before anything was exchanged.
    Refused,
    /// Begun and torn down by a reset from either side.
    Reset,
    /// Nobody answered.
    Unanswered,
    /// Seen in the middle: neither beginning nor end.
    Partial,
}

impl Outcome {
    pub fn name(self) -> &'static str {
        match self {
            Outcome::Established => "established",
            Outcome::Refused => "refused",
            Outcome::Reset => "reset",
            Outcome::Unanswered => "unanswered",
            Outcome::Partial => "partial",
        }
    }

    pub fn from_name(name: &str) -> Option<Outcome> {
        match name {
            "established" => Some(Outcome::Established),
            "refused" => Some(Outcome::Refused),
            "reset" => Some(Outcome::Reset),
            "unanswered" => Some(Outcome::Unanswered),
            "partial" => Some(Outcome::Partial),
            _ => None,
        }
    }

    /// What Zeek's connection state says of the answer. `S0` is also how one-way UDP and multicast look: whether that is
    /// a failure is for whoever knows protocol and place.
    pub fn from_zeek(state: &str) -> Option<Outcome> {
        match state {
            "SF" | "S1" | "S2" | "S3" => Some(Outcome::Established),
            "RSTO" | "RSTR" => Some(Outcome::Reset),
            "REJ" | "RSTOS0" | "RSTRH" => Some(Outcome::Refused),
            "S0" | "SH" => Some(Outcome::Unanswered),
            "OTH" | "SHR" => Some(Outcome::Partial),
            _ => None,
        }
    }

    /// Never came about.
    pub fn failed(self) -> bool {
        matches!(self, Outcome::Refused | Outcome::Unanswered)
    }
}

/// An attempt to sign in: to the device (`inbound`), or by the device to a service.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SignIn {
    pub inbound: bool,
    pub success: bool,
    /// `telnet`, `ssh`, `http`, `mqtt`, ...
    pub method: SmolStr,
    pub user: SmolStr,
    /// The other side.
    pub address: Option<IpAddr>,
    pub country: Option<[u8; 2]>,
    /// The credential is known to be a factory default.
    pub default_credential: bool,
    /// Hash of the session token issued or presented.
    pub token: Option<SmolStr>,
}

/// A broker session begins, ends or is denied something.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Session {
    pub event: SessionEvent,
    /// Where the client connected from.
    pub address: Option<IpAddr>,
    pub country: Option<[u8; 2]>,
    /// Topic of a refused or accepted subscription.
    pub topic: Option<SmolStr>,
    pub token: Option<SmolStr>,
    pub reason: Option<SmolStr>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionEvent {
    #[default]
    Connected,
    Disconnected,
    /// The same client id connected from elsewhere and displaced this session.
    TakenOver,
    Subscribed,
    /// The broker refused a connect, a subscribe or a publish.
    Refused,
}

/// What the device, or a scanner or agent for it, reports about its state.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Posture {
    pub firmware: Option<SmolStr>,
    /// `Some(false)`: remote attestation failed.
    pub attested: Option<bool>,
    /// Hash of the running configuration.
    pub configuration: Option<SmolStr>,
    pub listening_ports: Vec<u16>,
    /// The device still accepts its factory credential.
    pub default_credential: bool,
    /// Fingerprint of the credential, to find those used by several devices.
    pub credential: Option<SmolStr>,
    pub site: Option<SmolStr>,
    pub country: Option<[u8; 2]>,
}

/// Whose a reading is: what a router finds out. A flow between two devices has two owners.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    pub device: DeviceKey,
    pub role: Role,
    /// The device on the other side, when the inventory knows it (or it is an unknown device of ours).
    pub peer: Option<DeviceKey>,
}

/// A reading with its device found.
#[derive(Clone, Copy, Debug)]
pub struct Routed<'a> {
    pub owner: Owner,
    pub reading: &'a Reading,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Role {
    /// The device did it: published, connected, originated the flow.
    Originator,
    /// It was done to the device: the flow's responder.
    Responder,
}

impl Flow {
    /// The responder sent something back. The target of a scan, silent or refusing, did not.
    pub fn answered(&self) -> bool {
        !self.outcome.failed() && (self.bytes_in > 0 || self.packets_in > 0)
    }

    /// The application a flow belongs to: what the sensor recognised, else the port's registered use, else the protocol.
    pub fn service(&self) -> Service {
        Service::of(&self.service, self.protocol, self.responder.port)
    }

    /// A record that began in the middle of a conversation can have its sides swapped: the "responder" speaks from a port
    /// that hosts take for their own side, the "originator" from one that services have.
    fn is_turned(&self) -> bool {
        const FIRST_EPHEMERAL: u16 = 32_768;
        const LAST_SERVICE: u16 = 10_000;
        if self.responder.port < FIRST_EPHEMERAL || self.originator_port >= self.responder.port {
            return false;
        }
        self.outcome == Outcome::Partial || self.protocol == Protocol::Udp && self.originator_port <= LAST_SERVICE
    }
}

impl Reading {
    /// Puts the side that calls first, in flow records that began in the middle of a conversation.
    pub fn turn_round_mid_stream(&mut self) {
        let Kind::Flow(flow) = &mut self.kind else { return };
        if !flow.is_turned() {
            return;
        }
        let Some(ip) = self.identity.ip else { return };
        let caller = flow.responder;
        flow.responder = Peer { mac: self.identity.mac, ip, port: flow.originator_port };
        flow.originator_port = caller.port;
        self.identity.mac = caller.mac;
        self.identity.ip = Some(caller.ip);
        std::mem::swap(&mut flow.bytes_out, &mut flow.bytes_in);
        std::mem::swap(&mut flow.packets_out, &mut flow.packets_in);
    }
}
