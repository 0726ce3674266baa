//! Flow records of routers and clouds. They tell one direction: what a conversation's other side said is a record of
//! its own, whose source is the side that was called.

pub(super) mod goflow2;
pub(super) mod vpc;

use fleet::reading::{Flow, Outcome, Peer, Protocol};
use fleet::{EventTime, Identity, Kind, Position, Reading};
use smol_str::SmolStr;

/// What one side sent the other.
#[derive(Clone, Copy, Debug)]
pub(super) struct OneWay {
    pub time: EventTime,
    pub from: Peer,
    pub to: Peer,
    pub protocol: Protocol,
    pub bytes: u64,
    pub packets: u64,
    /// Microseconds.
    pub duration: i64,
    pub outcome: Outcome,
}

impl OneWay {
    /// The side that spoke is the originator, or the responder where this is an answer: taken for a call, it would be a
    /// server of the internet that calls a device at a port which the device opened for its own call.
    pub fn reading(self, is_answer: bool, position: Position) -> Reading {
        let packets = u32::try_from(self.packets).unwrap_or(u32::MAX);
        let (caller, called) = if is_answer { (self.to, self.from) } else { (self.from, self.to) };
        let one_side = |speaks: bool| if speaks { (self.bytes, packets) } else { (0, 0) };
        let ((bytes_out, packets_out), (bytes_in, packets_in)) = (one_side(!is_answer), one_side(is_answer));
        let flow = Flow {
            responder: called,
            originator_port: caller.port,
            protocol: self.protocol,
            service: SmolStr::default(),
            server_name: None,
            duration: self.duration,
            bytes_out,
            bytes_in,
            packets_out,
            packets_in,
            outcome: self.outcome,
            country: None,
        };
        let identity = Identity { mac: caller.mac, ip: Some(caller.ip), ..Identity::default() };
        Reading { time: self.time, position, identity, kind: Kind::Flow(flow), malicious: false }
    }

    /// From a port that services have to one that hosts take for their own calls (as Linux does by default).
    pub fn looks_like_an_answer(&self) -> bool {
        const LAST_SERVICE: u16 = 10_000;
        const FIRST_EPHEMERAL: u16 = 32_768;
        let services = 1..=LAST_SERVICE;
        matches!(self.protocol, Protocol::Tcp | Protocol::Udp)
            && services.contains(&self.from.port)
            && self.to.port >= FIRST_EPHEMERAL
    }
}

/// Bits of TCP's header flags.
pub(super) mod tcp {
    pub const SYN: u64 = 0x02;
    pub const RST: u64 = 0x04;
    pub const ACK: u64 = 0x10;
}

/// Microseconds between two instants, where they are in order and less than a year apart.
pub(super) fn span(start: Option<EventTime>, end: Option<EventTime>) -> i64 {
    const YEAR: i64 = 366 * 86_400 * fleet::MICROS_PER_SECOND;
    match (start, end) {
        (Some(start), Some(end)) => end.minus(start).clamp(0, YEAR),
        _ => 0,
    }
}
