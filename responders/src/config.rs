//! The policy: how much is done without being asked, what is never touched, and how many at most.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fleet::{Level, Mode};
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::error::Error;
use crate::tell::TellConfig;

/// Whoever takes over from a process that was killed waits for as long.
const LEASE_SECONDS: RangeInclusive<u64> = 1..=60;
/// Of one call to a gateway; what a dead process sent may come through for as long.
const TIME_LIMIT_SECONDS: RangeInclusive<u64> = 1..=120;

fn within(key: &str, value: u64, bounds: RangeInclusive<u64>) -> Result<(), Error> {
    if bounds.contains(&value) {
        return Ok(());
    }
    Err(Error::Wrong(format!("{key} is `{value}`, expected {} to {}", bounds.start(), bounds.end())))
}

/// How long a call to a gateway may take, as its configuration says under `key`.
///
/// # Errors
/// No time at all, or more than anybody waits for.
pub(crate) fn time_limit(gateway: &str, key: &str, seconds: u64) -> Result<Duration, Error> {
    within(&format!("gateway `{gateway}`: `{key}`"), seconds, TIME_LIMIT_SECONDS)?;
    Ok(Duration::from_secs(seconds))
}

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
    /// waits so long and a quarter more. The same in all processes; a minute at most.
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
    /// Through one gateway; its share is one of all devices.
    pub gateway_devices: u32,
    pub gateway_share: f64,
    /// Of all devices, in one hour.
    pub hour_devices: u32,
    pub hour_share: f64,
    /// Of all devices. However small the fleet is, no count lifts this one; one device is always let through.
    pub fleet_share: f64,
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
            gateway_share: 0.0,
            hour_devices: 10,
            hour_share: 0.01,
            fleet_share: 0.25,
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
            ("gateway_share", self.caps.gateway_share),
            ("hour_share", self.caps.hour_share),
            ("fleet_share", self.caps.fleet_share),
        ] {
            if !(0.0..=1.0).contains(&value) {
                return Err(Error::Share { key, value });
            }
        }
        for (key, value) in [
            ("quiet_windows", self.quiet_windows),
            ("recheck_seconds", self.recheck_seconds),
            ("give_up_seconds", self.give_up_seconds),
            ("caps.hours", self.caps.hours),
        ] {
            if value == 0 {
                return Err(Error::Wrong(format!("responders.{key} is `0`, expected at least 1")));
            }
        }
        within("responders.lease_seconds", self.lease_seconds.into(), LEASE_SECONDS)?;
        self.tell.check()?;
        if let Some(level) = self.four_eyes.iter().find(|level| !level.restricts()) {
            let problem = format!("responders.four_eyes names `{level}`, which restricts nobody and needs no approval");
            return Err(Error::Wrong(problem));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_gateway_has_the_same_bounds_of_its_time_limit() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("secret"), "a secret that nobody guesses").unwrap();
        let secret = format!("{{ file = '{}' }}", folder.path().join("secret").display());
        let ability = "{ level = 'quarantine', keys = ['mac'] }";
        for (kind, rest) in [
            ("openc2", "url = 'https://a.example'".to_owned()),
            ("radius", format!("server = 'a:1812'\nsecret = {secret}")),
            ("nftables", String::new()),
            ("mosquitto", format!("url = 'mqtts://a.example'\nusername = 'v'\npassword = {secret}")),
            ("webhook", format!("url = 'https://a.example'\nsecret = {secret}\nabilities = [{ability}]")),
            ("aws-iot", format!("region = 'r'\ngroup = 'g'\naccess_key_id = {secret}\nsecret_access_key = {secret}")),
            (
                "http",
                format!(
                    "product = 'unifi'\nurl = 'https://a.example'\nsecrets = {{ user = {secret}, password = {secret} }}"
                ),
            ),
        ] {
            let key = if kind == "http" { "time_limit" } else { "time_limit_seconds" };
            for (seconds, is_right) in [(0, false), (1, true), (120, true), (121, false)] {
                let text = format!("kind = '{kind}'\n{key} = {seconds}\n{rest}");
                let gateway: crate::gateways::config::GatewayConfig = toml::from_str(&text).unwrap();
                let opened = gateway.open("gw", |_| unreachable!("there is no Kafka here"));
                match opened.err().map(|error| error.to_string()) {
                    None => assert!(is_right, "{kind} takes {seconds}"),
                    Some(problem) => {
                        let expected = format!("gateway `gw`: `{key}` is `{seconds}`, expected 1 to 120");
                        assert_eq!((problem, is_right), (expected, false), "{kind}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_lease_and_a_time_limit_have_bounds() {
        let check = |lease_seconds| Config { lease_seconds, ..Config::default() }.check();
        for (lease, is_right) in [(0, false), (1, true), (60, true), (61, false), (4_000_000, false)] {
            assert_eq!(check(lease).is_ok(), is_right, "{lease}");
        }
        let problem = check(61).unwrap_err().to_string();
        assert_eq!(problem, "responders.lease_seconds is `61`, expected 1 to 60");
        let limit = |seconds| time_limit("gw", "time_limit_seconds", seconds);
        assert_eq!((limit(1), limit(120)), (Ok(Duration::from_secs(1)), Ok(Duration::from_secs(120))));
        for seconds in [0, 121, u64::MAX] {
            let problem = limit(seconds).unwrap_err().to_string();
            assert_eq!(problem, format!("gateway `gw`: `time_limit_seconds` is `{seconds}`, expected 1 to 120"));
        }
    }
}
