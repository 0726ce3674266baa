//! Labelled data sets: files with labels in, readings in order of event time out; and what a replay of them is worth.
//!
//! * [`DataSet`]: a TOML file, the files it names, their labels and the split into learning and judging
//! * [`descriptor`]: the TOML file
//! * [`labels`]: episodes, from a file or from the labels of records
//! * `source`: the files as one source, merged by event time, moved or sorted where the set says so
//! * [`mapping`]: CSV, JSON lines and Parquet through a user's `select`
//! * [`simulate`]: a simulated fleet
//! * [`scorecard`]: what a replay found, and what it cried out for nothing
//! * [`table`]: labelled feature tables, for judging a detector alone
//! * [`Config`], [`Error`]: the room's limits and failures

mod config;
mod dataset;
pub mod descriptor;
mod error;
pub mod labels;
pub mod mapping;
pub mod scorecard;
pub mod simulate;
mod source;
pub mod table;

pub use config::Config;
pub use dataset::{DataSet, Departure, FileEntry, Split};
pub use error::Error;
pub use labels::Episode;
