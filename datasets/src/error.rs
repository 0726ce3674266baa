//! What can be wrong with a data set as a whole. A record that cannot be read is no error: it is rejected and counted.

use std::path::{Path, PathBuf};

use thiserror::Error;

#[derive(Debug, Error)]
pub enum Error {
    #[error("folder `{}` does not exist; --path takes the folder that holds the files of the data set{}", path.display(), at(homepage))]
    MissingFolder { path: PathBuf, homepage: Option<String> },

    #[error(
        "{what} `{name}` is neither {}; correct the path, or name the folder that holds it with --path DIR{}",
        tried(looked_in),
        at(homepage)
    )]
    MissingFile { what: &'static str, name: String, looked_in: Vec<PathBuf>, homepage: Option<String> },

    #[error("cannot read `{}`: {source}; check the path and its permissions", path.display())]
    Read { path: PathBuf, source: std::io::Error },

    /// Syntax and unknown keys; the problem shows line and caret.
    #[error("`{}` is not a data set:\n{problem}", path.display())]
    Descriptor { path: PathBuf, problem: String },

    #[error("episodes `{}`: {problem}", path.display())]
    Episodes { path: PathBuf, problem: String },

    #[error("the `select` of `{file}` {problem}")]
    Select { file: String, problem: String },

    #[error("`{}` is not a Parquet file that can be read: {problem}; check that it is whole", path.display())]
    Parquet { path: PathBuf, problem: String },

    #[error(
        "`{dataset}` has more than {limit} readings, too many to sort in memory; sort the file by event time and set \
         `order = \"arrival\"`"
    )]
    TooManyToSort { dataset: String, limit: usize },

    #[error(transparent)]
    Ingest(#[from] ingest::Error),

    #[error(transparent)]
    Store(#[from] store::Error),

    #[error("`{}` cannot be read: {problem}; replay again with the same `--out`", path.display())]
    Run { path: PathBuf, problem: String },

    #[error("rows of a query are not as expected: {0}")]
    Rows(String),
}

impl Error {
    /// Whether the same call may succeed later without anybody changing anything.
    pub fn retry(&self) -> bool {
        use std::io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
        match self {
            Error::Read { source, .. } => matches!(source.kind(), Interrupted | TimedOut | WouldBlock),
            Error::Ingest(error) => error.retry(),
            Error::Store(error) => error.retry(),
            _ => false,
        }
    }
}

fn at(homepage: &Option<String>) -> String {
    homepage.as_ref().map_or(String::new(), |address| format!(" (they are published at {address})"))
}

fn tried(folders: &[PathBuf]) -> String {
    let quoted = |path: &PathBuf| format!("`{}`", shown(path).display());
    match folders {
        [] => "there nor elsewhere".to_string(),
        [only] => format!("absolute nor in {}", quoted(only)),
        [rest @ .., last] => {
            format!("in {} nor in {}", rest.iter().map(quoted).collect::<Vec<_>>().join(", "), quoted(last))
        }
    }
}

fn shown(path: &Path) -> &Path {
    if path.as_os_str().is_empty() { Path::new(".") } else { path }
}
