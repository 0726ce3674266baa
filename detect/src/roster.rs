//! Who is in a lane: its devices by key, and how many of each type there are to compare with.

use std::sync::Arc;

use fleet::device::Standing;
use fleet::memory::{DeviceList, Format};
use fleet::{Device, DeviceKey};
use rustc_hash::FxHashMap;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use smol_str::SmolStr;

use crate::error::Error;

const FORMAT: Format = Format { of: "roster", version: 1 };

#[derive(Default)]
pub struct Roster {
    members: FxHashMap<DeviceKey, Arc<Device>>,
    /// Active devices of each (type, segment): the cohort, a shard's part of it.
    cohorts: FxHashMap<(SmolStr, SmolStr), Vec<DeviceKey>>,
}

/// The members, in the order of their keys; cohorts follow from them.
impl Serialize for Roster {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut members: Vec<&Device> = self.members.values().map(AsRef::as_ref).collect();
        members.sort_unstable_by_key(|device| device.key);
        DeviceList::of(members).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Roster {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Roster, D::Error> {
        let list = DeviceList::deserialize(deserializer)?;
        let devices = list.into_devices().ok_or_else(|| D::Error::custom("a device has no profile"))?;
        let mut roster = Roster::default();
        devices.iter().for_each(|device| roster.join(device));
        Ok(roster)
    }
}

impl Roster {
    pub fn memory(&self) -> Vec<u8> {
        FORMAT.save(self)
    }

    pub fn recall(memory: &[u8]) -> Result<Roster, Error> {
        Ok(FORMAT.load(memory)?)
    }

    pub fn join(&mut self, device: &Arc<Device>) {
        self.leave(device.key);
        self.members.insert(device.key, Arc::clone(device));
        if device.standing == Standing::Active {
            let cohort = self.cohorts.entry((device.device_type.clone(), device.segment.clone())).or_default();
            let place = cohort.partition_point(|member| *member < device.key);
            cohort.insert(place, device.key);
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
