//! The journal: every decision, transition, command and call, appended and never changed. Folding it gives what is open
//! ([`crate::book`]), and it is the audit trail as well: each entry holds the hash of the one before.
//!
//! * [`entry`]: what an entry says; [`verdict`]: what people said of incidents, and what that kept back
//! * [`chain`]: lines, hashes, and what is wrong with a journal somebody else kept
//! * [`sign`]: signatures over the chain's head
//! * [`file`]: its home in a file
//!
//! Its other home, a Kafka topic of one partition, is the front door's.

pub mod chain;
pub mod entry;
pub mod file;
pub mod sign;
pub mod verdict;

pub use chain::Chain;
pub use entry::{Body, Entry};

use thiserror::Error;

/// Where entries go.
pub trait Journal: Send {
    /// All of the lines or none; they are durable when it returns.
    fn append(&mut self, lines: &[String]) -> Result<(), JournalError>;
}

#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum JournalError {
    /// Another process has taken over: nothing may be written or sent any more.
    #[error("another process keeps the journal now: {0}")]
    Lost(String),
    /// Nothing was written; the same may work later.
    #[error("the journal does not take entries: {0}")]
    Later(String),
    /// What is there is no journal of ours, or was changed.
    #[error("{0}")]
    Broken(String),
}
