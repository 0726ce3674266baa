//! CloudEvents 1.0 on Kafka: what of a message is to be decoded, and what its envelope says of it.
//!
//! An event is *structured* when the content type begins with `application/cloudevents`: the value holds all of it. Else
//! it is *binary* when all mandatory attributes are headers: the value is the data. Else the message is no event, and
//! its value is a record. (Kafka Protocol Binding for CloudEvents 1.0, section 3.)

use std::borrow::Cow;

use fleet::EventTime;
use serde::Deserialize;
use serde_json::Value;

use super::reject::RejectReason;
use super::value::shorten;

/// A message out of its envelope.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Opened<'a> {
    /// The record.
    pub data: Cow<'a, [u8]>,
    /// Whom the event is about.
    pub subject: Option<Cow<'a, str>>,
    pub time: Option<EventTime>,
    /// The message's key, where it is UTF-8.
    pub key: Option<&'a str>,
}

/// `Ok(None)`: a tombstone, an empty value, or an event without data. An attribute that is not what it should be (a
/// subject that is no UTF-8, a time that is none) counts as not given.
pub fn open<'a>(
    headers: impl IntoIterator<Item = (&'a str, Option<&'a [u8]>)>,
    key: Option<&'a [u8]>,
    value: Option<&'a [u8]>,
) -> Result<Option<Opened<'a>>, RejectReason> {
    let Some(value) = value.filter(|value| !value.is_empty()) else {
        return Ok(None);
    };
    let key = key.and_then(|key| std::str::from_utf8(key).ok());
    let attributes = Attributes::of(headers);
    match attributes.content_type {
        Some(content_type) if begins_with(content_type, "application/cloudevents") => {
            structured(content_type, value, key)
        }
        _ if attributes.mandatory == MANDATORY.len() => Ok(Some(Opened {
            data: Cow::Borrowed(value),
            subject: attributes.subject.map(Cow::Borrowed),
            time: attributes.time.and_then(EventTime::parse),
            key,
        })),
        _ => Ok(Some(Opened { data: Cow::Borrowed(value), key, ..Opened::default() })),
    }
}

const MANDATORY: [&str; 4] = ["ce_specversion", "ce_type", "ce_source", "ce_id"];

#[derive(Default)]
struct Attributes<'a> {
    content_type: Option<&'a str>,
    subject: Option<&'a str>,
    time: Option<&'a str>,
    /// How many of [`MANDATORY`] were there.
    mandatory: usize,
}

impl<'a> Attributes<'a> {
    /// A header given twice counts once, with its last value.
    fn of(headers: impl IntoIterator<Item = (&'a str, Option<&'a [u8]>)>) -> Attributes<'a> {
        let mut attributes = Attributes::default();
        let mut seen = [false; MANDATORY.len()];
        for (name, value) in headers {
            let text = value.and_then(|value| std::str::from_utf8(value).ok()).filter(|text| !text.is_empty());
            if let Some(index) = MANDATORY.iter().position(|mandatory| name.eq_ignore_ascii_case(mandatory)) {
                seen[index] = text.is_some();
            } else if name.eq_ignore_ascii_case("content-type") {
                attributes.content_type = text;
            } else if name.eq_ignore_ascii_case("ce_subject") {
                attributes.subject = text;
            } else if name.eq_ignore_ascii_case("ce_time") {
                attributes.time = text;
            }
        }
        attributes.mandatory = seen.iter().filter(|there| **there).count();
        attributes
    }
}

fn begins_with(text: &str, prefix: &str) -> bool {
    text.trim_start().get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

#[derive(Deserialize)]
struct Structured {
    specversion: Option<String>,
    subject: Option<Value>,
    time: Option<Value>,
    data: Option<Value>,
    data_base64: Option<String>,
}

/// The event as one JSON object. Data that is a JSON text is that text: a record need not be JSON.
fn structured<'a>(content_type: &str, value: &[u8], key: Option<&'a str>) -> Result<Option<Opened<'a>>, RejectReason> {
    // Batches and other encodings (Avro, Protobuf) begin alike.
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    if !media_type.eq_ignore_ascii_case("application/cloudevents+json") {
        let expected = "application/cloudevents+json, or an event in binary mode";
        return Err(RejectReason::BadField { field: "content-type", value: shorten(content_type), expected });
    }
    let event: Structured =
        serde_json::from_slice(value).map_err(|error| RejectReason::NotJson { problem: error.to_string() })?;
    if event.specversion.is_none() {
        return Err(RejectReason::MissingField { field: "specversion" });
    }
    let data = match (event.data, event.data_base64) {
        (Some(Value::String(text)), _) => text.into_bytes(),
        (Some(data), _) => data.to_string().into_bytes(),
        (None, Some(text)) => from_base64(&text).ok_or_else(|| RejectReason::BadField {
            field: "data_base64",
            value: shorten(&text),
            expected: "base64 as in RFC 4648",
        })?,
        (None, None) => return Ok(None),
    };
    let text = |value: Option<Value>| match value {
        Some(Value::String(text)) if !text.is_empty() => Some(text),
        _ => None,
    };
    let time = text(event.time).and_then(|text| EventTime::parse(&text));
    Ok(Some(Opened { data: Cow::Owned(data), subject: text(event.subject).map(Cow::Owned), time, key }))
}

/// The standard alphabet; padding may be left out.
fn from_base64(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=').as_bytes();
    if digits.len() % 4 == 1 || text.len() - digits.len() > 2 {
        return None;
    }
    let mut bytes = Vec::with_capacity(digits.len() * 3 / 4);
    for group in digits.chunks(4) {
        let mut bits = 0u32;
        for index in 0..4 {
            bits = bits << 6 | group.get(index).map_or(Some(0), |digit| base64_digit(*digit))?;
        }
        let [_, first, second, third] = bits.to_be_bytes();
        bytes.extend(&[first, second, third][..group.len() - 1]);
    }
    Some(bytes)
}

fn base64_digit(digit: u8) -> Option<u32> {
    let value = match digit {
        b'A'..=b'Z' => digit - b'A',
        b'a'..=b'z' => digit - b'a' + 26,
        b'0'..=b'9' => digit - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    };
    Some(value.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_of_the_rfc() {
        for (text, bytes) in [
            ("", ""),
            ("Zg==", "f"),
            ("Zm8=", "fo"),
            ("Zm9v", "foo"),
            ("Zm9vYg", "foob"),
            ("Zm9vYmE=", "fooba"),
            ("Zm9vYmFy", "foobar"),
        ] {
            assert_eq!(from_base64(text).as_deref(), Some(bytes.as_bytes()), "{text}");
        }
        for text in ["Z", "Zm9vY", "Zm9v====", "Zm-v", "Zm9v Zm9v", "é"] {
            assert_eq!(from_base64(text), None, "{text}");
        }
    }
}
