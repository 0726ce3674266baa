//! The inventory of the tests: devices whose addresses move, are shared, and that leave.

use std::collections::BTreeMap;
use std::sync::Arc;

use fleet::device::{Profile, Standing};
use fleet::{Criticality, Device, DeviceKey, EventTime};
use responders::engine::Directory;
use responders::gateways::Key;
use smol_str::SmolStr;

/// Whether it may be used, or why not.
pub type Address = (SmolStr, Result<(), String>);

#[derive(Default)]
pub struct Town {
    pub devices: BTreeMap<SmolStr, Arc<Device>>,
    pub names: BTreeMap<SmolStr, BTreeMap<Key, Result<SmolStr, String>>>,
    pub further: BTreeMap<SmolStr, Vec<Address>>,
    /// Of the machine it runs on.
    pub ours: Vec<SmolStr>,
    /// A device's own.
    pub gateways: BTreeMap<SmolStr, Vec<SmolStr>>,
}

impl Town {
    /// `kind-number`, each with a client id of that name and an address that ends with the number.
    pub fn with(kinds: &[(&str, u32)]) -> Town {
        let mut town = Town::default();
        for (kind, count) in kinds {
            for number in 1..=*count {
                town.move_in(kind, number);
            }
        }
        town
    }

    fn move_in(&mut self, kind: &str, number: u32) {
        let id = SmolStr::from(format!("{kind}-{number}"));
        let (site, segment) = ("hall".into(), "floor".into());
        let profile = Profile { device_type: kind.into(), site, segment, ..Profile::default() };
        let key = DeviceKey(u32::try_from(self.devices.len()).expect("a small town"));
        let device = Device {
            key,
            id: id.clone(),
            criticality: Criticality::Medium,
            standing: Standing::Active,
            profile: Arc::new(profile),
        };
        let names = [(Key::ClientId, Ok(id.clone())), (Key::Ip, Ok(address(kind, number)))];
        self.names.insert(id.clone(), names.into());
        self.devices.insert(id, Arc::new(device));
    }

    pub fn rename(&mut self, id: &str, key: Key, name: Result<&str, &str>) {
        let names = self.names.get_mut(id).expect("it lives here");
        names.insert(key, name.map(SmolStr::from).map_err(str::to_owned));
    }

    pub fn stand(&mut self, id: &str, standing: Standing) {
        let device = self.devices.get_mut(id).expect("it lives here");
        Arc::make_mut(device).standing = standing;
    }
}

pub fn address(kind: &str, number: u32) -> SmolStr {
    let net = kind.bytes().fold(0u8, u8::wrapping_add);
    format!("10.0.{net}.{number}").into()
}

impl Directory for Town {
    fn names(&self, device: &str, _: EventTime) -> BTreeMap<Key, Result<SmolStr, String>> {
        self.names.get(device).cloned().unwrap_or_default()
    }

    fn addresses(&self, device: &str, _: EventTime) -> Vec<(SmolStr, Result<(), String>)> {
        self.further.get(device).cloned().unwrap_or_default()
    }

    fn is_ours(&self, _: Key, name: &str) -> bool {
        self.ours.iter().any(|ours| ours == name)
    }

    fn gateways(&self, device: &str) -> Vec<SmolStr> {
        self.gateways.get(device).cloned().unwrap_or_default()
    }

    fn device(&self, id: &str) -> Option<Arc<Device>> {
        self.devices.get(id).cloned()
    }

    fn of_type(&self, device_type: &str) -> u32 {
        self.devices.values().filter(|device| device.device_type == device_type).count() as u32
    }

    fn of_site(&self, site: &str) -> u32 {
        self.devices.values().filter(|device| device.site == site).count() as u32
    }

    fn all(&self) -> u32 {
        self.devices.len() as u32
    }
}
