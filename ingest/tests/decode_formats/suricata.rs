//! Suricata's flows and MQTT events.

use ingest::Format::SuricataEveJson;

use super::{means, native, rejects};

const FLOW: &str = r#"{"timestamp":"2026-01-01T00:02:03.5+0000","event_type":"flow","src_ip":"192.168.1.20","src_port":49152,"dest_ip":"203.0.113.9","dest_port":8883,"proto":"TCP","app_proto":"tls","flow":{"pkts_toserver":23,"pkts_toclient":21,"bytes_toserver":4884,"bytes_toclient":7392,"start":"2026-01-01T00:00:00.25+0000","end":"2026-01-01T00:01:00.25+0000","action":"pass"},"ether":{"dest_macs":["54:ef:44:00:00:01","54:ef:44:00:00:02"],"src_macs":["54:ef:44:a0:00:01"]},"tcp":{"tcp_flags":"1b","tcp_flags_ts":"1b","tcp_flags_tc":"1b"}}"#;
const FLOWED: &str = r#"{"kind":"flow","time":"2026-01-01T00:02:03.500Z","mac":"54:ef:44:a0:00:01","ip":"192.168.1.20","responder_ip":"203.0.113.9","responder_port":8883,"originator_port":49152,"protocol":"tcp","service":"ssl","duration":60.0,"bytes_out":4884,"bytes_in":7392,"packets_out":23,"packets_in":21}"#;

#[test]
fn flows_mean_flows() {
    let service = |name: &str| FLOWED.replace(r#""service":"ssl","#, name);
    let offline = FLOWED.replace("00:02:03.500Z", "00:01:00.250Z");
    let single = r#""ether":{"src_mac":"54-ef-44-a0-00-01"}"#;
    let ether = FLOW.split_once(r#""ether""#).unwrap().1.split_once(r#","tcp""#).unwrap().0;
    means(
        SuricataEveJson,
        &[
            (FLOW, FLOWED),
            (&FLOW.replace("00:02:03.5+0000", "00:00:03.5+0000"), &offline),
            (&FLOW.replace("\"tls\"", "\"failed\""), &service("")),
            (&FLOW.replace("\"tls\"", "\"MQTT\""), &service(r#""service":"mqtt","#)),
            (&FLOW.replace(&format!(r#""ether"{ether}"#), single), FLOWED),
        ],
    );
}

#[test]
fn outcomes_follow_packets_and_flags() {
    let flags = |both: &str, server: &str| {
        FLOW.replace(r#""tcp_flags":"1b""#, &format!(r#""tcp_flags":"{both}""#))
            .replace(r#""tcp_flags_tc":"1b""#, &format!(r#""tcp_flags_tc":"{server}""#))
    };
    for (record, outcome) in [
        (FLOW.replace("\"pass\"", "\"drop\""), "refused"),
        (FLOW.replace("\"pkts_toclient\":21", "\"pkts_toclient\":0"), "unanswered"),
        (flags("16", "14"), "refused"),
        (flags("1e", "1e"), "reset"),
        (flags("18", "18"), "partial"),
    ] {
        let line = native(SuricataEveJson, &record, None).unwrap().unwrap();
        assert!(line.contains(&format!(r#""outcome":"{outcome}""#)), "{record}: {line}");
    }
    for record in [flags("00", "00"), FLOW.replace("\"TCP\"", "\"UDP\""), FLOW.replace("\"tcp\":", "\"x\":")] {
        let line = native(SuricataEveJson, &record, None).unwrap().unwrap();
        assert!(!line.contains("outcome"), "{record}: {line}");
    }
}

#[test]
fn mqtt_means_sessions_and_messages() {
    let event = |packets: &str| {
        format!(
            r#"{{"timestamp":"2026-01-01T00:00:00Z","event_type":"mqtt","src_ip":"192.168.1.42","src_port":32781,"dest_ip":"192.168.1.5","dest_port":1883,"mqtt":{{{packets}}}}}"#
        )
    };
    let session = |what: &str| {
        format!(r#"{{"kind":"session","time":"2026-01-01T00:00:00Z","ip":"192.168.1.42","event":{what}}}"#)
    };
    let of_client = |what: &str| session(what).replace(r#""ip""#, r#""client_id":"c","ip""#);
    let message = r#"{"kind":"message","time":"2026-01-01T00:00:00Z","ip":"192.168.1.42","topic":"t","payload_bytes":1,"value":7.0}"#;
    let published = event(r#""publish":{"topic":"t","message":"7"}"#);
    let delivered = published
        .replace("32781", "1883")
        .replace("\"dest_port\":1883", "\"dest_port\":32781")
        .replace("1.5\"", "1.42\"")
        .replacen("1.42\"", "1.5\"", 1);
    let inbound = message.replace(r#""topic""#, r#""inbound":true,"topic""#).replace(r#","value":7.0"#, "");
    for (packets, line) in [
        (r#""connect":{"client_id":"c"}"#, of_client(r#""connected","address":"192.168.1.42""#)),
        (
            r#""connect":{"client_id":"c"},"connack":{"return_code":0}"#,
            of_client(r#""connected","address":"192.168.1.42""#),
        ),
        (
            r#""connect":{"client_id":"c"},"connack":{"return_code":5}"#,
            of_client(r#""refused","address":"192.168.1.42","reason":"return code 5""#),
        ),
        (
            r##""subscribe":{"topics":[{"topic":"a"},{"topic":"b/#"},{"topic":"#"}]},"suback":{"qos_granted":[128,0]}"##,
            session(r##""subscribed","address":"192.168.1.42","topic":"b/#""##),
        ),
        (
            r#""subscribe":{"topics":[{"topic":"a"}]},"suback":{"qos_granted":[135]}"#,
            session(r#""refused","address":"192.168.1.42","topic":"a""#),
        ),
        (r#""publish":{"topic":"t","message":"7"},"puback":{"reason_code":16}"#, message.to_string()),
        (
            r#""publish":{"topic":"t","message":"7"},"pubrec":{"reason_code":135}"#,
            message.replace('}', r#","refused":true}"#),
        ),
        (r#""publish":{"topic":"t"}"#, message.replace(r#","payload_bytes":1,"value":7.0"#, "")),
        (
            r#""publish":{"topic":"t","message":"7","truncated":true,"skipped_length":99}"#,
            message.replace(r#":1,"value":7.0"#, ":100"),
        ),
        (r#""publish":{"truncated":true,"skipped_length":99}"#, String::new()),
        (r#""pingreq":{}"#, String::new()),
        (r#""disconnect":{"reason_code":0}"#, String::new()),
        ("", String::new()),
    ] {
        means(SuricataEveJson, &[(&event(packets), &line)]);
    }
    means(SuricataEveJson, &[(&delivered, &inbound), (r#"{"event_type":"alert","src_ip":"nobody"}"#, "")]);
}

#[test]
fn what_is_no_event_says_why() {
    rejects(
        SuricataEveJson,
        FLOW,
        &[
            ("event_type", "type", "missing_field: field `event_type`"),
            ("src_ip", "source", "missing_field: field `src_ip`"),
            ("\"proto\"", "\"protocol\"", "missing_field: field `proto`"),
            ("203.0.113.9", "cloud", "bad_field: field `dest_ip`"),
            ("00:02:03.5+0000", "late", "bad_field: field `timestamp`"),
            ("00:01:00.25+0000", "late", "bad_field: field `flow.end`"),
            ("4884", "-4884", "bad_field: field `flow.bytes_toserver`"),
            ("\"tcp_flags\":\"1b\"", "\"tcp_flags\":\"SA\"", "bad_field: field `tcp.tcp_flags`"),
            ("[\"54:ef:44:a0:00:01\"]", "[\"54\"]", "bad_field: field `ether.src_macs`"),
            ("}}", "}", "not_json"),
        ],
    );
}
