//! The columns that rules may name beyond a window's features: the device, the window's rarer facts, and what the baseline
//! says is new. Some need a memory (a downgrade is seen against the last version), which is a few words per device.

use std::collections::BTreeSet;
use std::sync::Arc;

use baseline::TypeBaseline;
use fleet::memory::{Format, sorted};
use fleet::{Device, DeviceKey, Direction, Place, Service, Tick, Window};
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::error::Error;
use crate::roster::Roster;

const FORMAT: Format = Format { of: "rules", version: 1 };

/// One window's values. Numbers stand in the order of [`NUMBERS`]; texts are those of the device.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Columns {
    device: Option<Arc<Device>>,
    /// The one it reported last.
    firmware: SmolStr,
    pub numbers: [f64; NUMBERS.len()],
}

/// Name and meaning of the text columns.
pub const TEXTS: [(&str, &str); 8] = [
    ("device_id", "the device's id"),
    ("device_type", "its type; empty when unknown"),
    ("site", "its site, as the inventory says"),
    ("segment", "its network segment"),
    ("owner", "its owner"),
    ("criticality", "low, medium, high or critical"),
    ("purpose", "its purpose, as the inventory says"),
    ("firmware", "the firmware it reported last; empty when it never did"),
];

/// Name and meaning of the numeric columns; yes is 1, no is 0.
pub const NUMBERS: [(&str, &str); 18] = [
    ("hour", "hour of the day of the window's start, UTC"),
    ("weekday", "day of the week, Monday is 0"),
    ("attestation_failed", "remote attestation failed in this window"),
    ("firmware_outdated", "the reported firmware is older than the inventory expects"),
    ("firmware_downgraded", "the reported firmware is older than the one the device reported before"),
    ("configuration_changed", "the configuration's hash differs from the one before"),
    ("default_credential", "the device accepts, or somebody used, a factory credential"),
    ("credential_shared", "another device of the cohort uses the same credential"),
    ("foreign_site", "the device reports another site than the inventory's"),
    ("new_countries", "countries in this window that the type never met"),
    ("inbound_management", "administration flows from the internet that the device answered"),
    ("management_ports", "administration ports the device says it listens on"),
    ("new_peer_services", "services of device-to-device traffic that the type never used"),
    ("taken_over", "sessions displaced by another connection under the same client id"),
    ("token_reused", "a session token that another device or another address presented"),
    ("new_topics", "topics published to that the type never used"),
    ("new_commands", "commands published that the type never used"),
    ("known_type", "the type has a baseline"),
];

/// Where a numeric column stands in [`NUMBERS`].
#[derive(Clone, Copy, Debug)]
#[repr(usize)]
enum Number {
    Hour,
    Weekday,
    AttestationFailed,
    FirmwareOutdated,
    FirmwareDowngraded,
    ConfigurationChanged,
    DefaultCredential,
    CredentialShared,
    ForeignSite,
    NewCountries,
    InboundManagement,
    ManagementPorts,
    NewPeerServices,
    TakenOver,
    TokenReused,
    NewTopics,
    NewCommands,
    KnownType,
}

impl Columns {
    /// The text column at `index` in [`TEXTS`]; empty for a window of nobody in the lane.
    pub fn text(&self, index: usize) -> &str {
        let Some(device) = &self.device else { return "" };
        match TEXTS[index].0 {
            "device_id" => &device.id,
            "device_type" => &device.device_type,
            "site" => &device.site,
            "segment" => &device.segment,
            "owner" => &device.owner,
            "criticality" => device.criticality.name(),
            "purpose" => &device.purpose,
            _ => &self.firmware,
        }
    }

    fn set(&mut self, column: Number, value: f64) {
        self.numbers[column as usize] = value;
    }
}

/// Remembers what a later window is compared with.
#[derive(Default, Serialize, Deserialize)]
pub struct ColumnMemory {
    #[serde(serialize_with = "sorted::map")]
    devices: FxHashMap<DeviceKey, Last>,
    /// Who used a credential, and a token from where, first.
    #[serde(serialize_with = "sorted::map")]
    credentials: FxHashMap<SmolStr, BTreeSet<DeviceKey>>,
    #[serde(serialize_with = "sorted::map")]
    tokens: FxHashMap<SmolStr, (DeviceKey, SmolStr)>,
}

#[derive(Default, Serialize, Deserialize)]
struct Last {
    firmware: SmolStr,
    configuration: SmolStr,
}

/// Credentials and tokens remembered in a lane; beyond it the memory begins anew.
const MAX_REMEMBERED: usize = 100_000;

impl ColumnMemory {
    pub fn memory(&self) -> Vec<u8> {
        FORMAT.save(self)
    }

    pub fn recall(memory: &[u8]) -> Result<ColumnMemory, Error> {
        Ok(FORMAT.load(memory)?)
    }

    /// One row per window of the tick, in its order. Windows of masked devices have an empty one, and are not remembered.
    pub fn rows<'w, 'b>(
        &mut self,
        tick: &'w Tick,
        roster: &Roster,
        mut learned: impl FnMut(&Device) -> Option<&'b TypeBaseline>,
    ) -> Vec<Columns> {
        let mut rows = vec![Columns::default(); tick.windows.len()];
        let member = |(index, window): (usize, &'w Window)| {
            let device = roster.device(window.device).filter(|device| !roster.is_masked(device.key))?;
            Some((index, window, device))
        };
        let mut members: Vec<_> = tick.windows.iter().enumerate().filter_map(member).collect();
        // Who is first with a token is not to hang on how strangers are numbered.
        members.sort_by_key(|(.., device)| (!device.is_known()).then_some(&device.id));
        for (index, window, device) in members {
            self.fill(&mut rows[index], window, device, learned(device));
        }
        rows
    }

    fn fill(&mut self, columns: &mut Columns, window: &Window, device: &Arc<Device>, learned: Option<&TypeBaseline>) {
        columns.set(Number::Hour, window.start.hour() as f64);
        columns.set(Number::Weekday, (window.start.hour_of_week() / 24) as f64);
        columns.set(Number::KnownType, f64::from(learned.is_some()));
        self.details(window, device, learned, columns);
        contacts(window, learned, columns);
        if let Some(last) = self.devices.get(&device.key) {
            columns.firmware = last.firmware.clone();
        }
        columns.device = Some(Arc::clone(device));
    }

    fn details(&mut self, window: &Window, device: &Device, learned: Option<&TypeBaseline>, columns: &mut Columns) {
        let Some(details) = &window.details else { return };
        columns.set(Number::AttestationFailed, f64::from(details.attestation_failed));
        columns.set(Number::DefaultCredential, f64::from(details.default_credential));
        columns.set(Number::TakenOver, f64::from(details.taken_over));
        let management = |port: &&u16| matches!(port, 21 | 22 | 23 | 2222 | 2323 | 3389 | 5555 | 5900 | 7547);
        columns.set(Number::ManagementPorts, details.listening_ports.iter().filter(management).count() as f64);
        if let Some(site) = &details.site {
            columns.set(Number::ForeignSite, f64::from(!device.site.is_empty() && *site != device.site));
        }
        if let Some(learned) = learned {
            let met = &learned.destinations.vocabulary.countries;
            let new = details.countries.iter().filter(|country| !met.contains(*country)).count();
            columns.set(Number::NewCountries, if met.is_empty() { 0.0 } else { new as f64 });
        }
        let last = self.devices.entry(device.key).or_default();
        if let Some(firmware) = &details.firmware {
            columns.set(Number::FirmwareOutdated, f64::from(is_older(firmware, &device.firmware)));
            columns.set(Number::FirmwareDowngraded, f64::from(is_older(firmware, &last.firmware)));
            last.firmware = firmware.clone();
        }
        if let Some(configuration) = &details.configuration {
            columns.set(
                Number::ConfigurationChanged,
                f64::from(!last.configuration.is_empty() && last.configuration != *configuration),
            );
            last.configuration = configuration.clone();
        }
        if self.credentials.len() + self.tokens.len() > MAX_REMEMBERED {
            self.credentials.clear();
            self.tokens.clear();
        }
        if let Some(credential) = &details.credential {
            let users = self.credentials.entry(credential.clone()).or_default();
            users.insert(device.key);
            columns.set(Number::CredentialShared, f64::from(users.len() > 1));
        }
        let address =
            details.addresses.first().map_or_else(SmolStr::default, |address| SmolStr::new(address.to_string()));
        for token in &details.tokens {
            let bearer = (device.key, address.clone());
            let first = self.tokens.entry(token.clone()).or_insert_with(|| bearer.clone());
            if *first != bearer {
                columns.set(Number::TokenReused, 1.0);
            }
        }
    }
}

fn contacts(window: &Window, learned: Option<&TypeBaseline>, columns: &mut Columns) {
    let mut inbound_management = 0;
    let (mut new_topics, mut new_commands, mut new_peers) = (0, 0, 0);
    let words = learned.map(|learned| &learned.destinations.vocabulary);
    for contact in &window.contacts {
        let answered = contact.flows > contact.refused;
        let from_outside = contact.direction == Direction::Inbound && contact.destination.place() == Place::External;
        if from_outside && answered && contact.service.is_management() {
            inbound_management += contact.flows;
        }
        let Some(words) = words else { continue };
        match contact.service.0.as_str() {
            Service::TOPIC => new_topics += u32::from(!words.topics.contains(&contact.destination.text())),
            Service::COMMAND => new_commands += u32::from(!words.commands.contains(&contact.destination.text())),
            _ if contact.peer.is_some() && answered && contact.direction == Direction::Outbound => {
                new_peers += u32::from(!words.peer_services.contains(&contact.service.0));
            }
            _ => {}
        }
    }
    columns.set(Number::InboundManagement, f64::from(inbound_management));
    columns.set(Number::NewTopics, f64::from(new_topics));
    columns.set(Number::NewCommands, f64::from(new_commands));
    columns.set(Number::NewPeerServices, f64::from(new_peers));
}

/// Compares dotted versions number by number; what is no number compares as text. Unknown versions are never older.
fn is_older(version: &str, than: &str) -> bool {
    if version.is_empty() || than.is_empty() {
        return false;
    }
    let parts = |text: &str| -> Vec<(u64, String)> {
        text.trim_start_matches(['v', 'V'])
            .split(['.', '-', '_'])
            .map(|part| {
                let digits: String = part.chars().take_while(char::is_ascii_digit).collect();
                (digits.parse().unwrap_or(0), part[digits.len()..].to_owned())
            })
            .collect()
    };
    parts(version) < parts(than)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_stands_where_its_name_does() {
        assert_eq!(Number::Hour as usize, 0);
        assert_eq!(Number::KnownType as usize, NUMBERS.len() - 1);
        for number in [
            Number::Hour,
            Number::Weekday,
            Number::AttestationFailed,
            Number::FirmwareOutdated,
            Number::FirmwareDowngraded,
            Number::ConfigurationChanged,
            Number::DefaultCredential,
            Number::CredentialShared,
            Number::ForeignSite,
            Number::NewCountries,
            Number::InboundManagement,
            Number::ManagementPorts,
            Number::NewPeerServices,
            Number::TakenOver,
            Number::TokenReused,
            Number::NewTopics,
            Number::NewCommands,
            Number::KnownType,
        ] {
            let (name, _) = NUMBERS[number as usize];
            assert_eq!(format!("{number:?}").to_lowercase(), name.replace('_', ""));
        }
    }

    #[test]
    fn versions_compare_by_number() {
        assert!(is_older("1.9.2", "1.10.0") && !is_older("1.10.0", "1.9.2"));
        assert!(is_older("v2.0.1", "2.0.2") && !is_older("2.0.2", "v2.0.2"));
        assert!(!is_older("", "1.0") && !is_older("1.0", ""));
    }
}
