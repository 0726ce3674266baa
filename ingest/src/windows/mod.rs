//! Event-time windows: from a lane's log to its ticks. Pure: no clock, no I/O.
//!
//! * [`lane`]: the lane itself, what may close and when, and from where to resume
//! * [`marks`]: how far each source is complete, and the least of it
//! * [`facts`]: what else changes results, until it comes into force
//! * [`memory`]: what a lane remembers beyond the position to resume from
//! * [`open`]: the open windows of all devices
//! * [`builder`]: one device's open window; [`contacts`] (with its [`index`]), [`speech`] and [`topics`] are its parts
//! * [`features`]: from an open window to its features
//! * [`sketch`]: distinct counts, a histogram and an exact sum in a few hundred bytes

mod builder;
mod contacts;
mod facts;
mod features;
mod index;
mod lane;
mod marks;
mod memory;
mod open;
mod sketch;
mod speech;
mod topics;

pub use lane::{LONGEST_EMPTY_STRETCH, Lane, LaneCounters};
pub use marks::SourceClock;
pub use memory::LaneMemory;
