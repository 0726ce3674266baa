//! A change of an action's state: what the journal says, as far as others are told.

use fleet::{EventTime, Level, Mode, State};
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use super::outgoing::Kind;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The journal's number of the entry: the same whoever reads it.
    pub seq: u64,
    pub at: EventTime,
    pub action_id: String,
    pub incident_id: String,
    pub finding_id: String,
    pub device_id: SmolStr,
    pub device_type: SmolStr,
    pub level: Level,
    pub from: Option<State>,
    pub to: State,
    /// Empty where none is needed.
    pub gateway: SmolStr,
    pub playbook: SmolStr,
    pub mode: Mode,
    pub reason: String,
    /// Whoever did it: a person, or the part of the program.
    pub by: SmolStr,
    pub expires_at: Option<EventTime>,
}

impl Change {
    /// `from-to`, `none` before the first.
    pub fn transition(&self) -> String {
        format!("{}-{}", self.from.map_or("none", State::name), self.to)
    }

    /// Whether the device keeps talking although the gateway says that it is done.
    pub fn is_talking(&self) -> bool {
        self.from == Some(self.to)
    }

    /// Whether the way leads back: what was done is taken from the device.
    pub fn is_undoing(&self) -> bool {
        matches!(self.to, State::Releasing | State::Released) || self.from == Some(State::Releasing)
    }

    /// What it is told as.
    pub fn kind(&self) -> Kind {
        match (self.level, self.to) {
            (Level::Notify, State::Approved) => Kind::Notify,
            (Level::Ticket, State::Approved) => Kind::Ticket,
            _ if self.is_step() => Kind::Step,
            _ => Kind::Action,
        }
    }

    /// Whether it is on the way only: the next change says how it went. That somebody else undid it is no such step.
    fn is_step(&self) -> bool {
        match self.to {
            State::Applying => self.from != Some(State::Verified),
            State::Releasing => true,
            State::Proposed | State::Approved => self.mode == Mode::Auto,
            _ => false,
        }
    }
}
