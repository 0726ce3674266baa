//! Actions: what was done about an incident, or would have been.

use std::fmt;

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::finding::names;
use crate::time::EventTime;

/// How far an action goes, mildest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// Nothing but an entry in the journal.
    Observe,
    /// People and SIEMs are told.
    Notify,
    /// A ticket is opened.
    Ticket,
    /// Less bandwidth or fewer messages.
    Throttle,
    /// The present session ends; the device may come back.
    TerminateSession,
    /// Nothing to or from the internet.
    BlockInternet,
    /// Nothing to or from devices like it.
    BlockPeers,
    /// Nothing at all, or what a quarantine network allows.
    Quarantine,
    /// The identity is switched off where it signs in.
    Disable,
    /// The secret it signs in with is replaced.
    RotateCredentials,
    /// It has to prove again who it is.
    ReEnrol,
}
names!(Level {
    Observe = "observe", Notify = "notify", Ticket = "ticket", Throttle = "throttle",
    TerminateSession = "terminate-session", BlockInternet = "block-internet", BlockPeers = "block-peers",
    Quarantine = "quarantine", Disable = "disable", RotateCredentials = "rotate-credentials", ReEnrol = "re-enrol",
});

impl Level {
    /// Whether the device notices: these are held within guard-rails, sent through a gateway, and undone.
    pub fn restricts(self) -> bool {
        !matches!(self, Level::Observe | Level::Notify | Level::Ticket)
    }

    /// Whether the device is meant to fall silent, so that its telemetry says whether it worked.
    pub fn silences(self) -> bool {
        matches!(self, Level::Quarantine | Level::Disable)
    }
}

/// How much is done without being asked. Of several that apply the least holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Says what it would do and touches nothing.
    #[default]
    Observe,
    /// Asks; no answer means no.
    Approve,
    /// Acts.
    Auto,
}
names!(Mode { Observe = "observe", Approve = "approve", Auto = "auto" });

/// Where an action is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    Proposed,
    Approved,
    Applying,
    Applied,
    Verified,
    Releasing,
    Released,
    /// A person said no.
    Denied,
    /// A guard-rail said no.
    Refused,
    /// The gateway could not, or did not, for as long as it was tried.
    Failed,
    /// Nobody answered in time.
    Expired,
}
names!(State {
    Proposed = "proposed", Approved = "approved", Applying = "applying", Applied = "applied", Verified = "verified",
    Releasing = "releasing", Released = "released", Denied = "denied", Refused = "refused", Failed = "failed",
    Expired = "expired",
});

impl State {
    /// What may follow.
    pub fn may_become(self, next: State) -> bool {
        use State::{Applied, Applying, Approved, Denied, Expired, Failed, Proposed, Refused, Released, Releasing, Verified};
        match self {
            Proposed => matches!(next, Approved | Denied | Refused | Expired),
            Approved => matches!(next, Applying | Refused | Expired | Denied),
            Applying => matches!(next, Applied | Failed | Refused | Releasing),
            Applied => matches!(next, Verified | Applying | Failed | Releasing),
            // Somebody else undid it: it is applied again.
            Verified => matches!(next, Applying | Releasing),
            Releasing => matches!(next, Released | Failed),
            // What could not be taken back is tried again when somebody asks for it.
            Failed => matches!(next, Releasing),
            Released | Denied | Refused | Expired => false,
        }
    }

    /// Whether the gateway may hold something of ours.
    pub fn is_at_gateway(self) -> bool {
        matches!(self, State::Applying | State::Applied | State::Verified | State::Releasing)
    }

    /// Whether nothing comes of it by itself any more.
    pub fn is_final(self) -> bool {
        matches!(self, State::Released | State::Denied | State::Refused | State::Failed | State::Expired)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    WouldAct,
    Refused,
}
names!(Decision { WouldAct = "would_act", Refused = "refused" });

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Action {
    pub action_id: String,
    pub incident_id: String,
    pub finding_id: String,
    pub device_id: SmolStr,
    pub device_type: SmolStr,
    pub level: Level,
    pub mode: Mode,
    pub decision: Decision,
    /// Why, or why not.
    pub reason: String,
    pub decided_at: EventTime,
}
