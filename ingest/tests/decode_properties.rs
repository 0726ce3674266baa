//! Whatever the bytes, decoders answer; whatever the reading, writing and reading it gives it back.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use fleet::reading::{Flow, Message, Outcome, Peer, Posture, Protocol, Session, SessionEvent, SignIn};
use fleet::{EventTime, Identity, Kind, Mac, Position, Reading};
use ingest::{Decoder, Format, to_native_json};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use smol_str::SmolStr;

const VALID: [(Format, &str); 13] = [
    (
        Format::Native,
        r#"{"kind":"flow","time":"2026-01-01T00:00:00Z","mac":"54:ef:44:a0:00:01","responder_ip":"203.0.113.9","responder_port":443,"protocol":"tcp","duration":1.25,"listening_ports":[80]}"#,
    ),
    (
        Format::ZeekConnJson,
        r#"{"ts":1767225600.25,"id.orig_h":"192.168.1.20","id.orig_p":49152,"id.resp_h":"fe80::1%eth0","id.resp_p":443,"proto":"tcp","service":"ssl","duration":1.25,"orig_bytes":517,"conn_state":"SF","label":"-"}"#,
    ),
    (
        Format::ZeekConnTsv,
        "#separator \\x09\n#fields\tts\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\tproto\tduration\torig_bytes\tresp_bytes\tconn_state\torig_pkts\tresp_pkts\ttunnel_parents   label   detailed-label\n1767225600.25\t10.0.0.1\t1\t10.0.0.2\t2\ttcp\t1\t2\t-\tSF\t1\t1\t-   Malicious   C&C",
    ),
    (
        Format::ZeekConnCsv,
        "ts,id.orig_h,id.orig_p,id.resp_h,id.resp_p,proto,duration,orig_bytes,resp_bytes,conn_state,orig_pkts,resp_pkts\n1767225600.25,10.0.0.1,1,10.0.0.2,2,tcp,\"1\",2,-,SF,1,1",
    ),
    (
        Format::ZeekKafkaJson,
        r#"{"conn": {"ts":1767225600.25,"id.orig_h":"192.168.1.20","id.orig_p":49152,"id.resp_h":"10.0.0.1","id.resp_p":443,"proto":"tcp","conn_state":"SF"},"site": "a"}"#,
    ),
    (
        Format::ZeekKafkaJson,
        r#"{"ts":1767225600250,"id.orig_h":"192.168.1.20","id.orig_p":49152,"id.resp_h":"10.0.0.1","id.resp_p":443,"proto":"tcp","conn_state":"SF"}"#,
    ),
    (
        Format::Goflow2Json,
        r#"{"sampling_rate":100,"time_received_ns":1767225600000000000,"time_flow_end_ns":1767225600000000000,"bytes":1500,"packets":1,"src_addr":"fd01::1","dst_addr":"fd01::2","etype":"IPv6","proto":"TCP","src_port":443,"dst_port":50001,"src_mac":"00:00:5e:00:53:01","tcp_flags":24}"#,
    ),
    (
        Format::SuricataEveJson,
        r#"{"timestamp":"2026-01-01T00:02:03.000000+0000","event_type":"flow","src_ip":"192.168.1.20","src_port":49152,"dest_ip":"203.0.113.9","dest_port":8883,"proto":"TCP","flow":{"pkts_toclient":21,"start":"2026-01-01T00:00:00.000000+0000"},"tcp":{"tcp_flags":"1b"},"ether":{"src_macs":["54:ef:44:a0:00:01"]}}"#,
    ),
    (
        Format::SuricataEveJson,
        r#"{"timestamp":"2026-01-01T00:02:03.000000+0000","event_type":"mqtt","src_ip":"192.168.1.20","dest_ip":"192.168.1.5","dest_port":1883,"mqtt":{"subscribe":{"topics":[{"topic":"a","qos":1}]},"suback":{"qos_granted":[128]}}}"#,
    ),
    (
        Format::VpcFlowLog,
        "srcaddr dstaddr srcport dstport protocol packets bytes start end action tcp-flags log-status\n172.31.16.139 172.31.16.21 20641 22 6 20 4249 1767225600 1767225660 ACCEPT 3 OK",
    ),
    (
        Format::DefenderJson,
        r#"{"hed":{"rid":1767225600,"v":"1.0"},"met":{"tp":{"pts":[{"if":"eth0","pt":22}],"t":1}},"thing_name":"gate-7"}"#,
    ),
    (
        Format::EmqxJson,
        r#"{"event":"message.publish","clientid":"a","payload":"{\"t\":21.4}","peername":"[fe80::1%eth0]:1","peerhost":"192.168.0.10","topic":"t","flags":{"retain":false},"timestamp":1767225600001}"#,
    ),
    (
        Format::MosquittoBridgeJson,
        r#"{"topic":"t","payload":{"t":21.4,"unit":"C"},"qos":1,"retain":false,"timestamp":"2026-01-01T00:00:00Z","client_id":"a","mid":7}"#,
    ),
];

/// What [`decode_lines`] calls besides, for the same bytes as key, value and headers of a message.
fn decode_message(format: Format, bytes: &[u8]) {
    let content_types = ["application/cloudevents+json", "application/json"];
    for content_type in content_types {
        let headers = [
            ("content-type", Some(content_type.as_bytes())),
            ("ce_specversion", Some(bytes)),
            ("ce_type", Some(bytes)),
            ("ce_source", Some(bytes)),
            ("ce_id", Some(bytes)),
            ("ce_time", Some(bytes)),
            ("ce_subject", Some(bytes)),
        ];
        let message = ingest::decode::Message { key: Some(bytes), value: Some(bytes), headers: &headers };
        let _ = Decoder::new(format).decode_message(&message, Position::default());
    }
}

fn decode_lines(format: Format, bytes: &[u8]) -> usize {
    let mut decoder = Decoder::new(format);
    let mut readings = 0;
    for line in bytes.split(|byte| *byte == b'\n') {
        match decoder.decode(line, Position::default()) {
            Ok(Some(reading)) => {
                let again = to_native_json(&reading);
                assert!(Decoder::new(Format::Native).decode(again.as_bytes(), Position::default()).is_ok(), "{again}");
                readings += 1;
            }
            Ok(None) => {}
            Err(reason) => assert!(!reason.to_string().is_empty() && !reason.name().is_empty()),
        }
    }
    readings
}

#[test]
fn the_lines_to_be_mutated_are_valid() {
    for (format, lines) in VALID {
        assert_eq!(decode_lines(format, lines.as_bytes()), 1, "{lines}");
    }
}

fn text() -> impl Strategy<Value = SmolStr> {
    "[a-z0-9/_#\"\\\\é -]{1,40}".prop_map(SmolStr::from)
}

fn name() -> impl Strategy<Value = SmolStr> {
    prop_oneof![Just(SmolStr::default()), "[a-z][a-z0-9-]{0,30}".prop_map(SmolStr::from)]
}

fn ip() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        any::<u32>().prop_map(|bits| IpAddr::V4(Ipv4Addr::from(bits))),
        any::<u128>().prop_map(|bits| IpAddr::V6(Ipv6Addr::from(bits)).to_canonical()),
    ]
}

fn mac() -> impl Strategy<Value = Mac> {
    any::<[u8; 6]>().prop_map(Mac)
}

fn country() -> impl Strategy<Value = Option<[u8; 2]>> {
    option::of([b'A'..=b'Z', b'A'..=b'Z'])
}

/// With three decimals: serde_json's fast float parser may be one unit in the last place off beyond 15 digits.
fn value() -> impl Strategy<Value = f64> {
    (-1_000_000_000..1_000_000_000i64).prop_map(|thousandths| thousandths as f64 / 1_000.0)
}

fn message() -> impl Strategy<Value = Kind> {
    (any::<[bool; 2]>(), text(), any::<u32>(), option::of(text()), option::of(value())).prop_map(
        |([inbound, refused], topic, payload_bytes, command, value)| {
            Kind::Message(Message { inbound, topic, payload_bytes, command, value, refused })
        },
    )
}

fn flow() -> impl Strategy<Value = Kind> {
    let responder = (option::of(mac()), ip(), any::<u16>()).prop_map(|(mac, ip, port)| Peer { mac, ip, port });
    let protocol = prop_oneof![Just(Protocol::Tcp), Just(Protocol::Udp), Just(Protocol::Icmp), Just(Protocol::Other)];
    let outcome = (0..4usize)
        .prop_map(|index| [Outcome::Established, Outcome::Refused, Outcome::Unanswered, Outcome::Partial][index]);
    let server = option::of("[a-z]{1,20}\\.example".prop_map(SmolStr::from));
    let counts = (any::<u16>(), 0..10_000_000_000i64, any::<[u64; 2]>(), any::<[u32; 2]>());
    (responder, protocol, name(), server, counts, outcome, country()).prop_map(
        |(responder, protocol, service, server_name, (originator_port, duration, bytes, packets), outcome, country)| {
            let ([bytes_out, bytes_in], [packets_out, packets_in]) = (bytes, packets);
            Kind::Flow(Flow {
                responder,
                originator_port,
                protocol,
                service,
                server_name,
                duration,
                bytes_out,
                bytes_in,
                packets_out,
                packets_in,
                outcome,
                country,
            })
        },
    )
}

fn others() -> impl Strategy<Value = Kind> {
    let events = [
        SessionEvent::Connected,
        SessionEvent::Disconnected,
        SessionEvent::TakenOver,
        SessionEvent::Subscribed,
        SessionEvent::Refused,
    ];
    let sign_in = (any::<[bool; 3]>(), name(), option::of(ip()), country(), option::of(text())).prop_map(
        |([inbound, success, default_credential], method, address, country, token)| {
            let user = method.clone();
            Kind::SignIn(SignIn { inbound, success, method, user, address, country, default_credential, token })
        },
    );
    let session =
        (0..5usize, option::of(ip()), country(), [option::of(text()), option::of(text()), option::of(text())])
            .prop_map(move |(event, address, country, [topic, token, reason])| {
                Kind::Session(Session { event: events[event], address, country, topic, token, reason })
            });
    let texts = [option::of(text()), option::of(text()), option::of(text()), option::of(text())];
    let posture = (texts, option::of(any::<bool>()), vec(any::<u16>(), 0..5), any::<bool>(), country()).prop_map(
        |([firmware, configuration, credential, site], attested, listening_ports, default_credential, country)| {
            Kind::Posture(Posture {
                firmware,
                attested,
                configuration,
                listening_ports,
                default_credential,
                credential,
                site,
                country,
            })
        },
    );
    prop_oneof![sign_in, session, posture]
}

fn reading() -> impl Strategy<Value = Reading> {
    let identity = (option::of(text()), option::of(mac()), option::of(ip()), text())
        .prop_map(|(client_id, mac, ip, certificate)| Identity { client_id, mac, ip, certificate: Some(certificate) });
    let kind = prop_oneof![message(), flow(), others()];
    (0..4_000_000_000_000_000i64, identity, kind, any::<bool>()).prop_map(|(time, identity, kind, malicious)| Reading {
        time: EventTime(time),
        position: Position { source: 1, offset: 2 },
        identity,
        kind,
        malicious,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn arbitrary_bytes_never_panic(bytes in vec(any::<u8>(), 0..400)) {
        for format in Format::ALL {
            decode_lines(format, &bytes);
            decode_message(format, &bytes);
        }
    }

    #[test]
    fn arbitrary_text_never_panics(text in "([\\{\\}\\[\\]\":,#\t\n0-9a-zé\\\\ -]|ts|time|kind|event|topic|payload|id\\.orig_h|srcaddr |#fields\t|   ){0,60}") {
        for format in Format::ALL {
            decode_lines(format, text.as_bytes());
            decode_message(format, text.as_bytes());
        }
    }

    #[test]
    fn mutated_lines_never_panic(which in 0..VALID.len(), edits in vec((any::<prop::sample::Index>(), any::<u8>(), 0..3u8), 1..8)) {
        let (format, lines) = VALID[which];
        let mut bytes = lines.as_bytes().to_vec();
        for (at, byte, edit) in edits {
            if bytes.is_empty() {
                break;
            }
            let at = at.index(bytes.len());
            match edit {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => bytes.truncate(at),
            }
        }
        decode_lines(format, &bytes);
        decode_message(format, &bytes);
    }

    #[test]
    fn events_around_valid_lines_never_panic(which in 0..VALID.len(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let (format, lines) = VALID[which];
        let event = serde_json::json!({"specversion": "1.0", "id": "1", "subject": "s", "data": lines.lines().last()});
        let mut bytes = event.to_string().into_bytes();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        decode_message(format, &bytes);
    }

    #[test]
    fn a_reading_written_and_read_is_the_same(reading in reading()) {
        let line = to_native_json(&reading);
        let again = Decoder::new(Format::Native).decode(line.as_bytes(), reading.position);
        prop_assert_eq!(again, Ok(Some(reading)), "{}", line);
    }
}
