//! New versions of the baselines in a running system: on request and on schedule, in the embedded store and in ClickHouse.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::engine::Engine;
use super::kafka::{Broker, are_there};
use super::one_truth::{Replayed, Site, prepare, replayed_demo, site_named};
use super::vedette::{Service, get, query, succeed, text, vedette};

/// After everything the demo has.
const NEVER: &str = "4000000000000000";

/// One set, fed once, to three systems: in the embedded store, in ClickHouse, and one that never judged, so that nothing of
/// its attacks is known.
#[test]
fn versions_are_trained_compared_pinned_rolled_back_and_held_back() {
    if !are_there("the trainer") {
        return;
    }
    let replayed = replayed_demo();
    let broker = Broker::start(&[]);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let engine = Engine::start(folder.path());
    let embedded = system(&broker, replayed, "embedded", |toml| toml);
    let clickhouse = system(&broker, replayed, "clickhouse", |toml| toml);
    clickhouse.keep_in(&engine);
    let blind = system(&broker, replayed, "blind", |toml| judged_from(toml, NEVER));
    let sites = [&embedded, &clickhouse, &blind];
    let mut services = Vec::new();
    for site in sites {
        prepare(site, replayed, 3);
        services.push(start(site));
    }
    feed(&broker, replayed, "0");
    for service in &mut services {
        service.wait_closed(2, replayed.through, Duration::from_secs(300));
    }

    the_same_windows_give_the_replays_version(&embedded, replayed);
    let said = an_incident_is_not_learned(&embedded);
    the_present_can_be_changed(&embedded);
    let mut of_blind = services.pop().expect("three were started");
    of_blind.stop();
    services.push(a_poisoned_history_is_held_back_on_schedule(&blind));
    a_poisoned_history_is_held_back(&blind, replayed);

    train(&clickhouse, &["--until", &learned_until(replayed), "--no-announce"]);
    let [there, here] = [&clickhouse, &embedded].map(|site| baselines(site, &["show", "thermostat", "--version", "2"]));
    assert_eq!(there, here, "both stores give the same version");
    let there = train(&clickhouse, &["--no-announce"]);
    assert_eq!(but_devices(&there), but_devices(&said), "and leave out the same, and find the same again");
    services.iter_mut().for_each(Service::stop);
}

/// What was said, without how many devices there were: the row of one that nobody knew comes with the next memory.
fn but_devices(said: &str) -> String {
    match (said.find(" windows of "), said.find(" devices, ")) {
        (Some(from), Some(to)) if from < to => format!("{}{}", &said[..from], &said[to..]),
        _ => panic!("no devices in `{said}`"),
    }
}

/// A replay learned from these windows; so is a version trained by command, to the last bit.
fn the_same_windows_give_the_replays_version(site: &Site, replayed: &Replayed) {
    let until = learned_until(replayed);
    let said = train(site, &["--until", &until, "--no-announce"]);
    assert!(said.starts_with("baseline version 2: "), "{said}");
    let store = site.folder.path().join("store");
    let (first, second) = (bodies(&replayed.store, 1), bodies(&store, 2));
    assert!(first.len() > 5, "{}", first.len());
    for (first, second) in first.iter().zip(&second) {
        assert_eq!(first, second);
    }
    assert_eq!(first.len(), second.len());
    let said = baselines(site, &["diff", "1", "2"]);
    assert!(said.contains("says the same of all"), "{said}");
}

/// Everything until now, less what was found; gives what was said.
fn an_incident_is_not_learned(site: &Site) -> String {
    let said = train(site, &["--no-announce"]);
    eprintln!("{said}");
    assert!(
        said.starts_with("baseline version 3: ") && said.contains("in findings and incidents were left out"),
        "{said}"
    );
    assert!(said.contains("findings by version 1"), "{said}");
    assert!(!said.contains("held back"), "a fleet with some incidents in it teaches nothing wrong: {said}");
    let store = site.folder.path().join("store");
    let left_out: Vec<String> = bodies(&store, 3).iter().map(|body| body["left_out"].to_string()).collect();
    assert!(left_out.iter().any(|reasons| reasons.contains("in an incident (compromise)")), "{left_out:?}");
    assert!(left_out.iter().any(|reasons| reasons.contains("in a change of the whole group")), "{left_out:?}");
    let compared = baselines(site, &["diff", "1", "3"]);
    eprintln!("{compared}");
    assert!(compared.contains("From version 1 to 3, ") && compared.contains("instead of"), "{compared}");
    said
}

fn the_present_can_be_changed(site: &Site) {
    let refused = vedette(&["baselines", "pin", "99", "--config", text(&site.config)]);
    assert_eq!(refused.status.code(), Some(2), "{}", String::from_utf8_lossy(&refused.stderr));
    let state = |version: u32| version_line(site, version);
    assert!(state(1).contains("in force"), "{}", state(1));
    assert!(succeed(&["baselines", "pin", "3", "--config", text(&site.config)]).contains("version 3 holds from 20"));
    assert!(state(3).contains("announced, holds from"), "{}", state(3));
    let back = succeed(&["baselines", "rollback", "--config", text(&site.config)]);
    assert!(back.contains("version 1 holds from"), "{back}");
    assert!(state(1).contains("in force"), "{}", state(1));
    let forth = succeed(&["baselines", "rollback", "--config", text(&site.config)]);
    assert!(forth.contains("version 3 holds from"), "{forth}");
}

/// Nobody judged the day with the attacks: what is learned from it alone takes them for normal, and finds a fifth more elsewhere,
/// for which this site holds it back. Its last full hour is the first that the schedule sees.
fn a_poisoned_history_is_held_back_on_schedule(site: &Site) -> Service {
    let toml = std::fs::read_to_string(&site.config).expect("the site has a configuration");
    let toml = toml + "[trainer]\nevery_hours = 1\nlearn_days = 1\nmin_days = 0\nhold_back_factor = 1.1\n";
    std::fs::write(&site.config, toml).expect("the configuration is written");
    let mut service = start(site);
    let words = "new baselines are held back";
    service.wait_until_said(words, Duration::from_secs(120));
    let said = service.said();
    let line = said.lines().find(|line| line.contains(words)).expect("it was said");
    assert!(line.contains(" WARN ") && line.contains("it would have raised"), "{line}");
    assert!(line.contains("version=2") && line.contains("version 1 would have raised"), "{line}");
    let metrics = get(&site.admin, "/metrics").expect("the service answers");
    let learned = |outcome: &str| {
        let is_it = |line: &&str| line.starts_with("vedette_baselines_learned_total{") && line.contains(outcome);
        metrics.lines().find(is_it).map(str::to_owned)
    };
    assert!(learned("outcome=\"held_back\"").is_some_and(|line| line.ends_with(" 1")), "{metrics}");
    assert_eq!(learned("outcome=\"announced\""), None);
    let (first, second) = (version_line(site, 1), version_line(site, 2));
    assert!(second.contains("schedule") && second.contains("held back"), "{second}");
    assert!(first.contains("in force"), "nothing was announced: {first}");
    service
}

/// The same by command.
fn a_poisoned_history_is_held_back(site: &Site, replayed: &Replayed) {
    let said = train(site, &["--from", &learned_until(replayed)]);
    eprintln!("{said}{}", baselines(site, &["list"]));
    assert!(said.contains("held back: it would have raised") && !said.contains("it holds from"), "{said}");
    assert!(version_line(site, 3).contains("held back"), "{}", baselines(site, &["list"]));
    assert!(baselines(site, &["list"]).contains("version 3 was held back: it would have raised"));
    assert!(version_line(site, 1).contains("in force"), "nothing was announced");
    let pinned = succeed(&["baselines", "pin", "3", "--config", text(&site.config)]);
    assert!(pinned.contains("version 3 holds from"), "a person may think otherwise: {pinned}");
}

/// The first lane's owner learns at midnight, from the second day on; every lane changes at the same window.
#[test]
fn a_version_is_learned_on_schedule_and_holds_from_one_window_on() {
    if !are_there("the trainer's schedule") {
        return;
    }
    let replayed = replayed_demo();
    let broker = Broker::start(&[]);
    let site = system(&broker, replayed, "scheduled", |toml| {
        judged_from(toml, "0") + "[trainer]\nevery_hours = 24\nmin_days = 1\n"
    });
    succeed(&["topics", "create", "--config", text(&site.config), "--raw-partitions", "3"]);
    let mut service = start(&site);
    feed(&broker, replayed, "4800");
    service.wait_closed(2, replayed.through, Duration::from_secs(240));
    let store = site.folder.path().join("store");
    let until = Instant::now() + Duration::from_secs(120);
    while learned(&store).len() < 2 && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(500));
    }
    let metrics = get(&site.admin, "/metrics").expect("the service answers");
    service.stop();
    let said = service.said();
    for learned in ["vedette_baselines_learned_total{", "vedette_training_seconds_count"] {
        assert!(metrics.contains(learned), "{metrics}");
    }
    assert!(metrics.contains("vedette_baseline_in_force{"), "{metrics}");
    let list = baselines(&site, &["list"]);
    assert!(list.contains("schedule") && list.contains("in force since"), "{list}\n{said}");
    let midnights = learned(&store);
    assert!(midnights.len() >= 2 && midnights.iter().all(|until| until.contains("T00:00:00")), "{midnights:?}");
    // A version has a line of its own: in no minute are there two.
    let mixed = query(
        &store,
        "select window_end, count(distinct line) as lines from windows group by 1 having count(distinct line) > 1",
    );
    assert!(mixed.is_empty(), "{mixed:?}\n{list}\n{said}");
    let lines = query(&store, "select distinct line from windows");
    assert!(lines.len() >= 2, "a version came into force while windows closed: {lines:?}\n{list}\n{said}");
}

fn learned(store: &std::path::Path) -> Vec<String> {
    let rows = query(
        store,
        "select distinct cast(from_time as varchar) as until from baselines where device_type = '' and segment = '' order by 1",
    );
    rows.iter().map(|row| row["until"].as_str().expect("a time").to_owned()).collect()
}

fn system(broker: &Broker, replayed: &Replayed, name: &str, changed: impl FnOnce(String) -> String) -> Site {
    let site = site_named(broker, replayed, 2, name);
    let toml = std::fs::read_to_string(&site.config).expect("the site has a configuration");
    let shared = toml.replace(&format!("\"{name}.raw\""), "\"shared.raw\"");
    assert_ne!(shared, toml);
    std::fs::write(&site.config, changed(shared)).expect("the configuration is written");
    site
}

fn judged_from(toml: String, time: &str) -> String {
    let line = |line: &str| {
        if line.starts_with("judge_from") { format!("judge_from = {time}\n") } else { format!("{line}\n") }
    };
    toml.lines().map(line).collect()
}

fn start(site: &Site) -> Service {
    Service::start(&site.config, "route,judge,act", &site.folder.path().join("log"), &site.admin)
}

fn feed(broker: &Broker, replayed: &Replayed, speed: &str) {
    let demo = replayed.data("demo.toml");
    let to = ["--brokers", &broker.bootstrap, "--topic", "shared.raw", "--speed", speed, "--quiet"];
    succeed(&[&["feed", text(&demo)], to.as_slice()].concat());
}

#[track_caller]
fn train(site: &Site, more: &[&str]) -> String {
    succeed(&[&["baselines", "train", "--config", text(&site.config)], more].concat())
}

#[track_caller]
fn baselines(site: &Site, command: &[&str]) -> String {
    succeed(&[&["baselines"], command, &["--config", text(&site.config)]].concat())
}

/// What `list` says of where a version stands.
#[track_caller]
fn version_line(site: &Site, version: u32) -> String {
    let list = baselines(site, &["list"]);
    let (_, versions) = list.rsplit_once("learned until (UTC)").expect("a table of versions");
    let line = versions.lines().find(|line| line.trim_start().starts_with(&format!("{version} ")));
    line.unwrap_or_else(|| panic!("no version {version}: {list}")).to_owned()
}

/// Of each type, and last of all types together; how the version came about is left out.
fn bodies(store: &std::path::Path, version: u32) -> Vec<Value> {
    let sql = format!(
        "select body from baselines where version = {version} and segment <> 'announced' order by device_type desc, segment"
    );
    let body = |row: &Value| {
        let mut body: Value = serde_json::from_str(row["body"].as_str().expect("a text")).expect("a body is JSON");
        body.as_object_mut().expect("an object").remove("training");
        body
    };
    query(store, &sql).iter().map(body).collect()
}

/// Until when the replay learned, as an operator writes it.
fn learned_until(replayed: &Replayed) -> String {
    let rows = query(&replayed.store, "select cast(min(from_time) as varchar) as t from baselines");
    rows[0]["t"].as_str().expect("a time").to_owned()
}
