//! The shipped playbooks where nothing asks a person: who is restricted is in an incident, on every labelled set.

use std::path::Path;

use crate::support::{count, replay, score_card, shipped, succeed, text};

#[test]
fn the_demo_in_auto_restricts_devices_of_incidents_only() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    replay(&shipped("demo.toml"), &out, &["--mode", "auto"]);
    restricts_nobody_benign(&out, 9);
}

/// What takes any finding for enough, and who would have been cut off by it without having done anything.
#[test]
fn a_playbook_that_is_too_broad_is_told_whom_it_hits() {
    let folder = tempfile::tempdir().unwrap();
    let broad = "id = \"broad\"\ntitle = \"Whatever is found\"\nwhen = \"scope = 'device'\"\n\
                 [[step]]\nlevel = \"quarantine\"\nttl = \"1h\"\n";
    std::fs::write(folder.path().join("broad.toml"), broad).unwrap();
    let said = succeed(&["playbooks", "test", text(folder.path()), "--dataset", text(&shipped("demo.toml"))]);
    assert!(said.contains("restricted: 4 BENIGN devices: plug-001, "), "{said}");
    assert!(!said.contains("no benign device"), "{said}");
}

/// Of what a replay in `auto` did, through the recording gateway; at least so many devices were quarantined.
pub fn restricts_nobody_benign(out: &Path, at_least: u64) {
    let store = out;
    let quarantined = &score_card(store)["would_quarantine"];
    assert_eq!(quarantined["benign_devices"], 0, "{quarantined}");
    assert!(quarantined["incident_devices"].as_u64().unwrap() >= at_least, "{quarantined}");
    // Done, not only decided: read back from the gateway, and undone when its time was over.
    let verified = "select count(distinct action_id) from actions where level = 'quarantine' and state = 'verified'";
    assert!(count(store, verified) >= at_least, "{} were verified", count(store, verified));
    let held = "select count(*) from (select action_id from actions where level = 'quarantine' group by action_id \
                having bool_or(state = 'releasing') and not bool_or(state = 'released'))";
    assert_eq!(count(store, held), 0, "a release that did not end");
    // Any level that restricts, judged from the findings once more.
    let said = succeed(&["playbooks", "test", "--store", text(store), "--mode", "auto"]);
    assert!(said.contains("restricted: no benign device\n"), "{said}");
    let restricted = said.lines().find(|line| line.ends_with("in a labelled incident of theirs")).expect(&said);
    let devices: u64 = restricted.split(' ').nth(1).unwrap().parse().unwrap();
    assert!(devices >= at_least, "{said}");
}
