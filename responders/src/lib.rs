//! Findings become decisions. In this version one responder exists: it observes, that is, it says what it would do and
//! why or why not, and reaches nothing.
//!
//! * [`config`]: the policy and its caps
//! * [`observe`]: the responder
//! * [`error`]: what can be wrong with a policy

pub mod config;
pub mod error;
pub mod observe;

pub use config::Config;
pub use error::Error;
pub use observe::Observer;

use fleet::{Action, Device, Finding};

/// Turns a finding into a decision. `device` is what the inventory says of it now; `None` for group findings.
pub trait Responder {
    fn respond(&mut self, finding: &Finding, device: Option<&Device>) -> Option<Action>;

    /// All that later decisions hang on, as bytes: equal states give equal ones.
    fn memory(&self) -> Vec<u8>;

    /// Takes the place of everything remembered so far; the policy stays. With an error nothing has changed.
    fn recall(&mut self, memory: &[u8]) -> Result<(), Error>;
}
