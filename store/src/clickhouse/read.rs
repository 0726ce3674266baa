//! Rows read back: ClickHouse gives Arrow, and from there on everything is as with a Parquet file.

use std::io::Cursor;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::compute::cast;
use arrow::datatypes::{FieldRef, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use arrow_ipc::reader::StreamReader;
use fleet::{Contact, DeviceKey, EventTime, Window};
use rustc_hash::FxHashMap;

use super::client::Server;
use crate::dictionary::{Table, TextLayout};
use crate::error::Error;
use crate::rows::restore;

/// Event time asked for at once when windows are read: a day of a large fleet is what memory holds.
const AT_ONCE: i64 = 86_400 * 1_000_000;

/// Columns of windows and contacts that say nothing of how a device behaved.
const NOT_LEARNED: [&str; 6] = ["segment", "site", "score", "p_value", "evidence", "line"];

/// The table's columns under `condition` (empty, or `WHERE ...`).
pub(super) fn fetch(
    server: &Server,
    database: &str,
    table: Table,
    layout: TextLayout,
    condition: &str,
) -> Result<Vec<RecordBatch>, Error> {
    fetch_columns(server, database, table, table.schema(layout), condition)
}

/// The columns of `schema`, which are some of the table's.
fn fetch_columns(
    server: &Server,
    database: &str,
    table: Table,
    schema: SchemaRef,
    condition: &str,
) -> Result<Vec<RecordBatch>, Error> {
    let columns: Vec<String> = schema.fields().iter().map(|field| format!("`{}`", field.name())).collect();
    let sql = format!(
        "SELECT {} FROM {database}.{} {condition} SETTINGS output_format_arrow_low_cardinality_as_dictionary = 0, \
         output_format_arrow_string_as_string = 1, output_format_arrow_compression_method = 'none'",
        columns.join(", "),
        table.name()
    );
    let bytes = server.fetch(&sql, "ArrowStream")?;
    let unreadable = |error: &dyn std::fmt::Display| Error::UnknownContent { table, problem: error.to_string() };
    let mut batches = Vec::new();
    if bytes.is_empty() {
        return Ok(batches);
    }
    for batch in StreamReader::try_new(Cursor::new(bytes), None).map_err(|error| unreadable(&error))? {
        let batch = batch.map_err(|error| unreadable(&error))?;
        let cast_to = |(column, field): (&ArrayRef, &FieldRef)| {
            cast(column, field.data_type()).map_err(|error| unreadable(&error))
        };
        let columns = batch.columns().iter().zip(schema.fields()).map(cast_to).collect::<Result<Vec<_>, Error>>()?;
        batches.push(RecordBatch::try_new(schema.clone(), columns).map_err(|source| Error::Encode { table, source })?);
    }
    Ok(batches)
}

fn learned_columns(table: Table) -> SchemaRef {
    let schema = table.schema(TextLayout::Dictionary);
    let fields = schema.fields().iter().filter(|field| !NOT_LEARNED.contains(&field.name().as_str()));
    Arc::new(Schema::new(fields.cloned().collect::<Vec<FieldRef>>()))
}

/// Windows that start in `range`, with contacts, ordered by start, then device key. `whose`: more of the condition, or
/// nothing.
pub(super) fn windows(
    server: &Server,
    database: &str,
    range: Range<EventTime>,
    whose: &str,
    keys: &(dyn Fn(&str) -> Option<DeviceKey> + Sync),
) -> Result<Vec<Window>, Error> {
    let bounds = server.fetch(
        &format!(
            "SELECT toInt64(ifNull(toUnixTimestamp64Micro(min(window_start)), 0)), \
             toInt64(ifNull(toUnixTimestamp64Micro(max(window_start)), 0)), count() FROM {database}.windows"
        ),
        "RowBinary",
    )?;
    let number = |at: usize| bounds.get(at..at + 8).and_then(|bytes| bytes.try_into().ok()).map(i64::from_le_bytes);
    let (Some(first), Some(last), Some(1..)) = (number(0), number(8), number(16)) else { return Ok(Vec::new()) };
    let mut windows: Vec<Window> = Vec::new();
    let mut from = range.start.0.max(first);
    let until = range.end.0.min(last.saturating_add(1));
    while from < until {
        let to = (from.div_euclid(AT_ONCE) + 1).saturating_mul(AT_ONCE).min(until);
        let condition = |order: &str| {
            format!(
                "WHERE window_start >= fromUnixTimestamp64Micro({from}) AND window_start < fromUnixTimestamp64Micro({to}){whose} \
                 ORDER BY {order}"
            )
        };
        let part = EventTime(from)..EventTime(to);
        let begun = windows.len();
        for batch in fetch_columns(
            server,
            database,
            Table::Windows,
            learned_columns(Table::Windows),
            &condition("window_start, device_id"),
        )? {
            restore::windows(&batch, &part, keys, &mut windows)?;
        }
        windows[begun..].sort_unstable_by_key(|window| (window.start, window.device));
        let places: FxHashMap<(EventTime, DeviceKey), usize> =
            (begun..).zip(&windows[begun..]).map(|(place, window)| ((window.start, window.device), place)).collect();
        let mut contacts: Vec<(usize, Contact)> = Vec::new();
        for batch in fetch_columns(
            server,
            database,
            Table::Contacts,
            learned_columns(Table::Contacts),
            &condition("window_start, device_id, ordinal"),
        )? {
            restore::contacts(&batch, &part, keys, |start, device, contact| {
                contacts.extend(places.get(&(start, device)).map(|place| (*place, contact)));
            })?;
        }
        for (place, contact) in contacts {
            windows[place].contacts.push(contact);
        }
        from = to;
    }
    Ok(windows)
}
