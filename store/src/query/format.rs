//! Answers as text: an aligned table for people, CSV and JSON for programs.

use std::io::{self, Write};
use std::str::FromStr;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, StringArray, TimestampMicrosecondArray};
use arrow::compute::cast;
use arrow::csv;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::error::ArrowError;
use arrow::json::writer::{JsonFormat, Writer as JsonWriter};
use arrow::record_batch::RecordBatch;
use arrow::util::display::array_value_to_string;
use arrow::util::pretty::pretty_format_batches;
use fleet::EventTime;

use crate::error::Error;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    #[default]
    Table,
    /// RFC 4180 with a header; null is an empty field.
    Csv,
    /// One array, an object a row and a line.
    Json,
}

impl FromStr for Format {
    type Err = Error;

    fn from_str(name: &str) -> Result<Format, Error> {
        match name {
            "table" => Ok(Format::Table),
            "csv" => Ok(Format::Csv),
            "json" => Ok(Format::Json),
            _ => Err(Error::Format { name: name.to_owned() }),
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct RowPerLine;

impl JsonFormat for RowPerLine {
    fn start_stream<W: Write>(&self, writer: &mut W) -> Result<(), ArrowError> {
        Ok(writer.write_all(b"[")?)
    }

    fn start_row<W: Write>(&self, writer: &mut W, is_first_row: bool) -> Result<(), ArrowError> {
        Ok(writer.write_all(if is_first_row { b"\n" } else { b",\n" })?)
    }

    fn end_stream<W: Write>(&self, writer: &mut W) -> Result<(), ArrowError> {
        Ok(writer.write_all(b"\n]\n")?)
    }
}

/// CSV and JSON are written as they come; a table needs all rows to know its widths.
pub(super) enum Printer<'w, W: Write> {
    Table { out: &'w mut W, batches: Vec<RecordBatch> },
    Csv(Box<csv::Writer<&'w mut W>>),
    Json(JsonWriter<&'w mut W, RowPerLine>),
}

impl<'w, W: Write> Printer<'w, W> {
    pub(super) fn new(format: Format, out: &'w mut W) -> Printer<'w, W> {
        match format {
            Format::Table => Printer::Table { out, batches: Vec::new() },
            Format::Csv => Printer::Csv(Box::new(csv::WriterBuilder::new().with_header(true).build(out))),
            Format::Json => Printer::Json(arrow::json::WriterBuilder::new().with_explicit_nulls(true).build(out)),
        }
    }

    pub(super) fn print(&mut self, batch: &RecordBatch) -> Result<(), Error> {
        let nested_too = matches!(self, Printer::Csv(_));
        let batch = printable(batch, nested_too).map_err(output)?;
        match self {
            Printer::Table { batches, .. } => {
                batches.push(batch);
                Ok(())
            }
            Printer::Csv(writer) => writer.write(&batch).map_err(output),
            Printer::Json(writer) => writer.write(&batch).map_err(output),
        }
    }

    /// `schema`: of the answer, for its header when it has no rows.
    pub(super) fn finish(mut self, schema: SchemaRef) -> Result<(), Error> {
        // An answer without rows still has a header.
        if !matches!(self, Printer::Json(_)) {
            self.print(&RecordBatch::new_empty(schema))?;
        }
        match self {
            Printer::Table { out, batches } => {
                let table = pretty_format_batches(&batches).map_err(output)?;
                writeln!(out, "{table}").map_err(|error| output(ArrowError::from(error)))
            }
            Printer::Csv(_) => Ok(()),
            Printer::Json(mut writer) => writer.finish().map_err(output),
        }
    }
}

fn output(error: ArrowError) -> Error {
    match error {
        ArrowError::IoError(_, source) => Error::Write { path: "standard output".into(), source },
        other => Error::Write { path: "standard output".into(), source: io::Error::other(other) },
    }
}

/// The batch with its times (and for CSV its lists and structures) as text.
fn printable(batch: &RecordBatch, nested_too: bool) -> Result<RecordBatch, ArrowError> {
    let mut fields = Vec::with_capacity(batch.num_columns());
    let mut columns = Vec::with_capacity(batch.num_columns());
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        let text = match column.data_type() {
            DataType::Timestamp(..) => Some(times(column)?),
            other if nested_too && other.is_nested() => Some(values(column)?),
            _ => None,
        };
        match text {
            Some(text) => {
                fields.push(Field::new(field.name(), DataType::Utf8, true));
                columns.push(text);
            }
            None => {
                fields.push(field.as_ref().clone());
                columns.push(column.clone());
            }
        }
    }
    // Without columns (`select` of nothing) the number of rows has to be carried over.
    let options = arrow::record_batch::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)
}

/// RFC 3339 in UTC, whatever the unit and zone; times without a zone are UTC here.
fn times(column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let zone = match column.data_type() {
        DataType::Timestamp(_, zone) => zone.clone(),
        _ => None,
    };
    let micros = cast(column, &DataType::Timestamp(TimeUnit::Microsecond, zone))?;
    let micros = micros
        .as_any()
        .downcast_ref::<TimestampMicrosecondArray>()
        .ok_or_else(|| ArrowError::CastError("times are no timestamps".to_owned()))?;
    let text = micros.iter().map(|time| time.map(|micros| EventTime(micros).to_string()));
    Ok(Arc::new(text.collect::<StringArray>()))
}

fn values(column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let mut text = Vec::with_capacity(column.len());
    for row in 0..column.len() {
        text.push(if column.is_null(row) { None } else { Some(array_value_to_string(column, row)?) });
    }
    Ok(Arc::new(StringArray::from(text)))
}
