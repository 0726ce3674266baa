//! The detectors' own words, read back: `&'static str` again, each distinct word kept once for good. The detectors have a
//! few dozen of them.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Deserializer, Serializer};
use smol_str::SmolStr;

static WORDS: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());

pub fn serialize<S: Serializer>(word: &'static str, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(word)
}

pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<&'static str, D::Error> {
    let word = SmolStr::deserialize(deserializer)?;
    // A set is as good after a panic as before.
    let mut words = WORDS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = words.get(word.as_str()) {
        return Ok(known);
    }
    let known: &'static str = Box::leak(Box::from(word.as_str()));
    words.insert(known);
    Ok(known)
}
