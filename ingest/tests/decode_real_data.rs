//! Recordings as they are published, when they are at hand: `../shared/data` beside the project, or `VEDETTE_DATA`.

#[path = "../../tests/not_run/mod.rs"]
mod not_run;

use std::path::PathBuf;

use fleet::Kind;
use fleet::reading::Outcome;
use ingest::{Config, Fetched, FileSource, Format, Source};
use not_run::not_run;

fn data(file: &str) -> Option<PathBuf> {
    let root = std::env::var_os("VEDETTE_DATA").map_or_else(|| PathBuf::from("../../shared/data"), PathBuf::from);
    let path = root.join(file);
    if path.exists() {
        return Some(path);
    }
    not_run(&format!("`{}` is not there; VEDETTE_DATA names the folder that holds it", path.display()));
    None
}

/// Reads at least `most` lines, if there are as many.
fn read(file: &str, format: Format, most: usize) -> Option<Fetched> {
    let path = data(file)?;
    let mut source = FileSource::open(&path, file, 0, format, &Config::default()).unwrap();
    let mut fetched = Fetched::default();
    while source.fetch(&mut fetched).unwrap() && fetched.readings.len() + fetched.rejected.len() < most {}
    Some(fetched)
}

#[test]
fn the_fleets_decode_without_a_rejection() {
    for file in ["fleet/flows.jsonl.gz", "fleet-b/flows.jsonl.gz"] {
        let Some(fetched) = read(file, Format::ZeekConnJson, 10_000) else { continue };
        assert!(fetched.readings.len() >= 10_000);
        assert_eq!(fetched.rejected, [], "{file}");
        assert!(fetched.readings.iter().any(|reading| reading.identity.mac.is_some()));
        assert!(!fetched.readings.iter().any(|reading| reading.malicious), "{file} begins with days to learn from");
    }
}

#[test]
fn iot23_decodes_as_published() {
    for (file, format, readings, malicious) in [
        ("CTU-Honeypot-Capture-4-1.conn.log.labeled.gz", Format::ZeekConnTsv, 452, 0),
        ("CTU-Honeypot-Capture-5-1.conn.log.labeled.gz", Format::ZeekConnTsv, 1_374, 0),
        ("CTU-Honeypot-Capture-7-1.csv.gz", Format::ZeekConnCsv, 130, 0),
        ("CTU-IoT-Malware-Capture-34-1.conn.log.labeled.gz", Format::ZeekConnTsv, 23_145, 21_222),
        ("CTU-Malware-Capture-42-1.csv.gz", Format::ZeekConnCsv, 4_426, 6),
    ] {
        let Some(fetched) = read(&format!("iot23/{file}"), format, usize::MAX) else { continue };
        assert_eq!(fetched.rejected, [], "{file}");
        let found = fetched.readings.iter().filter(|reading| reading.malicious).count();
        assert_eq!((fetched.readings.len(), found), (readings, malicious), "{file}");
    }
}

#[test]
fn zeek_samples_decode_and_other_logs_say_why_not() {
    for (file, format) in [
        ("conn.log", Format::ZeekConnJson),
        ("conn-portscan.json.log.gz", Format::ZeekConnJson),
        ("conn-labeled-mixed.log.gz", Format::ZeekConnTsv),
    ] {
        let Some(fetched) = read(&format!("formats/zeek/{file}"), format, usize::MAX) else { continue };
        assert!(!fetched.readings.is_empty());
        assert_eq!(fetched.rejected, [], "{file}");
        let refused = fetched
            .readings
            .iter()
            .filter(|reading| matches!(&reading.kind, Kind::Flow(flow) if flow.outcome == Outcome::Refused));
        assert!(file != "conn-labeled-mixed.log.gz" || refused.count() == 24 + 19 + 5);
    }
    let Some(fetched) = read("formats/zeek/dns.log", Format::ZeekConnJson, usize::MAX) else { return };
    assert_eq!(fetched.readings, []);
    assert!(fetched.rejected.iter().all(|rejected| rejected.detail.contains("`conn_state`")));
}

#[test]
fn suricata_sample_decodes_to_its_flows() {
    let Some(fetched) = read("formats/suricata/eve.json.gz", Format::SuricataEveJson, usize::MAX) else { return };
    assert_eq!((fetched.readings.len(), fetched.rejected), (3_512, vec![]));
    let outcomes = [Outcome::Established, Outcome::Refused, Outcome::Reset, Outcome::Unanswered, Outcome::Partial];
    let counts = outcomes.map(|outcome| {
        let of_it = |reading: &&fleet::Reading| matches!(&reading.kind, Kind::Flow(flow) if flow.outcome == outcome);
        fetched.readings.iter().filter(of_it).count()
    });
    assert_eq!(counts, [563, 1_939, 33, 977, 0]);
}
