//! A set with lines that cannot be used: fed through Kafka, as many are rejected, for the same reasons, as in its replay.

use std::time::Duration;

use super::site::Site;
use super::stream::{SECOND, Sender, record};
use crate::kafka::{Broker, are_there};
use crate::vedette::{query, succeed, text};

const BEGIN: i64 = 1_772_755_200 * SECOND;
const REASONS: &str =
    "select reason, sample, count(*) as times from rejected group by reason, sample order by reason, sample";

#[test]
fn what_replay_rejects_is_rejected_when_it_is_fed() {
    if !are_there("a set with unusable lines") {
        return;
    }
    let broker = Broker::start(&[]);
    let topics = "[[source.kafka.topics]]\nname = \"fed.raw\"\nformat = \"native-json\"\nlive = false";
    let site = Site::new(&broker, "fed", &["lamp"], "", "dead_letter = \"fed.dead\"", topics);
    site.create_topics(2);
    let long = "x".repeat(900);
    let mut lines: Vec<String> = (0..400).map(|number| record("lamp", BEGIN + number * SECOND)).collect();
    lines.insert(3, "nothing of ours".to_owned());
    lines.insert(90, format!("{{\"kind\":\"message\",\"more\":\"{long}\",\"client_id\":\"lamp\"}}"));
    lines.insert(91, record("lamp", BEGIN).replace(":20}", &format!(":-20,\"more\":\"{long}\"}}")));
    lines.insert(200, record("lamp", BEGIN).replace("\"message\"", "\"song\""));
    lines.push("{\"kind\":".to_owned());
    let folder = site.folder.path();
    std::fs::write(folder.join("set.jsonl"), lines.join("\n")).expect("the set is written");
    let descriptor = folder.join("set.toml");
    let learn_until = "2026-03-06T00:01:00Z";
    let toml = format!(
        "name = \"set\"\n[inventory]\nfile = \"inventory.csv\"\n[[files]]\npath = \"set.jsonl\"\nformat = \"native-json\"\n\
         [split]\nlearn_until = {learn_until}\n"
    );
    std::fs::write(&descriptor, toml).expect("the descriptor is written");
    let replayed = folder.join("replayed");
    succeed(&["replay", text(&descriptor), "--out", text(&replayed), "--quiet"]);
    let expected = query(&replayed, REASONS);
    assert_eq!(expected.len(), 5, "{expected:?}");

    let mut service = site.start();
    let arguments = ["feed", text(&descriptor), "--config", text(&site.config), "--topic", "fed.raw", "--speed", "0"];
    let said = succeed(&[&arguments[..], &["--quiet"]].concat());
    assert!(said.contains("fed 400 records") && said.contains("5 lines that cannot be decoded"), "{said}");
    site.wait_records(&mut service, "lamp", 400);
    // A lane without devices, which has the rejected records of half of the partitions, begins with what it is told first
    // and closes with what it is told next.
    Sender::new(site.bootstrap(), &[]).heartbeat("fed.raw", &[0, 1], BEGIN + 3_600 * SECOND);
    service.wait_closed(2, BEGIN + 400 * SECOND, Duration::from_secs(90));
    service.stop();
    assert_eq!(query(&site.store(), REASONS), expected);
    assert_eq!(site.records().get("lamp"), Some(&400));
}
