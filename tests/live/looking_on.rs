//! The commands that look at a store, at one that the service writes.

use std::path::Path;

use super::vedette::{query, succeed, text, vedette};

/// While it is being written or after.
#[track_caller]
pub fn demand_readable(store: &Path) {
    let strongest =
        "select finding_id, device_id from findings where kind = 'compromise' and scope = 'device' order by score desc";
    let rows = query(store, strongest);
    let word = |column: &str| rows[0][column].as_str().expect("a text").to_owned();
    let (finding, device) = (word("finding_id"), word("device_id"));
    let listed = succeed(&["findings", "list", "--store", text(store)]);
    assert!(listed.lines().count() > 20 && listed.contains(&finding), "{listed}");
    let shown = succeed(&["findings", "show", &finding, "--store", text(store)]);
    assert!(shown.contains("Reasons, strongest first") && shown.contains(&device), "{shown}");
    // Its records are found again in Kafka.
    let record = shown.lines().find(|line| line.trim_start().starts_with("records:")).expect("records are named");
    assert!(record.contains("vedette.raw/") && record.contains(" offset "), "{record}");
    let timeline = succeed(&["devices", "show", &device, "--store", text(store)]);
    assert!(timeline.contains(&finding), "{timeline}");
    let baselines = succeed(&["baselines", "list", "--store", text(store)]);
    assert!(baselines.contains("controller") && baselines.contains("ready"), "{baselines}");
    succeed(&["baselines", "show", "controller", "--store", text(store)]);
}

/// A replay begins by removing what was there before.
#[track_caller]
pub fn demand_kept_from_replays(store: &Path, dataset: &Path) {
    let output = vedette(&["replay", text(dataset), "--out", text(store), "--quiet"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("is the store of `vedette run`"), "{said}");
    assert!(!query(store, "select 1 from windows limit 1").is_empty());
}
