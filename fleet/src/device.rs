//! Devices as the inventory knows them, and the cohorts that are judged together.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

/// Dense number of a device in one run; its meaning is announced in the log ([`crate::log::Fact::Device`]) before use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DeviceKey(pub u32);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    pub key: DeviceKey,
    pub id: SmolStr,
    /// Empty for an unknown device.
    pub device_type: SmolStr,
    pub site: SmolStr,
    pub segment: SmolStr,
    pub owner: SmolStr,
    pub criticality: Criticality,
    /// Firmware the inventory expects; empty when it does not say.
    pub firmware: SmolStr,
    pub protocol: SmolStr,
    pub purpose: SmolStr,
    pub standing: Standing,
    pub cohort: Cohort,
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
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
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
