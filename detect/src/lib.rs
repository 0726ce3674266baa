//! Decisions, not scores: ticks and baselines in, findings that explain themselves out. Pure: no I/O, no clock.
//!
//! * [`judge`]: a lane's judge; what happens to a tick
//! * [`detectors`]: what is looked at, each in a file of its own
//! * [`rules`]: policy rules, SQL predicates over a window
//! * [`forest`]: the isolation forest, on linfa's traits
//! * [`evidence`], [`account`]: the one currency, and the books it adds up in
//! * [`rates`], [`calibration`]: from counts to weights, from a budget to a line
//! * [`prepared`]: one version of the baselines, ready for judging
//! * [`roster`]: who is in a lane, and whom an action of ours restricts
//! * [`train`](mod@train): calibrates a version on the windows it was learned from
//! * [`joiner`]: all lanes' findings in the order of event time: incidents, sites
//! * [`explain`]: what a finding says

pub(crate) mod account;
pub mod calibration;
pub mod config;
pub mod detectors;
pub mod error;
pub mod evidence;
pub(crate) mod explain;
pub mod forest;
pub mod joiner;
pub mod judge;
pub mod prepared;
pub mod rates;
pub mod roster;
pub mod rules;
pub mod train;

pub use config::Config;
pub use detectors::Forgotten;
pub use error::Error;
pub use joiner::Joiner;
pub use judge::{CurveFinding, Judge, Judgement, ToldEvidence, WindowScore};
pub use prepared::{Prepared, Version, prepare};
pub use rules::RuleSet;
pub use train::train;
