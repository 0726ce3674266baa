//! Gateways: who can keep a device from the network, or from its broker, and how each is asked.
//!
//! A gateway is four calls: apply, read back, undo, probe. What it can do, by which of a device's names, and how it answers
//! when it is asked twice is declared ([`About`]), so that the loop knows what to expect before it sends anything. Calls
//! block, within the gateway's time limit; each gateway has threads of its own, one or as many as it takes calls at once.

pub mod addresses;
pub mod aws;
pub mod clock;
pub mod config;
pub mod http;
pub mod mosquitto;
pub mod names;
pub mod nftables;
pub mod openc2;
pub mod radius;
pub mod recording;
pub mod topic;
pub mod webhook;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use fleet::{EventTime, Level};
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

/// What a gateway knows a device by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Key {
    /// MQTT client id.
    ClientId,
    /// What it signs in with.
    Username,
    Mac,
    /// IPv4 or IPv6 address.
    Ip,
    /// Fingerprint or id of its certificate.
    Certificate,
    /// Its name in a registry: thing, device id, pod.
    Thing,
}

impl Key {
    pub const ALL: [Key; 6] = [Key::ClientId, Key::Username, Key::Mac, Key::Ip, Key::Certificate, Key::Thing];

    pub fn name(self) -> &'static str {
        match self {
            Key::ClientId => "client_id",
            Key::Username => "username",
            Key::Mac => "mac",
            Key::Ip => "ip",
            Key::Certificate => "certificate",
            Key::Thing => "thing",
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(self.name())
    }
}

/// Names that are never a target, as configurations write them: `own = { ip = ["10.0.0.1"] }`.
pub type Own = BTreeMap<Key, Vec<SmolStr>>;

/// As [`About::own`] has them.
pub fn own_names(own: &Own) -> Vec<(Key, SmolStr)> {
    own.iter().flat_map(|(key, names)| names.iter().map(|name| (*key, name.clone()))).collect()
}

/// What comes of asking for the same again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Repeat {
    /// Nothing, and it says so.
    Harmless,
    /// An error that means it is done.
    Error,
    /// A second entry: it has to be looked for first.
    Duplicate,
}

/// One thing a gateway can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ability {
    pub level: Level,
    /// Names of the device it needs, all of them.
    pub keys: Vec<Key>,
    /// Whether connections that stand are cut too.
    pub cuts_sessions: bool,
    /// Whether it ends by itself at [`Order::until`].
    pub ends_by_itself: bool,
    /// Whether it leaves something that undo takes back; an ended session does not.
    pub can_be_undone: bool,
    pub repeat: Repeat,
    pub witness: Witness,
}

/// By what telemetry tells whether a device that is silenced is silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Witness {
    /// What it says to a broker: who is shut out there may go on in the network.
    Messages,
    /// Flows that carried something there and back, and messages too.
    Traffic,
}

impl Witness {
    /// Where nothing else is said: names that brokers know are theirs.
    pub fn of(keys: &[Key]) -> Witness {
        let is_brokers = |key: &Key| matches!(key, Key::ClientId | Key::Username | Key::Thing | Key::Certificate);
        if keys.iter().any(is_brokers) { Witness::Messages } else { Witness::Traffic }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// As the configuration calls it.
    pub name: SmolStr,
    pub product: SmolStr,
    pub abilities: Vec<Ability>,
    /// How long one call may take, all its requests together.
    pub time_limit: Duration,
    /// Names of the gateway itself, of the brokers' bridges, of this machine: never a target.
    pub own: Vec<(Key, SmolStr)>,
}

impl About {
    pub fn ability(&self, level: Level) -> Option<&Ability> {
        self.abilities.iter().find(|ability| ability.level == level)
    }
}

/// What is asked for: all that a gateway may know of an action.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Order {
    /// Stable: the same in every try and after every restart.
    pub action_id: String,
    pub incident_id: String,
    pub device_id: SmolStr,
    pub level: Level,
    /// What the device is known by at this moment.
    pub names: BTreeMap<Key, SmolStr>,
    /// Its addresses beside the one in `names`: a device with IPv4 and IPv6 has two ways out. See [`addresses`].
    #[serde(default)]
    pub further: Vec<SmolStr>,
    /// When it ends; gateways with a native time-out are told.
    pub until: Option<EventTime>,
    /// For people who look at the gateway: ASCII, at most 128 characters, begins with `vedette `.
    pub note: String,
    /// What [`Gateway::apply`] gave; nothing before.
    #[serde(default)]
    pub receipt: Option<serde_json::Value>,
}

impl Order {
    /// # Errors
    /// The device has no such name.
    pub fn name(&self, key: Key) -> Result<&str, Failure> {
        let name = self.names.get(&key).map(SmolStr::as_str);
        name.ok_or_else(|| {
            Failure::refused(format!("device `{}` has no {key}; add it to the inventory", self.device_id))
        })
    }

    /// Who has set something on a gateway, where it can keep a word: ours is told from others' by it.
    pub fn mark(&self) -> String {
        format!("vedette:{}", self.action_id)
    }
}

/// The gateway took it. That says nothing of whether it holds: it is read back.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Applied {
    /// What undo and reading back need to know, such as a rule's number. No secrets: it is written to the journal.
    pub receipt: Option<serde_json::Value>,
    /// It was in force already, by us.
    pub already: bool,
}

/// What reading back found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Found {
    /// As ordered, and ours, or told from nobody's.
    InForce,
    /// For some of the device's addresses, and for others not; or ours, and not as ordered.
    Partly,
    Absent,
    /// The device is restricted, by somebody else: that is never taken back.
    Foreign {
        by: String,
    },
    /// It has no way of telling what it holds (RADIUS, OpenC2): only the device's telemetry can.
    Unknown,
}

/// What undoing did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Undone {
    Done,
    /// It was gone already.
    Already,
    /// Somebody else's stands there: it was left.
    Foreign {
        by: String,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// Nobody answers, or it is broken for now.
    Unreachable,
    /// It asks for patience.
    Busy,
    /// It will never do this.
    Refused,
    /// Our sign-in is not good enough.
    Unauthorised,
    /// Somebody else changed it meanwhile: decide anew.
    Conflict,
}

/// Why a call did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    pub kind: FailureKind,
    /// What the gateway said, with the value it did not like; no secrets.
    pub message: String,
    /// How long it asked to be left alone.
    pub retry_after: Option<Duration>,
}

impl Failure {
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Failure {
        Failure { kind, message: message.into(), retry_after: None }
    }

    pub fn unreachable(message: impl Into<String>) -> Failure {
        Failure::new(FailureKind::Unreachable, message)
    }

    pub fn refused(message: impl Into<String>) -> Failure {
        Failure::new(FailureKind::Refused, message)
    }

    pub fn busy(message: impl Into<String>, retry_after: Option<Duration>) -> Failure {
        Failure { retry_after, ..Failure::new(FailureKind::Busy, message) }
    }

    /// Whether the same may work later, without anybody doing anything.
    pub fn retry(&self) -> bool {
        matches!(self.kind, FailureKind::Unreachable | FailureKind::Busy | FailureKind::Conflict)
    }
}

/// Who can keep a device from the network. All calls are safe to repeat after a crash in their midst; where the product is
/// not, the implementation looks first.
pub trait Gateway: Send {
    fn about(&self) -> &About;

    fn apply(&mut self, permit: &Permit, order: &Order) -> Result<Applied, Failure>;

    /// Whether it holds. Never changes anything.
    fn read_back(&mut self, permit: &Permit, order: &Order) -> Result<Found, Failure>;

    /// Takes back what [`Gateway::apply`] set, and nothing else.
    fn undo(&mut self, permit: &Permit, order: &Order) -> Result<Undone, Failure>;

    /// Whether it answers and lets us in. Never changes anything.
    fn probe(&mut self, permit: &Permit) -> Result<(), Failure>;

    /// Further connectors to the same, for calls at the same time as this one's, each about another device. None where the
    /// product's rate limit, its sessions, or what it changes by reading it first let one call through at a time.
    fn beside(&self) -> Vec<Box<dyn Gateway>> {
        Vec::new()
    }
}

/// Calls at the same time that a gateway may be configured for.
const MOST_WORKERS: u32 = 16;

/// # Errors
/// None, or more than anybody needs.
fn check_workers(gateway: &str, workers: u32) -> Result<(), crate::Error> {
    if (1..=MOST_WORKERS).contains(&workers) {
        return Ok(());
    }
    let expected = format!("expected 1 to {MOST_WORKERS} calls at the same time");
    Err(crate::Error::Wrong(format!("gateway `{gateway}`: `workers` is `{workers}`, {expected}")))
}

/// A moment by [`crate::send::boot_time`]: a process, or a machine, that slept beyond it sends nothing any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Duration);

impl Deadline {
    pub fn after(time: Duration) -> Deadline {
        Deadline(crate::send::boot_time() + time)
    }

    pub fn left(self) -> Duration {
        self.0.saturating_sub(crate::send::boot_time())
    }
}

/// The right to send, for a short while. Only [`crate::send`] gives it: whoever holds one has been let through by mode, stop
/// and lease.
#[derive(Debug)]
pub struct Permit {
    /// Nothing is sent after.
    deadline: Deadline,
}

impl Permit {
    pub(crate) fn until(deadline: Duration) -> Permit {
        Permit { deadline: Deadline(deadline) }
    }

    /// For tests of gateways alone, which have no loop around them; a test of the house holds everybody else off.
    #[doc(hidden)]
    pub fn for_tests() -> Permit {
        Permit::until(crate::send::boot_time() + Duration::from_secs(60))
    }

    /// What is left of it: the time limit of the next request.
    ///
    /// # Errors
    /// Nothing is left.
    pub fn left(&self) -> Result<Duration, Failure> {
        let left = self.deadline.left();
        if left.is_zero() {
            return Err(Failure::unreachable("the time for this call is over"));
        }
        Ok(left)
    }

    /// The end of a call that may take so long.
    ///
    /// # Errors
    /// Nothing is left.
    pub fn deadline(&self, limit: Duration) -> Result<Deadline, Failure> {
        Ok(Deadline::after(self.left()?.min(limit)))
    }
}
