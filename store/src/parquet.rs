//! The embedded home of the tables: Parquet files in a folder, one writing process.
//!
//! * [`writer`]: files that are there whole or not at all
//! * [`manifest`]: which files make up a table
//! * [`compact`]: many files become one
//! * [`memory`]: what lanes remember, beside the tables
//! * [`read`]: tables read back without SQL

mod compact;
mod manifest;
mod memory;
mod read;
mod writer;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError, RwLock};

use arrow::record_batch::RecordBatch;
use fleet::{Contact, DeviceKey, EventTime, Finding, Window};
use rayon::prelude::*;

pub use read::ALWAYS;
pub use writer::write_file;

use self::compact::{Compaction, Settled, merged_tables, remove};
use self::manifest::{FileName, MANIFEST, Manifest, TABLES, names_in, snapshot, table_dir};
use self::read::{Wanted, for_each_batch};
use self::writer::{ParquetDraft, Stays, is_draft, sync_folder_of};
use crate::config::Config;
use crate::dictionary::{Table, TextLayout};
use crate::error::Error;
use crate::metrics::Metrics;
use crate::rows::{BaselineRow, EvidenceRow, Row, Step, contact_batch, restore, window_batch};

/// Rows turned into columns at once: larger columns would come from fresh pages each time, and clearing those was a
/// seventh of the time a step took.
const PIECE: usize = 4096;

/// Files of a table that are merged at once beside those who write, where more have come together: what is sorted is bounded.
const AT_ONCE: usize = 512;

const LOCK: &str = ".lock";
/// Held while a version of the baselines is written, by whichever process.
const TURN: &str = ".baselines.lock";
/// Written by the front door: what was run. It marks a folder as ours, like the manifest.
const RUN: &str = "run.json";

/// A folder of tables. Writing takes `&self`: lanes write at the same time, each under its own names.
#[derive(Debug)]
pub struct ParquetStore {
    dir: PathBuf,
    config: Config,
    metrics: Metrics,
    /// Held for writing while it changes, so that no file appears between looking and swapping.
    manifest: RwLock<Manifest>,
    /// Held while compacting; files that the last [`ParquetStore::tidy`] merged.
    merged: Mutex<Vec<PathBuf>>,
    /// Held as long as the store is open for writing; the system drops it with the process.
    lock: Option<File>,
    /// Beside the one that writes: may add baselines, and nothing else.
    beside: bool,
}

impl ParquetStore {
    /// Opens `dir` for writing: a folder that is missing or empty becomes a store, a store is continued.
    ///
    /// # Errors
    /// A folder with other things in it, a store that another process is writing to, a disk that refuses.
    pub fn create(dir: &Path, config: Config) -> Result<ParquetStore, Error> {
        config.check()?;
        refuse_foreign(dir)?;
        for table in Table::ALL {
            let folder = table_dir(dir, table);
            fs::create_dir_all(&folder).map_err(Error::write(&folder))?;
        }
        sync_folder_of(&table_dir(dir, Table::Windows)).map_err(Error::write(dir))?;
        sync_folder_of(dir).map_err(Error::write(dir))?;
        let lock = lock(dir)?;
        let manifest = match Manifest::load(dir) {
            Ok(manifest) => manifest,
            Err(Error::NotAStore { .. }) => {
                let manifest = Manifest::default();
                manifest.save(dir)?;
                manifest
            }
            Err(error) => return Err(error),
        };
        compact::sweep(dir, &manifest)?;
        Ok(ParquetStore {
            dir: dir.to_owned(),
            config,
            metrics: Metrics::default(),
            manifest: RwLock::new(manifest),
            merged: Mutex::default(),
            lock: Some(lock),
            beside: false,
        })
    }

    /// # Errors
    /// The folder, or its manifest, is gone.
    pub fn is_there(&self) -> Result<(), Error> {
        let manifest = self.dir.join(MANIFEST);
        fs::metadata(&manifest).map(|_| ()).map_err(Error::read(&manifest))
    }

    /// Opens `dir` for reading, also while another process writes to it.
    ///
    /// # Errors
    /// A folder that does not exist or is no store.
    pub fn open(dir: &Path) -> Result<ParquetStore, Error> {
        let manifest = Manifest::load(dir)?;
        Ok(ParquetStore {
            dir: dir.to_owned(),
            config: Config::default(),
            metrics: Metrics::default(),
            manifest: RwLock::new(manifest),
            merged: Mutex::default(),
            lock: None,
            beside: false,
        })
    }

    /// Opens `dir` for reading and for adding baselines, also while another process writes to it.
    ///
    /// # Errors
    /// As [`ParquetStore::create`], but for a store that another process is writing to.
    pub fn beside(dir: &Path, config: Config) -> Result<ParquetStore, Error> {
        match ParquetStore::create(dir, config) {
            Err(Error::Busy { .. }) => Ok(ParquetStore { beside: true, ..ParquetStore::open(dir)? }),
            created => created,
        }
    }

    /// Removes everything a store wrote to `dir` and nothing else; the manifest goes last, so that a crash in between
    /// leaves a folder that is still known as a store. `claimed` is called first, once the folder is known to be ours
    /// and nobody else writes to it. Returns whether there was anything.
    ///
    /// # Errors
    /// A folder that is not empty and no store, a store that another process is writing to, what `claimed` gives.
    pub fn start_over(dir: &Path, claimed: impl FnOnce() -> Result<(), Error>) -> Result<bool, Error> {
        refuse_foreign(dir)?;
        if names_in(dir)?.is_empty() {
            return Ok(false);
        }
        let _lock = lock(dir)?;
        claimed()?;
        let mut removed = false;
        for table in Table::ALL {
            let folder = table_dir(dir, table);
            for name in names_in(&folder)? {
                if name.ends_with(".parquet") || is_draft(&name) {
                    remove(&folder.join(name))?;
                    removed = true;
                }
            }
        }
        memory::forget_all(dir)?;
        for name in names_in(dir)? {
            if is_draft(&name) {
                remove(&dir.join(name))?;
            }
        }
        remove(&dir.join(MANIFEST))?;
        sync_folder_of(&dir.join(MANIFEST)).map_err(Error::write(dir))?;
        Ok(removed)
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Steps of a lane that are stored and not yet compacted, as (first tick, last tick): after a crash a lane redoes
    /// exactly these cuts, so that its files replace the ones that are there.
    pub fn steps(&self, lane: u32) -> Result<Vec<(EventTime, EventTime)>, Error> {
        let manifest = self.manifest.read().unwrap_or_else(PoisonError::into_inner);
        let mut steps = Vec::new();
        for file in manifest::loose_files(&self.dir, Table::Windows, &manifest)? {
            if let FileName::Step { lane: of, first, last } = file
                && of == lane
            {
                steps.push((EventTime(first), EventTime(last)));
            }
        }
        Ok(steps)
    }

    /// Merges the files of all steps that end at or before `through` (they must be committed: what is merged is not
    /// written again), and all others, into one file per table, rows in the table's order.
    ///
    /// # Errors
    /// As for writing; the tables are as before then. Must not be called from async code.
    pub fn compact(&self, through: EventTime) -> Result<(), Error> {
        let mut merged = self.merged.lock().unwrap_or_else(PoisonError::into_inner);
        merged.extend(self.merge(&Settled { through, named: &|_| true, at_most: usize::MAX })?);
        remove_all(&mut merged)
    }

    /// The same beside those who write and read, once a table has `at_least` files to be merged: each time the last merged
    /// file is written again. Of files that are no step's, those that `settled` says nobody writes again; what is merged is
    /// removed the next time, for it may have been listed by whoever reads. Gives how many files were merged.
    ///
    /// # Errors
    /// As for [`ParquetStore::compact`].
    pub fn tidy(&self, at_least: usize, through: EventTime, settled: &dyn Fn(&str) -> bool) -> Result<usize, Error> {
        let settled = Settled { through, named: settled, at_most: at_least.max(AT_ONCE) };
        let mut merged = self.merged.lock().unwrap_or_else(PoisonError::into_inner);
        if self.most(&|name| settled.has(name))? < at_least {
            return Ok(0);
        }
        remove_all(&mut merged)?;
        *merged = self.merge(&settled)?;
        Ok(merged.len())
    }

    /// Files that no compaction has taken up, of the table that has most of them.
    pub fn loose(&self) -> Result<usize, Error> {
        self.most(&|_| true)
    }

    /// Of those, the ones that count.
    fn most(&self, counts: &dyn Fn(&FileName) -> bool) -> Result<usize, Error> {
        let mut most = 0;
        for table in merged_tables() {
            let manifest = self.manifest.read().unwrap_or_else(PoisonError::into_inner);
            let files = manifest::loose_files(&self.dir, table, &manifest)?;
            drop(manifest);
            most = most.max(files.iter().filter(|file| counts(file)).count());
        }
        Ok(most)
    }

    /// Gives the files that count no more.
    fn merge(&self, settled: &Settled<'_>) -> Result<Vec<PathBuf>, Error> {
        self.check_writable()?;
        let before = self.manifest.read().unwrap_or_else(PoisonError::into_inner).clone();
        let compaction = Compaction::merge(&self.dir, &before, settled, &self.config)?;
        if compaction.replaced.is_empty() {
            return Ok(Vec::new());
        }
        let mut manifest = self.manifest.write().unwrap_or_else(PoisonError::into_inner);
        if !compaction.is_whole(&before)? {
            compaction.give_up();
            return Ok(Vec::new());
        }
        if let Err(error) = compaction.next.save(&self.dir) {
            // It may have been renamed before the failure: what is on the disk is true.
            *manifest = Manifest::load(&self.dir)?;
            if *manifest != compaction.next {
                compaction.give_up();
            }
            return Err(error);
        }
        manifest.clone_from(&compaction.next);
        self.metrics.merged(compaction.replaced.len());
        Ok(compaction.replaced)
    }

    /// The files that make up each table now.
    pub(crate) fn files(&self) -> Result<BTreeMap<Table, Vec<PathBuf>>, Error> {
        snapshot(&self.dir)
    }

    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    fn check_writable(&self) -> Result<(), Error> {
        if self.lock.is_some() { Ok(()) } else { Err(Error::ReadOnly { dir: self.dir.clone() }) }
    }

    /// Writes a file of a table, or removes the one of that name when there are no batches.
    fn put(
        &self,
        table: Table,
        name: &FileName,
        layout: TextLayout,
        batches: impl Iterator<Item = Result<RecordBatch, Error>>,
    ) -> Result<(), Error> {
        if !(self.beside && table == Table::Baselines) {
            self.check_writable()?;
        }
        let manifest = self.manifest.read().unwrap_or_else(PoisonError::into_inner);
        if manifest.covers(table, name) {
            self.metrics.copy_dropped();
            return Ok(());
        }
        let path = table_dir(&self.dir, table).join(name.file());
        let mut batches = batches.peekable();
        if batches.peek().is_none() {
            return remove(&path);
        }
        let mut draft = ParquetDraft::new(&path, table.schema(layout), Stays::UntilMerged, &self.config)?;
        for batch in batches {
            draft.write(&batch?)?;
        }
        let rows = draft.rows;
        let bytes = draft.publish()?;
        self.metrics.written(rows, bytes);
        Ok(())
    }

    pub(crate) fn put_step(&self, step: &Step<'_>) -> Result<(), Error> {
        let name = FileName::step(step.lane, step.first_tick, step.last_tick);
        let pieces = || step.windows.chunks(PIECE).map(|windows| Step { windows, ..*step });
        let contacts = pieces().filter(|piece| piece.windows.iter().any(|row| !row.window.contacts.is_empty()));
        // Windows last: a step that has them has everything.
        let layout = TextLayout::Dictionary;
        self.put(Table::Contacts, &name, layout, contacts.map(|piece| contact_batch(&piece)))?;
        self.put_named(&name, step.evidence)?;
        self.put(Table::Windows, &name, layout, pieces().map(|piece| window_batch(&piece)))
    }

    pub(crate) fn put_rows<R: Row>(&self, name: &str, rows: &[R]) -> Result<(), Error> {
        self.put_named(&FileName::named(name)?, rows)
    }

    /// A version that is there already stays as it is, whoever else writes one meanwhile.
    pub(crate) fn put_version(&self, version: u32, rows: &[BaselineRow]) -> Result<(), Error> {
        let path = self.dir.join(TURN);
        let turn = File::options().create(true).truncate(false).write(true).open(&path).map_err(Error::write(&path))?;
        match turn.lock() {
            Err(error) if error.kind() != io::ErrorKind::Unsupported => return Err(Error::write(&path)(error)),
            _ => {}
        }
        let mut there: Vec<BaselineRow> = self.rows()?;
        there.retain(|row| row.version == version && !row.is_announcement());
        if there.is_empty() {
            return self.put_rows(&format!("version-{version}"), rows);
        }
        if BaselineRow::are_the_same(&there, rows) { Ok(()) } else { Err(Error::VersionTaken { version }) }
    }

    fn put_named<R: Row>(&self, name: &FileName, rows: &[R]) -> Result<(), Error> {
        self.put(R::TABLE, name, TextLayout::Plain, rows.chunks(PIECE).map(R::encode))
    }

    /// All rows of a small table, in the order of its files.
    pub fn rows<R: Row>(&self) -> Result<Vec<R>, Error> {
        self.rows_in(None)
    }

    fn rows_in<R: Row>(&self, wanted: Option<Wanted<'_>>) -> Result<Vec<R>, Error> {
        let files = self.files()?.remove(&R::TABLE).unwrap_or_default();
        let mut rows = Vec::new();
        for_each_batch(&files, R::TABLE, TextLayout::Plain, wanted, |batch| R::decode(batch, &mut rows))?;
        Ok(rows)
    }

    /// Findings told in `range`.
    pub(crate) fn findings(&self, range: &Range<EventTime>) -> Result<Vec<Finding>, Error> {
        let mut rows: Vec<Finding> = self.rows_in(Some(Wanted { time_column: "emitted_at", range, columns: &[] }))?;
        rows.retain(|finding| range.contains(&finding.emitted_at));
        Ok(rows)
    }

    /// Evidence of one device in windows that start in `range`, in the order of time.
    pub fn evidence(&self, device_id: &str, range: Range<EventTime>) -> Result<Vec<EvidenceRow>, Error> {
        let mut rows: Vec<EvidenceRow> =
            self.rows_in(Some(Wanted { time_column: "window_start", range: &range, columns: &[] }))?;
        rows.retain(|row| row.device_id == device_id && range.contains(&row.window_start));
        rows.sort_by(|a, b| a.window_start.cmp(&b.window_start).then(b.evidence.total_cmp(&a.evidence)));
        Ok(rows)
    }

    /// Device and start of each window that starts in `range`.
    pub(crate) fn for_each_start(
        &self,
        range: &Range<EventTime>,
        mut take: impl FnMut(&str, EventTime),
    ) -> Result<(), Error> {
        let files = self.files()?.remove(&Table::Windows).unwrap_or_default();
        let wanted = Wanted { time_column: "window_start", range, columns: &["device_id", "window_start"] };
        for_each_batch(&files, Table::Windows, TextLayout::Dictionary, Some(wanted), |batch| {
            restore::starts(batch, range, &mut take)
        })
    }

    /// Windows that start in `range`, with contacts, as they were closed; ordered by start, then device key. `keys` says
    /// what a stored device id means in this run; windows of ids without a key are left out, and so are such peers.
    pub fn windows(
        &self,
        range: Range<EventTime>,
        keys: impl Fn(&str) -> Option<DeviceKey> + Sync,
    ) -> Result<Vec<Window>, Error> {
        let mut files = self.files()?;
        let parts = read_side_by_side(&files.remove(&Table::Windows).unwrap_or_default(), |file, part| {
            let wanted = Wanted { time_column: "window_start", range: &range, columns: &[] };
            for_each_batch(file, Table::Windows, TextLayout::Dictionary, Some(wanted), |batch| {
                restore::windows(batch, &range, &keys, part)
            })
        })?;
        let mut windows: Vec<Window> = Vec::with_capacity(parts.iter().map(Vec::len).sum());
        for part in parts {
            windows.extend(part);
        }
        windows.par_sort_unstable_by_key(|window| (window.start, window.device));
        let place_of = |start: EventTime, device: DeviceKey| {
            windows.binary_search_by_key(&(start, device), |window| (window.start, window.device)).ok()
        };
        // A window's contacts stand together in one file and in their order: they were written so, and compaction keeps
        // the order by `ordinal`.
        let contacts = read_side_by_side(&files.remove(&Table::Contacts).unwrap_or_default(), |file, part| {
            let mut together: Vec<Contact> = Vec::new();
            let mut of = None;
            let mut done = |window: Option<(EventTime, DeviceKey)>, together: &mut Vec<Contact>| {
                #[expect(clippy::drain_collect, reason = "a vector of its size, while the roomy one is filled again")]
                let contacts: Vec<Contact> = together.drain(..).collect();
                part.extend(window.and_then(|(start, device)| place_of(start, device)).map(|place| (place, contacts)));
            };
            let wanted = Wanted { time_column: "window_start", range: &range, columns: &[] };
            for_each_batch(file, Table::Contacts, TextLayout::Dictionary, Some(wanted), |batch| {
                restore::contacts(batch, &range, &keys, |start, device, contact| {
                    if of != Some((start, device)) {
                        done(of.replace((start, device)), &mut together);
                    }
                    together.push(contact);
                })
            })?;
            done(of, &mut together);
            Ok(())
        })?;
        for (place, contacts) in contacts.into_iter().flatten() {
            windows[place].contacts = contacts;
        }
        Ok(windows)
    }
}

fn remove_all(paths: &mut Vec<PathBuf>) -> Result<(), Error> {
    while let Some(path) = paths.last() {
        remove(path)?;
        paths.pop();
    }
    Ok(())
}

/// What `read` makes of each file, in the order of the files.
fn read_side_by_side<T: Send>(
    files: &[PathBuf],
    read: impl Fn(&[PathBuf], &mut Vec<T>) -> Result<(), Error> + Sync,
) -> Result<Vec<Vec<T>>, Error> {
    let read_file = |file| {
        let mut part = Vec::new();
        read(std::slice::from_ref(file), &mut part).map(|()| part)
    };
    files.par_iter().map(read_file).collect()
}

/// One writer at a time; the lock goes with the process, however it ends.
fn lock(dir: &Path) -> Result<File, Error> {
    let path = dir.join(LOCK);
    let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(Error::write(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(Error::Busy { dir: dir.to_owned() }),
        // A file system without locks: the operator sees to it that one process writes.
        Err(fs::TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => Ok(file),
        Err(fs::TryLockError::Error(error)) => Err(Error::write(&path)(error)),
    }
}

/// A folder that is empty, missing, or a store; anything else is somebody's.
fn refuse_foreign(dir: &Path) -> Result<(), Error> {
    let foreign = |found: String| Err(Error::NotEmpty { dir: dir.to_owned(), found });
    if dir.exists() && !dir.is_dir() {
        return Err(Error::NotAFolder { dir: dir.to_owned() });
    }
    let names = names_in(dir)?;
    let tables = dir.join(TABLES);
    if tables.is_file() {
        return foreign(TABLES.to_owned());
    }
    if let Some(name) =
        names_in(&tables)?.into_iter().find(|name| !name.starts_with('.') && Table::from_name(name).is_none())
    {
        return foreign(format!("{TABLES}/{name}"));
    }
    if names.iter().any(|name| name == RUN) {
        return Ok(());
    }
    // Others have a `manifest.json`, too: alone, only one that reads as ours counts.
    match Manifest::load(dir) {
        Ok(_) => return Ok(()),
        Err(Error::Damaged { .. }) => return foreign(MANIFEST.to_owned()),
        Err(Error::NotAStore { .. } | Error::NoSuchFolder { .. }) => {}
        Err(error) => return Err(error),
    }
    let half_made = |name: &str| name.starts_with(MANIFEST) && is_draft(name);
    // A folder of our tables alone: a store whose manifest was not written yet, or is already removed.
    let ours = |name: &str| name == LOCK || name == TURN || name == TABLES || name == memory::FOLDER || half_made(name);
    match names.into_iter().find(|name| !ours(name)) {
        Some(found) => foreign(found),
        None => Ok(()),
    }
}
