//! Arrow batches as ClickHouse's RowBinary: the same columns that go to Parquet files, row by row.

use arrow::array::{
    Array, ArrayRef, AsArray, DictionaryArray, Float32Array, Float64Array, PrimitiveArray, StringArray, UInt16Array,
    UInt32Array, UInt64Array,
};
use arrow::datatypes::{ArrowPrimitiveType, DataType, Int32Type, TimeUnit, TimestampMicrosecondType};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;

/// Writes one cell, nulls aside.
type Cell<'a> = Box<dyn Fn(usize, &mut Vec<u8>) + 'a>;

struct Column<'a> {
    array: &'a ArrayRef,
    nullable: bool,
    cell: Cell<'a>,
}

/// Appends all rows of the batch: for each cell a byte that says whether it is null where the column may be, then the value,
/// little-endian, texts with their length in front.
///
/// # Errors
/// A column of a type that no table of ours has.
pub(super) fn append(batch: &RecordBatch, out: &mut Vec<u8>) -> Result<(), ArrowError> {
    let schema = batch.schema();
    let mut columns = Vec::with_capacity(batch.num_columns());
    for (field, array) in schema.fields().iter().zip(batch.columns()) {
        columns.push(Column { array, nullable: field.is_nullable(), cell: cell(array)? });
    }
    out.reserve(batch.num_rows() * columns.len() * 8);
    for row in 0..batch.num_rows() {
        for column in &columns {
            if column.nullable {
                let is_null = column.array.is_null(row) || is_null_key(column.array, row);
                out.push(u8::from(is_null));
                if is_null {
                    continue;
                }
            }
            (column.cell)(row, out);
        }
    }
    Ok(())
}

fn is_null_key(array: &ArrayRef, row: usize) -> bool {
    array.as_any().downcast_ref::<DictionaryArray<Int32Type>>().is_some_and(|texts| texts.keys().is_null(row))
}

fn cell(array: &ArrayRef) -> Result<Cell<'_>, ArrowError> {
    Ok(match array.data_type() {
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            let values = array.as_primitive::<TimestampMicrosecondType>();
            fixed(values, |value, out| out.extend(value.to_le_bytes()))
        }
        DataType::UInt16 => fixed(downcast::<UInt16Array>(array)?, |value, out| out.extend(value.to_le_bytes())),
        DataType::UInt32 => fixed(downcast::<UInt32Array>(array)?, |value, out| out.extend(value.to_le_bytes())),
        DataType::UInt64 => fixed(downcast::<UInt64Array>(array)?, |value, out| out.extend(value.to_le_bytes())),
        DataType::Float32 => fixed(downcast::<Float32Array>(array)?, |value, out| out.extend(value.to_le_bytes())),
        DataType::Float64 => fixed(downcast::<Float64Array>(array)?, |value, out| out.extend(value.to_le_bytes())),
        DataType::Utf8 => {
            let texts = downcast::<StringArray>(array)?;
            Box::new(move |row, out| text(texts.value(row), out))
        }
        DataType::Dictionary(..) => {
            let texts = downcast::<DictionaryArray<Int32Type>>(array)?;
            let values = downcast::<StringArray>(texts.values())?;
            Box::new(move |row, out| text(texts.key(row).map_or("", |key| values.value(key)), out))
        }
        other => return Err(ArrowError::NotYetImplemented(format!("RowBinary of {other}"))),
    })
}

fn downcast<T: 'static>(array: &ArrayRef) -> Result<&T, ArrowError> {
    array
        .as_any()
        .downcast_ref::<T>()
        .ok_or_else(|| ArrowError::CastError(format!("a column of {} is held otherwise", array.data_type())))
}

fn fixed<'a, T: ArrowPrimitiveType>(
    values: &'a PrimitiveArray<T>,
    write: impl Fn(T::Native, &mut Vec<u8>) + 'a,
) -> Cell<'a> {
    Box::new(move |row, out| write(values.value(row), out))
}

pub(super) fn text(text: &str, out: &mut Vec<u8>) {
    bytes(text.as_bytes(), out);
}

/// Their length as LEB128, then they.
pub(super) fn bytes(bytes: &[u8], out: &mut Vec<u8>) {
    length(bytes.len(), out);
    out.extend(bytes);
}

/// LEB128
pub(super) fn length(mut length: usize, out: &mut Vec<u8>) {
    while length >= 0x80 {
        out.push((length as u8) | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
}

/// The one text or byte string that `row` begins with.
pub(super) fn read_bytes(row: &[u8]) -> Option<&[u8]> {
    let (mut length, mut shift, mut at) = (0usize, 0, 0);
    loop {
        let byte = *row.get(at)?;
        at += 1;
        length |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return row.get(at..at + length);
        }
        shift += 7;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::datatypes::{Field, Schema};
    use std::sync::Arc;

    #[test]
    fn cells_are_written_as_the_format_says() {
        let schema =
            Schema::new(vec![Field::new("number", DataType::UInt16, false), Field::new("text", DataType::Utf8, true)]);
        let columns: Vec<ArrayRef> = vec![
            Arc::new(UInt16Array::from(vec![258, 3])),
            Arc::new(StringArray::from(vec![Some("x".repeat(200)), None])),
        ];
        let batch = RecordBatch::try_new(Arc::new(schema), columns).unwrap();
        let mut out = Vec::new();
        append(&batch, &mut out).unwrap();
        assert_eq!(out[..5], [2, 1, 0, 200, 1]);
        assert_eq!(out[205..], [3, 0, 1]);
    }
}
