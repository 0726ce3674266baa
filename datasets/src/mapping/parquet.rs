//! Parquet as batches in the order of its rows, only the columns the `select` reads. Texts come as views, so that equal
//! ones are told by their place in a dictionary page.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::array::UInt64Array;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::parquet::arrow::ProjectionMask;
use datafusion::parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};

use super::Scanned;
use crate::error::Error;

pub(super) struct ParquetScan {
    reader: ParquetRecordBatchReader,
    path: Arc<Path>,
    schema: SchemaRef,
    rows: u64,
    read: u64,
}

/// Opened far enough to name its columns.
pub(super) struct ParquetFile {
    file: File,
    path: Arc<Path>,
    metadata: ArrowReaderMetadata,
}

impl ParquetFile {
    pub fn open(path: &Path) -> Result<ParquetFile, Error> {
        let file = File::open(path).map_err(|source| Error::Read { path: path.to_path_buf(), source })?;
        let wrong = |error: datafusion::parquet::errors::ParquetError| Error::Parquet {
            path: path.to_path_buf(),
            problem: error.to_string(),
        };
        let own = ArrowReaderMetadata::load(&file, ArrowReaderOptions::new()).map_err(wrong)?;
        let views = ArrowReaderOptions::new().with_schema(with_views(own.schema()));
        // A file whose types do not allow it is read with its own.
        let metadata = ArrowReaderMetadata::try_new(own.metadata().clone(), views).unwrap_or(own);
        Ok(ParquetFile { file, path: path.into(), metadata })
    }

    pub fn schema(&self) -> &SchemaRef {
        self.metadata.schema()
    }

    /// Only the columns named; a name is one of the top level.
    pub fn scan(self, used: &[String], rows: usize) -> Result<ParquetScan, Error> {
        let fields = self.metadata.schema().fields();
        let places = fields.iter().enumerate().filter(|(_, field)| used.contains(field.name())).map(|(place, _)| place);
        let mask = ProjectionMask::roots(self.metadata.parquet_schema(), places);
        let rows_in_file = self.metadata.metadata().file_metadata().num_rows();
        let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(self.file, self.metadata)
            .with_projection(mask)
            .with_batch_size(rows)
            .build()
            .map_err(|error| Error::Parquet { path: self.path.to_path_buf(), problem: error.to_string() })?;
        let schema = arrow::array::RecordBatchReader::schema(&reader);
        Ok(ParquetScan { reader, path: self.path, schema, rows: u64::try_from(rows_in_file).unwrap_or(0), read: 0 })
    }
}

impl ParquetScan {
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// `None` at the end. A damaged page ends the run: nothing behind it can be found.
    pub fn next(&mut self) -> Result<Option<Scanned>, ingest::Error> {
        let Some(batch) = self.reader.next() else {
            return Ok(None);
        };
        let batch = batch.map_err(|error| ingest::Error::Read {
            path: self.path.to_path_buf(),
            source: std::io::Error::other(error),
        })?;
        let from = self.read;
        self.read += batch.num_rows() as u64;
        let offsets = UInt64Array::from_iter_values(from..self.read);
        let progress = if self.rows == 0 { 1.0 } else { self.read as f64 / self.rows as f64 };
        Ok(Some(Scanned { batch, offsets, rejected: Vec::new(), progress }))
    }
}

fn with_views(schema: &SchemaRef) -> SchemaRef {
    let view = |field: &Arc<Field>| match field.data_type() {
        DataType::Utf8 | DataType::LargeUtf8 => field.as_ref().clone().with_data_type(DataType::Utf8View),
        _ => field.as_ref().clone(),
    };
    Arc::new(Schema::new_with_metadata(schema.fields().iter().map(view).collect::<Vec<_>>(), schema.metadata().clone()))
}
