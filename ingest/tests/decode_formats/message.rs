//! Kafka messages and their CloudEvents envelopes: what is decoded, and what the envelope may say in its place.

use fleet::{EventTime, Position, Reading};
use ingest::decode::Message;
use ingest::decode::envelope::{Opened, open};
use ingest::{Decoder, Format, RejectReason};

type Header<'a> = (&'a str, Option<&'a [u8]>);

const RECORD: &str = r#"{"kind":"message","time":5,"client_id":"sensor-042","topic":"t"}"#;
const NAMELESS: &str = r#"{"kind":"message","topic":"t"}"#;
const STRUCTURED: Header = ("content-type", Some(b"application/cloudevents+json; charset=UTF-8"));
const BINARY: [Header; 7] = [
    ("ce_specversion", Some(b"1.0")),
    ("ce_type", Some(b"io.example.telemetry")),
    ("ce_source", Some(b"/gateway/7")),
    ("ce_id", Some(b"A234-1234")),
    ("ce_time", Some(b"2026-01-01T00:00:00Z")),
    ("ce_subject", Some(b"sensor-042")),
    ("content-type", Some(b"application/json")),
];

fn decode(key: Option<&[u8]>, value: Option<&[u8]>, headers: &[Header]) -> Result<Option<Reading>, RejectReason> {
    Decoder::new(Format::Native).decode_message(&Message { key, value, headers }, Position { source: 3, offset: 9 })
}

fn event(data: &str) -> String {
    format!(
        r#"{{"specversion":"1.0","id":"1","source":"/gateway/7","type":"t","subject":"sensor-042","time":"2026-01-01T01:00:00+01:00",{data}}}"#
    )
}

#[test]
fn a_plain_value_is_decoded_as_a_line_is() {
    let position = Position { source: 3, offset: 9 };
    let line = Decoder::new(Format::Native).decode(RECORD.as_bytes(), position);
    assert_eq!(decode(None, Some(RECORD.as_bytes()), &[]), line);
    // One mandatory attribute short of an event.
    assert_eq!(decode(Some(b"key"), Some(RECORD.as_bytes()), &BINARY[1..]), line);
    assert!(matches!(line, Ok(Some(reading)) if reading.position == position));
}

#[test]
fn tombstones_and_empty_values_are_passed_over() {
    for headers in [&[][..], &BINARY, &[STRUCTURED]] {
        for value in [None, Some(&b""[..])] {
            assert_eq!(decode(Some(b"sensor-042"), value, headers), Ok(None));
        }
    }
    assert_eq!(decode(None, Some(b" \n"), &[]), Ok(None));
    assert_eq!(decode(None, Some(event(r#""data":null"#).as_bytes()), &[STRUCTURED]), Ok(None));
}

#[test]
fn an_envelope_says_who_and_when_where_the_record_does_not() {
    let event_time = EventTime::parse("2026-01-01T00:00:00Z").unwrap();
    let structured = event(&format!(r#""data":{NAMELESS}"#));
    for (value, headers) in [(NAMELESS, &BINARY[..]), (&structured, &[STRUCTURED])] {
        let reading = decode(None, Some(value.as_bytes()), headers).unwrap().unwrap();
        assert_eq!((reading.identity.client_id.as_deref(), reading.time), (Some("sensor-042"), event_time));
    }
    let own = RECORD.replace("sensor-042", "hub-1");
    for (value, headers) in [(own.clone(), &BINARY[..]), (event(&format!(r#""data":{own}"#)), &[STRUCTURED])] {
        let reading = decode(None, Some(value.as_bytes()), headers).unwrap().unwrap();
        assert_eq!((reading.identity.client_id.as_deref(), reading.time), (Some("hub-1"), EventTime(5_000_000)));
    }
}

#[test]
fn a_key_names_no_device_of_a_native_record() {
    let timed = NAMELESS.replace('{', r#"{"time":5,"#);
    let rejected = decode(Some(b"sensor-042"), Some(timed.as_bytes()), &[]).unwrap_err();
    assert_eq!(rejected.name(), "missing_field");
}

#[test]
fn data_may_be_json_a_text_or_base64() {
    let quoted = serde_json::to_string(RECORD).unwrap();
    for data in [
        format!(r#""data":{RECORD}"#),
        format!(r#""data":{quoted}"#),
        r#""data_base64":"eyJraW5kIjoibWVzc2FnZSIsInRpbWUiOjUsImNsaWVudF9pZCI6InNlbnNvci0wNDIiLCJ0b3BpYyI6InQifQ==""#
            .to_string(),
    ] {
        let reading = decode(None, Some(event(&data).as_bytes()), &[STRUCTURED]).unwrap().unwrap();
        assert_eq!(Ok(Some(reading)), decode(None, Some(RECORD.as_bytes()), &[]), "{data}");
    }
}

#[test]
fn detection_does_not_mind_the_case_of_names() {
    let value = event(&format!(r#""data":{RECORD}"#));
    let header: Header = ("Content-Type", Some(b"Application/CloudEvents+JSON"));
    assert!(matches!(decode(None, Some(value.as_bytes()), &[header]), Ok(Some(_))));
    let twice = [("ce_id", Some(&b"1"[..])), ("CE_ID", Some(b"2")), ("ce_type", Some(b"t")), ("ce_source", Some(b"s"))];
    let opened = open(twice, Some(b"\xff"), Some(b"x")).unwrap().unwrap();
    assert_eq!(opened, Opened { data: (&b"x"[..]).into(), ..Opened::default() });
}

#[test]
fn what_is_no_event_says_why() {
    let batch: Header = ("content-type", Some(b"application/cloudevents-batch+json"));
    for (value, header, reason) in [
        ("[]".to_string(), batch, "bad_field"),
        ("[]".to_string(), STRUCTURED, "not_json"),
        ("{".to_string(), STRUCTURED, "not_json"),
        ("{}".to_string(), STRUCTURED, "missing_field"),
        (event(r#""data_base64":"!""#), STRUCTURED, "bad_field"),
        (event(r#""data_base64":7"#), STRUCTURED, "not_json"),
        (event(r#""data":[1]"#), STRUCTURED, "not_json"),
    ] {
        let rejected = decode(None, Some(value.as_bytes()), &[header]).unwrap_err();
        assert_eq!(rejected.name(), reason, "{value}: {rejected}");
    }
    let deep = event(&format!(r#""data":{}"#, "[".repeat(100_000)));
    assert_eq!(decode(None, Some(deep.as_bytes()), &[STRUCTURED]).unwrap_err().name(), "not_json");
}

#[test]
fn odd_attributes_count_as_not_given() {
    let odd = [("ce_subject", Some(&b"\xff"[..])), ("ce_time", Some(b"yesterday")), ("ce_time", None)];
    let headers: Vec<Header> = BINARY[..4].iter().copied().chain(odd).collect();
    assert_eq!(decode(None, Some(NAMELESS.as_bytes()), &headers).unwrap_err().name(), "missing_field");
    let control = event(&format!(r#""data":{NAMELESS}"#)).replace("sensor-042", "a\\u0000b");
    assert_eq!(decode(None, Some(control.as_bytes()), &[STRUCTURED]).unwrap_err().name(), "missing_field");
}
