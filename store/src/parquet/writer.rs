//! Files that are there whole or not at all: written under a temporary name in the same folder, synced, renamed, and the
//! folder synced, so that a name never stands for half of its content, whenever the process or the machine stops.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::datatypes::{DataType, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use crate::config::Config;
use crate::error::Error;

/// Ends every temporary name; whoever opens the store for writing removes what a crash left.
const TEMPORARY: &str = ".tmp";

/// Whether a [`Draft`] was called so on its way: `<name>.<number>.tmp`.
pub(super) fn is_draft(name: &str) -> bool {
    let number = name.strip_suffix(TEMPORARY).and_then(|rest| rest.rsplit_once('.'));
    number.is_some_and(|(_, number)| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// A file on its way: dropped before [`Draft::publish`], it leaves nothing.
pub(super) struct Draft {
    path: PathBuf,
    temporary: PathBuf,
    file: Option<BufWriter<File>>,
}

impl Draft {
    pub(super) fn new(path: &Path) -> Result<Draft, Error> {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        let mut name = path.file_name().map(OsString::from).unwrap_or_default();
        name.push(format!(".{}{TEMPORARY}", COUNTER.fetch_add(1, Ordering::Relaxed)));
        let temporary = path.with_file_name(name);
        let file = File::create(&temporary).map_err(Error::write(path))?;
        Ok(Draft { path: path.to_owned(), temporary, file: Some(BufWriter::with_capacity(1 << 18, file)) })
    }

    /// Makes the file durable under its name; returns its length in bytes.
    pub(super) fn publish(mut self) -> Result<u64, Error> {
        self.finish().map_err(Error::write(&self.path))
    }

    fn finish(&mut self) -> io::Result<u64> {
        let Some(writer) = self.file.take() else { return Ok(0) };
        let file = writer.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.sync_all()?;
        let length = file.metadata()?.len();
        fs::rename(&self.temporary, &self.path)?;
        sync_folder_of(&self.path)?;
        Ok(length)
    }
}

impl Write for Draft {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.file {
            Some(file) => file.write(bytes),
            None => Ok(0),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.as_mut().map_or(Ok(()), BufWriter::flush)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if let Some(writer) = self.file.take() {
            // What is buffered must not be written once more to a full disk.
            drop(writer.into_parts());
        }
        // After publishing there is no such name any more; otherwise the next writer removes what cannot be now.
        let _ = fs::remove_file(&self.temporary);
    }
}

/// Writes a small file (the manifest, a run's description, a score card) whole or not at all.
///
/// # Errors
/// Names the file; a file of that name that was there before is untouched.
pub fn write_file(path: &Path, content: &[u8]) -> Result<(), Error> {
    let mut draft = Draft::new(path)?;
    draft.write_all(content).map_err(Error::write(path))?;
    draft.publish().map(|_| ())
}

pub(super) fn sync_folder_of(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

/// How long a file is to stay, which decides what its compression may cost.
#[derive(Clone, Copy)]
pub(super) enum Stays {
    /// Until the next compaction: Snappy takes a fifth of zstd's time, and a fifth more room.
    UntilMerged,
    ForGood,
}

/// A Parquet file on its way.
pub(super) struct ParquetDraft {
    writer: ArrowWriter<Draft>,
    path: PathBuf,
    pub(super) rows: usize,
}

impl ParquetDraft {
    pub(super) fn new(path: &Path, schema: SchemaRef, stays: Stays, config: &Config) -> Result<ParquetDraft, Error> {
        // The Arrow schema is left out of the file: text is text there, whichever layout the writer had in memory.
        let options = ArrowWriterOptions::new()
            .with_properties(properties(&schema, stays, config)?)
            .with_skip_arrow_metadata(true);
        let writer = ArrowWriter::try_new_with_options(Draft::new(path)?, schema, options)
            .map_err(|error| write_error(path, error))?;
        Ok(ParquetDraft { writer, path: path.to_owned(), rows: 0 })
    }

    pub(super) fn write(&mut self, batch: &RecordBatch) -> Result<(), Error> {
        self.rows += batch.num_rows();
        self.writer.write(batch).map_err(|error| write_error(&self.path, error))
    }

    /// Returns the length of the file in bytes.
    pub(super) fn publish(self) -> Result<u64, Error> {
        let path = self.path;
        self.writer.into_inner().map_err(|error| write_error(&path, error))?.publish()
    }
}

/// Dictionaries for texts only: for numbers they cost a hash a cell and compression finds the same repetitions. Statistics for
/// times only: a step has all of its lane's devices, so nothing could be skipped by a text's.
fn properties(schema: &Schema, stays: Stays, config: &Config) -> Result<WriterProperties, Error> {
    let level = ZstdLevel::try_new(config.compression_level).map_err(|_| Error::Config {
        setting: "compression_level",
        value: config.compression_level.to_string(),
        expected: "1 to 22",
    })?;
    let mut properties = WriterProperties::builder()
        .set_compression(match stays {
            Stays::UntilMerged => Compression::SNAPPY,
            Stays::ForGood => Compression::ZSTD(level),
        })
        .set_max_row_group_row_count(Some(config.row_group_rows))
        .set_statistics_enabled(EnabledStatistics::None)
        .set_dictionary_enabled(false)
        .set_offset_index_disabled(true);
    for field in schema.fields() {
        let column = ColumnPath::from(field.name().as_str());
        let is_text = matches!(field.data_type(), DataType::Utf8 | DataType::Utf8View | DataType::Dictionary(..));
        if is_text {
            properties = properties.set_column_dictionary_enabled(column.clone(), true);
        }
        // Times and record positions ascend, counts are small: differences in few bits leave the compression little to do.
        if field.data_type().is_integer() || matches!(field.data_type(), DataType::Timestamp(..)) {
            properties = properties.set_column_encoding(column.clone(), Encoding::DELTA_BINARY_PACKED);
        }
        if matches!(field.data_type(), DataType::Timestamp(..)) {
            properties = properties.set_column_statistics_enabled(column, EnabledStatistics::Chunk);
        }
    }
    Ok(properties.build())
}

/// The I/O error a Parquet error wraps, with its kind.
fn write_error(path: &Path, error: ParquetError) -> Error {
    let source = match error {
        ParquetError::External(inner) => match inner.downcast::<io::Error>() {
            Ok(io_error) => *io_error,
            Err(other) => io::Error::other(other.to_string()),
        },
        other => io::Error::other(other.to_string()),
    };
    Error::Write { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draft_that_is_dropped_leaves_what_was_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run.json");
        write_file(&path, b"first").unwrap();
        let mut draft = Draft::new(&path).unwrap();
        draft.write_all(b"second, unfinished").unwrap();
        drop(draft);
        assert_eq!(fs::read(&path).unwrap(), b"first");
        write_file(&path, b"second").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"second");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "temporary files were left");
    }

    #[test]
    fn a_folder_that_is_missing_is_named() {
        let text = write_file(Path::new("/nowhere/at/all/run.json"), b"x").unwrap_err().to_string();
        assert!(text.contains("`/nowhere/at/all/run.json`"), "{text}");
    }
}
