//! What lanes and roles remember, one file each time, beside the tables: no row of any table, and only a run reads it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use fleet::EventTime;

use super::compact::remove;
use super::manifest::names_in;
use super::{ParquetStore, write_file};
use crate::error::Error;

pub(super) const FOLDER: &str = "memory";
const SUFFIX: &str = ".memory";
/// Of each lane: a commit may name the one before the newest, when the newest was stored and not committed.
const KEPT: usize = 3;

impl ParquetStore {
    pub(crate) fn put_memory(&self, who: &str, tick: EventTime, memory: &[u8]) -> Result<(), Error> {
        self.check_writable()?;
        let folder = self.dir.join(FOLDER);
        fs::create_dir_all(&folder).map_err(Error::write(&folder))?;
        write_file(&self.memory_path(who, tick), memory)?;
        let ticks = self.memories(who)?;
        // A lane that was done again from an earlier place writes an older one: it is kept with the newest.
        let older = ticks.iter().filter(|other| **other < tick).count();
        for old in ticks.iter().take(older.saturating_sub(KEPT - 1)) {
            remove(&self.memory_path(who, *old))?;
        }
        Ok(())
    }

    pub(crate) fn memory(&self, who: &str, tick: EventTime) -> Result<Option<Vec<u8>>, Error> {
        let path = self.memory_path(who, tick);
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::read(&path)(error)),
        }
    }

    /// Of when there are memories, ascending.
    pub(crate) fn memories(&self, who: &str) -> Result<Vec<EventTime>, Error> {
        let tick = |name: &String| {
            let (of, tick) = name.strip_suffix(SUFFIX)?.split_once('@')?;
            (of == who).then(|| tick.parse().ok().map(EventTime))?
        };
        let mut ticks: Vec<EventTime> = names_in(&self.dir.join(FOLDER))?.iter().filter_map(tick).collect();
        ticks.sort_unstable();
        Ok(ticks)
    }

    fn memory_path(&self, who: &str, tick: EventTime) -> PathBuf {
        self.dir.join(FOLDER).join(format!("{who}@{}{SUFFIX}", tick.0))
    }
}

pub(super) fn forget_all(dir: &Path) -> Result<(), Error> {
    let folder = dir.join(FOLDER);
    for name in names_in(&folder)?.iter().filter(|name| name.ends_with(SUFFIX)) {
        remove(&folder.join(name))?;
    }
    Ok(())
}
