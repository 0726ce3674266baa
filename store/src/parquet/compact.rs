//! Compaction: the files of committed steps become one file per table, in the table's order, or, where steps come for ever,
//! one after the other: a file that is large enough is not taken up again.
//!
//! Merge (under a temporary name) -> publish the merged files -> swap the manifest -> remove the old files. Before the
//! swap a merged file is not in the manifest and counts for nothing; after it the old files are covered and count for
//! nothing. So a crash between any two of them loses nothing and doubles nothing; what it leaves behind is removed by
//! the next writer.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use fleet::EventTime;

use super::manifest::{Compacted, FileName, Manifest, compacted_name, is_compacted, loose_files, names_in, table_dir};
use super::read::count_rows;
use super::writer::{ParquetDraft, Stays, is_draft};
use crate::config::Config;
use crate::dictionary::{Table, TextLayout};
use crate::error::Error;
use crate::query::engine::Engine;

/// Row groups of a compacted file that is large enough: what a compaction writes again at most.
const ENOUGH: u64 = 4;

/// Files that nobody writes again.
pub(super) struct Settled<'a> {
    /// Steps that end at or before it.
    pub(super) through: EventTime,
    /// Of others, by name.
    pub(super) named: &'a dyn Fn(&str) -> bool,
    /// Of one table at once, the earliest: all of them are sorted together.
    pub(super) at_most: usize,
}

impl Settled<'_> {
    pub(super) fn has(&self, name: &FileName) -> bool {
        match name {
            FileName::Step { last, .. } => *last <= self.through.0,
            FileName::Named(name) => (self.named)(name),
        }
    }

    /// Those of `names` that are merged now. With a step all that end no later are, or they would count as merged.
    fn of(&self, mut names: Vec<FileName>) -> Vec<FileName> {
        names.retain(|name| self.has(name));
        names.sort_by_key(end);
        let mut taken = self.at_most.min(names.len());
        while 0 < taken
            && taken < names.len()
            && end(&names[taken]).is_some_and(|last| end(&names[taken - 1]) == Some(last))
        {
            taken += 1;
        }
        names.truncate(taken);
        names
    }
}

/// Of a step.
fn end(name: &FileName) -> Option<i64> {
    match name {
        FileName::Step { last, .. } => Some(*last),
        FileName::Named(_) => None,
    }
}

/// One compaction on its way.
pub(super) struct Compaction<'a> {
    dir: &'a Path,
    config: &'a Config,
    settled: &'a Settled<'a>,
    engine: Engine,
    /// The manifest as it will be.
    pub(super) next: Manifest,
    merged: Vec<PathBuf>,
    /// What the merged files stand for.
    pub(super) replaced: Vec<PathBuf>,
}

impl<'a> Compaction<'a> {
    /// Merges what is settled; nothing counts yet.
    pub(super) fn merge(
        dir: &'a Path,
        manifest: &Manifest,
        settled: &'a Settled<'a>,
        config: &'a Config,
    ) -> Result<Compaction<'a>, Error> {
        let next = Manifest { generation: manifest.generation + 1, ..manifest.clone() };
        let engine = Engine::new(config)?;
        let mut compaction =
            Compaction { dir, config, settled, engine, next, merged: Vec::new(), replaced: Vec::new() };
        for table in merged_tables() {
            if let Err(error) = compaction.merge_table(table) {
                compaction.give_up();
                return Err(error);
            }
        }
        Ok(compaction)
    }

    fn merge_table(&mut self, table: Table) -> Result<(), Error> {
        let loose = self.settled.of(loose_files(self.dir, table, &self.next)?);
        if loose.is_empty() {
            return Ok(());
        }
        let folder = table_dir(self.dir, table);
        let mut compacted = self.next.compacted(table).cloned().unwrap_or_default();
        if compacted.rows >= ENOUGH * self.config.row_group_rows as u64 {
            compacted.full.push(std::mem::take(&mut compacted.file));
        }
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

    /// Whether nothing was written meanwhile that would count as merged, and is not: whoever says what is settled may err.
    pub(super) fn is_whole(&self, before: &Manifest) -> Result<bool, Error> {
        let replaced: BTreeSet<&Path> = self.replaced.iter().map(PathBuf::as_path).collect();
        for table in merged_tables() {
            let folder = table_dir(self.dir, table);
            for file in loose_files(self.dir, table, before)? {
                if self.next.covers(table, &file) && !replaced.contains(folder.join(file.file()).as_path()) {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// Removes the merged files, which may be what fills the disk. One that stays counts for nothing.
    pub(super) fn give_up(&self) {
        for path in &self.merged {
            let _ = remove(path);
        }
    }
}

pub(super) fn merged_tables() -> impl Iterator<Item = Table> {
    Table::ALL.into_iter().filter(|table| !table.is_written_whole())
}

/// Removes what a crash left: temporary files, merged files that never came into the manifest, files it covers.
pub(super) fn sweep(dir: &Path, manifest: &Manifest) -> Result<(), Error> {
    sweep_temporary(dir)?;
    for table in Table::ALL {
        let folder = table_dir(dir, table);
        sweep_temporary(&folder)?;
        let current: BTreeSet<&str> = manifest.compacted(table).into_iter().flat_map(Compacted::files).collect();
        for name in names_in(&folder)? {
            if is_compacted(&name) && !current.contains(name.as_str()) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earliest_are_merged_first_and_never_a_step_before_one_that_ends_sooner() {
        let step = |lane, first, last| FileName::step(lane, EventTime(first), EventTime(last));
        let all =
            [step(0, 0, 60), step(0, 60, 120), step(0, 90, 120), step(0, 120, 180), step(1, 0, 70), step(1, 70, 900)];
        let of = |at_most| Settled { through: EventTime(180), named: &|_| true, at_most }.of(all.to_vec());
        assert!(of(0).is_empty());
        assert_eq!(of(2), [step(0, 0, 60), step(1, 0, 70)]);
        assert_eq!(of(3), [step(0, 0, 60), step(1, 0, 70), step(0, 60, 120), step(0, 90, 120)], "both that end there");
        assert_eq!(of(9).len(), 5);
        let named = ["a", "b", "c"].map(|name| FileName::Named(name.to_owned()));
        let settled = Settled { through: EventTime(0), named: &|name| name != "a", at_most: 1 };
        assert_eq!(settled.of(named.to_vec()), named[1..2]);
    }
}
