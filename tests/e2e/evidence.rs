//! Evidence about an incident: made, checked, changed and checked again.

use std::collections::BTreeMap;
use std::io::{Cursor, Read, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use serde_json::Value;
use zip::write::SimpleFileOptions;
use zip::{ZipArchive, ZipWriter};

use crate::support::{count, fail, query, replay, succeed, text};

/// Both are put into every record that could have them.
const PAYLOAD: &str = "what-the-device-said";
const TOKEN: &str = "raw-session-token";

/// A store of the demo's fleet whose collector keeps what it should not.
fn careless(folder: &Path) -> PathBuf {
    let demo = folder.join("demo");
    succeed(&["demo", "--out", text(&demo)]);
    let path = demo.join("data/readings.jsonl.gz");
    // Some of the demo's lines are broken, as in life.
    let mut bytes = Vec::new();
    MultiGzDecoder::new(std::fs::File::open(&path).unwrap()).read_to_end(&mut bytes).unwrap();
    let lines = String::from_utf8_lossy(&bytes)
        .replace("\"kind\":\"message\"", &format!("\"kind\":\"message\",\"payload\":\"{PAYLOAD}\""))
        .replace("\"token\":\"", &format!("\"token\":\"{TOKEN}-"));
    assert!(lines.contains(PAYLOAD) && lines.contains(TOKEN), "the demo has messages and sessions");
    let mut file = GzEncoder::new(std::fs::File::create(&path).unwrap(), Compression::fast());
    file.write_all(lines.as_bytes()).unwrap();
    file.finish().unwrap();
    let store = folder.join("store");
    replay(&demo.join("data/demo.toml"), &store, &["--mode", "auto"]);
    assert!(count(&store, &format!("select count(*) from windows where details like '%{TOKEN}%'")) > 0);
    store
}

fn unpacked(bundle: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut zip = ZipArchive::new(std::fs::File::open(bundle).unwrap()).unwrap();
    let mut files = BTreeMap::new();
    for at in 0..zip.len() {
        let mut file = zip.by_index(at).unwrap();
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).unwrap();
        files.insert(file.name().unwrap().into_owned(), bytes);
    }
    files
}

fn pack(files: &BTreeMap<String, Vec<u8>>, path: &Path) {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in files {
        zip.start_file(name, SimpleFileOptions::default()).unwrap();
        zip.write_all(bytes).unwrap();
    }
    std::fs::write(path, zip.finish().unwrap().into_inner()).unwrap();
}

fn rows(files: &BTreeMap<String, Vec<u8>>, name: &str) -> Vec<Value> {
    serde_json::from_slice(&files[name]).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn contains(bytes: &[u8], text: &str) -> bool {
    String::from_utf8_lossy(bytes).contains(text)
}

fn ids(store: &Path, sql: &str) -> Vec<String> {
    query(store, sql).iter().map(|row| row["incident_id"].as_str().unwrap().to_owned()).collect()
}

/// Gives its files, which hold nothing of what a collector should have kept to itself.
fn made(store: &Path, id: &str, bundle: &Path, key: &Path) -> BTreeMap<String, Vec<u8>> {
    let (out, store, key) = (text(bundle), text(store), text(key));
    let told = succeed(&["evidence", id, "--out", out, "--store", store, "--key", key, "--whole-journal"]);
    assert!(told.contains("signed by "), "{told}");
    let files = unpacked(bundle);
    for (name, bytes) in &files {
        assert!(!contains(bytes, PAYLOAD) && !contains(bytes, TOKEN), "{name} of {id} has what it should not");
    }
    files
}

#[test]
fn a_bundle_has_all_of_it_and_tells_of_every_change() {
    let folder = tempfile::tempdir().unwrap();
    let store = careless(folder.path());
    let (key, bundle) = (folder.path().join("evidence.key"), folder.path().join("bundle.zip"));
    let signed_in = ids(
        &store,
        &format!(
            "select i.incident_id from incidents i join windows w on w.device_id = i.device_id \
             and w.window_end > i.first_window and w.window_start < i.last_window \
             where w.details like '%{TOKEN}%' order by 1 limit 1"
        ),
    );
    let files = made(&store, &signed_in[0], &bundle, &key);
    let told = fail(&["evidence", &signed_in[0], "--out", text(&bundle), "--store", text(&store)], 2);
    assert!(told.contains("bundle.zip` exists"), "{told}");
    assert!(contains(&files["windows.json"], "\"masked-"), "what it signed in with is told as something else");

    let restricted = ids(
        &store,
        "select distinct incident_id from actions where level = 'quarantine' and state = 'applied' order by 1 limit 3",
    );
    assert!(!restricted.is_empty(), "somebody was quarantined");
    for id in &restricted {
        std::fs::remove_file(&bundle).unwrap();
        is_complete(&made(&store, id, &bundle, &key), id, &store);
    }
    verified(folder.path(), &bundle);
}

fn is_complete(files: &BTreeMap<String, Vec<u8>>, id: &str, store: &Path) {
    let findings = rows(files, "findings.json");
    let stored = format!("select count(*) from findings where incident_id = '{id}'");
    assert_eq!(findings.len() as u64, count(store, &stored));
    assert!(findings.iter().all(|finding| finding["reasons"].is_array() && finding["incident_id"] == id));
    let actions = format!("select count(*) from actions where incident_id = '{id}'");
    assert_eq!(rows(files, "actions.json").len() as u64, count(store, &actions));

    let incident: Value = serde_json::from_slice(&files["incident.json"]).unwrap();
    let (windows, device) = (rows(files, "windows.json"), &incident["device_id"]);
    assert!(!windows.is_empty() && windows.iter().all(|window| window["device_id"] == *device));
    let ends: Vec<&str> = windows.iter().map(|window| window["window_end"].as_str().unwrap()).collect();
    assert!(ends.iter().any(|end| *end < incident["first_window"].as_str().unwrap()), "an hour before, too");
    assert!(!rows(files, "evidence.json").is_empty());
    if findings.iter().any(|finding| finding["baseline_version"].as_u64() > Some(0)) {
        let baselines = rows(files, "baselines.json");
        assert!(baselines.iter().any(|row| row["device_type"] == incident["device_type"] && row["body"].is_object()));
    }
    let playbooks = rows(files, "playbooks.json");
    assert!(!playbooks.is_empty() && playbooks.iter().all(|it| it["toml"].is_string()), "{playbooks:?}");
    let records: Value = serde_json::from_slice(&files["records.json"]).unwrap();
    assert!(records["sources"].as_object().unwrap().values().any(|name| name == "readings.jsonl.gz"), "{records}");

    let journal = String::from_utf8(files["journal.jsonl"].clone()).unwrap();
    let whole = String::from_utf8(files["journal-whole.jsonl"].clone()).unwrap();
    let original = std::fs::read_to_string(store.join("journal.jsonl")).unwrap();
    assert_eq!(whole, original);
    assert!(journal.lines().all(|line| original.lines().any(|other| other == line)), "lines as they stand there");
    assert!(journal.contains("\"proposed\"") && journal.contains("\"applied\""), "{journal}");
    assert!(journal.lines().count() < whole.lines().count(), "others' entries are no part of it");
}

fn verified(folder: &Path, bundle: &Path) {
    let told = succeed(&["evidence", "verify", text(bundle)]);
    let public = told.split("signed by ").nth(1).unwrap()[..64].to_owned();
    let told = succeed(&["evidence", "verify", text(bundle), "--key", &public]);
    assert!(told.contains("is what was made") && told.contains("as was asked for"), "{told}");
    let told = fail(&["evidence", "verify", text(bundle), "--key", &"0".repeat(64)], 1);
    assert!(told.contains("signed by another key") && told.contains(&public), "{told}");

    let files = unpacked(bundle);
    let changed = folder.join("changed.zip");
    for name in files.keys() {
        let mut others = files.clone();
        let bytes = others.get_mut(name).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        pack(&others, &changed);
        // A manifest that is no JSON any more makes it no bundle at all.
        let output = crate::support::vedette(&["evidence", "verify", text(&changed)]);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && told.contains(name.as_str()), "{name}: {told}");
    }

    let journal = folder.join("journal.jsonl");
    std::fs::write(&journal, &files["journal-whole.jsonl"]).unwrap();
    let head: Value = serde_json::from_slice(&files["journal-head.json"]).unwrap();
    let told = succeed(&["audit", "verify", "--file", text(&journal), "--head", head["hash"].as_str().unwrap()]);
    assert!(told.contains("is what was written"), "{told}");
}

#[test]
fn an_incident_that_is_none_is_told_with_what_is_like_it() {
    let folder = tempfile::tempdir().unwrap();
    let set = crate::support::lamp_set(folder.path(), crate::support::lamp_flows(30).as_bytes(), 15);
    let store = folder.path().join("store");
    replay(&set, &store, &[]);
    let out = folder.path().join("bundle.zip");
    let told = fail(&["evidence", "nothing", "--out", text(&out), "--store", text(&store)], 2);
    assert!(told.contains("there is no incident `nothing`") && told.contains("incidents list"), "{told}");
    assert!(!out.exists());
    let told = fail(&["evidence", "verify", text(&out)], 2);
    assert!(told.contains("bundle.zip"), "{told}");
}
