//! Rows say which columns they have, and of which types: a column that is gone, or is of another type by now, is refused in
//! the server's words. Without them its bytes would be read as something else.

use std::sync::{Arc, Mutex, PoisonError};

use rustc_hash::FxHashMap;

use super::client::Server;
use super::rowbinary::{length, text};
use crate::dictionary::{Column, ColumnType};
use crate::error::Error;

pub(super) const FORMAT: &str = "RowBinaryWithNamesAndTypes";

/// What bodies of inserts begin with, by table.
#[derive(Default)]
pub(super) struct Headers(Mutex<FxHashMap<String, Arc<[u8]>>>);

impl Headers {
    /// `columns`: names, and types as they are written. The server's own names of types are taken where they mean the same
    /// bytes, which is a question to it, once.
    pub fn of(&self, server: &Server, table: &str, columns: &[(&str, String)]) -> Result<Arc<[u8]>, Error> {
        if let Some(known) = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(table) {
            return Ok(Arc::clone(known));
        }
        let described = server.fetch(&format!("DESCRIBE TABLE {table}"), "TabSeparatedRaw")?;
        let header: Arc<[u8]> = header(&String::from_utf8_lossy(&described), columns).into();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(table.to_owned(), Arc::clone(&header));
        Ok(header)
    }

    /// After a refusal: somebody may mend the table.
    pub fn forget(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// `described`: lines of name, type and more, separated by tabs.
fn header(described: &str, columns: &[(&str, String)]) -> Vec<u8> {
    let theirs: FxHashMap<&str, &str> = described
        .lines()
        .filter_map(|line| line.split_once('\t'))
        .map(|(name, rest)| (name, rest.split('\t').next().unwrap_or_default()))
        .collect();
    let mut out = Vec::new();
    length(columns.len(), &mut out);
    columns.iter().for_each(|(name, _)| text(name, &mut out));
    for (name, ours) in columns {
        // The same bytes as what is in it.
        let as_few_values = format!("LowCardinality({ours})");
        let same = theirs.get(name).is_some_and(|theirs| *theirs == as_few_values);
        text(if same { &as_few_values } else { ours }, &mut out);
    }
    out
}

/// As `rowbinary` writes it.
pub(super) fn native_type(column: &Column) -> String {
    let name = match column.column_type {
        ColumnType::Time => "DateTime64(6, 'UTC')",
        ColumnType::Text | ColumnType::LongText => "String",
        ColumnType::U16 => "UInt16",
        ColumnType::U32 => "UInt32",
        ColumnType::U64 => "UInt64",
        ColumnType::F32 => "Float32",
        ColumnType::F64 => "Float64",
    };
    if column.nullable { format!("Nullable({name})") } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_names_are_taken_only_for_the_same_bytes() {
        let ours = [("a", "String".to_owned()), ("b", "UInt32".to_owned()), ("gone", "Nullable(String)".to_owned())];
        let written = header("a\tLowCardinality(String)\t\t\nb\tUInt64\t\n", &ours);
        let expected: Vec<u8> =
            ["\u{3}", "\u{1}a", "\u{1}b", "\u{4}gone", "\u{16}LowCardinality(String)", "\u{6}UInt32"]
                .concat()
                .into_bytes();
        assert_eq!(written[..expected.len()], expected);
        assert_eq!(written[expected.len()..], *b"\x10Nullable(String)");
    }
}
