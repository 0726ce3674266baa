//! Who is in the simulated fleet: sites, devices, what the inventory says of them, and which address they hold when.

use std::net::{IpAddr, Ipv4Addr};

use fleet::Mac;
use fleet::id::{stable_hash, stable_id};
use smol_str::{SmolStr, format_smolstr};

use super::catalogue::{TYPES, VISITOR};
use super::clock::START;
use super::types::{Act, DeviceType};

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Site {
    pub name: &'static str,
    /// Second byte of its addresses, 10.x.0.0/16.
    pub network: u8,
}

pub(super) static WORKS: Site = Site { name: "works", network: 20 };
pub(super) static OFFICE: Site = Site { name: "office", network: 30 };

impl Site {
    /// Servers and people's computers live on the site's first subnet, behind a router: their MACs are never seen.
    pub fn server(&self, last: u8) -> IpAddr {
        Ipv4Addr::new(10, self.network, 0, last).into()
    }
}

pub(super) struct Unit {
    pub id: SmolStr,
    pub kind: &'static DeviceType,
    /// Place among the devices of its type at its site.
    pub nth: usize,
    pub site: &'static Site,
    pub mac: Option<Mac>,
    /// Leases by the time they begin; empty for a device behind a gateway.
    pub leases: Vec<(i64, Ipv4Addr)>,
    /// What runs on it, by the time it was installed.
    pub installed: Vec<(i64, &'static str)>,
    pub client_id: Option<SmolStr>,
    pub certificate: Option<SmolStr>,
    /// In the inventory.
    pub listed: bool,
    pub born: i64,
    /// When it does not answer: from, to.
    pub away: Vec<(i64, i64)>,
    /// Still accepts its factory password, over telnet.
    pub neglected: bool,
    /// Device of ours it talks to, for each type of [`super::types::Target::Device`] in its habits.
    pub partners: Vec<(&'static str, usize)>,
}

impl Unit {
    pub fn address(&self, time: i64) -> Option<IpAddr> {
        let held = self.leases.iter().rev().find(|(since, _)| *since <= time).or(self.leases.first());
        held.map(|(_, address)| IpAddr::V4(*address))
    }

    pub fn firmware(&self, time: i64) -> &'static str {
        self.installed.iter().rev().find(|(since, _)| *since <= time).map_or(self.kind.firmware, |(_, version)| version)
    }

    pub fn answers(&self, time: i64) -> bool {
        !self.away.iter().any(|(from, to)| (*from..*to).contains(&time))
    }

    pub fn uses_broker(&self) -> bool {
        self.client_id.is_some()
    }
}

pub(super) struct Roster {
    pub units: Vec<Unit>,
}

impl Roster {
    /// `scale` multiplies the number of devices of every type (at least two each).
    pub fn new(scale: f64) -> Roster {
        let mut roster = Roster { units: Vec::new() };
        for kind in TYPES {
            let count = ((kind.count as f64 * scale).round() as usize).max(2);
            let works = if kind.works_only { count } else { count.div_ceil(2) };
            for number in 0..count {
                let (site, nth) = if number < works { (&WORKS, number) } else { (&OFFICE, number - works) };
                roster.add(kind, number, site, nth);
            }
        }
        roster.introduce_partners();
        roster.neglect_some();
        roster
    }

    fn add(&mut self, kind: &'static DeviceType, number: usize, site: &'static Site, nth: usize) -> usize {
        let id = format_smolstr!("{}-{:03}", kind.name, number + 1);
        let speaks = kind.habits.iter().any(|habit| {
            matches!(habit.act, Act::Report { .. } | Act::Command { .. } | Act::Receive { .. } | Act::SignIn { .. })
        });
        let number_bytes = (number as u32).to_be_bytes();
        let mac = kind.vendor.map(|[a, b, c]| Mac([a, b, c, number_bytes[1], number_bytes[2], number_bytes[3]]));
        let leases = match mac {
            Some(_) => vec![(i64::MIN, lease(kind, site, nth))],
            None => Vec::new(),
        };
        self.units.push(Unit {
            client_id: speaks.then(|| id.clone()),
            certificate: kind.certificate.then(|| SmolStr::from(stable_id(&["certificate", &id]))),
            id,
            kind,
            nth,
            site,
            mac,
            leases,
            installed: Vec::new(),
            listed: true,
            born: START.0,
            away: Vec::new(),
            neglected: false,
            partners: Vec::new(),
        });
        self.units.len() - 1
    }

    /// One more device of a known type, bought during the run and entered into the inventory.
    pub fn add_new_unit(&mut self, type_name: &str, site: &'static Site, born: i64) -> Option<usize> {
        let like = self.pick(type_name, site, 0)?;
        let kind = self.units[like].kind;
        let number = self.units.iter().filter(|unit| unit.kind.name == type_name).count();
        let nth = self.units.iter().filter(|unit| unit.kind.name == type_name && unit.site == site).count();
        let index = self.add(kind, number, site, nth);
        self.units[index].born = born;
        Some(index)
    }

    /// A device nobody entered into the inventory.
    pub fn add_visitor(&mut self, site: &'static Site, born: i64) -> usize {
        let index = self.add(&VISITOR, 0, site, 0);
        self.units[index].born = born;
        self.units[index].listed = false;
        index
    }

    /// The `nth` device of a type at a site (counted round); `None` when there is none.
    pub fn pick(&self, type_name: &str, site: &Site, nth: usize) -> Option<usize> {
        let there = self.of_type(type_name, Some(site));
        if there.is_empty() { None } else { Some(there[nth % there.len()]) }
    }

    pub fn of_type(&self, type_name: &str, site: Option<&Site>) -> Vec<usize> {
        let wanted = |unit: &Unit| unit.kind.name == type_name && site.is_none_or(|site| site == unit.site);
        (0..self.units.len()).filter(|index| wanted(&self.units[*index])).collect()
    }

    fn introduce_partners(&mut self) {
        for index in 0..self.units.len() {
            let unit = &self.units[index];
            let mut partners = Vec::new();
            for habit in unit.kind.habits {
                if let Act::Call(call) = &habit.act
                    && let super::types::Target::Device(type_name) = call.target
                    && let Some(partner) = self.pick(type_name, unit.site, unit.nth)
                {
                    partners.push((type_name, partner));
                }
            }
            self.units[index].partners = partners;
        }
    }

    /// What an inventory never shows and a posture report does: old firmware, factory passwords.
    fn neglect_some(&mut self) {
        for (type_name, nth) in [("thermostat", 4), ("thermostat", 9)] {
            if let Some(index) = self.pick(type_name, &OFFICE, nth) {
                self.units[index].installed.push((i64::MIN, "3.9.2"));
            }
        }
        if let Some(index) = self.pick("camera", &WORKS, 6) {
            self.units[index].neglected = true;
        }
    }
}

/// Each type has its own block of 20 subnets at its site, with 200 devices in each.
fn lease(kind: &DeviceType, site: &Site, nth: usize) -> Ipv4Addr {
    let position = TYPES.iter().position(|other| std::ptr::eq(other, kind)).unwrap_or(TYPES.len());
    let block = 10 + 20 * position;
    Ipv4Addr::new(10, site.network, (block + nth / 200) as u8, (10 + nth % 200) as u8)
}

/// A public address out of hosting networks: the same for the same parts.
pub(super) fn public_address(parts: &[&str]) -> IpAddr {
    const NETWORKS: [u8; 10] = [13, 18, 34, 35, 52, 54, 88, 104, 142, 151];
    let hash = stable_hash(parts);
    let [first, second, third, last, ..] = hash.to_be_bytes();
    let network = NETWORKS[first as usize % NETWORKS.len()];
    Ipv4Addr::new(network, second, third % 250, 1 + last % 250).into()
}
