//! Who is in a lane: its devices by key, how many of each type there are to compare with, and whom an action of ours
//! restricts.

use std::sync::Arc;

use fleet::device::Standing;
use fleet::memory::{DeviceList, Format};
use fleet::{Device, DeviceKey, Feature, Service, Tick, Window};
use rustc_hash::FxHashMap;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use smol_str::SmolStr;

use crate::config::Config;
use crate::error::Error;

use self::restrictions::Restrictions;

mod restrictions;

const FORMAT: Format = Format { of: "roster", version: 3 };

#[derive(Default)]
pub struct Roster {
    members: FxHashMap<DeviceKey, Arc<Device>>,
    /// Active devices of each (type, segment): the cohort, a shard's part of it.
    cohorts: FxHashMap<(SmolStr, SmolStr), Vec<DeviceKey>>,
    /// Also of devices that are in no cohort, or in another lane: they may be peers of some here.
    restrictions: Restrictions,
}

/// The members, in the order of their keys, and the restrictions; cohorts follow from the members.
impl Serialize for Roster {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut members: Vec<&Device> = self.members.values().map(AsRef::as_ref).collect();
        members.sort_unstable_by_key(|device| device.key);
        (DeviceList::of(members), &self.restrictions).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Roster {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Roster, D::Error> {
        let (list, restrictions) = <(DeviceList, Restrictions)>::deserialize(deserializer)?;
        let devices = list.into_devices().ok_or_else(|| D::Error::custom("a device has no profile"))?;
        let mut roster = Roster { restrictions, ..Roster::default() };
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

    /// Takes in whom the tick says an action restricts; before anything of the tick is looked at. `width` of a window in
    /// microseconds.
    pub fn take_restrictions(&mut self, tick: &Tick, width: i64, config: &Config) {
        self.restrictions.take(tick, width, config);
    }

    /// Whether an action of ours explains what the device does in the present tick: nothing is held against it.
    pub fn is_masked(&self, device: DeviceKey) -> bool {
        self.restrictions.holds(device)
    }

    /// Which share of the line is enough for a finding about the device.
    pub(crate) fn share_of_line(&self, device: DeviceKey, config: &Config) -> f64 {
        if self.restrictions.is_on_probation(device) { config.probation_line } else { 1.0 }
    }

    /// The devices of this lane for which [`Roster::is_masked`] holds, in the order of their keys.
    pub fn masked(&self) -> impl Iterator<Item = &Arc<Device>> {
        self.restrictions.devices().filter_map(|key| self.device(key))
    }

    /// Masked devices of the cohort of `device`: they can show nothing now.
    pub(crate) fn masked_in_cohort<'r>(&'r self, device: &'r Device) -> impl Iterator<Item = DeviceKey> + 'r {
        let is_of_it = |other: &&Arc<Device>| {
            other.standing == Standing::Active
                && (&other.device_type, &other.segment) == (&device.device_type, &device.segment)
        };
        self.masked().filter(is_of_it).map(|other| other.key)
    }

    /// The window as it would be without the sign-ins that masked devices failed at this one: a ban must not be held
    /// against whoever enforces it. `None`: it is as it is.
    pub fn without_masked_sign_ins(&self, window: &Window) -> Option<Window> {
        if self.restrictions.is_empty() {
            return None;
        }
        let of_masked = |contact: &&fleet::Contact| {
            contact.service.0 == Service::SIGN_IN && contact.peer.is_some_and(|peer| self.is_masked(peer))
        };
        let failed: u32 = window.contacts.iter().filter(of_masked).map(|contact| contact.refused).sum();
        if failed == 0 {
            return None;
        }
        let mut window = window.clone();
        let failures = &mut window.features[Feature::SignInFailures.index()];
        *failures = (*failures - failed as f32).max(0.0);
        Some(window)
    }

    /// Cohorts in a fixed order.
    pub fn cohorts(&self) -> Vec<(&(SmolStr, SmolStr), &[DeviceKey])> {
        let mut cohorts: Vec<_> = self.cohorts.iter().map(|(name, keys)| (name, keys.as_slice())).collect();
        cohorts.sort_unstable_by_key(|(name, _)| *name);
        cohorts
    }
}
