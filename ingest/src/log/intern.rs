//! Device ids to a lane's own dense keys: on the wire a device is its id, in a lane a small number.
//!
//! Keys are given in the order in which the log first names ids, so the same log gives the same keys; ids and keys are
//! part of what a lane remembers.

use std::sync::Arc;

use fleet::{Device, DeviceKey, Fact, Profile};
use rustc_hash::{FxHashMap, FxHashSet};
use smol_str::SmolStr;

use super::wire::{DeviceRecord, LoggedFact};

#[derive(Default)]
pub struct Intern {
    ids: Vec<SmolStr>,
    keys: FxHashMap<SmolStr, DeviceKey>,
    profiles: FxHashSet<Arc<Profile>>,
}

impl Intern {
    /// As [`Intern::ids`] gave them.
    pub fn from_ids(ids: Vec<SmolStr>) -> Intern {
        let keys = (0..).map(DeviceKey).zip(&ids).map(|(key, id)| (id.clone(), key)).collect();
        Intern { ids, keys, profiles: FxHashSet::default() }
    }

    /// In the order of keys.
    pub fn ids(&self) -> &[SmolStr] {
        &self.ids
    }

    pub fn find(&self, id: &str) -> Option<DeviceKey> {
        self.keys.get(id).copied()
    }

    pub fn key(&mut self, id: &SmolStr) -> DeviceKey {
        if let Some(key) = self.keys.get(id) {
            return *key;
        }
        let key = DeviceKey(self.ids.len() as u32);
        self.ids.push(id.clone());
        self.keys.insert(id.clone(), key);
        key
    }

    pub fn device(&mut self, record: &DeviceRecord) -> Arc<Device> {
        let key = self.key(&record.id);
        let profile = record.profile();
        let profile = match self.profiles.get(&profile) {
            Some(known) => Arc::clone(known),
            None => {
                let profile = Arc::new(profile);
                self.profiles.insert(Arc::clone(&profile));
                profile
            }
        };
        Arc::new(record.device(key, profile))
    }

    pub fn fact(&mut self, fact: LoggedFact) -> Fact {
        match fact {
            LoggedFact::Device { device, from } => Fact::Device { device: self.device(&device), from },
            LoggedFact::Left { device, from } => Fact::Left { device: self.key(&device), from },
            LoggedFact::Baseline { version, from } => Fact::Baseline { version, from },
            LoggedFact::RetiredSpoke { device, at } => Fact::RetiredSpoke { device: self.key(&device), at },
            // Also of a device that the lane does not have: it may come later, and may be a peer of those it has.
            LoggedFact::Restricted { device, from } => Fact::Restricted { device: self.key(&device), from },
            LoggedFact::Freed { device, from } => Fact::Freed { device: self.key(&device), from },
        }
    }
}
