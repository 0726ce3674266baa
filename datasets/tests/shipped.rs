//! The sets that are shipped, against the published files where these are at hand (`VEDETTE_DATA`, or `shared/data` beside
//! the project); without them only the descriptors are read.

#[path = "../../tests/not_run/mod.rs"]
mod not_run;

use std::path::{Path, PathBuf};

use datasets::descriptor::Descriptor;
use datasets::{DataSet, Episode};
use fleet::{EventTime, Reading};
use ingest::Fetched;
use not_run::not_run;

/// Cargo runs a package's tests in its folder. (`env!` would name the clone that compiled them, which may be another.)
fn here() -> &'static Path {
    Path::new(".")
}

fn data(set: &str) -> Option<PathBuf> {
    let root = std::env::var_os("VEDETTE_DATA").map_or_else(|| here().join("../../shared/data"), PathBuf::from);
    let folder = root.join(set);
    if !folder.is_dir() {
        not_run(&format!("`{}` is not there; VEDETTE_DATA names the folder that holds it", folder.display()));
        return None;
    }
    Some(folder)
}

fn at(text: &str) -> EventTime {
    EventTime::parse(text).unwrap()
}

fn readings(set: &DataSet) -> Vec<Reading> {
    let config = ingest::Config { lateness_seconds: set.lateness_seconds, ..ingest::Config::default() };
    let mut source = set.open(&config).unwrap();
    let mut fetched = Fetched::default();
    while source.fetch(&mut fetched).unwrap() {}
    assert_eq!(fetched.rejected, []);
    fetched.readings
}

#[test]
fn every_descriptor_is_read() {
    for name in ["demo", "fleet", "iot23"] {
        let descriptor = Descriptor::read(&here().join(format!("{name}.toml"))).unwrap();
        assert_eq!(descriptor.name, name);
        assert!(!descriptor.title.is_empty() && !descriptor.citation.is_empty() && !descriptor.licence.is_empty());
    }
}

#[test]
fn iot23_as_published() {
    let Some(folder) = data("iot23") else { return };
    let set = DataSet::load(&here().join("iot23.toml"), Some(&folder)).unwrap();
    let readings = readings(&set);
    assert_eq!(readings.len(), 452 + 1_374 + 130 + 23_145 + 4_426);
    assert!(readings.is_sorted_by_key(|reading| reading.time));
    assert_eq!(readings[0].time, at("2026-01-01T08:00:00Z"));
    let learn_until = set.split().learn_until;
    for (number, learned, judged) in
        [(0, true, true), (1, true, true), (2, true, false), (3, false, true), (4, false, true)]
    {
        let of_file = || readings.iter().filter(move |reading| reading.position.source == number);
        assert_eq!(of_file().any(|reading| reading.time < learn_until), learned, "file {number}");
        assert_eq!(of_file().any(|reading| reading.time >= learn_until), judged, "file {number}");
        let malicious = of_file().filter(|reading| reading.malicious).count();
        assert_eq!(malicious, [0, 0, 0, 21_222, 6][number as usize]);
    }
    assert_eq!(set.inventory().unwrap().devices().len(), 5);

    let config = ingest::Config::default();
    let episodes = set.episodes(&config).unwrap();
    let named = |episode: &Episode| (episode.name.clone(), episode.device_ids.join(","), episode.incident);
    assert_eq!(
        episodes.iter().map(named).collect::<Vec<_>>(),
        [("34-1".to_string(), "pi-34".to_string(), true), ("42-1".to_string(), "pi-42".to_string(), true)]
    );
    assert!(episodes[0].start >= at("2026-01-02T00:10:00Z") && episodes[0].start < at("2026-01-02T00:20:00Z"));
    assert!(episodes[1].end > at("2026-01-02T09:20:00Z"));

    let departures = set.departures(&config).unwrap();
    let of = |id: &str| departures.iter().find(|departure| departure.device_id == id).unwrap().from;
    assert!(of("somfy-1") < learn_until);
    assert!(of("echo-1") > at("2026-01-02T01:00:00Z") && of("echo-1") < at("2026-01-02T02:00:00Z"));
    assert!(of("hue-1") > at("2026-01-02T05:00:00Z"));
    let days: f64 = set.days_watched(&config).unwrap().unwrap().values().sum();
    assert!((days - (5.87 + 1.48 + 24.0 + 8.35) / 24.0).abs() < 0.02, "{days}");
}

#[test]
fn the_fleets() {
    for name in ["fleet", "fleet-b"] {
        let Some(folder) = data(name) else { return };
        let set = DataSet::load(&here().join("fleet.toml"), Some(&folder)).unwrap();
        let first_judged = if name == "fleet" { "2026-03-06T00:00:00Z" } else { "2026-04-10T00:00:00Z" };
        assert_eq!(set.split().learn_until, at(first_judged));
        assert_eq!(set.split().end, Some(at(first_judged).plus_seconds(2 * 86_400)));
        let episodes = set.episodes(&ingest::Config::default()).unwrap();
        let incidents = episodes.iter().filter(|episode| episode.incident).count();
        assert_eq!(incidents, if name == "fleet" { 17 } else { 16 });
        assert_eq!(set.inventory().unwrap().devices().len(), 56);
        assert!(set.departures(&ingest::Config::default()).unwrap().is_empty());
    }
}
