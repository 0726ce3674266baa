//! What was learned of identities, told to other routers and taken from them.

use fleet::DeviceKey;
use smol_str::SmolStr;

use super::known::{HAS_CLIENT_ID, HAS_MAC, Known, UNKNOWN, UNTOLD};
use super::learned::{Change, Changes, Holder, Learned};
use super::leases::{Lease, NOBODY, SHARED};

impl Known {
    /// From now on what is learned is kept until [`Known::take_learned`].
    pub(crate) fn tell(&mut self) {
        self.changes.get_or_insert_default();
    }

    /// What was learned of the inventory's devices since the last call. Of others every router learns by itself: they come and
    /// go, and there is no end of them.
    pub(crate) fn take_learned(&mut self) -> Vec<Learned> {
        let changes = self.changes.as_mut().map(Changes::take).unwrap_or_default();
        changes.into_iter().filter_map(|change| self.learned(change)).collect()
    }

    /// What was told may be told again.
    pub(crate) fn tell_again(&mut self) {
        self.changes.iter_mut().for_each(Changes::begin_again);
    }

    pub(super) fn changed(&mut self, change: Change) {
        if let Some(changes) = &mut self.changes {
            changes.note(change);
        }
    }

    fn learned(&self, change: Change) -> Option<Learned> {
        let id = |key: DeviceKey| self.devices.get(key.0 as usize).map(|device| device.id.clone());
        match change {
            Change::Address(address) => {
                let mut leases = self.leases.holders(address);
                if let Some(nobody) = leases.iter().rposition(|lease| lease.device == NOBODY) {
                    leases.drain(..=nobody);
                }
                let holder = |lease: &Lease| Some(Holder { device: id(lease.device)?, from: lease.from });
                let is_ours = leases.iter().any(|lease| lease.device.0 < self.of_inventory);
                is_ours.then(|| Learned::Address { address, holders: leases.iter().filter_map(holder).collect() })
            }
            Change::Mac(mac) => Some(Learned::Mac { mac, device: id(*self.macs.get(&mac)?)? }),
            Change::ClientId(client_id) => {
                let device = id(*self.client_ids.get(&client_id)?)?;
                Some(Learned::ClientId { client_id, device })
            }
        }
    }

    /// Takes what a router learned. What this inventory says itself holds against what was learned beside another one.
    pub(crate) fn hear(&mut self, learned: &Learned, same_inventory: bool) {
        match learned {
            Learned::Address { address, holders } => {
                let is_declared = self.leases.index(*address).is_some_and(|index| index < self.declared);
                if is_declared && !same_inventory {
                    return;
                }
                for Holder { device, from } in holders {
                    // Whoever had it before does not have it again.
                    let key = self.named(device).unwrap_or(NOBODY);
                    self.lease(*address, key, *from);
                }
            }
            // A name holds for as long as the inventory does not change: it may say who that is.
            Learned::Mac { .. } | Learned::ClientId { .. } if !same_inventory => {}
            Learned::Mac { mac, device } => {
                let key = self.named(device).filter(|key| !self.has(*key, HAS_MAC) && !self.macs.contains_key(mac));
                if let Some(key) = key {
                    self.give_mac(*mac, key);
                }
            }
            Learned::ClientId { client_id, device } => {
                let is_free = self.client_ids.get(client_id).is_none_or(|held| self.is_strangers(*held));
                let key = self.named(device).filter(|key| is_free && !self.has(*key, HAS_CLIENT_ID));
                if let Some(key) = key {
                    self.give_client_id(client_id, key);
                }
            }
        }
    }

    /// The device of an id that another router has. An unknown one that the inventory has got since is none any more.
    fn named(&mut self, id: &SmolStr) -> Option<DeviceKey> {
        if let Some(key) = self.key_of(id).or_else(|| self.unknown.get(id).copied()) {
            return Some(key);
        }
        let name = id.strip_prefix(UNKNOWN)?;
        let by_mac = || self.macs.get(&name.parse().ok()?).copied();
        let named = self.client_ids.get(name).copied().or_else(by_mac);
        if let Some(key) = named {
            return Some(key).filter(|key| *key != SHARED);
        }
        if self.devices.len() >= self.max_devices {
            return None;
        }
        let key = self.add_unknown(id.clone());
        self.has[key.0 as usize] |= UNTOLD;
        Some(key)
    }

    fn is_strangers(&self, key: DeviceKey) -> bool {
        key.0 >= self.of_inventory && key != SHARED
    }

    /// Another router met it, and here it has not spoken.
    pub(crate) fn is_untold(&self, key: DeviceKey) -> bool {
        self.has(key, UNTOLD)
    }

    /// Its lane is told.
    pub(crate) fn told(&mut self, key: DeviceKey) {
        self.has[key.0 as usize] &= !UNTOLD;
    }
}
