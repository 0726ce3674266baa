//! What a stage remembers, as bytes: another process reads them and goes on. The same state always gives the same bytes.
//!
//! A version byte, eight bytes of a checksum, then the state as postcard writes it. The checksum comes first of all: no
//! damaged length is ever believed.

pub mod devices;
pub mod sorted;

use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

use crate::id::checksum;

pub use devices::DeviceList;

/// Whose memory it is, and which layout. Whoever changes what is remembered raises the version.
#[derive(Clone, Copy, Debug)]
pub struct Format {
    pub of: &'static str,
    pub version: u8,
}

#[derive(Clone, Debug, Error, PartialEq)]
pub enum Unreadable {
    #[error(
        "the memory of the {of} is of version `{version}`, expected `{expected}`; start over from the log, or go on with \
         the program that wrote it"
    )]
    Version { of: &'static str, version: u8, expected: u8 },
    #[error("the memory of the {of} is damaged: {what}; start over from the log")]
    Damaged { of: &'static str, what: String },
}

const CHECKSUM: usize = 8;

impl Format {
    pub fn save(&self, state: &impl Serialize) -> Vec<u8> {
        let mut memory = vec![self.version];
        memory.extend([0; CHECKSUM]);
        let mut memory = postcard::to_extend(state, memory).expect("a state has only parts that postcard can write");
        let checksum = self.checksum(&memory[1 + CHECKSUM..]);
        memory[1..=CHECKSUM].copy_from_slice(&checksum);
        memory
    }

    pub fn load<S: DeserializeOwned>(&self, memory: &[u8]) -> Result<S, Unreadable> {
        let damaged = |what: String| Unreadable::Damaged { of: self.of, what };
        let (version, rest) = memory.split_first().ok_or_else(|| damaged("it is empty".to_owned()))?;
        if *version != self.version {
            return Err(Unreadable::Version { of: self.of, version: *version, expected: self.version });
        }
        let (checksum, state) =
            rest.split_first_chunk::<CHECKSUM>().ok_or_else(|| damaged(format!("it ends after `{}`", memory.len())))?;
        if *checksum != self.checksum(state) {
            return Err(damaged(format!("the checksum of its `{}` bytes is another", memory.len())));
        }
        postcard::from_bytes(state).map_err(|error| damaged(error.to_string()))
    }

    /// Nobody's memory passes for another's.
    fn checksum(&self, state: &[u8]) -> [u8; CHECKSUM] {
        checksum(&[self.of.as_bytes(), state])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEDGER: Format = Format { of: "ledger", version: 3 };

    #[test]
    fn every_damaged_bit_is_noticed() {
        let state = (7u32, vec!["a".to_owned(), "b".to_owned()], f64::NEG_INFINITY);
        let memory = LEDGER.save(&state);
        assert_eq!(LEDGER.load(&memory), Ok(state));
        for bit in 0..memory.len() * 8 {
            let mut damaged = memory.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(LEDGER.load::<(u32, Vec<String>, f64)>(&damaged).is_err(), "bit {bit}");
        }
        for length in 0..memory.len() {
            assert!(LEDGER.load::<(u32, Vec<String>, f64)>(&memory[..length]).is_err(), "length {length}");
        }
    }

    #[test]
    fn another_version_and_another_owner_are_told() {
        let memory = LEDGER.save(&1u8);
        let newer = Format { version: 4, ..LEDGER };
        assert_eq!(
            newer.load::<u8>(&memory).unwrap_err().to_string(),
            "the memory of the ledger is of version `3`, expected `4`; start over from the log, or go on with the program \
             that wrote it"
        );
        let other = Format { of: "roster", ..LEDGER };
        assert!(matches!(other.load::<u8>(&memory), Err(Unreadable::Damaged { .. })));
    }
}
