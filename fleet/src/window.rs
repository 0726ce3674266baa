//! A window: one device, one closed interval of event time, one vector of named features, and whom it talked to.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use smol_str::{SmolStr, format_smolstr};

use crate::address::{Place, place};
use crate::device::DeviceKey;
use crate::feature::{FEATURES, Feature};
use crate::reading::{Position, Protocol};
use crate::time::EventTime;

/// Contacts kept one by one; what exceeds them is added up in one more ([`Contact::is_rest`]).
pub const MAX_CONTACTS: usize = 16;

#[derive(Clone, Debug, PartialEq)]
pub struct Window {
    pub device: DeviceKey,
    pub start: EventTime,
    pub end: EventTime,
    pub features: [f32; FEATURES],
    /// At most [`MAX_CONTACTS`] and one for the rest; ordered by first record.
    pub contacts: Vec<Contact>,
    /// Only when something but flows and plain messages was heard.
    pub details: Option<Box<Details>>,
    /// First and last contributing record, and how many there were.
    pub first_record: Position,
    pub last_record: Position,
    pub records: u32,
    /// Records labelled malicious by the data set; for the score card only.
    pub malicious: u32,
}

impl Window {
    pub fn get(&self, feature: Feature) -> f32 {
        self.features[feature.index()]
    }
}

/// What the device exchanged with one (service, destination) in one window.
#[derive(Clone, Debug, PartialEq)]
pub struct Contact {
    pub service: Service,
    pub destination: Destination,
    pub port: u16,
    pub protocol: Protocol,
    pub direction: Direction,
    /// The other side, when it is a device we know.
    pub peer: Option<DeviceKey>,
    pub flows: u32,
    /// TCP flows refused, unanswered or reset; for sign-ins: those that failed.
    pub refused: u32,
    /// From and to the device, payload.
    pub bytes_out: u64,
    pub bytes_in: u64,
    pub packets_out: u32,
    pub packets_in: u32,
    /// Longest flow, seconds.
    pub duration: f32,
    pub first_record: Position,
    pub last_record: Position,
}

impl Contact {
    /// The sum of all contacts beyond [`MAX_CONTACTS`].
    pub fn is_rest(&self) -> bool {
        // A number tells it of nearly all, without a look at the text.
        self.port == 0 && self.service.0 == Service::REST
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// The device began it.
    Outbound,
    /// The other side began it and the device answered or not.
    Inbound,
}

/// The application: `dns`, `ssl`, `mqtt`, or `tcp/6668` where nothing better is known.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Service(pub SmolStr);

impl Service {
    pub const REST: &'static str = "(rest)";
    /// A topic published to: the destination is the generalised topic.
    pub const TOPIC: &'static str = "topic";
    /// A command published: the destination is its name.
    pub const COMMAND: &'static str = "command";
    /// Sign-ins: the destination is the other side.
    pub const SIGN_IN: &'static str = "sign-in";

    /// What the sensor recognised, else the port's registered use (IANA), else protocol and port; ephemeral ports
    /// (49152 and up, RFC 6335) are one class.
    pub fn of(recognised: &str, protocol: Protocol, responder_port: u16) -> Service {
        if !recognised.is_empty() {
            return Service(SmolStr::new(recognised));
        }
        let name = match (protocol, responder_port) {
            (Protocol::Icmp, _) => "icmp",
            (Protocol::Tcp, 20 | 21) => "ftp",
            (_, 22) => "ssh",
            (Protocol::Tcp, 23 | 2323) => "telnet",
            (_, 53) => "dns",
            (Protocol::Udp, 67 | 68) => "dhcp",
            (Protocol::Udp, 69) => "tftp",
            (Protocol::Tcp, 80 | 8080) => "http",
            (Protocol::Udp, 123) => "ntp",
            (Protocol::Udp, 137 | 138) => "netbios",
            (Protocol::Udp, 161 | 162) => "snmp",
            (_, 443 | 8443) => "ssl",
            (Protocol::Tcp, 445) => "smb",
            (Protocol::Udp, 546 | 547) => "dhcp",
            (_, 554) => "rtsp",
            (Protocol::Tcp, 1883) => "mqtt",
            (Protocol::Udp, 1900) => "ssdp",
            (_, 3389) => "rdp",
            (Protocol::Udp, 3478) => "stun",
            (Protocol::Udp, 5353 | 5355) => "mdns",
            (_, 5683) => "coap",
            (Protocol::Tcp, 5900) => "vnc",
            (_, 8883) => "ssl",
            _ => "",
        };
        if !name.is_empty() {
            return Service(SmolStr::new_static(name));
        }
        if responder_port >= 49152 {
            return Service(format_smolstr!("{}/ephemeral", protocol.name()));
        }
        Service(format_smolstr!("{}/{responder_port}", protocol.name()))
    }

    /// Naming, time and discovery: what every device on a network says, whoever runs it.
    pub fn is_infrastructure(&self) -> bool {
        matches!(self.0.as_str(), "dns" | "ntp" | "dhcp" | "mdns" | "ssdp" | "netbios" | "icmp" | "stun")
    }

    /// Remote administration: where guessing and management happen.
    pub fn is_management(&self) -> bool {
        matches!(self.0.as_str(), "telnet" | "ssh" | "ftp" | "rdp" | "vnc" | "snmp" | "smb")
    }

    /// Application protocols that carry content or credentials in the clear.
    pub fn is_cleartext(&self) -> bool {
        matches!(self.0.as_str(), "telnet" | "ftp" | "http" | "mqtt" | "tftp" | "snmp" | "rtsp" | "vnc" | "smb")
    }
}

impl fmt::Display for Service {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// What an analyst would call the other side: a DNS name, topic or command when known, else the address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Destination {
    Name(SmolStr),
    Address(IpAddr),
}

impl Destination {
    pub fn place(&self) -> Place {
        match self {
            Destination::Name(_) => Place::External,
            Destination::Address(address) => place(*address),
        }
    }

    pub fn text(&self) -> SmolStr {
        match self {
            Destination::Name(name) => name.clone(),
            Destination::Address(address) => format_smolstr!("{address}"),
        }
    }

    /// The inverse of [`Destination::text`].
    pub fn parse(text: &str) -> Destination {
        match text.parse() {
            Ok(address) => Destination::Address(address),
            Err(_) => Destination::Name(SmolStr::new(text)),
        }
    }
}

/// The rarer facts of a window: identity, posture, sessions. Lists are bounded ([`Details::MAX_LIST`]).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Details {
    pub firmware: Option<SmolStr>,
    pub attestation_failed: bool,
    pub configuration: Option<SmolStr>,
    pub default_credential: bool,
    pub credential: Option<SmolStr>,
    pub site: Option<SmolStr>,
    pub taken_over: u32,
    pub listening_ports: Vec<u16>,
    pub countries: Vec<SmolStr>,
    pub tokens: Vec<SmolStr>,
    /// Where sessions and sign-ins came from.
    pub addresses: Vec<IpAddr>,
}

impl Details {
    pub const MAX_LIST: usize = 8;
}
