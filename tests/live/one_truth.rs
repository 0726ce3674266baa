//! The same set fed through Kafka and replayed from files: the very same findings.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::kafka::Broker;
use super::vedette::{Service, free_address, query, succeed, text};

const FINDINGS: &str = "select finding_id, device_id, device_type, kind, scope, severity, window_start, window_end, \
                        emitted_at, evidence, line, explanation, incident_id from findings order by finding_id";

/// What stands in the windows, device by device.
const WINDOWS: &str = "select device_id, count(*) as windows, sum(records) as records, max(score) as score, \
                       max(evidence) as evidence, min(window_start) as first, max(window_end) as last from windows \
                       group by device_id order by device_id";

struct Replayed {
    folder: tempfile::TempDir,
    store: PathBuf,
    learn_until: i64,
    /// End of the last window.
    through: i64,
}

/// The demo's data and what a replay of it gives.
fn replayed_demo() -> Replayed {
    let folder = tempfile::tempdir().expect("a temporary folder");
    succeed(&["demo", "--out", text(folder.path())]);
    let store = folder.path().join("store");
    let info: Value = serde_json::from_slice(&std::fs::read(store.join("run.json")).unwrap()).unwrap();
    let through = query(&store, "select cast(max(window_end) as bigint) as through from windows")[0]["through"]
        .as_i64()
        .expect("windows were closed");
    Replayed { learn_until: info["learn_until"].as_i64().expect("a time"), store, through, folder }
}

impl Replayed {
    fn data(&self, name: &str) -> PathBuf {
        self.folder.path().join("data").join(name)
    }
}

struct Site {
    folder: tempfile::TempDir,
    config: PathBuf,
    admin: String,
}

fn site(broker: &Broker, replayed: &Replayed, partitions: u16) -> Site {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let admin = free_address();
    let config = folder.path().join("vedette.toml");
    let toml = format!(
        "[source]\ninventory = \"{}\"\n[source.kafka]\nbrokers = \"{}\"\nreadings_partitions = {partitions}\n\
         [[source.kafka.topics]]\nname = \"vedette.raw\"\nformat = \"native-json\"\nlive = false\n\
         lateness_seconds = 70\n\
         [run]\njudge_from = {}\nadmin = \"{admin}\"\nmemory_seconds = 2\n[store]\npath = \"store\"\n",
        replayed.data("inventory.csv").display(),
        broker.bootstrap,
        replayed.learn_until,
    );
    std::fs::write(&config, toml).expect("the configuration is written");
    Site { folder, config, admin }
}

#[test]
fn the_demo_fed_through_kafka_gives_the_findings_of_its_replay() {
    let replayed = replayed_demo();
    let broker = Broker::start(&[]);
    let site = site(&broker, &replayed, 4);
    let store = site.folder.path().join("store");
    succeed(&["topics", "create", "--config", text(&site.config), "--raw-partitions", "3"]);
    let from = query(&replayed.store, "select cast(from_time as varchar) as t from baselines")[0]["t"].to_string();
    let from = from.trim_matches('"').to_owned();
    succeed(&[
        "baselines", "pin", "1", "--config", text(&site.config), "--copy-from", text(&replayed.store), "--from", &from,
    ]);
    let mut service = Service::start(&site.config, "route,judge,act", &site.folder.path().join("log"), &site.admin);
    let demo = replayed.data("demo.toml");
    succeed(&["feed", text(&demo), "--brokers", &broker.bootstrap, "--speed", "0", "--quiet"]);
    service.wait_closed(4, replayed.through, Duration::from_secs(240));
    service.stop();
    same(&replayed.store, &store, WINDOWS);
    same(&replayed.store, &store, FINDINGS);
}

#[track_caller]
fn same(replayed: &Path, live: &Path, sql: &str) {
    let (expected, found) = (query(replayed, sql), query(live, sql));
    assert!(!expected.is_empty());
    for (expected, found) in expected.iter().zip(&found) {
        assert_eq!(expected, found);
    }
    assert_eq!(expected.len(), found.len());
}
