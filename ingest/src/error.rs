//! What stops the ingest room. A line that cannot be decoded does not: it becomes a [`crate::Rejected`].

use std::io;
use std::path::PathBuf;

use thiserror::Error;

#[derive(Debug, Error)]
pub enum Error {
    #[error("`{field}` is `{value}`, expected {expected}; correct it in the section [ingest]")]
    Config { field: &'static str, value: String, expected: &'static str },

    #[error("file `{}` does not exist; check the path, and the folder given with --path", path.display())]
    NotFound { path: PathBuf },

    #[error("`{}` is a folder, expected a file; name the files in it one by one", path.display())]
    IsFolder { path: PathBuf },

    #[error("`{}` is {what}, which cannot be read as lines; {remedy}", path.display())]
    NotLines { path: PathBuf, what: &'static str, remedy: &'static str },

    #[error("cannot read `{}`: {source}; check permissions and the disk", path.display())]
    Read { path: PathBuf, source: io::Error },

    #[error(
        "{rejected} of {total} lines were rejected ({share:.1} %, at most {allowed:.1} % are allowed); {by_reason}; \
         the first ones:\n{examples}\ncheck the format named for the file, or raise `max_rejected_share` under [ingest] (--config)"
    )]
    TooManyRejected { rejected: u64, total: u64, share: f64, allowed: f64, by_reason: String, examples: String },

    #[error("`{field}` is `{value}`, expected {expected}; correct it in the section [source]")]
    SourceConfig { field: &'static str, value: String, expected: &'static str },

    #[error("Kafka, while {doing}: {problem}")]
    Kafka { doing: String, problem: String, retry: bool },

    #[error("inventory `{name}`, line {line}: {problem}")]
    Inventory { name: String, line: u64, problem: String },
}

impl Error {
    /// Whether the same call may succeed later without anybody changing anything.
    pub fn retry(&self) -> bool {
        match self {
            Error::Read { source, .. } => {
                matches!(
                    source.kind(),
                    io::ErrorKind::Interrupted | io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock
                )
            }
            Error::Kafka { retry, .. } => *retry,
            _ => false,
        }
    }
}
