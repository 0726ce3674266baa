//! Findings become actions: decided by playbooks, held within guard-rails, applied through the gateway that can, verified,
//! recorded, undone.
//!
//! * [`journal`], [`book`]: what was decided and done, appended; and what it comes to
//! * [`engine`]: what is to be done next
//! * [`respond`], [`send`]: the loop that runs it, and the one place that sends
//! * [`playbook`]: what is done about which findings
//! * [`gateways`]: who can keep a device from the network
//! * [`tell`]: people and SIEMs
//! * [`evidence`]: all about one incident in one signed file
//! * [`rights`], [`api`]: who may look, approve, release
//! * [`config`]: the policy and its caps
//! * [`tls`]: for whatever is connected to; [`rest`], [`signature`]: for whatever is asked, or told, by HTTP
//! * [`error`]: what can be wrong

pub mod api;
pub mod book;
mod bytes;
pub mod config;
pub mod engine;
pub mod error;
pub mod evidence;
pub mod gateways;
pub mod journal;
pub mod playbook;
pub mod respond;
pub mod rest;
pub mod rights;
pub mod send;
pub mod signature;
pub mod tell;
pub mod tls;

pub use config::Config;
pub use error::Error;
