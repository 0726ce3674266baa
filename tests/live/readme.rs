//! The README's section "Go live", word by word: what it says is typed as it stands there, in its order, into terminals of a
//! folder that has nothing but the program.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::kafka::{Broker, are_there};
use super::vedette::{Service, free_address, mortal, output, query};

/// How each command begins, but for what every terminal begins with and the service itself, and what it is to say.
const PROMISED: &[(&str, &str)] = &[
    ("vedette demo", "One finding in full"),
    ("vedette topics create ", "made vedette.raw"),
    ("vedette check ", "all is well"),
    ("vedette baselines pin 1 ", "baseline version 1 holds from 2026-03-05"),
    ("vedette feed ", "records to `vedette.raw`"),
    ("vedette findings list ", "compromise"),
    ("curl ", "\"closed_through\""),
    ("vedette baselines train ", "baseline version 2: "),
    ("vedette baselines list ", "in force"),
    ("vedette baselines diff 1 2 ", "From version 1 to 2, "),
    ("vedette baselines pin 2 ", "baseline version 2 holds from 20"),
    ("vedette baselines rollback ", "baseline version 1 holds from 20"),
];
/// Of a readings log that is made without saying how many.
const LANES: usize = 4;

#[test]
fn going_live_goes_as_the_readme_says() {
    if !are_there("going live as the README says") {
        return;
    }
    let broker = Broker::start(&[]);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (folder, admin) = (folder.path(), free_address());
    let built = folder.join("target/release");
    std::fs::create_dir_all(&built).expect("the folder is made");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_vedette"), built.join("vedette")).expect("the program is linked");
    let readme = std::fs::read_to_string("README.md").expect("it is there");
    let (_, section) = readme.split_once("\n## Go live\n").expect("README.md has the section");
    let mut section = section.split("\n## ").next().unwrap_or_default().to_owned();
    // An hour a second would take a minute and a half.
    let replaced = [
        ("127.0.0.1:9092", broker.bootstrap.as_str()),
        ("127.0.0.1:9464", admin.as_str()),
        ("--speed 3600", "--speed 36000"),
    ];
    for (from, to) in replaced {
        assert!(section.contains(from), "`{from}` is not in the section any more");
        section = section.replace(from, to);
    }
    let blocks = section.split("```").skip(1).step_by(2);
    let (files, typed): (Vec<&str>, Vec<&str>) = blocks.partition(|block| block.trim_start().starts_with('['));
    let [configuration] = files[..] else { panic!("expected one configuration: {files:?}") };
    // `train` waits until `act` has committed.
    let configuration = format!("{configuration}admin = \"{admin}\"\nmemory_seconds = 2\n");
    std::fs::write(folder.join("vedette.toml"), configuration).expect("the configuration is written");

    let (mut every_terminal, mut service, mut promised) = (String::new(), None, PROMISED.iter());
    for command in typed.iter().flat_map(|block| block.lines()).filter(|line| !line.is_empty()) {
        if command.starts_with("export ") {
            every_terminal.push_str(&format!("{command}\n"));
            continue;
        }
        let shell = shell(folder, &every_terminal, command);
        if command.starts_with("vedette run ") {
            service = Some(Service::of(shell, &folder.join("log"), &admin));
            continue;
        }
        let (begins, says) = promised.next().unwrap_or_else(|| panic!("what is `{command}` to say?"));
        assert!(command.starts_with(begins), "`{command}`, expected `{begins}`");
        let output = output(shell);
        let (said, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        let log = || service.as_ref().map(Service::said).unwrap_or_default();
        assert!(output.status.success(), "`{command}` ended with {}:\n{said}{errors}\n{}", output.status, log());
        assert!(said.contains(says), "`{command}` does not say `{says}`:\n{said}{errors}\n{}", log());
        if command.starts_with("vedette feed ") {
            let service = service.as_mut().expect("the service runs before it is fed");
            service.wait_closed(LANES, end_of_demo(folder), Duration::from_secs(120));
        }
    }
    assert_eq!(promised.next(), None, "not in the section any more");
    service.expect("the service was started").stop();
}

/// A line typed into a terminal of the folder; the shell becomes the program, and so ends with it.
fn shell(folder: &Path, every_terminal: &str, command: &str) -> Command {
    let mut shell = mortal(&[], "sh");
    shell.args(["-ec", &format!("{every_terminal}exec {command}")]).current_dir(folder);
    shell
}

/// Microseconds, of its last window.
fn end_of_demo(folder: &Path) -> i64 {
    let last = "select cast(max(window_end) as bigint) as through from windows";
    query(&folder.join("out-demo/store"), last)[0]["through"].as_i64().expect("windows were closed")
}
