//! What is known of devices at this moment: the inventory's file, and what routers learned of addresses.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use fleet::device::Standing;
use fleet::{Device, EventTime, Mac};
use ingest::identity::{NameKind, Router};
use responders::config::Never;
use responders::engine::Directory;
use responders::gateways::Key;
use rustc_hash::FxHashMap;
use smol_str::{SmolStr, ToSmolStr};

use crate::config::Config;
use crate::live::route::identities::Identities;
use crate::live::route::inventory::InventoryFile;

/// How often the inventory's file, the never-list and this machine's addresses are looked at.
const LOOK_UP: Duration = Duration::from_secs(2);

pub struct Known<'c> {
    config: &'c Config,
    router: Router,
    identities: Identities<'c>,
    inventory: InventoryFile,
    /// Of the inventory, and whom findings named.
    devices: FxHashMap<SmolStr, Arc<Device>>,
    types: BTreeMap<SmolStr, u32>,
    sites: BTreeMap<SmolStr, u32>,
    all: u32,
    ours: Ours,
    looked: Instant,
}

impl<'c> Known<'c> {
    /// # Errors
    /// The inventory cannot be read; Kafka does not answer.
    pub fn new(config: &'c Config) -> anyhow::Result<Known<'c>> {
        let inventory = InventoryFile::read(config)?;
        let router = Router::new(inventory.parse()?, &config.ingest);
        let mut known = Known {
            config,
            router,
            identities: Identities::new(&config.source.kafka)?,
            inventory,
            devices: FxHashMap::default(),
            types: BTreeMap::new(),
            sites: BTreeMap::new(),
            all: 0,
            ours: Ours::look().unwrap_or_default(),
            looked: Instant::now(),
        };
        known.identities.catch_up(&mut known.router, &known.inventory.version())?;
        known.count();
        Ok(known)
    }

    fn count(&mut self) {
        (self.types, self.sites, self.all) = Default::default();
        for device in self.router.devices().iter().filter(|device| device.is_known()) {
            self.devices.insert(device.id.clone(), Arc::clone(device));
            if device.standing == Standing::Active {
                *self.types.entry(device.device_type.clone()).or_default() += 1;
                *self.sites.entry(device.site.clone()).or_default() += 1;
                self.all += 1;
            }
        }
    }

    /// Whom findings name: also those the inventory does not.
    pub fn meet(&mut self, device: Arc<Device>) {
        if device.standing == Standing::Unknown {
            self.devices.insert(device.id.clone(), device);
        }
    }

    /// Takes up what changed; an inventory that cannot be used leaves the one before in force.
    pub fn refresh(&mut self) {
        self.identities.follow(&mut self.router, &self.inventory.version());
        if self.looked.elapsed() < LOOK_UP {
            return;
        }
        self.looked = Instant::now();
        if let Some(ours) = Ours::look() {
            self.ours = ours;
        }
        let Some(changed) = self.inventory.changed() else { return };
        let parsed = match changed.parse() {
            Ok(parsed) => parsed,
            Err(error) => {
                tracing::error!(%error, "the inventory cannot be used; whom to act on is told from the one before");
                self.inventory.looked_at = changed.looked_at;
                return;
            }
        };
        let taken = Identities::new(&self.config.source.kafka).and_then(|mut identities| {
            let mut router = Router::new(parsed, &self.config.ingest);
            identities.catch_up(&mut router, &changed.version())?;
            Ok((router, identities))
        });
        match taken {
            Ok((router, identities)) => {
                (self.router, self.identities, self.inventory) = (router, identities, changed);
                self.devices.retain(|_, device| device.standing == Standing::Unknown);
                self.count();
                tracing::info!(devices = self.router.devices().len(), "act has the changed inventory");
            }
            // It is looked at again.
            Err(error) => tracing::warn!(%error, "the changed inventory cannot be taken up yet"),
        }
    }
}

impl Directory for Known<'_> {
    fn names(&self, device: &str, since: EventTime) -> BTreeMap<Key, Result<SmolStr, String>> {
        let mut names: BTreeMap<Key, Result<SmolStr, String>> = BTreeMap::new();
        for (kind, name) in self.router.names(device, since) {
            let key = match kind {
                NameKind::ClientId => Key::ClientId,
                NameKind::Username => Key::Username,
                NameKind::Mac => Key::Mac,
                NameKind::Ip => Key::Ip,
                NameKind::Certificate => Key::Certificate,
            };
            names.insert(key, name);
        }
        // Registries call a device by its client id, or as the inventory does.
        let thing = names.get(&Key::ClientId).cloned().unwrap_or_else(|| Ok(device.into()));
        names.insert(Key::Thing, thing);
        names
    }

    fn addresses(&self, device: &str, since: EventTime) -> Vec<(SmolStr, Result<(), String>)> {
        let known = self.router.addresses(device, since);
        known.into_iter().map(|(address, usable)| (address.to_smolstr(), usable)).collect()
    }

    fn gateways(&self, device: &str) -> Vec<SmolStr> {
        self.router.gateways(device)
    }

    fn device(&self, id: &str) -> Option<Arc<Device>> {
        self.devices.get(id).cloned()
    }

    fn is_ours(&self, key: Key, name: &str) -> bool {
        match key {
            Key::Ip => name.parse().is_ok_and(|address| self.ours.has(address)),
            Key::Mac => name.parse().is_ok_and(|address| self.ours.hardware.contains(&address)),
            _ => false,
        }
    }

    fn of_type(&self, device_type: &str) -> u32 {
        self.types.get(device_type).copied().unwrap_or(0)
    }

    fn of_site(&self, site: &str) -> u32 {
        self.sites.get(site).copied().unwrap_or(0)
    }

    fn all(&self) -> u32 {
        self.all
    }
}

/// `[responders.never]`, as the configuration's file has it now: who comes onto it is let go without a restart.
pub struct NeverList {
    file: Option<PathBuf>,
    /// What the list was read from, and what was read last: a file that is just being written is another one at each look.
    text: String,
    seen: String,
    never: Never,
    looked: Instant,
}

impl NeverList {
    /// The process may have begun long ago: the file says more than its configuration.
    pub fn new(config: &Config) -> NeverList {
        let (file, never) = (config.file.clone(), config.responders.never.clone());
        let mut list = NeverList { file, text: String::new(), seen: String::new(), never, looked: Instant::now() };
        if let Some(text) = list.read() {
            list.take(text);
        }
        list
    }

    pub fn names(&self) -> &Never {
        &self.never
    }

    /// The list, if it is another one now; a file that cannot be used leaves the one before in force.
    pub fn changed(&mut self) -> Option<Never> {
        if self.looked.elapsed() < LOOK_UP {
            return None;
        }
        self.looked = Instant::now();
        let text = self.read().filter(|text| *text != self.text)?;
        if text != self.seen {
            self.seen = text;
            return None;
        }
        self.take(text).then(|| self.never.clone())
    }

    /// An empty file is what a full disk leaves of one.
    fn read(&self) -> Option<String> {
        let text = std::fs::read_to_string(self.file.as_deref()?).ok()?;
        (!text.trim().is_empty()).then_some(text)
    }

    fn take(&mut self, text: String) -> bool {
        let read = Config::parse(&text, self.file.as_deref().unwrap_or(Path::new("")));
        self.text = text;
        match read {
            Ok(config) if config.responders.never != self.never => {
                tracing::info!(before = ?self.never, now = ?config.responders.never, "act has the changed never-list");
                self.never = config.responders.never;
                true
            }
            Ok(_) => false,
            Err(error) => {
                tracing::error!(%error, "the configuration cannot be used; the never-list stays as it was");
                false
            }
        }
    }
}

/// Of every interface of this machine.
#[derive(Default)]
struct Ours {
    addresses: Vec<IpAddr>,
    /// Known where the system is Linux.
    hardware: Vec<Mac>,
}

impl Ours {
    /// Nothing: the system does not say now.
    fn look() -> Option<Ours> {
        let addresses = if_addrs::get_if_addrs().ok()?.iter().map(if_addrs::Interface::ip).collect();
        let interfaces = std::fs::read_dir("/sys/class/net").into_iter().flatten().flatten();
        let hardware =
            interfaces.filter_map(|interface| std::fs::read_to_string(interface.path().join("address")).ok());
        let hardware = hardware.filter_map(|address| address.trim().parse().ok()).collect();
        Some(Ours { addresses, hardware })
    }

    fn has(&self, address: IpAddr) -> bool {
        self.addresses.contains(&address.to_canonical())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_comes_onto_the_never_list_is_known_without_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("vedette.toml");
        let write = |text: &str| std::fs::write(&file, text).unwrap();
        let never = |id: &str| write(&format!("[responders.never]\ndevices = [\"{id}\"]"));
        never("door-1");
        let config = Config::load(Some(&file)).unwrap();
        // The process began long ago.
        never("door-2");
        let mut list = NeverList::new(&config);
        assert_eq!(list.names().devices, ["door-2"]);
        let mut look = || {
            list.looked = Instant::now().checked_sub(LOOK_UP).unwrap();
            list.changed().map(|never| never.devices)
        };
        assert_eq!(look(), None);
        never("door-3");
        assert_eq!(look(), None, "it may be half written");
        assert_eq!(look().unwrap(), ["door-3"]);
        for wrong in ["[responders.never]\ndevises = []", ""] {
            write(wrong);
            assert_eq!((look(), look(), look()), (None, None, None), "a mistake takes nobody from it");
        }
        write("[responders]");
        assert_eq!((look(), look().map(|devices| devices.len())), (None, Some(0)));
    }

    #[test]
    fn this_machine_knows_its_own_addresses() {
        let ours = Ours::look().unwrap();
        for address in ["127.0.0.1", "::ffff:127.0.0.1"] {
            assert!(ours.has(address.parse().unwrap()), "{address}");
        }
        assert!(!ours.has("192.0.2.1".parse().unwrap()), "of the documentation, RFC 5737");
        let loopback = std::fs::read_to_string("/sys/class/net/lo/address").unwrap();
        assert!(ours.hardware.contains(&loopback.trim().parse().unwrap()));
    }
}
