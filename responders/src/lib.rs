//! Findings become actions: decided by playbooks, held within guard-rails, applied through the gateway that can, verified,
//! recorded, undone.
//!
//! * [`playbook`]: what is done about which findings
//! * [`gateways`]: who can keep a device from the network
//! * [`tell`]: people and SIEMs
//! * [`rights`], [`api`]: who may look, approve, release
//! * [`config`]: the policy and its caps
//! * [`observe`]: the responder
//! * [`secret`]: where passwords and keys are read from
//! * [`tls`]: for whatever is connected to
//! * [`error`]: what can be wrong

pub mod api;
pub mod config;
pub mod error;
pub mod gateways;
pub mod observe;
pub mod playbook;
pub mod rights;
pub mod secret;
pub mod tell;
pub mod tls;

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
