//! All that a judge remembers between two ticks: another process that recalls it goes on with the very same results.

use std::sync::Arc;

use fleet::memory::Format;
use fleet::{DeviceKey, EventTime, Finding};
use serde::{Deserialize, Serialize};

use super::Judge;
use crate::account::{Account, Groups};
use crate::detectors;
use crate::error::Error;
use crate::prepared::Prepared;
use crate::roster::Roster;

const FORMAT: Format = Format { of: "judge", version: 3 };

/// Baselines are stored by themselves; the configuration, the width of a window and the first judged instant are given
/// again by whoever goes on.
#[derive(Serialize)]
struct Remembered<'j> {
    baseline_version: u32,
    roster: &'j Roster,
    /// By name.
    detectors: Vec<(&'static str, Vec<u8>)>,
    groups: &'j Groups,
    accounts: &'j [Account],
    changes: &'j [(EventTime, Vec<DeviceKey>, Finding)],
    ticks: u32,
}

/// The same, owned.
#[derive(Deserialize)]
struct Recalled {
    baseline_version: u32,
    roster: Roster,
    detectors: Vec<(String, Vec<u8>)>,
    groups: Groups,
    accounts: Vec<Account>,
    changes: Vec<(EventTime, Vec<DeviceKey>, Finding)>,
    ticks: u32,
}

impl Judge {
    /// Between two ticks. What calibration listens to is not in it.
    pub fn memory(&self) -> Vec<u8> {
        FORMAT.save(&Remembered {
            baseline_version: self.prepared.version,
            roster: &self.roster,
            detectors: self.detectors.iter().map(|detector| (detector.name(), detector.memory())).collect(),
            groups: &self.groups,
            accounts: &self.accounts,
            changes: &self.changes,
            ticks: self.ticks,
        })
    }

    /// Takes the place of everything remembered so far; `prepared` is the version that was in force. With an error nothing
    /// has changed.
    pub fn recall(&mut self, memory: &[u8], prepared: Arc<Prepared>) -> Result<(), Error> {
        let recalled: Recalled = FORMAT.load(memory)?;
        if recalled.baseline_version != prepared.version {
            return Err(Error::OtherBaselines { expected: recalled.baseline_version, given: prepared.version });
        }
        let (remembered, configured) = (recalled.accounts.len(), self.accounts.len());
        if remembered != configured {
            return Err(Error::OtherBudgets { remembered, configured });
        }
        let mut detectors = detectors::all();
        let names = detectors.iter().map(|detector| detector.name());
        if !recalled.detectors.iter().map(|(name, _)| name.as_str()).eq(names) {
            let names: Vec<String> = recalled.detectors.into_iter().map(|(name, _)| name).collect();
            return Err(Error::OtherDetectors { remembered: names.join(", ") });
        }
        for (detector, (_, memory)) in detectors.iter_mut().zip(&recalled.detectors) {
            detector.recall(memory)?;
        }
        self.prepared = prepared;
        self.roster = recalled.roster;
        self.detectors = detectors;
        self.groups = recalled.groups;
        self.accounts = recalled.accounts;
        self.changes = recalled.changes;
        self.ticks = recalled.ticks;
        // Their lines follow from the baselines and the configuration.
        self.open_accounts();
        Ok(())
    }
}
