//! Which device had an address at an event time.
//!
//! Addresses move: every address keeps its last holders with the time from which each was seen there. A reading is
//! resolved by the holder at *its* time, so a late record does not follow a lease that had not begun.

use std::net::IpAddr;

use fleet::{DeviceKey, EventTime, MICROS_PER_SECOND};
use rustc_hash::FxHashMap;

/// Stands for an address that the inventory gives to several devices at once: it names none of them.
pub(crate) const SHARED: DeviceKey = DeviceKey(u32::MAX);

/// Stands for a holder that is no device of ours any more.
pub(crate) const NOBODY: DeviceKey = DeviceKey(u32::MAX - 1);

const HOLDERS_KEPT: usize = 16;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Lease {
    pub from: EventTime,
    pub device: DeviceKey,
}

/// Of a million devices nearly all have one address and one holder: 32 bytes.
struct Holders {
    newest: Lease,
    /// Ascending by time.
    older: Box<[Lease]>,
}

impl Holders {
    /// Ascending by time.
    fn all(&self) -> Vec<Lease> {
        self.older.iter().copied().chain([self.newest]).collect()
    }
}

pub(crate) struct Leases {
    v4: FxHashMap<u32, u32>,
    v6: FxHashMap<[u8; 16], u32>,
    holders: Vec<Holders>,
    /// A record may be this much older than the first sighting of its address, and still be of the same holder.
    grace: i64,
}

impl Leases {
    pub(crate) fn new(lateness_seconds: u32) -> Leases {
        let grace = i64::from(lateness_seconds) * MICROS_PER_SECOND;
        Leases { v4: FxHashMap::default(), v6: FxHashMap::default(), holders: Vec::new(), grace }
    }

    /// Who had `address` at `time`; may be [`SHARED`].
    pub(crate) fn holder(&self, address: IpAddr, time: EventTime) -> Option<DeviceKey> {
        self.lease(address, time).filter(|key| *key != NOBODY)
    }

    fn lease(&self, address: IpAddr, time: EventTime) -> Option<DeviceKey> {
        let holders = &self.holders[self.index(address)?];
        if holders.newest.from <= time {
            return Some(holders.newest.device);
        }
        if let Some(lease) = holders.older.iter().rev().find(|lease| lease.from <= time) {
            return Some(lease.device);
        }
        let oldest = holders.older.first().unwrap_or(&holders.newest);
        (oldest.from.minus(time) <= self.grace).then_some(oldest.device)
    }

    /// Loads what stands at an [`Leases::index`], ahead of its use.
    pub(crate) fn touch(&self, index: usize) -> u64 {
        self.holders[index].newest.from.0 as u64
    }

    /// `device` was seen at `address`, or is declared to be there from `time` on. Gives whether that was news.
    pub(crate) fn learn(&mut self, address: IpAddr, device: DeviceKey, time: EventTime) -> bool {
        let lease = Lease { from: time, device };
        let Some(index) = self.index(address) else {
            let index = self.holders.len() as u32;
            self.holders.push(Holders { newest: lease, older: Box::default() });
            match address.to_canonical() {
                IpAddr::V4(v4) => self.v4.insert(v4.into(), index),
                IpAddr::V6(v6) => self.v6.insert(v6.octets(), index),
            };
            return true;
        };
        let holders = &mut self.holders[index];
        let known = holders.newest.from <= time && holders.newest.device == device;
        if known || holders.newest.device == SHARED {
            return false;
        }
        let before = holders.all();
        let mut leases = before.clone();
        let at = leases.partition_point(|earlier| earlier.from <= time);
        leases.insert(at, lease);
        leases.dedup_by_key(|lease| lease.device);
        let surplus = leases.len().saturating_sub(HOLDERS_KEPT);
        if let [older @ .., newest] = &leases[surplus..] {
            *holders = Holders { newest: *newest, older: older.into() };
        }
        holders.all() != before
    }

    /// Whoever had `address`, ascending by time.
    pub(crate) fn holders(&self, address: IpAddr) -> Vec<Lease> {
        self.index(address).map_or_else(Vec::new, |index| self.holders[index].all())
    }

    /// Every address that anybody had, and who: ascending by time.
    pub(crate) fn each(&self) -> impl Iterator<Item = (IpAddr, Vec<Lease>)> {
        let v4 = self.v4.iter().map(|(address, index)| (IpAddr::from(std::net::Ipv4Addr::from(*address)), *index));
        let v6 = self.v6.iter().map(|(address, index)| (IpAddr::from(*address), *index));
        v4.chain(v6).map(|(address, index)| (address, self.holders[index as usize].all()))
    }

    /// How many addresses anybody had.
    pub(crate) fn len(&self) -> usize {
        self.holders.len()
    }

    /// The inventory gives `address` to several devices.
    pub(crate) fn share(&mut self, address: IpAddr) {
        self.learn(address, SHARED, EventTime::MIN);
    }

    pub(crate) fn shrink(&mut self) {
        self.v4.shrink_to_fit();
        self.v6.shrink_to_fit();
        self.holders.shrink_to_fit();
    }

    pub(crate) fn index(&self, address: IpAddr) -> Option<usize> {
        let index = match address.to_canonical() {
            IpAddr::V4(v4) => self.v4.get(&u32::from(v4)),
            IpAddr::V6(v6) => self.v6.get(&v6.octets()),
        };
        index.map(|index| *index as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: DeviceKey = DeviceKey(1);
    const B: DeviceKey = DeviceKey(2);

    fn at(seconds: i64) -> EventTime {
        EventTime(seconds * MICROS_PER_SECOND)
    }

    #[test]
    fn a_reading_is_resolved_by_the_holder_at_its_own_time() {
        let address = "192.168.10.11".parse().unwrap();
        let mut leases = Leases::new(70);
        leases.learn(address, A, EventTime::MIN);
        leases.learn(address, B, at(1_000));
        assert_eq!(leases.holder(address, at(999)), Some(A));
        assert_eq!(leases.holder(address, at(1_000)), Some(B));
        leases.learn(address, B, at(990));
        assert_eq!(leases.holder(address, at(995)), Some(B), "an earlier sighting moves the lease's beginning");
        assert_eq!(leases.holder("192.168.10.12".parse().unwrap(), at(0)), None);
    }

    #[test]
    fn before_the_first_sighting_only_disorder_is_forgiven() {
        let address = "fe80::1".parse().unwrap();
        let mut leases = Leases::new(70);
        leases.learn(address, A, at(1_000));
        assert_eq!(leases.holder(address, at(930)), Some(A));
        assert_eq!(leases.holder(address, at(929)), None);
    }

    #[test]
    fn sixteen_holders_are_kept() {
        let address = "10.0.0.1".parse().unwrap();
        let mut leases = Leases::new(0);
        for number in 0..20 {
            assert!(leases.learn(address, DeviceKey(number), at(i64::from(number) * 100)));
        }
        assert_eq!(leases.holder(address, at(1_901)), Some(DeviceKey(19)));
        assert_eq!(leases.holder(address, at(401)), Some(DeviceKey(4)));
        assert_eq!(leases.holder(address, at(399)), None);
    }

    #[test]
    fn a_shared_address_stays_shared_and_mapped_addresses_are_one() {
        let address = "10.0.0.1".parse().unwrap();
        let mut leases = Leases::new(0);
        leases.share(address);
        leases.learn(address, A, at(5));
        assert_eq!(leases.holder("::ffff:10.0.0.1".parse().unwrap(), at(9)), Some(SHARED));
    }
}
