//! What can be wrong with a policy, or with a memory.

use thiserror::Error;

#[derive(Debug, Error, PartialEq)]
pub enum Error {
    #[error("responders.cap_share is `{value}`, expected a share between 0 and 1")]
    Share { value: f64 },
    #[error(transparent)]
    Memory(#[from] fleet::memory::Unreadable),
}

impl Error {
    pub fn retry(&self) -> bool {
        false
    }
}
