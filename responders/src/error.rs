//! What can be wrong with a policy, or with a memory.

use thiserror::Error;

#[derive(Debug, Error, PartialEq)]
pub enum Error {
    #[error("responders.caps.{key} is `{value}`, expected a share between 0 and 1")]
    Share { key: &'static str, value: f64 },
    #[error("TLS: {problem}")]
    Tls { problem: String },
    /// A playbook, a gateway's file or a configuration that cannot be right: says where, and what was expected.
    #[error("{0}")]
    Wrong(String),
    #[error(transparent)]
    Memory(#[from] fleet::memory::Unreadable),
    #[error(transparent)]
    NoSecret(#[from] fleet::secret::NoSecret),
}

impl Error {
    pub fn retry(&self) -> bool {
        false
    }
}
