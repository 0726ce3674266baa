//! Identities to devices: the inventory's, and those of unknown devices as they show up.
//!
//! A MAC names a device only beside an internal address or none: beside an internet address stands the router's. Once an
//! unknown MAC was seen there it is taken for a router's and names nobody any more, also not the internal hosts of other
//! subnets behind it.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use fleet::device::Standing;
use fleet::id::stable_hash;
use fleet::{Cohort, Criticality, Device, DeviceKey, EventTime, Identity, Mac, Place, Profile, place};
use rustc_hash::{FxHashMap, FxHashSet};
use smol_str::{SmolStr, format_smolstr};

use super::by_device::ByDevice;
use super::inventory::{AddressClaim, Inventory, Profiles, named_gateways};
use super::learned::{Change, Changes};
use super::leases::{Leases, SHARED};
use super::naming::SharedNames;
use crate::Config;

/// Unknown devices are no peers of each other, so they are spread over the lanes in as many cohorts.
const UNKNOWN_SHARDS: u64 = 16;

/// Ids of unknown devices begin so.
pub(super) const UNKNOWN: &str = "unknown:";

pub(crate) struct Known {
    pub devices: Vec<Arc<Device>>,
    profiles: Profiles,
    pub(super) macs: FxHashMap<Mac, DeviceKey>,
    pub(super) client_ids: FxHashMap<SmolStr, DeviceKey>,
    pub(super) certificates: FxHashMap<SmolStr, DeviceKey>,
    pub(super) usernames: FxHashMap<SmolStr, DeviceKey>,
    pub(super) shared: SharedNames,
    pub(super) shared_addresses: FxHashMap<DeviceKey, IpAddr>,
    pub(super) gateways: FxHashMap<DeviceKey, SmolStr>,
    valid_until: FxHashMap<DeviceKey, EventTime>,
    pub(super) leases: Leases,
    routers: FxHashSet<Mac>,
    /// Unknown devices by id: one whose address went to somebody else, and came back, is no second one.
    pub(super) unknown: FxHashMap<SmolStr, DeviceKey>,
    /// By device key: which kinds of identity the device has, so that a second one is told to be another device's.
    pub(super) has: Vec<u8>,
    pub(super) of_inventory: u32,
    /// The inventory gives as many addresses.
    pub(super) declared: usize,
    pub(super) max_devices: usize,
    /// To be told to other routers; `None`: there are none.
    pub(super) changes: Option<Changes>,
    /// From when somebody first asked for a device by its id.
    pub(super) by_id: OnceLock<FxHashMap<SmolStr, DeviceKey>>,
    /// From when somebody first asked what a device is known by.
    pub(super) by_device: OnceLock<ByDevice>,
}

pub(super) const HAS_MAC: u8 = 1;
pub(super) const HAS_CLIENT_ID: u8 = 2;
/// Retired, or to be.
const AN_END: u8 = 4;
/// Another router met it first.
pub(super) const UNTOLD: u8 = 8;

/// Device and lease of an identity, see [`Known::touch`].
pub(crate) type Touched = (Option<DeviceKey>, Option<usize>);

/// What was found under an identity.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Found {
    Device(DeviceKey),
    /// Created just now; to be announced.
    New(DeviceKey),
    /// Several devices share it.
    Shared,
    /// One more than `max_devices`.
    OneTooMany,
    Nobody,
}

impl Known {
    pub(crate) fn new(inventory: Inventory, config: &Config) -> Known {
        let mut has = vec![0; inventory.devices.len()];
        let holders = inventory.macs.values().map(|key| (key, HAS_MAC));
        for (key, kind) in holders.chain(inventory.client_ids.values().map(|key| (key, HAS_CLIENT_ID))) {
            if *key != SHARED {
                has[key.0 as usize] |= kind;
            }
        }
        for device in &inventory.devices {
            if device.standing == Standing::Retired || inventory.valid_until.contains_key(&device.key) {
                has[device.key.0 as usize] |= AN_END;
            }
        }
        let mut known = Known {
            profiles: inventory.profiles,
            of_inventory: inventory.devices.len() as u32,
            devices: inventory.devices,
            macs: inventory.macs,
            client_ids: inventory.client_ids,
            certificates: inventory.certificates,
            usernames: inventory.usernames,
            shared: inventory.shared,
            shared_addresses: FxHashMap::default(),
            gateways: inventory.gateways,
            valid_until: inventory.valid_until,
            leases: Leases::new(config.lateness_seconds),
            routers: FxHashSet::default(),
            unknown: FxHashMap::default(),
            has,
            declared: 0,
            max_devices: config.max_devices,
            changes: None,
            by_id: OnceLock::new(),
            by_device: OnceLock::new(),
        };
        known.shard(config.cohort_size.max(1));
        known.seed(inventory.addresses);
        known.declared = known.leases.len();
        known.macs.shrink_to_fit();
        known.leases.shrink();
        known
    }

    fn shard(&mut self, cohort_size: usize) {
        let mut sizes: FxHashMap<Cohort, usize> = FxHashMap::default();
        for device in &self.devices {
            match sizes.get_mut(&device.cohort) {
                Some(size) => *size += 1,
                None => _ = sizes.insert(device.cohort.clone(), 1),
            }
        }
        for device in &mut self.devices {
            let shards = sizes.get(&device.cohort).map_or(1, |size| size.div_ceil(cohort_size)) as u64;
            if shards > 1 {
                let shard = (stable_hash(&[&device.id]) % shards) as u16;
                let cohort = Cohort { shard, ..device.cohort.clone() };
                let profile = self.profiles.share(Profile { cohort, ..Profile::clone(&device.profile) });
                Arc::make_mut(device).profile = profile;
            }
        }
    }

    /// The inventory's addresses, as leases. Of two devices that claim one address the later one has it from its
    /// `valid_from` on, or from when the other ceased to be; if neither says so, it names neither.
    fn seed(&mut self, mut claims: Vec<AddressClaim>) {
        claims.sort_by_key(|claim| (claim.address, claim.from, claim.until, claim.device));
        claims.dedup_by_key(|claim| (claim.address, claim.device));
        for same in claims.chunk_by_mut(|one, other| one.address == other.address) {
            let mut contested = false;
            for index in 1..same.len() {
                let before = &same[index - 1];
                let (began, ceased) = (before.from, before.until);
                if same[index].from == began {
                    contested |= ceased == EventTime::MAX;
                    same[index].from = began.max(ceased);
                }
            }
            if contested {
                self.leases.share(same[0].address);
                self.shared_addresses.extend(same.iter().map(|claim| (claim.device, claim.address)));
                continue;
            }
            for claim in same {
                self.leases.learn(claim.address, claim.device, claim.from);
            }
        }
    }

    /// Gateways that the inventory names for a device.
    pub(crate) fn gateways(&self, device: &str) -> Vec<SmolStr> {
        let named = self.key_of(device).and_then(|key| self.gateways.get(&key));
        named.map_or_else(Vec::new, |cell| named_gateways(cell).map(SmolStr::new).collect())
    }

    /// Loads what finding these identities will read. One by one they would wait for memory four times each: of a hundred
    /// thousand devices hardly one is in the cache.
    pub(crate) fn touch<'i>(&self, identities: impl Iterator<Item = &'i Identity>, found: &mut Vec<Touched>) {
        found.clear();
        found.extend(identities.map(|identity| {
            let by_mac = identity.mac.and_then(|mac| self.macs.get(&mac));
            let by_client = || self.client_ids.get(identity.client_id.as_ref()?);
            (by_mac.or_else(by_client).copied(), identity.ip.and_then(|ip| self.leases.index(ip)))
        }));
        let loaded = found.iter().fold(0u64, |sum, (device, lease)| {
            let holder = lease.map_or(0, |index| self.leases.touch(index));
            let device = device.and_then(|key| self.devices.get(key.0 as usize));
            sum.wrapping_add(holder).wrapping_add(device.map_or(0, |device| device.id.len() as u64))
        });
        std::hint::black_box(loaded);
    }

    /// The device of a flow's end, or of a scanner's report: MAC before IP. `speaks`: it sent something, so that it is a
    /// device also when nobody knows it.
    pub(crate) fn find_host(&mut self, mac: Option<Mac>, ip: Option<IpAddr>, time: EventTime, speaks: bool) -> Found {
        self.find(None, mac, ip, None, time, speaks)
    }

    /// The device of a broker's record: client id, MAC, IP, certificate. `ip` is the identity's, or where the client
    /// connected from; `speaks`: as for hosts.
    pub(crate) fn find_client(
        &mut self,
        identity: &Identity,
        ip: Option<IpAddr>,
        time: EventTime,
        speaks: bool,
    ) -> Found {
        let Identity { client_id, mac, certificate, .. } = identity;
        self.find(client_id.as_ref(), *mac, ip, certificate.as_ref(), time, speaks)
    }

    fn find(
        &mut self,
        client_id: Option<&SmolStr>,
        mac: Option<Mac>,
        ip: Option<IpAddr>,
        certificate: Option<&SmolStr>,
        time: EventTime,
        speaks: bool,
    ) -> Found {
        let place = ip.map_or(Place::Nowhere, place);
        let internal = ip.filter(|_| place == Place::Internal);
        let by_client = client_id.and_then(|id| self.client_ids.get(id)).copied();
        if let Some(key) = by_client.filter(|key| key.0 < self.of_inventory) {
            return Found::Device(key);
        }
        let named = mac.and_then(|mac| self.macs.get(&mac)).copied();
        let mac = mac.filter(|mac| self.names_a_device(*mac, named, place));
        let named = named.filter(|_| mac.is_some());
        if let (Some(key), Some(address)) = (named, internal) {
            self.learn(address, key, time);
        }
        let holder = ip.filter(|_| named.is_none()).and_then(|address| self.leases.holder(address, time));
        let found = match (named, holder) {
            (Some(key), _) => Some(key),
            // Somebody with a MAC of its own stands at the address of a device that has another one.
            (None, Some(holder)) if mac.is_some() && self.has(holder, HAS_MAC) => None,
            (None, holder) => holder.filter(|key| *key != SHARED),
        };
        let unknown_client = by_client.filter(|key| *key != SHARED);
        let by_certificate = certificate.and_then(|name| self.certificates.get(name)).copied();
        let declared = by_certificate.filter(|key| *key != SHARED);
        if let Some(key) = found.or(declared).or(unknown_client) {
            if speaks {
                self.bind(key, client_id, mac, internal, time);
            }
            return Found::Device(key);
        }
        if [by_client, by_certificate, holder.filter(|_| mac.is_none())].contains(&Some(SHARED)) {
            return Found::Shared;
        }
        if speaks { self.create(client_id, mac, internal, time) } else { Found::Nobody }
    }

    fn names_a_device(&mut self, mac: Mac, named: Option<DeviceKey>, beside: Place) -> bool {
        if mac.is_group() || mac.0 == [0; 6] {
            return false;
        }
        match beside {
            Place::Internal | Place::Nowhere => named.is_some() || !self.routers.contains(&mac),
            Place::External => {
                if named.is_none() && self.routers.len() < self.max_devices {
                    self.routers.insert(mac);
                }
                false
            }
            Place::Group => false,
        }
    }

    /// The device was retired at `time`, and should not speak.
    pub(crate) fn is_retired(&self, key: DeviceKey, time: EventTime) -> bool {
        if !self.has(key, AN_END) {
            return false;
        }
        let retired = self.devices[key.0 as usize].standing == Standing::Retired;
        retired || self.valid_until.get(&key).is_some_and(|until| time >= *until)
    }

    pub(super) fn has(&self, key: DeviceKey, kind: u8) -> bool {
        self.has.get(key.0 as usize).is_some_and(|has| has & kind != 0)
    }

    /// Links what stood beside each other in one record, so that a device stays one device.
    fn bind(
        &mut self,
        key: DeviceKey,
        client_id: Option<&SmolStr>,
        mac: Option<Mac>,
        internal: Option<IpAddr>,
        time: EventTime,
    ) {
        if let Some(mac) = mac.filter(|mac| !self.has(key, HAS_MAC) && !self.macs.contains_key(mac)) {
            self.give_mac(mac, key);
            self.note_of(key, Change::Mac(mac));
            if let Some(address) = internal {
                self.learn(address, key, time);
            }
        }
        let Some(id) = client_id else { return };
        // An unknown device that first showed a client id only, and now turns out to be this one.
        let rename = self.client_ids.get(id).is_some_and(|held| *held != key && *held != SHARED);
        if rename || !self.has(key, HAS_CLIENT_ID) && !self.client_ids.contains_key(id) {
            self.give_client_id(id, key);
            self.note_of(key, Change::ClientId(id.clone()));
        }
        // An address without MAC is a client's only while nobody else has it.
        if let Some(address) = internal.filter(|address| self.leases.holder(*address, time).is_none()) {
            self.learn(address, key, time);
        }
    }

    fn create(
        &mut self,
        client_id: Option<&SmolStr>,
        mac: Option<Mac>,
        internal: Option<IpAddr>,
        time: EventTime,
    ) -> Found {
        let id = match (mac, internal, client_id) {
            (Some(mac), _, _) => format_smolstr!("{UNKNOWN}{mac}"),
            (None, Some(address), _) => format_smolstr!("{UNKNOWN}{address}"),
            (None, None, Some(client)) => format_smolstr!("{UNKNOWN}{client}"),
            (None, None, None) => return Found::Nobody,
        };
        let known = self.unknown.get(&id).copied();
        if known.is_none() && self.devices.len() >= self.max_devices {
            return Found::OneTooMany;
        }
        let key = known.unwrap_or_else(|| self.add_unknown(id));
        self.bind(key, client_id, mac, internal, time);
        if let Some(address) = internal {
            self.learn(address, key, time);
        }
        if known.is_some() { Found::Device(key) } else { Found::New(key) }
    }

    pub(super) fn add_unknown(&mut self, id: SmolStr) -> DeviceKey {
        let key = DeviceKey(self.devices.len() as u32);
        self.unknown.insert(id.clone(), key);
        let shard = (stable_hash(&[&id]) % UNKNOWN_SHARDS) as u16;
        let cohort = Cohort { shard, ..Cohort::default() };
        let profile = self.profiles.share(Profile { cohort, ..Profile::default() });
        let (criticality, standing) = (Criticality::default(), Standing::Unknown);
        self.devices.push(Arc::new(Device { key, id, criticality, standing, profile }));
        self.has.push(0);
        key
    }

    pub(super) fn learn(&mut self, address: IpAddr, key: DeviceKey, time: EventTime) {
        if self.lease(address, key, time) {
            self.changed(Change::Address(address.to_canonical()));
        }
    }

    fn note_of(&mut self, key: DeviceKey, change: Change) {
        if key.0 < self.of_inventory {
            self.changed(change);
        }
    }
}
