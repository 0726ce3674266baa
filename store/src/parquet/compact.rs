//! Compaction: the files of committed steps become one file per table, in the table's order.
//!
//! Merge (under a temporary name) -> publish the merged files -> swap the manifest -> remove the old files. Before the
//! swap a merged file is not in the manifest and counts for nothing; after it the old files are covered and count for
//! nothing. So a crash between any two of them loses nothing and doubles nothing; what it leaves behind is removed by
//! the next writer.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use fleet::EventTime;

use super::manifest::{FileName, Manifest, compacted_name, is_compacted, loose_files, names_in, table_dir};
use super::read::count_rows;
use super::writer::{ParquetDraft, Stays, is_draft};
use crate::config::Config;
use crate::dictionary::{Table, TextLayout};
use crate::error::Error;
use crate::query::engine::Engine;

/// One compaction on its way.
pub(super) struct Compaction<'a> {
    dir: &'a Path,
    config: &'a Config,
    through: EventTime,
    engine: Engine,
    /// The manifest as it will be.
    pub(super) next: Manifest,
    merged: Vec<PathBuf>,
    /// What the merged files stand for.
    pub(super) replaced: Vec<PathBuf>,
}

impl<'a> Compaction<'a> {
    /// Merges what ends at or before `through`; nothing counts yet.
    pub(super) fn merge(
        dir: &'a Path,
        manifest: &Manifest,
        through: EventTime,
        config: &'a Config,
    ) -> Result<Compaction<'a>, Error> {
        let next = Manifest { generation: manifest.generation + 1, ..manifest.clone() };
        let engine = Engine::new(config)?;
        let mut compaction =
            Compaction { dir, config, through, engine, next, merged: Vec::new(), replaced: Vec::new() };
        for table in Table::ALL.into_iter().filter(|table| !table.is_written_whole()) {
            if let Err(error) = compaction.merge_table(table) {
                compaction.give_up();
                return Err(error);
            }
        }
        Ok(compaction)
    }

    fn merge_table(&mut self, table: Table) -> Result<(), Error> {
        let mut loose = loose_files(self.dir, table, &self.next)?;
        loose.retain(|name| !matches!(name, FileName::Step { last, .. } if *last > self.through.0));
        if loose.is_empty() {
            return Ok(());
        }
        let folder = table_dir(self.dir, table);
        let mut compacted = self.next.compacted(table).cloned().unwrap_or_default();
        let mut files: Vec<PathBuf> = loose.iter().map(|name| folder.join(name.file())).collect();
        if !compacted.file.is_empty() {
            files.push(folder.join(&compacted.file));
        }
        let mut expected = 0;
        for file in &files {
            expected += count_rows(file)?;
        }
        compacted.file = compacted_name(self.next.generation);
        let path = folder.join(&compacted.file);
        let mut draft = ParquetDraft::new(&path, table.schema(TextLayout::View), Stays::ForGood, self.config)?;
        self.engine.sorted(table, &files, |batch| draft.write(batch))?;
        compacted.rows = draft.rows as u64;
        if compacted.rows != expected {
            return Err(Error::damaged(&path, format!("{} rows came of {expected}", compacted.rows)));
        }
        draft.publish()?;
        self.merged.push(path);
        self.replaced.extend(files);
        for name in loose {
            compacted.cover(name);
        }
        self.next.tables.insert(table.name().to_owned(), compacted);
        Ok(())
    }

    /// Removes the merged files, which may be what fills the disk. One that stays counts for nothing.
    pub(super) fn give_up(&self) {
        for path in &self.merged {
            let _ = remove(path);
        }
    }
}

/// Removes what a crash left: temporary files, merged files that never came into the manifest, files it covers.
pub(super) fn sweep(dir: &Path, manifest: &Manifest) -> Result<(), Error> {
    sweep_temporary(dir)?;
    for table in Table::ALL {
        let folder = table_dir(dir, table);
        sweep_temporary(&folder)?;
        let current = manifest.compacted(table).map(|compacted| compacted.file.as_str());
        for name in names_in(&folder)? {
            if is_compacted(&name) && Some(name.as_str()) != current {
                remove(&folder.join(name))?;
            }
        }
        for file in loose_files(dir, table, &Manifest::default())? {
            if manifest.covers(table, &file) {
                remove(&folder.join(file.file()))?;
            }
        }
    }
    Ok(())
}

fn sweep_temporary(folder: &Path) -> Result<(), Error> {
    for name in names_in(folder)? {
        if is_draft(&name) {
            remove(&folder.join(name))?;
        }
    }
    Ok(())
}

/// Removes a file that may be gone already.
pub(super) fn remove(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::write(path)(error)),
        _ => Ok(()),
    }
}
