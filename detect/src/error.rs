//! What can go wrong before judging begins. Judging itself cannot fail.

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
}

impl Error {
    pub fn retry(&self) -> bool {
        false
    }
}
