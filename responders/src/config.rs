//! The policy: how much is done without being asked, what is never touched, and how many at most.

use std::path::{Path, PathBuf};

use fleet::{Level, Mode};
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::error::Error;
use crate::tell::TellConfig;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// `observe`, `approve` or `auto`, for everything; of this, a gateway's and a playbook's the least holds.
    pub mode: Mode,
    /// Folder of playbooks; the shipped ones when it is left out.
    pub playbooks: Option<PathBuf>,
    /// While this file exists nothing is applied.
    pub stop_file: Option<PathBuf>,
    /// A finding older than this is not acted upon, nor is what was approved and could not begin for as long; 0: of any age, as
    /// for history that is fed.
    pub max_age_seconds: u32,
    /// How long an action that cannot be applied, or taken back, is tried.
    pub give_up_seconds: u32,
    /// A device is quiet after so many windows without a sign of it, and talking after as many with one.
    pub quiet_windows: u32,
    /// How often what is in force is read back.
    pub recheck_seconds: u32,
    /// How often what somebody else undid is applied again.
    pub repairs: u32,
    /// How long the brokers' word that this process is the one that acts counts; who takes over from one that did not say goodbye
    /// waits so long and a quarter more. The same in all processes.
    pub lease_seconds: u32,
    /// How long after its release a device is on probation.
    pub probation_seconds: u32,
    /// Levels that two people have to approve, in mode `auto` as well.
    pub four_eyes: Vec<Level>,
    /// Key of the journal's signatures (Ed25519, PKCS #8); made when it is not there. Without it nothing is signed.
    pub signing_key: Option<PathBuf>,
    /// Who we are, in what others are told: a tenant, and the team that answers.
    pub tenant: SmolStr,
    pub team: SmolStr,
    pub never: Never,
    pub caps: Caps,
    /// People and systems that are told.
    pub tell: TellConfig,
}

/// Who is never restricted, and is released when it comes here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Never {
    pub devices: Vec<SmolStr>,
    pub types: Vec<SmolStr>,
    pub sites: Vec<SmolStr>,
    pub segments: Vec<SmolStr>,
}

/// At most so many devices, begun in the last `hours` or still restricted; of a count and a share whichever is more.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Caps {
    pub hours: u32,
    /// Of one device type.
    pub type_devices: u32,
    pub type_share: f64,
    pub site_devices: u32,
    pub site_share: f64,
    /// Through one gateway.
    pub gateway_devices: u32,
    /// Of all devices, in one hour.
    pub hour_devices: u32,
    pub hour_share: f64,
}

impl Default for Caps {
    fn default() -> Caps {
        Caps {
            hours: 24,
            type_devices: 3,
            type_share: 0.25,
            site_devices: 10,
            site_share: 0.1,
            gateway_devices: 50,
            hour_devices: 10,
            hour_share: 0.01,
        }
    }
}

impl Default for Config {
    fn default() -> Config {
        Config {
            mode: Mode::Observe,
            playbooks: None,
            stop_file: None,
            max_age_seconds: 3_600,
            give_up_seconds: 14_400,
            quiet_windows: 3,
            recheck_seconds: 60,
            repairs: 5,
            lease_seconds: 8,
            probation_seconds: 86_400,
            four_eyes: Vec::new(),
            signing_key: None,
            tenant: SmolStr::default(),
            team: SmolStr::default(),
            never: Never::default(),
            caps: Caps::default(),
            tell: TellConfig::default(),
        }
    }
}

impl Config {
    /// Paths are relative to the configuration's folder.
    pub fn resolve(&mut self, folder: &Path) {
        for path in [&mut self.playbooks, &mut self.stop_file, &mut self.signing_key].into_iter().flatten() {
            *path = folder.join(&*path);
        }
        self.tell.resolve(folder);
    }

    /// # Errors
    /// Names the value that cannot be, and what was expected.
    pub fn check(&self) -> Result<(), Error> {
        for (key, value) in [
            ("type_share", self.caps.type_share),
            ("site_share", self.caps.site_share),
            ("hour_share", self.caps.hour_share),
        ] {
            if !(0.0..=1.0).contains(&value) {
                return Err(Error::Share { key, value });
            }
        }
        for (key, value) in [
            ("quiet_windows", self.quiet_windows),
            ("recheck_seconds", self.recheck_seconds),
            ("give_up_seconds", self.give_up_seconds),
            ("lease_seconds", self.lease_seconds),
            ("caps.hours", self.caps.hours),
        ] {
            if value == 0 {
                return Err(Error::Wrong(format!("responders.{key} is `0`, expected at least 1")));
            }
        }
        self.tell.check()?;
        if let Some(level) = self.four_eyes.iter().find(|level| !level.restricts()) {
            let problem = format!("responders.four_eyes names `{level}`, which restricts nobody and needs no approval");
            return Err(Error::Wrong(problem));
        }
        Ok(())
    }
}
