//! The operator's knob is the budget; the rest has reasons beside it and is rarely touched.

use fleet::FEATURES;
use serde::{Deserialize, Serialize};

use crate::error::Error;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// At most this many false findings per 1,000 device-days.
    pub budget: f64,
    /// Budgets whose findings are kept beside, for the operating curve. Empty: none.
    pub curve_budgets: Vec<f64>,
    /// Evidence loses half its weight in this time.
    pub half_life_seconds: u32,
    /// A finding without any attack's shape waits this long for its peers to show the same.
    pub hold_seconds: u32,
    /// Lateness added to a window's end to say when a finding could leave.
    pub lateness_seconds: u32,
    /// Peers that show the same within this time are a group ...
    pub group_window_seconds: u32,
    /// ... when they are at least as many, ...
    pub group_min_devices: u32,
    /// ... and at least this share of the cohort ...
    pub group_share: f64,
    /// ... or this share, where what they share is staying at an application the type never used (a worm does that too).
    pub group_share_stay: f64,
    /// So long after an action of ours was undone, what the device does still counts as caused by it: devices come back in
    /// a storm of connects.
    pub release_grace_seconds: u32,
    /// This share of its line is enough for a finding about a device that was let go ...
    pub probation_line: f64,
    /// ... for so long; whoever responds says how long (`[responders] probation_seconds`).
    #[serde(skip)]
    pub probation_seconds: u32,
    /// Isolation forest: trees, rows of each, and components of a split (1: axis-parallel, more: extended).
    pub trees: usize,
    pub sample_size: usize,
    pub forest_components: usize,
    pub seed: u64,
    /// Destinations remembered of a device that its type does not know; beyond it the oldest are forgotten, and counted.
    pub max_episodes_per_device: usize,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            budget: 20.0,
            curve_budgets: vec![1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0],
            half_life_seconds: 3600,
            hold_seconds: 120,
            lateness_seconds: 70,
            group_window_seconds: 7200,
            group_min_devices: 3,
            group_share: 0.5,
            group_share_stay: 0.75,
            release_grace_seconds: 600,
            probation_line: 0.75,
            probation_seconds: 86_400,
            trees: 100,
            sample_size: 256,
            forest_components: 1,
            seed: 7,
            max_episodes_per_device: 256,
        }
    }
}

impl Config {
    pub fn check(&self) -> Result<(), Error> {
        for budget in std::iter::once(&self.budget).chain(&self.curve_budgets) {
            if !(budget.is_finite() && *budget > 0.0 && *budget <= 1000.0) {
                return Err(Error::Budget { value: *budget });
            }
        }
        for (name, value, least) in [
            ("half_life_seconds", self.half_life_seconds as usize, 1),
            ("group_min_devices", self.group_min_devices as usize, 1),
            ("trees", self.trees, 1),
            ("sample_size", self.sample_size, 2),
            ("max_episodes_per_device", self.max_episodes_per_device, 1),
        ] {
            if value < least {
                return Err(Error::Count { name, value, expected: format!("at least {least}") });
            }
        }
        if !(1..=FEATURES).contains(&self.forest_components) {
            let (name, value) = ("forest_components", self.forest_components);
            return Err(Error::Count { name, value, expected: format!("1 to {FEATURES}, the number of features") });
        }
        for (name, value) in [
            ("group_share", self.group_share),
            ("group_share_stay", self.group_share_stay),
            ("probation_line", self.probation_line),
        ] {
            if !(value > 0.0 && value <= 1.0) {
                return Err(Error::Share { name, value });
            }
        }
        Ok(())
    }

    pub fn half_life(&self) -> f64 {
        f64::from(self.half_life_seconds)
    }
}
