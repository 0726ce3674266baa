//! What can be wrong with a labelled table; every message names the file.

use std::path::PathBuf;

/// Why a labelled table could not be read. What lies below is part of the message, before the remedy, and not also a
/// `source`, which would print it twice.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    #[error("cannot open `{}`: {problem}; check the path", path.display())]
    Open { path: PathBuf, problem: std::io::Error },
    #[error("cannot read `{}` as CSV: {problem}; check that the file is whole", path.display())]
    Csv { path: PathBuf, problem: csv::Error },
    #[error("`{}` has no rows; expected a line of column names and a line for each row", path.display())]
    Empty { path: PathBuf },
    #[error("`{}` has no column `{label}`, only {columns}; name the label's column with --label", path.display())]
    NoLabel { path: PathBuf, label: String, columns: String },
    #[error("`{}` has no column besides `{label}`; expected at least one feature", path.display())]
    NoFeatures { path: PathBuf, label: String },
    #[error("`{}` line {line}, column `{column}` is `{value}`, expected {expected}", path.display())]
    Cell { path: PathBuf, line: u64, column: String, value: String, expected: &'static str },
    #[error("all rows of `{}` are labelled {label}; ranking needs both 0 (normal) and 1 (anomaly)", path.display())]
    OneLabel { path: PathBuf, label: u8 },
}

impl TableError {
    /// Whether the same call may succeed later: only when the file system said no.
    pub fn retry(&self) -> bool {
        matches!(self, Self::Open { problem, .. } if problem.kind() != std::io::ErrorKind::NotFound)
    }
}
