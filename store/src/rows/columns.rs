//! Columns from iterators, and back by name: the few lines every small table shares.

use std::fmt::Display;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, Float64Array, PrimitiveArray, StringArray, TimestampMicrosecondArray, UInt32Array, UInt64Array,
};
use arrow::datatypes::ArrowPrimitiveType;
use arrow::record_batch::RecordBatch;
use fleet::EventTime;
use fleet::reading::Position;
use smol_str::SmolStr;

use crate::dictionary::{Table, TextLayout};
use crate::error::Error;

/// # Errors
/// Columns that are not those of the dictionary, in its order.
pub(super) fn batch(table: Table, columns: Vec<ArrayRef>) -> Result<RecordBatch, Error> {
    RecordBatch::try_new(table.schema(TextLayout::Plain), columns).map_err(|source| Error::Encode { table, source })
}

pub(super) fn text<T: AsRef<str>>(values: impl Iterator<Item = T>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(values))
}

pub(super) fn optional_text<T: AsRef<str>>(values: impl Iterator<Item = Option<T>>) -> ArrayRef {
    Arc::new(values.collect::<StringArray>())
}

pub(super) fn time(values: impl Iterator<Item = EventTime>) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from_iter_values(values.map(|time| time.0)).with_timezone("UTC"))
}

pub(super) fn optional_time(values: impl Iterator<Item = Option<EventTime>>) -> ArrayRef {
    Arc::new(values.map(|time| time.map(|t| t.0)).collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
}

pub(super) fn u32s(values: impl Iterator<Item = u32>) -> ArrayRef {
    Arc::new(UInt32Array::from_iter_values(values))
}

pub(super) fn u64s(values: impl Iterator<Item = u64>) -> ArrayRef {
    Arc::new(UInt64Array::from_iter_values(values))
}

pub(super) fn f64s(values: impl Iterator<Item = f64>) -> ArrayRef {
    Arc::new(Float64Array::from_iter_values(values))
}

/// `first_source, first_offset, last_source, last_offset`, null where nothing is known.
pub(super) fn optional_records(records: &[Option<(Position, Position)>]) -> [ArrayRef; 4] {
    let first = || records.iter().map(|pair| pair.map(|(first, _)| first));
    let last = || records.iter().map(|pair| pair.map(|(_, last)| last));
    [
        Arc::new(first().map(|p| p.map(|p| p.source)).collect::<UInt32Array>()),
        Arc::new(first().map(|p| p.map(|p| p.offset)).collect::<UInt64Array>()),
        Arc::new(last().map(|p| p.map(|p| p.source)).collect::<UInt32Array>()),
        Arc::new(last().map(|p| p.map(|p| p.offset)).collect::<UInt64Array>()),
    ]
}

/// The columns of a batch that was read, by name.
pub(crate) struct Columns<'a> {
    pub(crate) table: Table,
    pub(crate) batch: &'a RecordBatch,
}

impl<'a> Columns<'a> {
    pub(crate) fn get<A: Array + 'static>(&self, name: &str) -> Result<&'a A, Error> {
        let column = self.batch.column_by_name(name).ok_or_else(|| self.unknown(format!("no column `{name}`")))?;
        column
            .as_any()
            .downcast_ref()
            .ok_or_else(|| self.unknown(format!("`{}` in column `{name}`", column.data_type())))
    }

    pub(super) fn text(&self, name: &str) -> Result<impl Fn(usize) -> &'a str + use<'a>, Error> {
        let array: &StringArray = self.get(name)?;
        Ok(move |row| array.value(row))
    }

    pub(super) fn optional_text(&self, name: &str) -> Result<impl Fn(usize) -> Option<&'a str> + use<'a>, Error> {
        let array: &StringArray = self.get(name)?;
        Ok(move |row| array.is_valid(row).then(|| array.value(row)))
    }

    pub(super) fn number<T: ArrowPrimitiveType>(
        &self,
        name: &str,
    ) -> Result<impl Fn(usize) -> T::Native + use<'a, T>, Error> {
        let array: &PrimitiveArray<T> = self.get(name)?;
        Ok(move |row| array.value(row))
    }

    pub(super) fn time(&self, name: &str) -> Result<impl Fn(usize) -> EventTime + use<'a>, Error> {
        let array: &TimestampMicrosecondArray = self.get(name)?;
        Ok(move |row| EventTime(array.value(row)))
    }

    pub(super) fn optional_time(&self, name: &str) -> Result<impl Fn(usize) -> Option<EventTime> + use<'a>, Error> {
        let array: &TimestampMicrosecondArray = self.get(name)?;
        Ok(move |row| array.is_valid(row).then(|| EventTime(array.value(row))))
    }

    pub(super) fn optional_records(&self) -> Result<impl Fn(usize) -> Option<(Position, Position)> + use<'a>, Error> {
        let first_source: &UInt32Array = self.get("first_source")?;
        let first_offset: &UInt64Array = self.get("first_offset")?;
        let last_source: &UInt32Array = self.get("last_source")?;
        let last_offset: &UInt64Array = self.get("last_offset")?;
        Ok(move |row| {
            first_source.is_valid(row).then(|| {
                (
                    Position { source: first_source.value(row), offset: first_offset.value(row) },
                    Position { source: last_source.value(row), offset: last_offset.value(row) },
                )
            })
        })
    }

    /// The value of an enum by its name.
    pub(super) fn named<T>(&self, text: &str, from_name: impl Fn(&str) -> Option<T>) -> Result<T, Error> {
        from_name(text).ok_or_else(|| self.unknown(format!("the unknown name `{text}`")))
    }

    pub(crate) fn unknown(&self, problem: impl Display) -> Error {
        Error::UnknownContent { table: self.table, problem: problem.to_string() }
    }
}

/// A list as `a,b,c`; no id holds a comma.
pub(super) fn joined(items: &[SmolStr]) -> String {
    items.join(",")
}

pub(super) fn split(text: &str) -> Vec<SmolStr> {
    text.split(',').filter(|item| !item.is_empty()).map(SmolStr::new).collect()
}
