//! Whether a bundle is what was made. Whoever hands one on may have changed anything in it, so nothing in it is trusted: not
//! its names, not its sizes.

use std::collections::BTreeSet;
use std::io::{Read, Seek};

use ring::digest::{Context, SHA256};
use smol_str::SmolStr;
use zip::ZipArchive;

use super::{FORM, JOURNAL, Listed, MANIFEST, Manifest, SIGNATURE, Vouched, WHOLE_JOURNAL};
use crate::bytes::hex;
use crate::error::Error;
use crate::journal::chain::{self, Chain};
use crate::journal::entry::{Body, Entry, Signed};
use crate::journal::sign;

const MOST_FILES: usize = 64;
const MANIFEST_BYTES: u64 = 1024 * 1024;
const SIGNATURE_BYTES: u64 = 4096;
/// Parts are hashed as they come; of the journal, lines are looked at.
const PIECE: usize = 64 * 1024;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    pub manifest: Manifest,
    /// Public key of a signature that holds, 64 hexadecimal digits.
    pub signed_by: Option<SmolStr>,
    /// Entries of the journal whose hashes are right.
    pub entries: u64,
    /// What is not as it was made, each with the file's name; empty: nothing.
    pub problems: Vec<String>,
}

/// `key`: who has to have signed it, and the journal's signatures in it.
///
/// # Errors
/// It is no bundle at all; `key` is no key.
pub fn check(input: impl Read + Seek, key: Option<&str>) -> Result<Checked, Error> {
    if let Some(key) = key.filter(|key| key.len() != 64 || !key.bytes().all(|byte| byte.is_ascii_hexdigit())) {
        return Err(Error::Wrong(format!("the key `{key}` is none, expected 64 hexadecimal digits")));
    }
    let none = |problem: String| Error::Wrong(format!("this is no evidence bundle: {problem}"));
    let mut zip = ZipArchive::new(input).map_err(|error| none(error.to_string()))?;
    if zip.len() > MOST_FILES {
        return Err(none(format!("it has {} files, expected at most {MOST_FILES}", zip.len())));
    }
    let text = small(&mut zip, MANIFEST, MANIFEST_BYTES).map_err(none)?;
    let text = text.ok_or_else(|| none(format!("it has no `{MANIFEST}`")))?;
    let manifest: Manifest =
        serde_json::from_str(&text).map_err(|error| none(format!("`{MANIFEST}` cannot be read: {error}")))?;
    if manifest.form != FORM {
        return Err(none(format!("its form is `{}`, expected `{FORM}`", manifest.form)));
    }
    let mut checking = Checking { key, problems: Vec::new(), entries: 0 };
    let signed_by = match small(&mut zip, SIGNATURE, SIGNATURE_BYTES) {
        Ok(signature) => checking.signature(&text, signature.as_deref()),
        Err(problem) => {
            checking.problems.push(problem);
            None
        }
    };
    checking.names(&zip, &manifest);
    for listed in &manifest.files {
        checking.part(&mut zip, listed);
    }
    Ok(Checked { manifest, signed_by, entries: checking.entries, problems: checking.problems })
}

struct Checking<'k> {
    key: Option<&'k str>,
    problems: Vec<String>,
    entries: u64,
}

impl Checking<'_> {
    fn signature(&mut self, manifest: &str, text: Option<&str>) -> Option<SmolStr> {
        let Some(text) = text else {
            if self.key.is_some() {
                self.problems.push(format!("{SIGNATURE}: it is not there: nobody signed this"));
            }
            return None;
        };
        let Ok(vouched) = serde_json::from_str::<Vouched>(text) else {
            self.problems.push(format!("{SIGNATURE}: it cannot be read"));
            return None;
        };
        let signed = Signed { head: manifest.into(), key: vouched.key.clone(), signature: vouched.signature };
        if !sign::is_valid(&signed) {
            self.problems.push(format!("{SIGNATURE}: the signature is not of this {MANIFEST}"));
            return None;
        }
        if self.is_another(&vouched.key) {
            self.problems.push(format!("{SIGNATURE}: it was signed by another key, {}", vouched.key));
        }
        Some(vouched.key)
    }

    fn is_another(&self, key: &str) -> bool {
        self.key.is_some_and(|wanted| !wanted.eq_ignore_ascii_case(key))
    }

    /// What is there and not listed; what stands there twice, so that other programs may see something else.
    fn names<R: Read + Seek>(&mut self, zip: &ZipArchive<R>, manifest: &Manifest) {
        if zip.has_duplicate_names() {
            self.problems.push("a file stands in it twice".to_owned());
        }
        let mut expected: BTreeSet<&str> = [MANIFEST, SIGNATURE].into();
        for listed in &manifest.files {
            if !expected.insert(&listed.name) {
                self.problems.push(format!("{}: it is listed twice", listed.name));
            }
        }
        for name in zip.file_names() {
            match name {
                Ok(name) if expected.contains(name.as_ref()) => {}
                Ok(name) => self.problems.push(format!("{}: it is not listed in {MANIFEST}", name.escape_debug())),
                Err(error) => self.problems.push(format!("a file's name cannot be read: {error}")),
            }
        }
    }

    fn part<R: Read + Seek>(&mut self, zip: &mut ZipArchive<R>, listed: &Listed) {
        let name = listed.name.escape_debug();
        let file = match zip.by_name(&listed.name) {
            Ok(file) => file,
            Err(zip::result::ZipError::FileNotFound) => {
                return self.problems.push(format!("{name}: it is missing"));
            }
            Err(error) => return self.problems.push(format!("{name}: it was changed: {error}")),
        };
        let is_journal = matches!(listed.name.as_str(), JOURNAL | WHOLE_JOURNAL);
        // One more than there should be: what is longer was changed, and is not read to its end.
        match hashed(file.take(listed.bytes.saturating_add(1)), is_journal) {
            Err(error) => self.problems.push(format!("{name}: it was changed: {error}")),
            Ok((hash, bytes, content)) => {
                if (bytes, &hash) != (listed.bytes, &listed.sha256) {
                    self.problems.push(format!("{name}: it was changed: its hash is another"));
                }
                if listed.name == JOURNAL {
                    self.excerpt(&content);
                } else if listed.name == WHOLE_JOURNAL {
                    self.journal(&content);
                }
            }
        }
    }

    /// Entries by themselves; those that follow each other, by that too.
    fn excerpt(&mut self, content: &[u8]) {
        let mut before: Option<Entry> = None;
        for (number, line) in lines(content) {
            let entry = match chain::read_alone(line) {
                Ok(entry) => entry,
                Err(what) => return self.problems.push(format!("{JOURNAL} line {number}: {what}")),
            };
            if let Some(before) = &before
                && (entry.seq <= before.seq || entry.at < before.at)
            {
                return self.problems.push(format!("{JOURNAL} line {number}: it is older than the line before"));
            }
            if let Some(before) = &before
                && entry.seq == before.seq + 1
                && entry.previous != before.hash
            {
                return self.problems.push(format!("{JOURNAL} line {number}: it does not follow the line before"));
            }
            self.signer(JOURNAL, &entry);
            self.entries += 1;
            before = Some(entry);
        }
    }

    fn journal(&mut self, content: &[u8]) {
        let mut chain = Chain::default();
        for (_, line) in lines(content) {
            match chain.read(line) {
                Ok(entry) => self.signer(WHOLE_JOURNAL, &entry),
                Err(fault) => return self.problems.push(format!("{WHOLE_JOURNAL}: {fault}")),
            }
        }
    }

    fn signer(&mut self, file: &str, entry: &Entry) {
        if let Body::Signed(signed) = &entry.body
            && self.is_another(&signed.key)
        {
            self.problems.push(format!("{file}: entry {} is signed by another key, {}", entry.seq, signed.key));
        }
    }
}

/// Numbered from 1. A line that is no text is no entry either, and is told as such.
fn lines(content: &[u8]) -> impl Iterator<Item = (usize, &str)> {
    let ended = content.strip_suffix(b"\n").unwrap_or(content);
    let lines = ended.split(|byte| *byte == b'\n').take(if content.is_empty() { 0 } else { usize::MAX });
    (1..).zip(lines.map(|line| std::str::from_utf8(line).unwrap_or_default()))
}

/// The text of a file that is small; none where there is no such file.
fn small<R: Read + Seek>(zip: &mut ZipArchive<R>, name: &str, most: u64) -> Result<Option<String>, String> {
    let file = match zip.by_name(name) {
        Ok(file) => file,
        Err(zip::result::ZipError::FileNotFound) => return Ok(None),
        Err(error) => return Err(format!("{name}: it was changed: {error}")),
    };
    let mut text = String::new();
    let read = file.take(most).read_to_string(&mut text);
    read.map(|_| Some(text)).map_err(|error| format!("{name}: it was changed: {error}"))
}

/// Hash and length, and what was read where that is wanted.
fn hashed(mut input: impl Read, keeps: bool) -> std::io::Result<(SmolStr, u64, Vec<u8>)> {
    let (mut context, mut bytes, mut kept) = (Context::new(&SHA256), 0, Vec::new());
    let mut piece = vec![0; PIECE];
    loop {
        let read = input.read(&mut piece)?;
        if read == 0 {
            return Ok((hex(context.finish().as_ref()).into(), bytes, kept));
        }
        context.update(&piece[..read]);
        bytes += read as u64;
        if keeps {
            kept.extend_from_slice(&piece[..read]);
        }
    }
}
