//! Whom a device talked to in a window: the first 16 one by one, the others added up in one more.
//!
//! Looked up for every flow, so what is compared first is numbers; the service's name is made only on first sight.

use std::net::IpAddr;

use fleet::reading::Protocol;
use fleet::window::{Destination, MAX_CONTACTS};
use fleet::{Contact, DeviceKey, Direction, Position, Service};
use smol_str::SmolStr;

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
    rest: Option<Box<Contact>>,
}

struct Kept {
    contact: Contact,
    class: Class,
    /// The service is the one that protocol and port alone give.
    by_port: bool,
}

impl Kept {
    fn matches(&self, exchange: &Exchange) -> bool {
        let contact = &self.contact;
        contact.port == exchange.port
            && contact.protocol == exchange.protocol
            && contact.direction == exchange.direction
            && contact.peer == exchange.peer
            && exchange.destination.is(&contact.destination)
            && if exchange.recognised.is_empty() { self.by_port } else { contact.service.0 == exchange.recognised }
    }
}

impl Contacts {
    pub(crate) fn len(&self) -> usize {
        self.kept.len()
    }

    /// Loads the first contacts, which are those most often looked for.
    pub(crate) fn touch(&self) -> u64 {
        let first = self.kept.iter().take(3).map(|kept| {
            let contact = &kept.contact;
            contact.last_record.offset.wrapping_add(u64::from(contact.port)).wrapping_add(u64::from(contact.flows))
        });
        first.fold(0, u64::wrapping_add)
    }

    pub(crate) fn add(&mut self, exchange: &Exchange) -> Added {
        if let Some(kept) = self.kept.iter_mut().find(|kept| kept.matches(exchange)) {
            sum(&mut kept.contact, exchange);
            return Added { class: kept.class, known: true };
        }
        let service = Service::of(exchange.recognised, exchange.protocol, exchange.port);
        let class = Class::of(&service);
        if self.kept.len() == MAX_CONTACTS {
            let rest = self.rest.get_or_insert_with(|| Box::new(empty_rest(exchange)));
            sum(rest, exchange);
            return Added { class, known: false };
        }
        let by_port = exchange.recognised.is_empty() || service == Service::of("", exchange.protocol, exchange.port);
        let mut contact = Contact {
            port: exchange.port,
            protocol: exchange.protocol,
            direction: exchange.direction,
            peer: exchange.peer,
            ..empty(service, exchange.destination.to_destination(), exchange)
        };
        sum(&mut contact, exchange);
        self.kept.push(Kept { contact, class, by_port });
        Added { class, known: false }
    }

    /// In order of their first record, the rest last; leaves nothing behind but room.
    pub(crate) fn take(&mut self) -> Vec<Contact> {
        let mut contacts = Vec::with_capacity(self.kept.len() + usize::from(self.rest.is_some()));
        contacts.extend(self.kept.drain(..).map(|kept| kept.contact));
        contacts.extend(self.rest.take().map(|rest| *rest));
        contacts
    }
}

fn empty_rest(exchange: &Exchange) -> Contact {
    let name = SmolStr::new_static(Service::REST);
    empty(Service(name.clone()), Destination::Name(name), exchange)
}

fn empty(service: Service, destination: Destination, exchange: &Exchange) -> Contact {
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
        first_record: exchange.position,
        last_record: exchange.position,
    }
}

fn sum(contact: &mut Contact, exchange: &Exchange) {
    contact.flows = contact.flows.saturating_add(1);
    contact.refused = contact.refused.saturating_add(u32::from(exchange.refused));
    contact.bytes_out = contact.bytes_out.saturating_add(exchange.bytes_out);
    contact.bytes_in = contact.bytes_in.saturating_add(exchange.bytes_in);
    contact.packets_out = contact.packets_out.saturating_add(exchange.packets_out);
    contact.packets_in = contact.packets_in.saturating_add(exchange.packets_in);
    contact.duration = contact.duration.max(exchange.duration);
    contact.last_record = exchange.position;
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
