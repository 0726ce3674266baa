//! CSV and JSON lines as batches of text columns. A line that is none is rejected by itself; types are a matter of the
//! `select` and of the fields.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringBuilder, UInt64Builder};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use fleet::Position;
use ingest::lines::{Line, LineReader};
use ingest::{RejectReason, Rejected};
use serde_json::Value;

use super::Scanned;

pub(super) struct TextScan {
    lines: LineReader,
    file: Arc<str>,
    source: u32,
    shape: Shape,
    schema: SchemaRef,
    rows: usize,
}

enum Shape {
    Csv {
        delimiter: char,
        /// Columns of a line; the batch holds those the `select` reads.
        width: usize,
        /// For each of the batch's columns its place in a line.
        places: Vec<usize>,
    },
    Jsonl {
        /// For each of the batch's columns its key, and the key's parts where it reaches into an object.
        keys: Vec<(String, Vec<String>)>,
    },
}

/// Names of a CSV file's columns; `None` for an empty file.
pub(super) fn header(lines: &mut LineReader, delimiter: char) -> Result<Option<Vec<String>>, ingest::Error> {
    match lines.next()? {
        Line::Text(line) => Ok(Some(cells(&String::from_utf8_lossy(line), delimiter).unwrap_or_default())),
        _ => Ok(None),
    }
}

impl TextScan {
    pub fn csv(
        lines: LineReader,
        file: Arc<str>,
        source: u32,
        header: &[String],
        delimiter: char,
        used: &[String],
        rows: usize,
    ) -> TextScan {
        let places: Vec<usize> =
            used.iter().filter_map(|name| header.iter().position(|column| column == name)).collect();
        let schema = schema(places.iter().map(|place| header[*place].as_str()));
        TextScan { lines, file, source, shape: Shape::Csv { delimiter, width: header.len(), places }, schema, rows }
    }

    pub fn jsonl(lines: LineReader, file: Arc<str>, source: u32, used: &[String], rows: usize) -> TextScan {
        let key = |name: &String| (name.clone(), name.split('.').map(str::to_string).collect());
        let schema = schema(used.iter().map(String::as_str));
        TextScan { lines, file, source, shape: Shape::Jsonl { keys: used.iter().map(key).collect() }, schema, rows }
    }

    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// `None` at the end.
    pub fn next(&mut self) -> Result<Option<Scanned>, ingest::Error> {
        let mut builders: Vec<StringBuilder> = self.schema.fields().iter().map(|_| StringBuilder::new()).collect();
        let mut offsets = UInt64Builder::with_capacity(self.rows);
        let mut rejected = Vec::new();
        let mut ended = false;
        for _ in 0..self.rows {
            let position = Position { source: self.source, offset: self.lines.number() };
            let (reason, sample) = match self.lines.next()? {
                Line::Text([]) => continue,
                Line::Text(line) => match self.shape.append(line, &mut builders) {
                    Ok(()) => {
                        offsets.append_value(position.offset);
                        continue;
                    }
                    Err(reason) => (reason, line),
                },
                Line::TooLong { limit, beginning } => (RejectReason::LineTooLong { limit }, beginning),
                Line::Truncated { problem, rest } => {
                    (RejectReason::TruncatedFile { file: self.file.clone(), problem }, rest)
                }
                Line::Damaged { problem, rest } => {
                    (RejectReason::DamagedFile { file: self.file.clone(), problem }, rest)
                }
                Line::End => {
                    ended = true;
                    break;
                }
            };
            rejected.push(Rejected::new(position, &self.file, reason, sample));
        }
        let offsets = offsets.finish();
        if ended && offsets.values().is_empty() && rejected.is_empty() {
            return Ok(None);
        }
        let arrays: Vec<ArrayRef> = builders.iter_mut().map(|builder| Arc::new(builder.finish()) as ArrayRef).collect();
        let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(offsets.values().len()));
        let batch = RecordBatch::try_new_with_options(self.schema.clone(), arrays, &options)
            .map_err(|error| impossible(&self.file, error))?;
        Ok(Some(Scanned { batch, offsets, rejected, progress: self.lines.progress() }))
    }
}

/// Every builder is given one value a row.
fn impossible(file: &str, error: ArrowError) -> ingest::Error {
    ingest::Error::Read { path: file.into(), source: std::io::Error::other(error) }
}

/// All columns of a CSV file.
pub(super) fn schema_of(header: &[String]) -> SchemaRef {
    schema(header.iter().map(String::as_str))
}

fn schema<'a>(names: impl Iterator<Item = &'a str>) -> SchemaRef {
    Arc::new(Schema::new(names.map(|name| Field::new(name, DataType::Utf8, true)).collect::<Vec<_>>()))
}

impl Shape {
    /// Appends one value to every builder, or to none.
    fn append(&self, line: &[u8], builders: &mut [StringBuilder]) -> Result<(), RejectReason> {
        let text =
            std::str::from_utf8(line).map_err(|error| RejectReason::NotUtf8 { valid_up_to: error.valid_up_to() })?;
        match self {
            Shape::Csv { delimiter, width, places } if !text.contains('"') => {
                let found = text.matches(*delimiter).count() + 1;
                if found != *width {
                    return Err(RejectReason::ColumnCount { found, expected: *width });
                }
                let cells: Vec<&str> = text.split(*delimiter).collect();
                for (builder, place) in builders.iter_mut().zip(places) {
                    builder.append_option(Some(cells[*place]).filter(|cell| !cell.is_empty()));
                }
            }
            Shape::Csv { delimiter, width, places } => {
                let problem = || RejectReason::ColumnCount { found: 0, expected: *width };
                let cells = cells(text, *delimiter).ok_or_else(problem)?;
                if cells.len() != *width {
                    return Err(RejectReason::ColumnCount { found: cells.len(), expected: *width });
                }
                for (builder, place) in builders.iter_mut().zip(places) {
                    builder.append_option(Some(&cells[*place]).filter(|cell| !cell.is_empty()));
                }
            }
            Shape::Jsonl { keys } => {
                let object: serde_json::Map<String, Value> =
                    serde_json::from_str(text).map_err(|error| RejectReason::NotJson { problem: error.to_string() })?;
                for (builder, (name, parts)) in builders.iter_mut().zip(keys) {
                    match reach(&object, name, parts) {
                        None | Some(Value::Null) => builder.append_null(),
                        Some(Value::String(text)) => builder.append_value(text),
                        Some(Value::Array(items)) => builder.append_value(joined(items)),
                        Some(other) => builder.append_value(other.to_string()),
                    }
                }
            }
        }
        Ok(())
    }
}

/// The key as a whole, else part by part through objects.
fn reach<'o>(object: &'o serde_json::Map<String, Value>, name: &str, parts: &[String]) -> Option<&'o Value> {
    if let Some(value) = object.get(name) {
        return Some(value);
    }
    let (first, rest) = parts.split_first()?;
    rest.iter().try_fold(object.get(first)?, |value, part| value.get(part))
}

fn joined(items: &[Value]) -> String {
    let text = |item: &Value| item.as_str().map_or_else(|| item.to_string(), str::to_string);
    items.iter().map(text).collect::<Vec<_>>().join(",")
}

/// RFC 4180, but for line breaks within quotes: a line is a record. `None` when a quote is not closed.
pub(super) fn cells(line: &str, delimiter: char) -> Option<Vec<String>> {
    let mut cells = Vec::new();
    let mut cell = String::new();
    let mut quoted = false;
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' if quoted && characters.peek() == Some(&'"') => {
                characters.next();
                cell.push('"');
            }
            '"' if quoted => quoted = false,
            '"' if cell.is_empty() => quoted = true,
            other if other == delimiter && !quoted => cells.push(std::mem::take(&mut cell)),
            other => cell.push(other),
        }
    }
    cells.push(cell);
    (!quoted).then_some(cells)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_cells() {
        let split = |line: &str| cells(line, ',');
        assert_eq!(split(r#"a,"b,c","d ""e""""#).unwrap(), ["a", "b,c", r#"d "e""#]);
        assert_eq!(split("").unwrap(), [""]);
        assert_eq!(split(r#"a,"b"#), None);
        assert_eq!(cells("a;b;", ';').unwrap(), ["a", "b", ""]);
    }

    #[test]
    fn keys_reach_into_objects() {
        let object = serde_json::from_str(r#"{"flow": {"bytes": 7}, "id.orig_h": "x"}"#).unwrap();
        let value = |name: &str| reach(&object, name, &name.split('.').map(str::to_string).collect::<Vec<_>>());
        assert_eq!(value("flow.bytes"), Some(&Value::from(7)));
        assert_eq!(value("id.orig_h"), Some(&Value::from("x")));
        assert_eq!(value("flow.packets"), None);
    }
}
