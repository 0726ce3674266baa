//! The readings topic: what a router writes for lanes, as bytes.
//!
//! * [`wire`]: entries to messages and back, versioned
//! * [`intern`]: device ids to a lane's own dense keys

mod intern;
mod wire;

pub use intern::Intern;
pub use wire::{BatchDraft, DeviceRecord, LoggedFact, LoggedMark, Message, RejectedRecord, WireError, encode};
