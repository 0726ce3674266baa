//! Devices as they are remembered: each distinct profile once, so that a million devices fit on the way back as well.

use std::sync::Arc;

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::device::{Criticality, Device, DeviceKey, Profile, Standing};

/// In the order in which they were given; profiles in the order of their first device.
#[derive(Serialize, Deserialize)]
pub struct DeviceList {
    profiles: Vec<Profile>,
    devices: Vec<Listed>,
}

#[derive(Serialize, Deserialize)]
struct Listed {
    key: DeviceKey,
    id: SmolStr,
    criticality: Criticality,
    standing: Standing,
    /// Place in `profiles`.
    profile: u32,
}

impl DeviceList {
    pub fn of<'d>(devices: impl IntoIterator<Item = &'d Device>) -> DeviceList {
        let mut places: FxHashMap<&Profile, u32> = FxHashMap::default();
        let mut list = DeviceList { profiles: Vec::new(), devices: Vec::new() };
        for device in devices {
            let profile = *places.entry(&device.profile).or_insert_with(|| {
                list.profiles.push(Profile::clone(&device.profile));
                list.profiles.len() as u32 - 1
            });
            let Device { key, ref id, criticality, standing, .. } = *device;
            list.devices.push(Listed { key, id: id.clone(), criticality, standing, profile });
        }
        list
    }

    /// `None` when a device's profile is not in the list.
    pub fn into_devices(self) -> Option<Vec<Arc<Device>>> {
        let profiles: Vec<Arc<Profile>> = self.profiles.into_iter().map(Arc::new).collect();
        let device = |listed: Listed| {
            let profile = Arc::clone(profiles.get(listed.profile as usize)?);
            let Listed { key, id, criticality, standing, .. } = listed;
            Some(Arc::new(Device { key, id, criticality, standing, profile }))
        };
        self.devices.into_iter().map(device).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_stay_shared() {
        let profile = |device_type: &str| Profile { device_type: device_type.into(), ..Profile::default() };
        let device = |key: u32, device_type: &str| Device {
            key: DeviceKey(key),
            id: format!("device-{key}").into(),
            criticality: Criticality::High,
            standing: Standing::Shared,
            profile: Arc::new(profile(device_type)),
        };
        let devices = [device(4, "plug"), device(2, "camera"), device(9, "plug")];
        let mut list = DeviceList::of(&devices);
        assert_eq!(list.profiles.len(), 2, "equal ones are one, wherever they came from");
        list.devices[1].profile = 2;
        assert!(list.into_devices().is_none());
        let again = DeviceList::of(&devices).into_devices().unwrap();
        assert!(again.iter().map(AsRef::as_ref).eq(&devices));
        assert!(Arc::ptr_eq(&again[0].profile, &again[2].profile));
    }
}
