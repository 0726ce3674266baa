//! What can go wrong with a baseline.

use thiserror::Error;

#[derive(Debug, Error)]
pub enum Error {
    #[error(
        "the stored baseline version `{version}` cannot be read: {source}; learn a new one by replaying with this version of vedette"
    )]
    Unreadable { version: u32, source: serde_json::Error },
    #[error(
        "there is nothing to learn from: no window of a known device type in the learning period `{since}` to `{until}`; check the data set's `split.learn_until`"
    )]
    NothingToLearn { since: String, until: String },
    #[error("baseline.{name} is `{value}`, expected {expected}")]
    Config { name: &'static str, value: String, expected: &'static str },
}

impl Error {
    /// None goes away by trying again.
    pub fn retry(&self) -> bool {
        false
    }
}
