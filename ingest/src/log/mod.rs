//! The readings topic: what a router writes for lanes, as bytes.
//!
//! * [`wire`]: entries to messages and back, versioned
//! * [`members`]: which devices a lane has
//! * [`intern`]: device ids to a lane's own dense keys

mod intern;
mod members;
mod wire;

pub use intern::Intern;
pub use members::Members;
pub use wire::{BatchDraft, DeviceRecord, LoggedFact, LoggedMark, Message, RejectedRecord, WireError, encode};
