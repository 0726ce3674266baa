//! Actions: what was done about an incident, or would have been.

use std::collections::BTreeMap;
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
        use State::{
            Applied, Applying, Approved, Denied, Expired, Failed, Proposed, Refused, Released, Releasing, Verified,
        };
        match self {
            Proposed => matches!(next, Approved | Denied | Refused | Expired),
            Approved => matches!(next, Applying | Refused | Expired | Denied),
            Applying => matches!(next, Applied | Failed | Refused | Releasing),
            Applied => matches!(next, Verified | Applying | Failed | Releasing),
            // Somebody else undid it: it is applied again.
            Verified => matches!(next, Applying | Releasing),
            Releasing => matches!(next, Released | Failed),
            // What could not be taken back is tried again when somebody asks for it; and a call of a process that is no more may
            // come through after the end.
            Failed | Released => matches!(next, Releasing),
            Denied | Refused | Expired => false,
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

/// One thing that happened to an action; the last of an action says where it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Action {
    pub action_id: String,
    /// Of the entry in the journal.
    pub seq: u64,
    /// By the clock of who wrote it; in a replay, event time.
    pub at: EventTime,
    pub state: State,
    /// Empty when the state changed; else what was noted while it stayed: `quiet`, `talking`, `attempt` and the like.
    pub note: SmolStr,
    pub incident_id: String,
    pub finding_id: String,
    pub device_id: SmolStr,
    pub device_type: SmolStr,
    pub level: Level,
    pub mode: Mode,
    /// Empty where nobody has to be asked.
    pub gateway: SmolStr,
    pub playbook: SmolStr,
    /// `policy`, `loop`, or who said so.
    pub by: SmolStr,
    /// Why, or why not.
    pub reason: String,
    /// Event time of the finding that led to it.
    pub decided_at: EventTime,
    /// When it ends by itself.
    pub until: Option<EventTime>,
}

impl Action {
    /// Whether its device was, or in a dry run would have been, restricted.
    pub fn was_meant(&self) -> bool {
        match self.state {
            State::Proposed => self.mode == Mode::Observe,
            State::Denied | State::Refused | State::Expired | State::Approved => false,
            State::Applying | State::Applied | State::Verified | State::Releasing | State::Released => true,
            State::Failed => self.until.is_some(),
        }
    }

    /// In few words.
    pub fn outcome(&self) -> &'static str {
        match (self.state, self.mode) {
            (State::Proposed, Mode::Observe) => "would act",
            (state, _) => state.name(),
        }
    }
}

/// Where each action is: the last row of each, in the order of the rows.
pub fn latest(rows: &[Action]) -> Vec<Action> {
    let mut last: BTreeMap<&str, u64> = BTreeMap::new();
    for row in rows {
        let seq = last.entry(&row.action_id).or_default();
        *seq = (*seq).max(row.seq);
    }
    rows.iter().filter(|row| last.get(row.action_id.as_str()) == Some(&row.seq)).cloned().collect()
}
