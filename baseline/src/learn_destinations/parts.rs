//! Windows' contacts as rows of numbers, a key for each destination: learning goes over these several times, instead of over
//! contacts that lie far apart.

use std::collections::BTreeSet;

use fleet::{Contact, DeviceKey, Direction, EventTime, Place, Service, Window};
use rustc_hash::FxHashMap;
use smol_str::SmolStr;

use crate::destinations::Vocabulary;
use crate::keys::{Application, Category, ContactKey};

pub(super) type Use = (Direction, Place, Application);

/// What one device exchanged with one destination in one window.
#[derive(Clone, Copy)]
pub(super) struct Part {
    pub device: DeviceKey,
    pub start: EventTime,
    /// See [`Parts::key`].
    pub key: u32,
    pub flows: u32,
    pub refused: u32,
    pub bytes_out: u64,
    pub bytes_in: u64,
}

pub(super) struct Parts {
    /// In the order of the windows; those of one window stand together. A lane gives one window for a device and a start.
    pub all: Vec<Part>,
    keys: Keys,
}

impl Parts {
    /// One for each contact, and the words heard.
    pub fn of(windows: &[&Window]) -> (Parts, Vocabulary) {
        let mut parts = Parts { all: Vec::new(), keys: Keys::default() };
        let mut vocabulary = Vocabulary::default();
        for window in windows {
            for contact in window.contacts.iter().filter(|contact| !contact.is_rest()) {
                note_word(&mut vocabulary, contact);
                let (key, category) = ContactKey::with_category(contact);
                parts.all.push(Part {
                    device: window.device,
                    start: window.start,
                    key: parts.keys.number(key, category),
                    flows: contact.flows,
                    refused: contact.refused,
                    bytes_out: contact.bytes_out,
                    bytes_in: contact.bytes_in,
                });
            }
            for country in window.details.iter().flat_map(|details| &details.countries) {
                insert(&mut vocabulary.countries, country);
            }
        }
        (parts, vocabulary)
    }

    pub fn key(&self, number: u32) -> &ContactKey {
        &self.keys.known[number as usize].0
    }

    pub fn category(&self, number: u32) -> Category {
        self.keys.known[number as usize].1
    }

    pub fn usage(&self, part: &Part) -> Use {
        usage(self.key(part.key))
    }

    /// Puts together what is one destination to the type, as [`crate::keys::fold`] does for judging.
    pub fn fold(&mut self, regular: impl Fn(Use) -> bool) {
        let folded: Vec<u32> = (0..self.keys.known.len())
            .map(|number| {
                let (key, category) = self.keys.known[number].clone();
                if regular(usage(&key)) {
                    return number as u32;
                }
                self.keys.number(ContactKey { application: Application::Category(category), ..key }, category)
            })
            .collect();
        // In place: of what was read, the first `kept` are folded, those of the window in hand from `first` on.
        let all = &mut self.all;
        let (mut first, mut kept) = (0, 0);
        for at in 0..all.len() {
            let part = Part { key: folded[all[at].key as usize], ..all[at] };
            if kept > 0 && (all[kept - 1].device, all[kept - 1].start) != (part.device, part.start) {
                first = kept;
            }
            match all[first..kept].iter_mut().find(|other| other.key == part.key) {
                Some(same) => {
                    same.flows += part.flows;
                    same.refused += part.refused;
                    same.bytes_out += part.bytes_out;
                    same.bytes_in += part.bytes_in;
                }
                None => {
                    all[kept] = part;
                    kept += 1;
                }
            }
        }
        all.truncate(kept);
    }
}

fn usage(key: &ContactKey) -> Use {
    (key.direction, key.place, key.application)
}

#[derive(Default)]
struct Keys {
    known: Vec<(ContactKey, Category)>,
    numbers: FxHashMap<ContactKey, u32>,
}

impl Keys {
    fn number(&mut self, key: ContactKey, category: Category) -> u32 {
        if let Some(number) = self.numbers.get(&key) {
            return *number;
        }
        let number = self.known.len() as u32;
        self.known.push((key.clone(), category));
        self.numbers.insert(key, number);
        number
    }
}

fn note_word(vocabulary: &mut Vocabulary, contact: &Contact) {
    match contact.service.0.as_str() {
        Service::TOPIC => insert(&mut vocabulary.topics, &contact.destination.text()),
        Service::COMMAND => insert(&mut vocabulary.commands, &contact.destination.text()),
        _ if contact.peer.is_some() => insert(&mut vocabulary.peer_services, &contact.service.0),
        _ => {}
    }
}

fn insert(words: &mut BTreeSet<SmolStr>, word: &SmolStr) {
    if words.len() < Vocabulary::MAX && !words.contains(word) {
        words.insert(word.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::fold;
    use fleet::reading::{Position, Protocol};
    use fleet::window::Destination;
    use fleet::{FEATURES, MICROS_PER_SECOND};
    use rand::{Rng, SeedableRng};
    use rand_xoshiro::Xoshiro256PlusPlus;

    fn contact(random: &mut impl Rng) -> Contact {
        let service = ["ssl", "dns", "topic", "command", "sign-in", "tcp/9999", Service::REST][random.gen_range(0..7)];
        let port = [0, 22, 53, 443, 9_999, 40_000][random.gen_range(0..6)];
        let destination = match random.gen_range(0..3) {
            0 => Destination::Name(SmolStr::new(["a.example.com", "b7.cloud.example.com"][random.gen_range(0..2)])),
            1 => Destination::Address([10, 0, 0, random.gen_range(1..4)].into()),
            _ => Destination::Address([93, 184, random.gen_range(1..3), random.gen_range(1..4)].into()),
        };
        Contact {
            service: Service(SmolStr::new(service)),
            destination,
            port: if service == Service::REST { 0 } else { port },
            protocol: [Protocol::Tcp, Protocol::Udp, Protocol::Icmp][random.gen_range(0..3)],
            direction: [Direction::Outbound, Direction::Inbound][random.gen_range(0..2)],
            peer: None,
            flows: random.gen_range(1..9),
            refused: random.gen_range(0..3),
            bytes_out: random.gen_range(0..9_000),
            bytes_in: random.gen_range(0..9_000),
            packets_out: 1,
            packets_in: 1,
            duration: 1.0,
            first_record: Position::default(),
            last_record: Position::default(),
        }
    }

    fn window(device: u32, minute: i64, random: &mut impl Rng) -> Window {
        let start = EventTime(minute * 60 * MICROS_PER_SECOND);
        Window {
            device: DeviceKey(device),
            start,
            end: start.plus_seconds(60),
            features: [0.0; FEATURES],
            contacts: (0..random.gen_range(0..17)).map(|_| contact(random)).collect(),
            details: None,
            first_record: Position::default(),
            last_record: Position::default(),
            records: 1,
            malicious: 0,
        }
    }

    /// What is learned must be what is judged.
    #[test]
    fn parts_fold_as_contacts_do() {
        let mut random = Xoshiro256PlusPlus::seed_from_u64(7);
        let windows: Vec<Window> = (0..200)
            .flat_map(|minute| (0..3).map(move |device| (device, minute)))
            .map(|(device, minute)| window(device, minute, &mut random))
            .collect();
        let regular = |(direction, _, application): Use| {
            direction == Direction::Outbound && matches!(application, Application::Port(_, 443 | 53))
        };
        let (mut parts, _) = Parts::of(&windows.iter().collect::<Vec<_>>());
        parts.fold(regular);
        let mut found = parts.all.iter();
        let mut folded = Vec::new();
        for window in &windows {
            fold(&window.contacts, |key| regular(usage(key)), &mut folded);
            for expected in &folded {
                let part = found.next().unwrap();
                assert_eq!((part.device, part.start), (window.device, window.start));
                assert_eq!((parts.key(part.key), parts.category(part.key)), (&expected.key, expected.category));
                assert_eq!((part.flows, part.refused), (expected.flows, expected.refused));
                assert_eq!((part.bytes_out, part.bytes_in), (expected.bytes_out, expected.bytes_in));
            }
        }
        assert!(found.next().is_none());
    }
}
