//! What a device is known by at this moment, for whoever is to act on it, and why a name must not be used: a wrong device
//! cut off is worse than none.

use std::net::IpAddr;

use fleet::{DeviceKey, EventTime};
use rustc_hash::FxHashMap;
use smol_str::{SmolStr, ToSmolStr};

use super::known::Known;
use super::leases::NOBODY;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NameKind {
    ClientId,
    Username,
    Mac,
    Ip,
    Certificate,
}

impl NameKind {
    fn words(self) -> &'static str {
        match self {
            NameKind::ClientId => "client id",
            NameKind::Username => "user name",
            NameKind::Mac => "MAC address",
            NameKind::Ip => "IP address",
            NameKind::Certificate => "certificate",
        }
    }
}

/// The name, or why it must not be used.
pub type Usable = Result<SmolStr, String>;

impl Known {
    /// Names of a device of the inventory; kinds it has none of are left out. `since`: when it did what is acted upon.
    pub(crate) fn names(&self, device: &str, since: EventTime) -> Vec<(NameKind, Usable)> {
        let Some(key) = self.key_of(device) else { return Vec::new() };
        let mut names = Vec::new();
        let macs = self.macs_of(key).map(|mac| mac.to_smolstr());
        names.extend(only(NameKind::Mac, macs.collect()).map(|name| (NameKind::Mac, name)));
        for kind in [NameKind::ClientId, NameKind::Certificate, NameKind::Username] {
            let own = self.texts_of(key, kind).cloned();
            let usable = only(kind, own.collect()).or_else(|| self.shared_name(key, kind).map(Err));
            names.extend(usable.map(|name| (kind, name)));
        }
        names.extend(self.address(key, since).map(|name| (NameKind::Ip, name)));
        names
    }

    /// The inventory gives it to others too.
    fn shared_name(&self, key: DeviceKey, kind: NameKind) -> Option<String> {
        let name = self.shared.get(&key)?.iter().find(|(of, _)| *of == kind).map(|(_, name)| name)?;
        Some(format!("the {} `{name}` is that of several devices", kind.words()))
    }

    /// Addresses it has beside the one of [`Known::names`], newest first, and those that it had since then and that are
    /// others' now, with why they must not be used. Of IPv4 only what the inventory declares: an address that it has left may be
    /// given to another device at any moment, while IPv6 has enough of them.
    pub(crate) fn addresses(&self, device: &str, since: EventTime) -> Vec<(IpAddr, Result<(), String>)> {
        let Some(key) = self.key_of(device) else { return Vec::new() };
        let Some(Ok(first)) = self.address(key, since) else { return Vec::new() };
        let (mut now, mut lost) = (Vec::new(), Vec::new());
        for address in self.addresses_of(key) {
            let holders = self.leases.holders(address);
            let Some(place) = holders.iter().rposition(|lease| lease.device == key) else { continue };
            let newest = holders.last().map_or(NOBODY, |lease| lease.device);
            if newest != key {
                if holders[place + 1].from >= since {
                    lost.push((address, Err(self.is_anothers(address, newest))));
                }
            } else if address.to_smolstr() != first && self.is_lasting(address) {
                now.push((holders[place].from, address));
            }
        }
        now.sort_by_key(|entry| std::cmp::Reverse(*entry));
        now.into_iter().map(|(_, address)| (address, Ok(()))).chain(lost).collect()
    }

    fn is_lasting(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(_) => self.leases.index(address).is_some_and(|index| index < self.declared),
            IpAddr::V6(_) => is_forwarded(address),
        }
    }

    fn is_anothers(&self, address: IpAddr, holder: DeviceKey) -> String {
        let device = self.devices.get(holder.0 as usize).map_or("another device", |device| device.id.as_str());
        format!("the IP address `{address}` is that of `{device}` now")
    }

    /// The one internal or declared address that it has now.
    fn address(&self, key: DeviceKey, since: EventTime) -> Option<Usable> {
        let (mut now, mut lost) = (Vec::new(), None);
        for address in self.addresses_of(key).into_iter().filter(|address| is_forwarded(*address)) {
            let holders = self.leases.holders(address);
            let Some(place) = holders.iter().rposition(|lease| lease.device == key) else { continue };
            let newest = holders.last().map_or(NOBODY, |lease| lease.device);
            if newest == key {
                now.push((holders[place].from, address));
            } else if holders[place + 1].from >= since || lost.is_none() {
                lost = Some((address, newest));
            }
        }
        if let Some(address) = self.shared_address(key) {
            return Some(Err(format!("the IP address `{address}` is that of several devices")));
        }
        // A device that has an IPv6 address as well is met by the IPv4 one, which gateways can tell apart best.
        now.sort_by_key(|(from, address)| (address.is_ipv4(), *from));
        if let Some((_, address)) = now.last() {
            return Some(Ok(address.to_smolstr()));
        }
        let (address, holder) = lost?;
        Some(Err(self.is_anothers(address, holder)))
    }

    fn shared_address(&self, key: DeviceKey) -> Option<IpAddr> {
        self.shared_addresses.get(&key).copied()
    }
}

/// What holds on one link only, no gateway forwards.
fn is_forwarded(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => !v4.is_link_local(),
        IpAddr::V6(v6) => !v6.is_unicast_link_local() && !v6.is_multicast() && !v6.is_loopback(),
    }
}

/// Several of a kind are one too many: a gateway is told one.
fn only(kind: NameKind, mut names: Vec<SmolStr>) -> Option<Usable> {
    names.sort();
    match names.as_slice() {
        [] => None,
        [name] => Some(Ok(name.clone())),
        several => {
            let listed = several.join("`, `");
            Some(Err(format!("it has {} of kind {}: `{listed}`; a gateway is told one", several.len(), kind.words())))
        }
    }
}

/// Names that the inventory gives to several devices, by device.
pub(crate) type SharedNames = FxHashMap<DeviceKey, Vec<(NameKind, SmolStr)>>;
