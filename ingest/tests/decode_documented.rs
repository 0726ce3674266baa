//! The pages users read are true: every example of `docs/records.md` decodes, the native ones agree with the JSON
//! Schema, and what the schema refuses the decoder refuses too.

mod schema;

use fleet::{Kind, Position, Reading};
use ingest::decode::Message;
use ingest::{Decoder, Format, to_native_json};
use serde_json::{Value, json};

const PAGE: &str = include_str!("../../docs/records.md");

fn examples(format: Format) -> Vec<&'static str> {
    fenced(format.name())
}

fn fenced(name: &str) -> Vec<&'static str> {
    let fence = format!("```{name}\n");
    let mut lines = Vec::new();
    for after in PAGE.split(&fence).skip(1) {
        lines.extend(after.split("```").next().unwrap().lines());
    }
    lines
}

/// Of these reports only the message's key says whose they are.
fn key_of(format: Format) -> Option<&'static [u8]> {
    (format == Format::DefenderJson).then_some(&b"$aws/things/gate-7/defender/metrics/json"[..])
}

fn decode_all(format: Format) -> Vec<Reading> {
    let mut decoder = Decoder::new(format);
    let mut readings = Vec::new();
    for (offset, line) in examples(format).into_iter().enumerate() {
        let position = Position { source: 7, offset: offset as u64 };
        let message = Message { key: key_of(format), value: Some(line.as_bytes()), headers: &[] };
        match decoder.decode_message(&message, position) {
            Ok(reading) => readings.extend(reading),
            Err(reason) => panic!("{line}\n{reason}"),
        }
    }
    readings
}

#[test]
fn every_example_decodes() {
    let counts = Format::ALL.map(|format| decode_all(format).len());
    assert_eq!(counts, [11, 2, 2, 2, 2, 4, 5, 4, 8, 4, 2]);
}

/// As a service does that is started again behind each line.
#[test]
fn a_decoder_goes_on_with_the_header_of_the_one_before() {
    for format in Format::ALL {
        let mut header: Option<String> = None;
        let mut readings = Vec::new();
        for (offset, line) in examples(format).into_iter().enumerate() {
            let mut decoder = header.map_or_else(|| Decoder::new(format), |header| Decoder::resume(format, &header));
            let position = Position { source: 7, offset: offset as u64 };
            let message = Message { key: key_of(format), value: Some(line.as_bytes()), headers: &[] };
            readings.extend(decoder.decode_message(&message, position).unwrap_or_else(|why| panic!("{line}\n{why}")));
            header = decoder.header();
        }
        assert_eq!(readings, decode_all(format), "{format:?}");
        let has_columns = matches!(format, Format::ZeekConnTsv | Format::ZeekConnCsv | Format::VpcFlowLog);
        assert_eq!(header.is_some(), has_columns, "{format:?}");
    }
}

#[test]
fn every_event_decodes() {
    let headers = [("content-type", Some(&b"application/cloudevents+json"[..]))];
    for line in fenced("cloudevents") {
        let message = Message { key: None, value: Some(line.as_bytes()), headers: &headers };
        let decoded = Decoder::new(Format::Native).decode_message(&message, Position::default());
        assert!(matches!(decoded, Ok(Some(_))), "{line}: {decoded:?}");
    }
    assert_eq!(fenced("cloudevents").len(), 3);
}

#[test]
fn the_native_examples_show_every_kind_and_agree_with_the_schema() {
    let shown: Vec<&str> = decode_all(Format::Native).iter().map(|reading| reading.kind.name()).collect();
    for kind in Kind::NAMES {
        assert!(shown.contains(&kind), "{kind}");
    }
    for line in examples(Format::Native) {
        let value: Value = serde_json::from_str(line).unwrap();
        assert_eq!(schema::check(&value), Ok(()), "{line}");
    }
}

#[test]
fn native_examples_survive_being_written_again() {
    for reading in decode_all(Format::Native) {
        let line = to_native_json(&reading);
        let again = Decoder::new(Format::Native).decode(line.as_bytes(), reading.position);
        assert_eq!(again, Ok(Some(reading)), "{line}");
        assert_eq!(schema::check(&serde_json::from_str(&line).unwrap()), Ok(()), "{line}");
    }
}

#[test]
fn the_two_zeek_tables_say_the_same() {
    let [mut tsv, mut csv] = [decode_all(Format::ZeekConnTsv), decode_all(Format::ZeekConnCsv)];
    for reading in tsv.iter_mut().chain(&mut csv) {
        reading.position = Position::default();
    }
    assert_eq!(tsv, csv);
    assert_eq!(tsv.iter().map(|reading| reading.malicious).collect::<Vec<_>>(), [false, true]);
    let Kind::Flow(flow) = &tsv[0].kind else { panic!("{:?}", tsv[0]) };
    assert_eq!((flow.bytes_out, flow.bytes_in, flow.duration, flow.service.as_str()), (517, 4120, 1_250_000, "ssl"));
    let json = &decode_all(Format::ZeekConnJson)[0];
    let Kind::Flow(same) = &json.kind else { panic!("{json:?}") };
    assert_eq!((json.time, same.bytes_in, same.outcome), (tsv[0].time, flow.bytes_in, flow.outcome));
}

#[test]
fn what_the_schema_refuses_is_rejected() {
    let least = [
        json!({"kind": "message", "time": 1.5, "client_id": "a", "topic": "t"}),
        json!({"kind": "flow", "time": 1.5, "ip": "10.0.0.1", "responder_ip": "10.0.0.2", "protocol": "tcp"}),
        json!({"kind": "sign_in", "time": 1.5, "client_id": "a", "success": true}),
        json!({"kind": "session", "time": 1.5, "client_id": "a", "event": "connected"}),
        json!({"kind": "posture", "time": 1.5, "client_id": "a"}),
    ];
    let spoilt = [
        ("time", json!(-1)),
        ("time", json!(true)),
        ("kind", json!("gossip")),
        ("payload_bytes", json!(-3)),
        ("value", json!("warm")),
        ("inbound", json!("yes")),
        ("responder_port", json!(70_000)),
        ("duration", json!(-0.5)),
        ("bytes_out", json!(1.5)),
        ("outcome", json!("lost")),
        ("success", json!(1)),
        ("event", json!("sneezed")),
        ("listening_ports", json!([22, -1])),
        ("listening_ports", json!("22")),
        ("topic", json!("")),
        ("topic", json!("t".repeat(2_000))),
        ("label", json!(1)),
    ];
    let mut refused = 0;
    for line in &least {
        assert_eq!((schema::check(line), decodes(line)), (Ok(()), true), "{line}");
        for key in line.as_object().unwrap().keys() {
            let mut without = line.clone();
            without.as_object_mut().unwrap().remove(key);
            assert!(schema::check(&without).is_err() && !decodes(&without), "{without}");
        }
        for (key, value) in &spoilt {
            let mut bad = line.clone();
            bad[*key] = value.clone();
            if schema::check(&bad).is_err() && !(*key == "topic" && value == "" && line["kind"] != "message") {
                assert!(!decodes(&bad), "{bad}");
                refused += 1;
            }
        }
    }
    assert!(refused >= 5 * 4 + spoilt.len() - 4, "{refused}");
}

fn decodes(line: &Value) -> bool {
    Decoder::new(Format::Native).decode(line.to_string().as_bytes(), Position::default()).is_ok()
}
