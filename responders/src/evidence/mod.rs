//! What was seen, decided and done about one incident, in one file that can be handed on: a zip whose manifest has the hash
//! of every part, and is signed.
//!
//! * [`excerpt`]: the journal's lines about it
//! * [`bundle`]: how a bundle is made
//! * [`check`]: whether one is what was made

pub mod bundle;
pub mod check;
pub mod excerpt;

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::rights::Moment;

pub const MANIFEST: &str = "MANIFEST.json";
pub const SIGNATURE: &str = "MANIFEST.sig";
pub const README: &str = "README.txt";
/// Lines of the journal about the incident, as they stand there.
pub const JOURNAL: &str = "journal.jsonl";
/// All of the journal, where it was asked for.
pub const WHOLE_JOURNAL: &str = "journal-whole.jsonl";

/// What a bundle of this form says it is.
pub const FORM: &str = "vedette-evidence-1";

/// A file of a bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    pub name: String,
    pub bytes: Vec<u8>,
}

impl Part {
    pub fn new(name: &str, bytes: impl Into<Vec<u8>>) -> Part {
        Part { name: name.to_owned(), bytes: bytes.into() }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    pub form: String,
    pub incident_id: String,
    pub made_at: Moment,
    /// Release that made it.
    pub vedette: String,
    /// All but the manifest and its signature.
    pub files: Vec<Listed>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listed {
    pub name: String,
    pub bytes: u64,
    /// SHA-256, hexadecimal.
    pub sha256: SmolStr,
}

/// Ed25519 over the manifest's bytes; both hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Vouched {
    key: SmolStr,
    signature: SmolStr,
}

#[cfg(test)]
mod tests;
