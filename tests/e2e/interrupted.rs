//! Killed at any moment and started again, a replay yields a store without a row twice.

use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::{count, lamp_flows, lamp_set, replay, succeed, text, vedette};

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
    for milliseconds in [0, 5, 20, 40, 60, 80, 100, 150, 200] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_vedette"))
            .args(["replay", text(&set), "--out", text(&out), "--quiet"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(milliseconds));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let again = vedette(&["replay", text(&set), "--out", text(&out)]);
    let said = String::from_utf8_lossy(&again.stderr);
    assert!(again.status.success(), "{said}");
    assert_eq!(dump(&out), dump(&straight));
    let doubled =
        "select count(*) from (select device_id, window_start from windows group by 1, 2 having count(*) > 1)";
    assert_eq!(count(&out, doubled), 0);
    let once_more = vedette(&["replay", text(&set), "--out", text(&out)]);
    assert!(String::from_utf8_lossy(&once_more.stderr).contains("starting over"), "it says so plainly");
    assert_eq!(dump(&out), dump(&straight));
}
