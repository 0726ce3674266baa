//! A line as a fixed set of named values. JSON is read in one pass into that set, borrowing its texts; keys that are
//! not in the set are skipped, so that a newer sensor does not break an older reader; an object that is in it is kept
//! whole. A key given twice holds its last value.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::plain::{self, Order};
use super::reject::RejectReason;
use super::value::{Scalar, Value, shorten};

/// `N` names, fixed by the format.
pub(super) struct Names<const N: usize> {
    pub names: [&'static str; N],
    /// Index of a name; a `match` on literals, which beats a hash for so few.
    pub find: fn(&str) -> Option<usize>,
}

/// Declares an enum of a format's fields and its [`Names`].
macro_rules! fields {
    ($type:ident, $names:ident: $($variant:ident $name:literal),* $(,)?) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(usize)]
        pub(super) enum $type { $($variant),* }

        pub(super) const $names: $crate::decode::record::Names<{ [$($name),*].len() }> = $crate::decode::record::Names {
            names: [$($name),*],
            find: |key| match key { $($name => Some($type::$variant as usize),)* _ => None },
        };

        impl From<$type> for usize {
            fn from(field: $type) -> usize {
                field as usize
            }
        }
    };
}
pub(super) use fields;

/// A line has few of the names, so only what it has is written and dropped.
pub(super) struct Record<'a, const N: usize> {
    names: &'static Names<N>,
    /// By name: place in `values`, counted from 1; 0 for none.
    places: [u8; N],
    /// The first `used` of them.
    pub values: Vec<Scalar<'a>>,
    used: usize,
}

/// Values of one record that need no second allocation.
const ROOM: usize = 24;

impl<'a, const N: usize> Record<'a, N> {
    pub fn empty(names: &'static Names<N>) -> Record<'a, N> {
        const { assert!(N <= u8::MAX as usize) }
        let values = std::iter::repeat_with(|| Scalar::Missing).take(ROOM).collect();
        Record { names, places: [0; N], values, used: 0 }
    }

    pub fn names(&self) -> &'static Names<N> {
        self.names
    }

    pub fn get(&self, field: impl Into<usize>) -> Value<'_> {
        let index = field.into();
        let scalar = match self.places[index] {
            0 => &Scalar::Missing,
            place => &self.values[usize::from(place) - 1],
        };
        Value { field: self.names.names[index], scalar }
    }

    /// Where the value of the name at `index` stands.
    pub fn slot(&mut self, index: usize) -> &mut Scalar<'a> {
        let mut place = usize::from(self.places[index]);
        if place == 0 {
            if self.used == self.values.len() {
                self.values.push(Scalar::Missing);
            }
            self.used += 1;
            place = self.used;
            self.places[index] = place as u8;
        }
        &mut self.values[place - 1]
    }

    /// [`Record::from_json`], for formats whose lines are [`plain`] for the most part.
    pub fn from_plain_json(
        names: &'static Names<N>,
        line: &'a str,
        order: &mut Order,
    ) -> Result<Record<'a, N>, RejectReason> {
        let mut record = Record::empty(names);
        match plain::read(line, order, &mut record) {
            Some(()) => Ok(record),
            None => Record::from_json(names, line),
        }
    }

    pub fn from_json(names: &'static Names<N>, line: &'a str) -> Result<Record<'a, N>, RejectReason> {
        let mut record = Record::empty(names);
        let mut reading = None;
        let mut parser = serde_json::Deserializer::from_str(line);
        let into = ObjectSeed { record: &mut record, reading: &mut reading };
        let outcome = into.deserialize(&mut parser).and_then(|()| parser.end());
        if let Err(error) = outcome {
            return Err(json_problem(line, reading.map(|index| names.names[index]), &error));
        }
        Ok(record)
    }

    /// The object that stands under `tag` in the line's; `None` when there is none.
    pub fn from_tagged_json(
        names: &'static Names<N>,
        line: &'a str,
        tag: &str,
    ) -> Result<Option<Record<'a, N>>, RejectReason> {
        let mut record = Record::empty(names);
        let mut reading = None;
        let mut parser = serde_json::Deserializer::from_str(line);
        let into = TaggedSeed { tag, object: ObjectSeed { record: &mut record, reading: &mut reading } };
        match into.deserialize(&mut parser).and_then(|found| parser.end().map(|()| found)) {
            Ok(found) => Ok(found.then_some(record)),
            Err(error) => Err(json_problem(line, reading.map(|index| names.names[index]), &error)),
        }
    }
}

/// `NaN`, `Infinity` and `1e999` are no JSON, yet writers produce them: name the field rather than a column.
fn json_problem(line: &str, field: Option<&'static str>, error: &serde_json::Error) -> RejectReason {
    if let Some(field) = field
        && let Some(value) = bare_value(line, field)
        && value.parse::<f64>().is_ok_and(|number| !number.is_finite())
    {
        return RejectReason::BadField { field, value: shorten(value), expected: "a finite number" };
    }
    RejectReason::NotJson { problem: error.to_string() }
}

/// The unquoted text after `"field":`.
fn bare_value<'a>(line: &'a str, field: &str) -> Option<&'a str> {
    let after = line.rsplit_once(&format!("\"{field}\""))?.1.trim_start().strip_prefix(':')?.trim_start();
    let end = after.find([',', '}', ']', ' ']).unwrap_or(after.len());
    Some(&after[..end])
}

struct ObjectSeed<'r, 'a, const N: usize> {
    record: &'r mut Record<'a, N>,
    /// The field whose value is being read, for the message when that fails.
    reading: &'r mut Option<usize>,
}

impl<'a, const N: usize> DeserializeSeed<'a> for ObjectSeed<'_, 'a, N> {
    type Value = ();

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'a, const N: usize> Visitor<'a> for ObjectSeed<'_, 'a, N> {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an object")
    }

    fn visit_map<M: MapAccess<'a>>(self, mut map: M) -> Result<(), M::Error> {
        while let Some(key) = map.next_key_seed(KeySeed(self.record.names.find))? {
            let Some(index) = key else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            *self.reading = Some(index);
            map.next_value_seed(InPlace(self.record.slot(index)))?;
            *self.reading = None;
        }
        Ok(())
    }
}

struct TaggedSeed<'r, 'a, const N: usize> {
    tag: &'r str,
    object: ObjectSeed<'r, 'a, N>,
}

impl<'a, const N: usize> DeserializeSeed<'a> for TaggedSeed<'_, 'a, N> {
    type Value = bool;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'a, const N: usize> Visitor<'a> for TaggedSeed<'_, 'a, N> {
    type Value = bool;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an object")
    }

    fn visit_map<M: MapAccess<'a>>(self, mut map: M) -> Result<bool, M::Error> {
        let mut found = false;
        while let Some(key) = map.next_key::<Scalar<'a>>()? {
            if matches!(&key, Scalar::Text(text) if text == self.tag) {
                found = true;
                map.next_value_seed(ObjectSeed { record: self.object.record, reading: self.object.reading })?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

struct KeySeed(fn(&str) -> Option<usize>);

impl<'a> DeserializeSeed<'a> for KeySeed {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<Option<usize>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for KeySeed {
    type Value = Option<usize>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Option<usize>, E> {
        Ok((self.0)(key))
    }
}

impl<'a> Deserialize<'a> for Scalar<'a> {
    fn deserialize<D: Deserializer<'a>>(deserializer: D) -> Result<Scalar<'a>, D::Error> {
        let mut scalar = Scalar::Missing;
        InPlace(&mut scalar).deserialize(deserializer)?;
        Ok(scalar)
    }
}

/// Writes a value where it is to stand. Handed up through every `Result` it is copied in other units than it was written in,
/// and each copy waits for the writes.
struct InPlace<'s, 'a>(&'s mut Scalar<'a>);

impl<'a> DeserializeSeed<'a> for InPlace<'_, 'a> {
    type Value = ();

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'a> Visitor<'a> for InPlace<'_, 'a> {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        *self.0 = Scalar::Missing;
        Ok(())
    }

    fn visit_bool<E>(self, flag: bool) -> Result<(), E> {
        *self.0 = Scalar::Flag(flag);
        Ok(())
    }

    fn visit_u64<E>(self, count: u64) -> Result<(), E> {
        *self.0 = Scalar::Count(count);
        Ok(())
    }

    fn visit_i64<E>(self, number: i64) -> Result<(), E> {
        *self.0 = Scalar::Number(number as f64);
        Ok(())
    }

    fn visit_f64<E>(self, number: f64) -> Result<(), E> {
        *self.0 = Scalar::Number(number);
        Ok(())
    }

    fn visit_borrowed_str<E>(self, text: &'a str) -> Result<(), E> {
        *self.0 = Scalar::Text(Cow::Borrowed(text));
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        *self.0 = Scalar::Text(Cow::Owned(text.to_string()));
        Ok(())
    }

    fn visit_seq<S: SeqAccess<'a>>(self, mut items: S) -> Result<(), S::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        *self.0 = Scalar::List(list);
        Ok(())
    }

    fn visit_map<M: MapAccess<'a>>(self, mut map: M) -> Result<(), M::Error> {
        let mut members = Vec::new();
        while let Some((key, value)) = map.next_entry()? {
            if let Scalar::Text(key) = key {
                members.push((key, value));
            }
        }
        *self.0 = Scalar::Object(members);
        Ok(())
    }
}
