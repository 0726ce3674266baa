//! The policy: when a device would be quarantined, and how many at most.

use fleet::Severity;
use serde::{Deserialize, Serialize};

use crate::error::Error;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// A finding of kind `compromise` and at least this severity would quarantine its device.
    pub min_severity: Severity,
    /// Of one device type, in 24 hours of event time: at most this many devices, or this share, whichever is more.
    pub cap_devices: u32,
    pub cap_share: f64,
}

impl Default for Config {
    fn default() -> Config {
        Config { min_severity: Severity::High, cap_devices: 3, cap_share: 0.25 }
    }
}

impl Config {
    pub fn check(&self) -> Result<(), Error> {
        if (0.0..=1.0).contains(&self.cap_share) {
            return Ok(());
        }
        Err(Error::Share { value: self.cap_share })
    }
}
