//! The demo: twice the same, with something to show.

use serde_json::Value;

use crate::support::{score_card, succeed, text};

#[test]
fn the_demo_is_the_same_twice_and_shows_what_it_promises() {
    let folder = tempfile::tempdir().unwrap();
    let mut cards = Vec::new();
    for name in ["one", "two"] {
        let out = folder.path().join(name);
        let said = succeed(&["demo", "--out", text(&out)]);
        assert!(said.contains("One finding in full") && said.contains("Go on from here"), "{said}");
        run_the_suggestions(&said);
        cards.push(without_timing(score_card(&out.join("store"))));
    }
    assert_eq!(cards[0], cards[1]);
    let found = cards[0]["incidents_detected"].as_u64().unwrap();
    let total = cards[0]["incidents_total"].as_u64().unwrap();
    assert!(total >= 9 && found * 10 >= total * 7, "{found} of {total}");
    assert_eq!(cards[0]["would_quarantine"]["benign_devices"], 0);
    assert!(cards[0]["devices"].as_u64().unwrap() >= 200);
}

fn without_timing(mut card: Value) -> Value {
    for field in ["seconds", "readings_per_second"] {
        card.as_object_mut().unwrap().remove(field);
    }
    card
}

/// The demo ends with commands; each works when pasted into a shell.
fn run_the_suggestions(said: &str) {
    let after = said.split("Go on from here").nth(1).unwrap();
    let commands: Vec<&str> = after.lines().filter(|line| line.contains(" --store ")).collect();
    assert!(commands.len() >= 4, "{after}");
    for command in commands {
        let output = std::process::Command::new("sh").args(["-c", command.trim()]).output().unwrap();
        assert!(output.status.success(), "{command}\n{}", String::from_utf8_lossy(&output.stderr));
    }
}
