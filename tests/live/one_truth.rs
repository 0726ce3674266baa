//! The same set fed through Kafka and replayed from files: the very same findings.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::Value;

use super::engine::{Engine, with_engine};
use super::kafka::{Broker, are_there};
use super::looking_on::{demand_kept_from_replays, demand_readable};
use super::vedette::{Service, free_address, query, succeed, text};

const FINDINGS: &str = "select finding_id, device_id, devices, device_type, kind, scope, severity, confidence, \
                        window_start, window_end, emitted_at, score, p_value, line, detectors, technique, \
                        baseline_version, reasons, explanation, incident_id from findings order by finding_id";

/// But for the clock's times, the journal's numbers, and the gateway that records in replays.
const ACTIONS: &str = "select action_id, state, note, incident_id, finding_id, device_id, device_type, level, mode, playbook, \
    \"by\", reason, decided_at from actions order by action_id, seq";

/// An incident ends with event time, not with a finding: a replay has all of it, a system that was stopped has not.
const INCIDENTS: &str = "select incident_id, scope, device_id, device_type, kind, severity, opened_at, first_window, \
                         last_window, findings from incidents order by incident_id";

/// What stands in the windows, device by device. Sums are of whole thousandths: in whatever order, they come to the same. No
/// name of a column is given to something else, which ClickHouse would take for it.
const WINDOWS: &str = "select device_id, count(*) as windows, count(distinct window_start) as starts, \
                       sum(records) as all_records, max(score) as most_score, max(evidence) as most_evidence, \
                       sum(floor(cast(score as double) * 1000)) as all_score, \
                       sum(floor(cast(evidence as double) * 1000)) as all_evidence, min(window_start) as first, \
                       max(window_end) as last from windows group by device_id order by device_id";

/// Not how many rows: a flow to somebody unknown, in the window in which that one first answers, may come before or after it,
/// and so stand in a row of its own or not.
const CONTACTS: &str = "select device_id, sum(flows) as all_flows, sum(bytes_out) as all_bytes_out, \
                        sum(bytes_in) as all_bytes_in from contacts group by device_id order by device_id";

/// Who of the inventory talks to whom of it.
const PEERS: &str = "select device_id, peer_device_id, sum(flows) as all_flows, sum(bytes_out) as all_bytes_out from contacts \
                     where peer_device_id not like 'unknown:%' group by device_id, peer_device_id \
                     order by device_id, peer_device_id";

const EVIDENCE: &str = "select device_id, detector, count(*) as reasons, max(evidence) as strongest from evidence \
                        group by device_id, detector order by device_id, detector";

/// Rows that two systems give alike: reasons as JSON, without the records they come of, which have another place in a file than
/// in a topic.
pub fn comparable(mut rows: Vec<Value>) -> Vec<Value> {
    for row in &mut rows {
        let Some(text) = row.get("reasons").and_then(Value::as_str) else { continue };
        let mut reasons: Vec<Value> = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
        reasons.iter_mut().for_each(|reason| reason["records"] = Value::Null);
        row["reasons"] = Value::Array(reasons);
    }
    rows
}

/// What `act` stores.
pub const OF_ACT: [&str; 3] = [FINDINGS, ACTIONS, INCIDENTS];

/// What a replay and a live system must answer alike, whichever store they have.
pub const QUESTIONS: [&str; 7] = [WINDOWS, CONTACTS, PEERS, EVIDENCE, FINDINGS, ACTIONS, INCIDENTS];

/// Seconds; covers the demo's disorder.
const LATENESS: u32 = 1_800;

pub struct Replayed {
    data: PathBuf,
    pub store: PathBuf,
    /// Seconds.
    lateness: u32,
    learn_until: i64,
    /// End of the last window.
    pub through: i64,
}

/// The demo's data and what a replay of it gives, with a lateness that covers all its disorder. All tests share it.
pub fn replayed_demo() -> &'static Replayed {
    static SHARED: OnceLock<Replayed> = OnceLock::new();
    SHARED.get_or_init(|| replay_demo(&shared_folder()))
}

/// This process's own; those of processes that ended are removed.
fn shared_folder() -> PathBuf {
    let all = Path::new(env!("CARGO_TARGET_TMPDIR")).join("live");
    let own = all.join(std::process::id().to_string());
    for folder in std::fs::read_dir(&all).into_iter().flatten().flatten().map(|entry| entry.path()) {
        let of_process = Path::new("/proc").join(folder.file_name().unwrap_or_default());
        if folder == own || !of_process.exists() {
            // Another run of the tests may just do the same.
            let _ = std::fs::remove_dir_all(&folder);
        }
    }
    std::fs::create_dir_all(&own).expect("a folder for what tests share");
    own
}

fn replay_demo(folder: &Path) -> Replayed {
    succeed(&["demo", "--out", text(folder)]);
    let (descriptor, store) = (folder.join("data/demo.toml"), folder.join("store"));
    let toml = std::fs::read_to_string(&descriptor).expect("the demo wrote its descriptor");
    let covering = toml.replace("lateness = \"70s\"", &format!("lateness = \"{LATENESS}s\""));
    assert_ne!(toml, covering);
    std::fs::write(&descriptor, covering).expect("the descriptor is written");
    replayed(&[text(&descriptor)], folder.join("data"), store, LATENESS)
}

/// The benchmark fleet of `datasets/fleet.toml`, whose own lateness covers its disorder.
pub fn replayed_fleet(data: &Path, folder: &Path) -> Replayed {
    replayed(&["datasets/fleet.toml", "--path", text(data)], data.to_owned(), folder.join("store"), 70)
}

fn replayed(set: &[&str], data: PathBuf, store: PathBuf, lateness: u32) -> Replayed {
    succeed(&[&["replay"], set, &["--out", text(&store), "--quiet"]].concat());
    let info: Value = serde_json::from_slice(&std::fs::read(store.join("run.json")).unwrap()).unwrap();
    assert_eq!(info["late"], 0);
    let through = query(&store, "select cast(max(window_end) as bigint) as through from windows")[0]["through"]
        .as_i64()
        .expect("windows were closed");
    let learn_until = info["learn_until"].as_i64().expect("a time");
    Replayed { data, store, lateness, learn_until, through }
}

impl Replayed {
    pub fn data(&self, name: &str) -> PathBuf {
        self.data.join(name)
    }
}

pub struct Site {
    pub folder: tempfile::TempDir,
    pub config: PathBuf,
    pub admin: String,
}

impl Site {
    /// With the engine as its store from now on; gives its configuration.
    pub fn keep_in(&self, engine: &Engine) -> String {
        let toml = std::fs::read_to_string(&self.config).expect("the site has a configuration");
        let toml = with_engine(&toml, self.folder.path(), engine);
        std::fs::write(&self.config, &toml).expect("it is written");
        toml
    }
}

pub fn site(broker: &Broker, replayed: &Replayed, partitions: u16) -> Site {
    site_named(broker, replayed, partitions, "vedette")
}

/// With topics and groups of its own, called after `name`.
pub fn site_named(broker: &Broker, replayed: &Replayed, partitions: u16, name: &str) -> Site {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let admin = free_address();
    let config = folder.path().join("vedette.toml");
    // Processes that read history as fast as they can are days of event time apart: windows wait for the slowest.
    let toml = format!(
        "[ingest]\nmax_open_windows = 100000\n[source]\ninventory = \"{}\"\n[source.kafka]\nbrokers = \"{}\"\nreadings_partitions = {partitions}\n\
         instance = \"one\"\ngroup = \"{name}\"\nreadings = \"{name}.readings\"\ncohorts = \"{name}.cohorts\"\nidentities = \"{name}.identities\"\nfindings = \"{name}.findings\"\njournal = \"{name}.journal\"\ncommands = \"{name}.commands\"\n\
         [source.kafka.properties]\n\"session.timeout.ms\" = \"6000\"\n\"heartbeat.interval.ms\" = \"500\"\n\
         [[source.kafka.topics]]\nname = \"{name}.raw\"\nformat = \"native-json\"\nlive = false\n\
         lateness_seconds = {}\n\
         [responders]\nmax_age_seconds = 0\n[run]\njudge_from = {}\nadmin = \"{admin}\"\nmemory_seconds = 2\n[store]\npath = \"store\"\n",
        replayed.data("inventory.csv").display(),
        broker.bootstrap,
        replayed.lateness,
        replayed.learn_until,
    );
    std::fs::write(&config, toml).expect("the configuration is written");
    Site { folder, config, admin }
}

#[test]
fn the_demo_fed_through_kafka_gives_the_findings_of_its_replay() {
    if !are_there("the demo through Kafka") {
        return;
    }
    let replayed = replayed_demo();
    let broker = Broker::start(&[]);
    let site = site(&broker, replayed, 4);
    prepare(&site, replayed, 3);
    let mut service = Service::start(&site.config, "route,judge,act", &site.folder.path().join("log"), &site.admin);
    let demo = replayed.data("demo.toml");
    succeed(&["feed", text(&demo), "--brokers", &broker.bootstrap, "--speed", "0", "--quiet"]);
    service.wait_closed(4, replayed.through, Duration::from_secs(240));
    let store = site.folder.path().join("store");
    demand_readable(&store);
    service.stop();
    demand_the_same(&replayed.store, &store);
    demand_kept_from_replays(&store, &demo);
}

/// Lanes, and keys of raw records: a collector's is one raw partition of four, and the others are quiet.
#[test]
fn lanes_and_keys_change_nothing_of_the_demo() {
    if !are_there("the demo by other lanes and keys") {
        return;
    }
    let replayed = replayed_demo();
    let broker = Broker::start(&[]);
    for (name, lanes, key) in [("one", 1, "device"), ("sixteen", 16, "collector")] {
        eprintln!("{lanes} lanes, keyed by {key}");
        let site = site_named(&broker, replayed, lanes, name);
        prepare(&site, replayed, 4);
        let log = site.folder.path().join("log");
        let mut service = Service::start(&site.config, "route,judge,act", &log, &site.admin);
        feed(&broker, replayed, name, key);
        service.wait_closed(usize::from(lanes), replayed.through, Duration::from_secs(240));
        service.stop();
        demand_the_same(&replayed.store, &site.folder.path().join("store"));
    }
}

/// The demo, as fast as it goes, into the raw topic of a site of that name.
pub fn feed(broker: &Broker, replayed: &Replayed, name: &str, key: &str) {
    let (demo, topic) = (replayed.data("demo.toml"), format!("{name}.raw"));
    let mut arguments = vec!["feed", text(&demo), "--brokers", &broker.bootstrap];
    arguments.extend(["--topic", &topic, "--key", key, "--speed", "0", "--quiet"]);
    succeed(&arguments);
}

/// Topics, and the replay's baselines in force from when they were learned.
pub fn prepare(site: &Site, replayed: &Replayed, raw_partitions: u32) {
    prepare_with(site, replayed, raw_partitions, &mut |arguments| _ = succeed(arguments));
}

/// The same, by whatever runs commands.
pub fn prepare_with(site: &Site, replayed: &Replayed, raw_partitions: u32, succeed: &mut dyn FnMut(&[&str])) {
    let config = text(&site.config);
    succeed(&["topics", "create", "--config", config, "--raw-partitions", &raw_partitions.to_string()]);
    let rows = query(&replayed.store, "select cast(min(from_time) as varchar) as t from baselines");
    let from = rows[0]["t"].as_str().expect("a time").to_owned();
    let copied = text(&replayed.store);
    succeed(&["baselines", "pin", "1", "--config", config, "--copy-from", copied, "--from", &from]);
}

#[track_caller]
pub fn demand_the_same(replayed: &Path, live: &Path) {
    for sql in QUESTIONS {
        same(replayed, live, sql);
    }
}

#[track_caller]
fn same(replayed: &Path, live: &Path, sql: &str) {
    let [expected, found] = [query(replayed, sql), query(live, sql)].map(comparable);
    assert!(!expected.is_empty());
    for (expected, found) in expected.iter().zip(&found) {
        assert_eq!(expected, found, "{sql}");
    }
    assert_eq!(expected.len(), found.len(), "{sql}");
}
