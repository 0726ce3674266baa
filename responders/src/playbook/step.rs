//! Steps: how far to go, through whom, for how long, and what if it does not work.

use fleet::Level;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use super::Period;

/// Any gateway that has the level and a name of the device.
pub const AUTO: &str = "auto";

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    pub level: Level,
    /// As the configuration calls it, or [`AUTO`].
    #[serde(default = "auto", skip_serializing_if = "is_auto")]
    pub gateway: SmolStr,
    /// How long it lasts; there for every level that lasts ([`lasts`]), and for no other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<Period>,
    /// What happens when the gateway cannot, or did not.
    #[serde(default, skip_serializing_if = "OnFailure::is_default")]
    pub then: OnFailure,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub escalate: Option<Escalation>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub still_talking: Option<StillTalking>,
}

/// What happens when the gateway cannot, or did not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnFailure {
    /// Another gateway that has the level is tried; people are told when none is left. The steps that follow are taken.
    #[default]
    NextGateway,
    /// People are told, and the steps that follow are taken.
    Notify,
    /// People are told, and the steps that follow are not taken.
    Stop,
}

impl OnFailure {
    pub fn name(self) -> &'static str {
        match self {
            OnFailure::NextGateway => "next-gateway",
            OnFailure::Notify => "notify",
            OnFailure::Stop => "stop",
        }
    }

    fn is_default(&self) -> bool {
        *self == OnFailure::default()
    }
}

/// What is done instead when it was done before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Escalation {
    /// So many times before, to the same device and by the same playbook; at least 1.
    pub after: u32,
    /// No longer ago than this.
    pub within: Period,
    /// No milder than the step's own; the same with a longer `ttl`.
    pub level: Level,
    /// The step's own where it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<Period>,
}

/// What is done when telemetry says that the device was not stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StillTalking {
    pub level: Level,
    /// The step's own where it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<Period>,
}

/// Whether the level stays in force until it is taken back. The others happen once, and nothing takes them back.
pub fn lasts(level: Level) -> bool {
    match level {
        Level::Throttle | Level::BlockInternet | Level::BlockPeers | Level::Quarantine | Level::Disable => true,
        Level::Observe
        | Level::Notify
        | Level::Ticket
        | Level::TerminateSession
        | Level::RotateCredentials
        | Level::ReEnrol => false,
    }
}

impl Step {
    pub fn new(level: Level, ttl: Option<Period>) -> Step {
        Step { level, gateway: auto(), ttl, then: OnFailure::default(), escalate: None, still_talking: None }
    }

    pub fn is_auto(&self) -> bool {
        is_auto(&self.gateway)
    }

    /// The step as it is taken when it was taken `earlier` times before, within [`Escalation::within`].
    pub fn after(&self, earlier: u32) -> Step {
        let Some(escalation) = self.escalate.filter(|escalation| earlier >= escalation.after) else {
            return self.clone();
        };
        self.instead(escalation.level, escalation.ttl)
    }

    /// The step that follows when the device still talks; `None` where the playbook has none.
    pub fn when_still_talking(&self) -> Option<Step> {
        self.still_talking.map(|it| Step { still_talking: None, ..self.instead(it.level, it.ttl) })
    }

    /// The levels it may come to, its own first.
    pub fn levels(&self) -> impl Iterator<Item = Level> + use<> {
        let escalated = self.escalate.map(|it| it.level);
        let talking = self.still_talking.map(|it| it.level);
        [Some(self.level), escalated, talking].into_iter().flatten()
    }

    /// Another level may need another gateway, so one that was named holds for the same level only.
    fn instead(&self, level: Level, ttl: Option<Period>) -> Step {
        let gateway = if level == self.level { self.gateway.clone() } else { auto() };
        let ttl = if lasts(level) { ttl.or(self.ttl) } else { None };
        Step { level, gateway, ttl, escalate: None, ..self.clone() }
    }
}

fn auto() -> SmolStr {
    SmolStr::new_static(AUTO)
}

fn is_auto(gateway: &SmolStr) -> bool {
    gateway == AUTO
}
