//! Killed at any moment and started again, a replay yields a store without a row twice.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::{count, fail, lamp_flows, lamp_set, replay, succeed, text, vedette};

#[test]
fn killed_and_started_again_it_starts_over() {
    let folder = tempfile::tempdir().unwrap();
    let set = lamp_set(folder.path(), lamp_flows(1200).as_bytes(), 300);
    let straight = folder.path().join("straight");
    replay(&set, &straight, &[]);
    let dump = |store| {
        let sql = "select device_id, window_start, records, bytes_out, score from windows order by 1, 2";
        succeed(&["query", "--store", text(store), "--format", "csv", sql])
    };
    let out = folder.path().join("killed");
    let live_for = |milliseconds| {
        let mut child = Command::new(env!("CARGO_BIN_EXE_vedette"))
            .args(["replay", text(&set), "--out", text(&out), "--quiet"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(milliseconds));
        child.kill().unwrap();
        child.wait().unwrap();
    };
    [0, 5, 20, 40, 60, 80, 100, 150, 200].into_iter().for_each(live_for);
    // On a slow machine none of them may have come to its first rows.
    let mut milliseconds = 200;
    while !has_rows(&out) {
        milliseconds *= 2;
        assert!(milliseconds < 60_000, "a replay wrote nothing");
        live_for(milliseconds);
    }
    let again = vedette(&["replay", text(&set), "--out", text(&out)]);
    let said = String::from_utf8_lossy(&again.stderr);
    assert!(again.status.success(), "{said}");
    assert_eq!(dump(&out), dump(&straight));
    assert!(said.contains("starting over"), "it says so plainly: {said}");
    let doubled =
        "select count(*) from (select device_id, window_start from windows group by 1, 2 having count(*) > 1)";
    assert_eq!(count(&out, doubled), 0);
    let once_more = vedette(&["replay", text(&set), "--out", text(&out), "--quiet"]);
    assert!(String::from_utf8_lossy(&once_more.stderr).contains("starting over"), "also when it is to be quiet");
    assert_eq!(dump(&out), dump(&straight));
}

/// A table has a file: what the next replay removes, and says so.
fn has_rows(store: &Path) -> bool {
    let entries = |folder: &Path| std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut files = entries(&store.join("tables")).flat_map(|table| entries(&table));
    files.any(|file| file.extension().is_some_and(|extension| extension == "parquet"))
}

/// What readers are told of a store whose replay was killed: never that it had ended.
#[test]
fn a_replay_that_fails_on_the_way_leaves_a_store_that_says_it_has_not_ended() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    replay(&lamp_set(folder.path(), lamp_flows(120).as_bytes(), 30), &out, &[]);
    // The same set, of lines that no replay can use: it gives up after it has begun to start over.
    let set = lamp_set(folder.path(), "no flow\n".repeat(20_000).as_bytes(), 30);
    fail(&["replay", text(&set), "--out", text(&out), "--quiet"], 1);
    let listing = vedette(&["findings", "list", "--store", text(&out)]);
    assert!(String::from_utf8_lossy(&listing.stderr).contains("has not ended"), "{listing:?}");
}
