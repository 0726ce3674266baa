//! Devices as the inventory knows them, and the cohorts that are judged together.

use std::fmt;
use std::ops::Deref;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

/// Dense number of a device in one run; its meaning is announced in the log ([`crate::log::Fact::Device`]) before use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DeviceKey(pub u32);

/// One device. What many devices have in common is shared, so that a million of them fit in a lane; the fields of
/// [`Profile`] read as if they were the device's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    pub key: DeviceKey,
    pub id: SmolStr,
    pub criticality: Criticality,
    pub standing: Standing,
    pub profile: Arc<Profile>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Profile {
    /// Empty for an unknown device.
    pub device_type: SmolStr,
    pub site: SmolStr,
    pub segment: SmolStr,
    pub owner: SmolStr,
    /// Firmware the inventory expects; empty when it does not say.
    pub firmware: SmolStr,
    pub protocol: SmolStr,
    pub purpose: SmolStr,
    pub cohort: Cohort,
}

impl Deref for Device {
    type Target = Profile;

    fn deref(&self) -> &Profile {
        &self.profile
    }
}

impl Device {
    pub fn is_known(&self) -> bool {
        self.standing != Standing::Unknown
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    #[default]
    Active,
    /// The inventory says it is gone; it should not speak.
    Retired,
    /// Not in the inventory.
    Unknown,
    /// One identity for several devices (NAT, gateway, shared certificate): never acted upon.
    Shared,
}

/// How much it matters; scales severity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Criticality {
    Low,
    #[default]
    Medium,
    High,
    Critical,
}

impl Criticality {
    pub fn name(self) -> &'static str {
        match self {
            Criticality::Low => "low",
            Criticality::Medium => "medium",
            Criticality::High => "high",
            Criticality::Critical => "critical",
        }
    }
}

impl FromStr for Criticality {
    type Err = String;
    fn from_str(text: &str) -> Result<Criticality, String> {
        match text.to_ascii_lowercase().as_str() {
            "low" => Ok(Criticality::Low),
            "" | "medium" => Ok(Criticality::Medium),
            "high" => Ok(Criticality::High),
            "critical" => Ok(Criticality::Critical),
            _ => Err(format!("criticality `{text}` is unknown, expected low, medium, high or critical")),
        }
    }
}

/// Devices judged together: one type in one segment, a large type cut into shards by a hash of the device id.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Cohort {
    pub device_type: SmolStr,
    pub segment: SmolStr,
    pub shard: u16,
}

impl fmt::Display for Cohort {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}/{}", self.device_type, self.segment, self.shard)
    }
}
