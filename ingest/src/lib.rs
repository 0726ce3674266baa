//! Bytes to closed windows: everything between a file (or a topic) and a `Tick`.
//!
//! * [`source`]: where readings come from; [`FileSource`] reads one file
//! * [`lines`]: lines of a plain, gzip or zstd file, told apart by content
//! * [`decode`]: one line to one reading, or the reason why not
//! * [`identity`]: whose a reading is: inventory, leases, unknown devices, and which lane a cohort belongs to
//! * [`windows`]: a lane's log to its ticks
//! * [`config`], [`error`], [`metrics`]: the room's settings, failures and counts
//! * [`log`]: what a router writes for lanes, as the bytes of the readings topic
//! * [`kafka`]: where live records come from (librdkafka, feature `kafka`)

pub mod config;
pub mod decode;
pub mod error;
pub mod identity;
pub mod kafka;
pub mod lines;
pub mod log;
pub mod metrics;
pub mod source;
pub mod windows;

pub use config::Config;
pub use decode::{Decoder, Format, RejectReason, Rejected, Tally, to_native_json};
pub use error::Error;
pub use identity::{Inventory, LaneTable, Router, RouterCounters, Routes};
pub use kafka::config::SourceConfig;
pub use source::{Fetched, FileSource, Source};
pub use windows::{Lane, LaneCounters, SourceClock};
