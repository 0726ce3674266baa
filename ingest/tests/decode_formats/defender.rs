//! Device metrics of AWS IoT Device Defender.

use fleet::Position;
use ingest::Decoder;
use ingest::Format::DefenderJson;
use ingest::decode::Message;

use super::{means, native, rejects};

const REPORT: &str = r#"{"header":{"report_id":1767225600,"version":"1.0"},"metrics":{"listening_tcp_ports":{"ports":[{"port":22},{"interface":"eth0","port":8883}],"total":2},"listening_udp_ports":{"ports":[{"port":22},{"port":5353},{"port":40000}],"total":3},"network_stats":{"bytes_in":1}},"thing_name":"gate-7"}"#;
const MEANT: &str =
    r#"{"kind":"posture","time":"2026-01-01T00:00:00Z","client_id":"gate-7","listening_ports":[22,8883,5353]}"#;

#[test]
fn long_and_short_names_mean_the_same() {
    let short = r#"{"hed":{"rid":1767225600000},"met":{"tp":{"pts":[{"pt":22},{"pt":8883}]},"up":{"pts":[{"pt":5353}]}},"thingName":"gate-7"}"#;
    let none = r#"{"kind":"posture","time":"2026-01-01T00:00:00Z","client_id":"gate-7"}"#;
    means(
        DefenderJson,
        &[
            (REPORT, MEANT),
            (short, MEANT),
            (r#"{"hed":{"rid":1767225600},"custom_metrics":{"cpu":[{"number":1}]},"client_id":"gate-7"}"#, none),
            (r#"{"hed":{"rid":1767225600},"met":{"tp":{"t":0}},"client_id":"gate-7"}"#, none),
        ],
    );
}

#[test]
fn the_key_names_the_thing() {
    let nameless = REPORT.replace("thing_name", "note");
    for key in ["gate-7", "$aws/things/gate-7/defender/metrics/json"] {
        assert_eq!(native(DefenderJson, &nameless, Some(key)), Ok(Some(MEANT.to_string())), "{key}");
    }
    for key in [None, Some(""), Some("\u{1}")] {
        assert!(native(DefenderJson, &nameless, key).unwrap_err().contains("the message's key` is missing"));
    }
    let other = native(DefenderJson, &nameless, Some("$aws/things//defender/metrics")).unwrap().unwrap();
    assert!(other.contains("$aws/things//"), "{other}");
}

#[test]
fn a_counter_is_no_time_but_the_event_may_have_one() {
    let counted = REPORT.replace("1767225600", "17");
    assert!(native(DefenderJson, &counted, None).unwrap_err().contains("bad_field: field `header.report_id` is `17`"));
    let headers = ["ce_id", "ce_type", "ce_source", "ce_specversion"].map(|name| (name, Some(&b"1.0"[..])));
    let headers = [&headers[..], &[("ce_time", Some(&b"2026-01-01T00:00:00Z"[..]))]].concat();
    let message = Message { key: None, value: Some(counted.as_bytes()), headers: &headers };
    let reading = Decoder::new(DefenderJson).decode_message(&message, Position::default()).unwrap().unwrap();
    assert_eq!(ingest::to_native_json(&reading), MEANT);
}

#[test]
fn what_is_no_report_says_why() {
    rejects(
        DefenderJson,
        REPORT,
        &[
            ("report_id", "id", "missing_field: field `header.report_id`"),
            ("1767225600", "true", "bad_field: field `header.report_id`"),
            ("\"header\":{\"report_id\":1767225600,\"version\":\"1.0\"}", "\"header\":[]", "missing_field"),
            ("8883", "88830", "bad_field: field `listening_ports.ports.port`"),
            ("\"port\":8883", "\"p\":8883", "missing_field: field `listening_ports.ports.port`"),
            ("\"gate-7\"", "7", "bad_field: field `thing_name`"),
            ("thing_name", "t", "missing_field: field `thing_name"),
            ("}}", "}", "not_json"),
        ],
    );
}
