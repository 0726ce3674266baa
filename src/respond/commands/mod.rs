//! Commands about responding.
//!
//! * [`playbooks`]: what playbooks say, and what they would have done; CACAO both ways
//! * [`history`]: findings of a store, answered again
//! * [`audit`]: whether the journal is what was written
//! * [`evidence`]: all about one incident in one signed file
//! * [`incidents`]: what was found and done, and times to detect and to isolate
//! * [`actions`], [`mode`], [`verdicts`]: people's word, through the API of a running service; [`connection`]: how it is reached
//! * [`tokens`]: who may use that API

pub mod actions;
pub mod audit;
pub mod connection;
pub mod evidence;
pub mod history;
pub mod incidents;
pub mod mode;
pub mod playbooks;
pub mod tokens;
pub mod verdicts;
