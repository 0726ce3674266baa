//! Who is in a lane: its devices by key, and how many of each type there are to compare with.

use std::sync::Arc;

use fleet::device::Standing;
use fleet::{Device, DeviceKey};
use rustc_hash::FxHashMap;
use smol_str::SmolStr;

#[derive(Default)]
pub struct Roster {
    members: FxHashMap<DeviceKey, Arc<Device>>,
    /// Active devices of each (type, segment): the cohort, a shard's part of it.
    cohorts: FxHashMap<(SmolStr, SmolStr), Vec<DeviceKey>>,
}

impl Roster {
    pub fn join(&mut self, device: &Arc<Device>) {
        self.leave(device.key);
        self.members.insert(device.key, Arc::clone(device));
        if device.standing == Standing::Active {
            let cohort = self.cohorts.entry((device.device_type.clone(), device.segment.clone())).or_default();
            cohort.push(device.key);
            cohort.sort_unstable();
        }
    }

    pub fn leave(&mut self, key: DeviceKey) {
        let Some(device) = self.members.remove(&key) else { return };
        if let Some(cohort) = self.cohorts.get_mut(&(device.device_type.clone(), device.segment.clone())) {
            cohort.retain(|member| *member != key);
        }
    }

    pub fn device(&self, key: DeviceKey) -> Option<&Arc<Device>> {
        self.members.get(&key)
    }

    /// Active devices of the same type and segment, the device itself included.
    pub fn cohort(&self, device: &Device) -> &[DeviceKey] {
        self.cohorts.get(&(device.device_type.clone(), device.segment.clone())).map_or(&[], Vec::as_slice)
    }

    /// Cohorts in a fixed order.
    pub fn cohorts(&self) -> Vec<(&(SmolStr, SmolStr), &[DeviceKey])> {
        let mut cohorts: Vec<_> = self.cohorts.iter().map(|(name, keys)| (name, keys.as_slice())).collect();
        cohorts.sort_unstable_by_key(|(name, _)| *name);
        cohorts
    }
}
