//! What can go wrong before judging begins, or goes on. Judging itself cannot fail.

use thiserror::Error;

#[derive(Debug, Error)]
pub enum Error {
    #[error(
        "the alert budget is `{value}`, expected more than 0 and at most 1000 false findings per 1,000 device-days"
    )]
    Budget { value: f64 },
    #[error("detect.{name} is `{value}`, expected {expected}")]
    Count { name: &'static str, value: usize, expected: String },
    #[error("detect.{name} is `{value}`, expected a share above 0 and at most 1")]
    Share { name: &'static str, value: f64 },
    #[error("a forest for type `{device_type}` cannot be fitted: {source}; check detect.trees and detect.sample_size")]
    Forest { device_type: String, source: crate::forest::ForestError },
    #[error("the policy rules cannot be read: {0}")]
    Rules(String),
    #[error(transparent)]
    Memory(#[from] fleet::memory::Unreadable),
    #[error("the lane was judged by baseline version `{expected}`, and version `{given}` was given: load that one")]
    OtherBaselines { expected: u32, given: u32 },
    #[error(
        "the lane's memory has books for `{remembered}` budgets, the configuration has `{configured}`: expected the same \
         number of detect.curve_budgets as before, or start the lane over from the log"
    )]
    OtherBudgets { remembered: usize, configured: usize },
    #[error(
        "the lane's memory is of the detectors `{remembered}`, this program has others; start the lane over from the log"
    )]
    OtherDetectors { remembered: String },
    #[error("the joiner's memory is of `{remembered}` lanes, expected `{configured}`; start over from the log")]
    OtherLanes { remembered: usize, configured: usize },
}

impl Error {
    pub fn retry(&self) -> bool {
        false
    }
}
