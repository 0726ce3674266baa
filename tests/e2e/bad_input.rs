//! Bad input ends with a message that names the thing and the remedy, or is counted and stepped round.

use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::support::{count, fail, lamp_flows, lamp_set, query, replay, text, vedette, write_descriptor};

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn an_empty_file_is_a_fleet_that_said_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let set = lamp_set(folder.path(), b"", 60);
    let told = notes(&set, &out);
    assert!(told.contains("no reading came of") && told.contains("flows.jsonl"), "{told}");
    assert_eq!(count(&out, "select count(*) from windows"), 0);
}

/// What a replay says on standard error.
#[track_caller]
fn notes(dataset: &Path, out: &Path) -> String {
    let output = vedette(&["replay", text(dataset), "--out", text(out), "--quiet"]);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn what_a_score_card_rests_on_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let lines = lamp_flows(120);
    let told = notes(&lamp_set(folder.path(), lines.as_bytes(), 60), &out);
    assert!(!told.contains("dropped") && !told.contains("rejected") && !told.contains("judged"), "{told}");

    let told = notes(&lamp_set(folder.path(), lines.as_bytes(), 240), &out);
    assert!(told.contains("end before `learn_until`") && told.contains("nothing was judged"), "{told}");

    let told = notes(&lamp_set(folder.path(), lines.as_bytes(), 0), &out);
    assert!(told.contains("nothing was learned before `learn_until`"), "{told}");

    // Long enough that the file does not come as one batch.
    let long = lamp_flows(1500);
    let backwards: Vec<&str> = long.lines().rev().collect();
    let told = notes(&lamp_set(folder.path(), backwards.join("\n").as_bytes(), 60), &out);
    assert!(
        told.contains("of 6000 readings came after their window had closed") && told.contains("`lateness`"),
        "{told}"
    );

    let broken = lines.replacen("\"proto\":\"tcp\"", "\"proto\":", 1).replacen("\"ts\":", "\"when\":", 3);
    let told = notes(&lamp_set(folder.path(), broken.as_bytes(), 60), &out);
    assert!(told.contains("1 rejected, the first at flows.jsonl, line 1: not a JSON object"), "{told}");
    assert!(told.contains("2 rejected, the first at flows.jsonl, line 2: field `ts` is missing"), "{told}");
}

#[test]
fn what_there_was_no_room_for_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("vedette.toml");
    std::fs::write(&config, "[baseline]\nmax_destinations = 1\n[detect]\nmax_episodes_per_device = 1\n").unwrap();
    let three = |line: &str| ["203.0.113.9", "198.51.100.7", "192.0.2.5"].map(|to| line.replace("203.0.113.9", to));
    let lines: Vec<String> = lamp_flows(120).lines().flat_map(three).collect();
    let set = lamp_set(folder.path(), lines.join("\n").as_bytes(), 60);
    let out = folder.path().join("out");
    let output = vedette(&["replay", text(&set), "--out", text(&out), "--config", text(&config), "--quiet"]);
    assert!(output.status.success(), "{output:?}");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("2 known destinations were forgotten, most of type `lamp`"), "{told}");
    assert!(told.contains("destinations were forgotten though devices met them within the day, of `lamp-"), "{told}");
}

#[test]
fn a_truncated_gzip_gives_what_could_be_read_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let whole = gzip(lamp_flows(120).as_bytes());
    let set = lamp_set(folder.path(), &whole[..whole.len() / 2], 30);
    replay(&set, &out, &[]);
    assert!(count(&out, "select count(*) from windows") > 50);
    let rejected = query(&out, "select reason, detail from rejected");
    assert_eq!(rejected.len(), 1, "{rejected:?}");
    assert_eq!(rejected[0]["reason"], "truncated_file");
    assert!(rejected[0]["detail"].as_str().unwrap().contains("flows.jsonl"), "{rejected:?}");
}

#[test]
fn a_table_without_a_needed_column_fails_with_three_examples() {
    let folder = tempfile::tempdir().unwrap();
    let header = "#separator \\x09\n#fields\tts\tuid\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\tproto\n";
    let row = "1772409600.0\tC1\t10.0.0.1\t40000\t203.0.113.9\t443\ttcp\n";
    std::fs::write(folder.path().join("conn.log"), format!("{header}{}", row.repeat(50))).unwrap();
    let set = write_descriptor(folder.path(), "zeek-conn-tsv", "conn.log", 60);
    let message = fail(&["replay", text(&set), "--out", text(&folder.path().join("out"))], 1);
    assert!(message.contains("conn_state") || message.contains("duration"), "{message}");
    assert!(message.matches("conn.log").count() >= 3, "three examples: {message}");
}

#[test]
fn a_clock_in_2099_closes_no_window() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let mut lines = lamp_flows(30);
    lines.push_str(&lamp_flows(1).lines().next().unwrap().replace("1772409607", "4086806407"));
    lines.push('\n');
    let rest = lamp_flows(60);
    lines.push_str(&rest.lines().skip(120).collect::<Vec<_>>().join("\n"));
    replay(&lamp_set(folder.path(), lines.as_bytes(), 20), &out, &[]);
    let rejected = query(&out, "select reason, \"offset\" from rejected");
    assert_eq!(rejected.len(), 1, "{rejected:?}");
    assert_eq!((rejected[0]["reason"].as_str(), rejected[0]["offset"].as_u64()), (Some("clock_ahead"), Some(120)));
    assert_eq!(count(&out, "select sum(records) from windows"), 240, "nothing counts as late");
}

#[test]
fn a_line_that_is_no_record_is_kept_and_the_rest_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let mut lines = lamp_flows(60);
    let nan = lamp_flows(1).lines().next().unwrap().replace("\"duration\":0.5", "\"duration\":NaN");
    lines.push_str(&format!("{nan}\n{{\"ts\":1,\"long\":\"{}\"}}\n", "x".repeat(10_000_000)));
    replay(&lamp_set(folder.path(), lines.as_bytes(), 20), &out, &[]);
    let rejected = query(&out, "select reason, length(sample) as kept from rejected order by \"offset\"");
    assert_eq!(rejected.len(), 2, "{rejected:?}");
    assert_eq!(rejected[1]["reason"], "line_too_long");
    assert_eq!(rejected[1]["kept"], 200);
    assert_eq!(count(&out, "select sum(records) from windows"), 240);
}

#[test]
fn an_unknown_key_is_shown_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let set = lamp_set(folder.path(), b"", 60);
    let toml = std::fs::read_to_string(&set).unwrap().replace("name =", "lateness_minutes = 3\nname =");
    std::fs::write(&set, toml).unwrap();
    let message = fail(&["replay", text(&set), "--out", text(&folder.path().join("out"))], 2);
    assert!(message.contains("lateness_minutes") && message.contains('^'), "{message}");

    let config = folder.path().join("vedette.toml");
    std::fs::write(&config, "[detect]\nbudgett = 3\n").unwrap();
    let set = lamp_set(folder.path(), b"", 60);
    let out = folder.path().join("out");
    let arguments = ["replay", text(&set), "--out", text(&out), "--config", text(&config)];
    let message = fail(&arguments, 2);
    assert!(message.contains("budgett") && message.contains('^'), "{message}");
}

#[test]
fn a_budget_nobody_can_mean_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let set = lamp_set(folder.path(), b"", 60);
    let message = fail(&["replay", text(&set), "--out", text(&folder.path().join("out")), "--budget", "0"], 2);
    assert!(message.contains("`0`") && message.contains("1,000 device-days"), "{message}");
}

#[test]
fn a_folder_that_does_not_exist_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let set = lamp_set(folder.path(), b"", 60);
    let nowhere = folder.path().join("nowhere");
    let out = folder.path().join("out");
    let arguments = ["replay", text(&set), "--path", text(&nowhere), "--out", text(&out)];
    assert!(fail(&arguments, 2).contains(text(&nowhere)));
    assert!(fail(&["findings", "list", "--store", text(&nowhere)], 1).contains(text(&nowhere)));
    replay(&set, &out, &[]);
    let message = fail(&["findings", "list", "--store", text(&out), "--device", "lamp-9"], 2);
    assert!(message.contains("no device `lamp-9`") && message.contains("`lamp-1`"), "{message}");
}

#[test]
fn somebody_elses_folder_is_not_written_to() {
    let folder = tempfile::tempdir().unwrap();
    let set = lamp_set(folder.path(), b"", 60);
    let out = folder.path().join("out");
    std::fs::create_dir(&out).unwrap();
    std::fs::write(out.join("thesis.txt"), "years of work").unwrap();
    let message = fail(&["replay", text(&set), "--out", text(&out)], 1);
    assert!(message.contains("not empty"), "{message}");
    assert_eq!(std::fs::read_to_string(out.join("thesis.txt")).unwrap(), "years of work");
}

/// Folders that use our names for something else: refused by the name of what is in the way, before anything is touched.
#[test]
fn a_strangers_run_or_tables_stay_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let set = lamp_set(folder.path(), b"", 60);
    let strangers = [
        ("run.json", "{\"marathon\": 42}", "run.json`", 2),
        ("manifest.json", "{\"name\": \"a web page\"}", "`manifest.json`", 1),
        ("tables/mine/kitchen.txt", "oak", "`tables/mine`", 1),
        ("tables", "of multiplication", "`tables`", 1),
    ];
    for (number, (name, content, named, code)) in strangers.into_iter().enumerate() {
        let out = folder.path().join(format!("out-{number}"));
        let path = out.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        let message = fail(&["replay", text(&set), "--out", text(&out)], code);
        assert!(message.contains(named) && message.contains("--out"), "{message}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), content);
        assert_eq!(std::fs::read_dir(&out).unwrap().count(), 1, "nothing was added to {name}");
    }
    let store = folder.path().join("store");
    replay(&set, &store, &[]);
    std::fs::write(store.join("plans.tmp"), "ours").unwrap();
    std::fs::write(store.join("tables/.DS_Store"), "a file manager's").unwrap();
    replay(&set, &store, &[]);
    assert!(store.join("plans.tmp").exists(), "starting over removes what a replay wrote and nothing else");
    std::fs::create_dir(store.join("tables/mine")).unwrap();
    fail(&["replay", text(&set), "--out", text(&store)], 1);
    let complete = || std::fs::read_to_string(store.join("run.json")).unwrap().contains("\"complete\"");
    assert!(complete(), "who is refused changes nothing");
    std::fs::remove_dir(store.join("tables/mine")).unwrap();
    let devices = folder.path().join("devices.csv");
    let inventory = std::fs::read(&devices).unwrap();
    std::fs::write(&devices, "serial\n1\n").unwrap();
    fail(&["replay", text(&set), "--out", text(&store)], 2);
    assert!(complete(), "nor does a data set that cannot be read");
    std::fs::write(&devices, inventory).unwrap();
    std::fs::write(store.join("manifest.json"), "{").unwrap();
    replay(&set, &store, &[]);
    assert!(complete(), "a replay's own store is started over, however damaged");

    let file = folder.path().join("file");
    std::fs::write(&file, "a letter").unwrap();
    let message = fail(&["replay", text(&set), "--out", text(&file)], 1);
    assert!(message.contains("is a file, expected a folder"), "{message}");
}

/// `ulimit -f` stands for the disk: a write beyond it is refused as one to a full disk is.
#[cfg(unix)]
#[test]
fn a_full_disk_is_said_and_leaves_no_half_table() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let set = lamp_set(folder.path(), lamp_flows(600).as_bytes(), 30);
    let script = format!(
        "trap '' XFSZ; ulimit -f 4; exec '{}' replay '{}' --out '{}' --quiet",
        env!("CARGO_BIN_EXE_vedette"),
        set.display(),
        out.display()
    );
    let output = std::process::Command::new("bash").args(["-c", &script]).output().unwrap();
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(message.contains(text(&out)) && message.contains("choose another `--out`"), "{message}");
    replay(&set, &out, &[]);
    assert_eq!(count(&out, "select sum(records) from windows"), 2400);
}
