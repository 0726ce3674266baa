//! The inventory: what the operator knows of the fleet, from one CSV file. Its columns are in `docs/inventory.md`.
//!
//! A row that cannot be right stops the run: a device under a wrong identity is worse than none.

use std::collections::BTreeSet;
use std::collections::hash_map::Entry;
use std::io::Read;
use std::net::IpAddr;
use std::sync::Arc;

use fleet::device::Standing;
use fleet::{Cohort, Device, DeviceKey, EventTime, Mac, Profile};
use rustc_hash::{FxHashMap, FxHashSet};
use smol_str::SmolStr;

use super::leases::SHARED;
use super::naming::{NameKind, SharedNames};
use crate::Error;

/// Every column there is; a test holds `docs/inventory.md` to it.
pub const COLUMNS: [&str; 18] = [
    "device_id",
    "device_type",
    "mac",
    "ip",
    "client_id",
    "certificate",
    "username",
    "gateway",
    "site",
    "segment",
    "owner",
    "criticality",
    "firmware",
    "protocol",
    "purpose",
    "valid_from",
    "valid_until",
    "status",
];

/// The devices, and what names them. Device keys are the rows' numbers.
#[derive(Default)]
pub struct Inventory {
    pub(crate) devices: Vec<Arc<Device>>,
    pub(crate) profiles: Profiles,
    pub(crate) macs: FxHashMap<Mac, DeviceKey>,
    /// [`SHARED`] for what several devices have.
    pub(crate) client_ids: FxHashMap<SmolStr, DeviceKey>,
    pub(crate) certificates: FxHashMap<SmolStr, DeviceKey>,
    /// Nothing in a record is looked up by it: it is for gateways.
    pub(crate) usernames: FxHashMap<SmolStr, DeviceKey>,
    /// Of these, what several devices have.
    pub(crate) shared: SharedNames,
    /// As they stand in the cell.
    pub(crate) gateways: FxHashMap<DeviceKey, SmolStr>,
    pub(crate) addresses: Vec<AddressClaim>,
    /// When a device ceases to be, for those that have such a time.
    pub(crate) valid_until: FxHashMap<DeviceKey, EventTime>,
}

/// One copy of each profile.
#[derive(Default)]
pub(crate) struct Profiles(FxHashSet<Arc<Profile>>);

impl Profiles {
    pub fn share(&mut self, profile: Profile) -> Arc<Profile> {
        if let Some(known) = self.0.get(&profile) {
            return Arc::clone(known);
        }
        let profile = Arc::new(profile);
        self.0.insert(Arc::clone(&profile));
        profile
    }
}

pub(crate) struct AddressClaim {
    pub address: IpAddr,
    pub device: DeviceKey,
    pub from: EventTime,
    pub until: EventTime,
}

/// Of one cell.
pub(crate) fn named_gateways(cell: &str) -> impl Iterator<Item = &str> {
    cell.split(['|', ' ']).filter(|name| !name.is_empty())
}

impl Inventory {
    pub fn empty() -> Inventory {
        Inventory::default()
    }

    pub fn devices(&self) -> &[Arc<Device>] {
        &self.devices
    }

    /// All that any device names.
    pub fn gateways(&self) -> BTreeSet<&str> {
        self.gateways.values().flat_map(|cell| named_gateways(cell)).collect()
    }

    /// `name` is what errors call it, usually the file's path.
    pub fn from_csv(reader: impl Read, name: &str) -> Result<Inventory, Error> {
        let mut rows = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(reader);
        let failed = |line: u64, problem: String| Error::Inventory { name: name.to_owned(), line, problem };
        let header = rows.headers().map_err(|error| failed(1, unreadable(&error)))?;
        let columns = columns(header).map_err(|problem| failed(1, problem))?;
        let mut inventory = Inventory::default();
        let mut lines = Vec::new();
        let mut ids = FxHashMap::default();
        let mut record = csv::StringRecord::new();
        loop {
            let more = rows.read_record(&mut record);
            let line = record.position().map_or(0, |position| position.line());
            match more {
                Ok(false) => break,
                Ok(true) => {}
                Err(error) => {
                    let line = error.position().map_or(line, |position| position.line());
                    return Err(failed(line, unreadable(&error)));
                }
            }
            let row = Row { record: &record, columns: &columns };
            lines.push(line as u32);
            inventory.add(&row, &mut ids, &lines).map_err(|problem| failed(line, problem))?;
        }
        Ok(inventory)
    }

    fn add(&mut self, row: &Row, ids: &mut FxHashMap<SmolStr, DeviceKey>, lines: &[u32]) -> Result<(), String> {
        let key = DeviceKey(self.devices.len() as u32);
        let line_of = |other: DeviceKey| lines[other.0 as usize];
        let (id, device_type) = (row.text("device_id"), row.text("device_type"));
        if id.is_empty() {
            return Err("`device_id` is empty; give every device an id".to_owned());
        }
        if id.starts_with("unknown:") {
            return Err(format!("device `{id}` is named like an unknown device; give it another id"));
        }
        if device_type.is_empty() {
            return Err(format!(
                "device `{id}` has no `device_type`; without one it has no peers, name at least a class"
            ));
        }
        if let Some(earlier) = ids.insert(id.clone(), key) {
            let line = line_of(earlier);
            return Err(format!("device `{id}` stands on line {line} already; keep one of the two rows"));
        }
        for cell in row.list("mac") {
            let mac: Mac = cell.parse()?;
            if mac.is_group() {
                return Err(format!("`{mac}` is a group address and names no device; remove it from device `{id}`"));
            }
            match self.macs.entry(mac) {
                Entry::Vacant(free) => _ = free.insert(key),
                Entry::Occupied(taken) if *taken.get() == key => {}
                Entry::Occupied(taken) => {
                    let (other, line) = (*taken.get(), line_of(*taken.get()));
                    let other = &self.devices[other.0 as usize].id;
                    return Err(format!(
                        "MAC `{mac}` of device `{id}` belongs to device `{other}` on line {line} already; \
                         remove it from one of the two"
                    ));
                }
            }
        }
        for (kind, map, cells) in [
            (NameKind::ClientId, &mut self.client_ids, row.list("client_id").collect::<Vec<_>>()),
            (NameKind::Certificate, &mut self.certificates, row.cells("certificate", &['|']).collect()),
            (NameKind::Username, &mut self.usernames, row.cells("username", &['|']).collect()),
        ] {
            for cell in cells {
                let name = SmolStr::new(cell);
                match map.entry(name.clone()) {
                    Entry::Vacant(free) => _ = free.insert(key),
                    Entry::Occupied(held) if *held.get() == key => {}
                    Entry::Occupied(mut held) => {
                        let before = held.insert(SHARED);
                        for of in [before, key].into_iter().filter(|of| *of != SHARED) {
                            self.shared.entry(of).or_default().push((kind, name.clone()));
                        }
                    }
                }
            }
        }
        let gateways = row.text("gateway");
        if !gateways.is_empty() {
            self.gateways.insert(key, gateways);
        }
        let from = row.time("valid_from")?.unwrap_or(EventTime::MIN);
        let until = row.time("valid_until")?;
        if until.is_some_and(|until| until <= from) {
            return Err(format!("device `{id}` is valid until a time that is not after `valid_from`"));
        }
        let standing = standing(&row.text("status"))?;
        if let Some(until) = until {
            self.valid_until.insert(key, until);
        }
        let retired = standing == Standing::Retired;
        let until = until.unwrap_or(if retired { EventTime::MIN } else { EventTime::MAX });
        for cell in row.list("ip") {
            let address =
                cell.parse().map_err(|_| format!("`{cell}` is not an IP address, expected `192.168.10.11`"))?;
            self.addresses.push(AddressClaim { address, device: key, from, until });
        }
        let segment = row.text("segment");
        let profile = Profile {
            cohort: Cohort { device_type: device_type.clone(), segment: segment.clone(), shard: 0 },
            device_type,
            segment,
            site: row.text("site"),
            owner: row.text("owner"),
            firmware: row.text("firmware"),
            protocol: row.text("protocol"),
            purpose: row.text("purpose"),
        };
        let criticality = row.text("criticality").parse()?;
        let profile = self.profiles.share(profile);
        self.devices.push(Arc::new(Device { key, id, criticality, standing, profile }));
        Ok(())
    }
}

struct Row<'a> {
    record: &'a csv::StringRecord,
    columns: &'a [Option<usize>; COLUMNS.len()],
}

impl<'a> Row<'a> {
    fn cell(&self, column: &str) -> &'a str {
        let place = COLUMNS.iter().position(|known| *known == column).and_then(|index| self.columns[index]);
        place.and_then(|place| self.record.get(place)).unwrap_or("")
    }

    fn text(&self, column: &str) -> SmolStr {
        SmolStr::new(self.cell(column))
    }

    fn cells(&self, column: &str, separators: &'static [char]) -> impl Iterator<Item = &'a str> + use<'a> {
        self.cell(column).split(separators).map(str::trim).filter(|part| !part.is_empty())
    }

    fn list(&self, column: &str) -> impl Iterator<Item = &'a str> + use<'a> {
        self.cells(column, &['|', ' '])
    }

    /// A day stands for its first instant, UTC.
    fn time(&self, column: &str) -> Result<Option<EventTime>, String> {
        let cell = self.cell(column);
        if cell.is_empty() {
            return Ok(None);
        }
        let day = EventTime::parse(&format!("{cell}T00:00:00Z"));
        let time = EventTime::parse(cell).or(day);
        let bad = || format!("`{column}` is `{cell}`, expected a time such as `2026-03-01` or `2026-03-01T08:00:00Z`");
        time.map(Some).ok_or_else(bad)
    }
}

/// Where each of [`COLUMNS`] stands in the file.
fn columns(header: &csv::StringRecord) -> Result<[Option<usize>; COLUMNS.len()], String> {
    let mut places = [None; COLUMNS.len()];
    for (place, title) in header.iter().enumerate() {
        let title = title.trim_start_matches('\u{feff}').trim();
        let name = match title {
            "device" => "device_id",
            "type" => "device_type",
            other => other,
        };
        let Some(index) = COLUMNS.iter().position(|known| *known == name) else {
            return Err(format!(
                "column `{title}` is unknown, expected one of {}; rename or remove it",
                COLUMNS.join(", ")
            ));
        };
        if places[index].replace(place).is_some() {
            return Err(format!("column `{name}` stands there twice; remove one"));
        }
    }
    for (index, required) in COLUMNS.iter().enumerate().take(2) {
        if places[index].is_none() {
            return Err(format!("column `{required}` is missing; `device_id` and `device_type` are required"));
        }
    }
    Ok(places)
}

fn standing(status: &str) -> Result<Standing, String> {
    match status.to_ascii_lowercase().as_str() {
        "" | "active" => Ok(Standing::Active),
        "retired" => Ok(Standing::Retired),
        "shared" => Ok(Standing::Shared),
        _ => Err(format!("status `{status}` is unknown, expected active, retired or shared")),
    }
}

fn unreadable(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!(
                "the row has {len} columns, expected {expected_len} as in the header; quote cells that hold a comma"
            )
        }
        csv::ErrorKind::Utf8 { .. } => "the row is not UTF-8; save the file as UTF-8".to_owned(),
        csv::ErrorKind::Io(error) => format!("cannot be read: {error}; check permissions and the disk"),
        _ => format!("cannot be read as CSV: {error}"),
    }
}
