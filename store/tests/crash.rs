//! Stopped at any moment, nothing is lost and nothing is there twice.
//!
//! Each state a compaction passes through is made in a folder of its own and counted, by a reader first and then by the
//! next writer. And a process that writes and compacts is killed, again and again, at moments nobody chose.

mod common;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use common::*;
use fleet::EventTime;
use store::{Config, ParquetStore, Store};

fn create(dir: &Path) -> ParquetStore {
    ParquetStore::create(dir, Config::default()).unwrap()
}

/// Files below `dir`, relative, sorted.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(path.strip_prefix(dir).unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

fn copy(from: &Path, to: &Path, names: &[PathBuf]) {
    for name in names {
        fs::create_dir_all(to.join(name).parent().unwrap()).unwrap();
        fs::copy(from.join(name), to.join(name)).unwrap();
    }
}

#[test]
fn every_state_of_a_compaction_counts_each_row_once() {
    let dir = tempfile::tempdir().unwrap();
    let (before, after) = (dir.path().join("before"), dir.path().join("after"));
    let store = create(&before);
    fill(&store);
    // A first compaction, so that the second has a compacted file to replace.
    store.compact(minute(3)).unwrap();
    let old = files(&before);
    copy(&before, &after, &old);
    create(&after).compact(EventTime::MAX).unwrap();
    let new = files(&after);
    let merged: Vec<PathBuf> = new.iter().filter(|name| !old.contains(name)).cloned().collect();
    let removed: Vec<PathBuf> = old.iter().filter(|name| !new.contains(name)).cloned().collect();
    assert!(!merged.is_empty() && removed.len() > merged.len(), "nothing was compacted");

    // (files there, manifest of): merged files appear one by one, the manifest changes, old files go one by one.
    let mut states: Vec<(String, Vec<PathBuf>, &Path)> = Vec::new();
    for count in 0..=merged.len() {
        let there = old.iter().chain(&merged[..count]).cloned().collect();
        states.push((format!("{count} merged"), there, before.as_path()));
    }
    for count in 0..=removed.len() {
        let there = new.iter().chain(&removed[count..]).cloned().collect();
        states.push((format!("{count} removed"), there, after.as_path()));
    }
    for (number, (state, there, manifest)) in states.iter().enumerate() {
        let out = dir.path().join(format!("state-{number}"));
        for name in there {
            let from = if new.contains(name) { &after } else { &before };
            copy(from, &out, std::slice::from_ref(name));
        }
        copy(manifest, &out, &["manifest.json".into()]);
        fs::write(out.join("tables/windows/0-1-2.parquet.5.tmp"), "half").unwrap();
        assert_eq!(counts(&ParquetStore::open(&out).unwrap()), FILLED, "reader, {state}");
        let store = create(&out);
        assert_eq!(counts(&store), FILLED, "writer, {state}");
        store.compact(EventTime::MAX).unwrap();
        assert_eq!(counts(&store), FILLED, "compacted, {state}");
        // Merged files keep the names of their generation; what matters is that nothing else is left.
        assert_eq!(files(&out).len(), new.len(), "left over, {state}: {:?}", files(&out));
    }
}

const CHILD: &str = "STORE_TEST_CRASH_DIR";
const OPENED: &str = "store opened";
const MINUTES: i64 = 40;

/// The process that is killed: goes on where the folder says, one step and sometimes a compaction after the other.
#[test]
#[ignore = "run by the test below, in a process of its own"]
fn child_that_writes_and_compacts() {
    let Some(dir) = std::env::var_os(CHILD) else { return };
    let store = create(Path::new(&dir));
    println!("{OPENED}");
    let minutes = count(&store, "select count(distinct window_start) from windows");
    // The last minute may be half there: it is done again from its beginning.
    for from in (minutes - 1).max(0)..MINUTES {
        for lane in 0..2 {
            store.write_step(&StepData::new(lane, from, from + 1, 8).step()).unwrap();
        }
        store.write_findings(&format!("minute-{from}"), &[finding(from as u32)]).unwrap();
        if from % 4 == 3 {
            store.compact(minute(from - 1)).unwrap();
        }
    }
}

#[test]
fn killed_at_any_moment() {
    let dir = tempfile::tempdir().unwrap();
    let mut kills = 0;
    loop {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "child_that_writes_and_compacts", "--nocapture"])
            .env(CHILD, dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // Lives of different lengths, each long enough to get ahead now and then, counted from the store's opening.
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let opened = lines.any(|line| line.contains(OPENED));
        assert!(opened, "the child did not open the store after {kills} kills");
        std::thread::sleep(Duration::from_millis(10 + kills * 67 % 400));
        child.kill().unwrap();
        let status = child.wait().unwrap();
        let store = ParquetStore::open(dir.path()).unwrap();
        let [windows, distinct, contacts, ..] = counts(&store);
        assert_eq!(windows, distinct, "rows twice after {kills} kills");
        assert!(contacts >= 2 * windows, "contacts lost after {kills} kills");
        if status.success() {
            break;
        }
        assert_eq!(status.code(), None, "the child failed by itself after {kills} kills");
        kills += 1;
        assert!(kills < 500, "no life got ahead");
    }
    let store = create(dir.path());
    let [windows, distinct, contacts, _, findings, distinct_findings] = counts(&store);
    assert!(kills >= 3, "killed only {kills} times: nothing was tried");
    assert_eq!((windows, distinct, contacts), (MINUTES * 8, MINUTES * 8, 2 * MINUTES * 8));
    assert_eq!((findings, distinct_findings), (MINUTES, MINUTES));
}
