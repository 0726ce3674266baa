use std::collections::{HashMap, HashSet};
use std::path::Path;

use fleet::reading::SessionEvent;
use fleet::{Kind, Mac, Reading};
use serde_json::Value;

use super::clock::{MINUTE, SECOND, START};
use super::roster::OFFICE;
use super::*;

/// All types, episodes and days, with a tenth of the records.
fn light() -> DemoOptions {
    DemoOptions { traffic: 0.1, learn_days: 1, ..DemoOptions::default() }
}

fn readings(options: &DemoOptions) -> (Simulation, Vec<Reading>) {
    let mut simulation = Simulation::new(options);
    let mut readings = Vec::new();
    while simulation.next_hour(&mut readings) {}
    (simulation, readings)
}

/// Index of the unit(s) a reading is about: who did it, and to whom.
fn units_of(simulation: &Simulation, reading: &Reading) -> Vec<usize> {
    let macs: HashMap<Mac, usize> =
        simulation.roster.units.iter().enumerate().filter_map(|(index, unit)| Some((unit.mac?, index))).collect();
    let named = |id: &str| simulation.roster.units.iter().position(|unit| unit.id == id);
    let responder = match &reading.kind {
        Kind::Flow(flow) => flow.responder.mac,
        _ => None,
    };
    let mut units: Vec<usize> = [reading.identity.mac, responder].iter().flatten().map(|mac| macs[mac]).collect();
    units.extend(reading.identity.client_id.as_deref().and_then(named));
    units
}

#[test]
fn the_same_seed_writes_the_same_bytes_and_another_one_others() {
    let folder = tempfile::tempdir().unwrap();
    let options = DemoOptions { devices_scale: 0.2, ..light() };
    let names = ["readings.jsonl.gz", "inventory.csv", "episodes.json", "demo.toml"];
    let read = |folder: &Path| names.map(|name| std::fs::read(folder.join(name)).unwrap());
    let once = write_demo(&folder.path().join("once"), &options).unwrap();
    write_demo(&folder.path().join("twice"), &options).unwrap();
    write_demo(&folder.path().join("other"), &DemoOptions { seed: 2, ..options }).unwrap();
    assert_eq!(read(&folder.path().join("once")), read(&folder.path().join("twice")));
    assert_ne!(read(&folder.path().join("once"))[0], read(&folder.path().join("other"))[0]);
    assert!(once.lines > 10_000 && once.broken < once.lines / 1000, "{once:?}");
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let error = write_demo(file.path(), &light()).unwrap_err();
    assert!(error.to_string().contains(&file.path().display().to_string()), "{error}");
}

#[test]
fn the_fleet_is_as_large_and_as_mixed_as_promised() {
    let simulation = Simulation::new(&DemoOptions::default());
    let types: HashSet<&str> =
        simulation.roster.units.iter().filter(|unit| unit.listed).map(|unit| unit.kind.name).collect();
    assert!(simulation.devices() >= 200 && types.len() >= 8, "{} of {types:?}", simulation.devices());
    let incidents = simulation.script.episodes.iter().filter(|episode| episode.incident).count();
    assert!(incidents >= 9, "{incidents}");
    assert_eq!(simulation.inventory_csv().lines().count(), simulation.devices());
    let everyday = simulation.script.everyday.len() as f64 / (4.0 * simulation.devices() as f64);
    assert!((0.3..0.8).contains(&everyday), "{everyday} everyday events a device-day");
}

#[test]
fn no_two_devices_share_an_address_or_a_name() {
    let options = DemoOptions { devices_scale: 9.0, ..light() };
    let simulation = Simulation::new(&options);
    let units = &simulation.roster.units;
    for time in [START.0, options.end().0] {
        let addresses: Vec<_> = units.iter().filter_map(|unit| unit.address(time)).collect();
        assert_eq!(addresses.iter().collect::<HashSet<_>>().len(), addresses.len());
        assert!(addresses.iter().all(|address| fleet::place(*address) == fleet::Place::Internal));
    }
    assert_eq!(units.iter().map(|unit| &unit.id).collect::<HashSet<_>>().len(), units.len());
    let macs: Vec<_> = units.iter().filter_map(|unit| unit.mac).collect();
    assert_eq!(macs.iter().collect::<HashSet<_>>().len(), macs.len());
    assert!(macs.iter().all(|mac| !mac.is_group()));
}

#[test]
fn every_episode_names_devices_of_the_inventory_within_the_judged_days() {
    let options = light();
    let simulation = Simulation::new(&options);
    let inventory = simulation.inventory_csv();
    let ids: HashSet<&str> = inventory.lines().skip(1).filter_map(|line| line.split(',').next()).collect();
    let document: Value = serde_json::from_str(&simulation.episodes_json().unwrap()).unwrap();
    let mut names = HashSet::new();
    for episode in document["episodes"].as_array().unwrap() {
        assert!(names.insert(episode["name"].as_str().unwrap()));
        let devices = match &episode["device_id"] {
            Value::Array(devices) => devices.iter().collect(),
            one => vec![one],
        };
        assert!(!devices.is_empty() && devices.iter().all(|id| ids.contains(id.as_str().unwrap())), "{episode}");
        let (start, end) = (episode["start"].as_f64().unwrap(), episode["end"].as_f64().unwrap());
        assert!(options.learn_until().seconds() <= start && start < end && end <= options.end().seconds(), "{episode}");
    }
    assert!(names.contains("power-cut") && names.contains("cloned-identity"));
    assert!(!ids.contains(document["not_in_inventory"][0].as_str().unwrap()));
}

#[test]
fn labelled_records_lie_within_an_incident_of_their_device() {
    let (simulation, readings) = readings(&light());
    let mut struck = HashSet::new();
    for reading in readings.iter().filter(|reading| reading.malicious) {
        let units = units_of(&simulation, reading);
        let covering = simulation.script.episodes.iter().filter(|episode| {
            episode.incident
                && (episode.start..=episode.end).contains(&reading.time.0)
                && units.iter().any(|unit| episode.units.contains(unit))
        });
        let names: Vec<&str> = covering.map(|episode| episode.name.as_str()).collect();
        assert!(!names.is_empty(), "{reading:?}");
        struck.extend(names.into_iter().map(str::to_owned));
    }
    for episode in simulation.script.episodes.iter().filter(|episode| episode.incident) {
        let silent = episode.name.starts_with("silence");
        assert_eq!(struck.contains(&episode.name), !silent, "{}", episode.name);
    }
}

#[test]
fn silence_is_silent_and_a_power_cut_is_dark() {
    let (simulation, readings) = readings(&light());
    for episode in simulation.script.episodes.iter().filter(|e| e.name.starts_with("silence") || e.name == "power-cut")
    {
        let quiet = episode.start + 2 * SECOND..episode.end - 7 * MINUTE;
        for reading in readings.iter().filter(|reading| quiet.contains(&reading.time.0)) {
            // A scan or a poll of others still reaches for it.
            let own = units_of(&simulation, reading).first().is_some_and(|unit| episode.units.contains(unit));
            assert!(!own || reading.malicious, "{}: {reading:?}", episode.name);
        }
    }
}

#[test]
fn disorder_is_bounded_but_for_a_few() {
    let (_, readings) = readings(&light());
    let mut latest = START.0;
    let mut late = 0;
    for reading in &readings {
        late += usize::from(latest - reading.time.0 > records::LONGEST_DELAY);
        latest = latest.max(reading.time.0);
    }
    let share = late as f64 / readings.len() as f64;
    assert!(share > 0.0 && share < 0.0005, "{late} of {}", readings.len());
    assert!(readings.is_sorted_by_key(|reading| reading.position.offset));
}

#[test]
fn a_benign_fleet_has_nothing_to_find() {
    let options = DemoOptions::benign(3, 300, 1, 1);
    let (simulation, readings) = readings(&options);
    assert!((290..=310).contains(&simulation.devices()));
    assert!(simulation.script.episodes.is_empty() && readings.iter().all(|reading| !reading.malicious));
    assert!(readings.len() > 300 * 200, "{}", readings.len());
}

#[test]
fn the_roll_out_ends_in_a_new_version_and_the_lease_in_a_new_address() {
    let (simulation, readings) = readings(&light());
    let units = &simulation.roster.units;
    let mut updated = HashSet::new();
    for reading in &readings {
        if let Kind::Posture(posture) = &reading.kind
            && posture.firmware.as_deref() == Some("2.4.0")
        {
            updated.insert(reading.identity.client_id.clone());
        }
    }
    assert_eq!(updated.len(), units.iter().filter(|unit| unit.kind.name == "lamp").count());
    let moved: Vec<_> = units.iter().filter(|unit| unit.leases.len() > 1).collect();
    assert_eq!(moved.len(), 2);
    assert_eq!(moved[0].address(START.0), moved[1].address(simulation.options.end().0));
    assert!(moved.iter().all(|unit| unit.site == &OFFICE));
}

#[test]
fn a_copy_presents_the_same_token_from_two_addresses() {
    let (simulation, readings) = readings(&light());
    let mut addresses: HashMap<_, HashSet<_>> = HashMap::new();
    for reading in &readings {
        if let Kind::Session(session) = &reading.kind
            && session.event == SessionEvent::Connected
            && reading.identity.ip.is_some()
        {
            addresses.entry(session.token.clone()).or_default().insert(session.address);
        }
    }
    assert_eq!(addresses.values().filter(|seen| seen.len() > 1).count(), 1);
    assert!(simulation.script.episodes.iter().any(|episode| episode.name == "cloned-identity"));
}

#[test]
fn what_is_written_is_read_back() {
    let (_, readings) = readings(&DemoOptions { devices_scale: 0.2, ..light() });
    let mut decoder = ingest::Decoder::new(ingest::Format::Native);
    let mut kinds = HashSet::new();
    for reading in &readings {
        let line = ingest::to_native_json(reading);
        let read = decoder.decode(line.as_bytes(), reading.position).unwrap();
        assert_eq!(read.as_ref(), Some(reading), "{line}");
        kinds.insert(reading.kind.name());
    }
    assert_eq!(kinds.len(), Kind::NAMES.len());
}
