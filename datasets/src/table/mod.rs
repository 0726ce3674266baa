//! A labelled feature table, for judging a detector apart from the pipeline: rows of numbers and a column of 0 and 1.
//!
//! Measures of ranking are in [`ranking`]; they know nothing of files.

mod error;
pub mod ranking;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use csv::{StringRecord, Trim};
use flate2::bufread::MultiGzDecoder;

pub use error::TableError;

/// A table whose rows are labelled normal or anomalous, with at least one of each.
#[derive(Debug, Clone, PartialEq)]
pub struct LabelledTable {
    /// Names of the feature columns, in the file's order.
    pub features: Vec<String>,
    /// Finite numbers, row by row, `features.len()` to a row.
    pub values: Vec<f64>,
    /// Whether the row is an anomaly.
    pub anomalous: Vec<bool>,
}

impl LabelledTable {
    /// Reads a CSV file with a header line, plain, gzip or zstd by its content. All columns but `label` are features.
    ///
    /// # Errors
    /// When the file cannot be read, has no such column, no rows, a cell that is not a finite number, a label other than
    /// 0 and 1, or rows of one label only.
    pub fn read(path: &Path, label: &str) -> Result<Self, TableError> {
        let read_error = |problem| TableError::Open { path: path.to_path_buf(), problem };
        let mut file = BufReader::new(File::open(path).map_err(read_error)?);
        match file.fill_buf().map_err(read_error)? {
            [0x1f, 0x8b, ..] => Self::parse(MultiGzDecoder::new(file), path, label),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => {
                let decoder = zstd::Decoder::with_buffer(file).map_err(read_error)?;
                Self::parse(decoder, path, label)
            }
            _ => Self::parse(file, path, label),
        }
    }

    /// Parses decompressed text; `path` only names it in errors.
    fn parse(text: impl Read, path: &Path, label: &str) -> Result<Self, TableError> {
        let path_buf = || path.to_path_buf();
        let csv_error = |problem| TableError::Csv { path: path.to_path_buf(), problem };
        let mut reader = csv::ReaderBuilder::new().trim(Trim::All).from_reader(text);
        let columns = reader.headers().map_err(csv_error)?.clone();
        if columns.is_empty() {
            return Err(TableError::Empty { path: path_buf() });
        }
        let Some(label_index) = columns.iter().position(|column| column == label) else {
            let columns = columns.iter().map(|column| format!("`{column}`")).collect::<Vec<_>>().join(", ");
            return Err(TableError::NoLabel { path: path_buf(), label: label.to_string(), columns });
        };
        let mut features: Vec<String> = columns.iter().map(str::to_string).collect();
        features.remove(label_index);
        if features.is_empty() {
            return Err(TableError::NoFeatures { path: path_buf(), label: label.to_string() });
        }

        let mut table = Self { features, values: Vec::new(), anomalous: Vec::new() };
        let mut record = StringRecord::new();
        while reader.read_record(&mut record).map_err(csv_error)? {
            let line = record.position().map_or(0, csv::Position::line);
            for (index, cell) in record.iter().enumerate() {
                let bad_cell = |expected| TableError::Cell {
                    path: path_buf(),
                    line,
                    column: columns[index].to_string(),
                    value: cell.to_string(),
                    expected,
                };
                let value = cell.parse().unwrap_or(f64::NAN);
                if index != label_index {
                    if !f64::is_finite(value) {
                        return Err(bad_cell("a finite number; fill or drop the row"));
                    }
                    table.values.push(value);
                } else if value == 0.0 || value == 1.0 {
                    table.anomalous.push(value == 1.0);
                } else {
                    return Err(bad_cell("0 (normal) or 1 (anomaly)"));
                }
            }
        }
        table.check_labels(path)?;
        Ok(table)
    }

    /// Number of rows labelled as anomalies.
    pub fn anomalies(&self) -> usize {
        self.anomalous.iter().filter(|&&anomalous| anomalous).count()
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.anomalous.len()
    }

    fn check_labels(&self, path: &Path) -> Result<(), TableError> {
        if self.anomalous.is_empty() {
            return Err(TableError::Empty { path: path.to_path_buf() });
        }
        let anomalies = self.anomalies();
        if anomalies == 0 {
            return Err(TableError::OneLabel { path: path.to_path_buf(), label: 0 });
        }
        if anomalies == self.rows() {
            return Err(TableError::OneLabel { path: path.to_path_buf(), label: 1 });
        }
        Ok(())
    }
}
