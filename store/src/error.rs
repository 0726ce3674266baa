//! What can go wrong in the store, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use arrow::error::ArrowError;
use datafusion::error::DataFusionError;
use fleet::DeviceKey;
use thiserror::Error;

use crate::dictionary::Table;

#[derive(Debug, Error)]
pub enum Error {
    #[error("folder `{}` does not exist; make a store with `vedette replay ... --out {}`", .dir.display(), .dir.display())]
    NoSuchFolder { dir: PathBuf },

    #[error(
        "`{}` is not a store, expected a `manifest.json` in it; make a store with `vedette replay ... --out {}`",
        .dir.display(), .dir.display()
    )]
    NotAStore { dir: PathBuf },

    #[error("`{}` is not empty and not a store (it holds `{found}`); choose another `--out`, or empty it", .dir.display())]
    NotEmpty { dir: PathBuf, found: String },

    #[error("`{}` is a file, expected a folder; choose another `--out`", .dir.display())]
    NotAFolder { dir: PathBuf },

    #[error("another process is writing to the store `{}`; wait for it to end, or choose another `--out`", .dir.display())]
    Busy { dir: PathBuf },

    #[error("the store `{}` was opened for reading only, expected it to be opened by the run that writes it", .dir.display())]
    ReadOnly { dir: PathBuf },

    #[error(
        "baseline version `{version}` is stored already and is another one; a version is never replaced, use a free number"
    )]
    VersionTaken { version: u32 },

    #[error("cannot write `{}`: {source}; {}", .path.display(), write_remedy(.source))]
    Write { path: PathBuf, source: io::Error },

    #[error("cannot read `{}`: {source}{}", .path.display(), read_remedy(.source))]
    Read { path: PathBuf, source: io::Error },

    #[error("`{}` is damaged: {problem}; replay again with the same `--out`, it starts over", .path.display())]
    Damaged { path: PathBuf, problem: String },

    #[error("table `{}` holds {problem}; it was written by another version, replay again", .table.name())]
    UnknownContent { table: Table, problem: String },

    #[error("rows of table `{}` do not fit its columns: {source}", .table.name())]
    Encode { table: Table, source: ArrowError },

    #[error("device key `{}` was not announced, expected its device before its first window", .key.0)]
    UnknownDevice { key: DeviceKey },

    #[error(
        "`{name}` cannot name a file of a table, expected letters, digits, `-`, `_` and `.`, not `compacted-` first"
    )]
    FileName { name: String },

    #[error("setting `{setting}` is `{value}`, expected {expected}")]
    Config { setting: &'static str, value: String, expected: &'static str },

    #[error("`{name}` is not an output format, expected table, csv or json")]
    Format { name: String },

    /// The text shows the query with a caret where the mistake is known to be.
    #[error("{0}")]
    Sql(String),

    #[error("the query failed: {0}")]
    Query(String),

    #[error("ClickHouse at `{url}`: {problem}")]
    ClickHouse { url: String, problem: String, retry: bool },

    #[error(
        "database `{database}` does not exist at `{url}`, or this user may not see it; correct [store.clickhouse] database, \
         or make it with `vedette migrate`"
    )]
    NoDatabase { url: String, database: String },

    #[error("{problem}")]
    Migration { problem: String },

    #[error("cannot start the query engine: {0}")]
    Engine(String),
}

impl Error {
    /// Whether the same call may succeed later without anybody changing the request.
    pub fn retry(&self) -> bool {
        match self {
            Error::Busy { .. } => true,
            Error::ClickHouse { retry, .. } => *retry,
            Error::Write { source, .. } => !matches!(
                source.kind(),
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::InvalidInput
            ),
            // A file listed a moment ago and compacted since.
            Error::Read { source, .. } => source.kind() == io::ErrorKind::NotFound,
            _ => false,
        }
    }

    pub(crate) fn write(path: &Path) -> impl Fn(io::Error) -> Error + '_ {
        move |source| Error::Write { path: path.to_owned(), source }
    }

    pub(crate) fn read(path: &Path) -> impl Fn(io::Error) -> Error + '_ {
        move |source| Error::Read { path: path.to_owned(), source }
    }

    pub(crate) fn damaged(path: &Path, problem: impl ToString) -> Error {
        Error::Damaged { path: path.to_owned(), problem: problem.to_string() }
    }

    /// Of a query that was understood and then failed.
    pub(crate) fn running(error: &DataFusionError) -> Error {
        Error::Query(error.strip_backtrace())
    }
}

fn write_remedy(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "free space there, or choose another `--out`; what was written before is whole"
        }
        io::ErrorKind::FileTooLarge => "raise the limit on the size of files, or choose another `--out`",
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "make it writable, or choose another `--out`"
        }
        _ => "check the disk, or choose another `--out`",
    }
}

fn read_remedy(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::NotFound => "; the store changed meanwhile, ask again",
        io::ErrorKind::PermissionDenied => "; make it readable",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_names_the_file_and_the_remedy_and_may_be_retried() {
        let full = Error::Write { path: "/out/x.parquet".into(), source: io::ErrorKind::StorageFull.into() };
        let text = full.to_string();
        assert!(text.contains("`/out/x.parquet`") && text.contains("free space"), "{text}");
        assert!(full.retry());
        let denied = Error::Write { path: "/out/x.parquet".into(), source: io::ErrorKind::PermissionDenied.into() };
        assert!(!denied.retry());
    }
}
