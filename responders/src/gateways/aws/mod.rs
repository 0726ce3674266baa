//! AWS IoT Core: a thing is put into a quarantine group, its certificates are made inactive, its connection is cut.
//!
//! * [`call`]: one signed request
//! * [`registry`]: what is asked of AWS
//! * [`mark`]: what is ours, kept at the thing itself
//! * [`group`], [`certificates`], [`session`]: the levels `quarantine`, `disable` and `terminate-session`
//!
//! What is ours is told from others' by the thing's attribute `vedette`. It is written before anything else is, with the
//! registry's version against a second writer, and taken away after everything else: a crash anywhere between leaves a mark
//! that says which action was at it, and, since only certificates that were active are in it, what it may take back.

mod call;
mod certificates;
mod group;
mod mark;
mod registry;
mod session;

use fleet::Level;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use super::{Ability, About, Applied, Failure, Found, Gateway, Key, Order, Own, Permit, Repeat, Undone, own_names};
use crate::config::time_limit;
use crate::error::Error;
use crate::tls::TlsConfig;
use fleet::Secret;
use registry::Registry;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AwsConfig {
    pub region: String,
    /// The thing group that quarantines: a policy that denies is attached to it, or it restricts nothing.
    pub group: String,
    pub access_key_id: Secret,
    pub secret_access_key: Secret,
    #[serde(default)]
    pub session_token: Option<Secret>,
    /// Where the control plane is; AWS's own place when left out.
    #[serde(default)]
    pub endpoint: Option<String>,
    /// Where the data plane is; AWS is asked when left out.
    #[serde(default)]
    pub data_endpoint: Option<String>,
    /// Principals are attached to their things exclusively. Otherwise a group's policies bind only clients whose id is the
    /// thing's name, and no other client is quarantined.
    #[serde(default)]
    pub exclusive_things: bool,
    #[serde(default)]
    pub tls: TlsConfig,
    #[serde(default = "time_limit_seconds")]
    pub time_limit_seconds: u64,
    #[serde(default)]
    pub own: Own,
}

fn time_limit_seconds() -> u64 {
    15
}

pub struct AwsGateway {
    about: About,
    registry: Registry,
    group: String,
    exclusive_things: bool,
}

impl AwsGateway {
    /// # Errors
    /// An endpoint that is no URL, a time limit out of bounds, certificates or secrets that cannot be read.
    pub fn new(name: impl Into<SmolStr>, config: &AwsConfig) -> Result<AwsGateway, Error> {
        let name = name.into();
        let about = About {
            product: "aws-iot".into(),
            abilities: abilities(),
            time_limit: time_limit(&name, "time_limit_seconds", config.time_limit_seconds)?,
            own: own_names(&config.own),
            name,
        };
        let (group, exclusive_things) = (config.group.clone(), config.exclusive_things);
        Ok(AwsGateway { about, registry: Registry::new(config)?, group, exclusive_things })
    }
}

fn abilities() -> Vec<Ability> {
    let of = |level, key, can_be_undone, repeat| Ability {
        level,
        keys: vec![key],
        cuts_sessions: true,
        ends_by_itself: false,
        can_be_undone,
        repeat,
        witness: super::Witness::Messages,
    };
    vec![
        of(Level::TerminateSession, Key::ClientId, false, Repeat::Error),
        of(Level::Quarantine, Key::Thing, true, Repeat::Harmless),
        of(Level::Disable, Key::Thing, true, Repeat::Harmless),
    ]
}

impl Gateway for AwsGateway {
    fn about(&self) -> &About {
        &self.about
    }

    fn apply(&mut self, permit: &Permit, order: &Order) -> Result<Applied, Failure> {
        match order.level {
            Level::TerminateSession => session::apply(&mut self.registry, permit, order),
            Level::Quarantine => group::apply(&mut self.registry, &self.group, self.exclusive_things, permit, order),
            Level::Disable => certificates::apply(&mut self.registry, permit, order),
            other => Err(cannot(other)),
        }
    }

    fn read_back(&mut self, permit: &Permit, order: &Order) -> Result<Found, Failure> {
        match order.level {
            Level::TerminateSession => session::read_back(&mut self.registry, permit, order),
            Level::Quarantine => group::read_back(&self.registry, &self.group, permit, order),
            Level::Disable => certificates::read_back(&self.registry, permit, order),
            other => Err(cannot(other)),
        }
    }

    fn undo(&mut self, permit: &Permit, order: &Order) -> Result<Undone, Failure> {
        match order.level {
            // It may have come back long ago.
            Level::TerminateSession => Ok(Undone::Already),
            Level::Quarantine => group::undo(&self.registry, &self.group, permit, order),
            Level::Disable => certificates::undo(&self.registry, permit, order),
            other => Err(cannot(other)),
        }
    }

    /// Also whether the group restricts anything.
    fn probe(&mut self, permit: &Permit) -> Result<(), Failure> {
        group::must_deny(&self.registry, &self.group, permit)
    }
}

fn cannot(level: Level) -> Failure {
    Failure::refused(format!("AWS IoT cannot `{level}`, expected terminate-session, quarantine or disable"))
}
