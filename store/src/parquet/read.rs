//! Reading whole tables without SQL: batches straight from the files, row groups outside the asked time skipped.

use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};

use arrow::record_batch::RecordBatch;
use fleet::EventTime;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::statistics::Statistics;

use crate::dictionary::{Table, TextLayout};
use crate::error::Error;

/// Rows of a batch: few enough for memory, many enough that converting a batch's dictionaries costs little.
const BATCH_ROWS: usize = 65_536;

/// All event time.
pub const ALWAYS: Range<EventTime> = EventTime::MIN..EventTime::MAX;

/// Rows with `time_column` in `from..until` are wanted; batches may hold others too.
pub(super) struct Wanted<'a> {
    pub(super) time_column: &'a str,
    pub(super) range: &'a Range<EventTime>,
    /// Columns; all of them when it is empty.
    pub(super) columns: &'a [&'a str],
}

pub(super) fn for_each_batch(
    files: &[PathBuf],
    table: Table,
    layout: TextLayout,
    wanted: Option<Wanted<'_>>,
    mut take: impl FnMut(&RecordBatch) -> Result<(), Error>,
) -> Result<(), Error> {
    let options = ArrowReaderOptions::new().with_schema(table.schema(layout));
    for path in files {
        let file = File::open(path).map_err(Error::read(path))?;
        let mut builder = ParquetRecordBatchReaderBuilder::try_new_with_options(file, options.clone())
            .map_err(|error| Error::damaged(path, error))?
            .with_batch_size(BATCH_ROWS);
        if let Some(wanted) = &wanted {
            let chosen = row_groups(builder.metadata().row_groups(), wanted);
            builder = builder.with_row_groups(chosen);
            if !wanted.columns.is_empty() {
                let mask = ProjectionMask::columns(builder.parquet_schema(), wanted.columns.iter().copied());
                builder = builder.with_projection(mask);
            }
        }
        let reader = builder.build().map_err(|error| Error::damaged(path, error))?;
        for batch in reader {
            take(&batch.map_err(|error| Error::damaged(path, error))?)?;
        }
    }
    Ok(())
}

/// Row groups that may hold a wanted row.
fn row_groups(groups: &[RowGroupMetaData], wanted: &Wanted<'_>) -> Vec<usize> {
    let mut chosen = Vec::with_capacity(groups.len());
    for (index, group) in groups.iter().enumerate() {
        let column = group.columns().iter().find(|column| column.column_descr().name() == wanted.time_column);
        if let Some(Statistics::Int64(times)) = column.and_then(|column| column.statistics())
            && let (Some(least), Some(greatest)) = (times.min_opt(), times.max_opt())
            && (*greatest < wanted.range.start.0 || *least >= wanted.range.end.0)
        {
            continue;
        }
        chosen.push(index);
    }
    chosen
}

/// Rows of one file, from its footer.
pub(super) fn count_rows(path: &Path) -> Result<u64, Error> {
    let file = File::open(path).map_err(Error::read(path))?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|error| Error::damaged(path, error))?;
    Ok(builder.metadata().file_metadata().num_rows().unsigned_abs())
}
