//! History with everything a topic may hold: read whole, each record once, and what cannot be used set aside.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::producer::Producer;

use super::site::{Site, metric};
use super::stream::{Raw, SECOND, Sender, Stored, all_of, record, to};
use crate::kafka::{Broker, are_there};
use crate::vedette::query;

const BEGIN: i64 = 1_772_755_200 * SECOND;
const DEVICES: [&str; 11] =
    ["plain", "gzip", "snappy", "lz4", "zstd", "keyed", "headers", "event", "kept", "taken-back", "compacted"];
/// Unknown devices beyond those that are allowed.
const FLOOD: i64 = 40;
const ROOM: i64 = 15;

const TOPICS: &str = "[[source.kafka.topics]]\nname = \"many.raw\"\nformat = \"native-json\"\nlive = false\n\
                      [[source.kafka.topics]]\nname = \"many.compacted\"\nformat = \"native-json\"\nlive = false";

#[test]
fn whatever_stands_in_a_topic_is_read_once_or_set_aside() {
    if !are_there("records of every kind") {
        return;
    }
    let mut broker = Broker::start(&[]);
    let room = format!("max_devices = {}", DEVICES.len() as i64 + ROOM);
    let site = Site::new(&broker, "many", &DEVICES, &room, "dead_letter = \"many.dead\"", TOPICS);
    let compact = "--config cleanup.policy=compact --config segment.ms=100 --config min.cleanable.dirty.ratio=0.01";
    let made = broker.tell(&format!("topics --create --topic many.compacted --partitions 1 {compact}"));
    assert_eq!(made["status"], 0, "{made}");
    site.create_topics(2);
    let compacted = send_compacted(&site);
    let sender = Sender::new(site.bootstrap(), &[]);
    send_codecs(&site);
    send_shapes(&sender);
    send_transactions(&site);
    let bad = send_unusable(&sender);
    for number in 0..FLOOD {
        sender.send(to("many.raw", 0, &record(&format!("stranger-{number}"), BEGIN + number)));
    }
    sender.heartbeat("many.raw", &[0, 1], BEGIN + 300 * SECOND);

    let mut service = site.start();
    service.wait_closed(2, BEGIN + 200 * SECOND, Duration::from_secs(90));
    let mut expected: BTreeMap<String, i64> =
        ["plain", "gzip", "snappy", "lz4", "zstd", "kept"].iter().map(|name| ((*name).to_owned(), 10)).collect();
    expected.extend([("keyed".into(), 3), ("headers".into(), 2), ("event".into(), 1), ("compacted".into(), compacted)]);
    let mut found = site.records();
    let strangers: Vec<String> = found.keys().filter(|id| id.starts_with("unknown:")).cloned().collect();
    strangers.iter().for_each(|id| _ = found.remove(id));
    assert_eq!(found, expected, "{}", service.said());
    assert_eq!(strangers.len() as i64, ROOM, "{strangers:?}");
    assert_eq!(metric(&service, "vedette_unattributed_total", "max_devices"), (FLOOD - ROOM) as f64);
    assert_eq!(metric(&service, "vedette_unknown_devices_total", ""), ROOM as f64);
    assert_eq!(metric(&service, "vedette_rejected_total", ""), bad.len() as f64);
    assert_eq!(metric(&service, "vedette_retention_lost_total", ""), 0.0, "gaps that nobody lost anything in");
    assert!(service.said().contains("max_devices"), "the bound that bites is told of:\n{}", service.said());
    service.stop();
    demand_set_aside(&site, &bad);
}

/// Each in the table `rejected` and in the dead-letter topic, once, with its reason and position.
fn demand_set_aside(site: &Site, bad: &[(&str, String)]) {
    let rows = query(&site.store(), "select reason, sample from rejected");
    let dead = all_of(site.bootstrap(), "many.dead", 0);
    let header = |stored: &Stored, name: &str| stored.headers.iter().find(|(key, _)| key == name).unwrap().1.clone();
    let mut reasons: Vec<(String, String)> =
        dead.iter().map(|it| (header(it, "vedette-reason"), it.value.clone().unwrap_or_default())).collect();
    let mut expected: Vec<(String, String)> = bad.iter().map(|(why, it)| ((*why).to_owned(), it.clone())).collect();
    let mut stored: Vec<(String, String)> = rows
        .iter()
        .map(|row| (row["reason"].as_str().unwrap().to_owned(), row["sample"].as_str().unwrap().to_owned()))
        .collect();
    for list in [&mut reasons, &mut expected, &mut stored] {
        list.sort();
    }
    assert_eq!(reasons, expected, "the dead letters are whole");
    assert_eq!(
        stored,
        expected.iter().map(|(why, it)| (why.clone(), it[..it.len().min(200)].to_owned())).collect::<Vec<_>>()
    );
    let raw = all_of(site.bootstrap(), "many.raw", 0);
    for letter in &dead {
        let position = header(letter, "vedette-position");
        let offset: i64 = position.strip_prefix("many.raw/0/").expect(&position).parse().expect("an offset");
        assert_eq!(raw.iter().find(|record| record.offset == offset).unwrap().value, letter.value);
        assert!(!header(letter, "vedette-detail").is_empty());
    }
}

fn send_codecs(site: &Site) {
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let sender = Sender::new(site.bootstrap(), &[("compression.type", codec), ("linger.ms", "50")]);
        sender.send_some("many.raw", 0, if codec == "none" { "plain" } else { codec }, BEGIN, 10);
    }
}

/// Keys and none, headers, an event's envelope, tombstones, an empty value.
fn send_shapes(sender: &Sender) {
    let (keyed, headed) = (record("keyed", BEGIN), record("headers", BEGIN));
    for key in [None, Some(""), Some("keyed")] {
        sender.send(Raw { key, ..to("many.raw", 1, &keyed) });
    }
    sender.send(Raw { key: Some("keyed"), value: None, ..to("many.raw", 1, "") });
    sender.send(Raw { key: Some("keyed"), ..to("many.raw", 1, "") });
    sender.send(Raw { headers: &[("trace", "1"), ("trace", "2"), ("", "")], ..to("many.raw", 1, &headed) });
    sender.send(Raw { headers: &[("content-type", "application/json")], ..to("many.raw", 1, &headed) });
    let event =
        format!(r#"{{"specversion":"1.0","type":"t","source":"s","id":"1","data":{}}}"#, record("event", BEGIN));
    let cloud = [("content-type", "application/cloudevents+json; charset=utf-8")];
    sender.send(Raw { headers: &cloud, ..to("many.raw", 1, &event) });
    sender.flush();
}

fn send_transactions(site: &Site) {
    let sender = Sender::transactional(site.bootstrap(), "many");
    for (device, is_kept) in [("taken-back", false), ("kept", true), ("taken-back", false)] {
        sender.0.begin_transaction().expect("a transaction");
        sender.send_some("many.raw", 1, device, BEGIN, 10);
        let ended = match is_kept {
            true => sender.0.commit_transaction(Duration::from_secs(30)),
            false => sender.0.abort_transaction(Duration::from_secs(30)),
        };
        ended.expect("the transaction ends");
    }
}

/// By reason.
fn send_unusable(sender: &Sender) -> Vec<(&'static str, String)> {
    let far = 4_070_908_800 * SECOND;
    let bad = vec![
        ("not_json", "what is this".to_owned()),
        ("missing_field", r#"{"kind":"message","client_id":"plain"}"#.to_owned()),
        ("bad_field", record("plain", BEGIN).replace(":20}", &format!(r#":-20,"more":"{}"}}"#, "x".repeat(300)))),
        ("unknown_kind", record("plain", BEGIN).replace("\"message\"", "\"song\"")),
        ("clock_ahead", record("plain", far)),
    ];
    bad.iter().for_each(|(_, value)| sender.send(to("many.raw", 0, value)));
    sender.flush();
    bad
}

/// Gives how many records the broker left.
fn send_compacted(site: &Site) -> i64 {
    let sender = Sender::new(site.bootstrap(), &[]);
    let value = record("compacted", BEGIN);
    for round in 0..6 {
        for number in 0..10 {
            let key = format!("key-{}", number % 3);
            sender.send(Raw { key: Some(&key), ..to("many.compacted", 0, &value) });
        }
        sender.send(Raw { key: Some(&format!("round-{round}")), ..to("many.compacted", 0, &value) });
        sender.flush();
        // The segment is closed by the next record after its time.
        std::thread::sleep(Duration::from_millis(150));
    }
    // In a segment of its own, so that the cleaner has seen all others.
    sender.heartbeat("many.compacted", &[0], BEGIN + 300 * SECOND);
    let end = Instant::now() + Duration::from_secs(60);
    let (mut left, mut unchanged) = (0, 0);
    // The cleaner looks twice a second.
    while unchanged < 6 {
        assert!(Instant::now() < end, "the broker compacts nothing: {left} records");
        std::thread::sleep(Duration::from_millis(500));
        let mut found = all_of(site.bootstrap(), "many.compacted", 0);
        found.retain(|record| record.value.is_some());
        let has_gaps = found.windows(2).any(|pair| pair[1].offset > pair[0].offset + 1);
        unchanged = if has_gaps && found.len() == left { unchanged + 1 } else { 0 };
        left = found.len();
    }
    left as i64
}
