//! Commands about responding that need no running service.
//!
//! * [`playbooks`]: what playbooks say, and what they would have done; CACAO both ways
//! * [`history`]: findings of a store, answered again
//! * [`audit`]: whether the journal is what was written
//! * [`incidents`]: times to detect and to isolate

pub mod audit;
pub mod history;
pub mod incidents;
pub mod playbooks;
