//! The journal in a file: for one process, which holds a lock on it as long as it lives.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::chain::Chain;
use super::entry::Entry;
use super::{Journal, JournalError};

pub struct FileJournal {
    file: File,
    path: PathBuf,
    /// Bytes that are whole entries.
    length: u64,
    /// Replays can be done again: they do not wait for the disk.
    syncs: bool,
}

impl FileJournal {
    /// Opens or makes it; gives every entry to `each`, and where the chain ends. A last line without its end was never
    /// acknowledged: it is cut off.
    ///
    /// # Errors
    /// Somebody else has it open; it was changed; the disk.
    pub fn open(path: &Path, mut each: impl FnMut(Entry)) -> Result<(FileJournal, Chain), JournalError> {
        let broken = |what: String| JournalError::Broken(format!("the journal `{}` {what}", path.display()));
        let mut file = locked(path)?;
        let mut chain = Chain::default();
        let length = read(&mut file, &mut chain, &mut each).map_err(broken)?;
        file.set_len(length).map_err(|error| broken(format!("cannot be cut: {error}")))?;
        Ok((FileJournal { file, path: path.to_owned(), length, syncs: true }, chain))
    }

    /// Begins with nothing, whatever was there.
    ///
    /// # Errors
    /// Somebody else has it open; the disk.
    pub fn start_over(path: &Path) -> Result<FileJournal, JournalError> {
        let file = locked(path)?;
        let problem =
            |error| JournalError::Broken(format!("the journal `{}` cannot be emptied: {error}", path.display()));
        file.set_len(0).map_err(problem)?;
        Ok(FileJournal { file, path: path.to_owned(), length: 0, syncs: false })
    }
}

/// A program that another thread is just starting has the file too, until it begins: closing alone would keep the lock so long.
impl Drop for FileJournal {
    fn drop(&mut self) {
        let _ = self.file.unlock();
    }
}

fn locked(path: &Path) -> Result<File, JournalError> {
    let broken = |what: String| JournalError::Broken(format!("the journal `{}` {what}", path.display()));
    let mut options = OpenOptions::new();
    let file = options
        .read(true)
        .append(true)
        .create(true)
        .open(path)
        .map_err(|error| broken(format!("cannot be opened: {error}")))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(JournalError::Lost(format!("`{}` is locked", path.display()))),
        Err(TryLockError::Error(error)) => return Err(broken(format!("cannot be locked: {error}"))),
    }
    // A file that was just made is in its folder for good only after this.
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let kept = File::open(folder).and_then(|folder| folder.sync_all());
    kept.map_err(|error| broken(format!("cannot be kept in its folder: {error}")))?;
    Ok(file)
}

/// Reads a journal that another process may be writing.
///
/// # Errors
/// What is wrong with it, and where.
pub fn look(path: &Path, mut each: impl FnMut(Entry)) -> Result<Chain, String> {
    look_at_lines(path, |entry, _| each(entry))
}

/// The same, each entry with its line.
///
/// # Errors
/// As [`look`].
pub fn look_at_lines(path: &Path, mut each: impl FnMut(Entry, &str)) -> Result<Chain, String> {
    let mut file =
        File::open(path).map_err(|error| format!("the journal `{}` cannot be read: {error}", path.display()))?;
    let mut chain = Chain::default();
    read_lines(&mut file, &mut chain, &mut each).map_err(|what| format!("the journal `{}` {what}", path.display()))?;
    Ok(chain)
}

/// The bytes that are whole lines.
fn read(file: &mut File, chain: &mut Chain, each: &mut impl FnMut(Entry)) -> Result<u64, String> {
    read_lines(file, chain, &mut |entry, _| each(entry))
}

fn read_lines(file: &mut File, chain: &mut Chain, each: &mut impl FnMut(Entry, &str)) -> Result<u64, String> {
    let unreadable = |error: std::io::Error| format!("cannot be read: {error}");
    file.seek(SeekFrom::Start(0)).map_err(unreadable)?;
    let mut reader = BufReader::new(&*file);
    let (mut length, mut line) = (0, String::new());
    loop {
        line.clear();
        let bytes = match reader.read_line(&mut line) {
            Ok(bytes) => bytes,
            // What a torn write left is rarely text.
            Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
                return Err(format!("is broken after entry {}", chain.seq));
            }
            Err(error) => return Err(unreadable(error)),
        };
        let Some(text) = line.strip_suffix('\n') else { return Ok(length) };
        each(chain.read(text).map_err(|fault| format!("is broken: {fault}"))?, text);
        length += bytes as u64;
    }
}

impl Journal for FileJournal {
    fn append(&mut self, lines: &[String]) -> Result<(), JournalError> {
        let mut bytes = Vec::new();
        for line in lines {
            bytes.extend_from_slice(line.as_bytes());
            bytes.push(b'\n');
        }
        let mut write = || {
            self.file.write_all(&bytes)?;
            if self.syncs { self.file.sync_data() } else { Ok(()) }
        };
        if let Err(error) = write() {
            // All or none.
            let cut = self.file.set_len(self.length);
            let problem = format!("`{}`: {error}", self.path.display());
            return Err(if cut.is_ok() { JournalError::Later(problem) } else { JournalError::Lost(problem) });
        }
        self.length += bytes.len() as u64;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::entry::{Began, Body};
    use fleet::EventTime;

    fn began(owner: &str) -> Body {
        Body::Began(Began { owner: owner.to_owned(), release: "0.1.0".to_owned(), lease_seconds: 8 })
    }

    fn append(journal: &mut FileJournal, chain: &mut Chain, owner: &str) {
        let (entry, line) = chain.seal(EventTime(1), began(owner)).unwrap();
        journal.append(&[line]).unwrap();
        chain.follow(&entry);
    }

    #[test]
    fn a_torn_last_line_is_cut_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.jsonl");
        let (mut journal, mut chain) = FileJournal::open(&path, |_| ()).unwrap();
        for owner in ["a", "b"] {
            append(&mut journal, &mut chain, owner);
        }
        drop(journal);
        let whole = std::fs::read(&path).unwrap();
        for cut in 0..whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let mut entries = 0;
            let (mut journal, mut chain) = FileJournal::open(&path, |_| entries += 1).unwrap();
            assert_eq!(entries, whole[..cut].iter().filter(|byte| **byte == b'\n').count());
            append(&mut journal, &mut chain, "c");
            drop(journal);
            assert_eq!(look(&path, |_| ()).unwrap().seq, entries as u64 + 1);
        }
    }

    #[test]
    fn one_process_has_it_and_others_may_look() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.jsonl");
        let (mut journal, mut chain) = FileJournal::open(&path, |_| ()).unwrap();
        append(&mut journal, &mut chain, "a");
        assert!(matches!(FileJournal::open(&path, |_| ()), Err(JournalError::Lost(_))));
        assert_eq!(look(&path, |_| ()).unwrap(), chain);
        std::fs::write(&path, std::fs::read_to_string(&path).unwrap().replace("\"a\"", "\"b\"")).unwrap();
        assert!(look(&path, |_| ()).unwrap_err().contains("entry 1"));
    }
}
