//! What is too large for a topic: a copy of a rejected record, a record that is fed, and what one step found.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::site::{Site, metric, metric_if_up};
use super::stream::{SECOND, Sender, all_of, now, record, to};
use crate::kafka::{Broker, are_there};
use crate::vedette::{query, text, until, vedette};

const BEGIN: i64 = 1_772_755_200 * SECOND;

/// So many bytes that hardly get smaller.
fn noise(bytes: usize) -> String {
    let all: String = (0..bytes / 16).map(|number| fleet::id::stable_id(&[&number.to_string()])).collect();
    assert_eq!(all.len(), bytes);
    all
}

/// A topic that takes no more than a few records at once.
fn make_small(broker: &mut Broker, topic: &str) {
    let made = broker.tell(&format!("topics --create --topic {topic} --partitions 1 --config max.message.bytes=2048"));
    assert_eq!(made["status"], 0, "{made}");
}

#[test]
fn a_copy_that_the_broker_refuses_holds_up_nothing() {
    if !are_there("a dead-letter topic that refuses") {
        return;
    }
    let mut broker = Broker::start(&[]);
    let topics =
        "[[source.kafka.topics]]\nname = \"large.raw\"\nformat = \"native-json\"\nlive = true\nlateness_seconds = 2";
    let devices = ["before", "after", "again"];
    let site = Site::new(&broker, "large", &devices, "", "dead_letter = \"large.dead\"", topics);
    make_small(&mut broker, "large.dead");
    site.create_topics(1);
    let sender = Sender::new(site.bootstrap(), &[]);
    let mut judge = site.start_roles("judge,act");
    let mut route = site.start_roles("route");
    let large = noise(8_192);
    sender.send(to("large.raw", 0, &large));
    sender.send_some("large.raw", 0, "before", now(), 10);
    let refused = "copies of rejected records are refused";
    route.wait_until_said(refused, Duration::from_secs(30));
    sender.send(to("large.raw", 0, "{"));
    sender.send_some("large.raw", 0, "after", now(), 10);
    site.wait_records(&mut judge, "before", 10);
    site.wait_records(&mut judge, "after", 10);
    let mut samples = Vec::new();
    until(&mut judge, "both rejected records", |_| {
        let rows = query(&site.store(), "select sample from rejected order by length(sample)");
        samples = rows.iter().map(|row| row["sample"].as_str().expect("a text").to_owned()).collect();
        samples.len() == 2
    });
    assert_eq!(samples, ["{", &large[..200]]);
    let dead = all_of(site.bootstrap(), "large.dead", 0);
    assert_eq!(dead.iter().map(|letter| letter.value.as_deref()).collect::<Vec<_>>(), [Some("{")]);

    // A copy that was refused is settled: what came before and after it is committed.
    route.stop();
    let mut route = site.start_roles("route");
    sender.send_some("large.raw", 0, "again", now(), 10);
    site.wait_records(&mut judge, "again", 10);
    until(&mut route, "its listener", |route| {
        metric_if_up(route, "vedette_readings_total", "").is_some_and(|readings| readings >= 10.0)
    });
    assert_eq!(metric(&route, "vedette_rejected_total", ""), 0.0, "{}", route.said());
    assert_eq!(route.said().matches(refused).count(), 1, "{}", route.said());
    assert!(!route.said().contains("the role begins again"), "{}", route.said());
    route.stop();
    judge.stop();
}

#[test]
fn a_feed_that_is_refused_ends_with_the_reason() {
    if !are_there("a topic that refuses what is fed") {
        return;
    }
    let mut broker = Broker::start(&[]);
    make_small(&mut broker, "small.raw");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("it is written");
    write("inventory.csv", "device_id,device_type,client_id\nlamp,sensor,lamp\n");
    // It goes as it is.
    write("set.jsonl", &format!("{}\n{}\n", record("lamp", BEGIN), noise(8_192)));
    write(
        "set.toml",
        "name = \"set\"\n[inventory]\nfile = \"inventory.csv\"\n[[files]]\npath = \"set.jsonl\"\n\
         format = \"native-json\"\n[split]\nlearn_until = 2026-03-06T00:01:00Z\n",
    );
    let set = folder.path().join("set.toml");
    let to = ["--brokers", &broker.bootstrap, "--topic", "small.raw", "--speed", "0", "--quiet"];
    let output = vedette(&[&["feed", text(&set)], to.as_slice()].concat());
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(1), "{said}");
    for word in ["`small.raw`", "MessageSizeTooLarge", "`max.message.bytes`"] {
        assert!(said.contains(word), "no {word} in {said}");
    }
    assert!(!said.contains("fed 1 records"), "{said}");
}

/// Unknown devices, each a finding, in one window of two lanes.
const STRANGERS: usize = 4_000;
/// A message of the findings topic has half a MiB of findings and devices, and what is around them.
const MOST_BYTES: usize = 600 << 10;

#[test]
fn what_a_step_found_is_published_in_parts_and_told_once() {
    if !are_there("findings in several messages") {
        return;
    }
    let broker = Broker::start(&[]);
    let topics = "[[source.kafka.topics]]\nname = \"parts.raw\"\nformat = \"native-json\"\nlive = false";
    let site = Site::new(&broker, "parts", &["known"], "", "", topics);
    site.create_topics(1);
    let sender = Sender::new(site.bootstrap(), &[]);
    for number in 0..STRANGERS {
        sender.send(to("parts.raw", 0, &record(&format!("stranger-{number}"), BEGIN)));
    }
    sender.heartbeat("parts.raw", &[0], BEGIN + 300 * SECOND);
    let mut service = site.start();
    let told = "select count(*) as n, count(distinct device_id) as apart from findings where kind = 'unknown_device'";
    until(&mut service, "a finding of each", |_| {
        if !site.store().exists() {
            return false;
        }
        let row = &query(&site.store(), told)[0];
        assert_eq!(row["n"], row["apart"], "none is told twice");
        row["n"] == STRANGERS
    });
    service.stop();
    assert_eq!(query(&site.store(), told)[0]["n"], STRANGERS, "and none comes later");

    let mut steps: BTreeMap<(i64, i64), Vec<Value>> = BTreeMap::new();
    for message in all_of(site.bootstrap(), "parts.findings", 0) {
        let value = message.value.expect("it has a value");
        assert!(value.len() < MOST_BYTES, "a message of {} bytes", value.len());
        let part: Value = serde_json::from_str(&value).expect("it is JSON");
        let number = |name: &str| part[name].as_i64().expect("a number");
        steps.entry((number("lane"), number("through"))).or_default().push(part);
    }
    let strangers = |part: &Value| {
        let findings = part["findings"].as_array().expect("findings").iter();
        findings.filter(|finding| finding["kind"] == "unknown_device").count()
    };
    let mut in_parts = 0;
    for (step, parts) in &steps {
        assert!(parts.iter().all(|part| part["parts"] == parts.len()), "a step in other parts: {step:?}");
        assert!(parts.iter().enumerate().all(|(number, part)| part["part"] == number), "out of order: {step:?}");
        if parts.len() > 1 {
            in_parts += parts.iter().map(strangers).sum::<usize>();
        }
    }
    assert_eq!(in_parts, STRANGERS, "both lanes have more than a message takes");
}
