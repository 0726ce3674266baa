//! History with everything a topic may hold: read whole, each record once, and what cannot be used set aside.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use fleet::Position;
use ingest::decode::Message;
use ingest::{Decoder, Format};
use rdkafka::producer::Producer;

use super::site::{Site, metric};
use super::stream::{Raw, SECOND, Sender, Stored, all_of, committed, record, to};
use crate::kafka::{Broker, are_there};
use crate::vedette::{query, until};

const BEGIN: i64 = 1_772_755_200 * SECOND;
const DEVICES: [&str; 11] =
    ["plain", "gzip", "snappy", "lz4", "zstd", "keyed", "headers", "event", "kept", "taken-back", "compacted"];
/// Unknown devices beyond those that are allowed.
const FLOOD: i64 = 40;
const ROOM: i64 = 15;

const TOPICS: &str = "[[source.kafka.topics]]\nname = \"many.raw\"\nformat = \"native-json\"\nlive = false\n\
                      [[source.kafka.topics]]\nname = \"many.compacted\"\nformat = \"native-json\"\nlive = false";

/// Its examples are what is sent of each format.
const PAGE: &str = include_str!("../../../docs/records.md");
/// When they begin.
const EXAMPLES: i64 = 1_767_225_600 * SECOND;
/// The examples that are sent are all of this device.
const HOST: &str = "device_id,device_type,client_id,mac,ip\n\
                    host,sensor,sensor-042,54:ef:44:a0:00:01,192.168.1.20|10.20.0.42\n";

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
    expected.extend([("keyed".into(), 3), ("headers".into(), 2), ("event".into(), 1)]);
    let mut found = site.records();
    // A cleaner that had no time before may have taken more away, until or after they were read.
    let (read, (left, _)) = (found.remove("compacted"), left_by_cleaner(&site));
    assert!(
        read.is_some_and(|read| (left..=compacted).contains(&read)),
        "{read:?} compacted records, expected {left} to {compacted}:\n{}",
        service.said()
    );
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
        let (found, has_gaps) = left_by_cleaner(site);
        unchanged = if has_gaps && found == left { unchanged + 1 } else { 0 };
        left = found;
    }
    left
}

/// How many records the compacted topic has, and whether some between them are gone.
fn left_by_cleaner(site: &Site) -> (i64, bool) {
    let mut found = all_of(site.bootstrap(), "many.compacted", 0);
    found.retain(|record| record.value.is_some());
    (found.len() as i64, found.windows(2).any(|pair| pair[1].offset > pair[0].offset + 1))
}

#[test]
fn every_format_and_a_restart() {
    if !are_there("records of every format") {
        return;
    }
    let broker = Broker::start(&[]);
    let topics = Format::ALL.map(|format| {
        let name = format.name();
        format!("[[source.kafka.topics]]\nname = \"{}\"\nformat = \"{name}\"\nlive = false\n", topic_of(format))
    });
    let site = Site::new(&broker, "formats", &[], "", "", &topics.concat());
    std::fs::write(site.folder.path().join("inventory.csv"), HOST).expect("the inventory is written");
    site.create_topics(1);
    let sender = Sender::new(site.bootstrap(), &[]);
    let event = [("ce_specversion", "1.0"), ("ce_type", "t"), ("ce_source", "s"), ("ce_id", "1")];
    let in_event = record("sensor-042", EXAMPLES);
    sender.send(Raw { headers: &event, ..to(&topic_of(Format::Native), 0, &in_event) });
    let mut expected = 1;
    let mut sent = Format::ALL.map(|format| i64::from(format == Format::Native));
    let parts = Format::ALL.map(parts_of);
    for (format, parts) in Format::ALL.into_iter().zip(&parts) {
        expected += readings_of(format, &parts.concat());
    }

    let mut service = site.start();
    for round in 0..3 {
        for ((format, parts), sent) in Format::ALL.into_iter().zip(&parts).zip(&mut sent) {
            for line in &parts[round] {
                sender.send(Raw { key: key_of(format), ..to(&topic_of(format), 0, line) });
            }
            sender.flush();
            *sent += parts[round].len() as i64;
        }
        until(&mut service, "all that was sent is committed", |_| {
            let read = |format| committed(site.bootstrap(), "formats-route", &topic_of(format), 0);
            Format::ALL.map(read) == sent
        });
        match round {
            0 => service.stop(),
            1 => service.kill(),
            _ => break,
        }
        service = site.start();
    }
    for format in Format::ALL {
        sender.heartbeat(&topic_of(format), &[0], EXAMPLES + 1_200 * SECOND);
    }
    site.wait_records(&mut service, "host", expected);
    assert_eq!(metric(&service, "vedette_rejected_total", ""), 0.0, "{}", service.said());
    service.stop();
    let rejected = query(&site.store(), "select reason, sample from rejected");
    assert!(rejected.is_empty(), "{rejected:?}");
    assert_eq!(site.records().get("host"), Some(&expected));
}

fn topic_of(format: Format) -> String {
    format!("formats.{}", format.name())
}

/// A report of AWS's names no device.
fn key_of(format: Format) -> Option<&'static str> {
    (format == Format::DefenderJson).then_some("sensor-042")
}

/// What is sent before, between and after two restarts: of columns the header, a row and a row, else a record.
fn parts_of(format: Format) -> [Vec<&'static str>; 3] {
    let fence = format!("```{}\n", format.name());
    let of_format = PAGE.split(&fence).nth(1).and_then(|after| after.split("```").next());
    let lines: Vec<&str> = of_format.expect("the page has examples").lines().collect();
    let headers = match format {
        Format::ZeekConnTsv => 6,
        Format::ZeekConnCsv => 1,
        // Rows of version 2 before it.
        Format::VpcFlowLog => 4,
        Format::Goflow2Json => return [vec![lines[1]], vec![], vec![]],
        Format::SuricataEveJson => return [vec![lines[2]], vec![], vec![]],
        _ => return [vec![lines[0]], vec![], vec![]],
    };
    [lines[..headers].to_vec(), vec![lines[headers]], lines[headers + 1..].to_vec()]
}

/// As a file's lines are decoded.
fn readings_of(format: Format, lines: &[&str]) -> i64 {
    let mut decoder = Decoder::new(format);
    let mut readings = 0;
    for line in lines {
        let message = Message { key: key_of(format).map(str::as_bytes), value: Some(line.as_bytes()), headers: &[] };
        let decoded = decoder.decode_message(&message, Position::default());
        readings += i64::from(decoded.unwrap_or_else(|why| panic!("{line}\n{why}")).is_some());
    }
    readings
}
