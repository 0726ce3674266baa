//! Several processes, one ClickHouse: what a replay into files gives, they give together.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::breakage::records::{Bench, Options, now};
use super::engine::{Engine, with_engine};
use super::kafka::{Broker, are_there};
use super::one_truth::{OF_ACT, QUESTIONS, Replayed, Site, comparable, feed, prepare, replayed_demo, site, site_named};
use super::tables::slt::time;
use super::vedette::{Feed, Service, free_address, query, succeed, text, until};

/// The site's configuration with the engine as its store; one of its own for each process.
pub fn configured(site: &Site, engine: &Engine, number: usize) -> Service {
    let admin = free_address();
    let toml = std::fs::read_to_string(&site.config).expect("the site has a configuration");
    // A killed one is not started again here: its lanes go to the others.
    let toml = toml.replace(&site.admin, &admin).replace("instance = \"one\"", "instance = \"\"");
    let path = site.folder.path().join(format!("process-{number}.toml"));
    std::fs::write(&path, with_engine(&toml, site.folder.path(), engine)).expect("it is written");
    Service::start(&path, "route,judge,act", &site.folder.path().join(format!("log-{number}")), &admin)
}

#[test]
fn three_processes_into_clickhouse_give_what_a_replay_gives() {
    if !are_there("three processes into ClickHouse") {
        return;
    }
    let replayed = replayed_demo();
    let broker = Broker::start(&[]);
    // Of one lane, two stand by.
    for (name, lanes) in [("four", 4), ("one", 1)] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let engine = Engine::start(folder.path());
        let (_site, mut services) = three(&broker, replayed, &engine, name, lanes);
        // What a server refuses now and then, and what it does without telling.
        engine.fault("500:3@insert,cut:2@insert,cut-after:3@insert,exception-in-200:2@insert,full:2@insert");
        feed(&broker, replayed, name, "none");
        wait_closed(&mut services, usize::from(lanes), replayed.through);
        wait_for_findings(&replayed.store, &engine);
        services.iter_mut().for_each(Service::stop);
        demand_the_same_there(replayed, &engine);
    }
}

/// Three processes; one is killed, one sleeps until its lanes are another's and wakes up again.
#[test]
fn a_process_that_slept_through_losing_its_place_harms_nothing() {
    if !are_there("a process that sleeps") {
        return;
    }
    let replayed = replayed_demo();
    let broker = Broker::start(&[]);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let engine = Engine::start(folder.path());
    let (site, mut services) = three(&broker, replayed, &engine, "vedette", 4);
    let demo = replayed.data("demo.toml");
    let feed = Feed::start(&[text(&demo), "--brokers", &broker.bootstrap, "--speed", "9000", "--quiet"]);
    std::thread::sleep(Duration::from_secs(8));
    until(&mut services[1], "lanes of its own", |service| service.lanes_begun() > 0);
    services[1].signal("STOP");
    services[2].kill();
    until(&mut services[0], "the lanes of all three", |service| service.lanes_begun() == 4);
    services[1].signal("CONT");
    feed.join();
    services.remove(2);
    wait_closed(&mut services, 4, replayed.through);
    wait_for_findings(&replayed.store, &engine);
    services.iter_mut().for_each(Service::stop);
    demand_the_same_there(replayed, &engine);
    drop(site);
}

/// Lanes ask the store for what they remember. One that does not answer must not cost the process its place in the group: half
/// of eight lanes come to it, and waiting for them one after the other would take longer than it may be without polling.
#[test]
fn lanes_begin_while_the_store_hangs() {
    if !are_there("lanes that begin while the store hangs") {
        return;
    }
    let broker = Broker::start(&[]);
    let data = tempfile::tempdir().expect("a temporary folder");
    let engine = Engine::start(data.path());
    let bench = Bench::new(
        &broker,
        &Options {
            inventory: "pump-1,pump,pump-1",
            raw_partitions: 1,
            lanes: 8,
            window_seconds: 5,
            lateness_seconds: 1,
            live: true,
            memory_seconds: 1,
            store: None,
        },
    );
    let toml = impatient(&bench.config, bench.folder.path(), &engine);
    let mut first = Service::start(&bench.config, "route,judge,act", &bench.log(), &bench.admin);
    let begin = (now() * 1e6) as i64;
    first.wait_closed(8, begin, Duration::from_secs(120));

    let (admin, config) = (free_address(), bench.folder.path().join("second.toml"));
    let toml = toml.replace(&bench.admin, &admin).replace("instance = \"one\"", "instance = \"two\"");
    std::fs::write(&config, toml).expect("it is written");
    let mut second = Service::start(&config, "judge", &bench.folder.path().join("log-second"), &admin);
    let began = |said: &str| said.matches("lane begins").count();
    second.wait_until("half of the lanes begin", Duration::from_secs(60), |said| began(said) >= 4);
    engine.fault("hang@query");
    first.kill();
    second.wait_until("the others cannot begin", Duration::from_secs(60), |said| said.contains("cannot begin"));
    std::thread::sleep(Duration::from_secs(15));
    engine.fault("ok");
    second.wait_until("all lanes have begun", Duration::from_secs(60), |said| began(said) >= 8);
    let said = second.said();
    second.stop();
    assert!(!said.contains("max.poll.interval.ms"), "it lost its place in the group:\n{said}");
}

/// Act takes what was found when the store hangs already, and for longer than it may be without polling. Lanes have another
/// store.
#[test]
fn act_keeps_its_place_while_the_store_hangs() {
    if !are_there("act while the store hangs") {
        return;
    }
    let replayed = replayed_demo();
    let broker = Broker::start(&[]);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let engine = Engine::start(folder.path());
    let site = site(&broker, replayed, 2);
    prepare(&site, replayed, 1);
    let log = |name: &str| site.folder.path().join(name);
    let mut judging = Service::start(&site.config, "route,judge", &log("log"), &site.admin);
    feed(&broker, replayed, "vedette", "device");
    judging.wait_closed(2, replayed.through, Duration::from_secs(240));
    judging.stop();

    impatient(&site.config, site.folder.path(), &engine);
    succeed(&["migrate", "--config", text(&site.config)]);
    engine.fault("hang@insert");
    let mut acting = Service::start(&site.config, "act", &log("log-act"), &site.admin);
    // One line for all who wait, which names the first of them: the findings, or the journal's mirror.
    acting.wait_until_said("trying until it works", Duration::from_secs(60));
    std::thread::sleep(Duration::from_secs(15));
    engine.fault("ok");
    wait_for_findings(&replayed.store, &engine);
    // The journal's mirror tries again in its own time.
    wait_for_rows(&replayed.store, &engine, "actions");
    let said = acting.said();
    acting.stop();
    assert!(!said.contains("max.poll.interval.ms"), "it lost its place in the group:\n{said}");
    assert_eq!(said.matches("act begins").count(), 1, "it began again:\n{said}");
    demand_answers(replayed, &engine, &OF_ACT);
}

/// A configuration, from now on with the engine as its store, whose members may be away for 10 s, and wait 4 s for an answer
/// of the store.
fn impatient(config: &Path, folder: &Path, engine: &Engine) -> String {
    let properties = "[source.kafka.properties]\n";
    let toml = std::fs::read_to_string(config).expect("there is a configuration");
    let toml = with_engine(&toml, folder, engine)
        .replace("migrate = true", "migrate = true\ntimeout_seconds = 4")
        .replace(properties, &format!("{properties}\"max.poll.interval.ms\" = \"10000\"\n"));
    std::fs::write(config, &toml).expect("it is written");
    toml
}

/// Topics, tables, baselines, and three processes with all roles.
pub fn three(broker: &Broker, replayed: &Replayed, engine: &Engine, name: &str, lanes: u16) -> (Site, Vec<Service>) {
    let mut site = site_named(broker, replayed, lanes, name);
    let toml = std::fs::read_to_string(&site.config).expect("the site has a configuration");
    std::fs::write(&site.config, with_engine(&toml, site.folder.path(), engine)).expect("it is written");
    prepare(&site, replayed, 3);
    site.config = site.folder.path().join("base.toml");
    std::fs::write(&site.config, toml).expect("it is written");
    let services = (0..3).map(|number| configured(&site, engine, number)).collect();
    (site, services)
}

/// What `act` answers comes after the last window is closed.
#[track_caller]
pub fn wait_for_findings(replayed: &Path, engine: &Engine) {
    wait_for_rows(replayed, engine, "findings");
}

fn wait_for_rows(replayed: &Path, engine: &Engine, table: &str) {
    let expected = query(replayed, &format!("select cast(count(*) as bigint) as n from {table}"))[0]["n"].as_u64();
    let until = Instant::now() + Duration::from_secs(60);
    while engine.query(&format!("select count(*) as n from vedette.{table}"))[0]["n"].as_u64() != expected {
        assert!(Instant::now() < until, "not all rows of `{table}` were stored within a minute");
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[track_caller]
pub fn demand_the_same_there(replayed: &Replayed, engine: &Engine) {
    demand_answers(replayed, engine, &QUESTIONS);
    let hours = engine.query("select sum(windows) as windows from vedette.windows_1h");
    let all = engine.query("select count(*) as windows from vedette.windows");
    assert_eq!(hours, all, "roll-ups count every window once");
}

#[track_caller]
fn demand_answers(replayed: &Replayed, engine: &Engine, questions: &[&str]) {
    for sql in questions {
        let [expected, found] = [query(&replayed.store, sql), engine.query(sql)].map(comparable);
        same(sql, &leveled(&expected), &leveled(&found));
    }
}

/// Rows as both stores would write them: times alike, and every number as a float.
fn leveled(rows: &[Value]) -> Vec<Value> {
    let is_time = |text: &str| text.len() >= 19 && text.as_bytes()[4] == b'-' && text.as_bytes()[13] == b':';
    let cell = |cell: &Value| match cell {
        Value::Number(number) => number.as_f64().map_or(Value::Null, Value::from),
        Value::String(text) if is_time(text) => Value::from(time(text)),
        other => other.clone(),
    };
    let row = |row: &Value| -> Value {
        row.as_object().into_iter().flatten().map(|(name, value)| (name.clone(), cell(value))).collect()
    };
    rows.iter().map(row).collect()
}

#[track_caller]
fn same(sql: &str, replayed: &[Value], live: &[Value]) {
    assert!(!replayed.is_empty(), "{sql}");
    let missing: Vec<&Value> = replayed.iter().filter(|row| !live.contains(row)).take(20).collect();
    let surplus: Vec<&Value> = live.iter().filter(|row| !replayed.contains(row)).take(20).collect();
    let differ = !missing.is_empty() || !surplus.is_empty();
    assert!(!differ, "{sql}\nmissing: {missing:#?}\nnot in the replay: {surplus:#?}");
    assert_eq!(replayed.len(), live.len(), "{sql}: rows stand twice");
}

/// Waits until the lanes of all processes together have closed everything.
#[track_caller]
pub fn wait_closed(services: &mut [Service], lanes: usize, through: i64) {
    let until = Instant::now() + Duration::from_secs(300);
    let mut last = Vec::new();
    while Instant::now() < until {
        last.clear();
        for service in services.iter_mut() {
            assert!(service.is_running(), "a process ended:\n{}", service.said());
            let readiness = service.readiness().unwrap_or_default();
            last.extend(readiness["lanes"].as_array().cloned().unwrap_or_default());
        }
        let closed = last.iter().filter(|lane| lane["closed_through"].as_i64().is_some_and(|at| at >= through));
        if closed.count() == lanes {
            return;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    let logs: Vec<String> = services.iter().map(Service::said).collect();
    panic!("not all lanes closed {through} in time: {last:#?}\n{}", logs.join("\n---\n"));
}
