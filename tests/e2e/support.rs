//! Runs the binary and reads what it wrote.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use crate::not_run::not_run;

pub fn vedette(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_vedette")).args(arguments).output().expect("the binary starts")
}

pub fn text(path: &Path) -> &str {
    path.to_str().expect("test paths are UTF-8")
}

/// Runs and demands success; gives what it printed.
#[track_caller]
pub fn succeed(arguments: &[&str]) -> String {
    let output = vedette(arguments);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "vedette {arguments:?} failed:\n{errors}");
    String::from_utf8(output.stdout).expect("output is UTF-8")
}

/// Runs and demands failure with `code`; gives the message.
#[track_caller]
pub fn fail(arguments: &[&str], code: i32) -> String {
    let output = vedette(arguments);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "vedette {arguments:?} said:\n{errors}");
    errors
}

/// Rows of a query as JSON.
#[track_caller]
pub fn query(store: &Path, sql: &str) -> Vec<Value> {
    let json = succeed(&["query", "--store", text(store), "--format", "json", sql]);
    serde_json::from_str(&json).unwrap_or_else(|error| panic!("{error}: {json}"))
}

pub fn count(store: &Path, sql: &str) -> u64 {
    query(store, sql)[0].as_object().and_then(|row| row.values().next()).and_then(Value::as_u64).expect("one number")
}

pub fn score_card(store: &Path) -> Value {
    let json = std::fs::read(store.join("scorecard.json")).expect("a score card was written");
    serde_json::from_slice(&json).expect("the score card is JSON")
}

/// Replays quietly and demands success.
#[track_caller]
pub fn replay(dataset: &Path, out: &Path, more: &[&str]) {
    let mut arguments = vec!["replay", text(dataset), "--out", text(out), "--quiet"];
    arguments.extend(more);
    succeed(&arguments);
}

/// Where the recordings are; says loudly when they are not.
pub fn recordings(what: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("VEDETTE_DATA").map_or_else(|| PathBuf::from("../shared/data"), PathBuf::from);
    let wanted = folder.join(what);
    if wanted.exists() {
        return Some(wanted);
    }
    not_run(&format!("`{}` is not there; set VEDETTE_DATA to the folder with the recordings", wanted.display()));
    None
}

/// Cargo runs a package's tests in its folder.
pub fn shipped(dataset: &str) -> PathBuf {
    Path::new("datasets").join(dataset)
}

/// A lamp that calls its cloud every minute, as Zeek JSON lines: `minutes` of it, from 2026-03-02T00:00:00Z.
pub fn lamp_flows(minutes: u32) -> String {
    let mut lines = String::new();
    for minute in 0..minutes {
        for lamp in 1..=4 {
            let at = 1_772_409_600.0 + f64::from(minute) * 60.0 + f64::from(lamp) * 7.0;
            lines.push_str(&format!(
                "{{\"ts\":{at},\"uid\":\"C{minute}-{lamp}\",\"id.orig_h\":\"10.0.0.{lamp}\",\"id.orig_p\":40000,\
                 \"id.resp_h\":\"203.0.113.9\",\"id.resp_p\":443,\"proto\":\"tcp\",\"service\":\"ssl\",\"duration\":0.5,\
                 \"orig_bytes\":{},\"resp_bytes\":900,\"conn_state\":\"SF\",\"orig_pkts\":4,\"resp_pkts\":4}}\n",
                300 + minute % 40
            ));
        }
    }
    lines
}

/// Lamps of which the first scans its network from ten minutes after the two hours of learning on: a store, in mode `auto`,
/// in which it alone was quarantined.
pub fn scanned(folder: &Path) -> PathBuf {
    let mut lines = String::new();
    for (number, line) in lamp_flows(150).lines().enumerate() {
        lines.push_str(line);
        lines.push('\n');
        let (minute, is_first) = (number / 4, number % 4 == 0);
        if minute < 130 || !is_first {
            continue;
        }
        let unanswered = line
            .replace("\"id.resp_p\":443", "\"id.resp_p\":23")
            .replace("\"resp_bytes\":900,\"conn_state\":\"SF\"", "\"resp_bytes\":0,\"conn_state\":\"S0\"")
            .replace("\"resp_pkts\":4", "\"resp_pkts\":0");
        for host in 1..=100 {
            lines.push_str(&unanswered.replace("203.0.113.9", &format!("10.0.{minute}.{host}")));
            lines.push('\n');
        }
    }
    let store = folder.join("store");
    replay(&lamp_set(folder, lines.as_bytes(), 120), &store, &["--mode", "auto"]);
    let verified = "select distinct device_id from actions where level = 'quarantine' and state = 'verified'";
    assert_eq!(query(&store, verified), [serde_json::json!({ "device_id": "lamp-1" })]);
    store
}

/// Writes a data set of one file of Zeek JSON lines, four lamps, learning until `learn_minutes` after the first record.
pub fn lamp_set(folder: &Path, lines: &[u8], learn_minutes: i64) -> PathBuf {
    std::fs::write(folder.join("flows.jsonl"), lines).expect("the test folder can be written");
    write_descriptor(folder, "zeek-conn-json", "flows.jsonl", learn_minutes)
}

pub fn write_descriptor(folder: &Path, format: &str, file: &str, learn_minutes: i64) -> PathBuf {
    let mut inventory = String::from("device_id,device_type,ip\n");
    for lamp in 1..=4 {
        inventory.push_str(&format!("lamp-{lamp},lamp,10.0.0.{lamp}\n"));
    }
    std::fs::write(folder.join("devices.csv"), inventory).expect("the test folder can be written");
    let (hours, minutes) = (learn_minutes / 60, learn_minutes % 60);
    let toml = format!(
        "name = \"lamps\"\n\n[inventory]\nfile = \"devices.csv\"\n\n[[files]]\npath = \"{file}\"\nformat = \"{format}\"\n\n\
         [split]\nlearn_until = 2026-03-02T{hours:02}:{minutes:02}:00Z\n"
    );
    let path = folder.join("lamps.toml");
    std::fs::write(&path, toml).expect("the test folder can be written");
    path
}
