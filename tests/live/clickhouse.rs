//! Several processes, one ClickHouse: what a replay into files gives, they give together.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::kafka::{Broker, are_there, terminate};
use super::one_truth::{Replayed, Site, prepare, replayed_demo, site};
use super::vedette::{Service, free_address, query, succeed, text};

/// ClickHouse's engine behind its HTTP interface; it ends with the test.
pub struct Engine {
    child: Child,
    address: String,
    control: String,
}

impl Engine {
    pub fn start(folder: &Path) -> Engine {
        let mut child = Command::new("python3")
            .args(["tests/services/clickhouse.py", "--port", "0", "--control-port", "0", "--dir", text(folder)])
            .args(["--users", "writer:secret,reader:other:readonly"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 starts the engine");
        let mut line = String::new();
        let mut output = BufReader::new(child.stdout.take().expect("its output is a pipe"));
        output.read_line(&mut line).expect("the engine says where it listens");
        let words: Vec<&str> = line.split_whitespace().collect();
        let [.., address, _, _, control] = words.as_slice() else { panic!("`{line}`") };
        Engine { child, address: (*address).to_owned(), control: (*control).to_owned() }
    }

    /// Rows of a question, as the read-only user.
    pub fn query(&self, sql: &str) -> Vec<Value> {
        let body = format!("{sql} FORMAT JSONEachRow");
        let mut stream = std::net::TcpStream::connect(&self.address).expect("the engine listens");
        write!(
            stream,
            "POST /?output_format_json_quote_64bit_integers=0 HTTP/1.0\r\nX-ClickHouse-User: reader\r\n\
             X-ClickHouse-Key: other\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .expect("the engine reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("the engine answers");
        let (head, body) = answer.split_once("\r\n\r\n").expect("an answer has a head");
        assert!(head.contains(" 200 "), "{sql}: {answer}");
        body.lines().map(|line| serde_json::from_str(line).expect("a row is JSON")).collect()
    }

    /// Makes something go wrong, as tests/services/faults.py names it.
    pub fn fault(&self, what: &str) {
        let mut stream = std::net::TcpStream::connect(&self.control).expect("the control port listens");
        writeln!(stream, "{what}").expect("the control port reads");
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).expect("the control port answers");
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        terminate(&self.child);
        let _ = self.child.wait();
    }
}

/// The site's configuration with the engine as its store; one of its own for each process.
pub fn configured(site: &Site, engine: &Engine, number: usize) -> Service {
    let admin = free_address();
    let toml = std::fs::read_to_string(&site.config).expect("the site has a configuration");
    // A killed one is not started again here: its lanes go to the others.
    let toml = toml.replace(&site.admin, &admin).replace("instance = \"one\"", "instance = \"\"");
    let path = site.folder.path().join(format!("process-{number}.toml"));
    std::fs::write(&path, with_engine(&toml, site, engine)).expect("it is written");
    Service::start(&path, "route,judge,act", &site.folder.path().join(format!("log-{number}")), &admin)
}

pub fn with_engine(toml: &str, site: &Site, engine: &Engine) -> String {
    let secret = site.folder.path().join("secret");
    std::fs::write(&secret, "secret\n").expect("the secret is written");
    format!(
        "{toml}[store.clickhouse]\nurl = \"http://{}\"\nuser = \"writer\"\npassword = {{ file = \"{}\" }}\nmigrate = true\n\
         [store.clickhouse.keep_days]\nwindows = 36500\ncontacts = 36500\nevidence = 36500\nfindings = 36500\n\
         rejected = 36500\nrollups = 36500\n",
        engine.address,
        secret.display()
    )
}

#[test]
fn three_processes_into_clickhouse_give_what_a_replay_gives() {
    if !are_there("three processes into ClickHouse") {
        return;
    }
    let replayed = replayed_demo();
    let broker = Broker::start(&[]);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let engine = Engine::start(folder.path());
    let (_site, mut services) = three(&broker, &replayed, &engine);
    // What a server refuses now and then, and what it does without telling.
    engine.fault("500:3@insert,cut:2@insert,cut-after:3@insert,exception-in-200:2@insert,full:2@insert");
    let demo = replayed.data("demo.toml");
    succeed(&["feed", text(&demo), "--brokers", &broker.bootstrap, "--speed", "0", "--key", "none", "--quiet"]);
    wait_closed(&mut services, 4, replayed.through);
    services.iter_mut().for_each(Service::stop);
    demand_the_same_there(&replayed, &engine);
}

/// Three processes; one is killed, one sleeps past its session and wakes up again.
#[test]
fn a_process_that_slept_through_losing_its_place_harms_nothing() {
    if !are_there("a process that sleeps") {
        return;
    }
    let replayed = replayed_demo();
    let broker = Broker::start(&[]);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let engine = Engine::start(folder.path());
    let (site, mut services) = three(&broker, &replayed, &engine);
    let (demo, bootstrap) = (replayed.data("demo.toml"), broker.bootstrap.clone());
    let feed = std::thread::spawn(move || {
        succeed(&["feed", text(&demo), "--brokers", &bootstrap, "--speed", "9000", "--quiet"]);
    });
    std::thread::sleep(Duration::from_secs(8));
    services[1].signal("STOP");
    services[2].kill();
    std::thread::sleep(Duration::from_secs(12));
    services[1].signal("CONT");
    feed.join().expect("the set was fed");
    services.remove(2);
    wait_closed(&mut services, 4, replayed.through);
    services.iter_mut().for_each(Service::stop);
    demand_the_same_there(&replayed, &engine);
    drop(site);
}

/// Topics, tables, baselines, and three processes with all roles.
fn three(broker: &Broker, replayed: &Replayed, engine: &Engine) -> (Site, Vec<Service>) {
    let mut site = site(broker, replayed, 4);
    let toml = std::fs::read_to_string(&site.config).expect("the site has a configuration");
    std::fs::write(&site.config, with_engine(&toml, &site, engine)).expect("it is written");
    prepare(&site, replayed, 3);
    site.config = site.folder.path().join("base.toml");
    std::fs::write(&site.config, toml).expect("it is written");
    let services = (0..3).map(|number| configured(&site, engine, number)).collect();
    (site, services)
}

#[track_caller]
pub fn demand_the_same_there(replayed: &Replayed, engine: &Engine) {
    let windows = "device_id, count(*) as windows, sum(records) as records from";
    same(
        &query(&replayed.store, &format!("select {windows} windows group by 1 order by 1")),
        &engine.query(&format!("select {windows} vedette.windows group by 1 order by 1")),
    );
    let findings = "finding_id, device_id, kind, severity, explanation, incident_id from";
    same(
        &query(&replayed.store, &format!("select {findings} findings order by finding_id")),
        &engine.query(&format!("select {findings} vedette.findings order by finding_id")),
    );
    let hours = engine.query("select sum(windows) as windows from vedette.windows_1h");
    let all = engine.query("select count(*) as windows from vedette.windows");
    assert_eq!(hours, all, "roll-ups count every window once");
}

#[track_caller]
fn same(replayed: &[Value], live: &[Value]) {
    assert!(!replayed.is_empty());
    for (expected, found) in replayed.iter().zip(live) {
        assert_eq!(expected, found);
    }
    assert_eq!(replayed.len(), live.len());
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
