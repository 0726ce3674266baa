//! What the operator may set about learning.

use serde::{Deserialize, Serialize};

use crate::error::Error;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Rows of the seeded sample kept per type, from which detectors fit their models.
    pub sample_rows: usize,
    /// Seed of the sample.
    pub seed: u64,
    /// Windows a device must have been seen for before its own offset weighs as much as its type.
    pub device_prior_windows: f32,
    /// A feature is `learning` below this many windows.
    pub min_windows: u64,
    /// `provisional` below as many devices or days.
    pub min_devices: u32,
    pub min_days: u32,
    /// Weeks of history before an hour-of-week profile replaces the hour-of-day profile.
    pub min_weeks: u32,
    /// An application or destination is known when more than this share of the type's device-days uses it.
    pub rare_share: f64,
    /// Destinations kept per type; the rarest beyond it are forgotten, and counted.
    pub max_destinations: usize,
    /// Windows with this many failed flows in them are an attack's shape and never train.
    pub attack_failed_flows: f32,
    /// Likewise: distinct internal hosts in one window, and failed sign-ins.
    pub attack_fan_out: f32,
    pub attack_sign_in_failures: f32,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            sample_rows: 4096,
            seed: 7,
            device_prior_windows: 240.0,
            min_windows: 120,
            min_devices: 2,
            min_days: 2,
            min_weeks: 3,
            rare_share: 0.15,
            max_destinations: 4096,
            attack_failed_flows: 20.0,
            attack_fan_out: 12.0,
            attack_sign_in_failures: 5.0,
        }
    }
}

impl Config {
    /// # Errors
    /// Names the setting that is out of its range.
    pub fn check(&self) -> Result<(), Error> {
        let wrong = |name, value: String, expected| Err(Error::Config { name, value, expected });
        if !(0.0..1.0).contains(&self.rare_share) {
            return wrong("rare_share", self.rare_share.to_string(), "a share of at least 0 and below 1");
        }
        for (name, value) in [
            ("attack_failed_flows", self.attack_failed_flows),
            ("attack_fan_out", self.attack_fan_out),
            ("attack_sign_in_failures", self.attack_sign_in_failures),
        ] {
            if value.is_nan() || value <= 0.0 {
                return wrong(name, value.to_string(), "more than 0");
            }
        }
        if self.device_prior_windows.is_nan() || self.device_prior_windows < 0.0 {
            return wrong("device_prior_windows", self.device_prior_windows.to_string(), "0 or more");
        }
        for (name, value) in [("sample_rows", self.sample_rows), ("max_destinations", self.max_destinations)] {
            if value == 0 {
                return wrong(name, value.to_string(), "at least 1");
            }
        }
        Ok(())
    }
}
