//! The chain: an entry's hash is over its line up to the hash itself, and the line holds the hash of the entry before. So
//! nothing can be changed, left out or moved without all that follows being written anew, which signatures tell.

use std::fmt;

use fleet::EventTime;
use ring::digest::{SHA256, digest};
use serde::Serialize;
use smol_str::SmolStr;
use thiserror::Error;

use super::entry::{Body, Entry};
use super::sign;
use crate::bytes::hex;

/// Before the first entry.
pub const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";
const HASH: &str = ",\"hash\":\"";

/// Where a journal ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    pub seq: u64,
    pub at: EventTime,
    pub head: SmolStr,
}

impl Default for Chain {
    fn default() -> Chain {
        Chain { seq: 0, at: EventTime::MIN, head: GENESIS.into() }
    }
}

#[derive(Serialize)]
struct Unsealed<'e> {
    seq: u64,
    at: EventTime,
    previous: &'e str,
    #[serde(flatten)]
    body: &'e Body,
}

impl Chain {
    /// The entry that follows, and its line without the line end. Time never goes back, whatever the clock says.
    ///
    /// # Errors
    /// A body that is no JSON, which none is.
    pub fn seal(&self, now: EventTime, body: Body) -> Result<(Entry, String), serde_json::Error> {
        let (seq, at) = (self.seq + 1, now.max(self.at));
        let mut line = serde_json::to_string(&Unsealed { seq, at, previous: &self.head, body: &body })?;
        // The closing brace comes after the hash.
        line.pop();
        let hash = hash(line.as_bytes());
        line.push_str(HASH);
        line.push_str(&hash);
        line.push_str("\"}");
        Ok((Entry { seq, at, previous: self.head.clone(), body, hash }, line))
    }

    pub fn follow(&mut self, entry: &Entry) {
        *self = Chain { seq: entry.seq, at: entry.at, head: entry.hash.clone() };
    }

    /// Reads the line that should come next.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub fn read(&mut self, line: &str) -> Result<Entry, Fault> {
        let expected = self.seq + 1;
        let fault = |what| Fault { seq: expected, what };
        let entry = sealed(line).map_err(fault)?;
        if entry.seq != expected {
            return Err(fault(What::OutOfOrder { seq: entry.seq }));
        }
        if entry.previous != self.head {
            return Err(fault(What::Unchained));
        }
        if entry.at < self.at {
            return Err(fault(What::Earlier));
        }
        if let Body::Signed(signed) = &entry.body
            && (signed.head != self.head || !sign::is_valid(signed))
        {
            return Err(fault(What::Signature));
        }
        self.follow(&entry);
        Ok(entry)
    }
}

/// An entry without those before it: that its hash is of it, and that a signature is of the hash it follows.
///
/// # Errors
/// What is wrong with it.
pub fn read_alone(line: &str) -> Result<Entry, What> {
    let entry = sealed(line)?;
    match &entry.body {
        Body::Signed(signed) if signed.head != entry.previous || !sign::is_valid(signed) => Err(What::Signature),
        _ => Ok(entry),
    }
}

fn sealed(line: &str) -> Result<Entry, What> {
    let (covered, rest) = line.rsplit_once(HASH).ok_or(What::Unreadable)?;
    let entry: Entry = serde_json::from_str(line).map_err(|_| What::Unreadable)?;
    if rest.strip_suffix("\"}") != Some(entry.hash.as_str()) {
        return Err(What::Unreadable);
    }
    if hash(covered.as_bytes()) != entry.hash { Err(What::Changed) } else { Ok(entry) }
}

pub(crate) fn hash(bytes: &[u8]) -> SmolStr {
    hex(digest(&SHA256, bytes).as_ref()).into()
}

/// Where a journal is not what was written.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("entry {seq}: {what}")]
pub struct Fault {
    /// The entry that should stand there.
    pub seq: u64,
    pub what: What,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    Unreadable,
    Changed,
    OutOfOrder { seq: u64 },
    Unchained,
    Earlier,
    Signature,
}

impl fmt::Display for What {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            What::Unreadable => out.write_str("it is no entry of a journal"),
            What::Changed => out.write_str("it was changed: its hash is another"),
            What::OutOfOrder { seq } => {
                write!(out, "entry {seq} stands here: entries are missing, or stand in another order")
            }
            What::Unchained => {
                out.write_str("it does not follow the entry before, which was changed together with its hash")
            }
            What::Earlier => out.write_str("it is older than the entry before"),
            What::Signature => out.write_str("its signature is not of the entries before it"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::entry::{Called, Signed};
    use crate::journal::sign::Signer;

    fn call(status: u16) -> Body {
        Body::Called(Called {
            by: "anna".into(),
            claimed: None,
            peer: "127.0.0.1".to_owned(),
            method: "GET".into(),
            route: "/v1/actions".to_owned(),
            subject: None,
            status,
            unrecorded: 0,
            offset: None,
        })
    }

    fn journal(entries: u16) -> Vec<String> {
        let mut chain = Chain::default();
        let mut line_of = |status| {
            let (entry, line) = chain.seal(EventTime(i64::from(status)), call(status)).unwrap();
            chain.follow(&entry);
            line
        };
        (0..entries).map(&mut line_of).collect()
    }

    fn first_fault(lines: &[String]) -> Option<Fault> {
        let mut chain = Chain::default();
        lines.iter().find_map(|line| chain.read(line).err())
    }

    #[test]
    fn what_was_written_is_read_and_time_never_goes_back() {
        let lines = journal(5);
        assert_eq!(first_fault(&lines), None);
        let mut chain = Chain::default();
        for line in &lines {
            let entry = chain.read(line).unwrap();
            assert_eq!(entry.body, call(u16::try_from(entry.seq - 1).unwrap()));
        }
        let (entry, line) = chain.seal(EventTime(-7), call(9)).unwrap();
        assert_eq!(entry.at, EventTime(4), "the clock went back");
        chain.read(&line).unwrap();
    }

    #[test]
    fn every_change_is_found_where_it_is() {
        let lines = journal(6);
        for at in 0..lines.len() {
            let seq = at as u64 + 1;
            let mut changed = lines.clone();
            changed[at] = changed[at].replace("anna", "otto");
            assert_eq!(first_fault(&changed), Some(Fault { seq, what: What::Changed }));
            let mut shorter = lines.clone();
            shorter.remove(at);
            let found = first_fault(&shorter);
            let last = at == lines.len() - 1;
            let missing = Fault { seq, what: What::OutOfOrder { seq: seq + 1 } };
            assert_eq!(
                found,
                (!last).then_some(missing),
                "what is cut off at the end is told by signatures and by who asks"
            );
            for byte in 0..lines[at].len() {
                let mut bytes = lines[at].clone().into_bytes();
                bytes[byte] ^= 1;
                let mut flipped = lines.clone();
                flipped[at] = String::from_utf8_lossy(&bytes).into_owned();
                assert_eq!(first_fault(&flipped).map(|fault| fault.seq), Some(seq), "byte {byte} of entry {seq}");
            }
        }
        let mut swapped = lines.clone();
        swapped.swap(2, 3);
        assert_eq!(first_fault(&swapped), Some(Fault { seq: 3, what: What::OutOfOrder { seq: 4 } }));
    }

    #[test]
    fn an_entry_written_anew_with_its_hash_does_not_follow() {
        let mut lines = journal(4);
        let mut chain = Chain::default();
        let first = chain.read(&lines[0]).unwrap();
        chain.follow(&first);
        let (_, forged) = chain.seal(EventTime(1), call(599)).unwrap();
        lines[1] = forged;
        assert_eq!(first_fault(&lines), Some(Fault { seq: 3, what: What::Unchained }));
    }

    #[test]
    fn a_forged_signature_is_found_and_a_true_one_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let [signer, stranger] = ["ours", "theirs"].map(|name| Signer::open(&folder.path().join(name)).unwrap());
        let mut chain = Chain::default();
        journal(3).iter().for_each(|line| _ = chain.read(line).unwrap());
        let (signed, earlier) = (signer.sign(&chain.head), signer.sign(GENESIS));
        let mut flipped = signed.signature.to_string();
        flipped.replace_range(..1, if flipped.starts_with('0') { "1" } else { "0" });
        for (what, forged) in [
            ("of an earlier entry", earlier.clone()),
            ("an earlier one's, said to be of this one", Signed { head: signed.head.clone(), ..earlier }),
            ("said to be somebody else's", Signed { key: stranger.public_key(), ..signed.clone() }),
            ("somebody else's, said to be ours", Signed { key: signer.public_key(), ..stranger.sign(&chain.head) }),
            ("changed", Signed { signature: flipped.into(), ..signed.clone() }),
            ("none", Signed { signature: "".into(), ..signed.clone() }),
        ] {
            // The chain itself is right: whoever forges can compute hashes.
            let (_, line) = chain.seal(EventTime(9), Body::Signed(forged)).unwrap();
            let fault = Fault { seq: 4, what: What::Signature };
            assert_eq!(chain.clone().read(&line), Err(fault), "{what}");
            assert_eq!(read_alone(&line), Err(What::Signature), "{what}");
        }
        let (entry, line) = chain.seal(EventTime(9), Body::Signed(signed)).unwrap();
        assert_eq!(read_alone(&line).as_ref(), Ok(&entry));
        assert_eq!(chain.read(&line), Ok(entry));
    }
}
