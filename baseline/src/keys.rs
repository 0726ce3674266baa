//! Contacts as classes: what makes two contacts "the same destination" to a device type.
//!
//! An address alone alarms on every cloud service that rotates addresses, so destinations are generalised: a DNS name
//! without its numbered host label, an internet address to its /24 (IPv6: /48), an internal host that the device itself
//! calls as it is (a new neighbour is news), internal callers as one, groups (multicast, broadcast) as one.

use std::fmt;
use std::net::IpAddr;

use fleet::reading::{Position, Protocol};
use fleet::window::Destination;
use fleet::{Contact, Direction, Place, Service, address};
use serde::{Deserialize, Serialize};
use smol_str::{SmolStr, SmolStrBuilder};

/// The application side of a contact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Application {
    /// Port as the type uses it.
    Port(Protocol, u16),
    /// A port the type hardly ever uses, or an ephemeral one, is known by its category only.
    Category(Category),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Category {
    /// Naming, time, addressing, discovery.
    Infrastructure,
    Web,
    /// Remote administration and file sharing: what worms and people guess at.
    Administration,
    Icmp,
    /// Other ports below 10000.
    Low,
    High,
    Topic,
    Command,
    SignIn,
}

/// Ports that hosts take for their own side of a conversation (Linux takes them from here on).
pub const FIRST_EPHEMERAL: u16 = 32_768;

impl Category {
    pub fn of(contact: &Contact) -> Category {
        match contact.service.0.as_str() {
            Service::TOPIC => return Category::Topic,
            Service::COMMAND => return Category::Command,
            Service::SIGN_IN => return Category::SignIn,
            _ => {}
        }
        if contact.protocol == Protocol::Icmp {
            return Category::Icmp;
        }
        match contact.port {
            53 | 67 | 68 | 123 | 137 | 138 | 546 | 547 | 1900 | 3702 | 5353 | 5355 => Category::Infrastructure,
            80 | 443 | 8080 | 8443 => Category::Web,
            21 | 22 | 23 | 135 | 139 | 445 | 2222 | 2323 | 3389 | 5555 | 5900 | 7547 => Category::Administration,
            port if port < 10_000 => Category::Low,
            _ => Category::High,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Category::Infrastructure => "infrastructure",
            Category::Web => "web",
            Category::Administration => "administration",
            Category::Icmp => "icmp",
            Category::Low => "low port",
            Category::High => "high port",
            Category::Topic => "topic",
            Category::Command => "command",
            Category::SignIn => "sign-in",
        }
    }
}

/// The other side of a contact, generalised.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    Name(SmolStr),
    /// IPv4 /24.
    Net4([u8; 3]),
    /// IPv6 /48.
    Net6([u16; 3]),
    Host(IpAddr),
    /// Any internal host that calls the device.
    Lan,
    Group,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ContactKey {
    pub direction: Direction,
    pub place: Place,
    pub application: Application,
    pub target: Target,
}

/// What episodes are counted by: rates are pooled over all destinations of a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ContactClass {
    pub direction: Direction,
    pub place: Place,
    pub category: Category,
}

impl Application {
    /// As far as the contact alone tells; whether the type uses it regularly is the baseline's to say.
    fn of(contact: &Contact, category: Category) -> Application {
        match category {
            Category::Topic | Category::Command | Category::SignIn | Category::Icmp => Application::Category(category),
            _ if contact.port >= FIRST_EPHEMERAL => Application::Category(category),
            _ => Application::Port(contact.protocol, contact.port),
        }
    }
}

impl ContactKey {
    pub fn of(contact: &Contact) -> ContactKey {
        ContactKey::with_category(contact).0
    }

    pub fn with_category(contact: &Contact) -> (ContactKey, Category) {
        let category = Category::of(contact);
        let place = match category {
            Category::Topic | Category::Command => Place::Nowhere,
            _ => contact.destination.place(),
        };
        let key = ContactKey {
            direction: contact.direction,
            place,
            application: Application::of(contact, category),
            target: target(contact, place),
        };
        (key, category)
    }
}

fn target(contact: &Contact, place: Place) -> Target {
    match &contact.destination {
        Destination::Name(name) => Target::Name(generalised_name(name)),
        Destination::Address(address) => match (place, address) {
            (Place::Group | Place::Nowhere, _) => Target::Group,
            (Place::Internal, _) if contact.direction == Direction::Inbound => Target::Lan,
            (Place::Internal, address) => Target::Host(*address),
            (Place::External, IpAddr::V4(v4)) => {
                let [a, b, c, _] = v4.octets();
                Target::Net4([a, b, c])
            }
            (Place::External, IpAddr::V6(v6)) => {
                let [a, b, c, ..] = v6.segments();
                Target::Net6([a, b, c])
            }
        },
    }
}

/// `ec2-3-4-5-6.compute.example.com` and its like: a first label with a digit in it is a host number.
fn generalised_name(name: &SmolStr) -> SmolStr {
    let Some((first, rest)) = name.split_once('.') else {
        return name.clone();
    };
    if rest.contains('.') && first.bytes().any(|byte| byte.is_ascii_digit()) {
        let mut generalised = SmolStrBuilder::new();
        generalised.push_str("*.");
        generalised.push_str(rest);
        return generalised.finish();
    }
    name.clone()
}

/// All of a window's contacts with one destination, as a type sees them.
pub struct Folded<'w> {
    pub key: ContactKey,
    pub category: Category,
    pub flows: u32,
    pub refused: u32,
    pub bytes_out: u64,
    pub bytes_in: u64,
    /// The first of the contacts.
    pub contact: &'w Contact,
    pub last_record: Position,
}

/// Folds contacts by key; an application that is not `regular` for the type is known by its category only, so that random
/// ports of one address are one destination.
pub fn fold<'w>(contacts: &'w [Contact], regular: impl Fn(&ContactKey) -> bool, folded: &mut Vec<Folded<'w>>) {
    folded.clear();
    for contact in contacts.iter().filter(|contact| !contact.is_rest()) {
        let (mut key, category) = ContactKey::with_category(contact);
        if !regular(&key) {
            key.application = Application::Category(category);
        }
        if let Some(same) = folded.iter_mut().find(|other| other.key == key) {
            same.flows += contact.flows;
            same.refused += contact.refused;
            same.bytes_out += contact.bytes_out;
            same.bytes_in += contact.bytes_in;
            same.last_record = contact.last_record;
            continue;
        }
        folded.push(Folded {
            key,
            category,
            flows: contact.flows,
            refused: contact.refused,
            bytes_out: contact.bytes_out,
            bytes_in: contact.bytes_in,
            contact,
            last_record: contact.last_record,
        });
    }
}

impl fmt::Display for Application {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Application::Port(protocol, port) => write!(out, "{}/{port}", protocol.name()),
            Application::Category(category) => out.write_str(category.name()),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Name(name) => out.write_str(name),
            Target::Net4([a, b, c]) => write!(out, "{}", address::prefix(IpAddr::from([*a, *b, *c, 0]), 24)),
            Target::Net6([a, b, c]) => {
                write!(out, "{}", address::prefix(IpAddr::from([*a, *b, *c, 0, 0, 0, 0, 0]), 48))
            }
            Target::Host(address) => write!(out, "{address}"),
            Target::Lan => out.write_str("internal callers"),
            Target::Group => out.write_str("multicast or broadcast"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbered_hosts_are_one_name() {
        let name = |text: &str| generalised_name(&SmolStr::new(text));
        assert_eq!(name("ec2-3-4.compute.example.com"), "*.compute.example.com");
        assert_eq!(name("api.example.com"), "api.example.com");
        assert_eq!(name("host7.local"), "host7.local");
    }

    #[test]
    fn targets_as_a_person_reads_them() {
        assert_eq!(Target::Net4([36, 110, 233]).to_string(), "36.110.233.0/24");
        assert_eq!(Target::Net6([0x2001, 0xdb8, 1]).to_string(), "2001:db8:1::/48");
        assert_eq!(Application::Port(Protocol::Tcp, 443).to_string(), "tcp/443");
    }
}
