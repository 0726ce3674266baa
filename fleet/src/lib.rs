//! The nouns every room speaks: no I/O but for a secret that is asked for, no clock, no async.
//!
//! * [`time`]: event time, microseconds since the Unix epoch, UTC
//! * [`address`]: MAC addresses, and what kind of place an IP address is
//! * [`reading`]: one thing one device did or reported at one event time
//! * [`device`]: what the inventory says of a device; its cohort
//! * [`feature`]: the table of a window's features
//! * [`window`]: one device, one closed interval, its features and contacts
//! * [`log`]: what a lane reads (batches, marks, facts) and gives (ticks, the position to resume from)
//! * [`finding`]: a device or group that departed from its baseline, with reasons
//! * [`action`]: what was, or would have been, done about it
//! * [`sighting`]: what was seen of a device while an action restricts it
//! * [`id`]: stable ids
//! * [`memory`]: what a stage remembers, as bytes
//! * [`secret`]: where a secret of the configuration is

pub mod action;
pub mod address;
pub mod device;
pub mod feature;
pub mod finding;
pub mod id;
pub mod log;
pub mod memory;
pub mod reading;
pub mod secret;
pub mod sighting;
pub mod time;
pub mod window;

pub use action::{Action, Level, Mode, State};
pub use address::{Mac, Place, place};
pub use device::{Cohort, Criticality, Device, DeviceKey, Profile};
pub use feature::{FEATURES, Feature};
pub use finding::{Confidence, Finding, FindingKind, Incident, Reason, Scope, Severity};
pub use log::{Batch, Entry, Fact, Mark, Resume, Tick, Versions};
pub use reading::{Identity, Kind, Owner, Position, Reading, Role, Routed};
pub use secret::Secret;
pub use sighting::Sighting;
pub use time::{EventTime, MICROS_PER_SECOND};
pub use window::{Contact, Direction, Service, Window};
