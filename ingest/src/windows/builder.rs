//! One device's open window: everything its features are computed from, and nothing else.
//!
//! Builders are pooled, so what they allocated once (contacts, times) is used again; what only some devices need
//! (messages, sessions) is behind one pointer each. All counters saturate: no input can make a lane panic.
//!
//! A window is a function of the set of its readings: several sources interleave anyhow, and a replay reads them in yet
//! another order. So all that is kept here adds up, or is the least or the greatest of something.

use std::hash::Hasher;
use std::hint::select_unpredictable;
use std::net::IpAddr;

use fleet::reading::{Flow, Outcome, Protocol};
use fleet::{Direction, EventTime, Identity, Kind, Place, Position, Role, Routed, place};
use rustc_hash::FxHasher;

use super::contacts::{Contacts, Exchange, Seen};
use super::sketch::{DistinctCounter, mix};
use super::speech::{Sessions, Speech};

#[derive(Default)]
pub(crate) struct Builder {
    pub records: u32,
    pub malicious: u32,
    pub span: Span,
    pub first_record: Position,
    pub last_record: Position,
    pub bytes_out: u64,
    pub bytes_in: u64,
    pub packets_out: u64,
    pub packets_in: u64,
    pub flows: FlowCounts,
    pub contacts: Contacts,
    pub own: OwnTimes,
    pub destinations: DistinctCounter,
    pub ports: DistinctCounter,
    pub internal_hosts: DistinctCounter,
    pub speech: Option<Box<Speech>>,
    pub sessions: Option<Box<Sessions>>,
}

#[derive(Default)]
pub(crate) struct FlowCounts {
    pub all: u32,
    /// Originated to single hosts, and of those refused or unanswered.
    pub to_hosts: u32,
    pub failed: u32,
    pub inbound_external: u32,
    pub device_bytes: u64,
    pub cleartext_bytes: u64,
    /// All but naming, time and discovery.
    pub content_bytes: u64,
}

/// From when to when records are. First and last are meant in event time; of those with the same time the positions
/// decide.
#[derive(Clone, Copy, Default)]
pub(crate) struct Span {
    pub first: EventTime,
    pub last: EventTime,
}

impl Span {
    pub(crate) fn at(time: EventTime) -> Span {
        Span { first: time, last: time }
    }

    /// Readings are disordered, so branches here could not be predicted.
    #[inline(always)]
    pub(crate) fn add(
        &mut self,
        time: EventTime,
        position: Position,
        first_record: &mut Position,
        last_record: &mut Position,
    ) {
        let is_last = (time > self.last) | (time == self.last && position > *last_record);
        let is_first = (time < self.first) | (time == self.first && position < *first_record);
        self.last = self.last.max(time);
        self.first = self.first.min(time);
        choose(is_last, last_record, position);
        choose(is_first, first_record, position);
    }
}

fn choose(is_it: bool, record: &mut Position, position: Position) {
    record.source = select_unpredictable(is_it, position.source, record.source);
    record.offset = select_unpredictable(is_it, position.offset, record.offset);
}

/// When the device itself did something, for its rhythm.
#[derive(Default)]
pub(crate) struct OwnTimes {
    pub count: u32,
    pub first: EventTime,
    pub last: EventTime,
    /// The earliest [`OwnTimes::KEPT`]; the greatest of them is the last element, the others are in no order.
    pub kept: Vec<EventTime>,
}

impl OwnTimes {
    pub const KEPT: usize = 64;

    fn add(&mut self, time: EventTime) {
        if self.count == 0 {
            (self.first, self.last) = (time, time);
        }
        self.first = self.first.min(time);
        self.last = self.last.max(time);
        self.count = self.count.saturating_add(1);
        if self.kept.len() < Self::KEPT {
            self.kept.push(time);
            if let [.., before, last] = self.kept.as_mut_slice() {
                (*before, *last) = ((*before).min(*last), (*before).max(*last));
            }
            return;
        }
        if self.kept.last().is_some_and(|greatest| time < *greatest) {
            self.replace_greatest(time);
        }
    }

    fn replace_greatest(&mut self, time: EventTime) {
        let last = self.kept.len() - 1;
        self.kept[last] = time;
        let greatest =
            (0..last).fold(last, |most, place| if self.kept[place] > self.kept[most] { place } else { most });
        self.kept.swap(greatest, last);
    }
}

impl Builder {
    /// Loads what [`Builder::add`] will write, ahead of it.
    pub(crate) fn touch(&self) -> u64 {
        let counts = u64::from(self.records) + u64::from(self.flows.all) + u64::from(self.own.count);
        let distinct = self.destinations.seen() + self.ports.seen() + self.internal_hosts.seen();
        let lengths = u64::from(distinct) + self.contacts.len() as u64;
        (counts + lengths).wrapping_add(self.bytes_out)
    }

    /// The same for what lies behind pointers; [`Builder::touch`] first.
    pub(crate) fn touch_contents(&self) -> u64 {
        let last = self.own.kept.last().map_or(0, |time| time.0 as u64);
        last.wrapping_add(self.contacts.touch())
    }

    /// `scratch` is room for a topic.
    pub(crate) fn add(&mut self, routed: &Routed<'_>, scratch: &mut String) {
        let reading = routed.reading;
        if self.records == 0 {
            (self.first_record, self.last_record) = (reading.position, reading.position);
            self.span = Span::at(reading.time);
        }
        self.span.add(reading.time, reading.position, &mut self.first_record, &mut self.last_record);
        self.records = self.records.saturating_add(1);
        self.malicious = self.malicious.saturating_add(u32::from(reading.malicious));
        if is_own(routed) {
            self.own.add(reading.time);
        }
        match &reading.kind {
            Kind::Flow(flow) => self.add_flow(routed, &reading.identity, flow),
            Kind::Message(message) => {
                let speech = self.speech.get_or_insert_default();
                let bytes = speech.add(reading, message, &mut self.contacts, scratch);
                let total = if message.inbound { &mut self.bytes_in } else { &mut self.bytes_out };
                *total = total.saturating_add(bytes);
            }
            Kind::SignIn(sign_in) => {
                self.sessions.get_or_insert_default().add_sign_in(routed, sign_in, &mut self.contacts)
            }
            Kind::Session(session) => self.sessions.get_or_insert_default().add_session(&reading.identity, session),
            Kind::Posture(posture) => self.sessions.get_or_insert_default().add_posture(reading.time, posture),
        }
    }

    fn add_flow(&mut self, routed: &Routed<'_>, originator: &Identity, flow: &Flow) {
        let outbound = routed.owner.role == Role::Originator;
        let swap = |ours: u64, theirs: u64| if outbound { (ours, theirs) } else { (theirs, ours) };
        let (bytes_out, bytes_in) = swap(flow.bytes_out, flow.bytes_in);
        let (packets_out, packets_in) = swap(u64::from(flow.packets_out), u64::from(flow.packets_in));
        self.bytes_out = self.bytes_out.saturating_add(bytes_out);
        self.bytes_in = self.bytes_in.saturating_add(bytes_in);
        self.packets_out = self.packets_out.saturating_add(packets_out);
        self.packets_in = self.packets_in.saturating_add(packets_in);
        let failed = flow.outcome.failed();
        let destination = match (outbound, &flow.server_name, originator.ip) {
            (true, Some(name), _) => Seen::Name(name),
            (true, None, _) => Seen::Address(flow.responder.ip),
            (false, _, Some(address)) => Seen::Address(address),
            (false, _, None) => Seen::Name(UNKNOWN),
        };
        let place = place(flow.responder.ip);
        let single_host = outbound && matches!(place, Place::Internal | Place::External);
        let added = self.contacts.add(&Exchange {
            recognised: &flow.service,
            destination,
            port: flow.responder.port,
            protocol: flow.protocol,
            direction: if outbound { Direction::Outbound } else { Direction::Inbound },
            peer: routed.owner.peer,
            refused: flow.protocol == Protocol::Tcp && (failed || flow.outcome == Outcome::Reset),
            bytes_out,
            bytes_in,
            packets_out: packets_out as u32,
            packets_in: packets_in as u32,
            duration: flow.duration as f32 / 1e6,
            single_host,
            time: routed.reading.time,
            position: routed.reading.position,
        });

        let counts = &mut self.flows;
        let bytes = bytes_out.saturating_add(bytes_in);
        counts.all = counts.all.saturating_add(1);
        if routed.owner.peer.is_some() {
            counts.device_bytes = counts.device_bytes.saturating_add(bytes);
        }
        if !added.class.infrastructure {
            counts.content_bytes = counts.content_bytes.saturating_add(bytes);
        }
        if added.class.cleartext {
            counts.cleartext_bytes = counts.cleartext_bytes.saturating_add(bytes);
        }
        if !outbound {
            let external = originator.ip.is_some_and(|address| fleet::place(address) == Place::External);
            counts.inbound_external = counts.inbound_external.saturating_add(u32::from(external && flow.answered()));
            return;
        }
        if single_host {
            counts.to_hosts = counts.to_hosts.saturating_add(1);
            counts.failed = counts.failed.saturating_add(u32::from(failed));
        }
        if place == Place::Internal {
            self.internal_hosts.insert(hash_address(flow.responder.ip));
        }
        if added.known {
            return;
        }
        if single_host {
            self.destinations.insert(destination.hash());
        }
        if matches!(flow.protocol, Protocol::Tcp | Protocol::Udp) {
            self.ports.insert(mix(u64::from(flow.responder.port)));
        }
    }

    /// Empty again, with its allocations; contacts were taken by then.
    pub(crate) fn clear(&mut self) {
        let mut kept = std::mem::take(&mut self.own.kept);
        kept.clear();
        self.own = OwnTimes { kept, ..OwnTimes::default() };
        (self.records, self.malicious) = (0, 0);
        (self.bytes_out, self.bytes_in, self.packets_out, self.packets_in) = (0, 0, 0, 0);
        self.flows = FlowCounts::default();
        self.destinations.clear();
        self.ports.clear();
        self.internal_hosts.clear();
        if let Some(speech) = &mut self.speech {
            speech.clear();
        }
        self.sessions = None;
    }
}

/// Stands for the other side when the record does not name it.
pub(crate) const UNKNOWN: &str = "(unknown)";

fn is_own(routed: &Routed<'_>) -> bool {
    match &routed.reading.kind {
        Kind::Flow(_) => routed.owner.role == Role::Originator,
        Kind::Message(message) => !message.inbound,
        Kind::SignIn(sign_in) => !sign_in.inbound,
        Kind::Session(_) | Kind::Posture(_) => true,
    }
}

pub(crate) fn hash_address(address: IpAddr) -> u32 {
    match address {
        IpAddr::V4(v4) => mix(u64::from(u32::from(v4))),
        IpAddr::V6(v6) => {
            let bits = u128::from(v6);
            mix((bits >> 64) as u64 ^ u64::from(mix(bits as u64)))
        }
    }
}

pub(crate) fn hash_text(text: &str) -> u32 {
    let mut hasher = FxHasher::default();
    hasher.write(text.as_bytes());
    mix(hasher.finish())
}
