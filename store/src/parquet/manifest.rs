//! Which files make up a table.
//!
//! A table is its compacted files, if the manifest names any, and every other `.parquet` file in its folder that the
//! manifest does not call covered. The manifest changes in one rename, so between any two moments of a compaction a
//! reader sees each row once: before the rename the new file counts for nothing, after it the old ones do.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use fleet::EventTime;
use serde::{Deserialize, Serialize};

use super::writer::write_file;
use crate::dictionary::Table;
use crate::error::Error;

pub(super) const MANIFEST: &str = "manifest.json";
pub(super) const TABLES: &str = "tables";
const SUFFIX: &str = ".parquet";
const COMPACTED: &str = "compacted-";
const FORMAT: u32 = 1;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest {
    /// Of this file and of the tables' layout.
    pub(super) format: u32,
    /// Counts compactions; the next one writes `compacted-<generation + 1>.parquet`.
    pub(super) generation: u64,
    #[serde(default)]
    pub(super) tables: BTreeMap<String, Compacted>,
}

/// A table's compacted files, and what their rows came from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Compacted {
    /// The last one, which the next compaction takes up, and its rows.
    pub(super) file: String,
    pub(super) rows: u64,
    /// Those before it, which stay as they are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) full: Vec<String>,
    /// By lane: every step whose last tick is at or before this (microseconds) is in the files.
    #[serde(default)]
    pub(super) steps: BTreeMap<u32, i64>,
    /// Files that are no step's, by name.
    #[serde(default)]
    pub(super) names: BTreeSet<String>,
}

impl Default for Manifest {
    fn default() -> Manifest {
        Manifest { format: FORMAT, generation: 0, tables: BTreeMap::new() }
    }
}

impl Manifest {
    pub(super) fn load(dir: &Path) -> Result<Manifest, Error> {
        let path = dir.join(MANIFEST);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(if dir.is_dir() {
                    Error::NotAStore { dir: dir.to_owned() }
                } else {
                    Error::NoSuchFolder { dir: dir.to_owned() }
                });
            }
            Err(error) => return Err(Error::read(&path)(error)),
        };
        let manifest: Manifest = serde_json::from_str(&text).map_err(|error| Error::damaged(&path, error))?;
        if manifest.format != FORMAT {
            let problem = format!("format `{}` of another version, expected {FORMAT}", manifest.format);
            return Err(Error::damaged(&path, problem));
        }
        Ok(manifest)
    }

    pub(super) fn save(&self, dir: &Path) -> Result<(), Error> {
        let path = dir.join(MANIFEST);
        let text = serde_json::to_vec_pretty(self).map_err(|error| Error::damaged(&path, error))?;
        write_file(&path, &text)
    }

    pub(super) fn compacted(&self, table: Table) -> Option<&Compacted> {
        self.tables.get(table.name())
    }

    /// Whether the rows of this file are in the table's compacted files already.
    pub(super) fn covers(&self, table: Table, name: &FileName) -> bool {
        self.compacted(table).is_some_and(|compacted| compacted.covers(name))
    }
}

impl Compacted {
    pub(super) fn files(&self) -> impl Iterator<Item = &str> {
        self.full.iter().chain([&self.file]).map(String::as_str).filter(|file| !file.is_empty())
    }

    fn covers(&self, name: &FileName) -> bool {
        match name {
            FileName::Step { lane, last, .. } => self.steps.get(lane).is_some_and(|through| *last <= *through),
            FileName::Named(name) => self.names.contains(name),
        }
    }

    pub(super) fn cover(&mut self, name: FileName) {
        match name {
            FileName::Step { lane, last, .. } => {
                let through = self.steps.entry(lane).or_insert(last);
                *through = (*through).max(last);
            }
            FileName::Named(name) => {
                self.names.insert(name);
            }
        }
    }
}

/// What a file of a table holds, told by its name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum FileName {
    /// A lane's step, by the ends of its first and last tick, microseconds.
    Step {
        lane: u32,
        first: i64,
        last: i64,
    },
    Named(String),
}

impl FileName {
    pub(super) fn step(lane: u32, first: EventTime, last: EventTime) -> FileName {
        FileName::Step { lane, first: first.0, last: last.0 }
    }

    /// # Errors
    /// What is no plain file name, or one of the store's own.
    pub(super) fn named(name: &str) -> Result<FileName, Error> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if name.is_empty() || name.starts_with('.') || name.starts_with(COMPACTED) || !name.bytes().all(plain) {
            return Err(Error::FileName { name: name.to_owned() });
        }
        Ok(FileName::of_stem(name))
    }

    /// `None` for what is no table's file, and for compacted files, which count only when the manifest names them.
    fn of_file(file: &str) -> Option<FileName> {
        let stem = file.strip_suffix(SUFFIX)?;
        if stem.starts_with(COMPACTED) { None } else { Some(FileName::of_stem(stem)) }
    }

    fn of_stem(stem: &str) -> FileName {
        let named = || FileName::Named(stem.to_owned());
        let mut parts = stem.split('-');
        let (Some(lane), Some(first), Some(last), None) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return named();
        };
        let (Ok(lane), Ok(first), Ok(last)) = (lane.parse(), first.parse(), last.parse()) else { return named() };
        let step = FileName::Step { lane, first, last };
        // `007-1-2` parses too but would be written back under another name.
        if step.stem() == stem { step } else { named() }
    }

    fn stem(&self) -> String {
        match self {
            FileName::Step { lane, first, last } => format!("{lane}-{first}-{last}"),
            FileName::Named(name) => name.clone(),
        }
    }

    pub(super) fn file(&self) -> String {
        self.stem() + SUFFIX
    }
}

pub(super) fn table_dir(dir: &Path, table: Table) -> PathBuf {
    dir.join(TABLES).join(table.name())
}

pub(super) fn compacted_name(generation: u64) -> String {
    format!("{COMPACTED}{generation}{SUFFIX}")
}

pub(super) fn is_compacted(file: &str) -> bool {
    file.starts_with(COMPACTED) && file.ends_with(SUFFIX)
}

/// The names in a folder, sorted; none when it does not exist.
pub(super) fn names_in(folder: &Path) -> Result<Vec<String>, Error> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::read(folder)(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        // A name that is not UTF-8 is none of ours.
        if let Ok(name) = entry.map_err(Error::read(folder))?.file_name().into_string() {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// The files of a table that no compaction has taken up, in the order of their names.
pub(super) fn loose_files(dir: &Path, table: Table, manifest: &Manifest) -> Result<Vec<FileName>, Error> {
    let mut files: Vec<FileName> =
        names_in(&table_dir(dir, table))?.iter().filter_map(|name| FileName::of_file(name)).collect();
    files.retain(|file| !manifest.covers(table, file));
    files.sort();
    Ok(files)
}

/// The paths that make up each table, for a reader of another process too: folders are listed before the manifest is
/// read, so that a compaction in between can make a listed file vanish but never a row count twice or not at all.
pub(super) fn snapshot(dir: &Path) -> Result<BTreeMap<Table, Vec<PathBuf>>, Error> {
    let nothing = Manifest::default();
    let mut listed = Vec::new();
    for table in Table::ALL {
        listed.push((table, loose_files(dir, table, &nothing)?));
    }
    let manifest = Manifest::load(dir)?;
    let mut tables = BTreeMap::new();
    for (table, files) in listed {
        let folder = table_dir(dir, table);
        let compacted = manifest.compacted(table).into_iter().flat_map(Compacted::files).map(|file| folder.join(file));
        let loose = files.iter().filter(|file| !manifest.covers(table, file)).map(|file| folder.join(file.file()));
        tables.insert(table, compacted.chain(loose).collect());
    }
    Ok(tables)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_what_the_file_holds() {
        let step = FileName::step(3, EventTime(60), EventTime(120));
        assert_eq!(step.file(), "3-60-120.parquet");
        assert_eq!(FileName::of_file("3-60-120.parquet"), Some(step));
        assert_eq!(FileName::of_file("03-60-120.parquet"), Some(FileName::Named("03-60-120".to_owned())));
        assert_eq!(FileName::of_file("compacted-1.parquet"), None);
        assert_eq!(FileName::of_file("3-60-120.parquet.7.tmp"), None);
        for bad in ["", ".hidden", "a/b", "../x", "compacted-9", "with space"] {
            assert!(FileName::named(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_a_compaction_covers() {
        let mut compacted = Compacted::default();
        compacted.cover(FileName::step(0, EventTime(60), EventTime(120)));
        compacted.cover(FileName::step(0, EventTime(0), EventTime(30)));
        compacted.cover(FileName::Named("batch-1".to_owned()));
        assert!(compacted.covers(&FileName::step(0, EventTime(90), EventTime(120))));
        assert!(!compacted.covers(&FileName::step(0, EventTime(121), EventTime(180))));
        assert!(!compacted.covers(&FileName::step(1, EventTime(0), EventTime(60))));
        assert!(compacted.covers(&FileName::Named("batch-1".to_owned())));
        assert!(!compacted.covers(&FileName::Named("batch-2".to_owned())));
    }
}
