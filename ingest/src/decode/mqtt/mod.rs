//! What brokers and their bridges say of clients and messages.
//!
//! Payloads are measured and dropped: they are private and large, and the size and one number are all that is learned
//! from.

pub(super) mod emqx;
pub(super) mod mosquitto;

use super::value::{Scalar, Value};

/// What is kept of a payload.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Payload {
    pub bytes: u32,
    /// The measurement, when the payload is one: a JSON number, or an object in which just one member is a number.
    pub value: Option<f64>,
}

impl Payload {
    /// A longer one is no single measurement, and is not looked into.
    const LOOKED_INTO: usize = 1_024;

    /// Of a text its bytes; of JSON that stands in the record unquoted the bytes of its shortest form.
    pub fn measure(payload: Value<'_>) -> Payload {
        let (bytes, value) = match payload.scalar {
            Scalar::Missing => (0, None),
            Scalar::Text(text) if text.len() <= Self::LOOKED_INTO => {
                let parsed: Option<Scalar<'_>> = serde_json::from_str(text).ok();
                (text.len(), parsed.as_ref().and_then(one_number))
            }
            Scalar::Text(text) => (text.len(), None),
            other => (length(other), one_number(other)),
        };
        Payload { bytes: u32::try_from(bytes).unwrap_or(u32::MAX), value }
    }
}

fn number(scalar: &Scalar<'_>) -> Option<f64> {
    match scalar {
        Scalar::Count(count) => Some(*count as f64),
        Scalar::Number(number) => Some(*number),
        _ => None,
    }
}

fn one_number(scalar: &Scalar<'_>) -> Option<f64> {
    let Scalar::Object(members) = scalar else {
        return number(scalar);
    };
    let mut numbers = members.iter().filter_map(|(_, member)| number(member));
    numbers.next().filter(|_| numbers.next().is_none())
}

/// Bytes of the shortest JSON that says the same. The parser bounds how deep it goes.
fn length(scalar: &Scalar<'_>) -> usize {
    let quoted = |text: &str| serde_json::to_string(text).map_or(0, |json| json.len());
    match scalar {
        Scalar::Missing => "null".len(),
        Scalar::Flag(flag) => flag.to_string().len(),
        Scalar::Count(count) => count.to_string().len(),
        Scalar::Number(number) => number.to_string().len(),
        Scalar::Text(text) => quoted(text),
        Scalar::List(items) => 1 + items.iter().map(|item| length(item) + 1).sum::<usize>().max(1),
        Scalar::Object(members) => {
            let sum = members.iter().map(|(key, member)| quoted(key) + length(member) + 2);
            1 + sum.sum::<usize>().max(1)
        }
    }
}
