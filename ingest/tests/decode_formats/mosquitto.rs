//! MQTT messages as bridges write them.

use ingest::Format::MosquittoBridgeJson;

use super::{means, native, rejects};

const BRIDGED: &str = r#"{"topic":"site/a/th/042","payload":"{\"t\":21.4}","qos":1,"retain":false,"timestamp":1767225600001,"client_id":"sensor-042","mid":7}"#;
const MEANT: &str = r#"{"kind":"message","time":"2026-01-01T00:00:00.001Z","client_id":"sensor-042","topic":"site/a/th/042","payload_bytes":10,"value":21.4}"#;

#[test]
fn spellings_of_one_message() {
    let nanoseconds = BRIDGED.replace("600001", "600001000000");
    let table: Vec<String> = [
        BRIDGED.to_string(),
        BRIDGED.replace("client_id", "clientid"),
        BRIDGED.replace("client_id", "clientId"),
        BRIDGED.replace("client_id", "username"),
        BRIDGED.replace("timestamp", "ts"),
        BRIDGED.replace(r#""{\"t\":21.4}""#, r#"{"t": 21.4}"#),
        BRIDGED.replace("1767225600001", "1767225600.001"),
        BRIDGED.replace("1767225600001", "1767225600001.0"),
        BRIDGED.replace("1767225600001", "\"1767225600.001\""),
        BRIDGED.replace("1767225600001", "\"2026-01-01T01:00:00.001+0100\""),
        BRIDGED.replace("600001", "600001000"),
        nanoseconds,
    ]
    .into();
    for record in table {
        means(MosquittoBridgeJson, &[(&record, MEANT)]);
    }
}

#[test]
fn a_key_names_the_device_before_a_user_does() {
    let by = |record: &str, key: &str| native(MosquittoBridgeJson, record, Some(key)).unwrap().unwrap();
    let anonymous = BRIDGED.replace("client_id", "other");
    assert_eq!(by(&anonymous, "sensor-042"), MEANT);
    assert_eq!(by(BRIDGED, "hub"), MEANT);
    let user = BRIDGED.replace("client_id", "username");
    assert!(by(&user, "hub").contains(r#""client_id":"hub""#));
    // Neither the topic nor a number in binary is a device.
    for key in ["site/a/th/042", "\u{0}\u{0}\u{0}\u{7}", ""] {
        assert_eq!(by(&user, key), MEANT);
        let told = native(MosquittoBridgeJson, &anonymous, Some(key)).unwrap_err();
        assert!(told.contains("the message's key` is missing"), "{told}");
    }
}

#[test]
fn what_is_no_message_says_why() {
    rejects(
        MosquittoBridgeJson,
        BRIDGED,
        &[
            ("topic", "tpc", "missing_field: field `topic`"),
            ("site/a/th/042", "", "missing_field: field `topic`"),
            ("timestamp", "at", "missing_field: field `timestamp`"),
            ("1767225600001", "true", "bad_field: field `timestamp`"),
            ("1767225600001", "1e300", "bad_field: field `timestamp`"),
            ("\"sensor-042\"", "[]", "bad_field: field `client_id`"),
            ("client_id", "x", "missing_field: field `client_id, clientid"),
            ("{\"topic\"", "[\"topic\"", "not_json"),
        ],
    );
}
