//! Whom a device talked to in a window: the 16 it talked to first one by one, the others added up in one more.
//!
//! First in event time, whatever order records arrive in: who is kept must follow from the set of records alone. While a
//! window is open, up to [`MAX_OPEN`] contacts are therefore kept, and the earliest of them are chosen when it closes. Only
//! one thing may then depend on arrival: a record that found 128 contacts earlier than itself is added to the rest, and
//! stays there if a record of the same contact, earlier than nearly all of them, comes after it.
//!
//! Looked up for every flow, so what is compared first is numbers; the service's name is made only on first sight.

use std::cmp::Ordering;
use std::net::IpAddr;

use fleet::reading::Protocol;
use fleet::window::{Destination, MAX_CONTACTS};
use fleet::{Contact, DeviceKey, Direction, EventTime, Position, Service};
use smol_str::SmolStr;

use super::builder::{Span, hash_address, hash_text};
use super::index::Index;
use super::sketch::mix;

/// Contacts of an open window, before the earliest [`MAX_CONTACTS`] are chosen.
const MAX_OPEN: usize = 128;

/// One exchange as its record has it, before anything is copied.
#[derive(Clone, Copy)]
pub(crate) struct Exchange<'a> {
    /// What the sensor recognised, or one of the names of [`Service`]; empty to go by protocol and port.
    pub recognised: &'a str,
    pub destination: Seen<'a>,
    pub port: u16,
    pub protocol: Protocol,
    pub direction: Direction,
    pub peer: Option<DeviceKey>,
    pub refused: bool,
    pub bytes_out: u64,
    pub bytes_in: u64,
    pub packets_out: u32,
    pub packets_in: u32,
    /// Seconds.
    pub duration: f32,
    /// Counts as a destination: the other side is one host. What is reached by name may be one now and a group then.
    pub single_host: bool,
    pub time: EventTime,
    pub position: Position,
}

#[derive(Clone, Copy)]
pub(crate) enum Seen<'a> {
    Name(&'a str),
    Address(IpAddr),
}

impl Seen<'_> {
    fn is(self, destination: &Destination) -> bool {
        match (self, destination) {
            (Seen::Address(seen), Destination::Address(address)) => seen == *address,
            (Seen::Name(seen), Destination::Name(name)) => name == seen,
            _ => false,
        }
    }

    pub(crate) fn hash(self) -> u32 {
        match self {
            Seen::Name(name) => hash_text(name),
            Seen::Address(address) => hash_address(address),
        }
    }

    fn to_destination(self) -> Destination {
        match self {
            Seen::Name(name) => Destination::Name(SmolStr::new(name)),
            Seen::Address(address) => Destination::Address(address),
        }
    }
}

/// What follows from a contact's service, worked out once.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Class {
    pub cleartext: bool,
    pub infrastructure: bool,
}

impl Class {
    fn of(service: &Service) -> Class {
        Class { cleartext: service.is_cleartext(), infrastructure: service.is_infrastructure() }
    }
}

pub(crate) struct Added {
    pub class: Class,
    /// The very same destination, port and service were seen before in this window, and counted.
    pub known: bool,
}

#[derive(Default)]
pub(crate) struct Contacts {
    kept: Vec<Kept>,
    /// Once more than [`MAX_CONTACTS`] are kept.
    many: Option<Box<Many>>,
}

struct Many {
    /// Of all that are kept.
    index: Index,
    /// Place of the last in [`Kept::order`] once [`MAX_OPEN`] are kept; `None` when it has to be looked for.
    last: Option<usize>,
    rest: Option<Rest>,
}

struct Kept {
    contact: Contact,
    span: Span,
    class: Class,
    /// The service is the one that protocol and port alone give.
    by_port: bool,
    single_host: bool,
}

struct Rest {
    contact: Contact,
    span: Span,
}

impl Kept {
    #[inline(always)]
    fn matches(&self, exchange: &Exchange) -> bool {
        let contact = &self.contact;
        contact.port == exchange.port
            && contact.protocol == exchange.protocol
            && contact.direction == exchange.direction
            && contact.peer == exchange.peer
            && exchange.destination.is(&contact.destination)
            && if exchange.recognised.is_empty() { self.by_port } else { contact.service.0 == exchange.recognised }
    }

    fn new(exchange: &Exchange) -> Kept {
        let service = Service::of(exchange.recognised, exchange.protocol, exchange.port);
        let by_port = exchange.recognised.is_empty() || service == Service::of("", exchange.protocol, exchange.port);
        let class = Class::of(&service);
        let contact = Contact {
            port: exchange.port,
            protocol: exchange.protocol,
            direction: exchange.direction,
            peer: exchange.peer,
            ..empty(service, exchange.destination.to_destination(), exchange.position)
        };
        let mut kept = Kept { contact, span: Span::at(exchange.time), class, by_port, single_host: false };
        kept.add(exchange);
        kept
    }

    #[inline(always)]
    fn add(&mut self, exchange: &Exchange) -> Added {
        sum(&mut self.contact, &mut self.span, exchange);
        let known = self.single_host || !exchange.single_host;
        self.single_host |= exchange.single_host;
        Added { class: self.class, known }
    }

    fn hash(&self) -> u32 {
        let Contact { destination, port, protocol, direction, .. } = &self.contact;
        let destination = match destination {
            Destination::Name(name) => Seen::Name(name),
            Destination::Address(address) => Seen::Address(*address),
        };
        hash(destination, *port, *protocol, *direction)
    }

    /// By first record in event time. Of those with the same time the contact's content decides; where it is the same but
    /// for the peer (an address that changed hands), the record; a device's number, which is another in every run, last.
    fn order(&self, other: &Kept) -> Ordering {
        let content = |contact: &Contact| (contact.direction, contact.protocol, contact.port);
        let (one, two) = (&self.contact, &other.contact);
        let times = self.span.first.cmp(&other.span.first);
        times
            .then_with(|| content(one).cmp(&content(two)))
            .then_with(|| one.service.cmp(&two.service))
            .then_with(|| one.destination.cmp(&two.destination))
            .then_with(|| one.first_record.cmp(&two.first_record))
            .then_with(|| one.peer.cmp(&two.peer))
    }
}

/// Of what tells contacts apart, but the service and the peer, which hardly ever do alone.
fn hash(destination: Seen, port: u16, protocol: Protocol, direction: Direction) -> u32 {
    let numbers = u64::from(port) << 16 | (protocol as u64) << 8 | direction as u64;
    mix(numbers << 32 | u64::from(destination.hash()))
}

impl Contacts {
    pub(crate) fn len(&self) -> usize {
        self.kept.len()
    }

    /// Loads the first contacts, which are those most often looked for.
    pub(crate) fn touch(&self) -> u64 {
        let first = self.kept.iter().take(3).map(|kept| {
            // A field of each of the three or four cache lines.
            let Contact { peer, bytes_out, flows, .. } = &kept.contact;
            let numbers = u64::from(*flows).wrapping_add(*bytes_out).wrapping_add(kept.span.last.0 as u64);
            numbers.wrapping_add(u64::from(peer.is_some()))
        });
        first.fold(0, u64::wrapping_add)
    }

    pub(crate) fn add(&mut self, exchange: &Exchange) -> Added {
        if let Some(many) = &mut self.many {
            return many.add(&mut self.kept, exchange);
        }
        if let Some(kept) = self.kept.iter_mut().find(|kept| kept.matches(exchange)) {
            return kept.add(exchange);
        }
        let kept = Kept::new(exchange);
        let class = kept.class;
        self.kept.push(kept);
        if self.kept.len() > MAX_CONTACTS {
            self.many = Some(Box::new(Many { index: index(&self.kept), last: None, rest: None }));
        }
        Added { class, known: false }
    }

    /// In order of their first record in event time, the rest last; leaves nothing behind but room.
    pub(crate) fn take(&mut self) -> Vec<Contact> {
        self.kept.sort_unstable_by(Kept::order);
        let mut rest = self.many.take().and_then(|many| many.rest);
        for later in self.kept.drain(self.kept.len().min(MAX_CONTACTS)..) {
            add_to(&mut rest, &later);
        }
        let mut contacts = Vec::with_capacity(self.kept.len() + usize::from(rest.is_some()));
        contacts.extend(self.kept.drain(..).map(|kept| kept.contact));
        contacts.extend(rest.map(|rest| rest.contact));
        // One scan does not make a device's windows large for ever.
        self.kept.shrink_to(2 * MAX_CONTACTS);
        contacts
    }
}

fn index(kept: &[Kept]) -> Index {
    Index::of(kept.iter().map(Kept::hash))
}

impl Many {
    #[inline(never)]
    fn add(&mut self, kept: &mut Vec<Kept>, exchange: &Exchange) -> Added {
        let hash = hash(exchange.destination, exchange.port, exchange.protocol, exchange.direction);
        if let Some(place) = self.index.find(hash, |place| kept[place].matches(exchange)) {
            let first = kept[place].span.first;
            let added = kept[place].add(exchange);
            if self.last == Some(place) && exchange.time <= first {
                self.last = None;
            }
            return added;
        }
        if kept.len() == MAX_OPEN {
            let later = |one: usize, two: usize| if kept[one].order(&kept[two]).is_gt() { one } else { two };
            let last = self.last.unwrap_or_else(|| (0..kept.len()).fold(0, later));
            self.last = Some(last);
            if exchange.time > kept[last].span.first {
                let rest = self.rest.get_or_insert_with(|| Rest::at(exchange.time, exchange.position));
                sum(&mut rest.contact, &mut rest.span, exchange);
                let service = Service::of(exchange.recognised, exchange.protocol, exchange.port);
                return Added { class: Class::of(&service), known: false };
            }
            return self.replace(kept, last, Kept::new(exchange));
        }
        self.index.insert(hash, kept.len());
        let new = Kept::new(exchange);
        let class = new.class;
        kept.push(new);
        Added { class, known: false }
    }

    /// Of the last that is kept and a new one, keeps the earlier.
    fn replace(&mut self, kept: &mut [Kept], last: usize, mut new: Kept) -> Added {
        let class = new.class;
        if new.order(&kept[last]).is_lt() {
            std::mem::swap(&mut new, &mut kept[last]);
            self.index = index(kept);
            self.last = None;
        }
        add_to(&mut self.rest, &new);
        Added { class, known: false }
    }
}

fn add_to(rest: &mut Option<Rest>, kept: &Kept) {
    let first = || Rest::at(kept.span.first, kept.contact.first_record);
    rest.get_or_insert_with(first).add(&kept.contact, &kept.span);
}

impl Rest {
    fn at(time: EventTime, position: Position) -> Rest {
        let name = SmolStr::new_static(Service::REST);
        let contact = empty(Service(name.clone()), Destination::Name(name), position);
        Rest { contact, span: Span::at(time) }
    }

    fn add(&mut self, other: &Contact, span: &Span) {
        let contact = &mut self.contact;
        contact.flows = contact.flows.saturating_add(other.flows);
        contact.refused = contact.refused.saturating_add(other.refused);
        contact.bytes_out = contact.bytes_out.saturating_add(other.bytes_out);
        contact.bytes_in = contact.bytes_in.saturating_add(other.bytes_in);
        contact.packets_out = contact.packets_out.saturating_add(other.packets_out);
        contact.packets_in = contact.packets_in.saturating_add(other.packets_in);
        contact.duration = contact.duration.max(other.duration);
        let Contact { first_record, last_record, .. } = contact;
        self.span.add(span.first, other.first_record, first_record, last_record);
        self.span.add(span.last, other.last_record, first_record, last_record);
    }
}

fn empty(service: Service, destination: Destination, position: Position) -> Contact {
    Contact {
        service,
        destination,
        port: 0,
        protocol: Protocol::Other,
        direction: Direction::Outbound,
        peer: None,
        flows: 0,
        refused: 0,
        bytes_out: 0,
        bytes_in: 0,
        packets_out: 0,
        packets_in: 0,
        duration: 0.0,
        first_record: position,
        last_record: position,
    }
}

#[inline(always)]
fn sum(contact: &mut Contact, span: &mut Span, exchange: &Exchange) {
    contact.flows = contact.flows.saturating_add(1);
    contact.refused = contact.refused.saturating_add(u32::from(exchange.refused));
    contact.bytes_out = contact.bytes_out.saturating_add(exchange.bytes_out);
    contact.bytes_in = contact.bytes_in.saturating_add(exchange.bytes_in);
    contact.packets_out = contact.packets_out.saturating_add(exchange.packets_out);
    contact.packets_in = contact.packets_in.saturating_add(exchange.packets_in);
    contact.duration = contact.duration.max(exchange.duration);
    span.add(exchange.time, exchange.position, &mut contact.first_record, &mut contact.last_record);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn exchange(last: u8) -> Exchange<'static> {
        Exchange {
            recognised: "",
            destination: Seen::Address(IpAddr::V4(Ipv4Addr::new(10, 0, 0, last))),
            port: 23,
            protocol: Protocol::Tcp,
            direction: Direction::Outbound,
            peer: None,
            refused: last.is_multiple_of(2),
            bytes_out: 10,
            bytes_in: 20,
            packets_out: 1,
            packets_in: 2,
            duration: f32::from(last),
            single_host: true,
            time: EventTime(i64::from(last)),
            position: Position { source: 0, offset: u64::from(last) },
        }
    }

    #[test]
    fn sixteen_are_kept_and_the_rest_is_added_up() {
        let mut contacts = Contacts::default();
        for last in 0..40 {
            assert_eq!(contacts.add(&exchange(last)).class, Class { cleartext: true, infrastructure: false });
        }
        assert!(contacts.add(&exchange(3)).known);
        let taken = contacts.take();
        assert_eq!(taken.len(), MAX_CONTACTS + 1);
        assert_eq!((taken[3].flows, taken[3].service.0.as_str()), (2, "telnet"));
        let rest = &taken[MAX_CONTACTS];
        assert!(rest.is_rest());
        assert_eq!((rest.flows, rest.refused, rest.bytes_in, rest.duration), (24, 12, 480, 39.0));
        assert_eq!((rest.first_record.offset, rest.last_record.offset), (16, 39));
        assert!(contacts.take().is_empty());
    }

    #[test]
    fn kept_are_the_earliest_in_whatever_order_they_come() {
        let in_order = |order: &mut dyn Iterator<Item = u8>| {
            let mut contacts = Contacts::default();
            order.for_each(|last| _ = contacts.add(&exchange(last)));
            contacts.take()
        };
        let sorted = in_order(&mut (0..=255));
        assert_eq!(sorted.len(), MAX_CONTACTS + 1);
        assert!(sorted.iter().zip(0..16).all(|(contact, offset)| contact.first_record.offset == offset));
        assert_eq!((sorted[16].flows, sorted[16].bytes_out), (240, 2_400));
        assert_eq!(in_order(&mut (0..=255).rev()), sorted, "more than are kept open, each earlier than all before");
        assert_eq!(in_order(&mut (0..=255).map(|last: u8| last.wrapping_mul(77))), sorted);
    }

    #[test]
    fn what_has_the_same_time_is_told_by_its_content() {
        let at_once = |last| Exchange { time: EventTime(7), ..exchange(last) };
        let mut contacts = Contacts::default();
        (0..=255).rev().for_each(|last| _ = contacts.add(&at_once(last)));
        let taken = contacts.take();
        assert!(taken.iter().zip(0..16).all(|(contact, offset)| contact.first_record.offset == offset));
    }

    #[test]
    fn a_contact_that_becomes_the_earliest_takes_its_place() {
        let mut contacts = Contacts::default();
        (10..138).for_each(|last| _ = contacts.add(&exchange(last)));
        contacts.add(&exchange(250));
        // The last that is kept turns out to be the first, so that another is the last now, and makes room.
        contacts.add(&Exchange { time: EventTime(0), ..exchange(137) });
        contacts.add(&Exchange { time: EventTime(1), ..exchange(200) });
        let taken = contacts.take();
        assert_eq!((taken[0].flows, taken[0].last_record.offset), (2, 137));
        assert_eq!(taken[1].first_record.offset, 200);
        assert_eq!((taken[16].flows, taken[16].last_record.offset), (114, 250));
    }

    #[test]
    fn a_name_may_be_a_group_now_and_a_host_then() {
        let named = Exchange { destination: Seen::Name("a.example"), single_host: false, ..exchange(1) };
        let mut contacts = Contacts::default();
        assert!(!contacts.add(&named).known);
        assert!(contacts.add(&named).known);
        assert!(!contacts.add(&Exchange { single_host: true, ..named }).known, "not counted as a host so far");
        assert!(contacts.add(&Exchange { single_host: true, ..named }).known);
    }

    #[test]
    fn a_service_is_one_whether_recognised_or_told_by_its_port() {
        let mut contacts = Contacts::default();
        contacts.add(&exchange(1));
        assert!(contacts.add(&Exchange { recognised: "telnet", ..exchange(1) }).known);
        assert!(!contacts.add(&Exchange { recognised: "ssh", ..exchange(1) }).known);
        assert!(contacts.add(&exchange(1)).known);
        assert!(!contacts.add(&Exchange { direction: Direction::Inbound, ..exchange(1) }).known);
        assert!(!contacts.add(&Exchange { peer: Some(DeviceKey(1)), ..exchange(1) }).known);
        assert!(!contacts.add(&Exchange { destination: Seen::Name("10.0.0.1"), ..exchange(1) }).known);
        assert_eq!(contacts.take().len(), 5);
    }
}
