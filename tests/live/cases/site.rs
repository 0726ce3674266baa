//! A small site: short windows, a handful of devices, and what its store and listeners say.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::kafka::Broker;
use crate::vedette::{Service, free_address, get, query, succeed, text};

pub const LANES: usize = 2;
/// Seconds.
pub const WINDOW: i64 = 5;
pub const PATIENCE: Duration = Duration::from_secs(240);

pub struct Site {
    pub folder: tempfile::TempDir,
    pub config: PathBuf,
    admin: String,
    bootstrap: String,
    rest: String,
}

impl Site {
    /// `name` is its group's and begins its topics, so that several share a broker; `more` are lines of `[ingest]`; `kafka` of `[source.kafka]`; `topics` the raw topics' tables.
    pub fn new(broker: &Broker, name: &str, devices: &[&str], more: &str, kafka: &str, topics: &str) -> Site {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let admin = free_address();
        let rest = format!(
            "[ingest]\nwindow_seconds = {WINDOW}\n{more}\n[source]\ninventory = \"inventory.csv\"\n\
             [source.kafka]\nbrokers = \"{}\"\ngroup = \"{name}\"\nreadings = \"{name}.readings\"\n\
             cohorts = \"{name}.cohorts\"\nidentities = \"{name}.identities\"\nfindings = \"{name}.findings\"\njournal = \"{name}.journal\"\ncommands = \"{name}.commands\"\nreadings_partitions = {LANES}\n{kafka}\n\
             [source.kafka.properties]\n\"session.timeout.ms\" = \"6000\"\n\"heartbeat.interval.ms\" = \"500\"\n\
             {topics}\n[store]\npath = \"store\"\n[run]\nmemory_seconds = 1\n",
            broker.bootstrap
        );
        let config = folder.path().join("vedette.toml");
        let site = Site { folder, config, admin, bootstrap: broker.bootstrap.clone(), rest };
        std::fs::write(&site.config, format!("{}admin = \"{}\"\n", site.rest, site.admin)).expect("it is written");
        site.write_inventory(devices);
        site
    }

    pub fn write_inventory(&self, devices: &[&str]) {
        self.write_types(&devices.iter().map(|device| (*device, "sensor")).collect::<Vec<_>>());
    }

    /// Devices with their types. Each is known by its name as client id.
    pub fn write_types(&self, devices: &[(&str, &str)]) {
        let mut csv = "device_id,device_type,client_id\n".to_owned();
        devices.iter().for_each(|(device, of)| csv.push_str(&format!("{device},{of},{device}\n")));
        std::fs::write(self.folder.path().join("inventory.csv"), csv).expect("the inventory is written");
    }

    /// The same configuration with something else in it.
    pub fn replace(&mut self, from: &str, to: &str) {
        assert!(self.rest.contains(from), "`{from}` in {}", self.rest);
        self.rest = self.rest.replace(from, to);
        std::fs::write(&self.config, format!("{}admin = \"{}\"\n", self.rest, self.admin)).expect("it is written");
    }

    pub fn create_topics(&self, raw_partitions: u32) {
        let count = raw_partitions.to_string();
        succeed(&["topics", "create", "--config", text(&self.config), "--raw-partitions", &count]);
    }

    pub fn start(&self) -> Service {
        self.start_roles("route,judge,act")
    }

    /// Each process has a log and a listener of its own.
    pub fn start_roles(&self, roles: &str) -> Service {
        self.start_with(roles, &[])
    }

    /// With environment variables.
    pub fn start_with(&self, roles: &str, variables: &[(&str, &str)]) -> Service {
        let file = format!("{}.toml", roles.replace(',', "-"));
        let (config, admin) = (self.folder.path().join(&file), free_address());
        std::fs::write(&config, format!("{}admin = \"{admin}\"\n", self.rest)).expect("it is written");
        Service::start_with(&config, roles, &self.folder.path().join(format!("{file}.log")), &admin, variables)
    }

    pub fn store(&self) -> PathBuf {
        self.folder.path().join("store")
    }

    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// Records judged, by device.
    pub fn records(&self) -> BTreeMap<String, i64> {
        records_of(&self.store())
    }

    /// Waits until so many records of a device were judged; more are an error, now and later.
    #[track_caller]
    pub fn wait_records(&self, service: &mut Service, device: &str, expected: i64) {
        let end = Instant::now() + PATIENCE;
        loop {
            assert!(service.is_running(), "the service ended:\n{}", service.said());
            let found = self.records().get(device).copied().unwrap_or(0);
            assert!(found <= expected, "{found} records of `{device}`, expected {expected}:\n{}", self.logs());
            if found == expected {
                return;
            }
            assert!(Instant::now() < end, "{found} of {expected} records of `{device}`:\n{}", self.logs());
            std::thread::sleep(Duration::from_millis(300));
        }
    }

    /// What all its processes said.
    fn logs(&self) -> String {
        let files = std::fs::read_dir(self.folder.path()).expect("the folder is there").flatten();
        let logs = files.filter(|file| file.path().extension().is_some_and(|end| end == "log"));
        logs.map(|file| std::fs::read_to_string(file.path()).unwrap_or_default()).collect()
    }
}

pub fn records_of(store: &Path) -> BTreeMap<String, i64> {
    let rows =
        query(store, "select device_id, cast(sum(records) as bigint) as records from windows group by device_id");
    let pair = |row: &Value| Some((row["device_id"].as_str()?.to_owned(), row["records"].as_i64()?));
    rows.iter().filter_map(pair).filter(|(_, records)| *records > 0).collect()
}

/// Waits until so many times in all a router has begun to read a partition. All of them write one log.
#[track_caller]
pub fn begun(route: &mut Service, times: usize) {
    route.wait_until("partitions that are read", PATIENCE, |said| {
        said.matches("reading raw partition").count() >= times
    });
}

/// The sum of a metric over the label sets that contain `label`; 0 before it first counts. The listener must answer.
#[track_caller]
pub fn metric(service: &Service, name: &str, label: &str) -> f64 {
    let Some(sum) = metric_if_up(service, name, label) else {
        panic!("nobody answers at {}, asked for `{name}`:\n{}", service.admin, service.said());
    };
    sum
}

/// The same of a service that may not listen yet, or may be slow to answer just then: `None` when it does not.
pub fn metric_if_up(service: &Service, name: &str, label: &str) -> Option<f64> {
    let page = get(&service.admin, "/metrics")?;
    let of_name = page.lines().filter(|line| line.starts_with(&format!("{name}{{")) && line.contains(label));
    Some(of_name.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum())
}

/// The least of the lanes' `closed_through`, microseconds.
pub fn closed(service: &Service) -> Option<i64> {
    let readiness = service.readiness()?;
    let lanes = readiness["lanes"].as_array()?;
    if lanes.len() < LANES { None } else { lanes.iter().map(|lane| lane["closed_through"].as_i64()).min()? }
}

/// All lanes run, and none has closed anything beyond `at`, microseconds.
#[track_caller]
pub fn demand_nothing_closed_beyond(service: &Service, at: i64, why: &str) {
    let readiness = service.readiness().expect("the listener answers");
    let lanes = readiness["lanes"].as_array().expect("lanes");
    assert_eq!(lanes.len(), LANES, "{readiness:#}");
    for lane in lanes {
        assert_eq!(lane["begun"], true, "{readiness:#}");
        // Null where nothing was closed yet.
        assert!(lane["closed_through"].as_i64().is_none_or(|through| through <= at), "{why}: {readiness:#}");
    }
}

pub fn late(service: &Service) -> i64 {
    let readiness = service.readiness().expect("it answers");
    readiness["lanes"].as_array().expect("lanes").iter().filter_map(|lane| lane["late"].as_i64()).sum()
}
