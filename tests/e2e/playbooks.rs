//! `vedette playbooks`: what is wrong with them, what they would have done, and to CACAO and back.

use std::path::{Path, PathBuf};

use crate::support::{fail, scanned, succeed, text, vedette};

const HELD: &str = r#"id = "held"
title = "Hold it"
when = "kind = 'compromise' and scope = 'device' and severity_rank >= 2"

[except]
roles = ["scanner"]

[approval]
ask = ["soc"]
within = "20m"
levels = ["disable"]

[[step]]
level = "notify"

[[step]]
level = "quarantine"
ttl = "2h"
then = "stop"
escalate = { after = 1, within = "1d", level = "disable", ttl = "12h" }
"#;

/// A folder of one playbook.
fn playbook(folder: &Path, name: &str, toml: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::create_dir(&path).unwrap();
    std::fs::write(path.join("held.toml"), toml).unwrap();
    path
}

/// That the caret of a message stands under this word of the line above it.
#[track_caller]
fn marks(told: &str, word: &str) {
    let lines: Vec<&str> = told.lines().collect();
    let caret = lines.iter().position(|line| line.contains('^')).unwrap_or_else(|| panic!("no caret: {told}"));
    let place = lines[caret].find('^').unwrap();
    assert!(lines[caret - 1][place..].starts_with(word), "{told}");
}

#[test]
fn a_mistake_is_shown_where_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let wrong = playbook(folder.path(), "when", &HELD.replace("severity_rank", "severty_rank"));
    let told = fail(&["playbooks", "check", text(&wrong)], 2);
    assert!(told.contains("held.toml:3: `when` of playbook `held`"), "{told}");
    assert!(
        told.contains("column `severty_rank` is unknown") && told.contains("did you mean `severity_rank`?"),
        "{told}"
    );
    marks(&told, "severty_rank");

    let wrong = playbook(folder.path(), "level", &HELD.replace("level = \"quarantine\"", "level = \"quarantin\""));
    let told = fail(&["playbooks", "check", text(&wrong)], 2);
    assert!(told.contains("held.toml:17:9: ") && told.contains("`quarantine`"), "{told}");
    marks(&told, "\"quarantin\"");

    // That one file cannot be read at all hides nothing of another.
    std::fs::write(wrong.join("other.toml"), HELD.replace("severity_rank", "severty_rank").replace("held", "other"))
        .unwrap();
    let told = fail(&["playbooks", "check", text(&wrong)], 2);
    assert!(told.contains("held.toml:17:9: ") && told.contains("other.toml:3: `when` of"), "{told}");

    let wrong = playbook(
        folder.path(),
        "no-condition",
        &HELD.replace(" >= 2", " + 2").replace("kind = 'compromise' and scope = 'device' and ", ""),
    );
    let told = fail(&["playbooks", "check", text(&wrong)], 2);
    assert!(told.contains("expected a condition"), "{told}");
    // Nor are wrong ones tried on history.
    let told = fail(&["playbooks", "test", text(&wrong), "--store", text(folder.path())], 2);
    assert!(told.contains("expected a condition"), "{told}");
    let told = fail(&["playbooks", "check", text(&folder.path().join("nowhere"))], 2);
    assert!(told.contains("nowhere") && told.contains("name a folder of playbooks"), "{told}");
}

#[test]
fn what_no_gateway_of_the_configuration_can_give_is_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    playbook(folder.path(), "mine", HELD);
    let config = folder.path().join("vedette.toml");
    let check = |levels: &[&str]| {
        let abilities: Vec<String> =
            levels.iter().map(|level| format!("{{ level = \"{level}\", keys = [\"mac\"] }}")).collect();
        let toml = format!(
            "[responders]\nplaybooks = \"mine\"\n[gateways.own]\nkind = \"webhook\"\nurl = \"http://127.0.0.1:9/\"\n\
             secret = {{ file = \"secret\" }}\nabilities = [{}]\n\
             [[responders.tell]]\nkind = \"file\"\nname = \"siem\"\npath = \"events.jsonl\"\n",
            abilities.join(", ")
        );
        std::fs::write(&config, toml).unwrap();
        succeed(&["playbooks", "check", "--config", text(&config)])
    };
    std::fs::write(folder.path().join("secret"), "long enough to be one").unwrap();
    let told = check(&["quarantine"]);
    assert!(told.contains("warning: playbook `held` asks for disable, which no gateway can give\n"), "{told}");
    assert_eq!(told.matches("warning").count(), 1, "{told}");
    assert!(!check(&["quarantine", "disable"]).contains("warning"));
    std::fs::write(&config, "[responders]\nplaybooks = \"mine\"\n").unwrap();
    let told = succeed(&["playbooks", "check", "--config", text(&config)]);
    assert!(told.contains("warning: notify (playbooks held) reaches nobody: add a sink"), "{told}");
}

#[test]
fn a_change_of_playbooks_is_shown_by_what_it_does_to_history() {
    let folder = tempfile::tempdir().unwrap();
    let store = scanned(folder.path());
    let now = playbook(folder.path(), "now", HELD);
    let before = playbook(folder.path(), "before", &HELD.replace("\"quarantine\"", "\"throttle\""));
    let test =
        |more: &[&str]| succeed(&[&["playbooks", "test", text(&now), "--store", text(&store)][..], more].concat());

    let told = test(&[]);
    assert!(told.contains("2 actions in mode auto") && told.contains("  1 x notify\n  1 x quarantine\n"), "{told}");
    assert!(
        told.contains("restricted: 1 devices (nothing is labelled here)") && !told.contains("Difference"),
        "{told}"
    );
    assert!(test(&["--mode", "observe"]).contains("would act"));

    let told = test(&["--against", text(&before)]);
    let (_, difference) = told.split_once("\nDifference (-: before, +: now)\n").expect(&told);
    let [gone, new] = difference.lines().collect::<Vec<_>>()[..] else { panic!("{difference}") };
    assert!(
        gone.starts_with("- 2026-03-02 02:1") && gone.ends_with(" lamp-1 throttle for 2h (held): verified"),
        "{gone}"
    );
    assert!(
        new.starts_with("+ 2026-03-02 02:1") && new.ends_with(" lamp-1 quarantine for 2h (held): verified"),
        "{new}"
    );
    assert_eq!(gone[2..22], new[2..22], "at the same time");
    let longer = playbook(folder.path(), "longer", &HELD.replace("ttl = \"2h\"", "ttl = \"1d\""));
    let told = test(&["--against", text(&longer)]);
    assert!(told.contains("quarantine for 1d (held)") && told.contains("quarantine for 2h (held)"), "{told}");
    // One that is not configured here stands for itself.
    let named = HELD.replace("level = \"quarantine\"\n", "level = \"quarantine\"\ngateway = \"broker\"\n");
    let named = playbook(folder.path(), "named", &named);
    let told = succeed(&["playbooks", "test", text(&named), "--store", text(&store)]);
    assert!(told.contains("restricted: 1 devices"), "{told}");
    // What the configured ones cannot give is not done.
    let config = folder.path().join("vedette.toml");
    let toml = "[gateways.doors]\nkind = \"webhook\"\nurl = \"http://127.0.0.1:9/\"\nsecret = { file = \"secret\" }\n\
        abilities = [{ level = \"disable\", keys = [\"mac\"] }]\n";
    std::fs::write(&config, toml).unwrap();
    std::fs::write(folder.path().join("secret"), "long enough to be one").unwrap();
    let told = test(&["--config", text(&config)]);
    assert!(told.contains("restricted: 0 devices"), "{told}");
    // What holds nobody any more.
    let graver = playbook(folder.path(), "graver", &HELD.replace(">= 2", ">= 4"));
    let arguments = ["playbooks", "test", text(&graver), "--store", text(&store), "--against", text(&now)];
    let told = succeed(&arguments);
    let (_, difference) = told.split_once("\nDifference (-: before, +: now)\n").expect(&told);
    assert_eq!(difference.lines().filter(|line| line.starts_with("- ")).count(), 2, "{told}");
    assert!(!difference.contains("\n+ "), "{told}");

    // Another title does nothing else.
    let renamed = playbook(folder.path(), "renamed", &HELD.replace("Hold it", "Hold on"));
    let told = test(&["--against", text(&renamed)]);
    assert!(told.ends_with("\nDifference (-: before, +: now)\nnone\n"), "{told}");

    // To CACAO and back it does the same.
    let there = folder.path().join("there");
    let told = succeed(&["playbooks", "export", text(&now), "--out", text(&there)]);
    assert!(told.contains("not mapped: ") && told.contains("/escalate: "), "{told}");
    let back = playbook(folder.path(), "back", "");
    let file = text(&there.join("held.json")).to_owned();
    let told = fail(&["playbooks", "import", &file, "--out", text(&back.join("held.toml"))], 2);
    assert!(told.contains("held.toml` exists"), "{told}");
    std::fs::remove_file(back.join("held.toml")).unwrap();
    succeed(&["playbooks", "import", &file, "--out", text(&back.join("held.toml"))]);
    assert_eq!(succeed(&["playbooks", "check", text(&back)]), succeed(&["playbooks", "check", text(&now)]));
    let told = test(&["--against", text(&back)]);
    assert!(told.ends_with("\nnone\n"), "{told}");
    let printed = succeed(&["playbooks", "import", &file]);
    assert_eq!(printed, std::fs::read_to_string(back.join("held.toml")).unwrap());
    for kept in ["roles = [\"scanner\"]", "then = \"stop\"", "within = \"1d\"", "ask = [\"soc\"]", "severity_rank >= 2"]
    {
        assert!(printed.contains(kept), "{kept} is missing:\n{printed}");
    }
}

#[test]
fn the_shipped_ones_are_right_there_and_back() {
    let folder = tempfile::tempdir().unwrap();
    let told = succeed(&["playbooks", "check"]);
    assert!(told.contains("\nworm ") && !told.contains("warning"), "{told}");
    assert_eq!(succeed(&["playbooks", "check", "playbooks"]), told, "the folder has those that are shipped");
    let (there, back) = (folder.path().join("there"), folder.path().join("back"));
    succeed(&["playbooks", "export", "--out", text(&there)]);
    std::fs::create_dir(&back).unwrap();
    for entry in std::fs::read_dir(&there).unwrap() {
        let file = entry.unwrap().path();
        let ours = back.join(file.file_stem().unwrap()).with_extension("toml");
        succeed(&["playbooks", "import", text(&file), "--out", text(&ours)]);
    }
    assert_eq!(succeed(&["playbooks", "check", text(&back)]), told);

    let letter = folder.path().join("letter.json");
    std::fs::write(&letter, "Dear CACAO").unwrap();
    let output = vedette(&["playbooks", "import", text(&letter)]);
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(output.stdout.is_empty() && told.contains("letter.json") && told.contains("no JSON"), "{told}");
}
