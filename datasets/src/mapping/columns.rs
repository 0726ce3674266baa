//! Arrow arrays as typed columns: a text is parsed once for each distinct value of a batch where the array can tell
//! (dictionaries, string views), numbers are cast as a whole and read as slices.

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, GenericStringArray, OffsetSizeTrait, PrimitiveArray,
    StringViewArray,
};
use arrow::buffer::NullBuffer;
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Float64Type, Int64Type, TimeUnit, UInt64Type};
use arrow::error::ArrowError;
use fleet::{EventTime, MICROS_PER_SECOND};

/// What a row says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Cell<T> {
    Unset,
    /// Something, but not what was expected.
    Bad,
    Value(T),
}

impl<T> From<Option<T>> for Cell<T> {
    fn from(parsed: Option<T>) -> Cell<T> {
        parsed.map_or(Cell::Bad, Cell::Value)
    }
}

/// Parsed texts: by row, or by distinct value with each row's code.
pub(super) struct Parsed<T> {
    cells: Vec<Cell<T>>,
    codes: Option<Vec<u32>>,
}

impl<T> Parsed<T> {
    #[inline]
    pub fn cell(&self, row: usize) -> &Cell<T> {
        match &self.codes {
            Some(codes) => &self.cells[codes[row] as usize],
            None => &self.cells[row],
        }
    }

    /// Empty texts are unset. Arrays of other types are read as the text they print as.
    pub fn new(array: &ArrayRef, parse: impl Fn(&str) -> Option<T>) -> Result<Parsed<T>, ArrowError> {
        let cell = |text: &str| if text.is_empty() { Cell::Unset } else { Cell::from(parse(text)) };
        match array.data_type() {
            DataType::Utf8 => Ok(by_row(array.as_string::<i32>(), cell)),
            DataType::LargeUtf8 => Ok(by_row(array.as_string::<i64>(), cell)),
            DataType::Utf8View => Ok(by_view(array.as_string_view(), cell)),
            DataType::Dictionary(_, _) => {
                let dictionary = array.as_any_dictionary();
                // A dictionary shared by a whole row group can be larger than the batch that refers to it.
                if dictionary.values().len() > array.len() {
                    return Parsed::new(&lenient(array, &DataType::Utf8View)?, parse);
                }
                if dictionary.values().is_empty() {
                    return Ok(Parsed { cells: vec![Cell::Unset], codes: Some(vec![0; array.len()]) });
                }
                let Parsed { mut cells, codes: of_values } = Parsed::new(dictionary.values(), parse)?;
                let unset = cells.len() as u32;
                cells.push(Cell::Unset);
                let keys = dictionary.normalized_keys().into_iter();
                let mut codes: Vec<u32> = keys.map(|key| of_values.as_ref().map_or(key as u32, |of| of[key])).collect();
                if let Some(nulls) = array.nulls() {
                    codes.iter_mut().zip(nulls).filter(|(_, valid)| !valid).for_each(|(code, _)| *code = unset);
                }
                Ok(Parsed { cells, codes: Some(codes) })
            }
            _ => Parsed::new(&lenient(array, &DataType::Utf8View)?, parse),
        }
    }
}

fn by_row<T, O: OffsetSizeTrait>(array: &GenericStringArray<O>, cell: impl Fn(&str) -> Cell<T>) -> Parsed<T> {
    let cells = array.iter().map(|text| text.map_or(Cell::Unset, &cell)).collect();
    Parsed { cells, codes: None }
}

/// Slots of the cache of views; direct-mapped.
const SLOTS: usize = 1_024;
const NO_CODE: u32 = u32::MAX;

/// Equal views are equal texts within one array: short texts lie in the view itself, and Parquet's dictionary pages give
/// equal long ones the same place.
fn by_view<T>(array: &StringViewArray, cell: impl Fn(&str) -> Cell<T>) -> Parsed<T> {
    let mut cells: Vec<Cell<T>> = vec![Cell::Unset];
    let mut codes = Vec::with_capacity(array.len());
    let mut slots = vec![(0u128, NO_CODE); SLOTS];
    for (row, view) in array.views().iter().enumerate() {
        if array.is_null(row) {
            codes.push(0);
            continue;
        }
        let folded = (*view as u64) ^ ((*view >> 64) as u64).rotate_left(23);
        let slot = &mut slots[(folded.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 54) as usize % SLOTS];
        if slot.1 == NO_CODE || slot.0 != *view {
            *slot = (*view, cells.len() as u32);
            cells.push(cell(array.value(row)));
        }
        codes.push(slot.1);
    }
    Parsed { cells, codes: Some(codes) }
}

/// Numbers, cast as a whole; what cannot be cast is bad.
pub(super) struct Numbers<P: ArrowPrimitiveType> {
    values: PrimitiveArray<P>,
    given: Option<NullBuffer>,
}

impl<P: ArrowPrimitiveType> Numbers<P> {
    #[inline(always)]
    pub fn cell(&self, row: usize) -> Cell<P::Native> {
        if self.values.is_valid(row) {
            return Cell::Value(self.values.value(row));
        }
        match &self.given {
            Some(given) if given.is_null(row) => Cell::Unset,
            _ => Cell::Bad,
        }
    }

    fn cast(array: &ArrayRef) -> Result<Numbers<P>, ArrowError> {
        let cast = lenient(array, &P::DATA_TYPE)?;
        Ok(Numbers { values: cast.as_primitive::<P>().clone(), given: given(array) })
    }
}

pub(super) type Counts = Numbers<UInt64Type>;

impl Numbers<UInt64Type> {
    /// `62.0`, as data frames write counts of columns with gaps, is 62.
    pub fn counts(array: &ArrayRef) -> Result<Counts, ArrowError> {
        let exact = Numbers::<UInt64Type>::cast(array)?;
        let is_text = !array.data_type().is_numeric();
        let unset = exact.given.as_ref().map_or(0, NullBuffer::null_count);
        if array.data_type().is_integer() || (is_text && exact.values.null_count() == unset) {
            return Ok(exact);
        }
        let reals = Numbers::<Float64Type>::cast(array)?;
        let count = |row: usize| match (exact.cell(row), reals.cell(row)) {
            (Cell::Value(count), _) if is_text => Some(count),
            (_, Cell::Value(real)) if real >= 0.0 && real.fract() == 0.0 && real < u64::MAX as f64 => Some(real as u64),
            _ => None,
        };
        Ok(Numbers { values: (0..array.len()).map(count).collect(), given: exact.given })
    }
}

impl Numbers<Float64Type> {
    /// Callers check that they are finite.
    pub fn reals(array: &ArrayRef) -> Result<Numbers<Float64Type>, ArrowError> {
        Numbers::cast(array)
    }
}

/// Event times: timestamps of any unit, seconds since 1970, or texts of either.
pub(super) enum Times {
    Micros(Numbers<Int64Type>),
    Seconds(Numbers<Float64Type>),
    Texts(Parsed<EventTime>),
}

impl Times {
    pub fn new(array: &ArrayRef) -> Result<Times, ArrowError> {
        match array.data_type() {
            DataType::Timestamp(_, zone) => {
                let micros = lenient(array, &DataType::Timestamp(TimeUnit::Microsecond, zone.clone()))?;
                let micros = lenient(&micros, &DataType::Int64)?;
                Ok(Times::Micros(Numbers { values: micros.as_primitive().clone(), given: given(array) }))
            }
            DataType::Date32 | DataType::Date64 => {
                Times::new(&lenient(array, &DataType::Timestamp(TimeUnit::Microsecond, None))?)
            }
            kind if kind.is_numeric() => Ok(Times::Seconds(Numbers::cast(array)?)),
            _ => Ok(Times::Texts(Parsed::new(array, |text| match text.parse() {
                Ok(seconds) => EventTime::from_seconds(seconds),
                Err(_) => EventTime::parse(text),
            })?)),
        }
    }

    #[inline]
    pub fn cell(&self, row: usize) -> Cell<EventTime> {
        match self {
            Times::Micros(micros) => match micros.cell(row) {
                Cell::Value(micros) => in_range(micros).into(),
                Cell::Unset => Cell::Unset,
                Cell::Bad => Cell::Bad,
            },
            Times::Seconds(seconds) => match seconds.cell(row) {
                Cell::Value(seconds) => EventTime::from_seconds(seconds).into(),
                Cell::Unset => Cell::Unset,
                Cell::Bad => Cell::Bad,
            },
            Times::Texts(texts) => *texts.cell(row),
        }
    }
}

/// Years 1970 to 9999, as [`EventTime::from_seconds`].
fn in_range(micros: i64) -> Option<EventTime> {
    const YEAR_10000: i64 = 253_402_300_800 * MICROS_PER_SECOND;
    (0..YEAR_10000).contains(&micros).then_some(EventTime(micros))
}

/// Durations: Arrow's own, or seconds. Microseconds, at most a year.
pub(super) enum Durations {
    Micros(Numbers<Int64Type>),
    Seconds(Numbers<Float64Type>),
}

impl Durations {
    pub fn new(array: &ArrayRef) -> Result<Durations, ArrowError> {
        if !matches!(array.data_type(), DataType::Duration(_)) {
            return Ok(Durations::Seconds(Numbers::cast(array)?));
        }
        let micros = lenient(&lenient(array, &DataType::Duration(TimeUnit::Microsecond))?, &DataType::Int64)?;
        Ok(Durations::Micros(Numbers { values: micros.as_primitive().clone(), given: given(array) }))
    }

    #[inline]
    pub fn cell(&self, row: usize) -> Cell<i64> {
        const YEAR: i64 = 366 * 86_400 * MICROS_PER_SECOND;
        let micros = match self {
            Durations::Micros(micros) => micros.cell(row),
            Durations::Seconds(seconds) => match seconds.cell(row) {
                // NaN becomes 0 in the conversion, so it is told apart before.
                Cell::Value(seconds) if seconds.is_finite() => {
                    Cell::Value((seconds * MICROS_PER_SECOND as f64).round() as i64)
                }
                Cell::Value(_) | Cell::Bad => Cell::Bad,
                Cell::Unset => Cell::Unset,
            },
        };
        match micros {
            Cell::Value(micros) if !(0..=YEAR).contains(&micros) => Cell::Bad,
            cell => cell,
        }
    }
}

/// `true`, `1`, `yes` and their like, or a boolean array.
pub(super) enum Flags {
    Whole(BooleanArray),
    Texts(Parsed<bool>),
}

impl Flags {
    pub fn new(array: &ArrayRef) -> Result<Flags, ArrowError> {
        match array.data_type() {
            DataType::Boolean => Ok(Flags::Whole(array.as_boolean().clone())),
            _ => Ok(Flags::Texts(Parsed::new(array, |text| match text.to_ascii_lowercase().as_str() {
                "true" | "t" | "yes" | "1" => Some(true),
                "false" | "f" | "no" | "0" => Some(false),
                _ => None,
            })?)),
        }
    }

    pub fn cell(&self, row: usize) -> Cell<bool> {
        match self {
            Flags::Whole(array) if array.is_null(row) => Cell::Unset,
            Flags::Whole(array) => Cell::Value(array.value(row)),
            Flags::Texts(texts) => *texts.cell(row),
        }
    }
}

/// Rows that said something; an empty text says nothing.
fn given(array: &ArrayRef) -> Option<NullBuffer> {
    let empty = match array.data_type() {
        DataType::Utf8 => NullBuffer::from_iter(array.as_string::<i32>().iter().map(is_given)),
        DataType::LargeUtf8 => NullBuffer::from_iter(array.as_string::<i64>().iter().map(is_given)),
        DataType::Utf8View => NullBuffer::from_iter(array.as_string_view().iter().map(is_given)),
        _ => return array.logical_nulls(),
    };
    (empty.null_count() > 0).then_some(empty)
}

fn is_given(text: Option<&str>) -> bool {
    text.is_some_and(|text| !text.is_empty())
}

/// What cannot be cast becomes null.
fn lenient(array: &ArrayRef, to: &DataType) -> Result<ArrayRef, ArrowError> {
    cast_with_options(array, to, &CastOptions { safe: true, ..CastOptions::default() })
}
