//! Telling people and SIEMs: OCSF events, syslog, webhooks; one message an incident and change, never one a window.
//!
//! * [`teller`]: what is told, and to which sink; pure
//! * [`ocsf`]: the events; pure
//! * [`outbox`]: a thread and a queue for each sink, so that a dead one holds nothing up
//! * [`sinks`]: file, syslog, webhook, and [`templated`] ones for chats and tickets
//! * [`config`]: who is told

pub mod change;
pub mod config;
mod http;
pub mod ocsf;
pub mod outbox;
pub mod outgoing;
pub mod sinks;
pub mod teller;
pub mod templated;

use std::collections::BTreeMap;

use smol_str::SmolStr;

pub use change::Change;
pub use config::{SinkConfig, TellConfig};
pub use ocsf::{Reporter, Verdict};
pub use outbox::Outbox;
pub use outgoing::{Kind, Outgoing, Sink};
pub use teller::{Addressed, Teller};

/// What a device is known by, as far as anybody knows.
pub type Names = BTreeMap<crate::gateways::Key, SmolStr>;
