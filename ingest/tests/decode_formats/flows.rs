//! Flow records of one direction, and Zeek's by way of Kafka.

use ingest::Format::{Goflow2Json, ZeekConnJson, ZeekKafkaJson};

use super::{means, native, rejects};

const CALL: &str = r#"{"sampling_rate":1,"time_received_ns":1767225663000000000,"time_flow_start_ns":1767225600000000000,"time_flow_end_ns":1767225660500000000,"bytes":5170,"packets":9,"src_addr":"192.168.1.20","dst_addr":"203.0.113.9","etype":"IPv4","proto":"TCP","src_port":49152,"dst_port":443,"src_mac":"54:ef:44:a0:00:01","dst_mac":"00:00:00:00:00:00","tcp_flags":27}"#;
const CALLED: &str = r#"{"kind":"flow","time":"2026-01-01T00:01:00.500Z","mac":"54:ef:44:a0:00:01","ip":"192.168.1.20","responder_ip":"203.0.113.9","responder_port":443,"originator_port":49152,"protocol":"tcp","duration":60.5,"bytes_out":5170,"packets_out":9}"#;

#[test]
fn a_call_is_its_source_speaking() {
    let reset = CALLED.replace('}', r#","outcome":"reset"}"#);
    let unanswered = CALLED.replace('}', r#","outcome":"unanswered"}"#);
    let received = CALLED.replace("00:01:00.500Z", "00:01:03Z").replace(r#""duration":60.5,"#, "");
    means(
        Goflow2Json,
        &[
            (CALL, CALLED),
            (&CALL.replace(":27}", ":4}"), &reset),
            (&CALL.replace(":27}", ":2}"), &unanswered),
            (&CALL.replace(":27}", ":0}"), CALLED),
            (&CALL.replace(r#","tcp_flags":27"#, ""), CALLED),
            (&CALL.replace(r#""proto":"TCP""#, r#""proto":6"#), CALLED),
            (&CALL.replace("1767225660500000000", "0"), &received),
            (&CALL.replace(r#""54:ef:44:a0:00:01""#, "93386625253377"), CALLED),
            (&CALL.replace(r#""sampling_rate":1,"#, ""), CALLED),
            (&CALL.replace(r#""sampling_rate":1,"#, r#""sampling_rate":0,"#), CALLED),
        ],
    );
}

#[test]
fn an_answer_is_turned_round() {
    let answer = CALL
        .replace("192.168.1.20", "x")
        .replace("203.0.113.9", "192.168.1.20")
        .replace("\"x\"", "\"203.0.113.9\"")
        .replace("49152", "443")
        .replace("\"dst_port\":443", "\"dst_port\":49152")
        .replace(r#""src_mac":"54:ef:44:a0:00:01""#, r#""src_mac":"""#)
        .replace("00:00:00:00:00:00", "54:ef:44:a0:00:01");
    let answered = CALLED.replace("bytes_out", "bytes_in").replace("packets_out", "packets_in");
    let refused = answered.replace('}', r#","outcome":"refused"}"#);
    let reset = answered.replace('}', r#","outcome":"reset"}"#).replace("5170", "51700").replace(":9,", ":90,");
    let sampled = answer.replace(r#""sampling_rate":1"#, r#""sampling_rate":10"#);
    means(
        Goflow2Json,
        &[
            (&answer, &answered),
            (&answer.replace(":27}", ":20}"), &refused),
            (&answer.replace(":27}", ":4}"), &refused),
            (&sampled.replace(":27}", ":20}"), &reset),
        ],
    );
    // A scan that leaves from a service's port is none.
    let scan = native(Goflow2Json, &answer.replace(":27}", ":2}"), None).unwrap().unwrap();
    assert!(scan.contains(r#""ip":"203.0.113.9""#) && scan.contains("unanswered"), "{scan}");
    let between_services = CALL.replace("49152", "123").replace("443", "123").replace("TCP", "UDP");
    assert!(native(Goflow2Json, &between_services, None).unwrap().unwrap().contains(r#""ip":"192.168.1.20""#));
}

#[test]
fn samples_are_scaled_and_saturate() {
    let rate = |rate: &str| CALL.replace(r#""sampling_rate":1,"#, &format!(r#""sampling_rate":{rate},"#));
    let scaled = CALLED.replace("5170", "5170000").replace(":9", ":9000").replace("203.0.113.9000", "203.0.113.9");
    let most = CALLED.replace("5170", "18446744073709551615").replace(r#"_out":9"#, r#"_out":4294967295"#);
    means(Goflow2Json, &[(&rate("1000"), &scaled), (&rate("18446744073709551615"), &most)]);
}

#[test]
fn icmp_has_no_ports_and_frames_without_addresses_no_devices() {
    let ping = CALL.replace("\"TCP\"", "\"ICMPv6\"").replace("\"dst_port\":443", "\"dst_port\":2048");
    let line =
        CALLED.replace(r#""responder_port":443,"originator_port":49152,"protocol":"tcp""#, r#""protocol":"icmp""#);
    means(Goflow2Json, &[(&ping, &line)]);
    let frame = CALL.replace("192.168.1.20", "").replace("203.0.113.9", "");
    for etype in [r#""ARP""#, r#""""#, "2054"] {
        means(Goflow2Json, &[(&frame.replace(r#""IPv4""#, etype), "")]);
    }
    for etype in [r#""IPv4""#, "2048", "null"] {
        let told = native(Goflow2Json, &frame.replace(r#""IPv4""#, etype), None).unwrap_err();
        assert!(told.contains("field `src_addr` is missing"), "{told}");
    }
}

#[test]
fn what_is_no_flow_says_why() {
    rejects(
        Goflow2Json,
        CALL,
        &[
            ("dst_addr", "daddr", "missing_field: field `dst_addr`"),
            ("192.168.1.20", "sensor", "bad_field: field `src_addr`"),
            (":443", ":70000", "bad_field: field `dst_port`"),
            ("5170", "-1", "bad_field: field `bytes`"),
            ("5170", "1.5", "bad_field: field `bytes`"),
            (":27", ":\"S\"", "bad_field: field `tcp_flags`"),
            ("\"sampling_rate\":1", "\"sampling_rate\":[]", "bad_field: field `sampling_rate`"),
            ("\"54:ef:44:a0:00:01\"", "281474976710656", "bad_field: field `src_mac`"),
            ("1767225660500000000", "\"late\"", "bad_field: field `time_flow_end_ns`"),
            ("\"TCP\"", "[]", "bad_field: field `proto`"),
        ],
    );
    let timeless = CALL.replace("_ns\":1", "_ns\":null,\"x\":1");
    assert!(native(Goflow2Json, &timeless, None).unwrap_err().contains("`time_flow_end_ns` is missing"));
}

#[test]
fn zeek_by_way_of_kafka_is_zeek() {
    let conn = r#"{"ts":1767225600.25,"id.orig_h":"192.168.1.20","id.orig_p":49152,"id.resp_h":"10.0.0.1","id.resp_p":443,"proto":"tcp","conn_state":"SF","service":"-"}"#;
    let line = native(ZeekConnJson, conn, None).unwrap().unwrap();
    means(
        ZeekKafkaJson,
        &[
            (conn, &line),
            (&conn.replace("1767225600.25", "1767225600250"), &line),
            (&format!(r#"{{"conn": {conn}}}"#), &line),
            (&format!(r#" {{ "conn" : {conn},"site": "a"}}"#), &line),
            (&format!(r#"{{"http": {conn},"site": "a"}}"#), ""),
            (r#"{"mqtt_publish":{}}"#, ""),
        ],
    );
    rejects(
        ZeekKafkaJson,
        &format!(r#"{{"conn":{conn}}}"#),
        &[
            ("conn_state", "state", "missing_field: field `conn_state`"),
            ("conn\":{", "conn\":[{", "not_json"),
            ("}}", "}", "not_json"),
            ("}}", "}}}", "not_json"),
            ("1767225600.25", "NaN", "bad_field: field `ts` is `NaN`"),
            ("\"conn\":{", "\"a\":1,\"conn\":{", "missing_field"),
        ],
    );
    assert!(native(ZeekKafkaJson, r#"{"query":"example.com"}"#, None).is_err());
}
