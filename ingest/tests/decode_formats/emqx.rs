//! EMQX's events.

use ingest::Format::EmqxJson;

use super::{means, rejects};

const PUBLISH: &str = r#"{"event":"message.publish","clientid":"sensor-042","username":"undefined","payload":"{\"t\":21.4}","peerhost":"192.168.0.10","topic":"site/a/th/042","qos":1,"flags":{"retain":false},"timestamp":1767225600001}"#;

#[test]
fn events_mean_readings() {
    means(
        EmqxJson,
        &[
            (
                PUBLISH,
                r#"{"kind":"message","time":"2026-01-01T00:00:00.001Z","client_id":"sensor-042","ip":"192.168.0.10","topic":"site/a/th/042","payload_bytes":10,"value":21.4}"#,
            ),
            (
                r#"{"event":"message.delivered","from_clientid":"hub","clientid":"lock-7","payload":"7","peername":"192.168.0.11:5000","topic":"lock/7/set","timestamp":1767225600000}"#,
                r#"{"kind":"message","time":"2026-01-01T00:00:00Z","client_id":"lock-7","ip":"192.168.0.11","inbound":true,"topic":"lock/7/set","payload_bytes":1}"#,
            ),
            (
                r#"{"event":"client.connected","clientid":"c","peername":"[2001:db8::7]:5000","mountpoint":"undefined","timestamp":1767225600000}"#,
                r#"{"kind":"session","time":"2026-01-01T00:00:00Z","client_id":"c","ip":"2001:db8::7","event":"connected","address":"2001:db8::7"}"#,
            ),
            (
                r#"{"event":"client.disconnected","clientid":"c","peername":"2001:db8::7:5000","reason":"keepalive_timeout","timestamp":1767225600000}"#,
                r#"{"kind":"session","time":"2026-01-01T00:00:00Z","client_id":"c","ip":"2001:db8::7","event":"disconnected","address":"2001:db8::7","reason":"keepalive_timeout"}"#,
            ),
            (
                r#"{"event":"client.disconnected","clientid":"c","peername":"10.0.0.1:5000","reason":"takenover","timestamp":1767225600000}"#,
                r#"{"kind":"session","time":"2026-01-01T00:00:00Z","client_id":"c","ip":"10.0.0.1","event":"taken_over","reason":"takenover"}"#,
            ),
            (
                r#"{"event":"client.connack","clientid":"c","peername":"10.0.0.1:5000","reason_code":"banned","timestamp":1767225600000}"#,
                r#"{"kind":"session","time":"2026-01-01T00:00:00Z","client_id":"c","ip":"10.0.0.1","event":"refused","address":"10.0.0.1","reason":"banned"}"#,
            ),
            (
                r#"{"event":"client.check_authn_complete","clientid":"c","username":"root","peername":"10.0.0.1:5000","reason_code":"bad_username_or_password","is_anonymous":false,"timestamp":1767225600000}"#,
                r#"{"kind":"sign_in","time":"2026-01-01T00:00:00Z","client_id":"c","ip":"10.0.0.1","success":false,"method":"mqtt","user":"root"}"#,
            ),
            (
                r#"{"event":"client.check_authn_complete","clientid":"c","username":"undefined","reason_code":"success","timestamp":1767225600000}"#,
                r#"{"kind":"sign_in","time":"2026-01-01T00:00:00Z","client_id":"c","success":true,"method":"mqtt"}"#,
            ),
            (
                r#"{"event":"client.check_authz_complete","clientid":"c","peerhost":"10.0.0.1","topic":"cmd/door/1","action":{"action_type":"publish"},"result":"deny","timestamp":1767225600000}"#,
                r#"{"kind":"session","time":"2026-01-01T00:00:00Z","client_id":"c","ip":"10.0.0.1","event":"refused","address":"10.0.0.1","topic":"cmd/door/1"}"#,
            ),
            (
                r##"{"event":"session.subscribed","clientid":"c","topic":"cmd/#","qos":1,"sub_props":{},"timestamp":1767225600000}"##,
                r##"{"kind":"session","time":"2026-01-01T00:00:00Z","client_id":"c","event":"subscribed","topic":"cmd/#"}"##,
            ),
        ],
    );
}

#[test]
fn the_rest_is_passed_over() {
    for event in [
        r#""client.connack","reason_code":"success""#,
        r#""client.check_authz_complete","result":"allow""#,
        r#""client.ping""#,
        r#""message.acked""#,
        r#""message.dropped","reason":"no_subscribers""#,
        r#""session.unsubscribed""#,
        r#""alarm.activated""#,
        r#""$bridges/mqtt:other""#,
    ] {
        means(EmqxJson, &[(&format!(r#"{{"event":{event}}}"#), "")]);
    }
}

#[test]
fn payloads_are_measured_and_looked_at_for_one_number() {
    let long = format!(r#""{{\"t\":1,\"s\":\"{}\"}}""#, "x".repeat(2_000));
    for (payload, bytes, value) in [
        (r#""21.50""#, 5, ",\"value\":21.5"),
        (r#""{\"t\":-3,\"unit\":\"C\",\"ok\":true}""#, 29, ",\"value\":-3.0"),
        (r#""{\"t\":21,\"h\":40}""#, 15, ""),
        (r#""[21]""#, 4, ""),
        (r#""NaN""#, 3, ""),
        (r#""é""#, 2, ""),
        (r#"{ "t" : 21.5, "unit": "\n" }"#, 22, ",\"value\":21.5"),
        (r#"{"a":{},"b":[],"c":[null,1,[true]],"d":{"e":2}}"#, 47, ""),
        (r#"1.5"#, 3, ",\"value\":1.5"),
        (&long, 2_014, ""),
    ] {
        let record = PUBLISH.replace(r#""{\"t\":21.4}""#, payload);
        let line = format!(
            r#"{{"kind":"message","time":"2026-01-01T00:00:00.001Z","client_id":"sensor-042","ip":"192.168.0.10","topic":"site/a/th/042","payload_bytes":{bytes}{value}}}"#
        );
        means(EmqxJson, &[(&record, &line)]);
    }
    let empty = PUBLISH.replace(r#""payload":"{\"t\":21.4}","#, "");
    means(
        EmqxJson,
        &[(
            &empty,
            r#"{"kind":"message","time":"2026-01-01T00:00:00.001Z","client_id":"sensor-042","ip":"192.168.0.10","topic":"site/a/th/042"}"#,
        )],
    );
}

#[test]
fn what_is_no_event_says_why() {
    rejects(
        EmqxJson,
        PUBLISH,
        &[
            ("event", "evt", "missing_field: field `event`"),
            ("topic", "tpc", "missing_field: field `topic`"),
            ("timestamp", "at", "missing_field: field `timestamp`"),
            ("1767225600001", "\"yesterday\"", "bad_field: field `timestamp` is `yesterday`"),
            ("1767225600001", "-5", "bad_field: field `timestamp`"),
            ("1767225600001", "[5]", "bad_field: field `timestamp`"),
            ("192.168.0.10", "192.168.0.10.5", "bad_field: field `peerhost`"),
            ("\"peerhost\":\"192.168.0.10\"", "\"peername\":\"nowhere\"", "bad_field: field `peername`"),
            ("\"sensor-042\"", "42", "bad_field: field `clientid`"),
            ("}\"", "}", "not_json"),
        ],
    );
    let nobody = PUBLISH.replace("sensor-042", "undefined").replace("192.168.0.10", "undefined");
    assert!(super::native(EmqxJson, &nobody, Some("key")).unwrap_err().contains("`clientid` is missing"));
    let silent = PUBLISH.replace("message.publish", "client.connack");
    assert!(super::native(EmqxJson, &silent, None).unwrap_err().contains("`reason_code` is missing"));
}
