//! CACAO 2.0 (OASIS, JSON): playbooks for other systems, and theirs for us.
//!
//! What both know is said in the standard's own words: steps in their order, waiting for a person's yes, taking back after
//! the time to live, what follows a failure. What the standard has no word for (the SQL condition, production hours,
//! escalation) goes along as an extension, which other systems keep and need not understand. Written strictly, read
//! liberally; what does not map is listed both ways.

mod export;
mod import;
mod words;

use std::fmt;

use uuid::Uuid;

pub use export::{Exported, export};
pub use import::{Imported, import};

/// Something that was not carried over, or not in a way that the other side acts upon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotMapped {
    /// JSON pointer (RFC 6901) into the CACAO document.
    pub pointer: String,
    pub what: String,
    pub why: String,
}

impl fmt::Display for NotMapped {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}: {}", self.pointer, self.what, self.why)
    }
}

/// Key of what is ours in `playbook_extensions` and `step_extensions`.
fn extension_id() -> String {
    format!("extension-definition--{}", stable_uuid("extension"))
}

/// The same for the same words, everywhere and always.
fn stable_uuid(words: &str) -> Uuid {
    let ours = Uuid::new_v5(&Uuid::NAMESPACE_DNS, b"playbooks.vedette");
    Uuid::new_v5(&ours, words.as_bytes())
}

/// One part of a pointer.
fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests;
