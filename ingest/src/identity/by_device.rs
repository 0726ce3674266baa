//! What a device is known by, looked up by the device: the other tables lead from a name to its device. Made when somebody who
//! acts first asks, for routers never do; from then on kept up to date, so that asking costs what the device has, however large
//! the fleet is.
//!
//! It says where to look. A name may have gone to another device since; the other tables know.

use std::net::IpAddr;

use fleet::{DeviceKey, EventTime, Mac};
use rustc_hash::FxHashMap;
use smol_str::SmolStr;

use super::known::{HAS_CLIENT_ID, HAS_MAC, Known};
use super::naming::NameKind;

/// Of a device that has more names than this, those it has no more are looked for and forgotten, whenever they doubled.
const MANY: usize = 64;

#[derive(Clone, Debug, PartialEq)]
enum Name {
    Mac(Mac),
    Text(NameKind, SmolStr),
    Address(IpAddr),
}

/// By key of the inventory's devices: whatever they had since it was made, and some of what they had before.
pub(crate) struct ByDevice(Vec<Vec<Name>>);

impl ByDevice {
    fn of(known: &Known) -> ByDevice {
        let mut names: Vec<Vec<Name>> = vec![Vec::new(); known.of_inventory as usize];
        let mut add = |key: DeviceKey, name: Name| {
            if let Some(own) = names.get_mut(key.0 as usize) {
                own.push(name);
            }
        };
        known.macs.iter().for_each(|(mac, key)| add(*key, Name::Mac(*mac)));
        for (kind, table) in known.tables() {
            table.iter().for_each(|(name, key)| add(*key, Name::Text(kind, name.clone())));
        }
        for (address, holders) in known.leases.each() {
            let mut keys: Vec<DeviceKey> = holders.iter().map(|lease| lease.device).collect();
            keys.sort_unstable();
            keys.dedup();
            keys.into_iter().for_each(|key| add(key, Name::Address(address)));
        }
        ByDevice(names)
    }
}

impl Known {
    /// A device of the inventory.
    pub(super) fn key_of(&self, device: &str) -> Option<DeviceKey> {
        let by_id = self.by_id.get_or_init(|| {
            let devices = &self.devices[..self.of_inventory as usize];
            devices.iter().map(|device| (device.id.clone(), device.key)).collect::<FxHashMap<_, _>>()
        });
        by_id.get(device).copied()
    }

    fn tables(&self) -> [(NameKind, &FxHashMap<SmolStr, DeviceKey>); 3] {
        [
            (NameKind::ClientId, &self.client_ids),
            (NameKind::Certificate, &self.certificates),
            (NameKind::Username, &self.usernames),
        ]
    }

    fn own(&self, key: DeviceKey) -> impl Iterator<Item = &Name> {
        let names = &self.by_device.get_or_init(|| ByDevice::of(self)).0;
        names.get(key.0 as usize).into_iter().flatten().filter(move |name| self.has_name(key, name))
    }

    pub(super) fn macs_of(&self, key: DeviceKey) -> impl Iterator<Item = Mac> {
        self.own(key).filter_map(|name| if let Name::Mac(mac) = name { Some(*mac) } else { None })
    }

    pub(super) fn texts_of(&self, key: DeviceKey, kind: NameKind) -> impl Iterator<Item = &SmolStr> {
        self.own(key).filter_map(move |name| match name {
            Name::Text(of, text) if *of == kind => Some(text),
            _ => None,
        })
    }

    /// Those it had before too, as far as that is remembered; in their order.
    pub(super) fn addresses_of(&self, key: DeviceKey) -> Vec<IpAddr> {
        let address = |name: &Name| if let Name::Address(address) = name { Some(*address) } else { None };
        let mut addresses: Vec<IpAddr> = self.own(key).filter_map(address).collect();
        addresses.sort_unstable();
        addresses
    }

    fn has_name(&self, key: DeviceKey, name: &Name) -> bool {
        match name {
            Name::Mac(mac) => self.macs.get(mac) == Some(&key),
            Name::Text(kind, text) => {
                let table = self.tables().into_iter().find(|(of, _)| of == kind);
                table.is_some_and(|(_, table)| table.get(text) == Some(&key))
            }
            Name::Address(address) => self.leases.holders(*address).iter().any(|lease| lease.device == key),
        }
    }

    pub(super) fn give_mac(&mut self, mac: Mac, key: DeviceKey) {
        self.macs.insert(mac, key);
        self.has[key.0 as usize] |= HAS_MAC;
        self.index(key, Name::Mac(mac));
    }

    pub(super) fn give_client_id(&mut self, id: &SmolStr, key: DeviceKey) {
        self.client_ids.insert(id.clone(), key);
        self.has[key.0 as usize] |= HAS_CLIENT_ID;
        self.index(key, Name::Text(NameKind::ClientId, id.clone()));
    }

    /// Whether it is news that it was there at this time.
    pub(super) fn lease(&mut self, address: IpAddr, key: DeviceKey, time: EventTime) -> bool {
        let is_news = self.leases.learn(address, key, time);
        if is_news {
            self.index(key, Name::Address(address.to_canonical()));
        }
        is_news
    }

    fn index(&mut self, key: DeviceKey, name: Name) {
        let names = self.by_device.get_mut().and_then(|index| index.0.get_mut(key.0 as usize));
        let Some(names) = names.filter(|names| !names.contains(&name)) else { return };
        names.push(name);
        if names.len() < MANY || !names.len().is_power_of_two() {
            return;
        }
        let mut own = std::mem::take(names);
        own.retain(|name| self.has_name(key, name));
        if let Some(index) = self.by_device.get_mut() {
            index.0[key.0 as usize] = own;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::super::{Holder, Inventory, Learned, Router, Usable};
    use super::*;
    use crate::Config;

    fn inventory(devices: u32) -> Inventory {
        let mut text = "device_id,device_type,mac,client_id,ip,gateway\n".to_owned();
        for number in 0..devices {
            let [_, a, b, c] = number.to_be_bytes();
            let mac = format!("02:00:00:{a:02x}:{b:02x}:{c:02x}");
            let client_id = if number % 2 == 0 { format!("c{number}") } else { String::new() };
            text.push_str(&format!("d{number},lamp,{mac},{client_id},10.{a}.{b}.{c},plant\n"));
        }
        Inventory::from_csv(text.as_bytes(), "test").unwrap()
    }

    fn address(number: u32) -> IpAddr {
        let [_, a, b, c] = number.to_be_bytes();
        IpAddr::from([10, a, b, c])
    }

    fn moved(to: u32, device: u32, at: i64) -> Learned {
        let holder = Holder { device: format!("d{device}").into(), from: EventTime(at) };
        Learned::Address { address: address(to), holders: vec![holder] }
    }

    fn all(router: &Router, devices: u32) -> Vec<Vec<(NameKind, Usable)>> {
        (0..devices).map(|number| router.names(&format!("d{number}"), EventTime(0))).collect()
    }

    #[test]
    fn what_is_kept_up_to_date_is_what_is_made_anew() {
        let devices = 40;
        let [mut early, mut late] = [(); 2].map(|()| Router::new(inventory(devices), &Config::default()));
        assert_eq!(all(&early, devices).iter().map(Vec::len).sum::<usize>(), 5 * devices as usize / 2);
        let mut chance = 7u32;
        for at in 1..4_000i64 {
            chance = chance.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let (to, device) = ((chance >> 8) % 200, (chance >> 20) % devices);
            let learned = match chance >> 30 {
                0 => Learned::ClientId { client_id: format!("x{to}").into(), device: format!("d{device}").into() },
                _ => moved(to, device, at),
            };
            early.hear(&learned, true);
            late.hear(&learned, true);
        }
        let names = all(&early, devices);
        assert_eq!(names, all(&late, devices));
        let refused = names.iter().flatten().filter(|(_, name)| name.is_err()).count();
        assert!(refused > 0, "somebody lost its address");
        let learned = names.iter().flatten().filter(|(_, name)| name.as_ref().is_ok_and(|name| name.starts_with('x')));
        assert!(learned.count() > 10, "those without a client id showed one");
        assert!(early.names("d40", EventTime(0)).is_empty() && early.gateways("d40").is_empty());
    }

    /// A turn of responding asks for every open action; twenty turns a second.
    #[test]
    fn asking_for_five_hundred_of_a_hundred_thousand_is_no_matter_of_the_fleet() {
        let devices = 100_000;
        let mut router = Router::new(inventory(devices), &Config::default());
        assert_eq!(router.names("d8", EventTime(0)).len(), 3, "the first one waits for the index");
        let began = Instant::now();
        for turn in 0..20 {
            for number in 0..500u32 {
                router.hear(&moved(number, (number + turn) % devices, i64::from(turn) + 1), true);
                let device = format!("d{}", number * 200);
                assert!(router.names(&device, EventTime(0)).len() >= 2 && router.gateways(&device).len() == 1);
            }
        }
        let turn = began.elapsed() / 20;
        println!("500 of {devices}: {turn:?} a turn");
        // Looking through the fleet took more than a second.
        assert!(turn < Duration::from_millis(50), "{turn:?} a turn");
    }
}
