//! `act` is killed, fifty times, just after something was written to the journal, so that each pair of neighbouring
//! transitions is met; now and then it is put to sleep instead and wakes up when another acts. In the end journal, table and
//! gateway say the same.
//!
//! Real are Kafka, ClickHouse's engine, Mosquitto with dynamic security and the process that acts; the lanes' part is the
//! test's, which writes findings as a lane does, one device each, all the time. People are too: they approve, deny, leave
//! unanswered and release, by the topic of commands.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use fleet::{Confidence, EventTime, Finding, FindingKind, Scope, Severity, State};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message as _;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use responders::book::Book;
use responders::journal::entry::{Body, Command, Entry, Request};
use responders::journal::sign::Signer;
use serde_json::json;

use super::agreement::{demand_agreement, pairs_met};
use super::mosquitto::{ADMINISTRATOR, BRIDGE, Mosquitto, PASSWORD, is_there};
use crate::breakage::kills::{Chance, kills};
use crate::cases::site::Site;
use crate::cases::stream::{SECOND, Sender, now, to};
use crate::engine::{Engine, with_engine};
use crate::kafka::{Broker, are_there};
use crate::vedette::{Service, succeed, text};

/// What is waited for before a kill, in turns.
const TARGETS: [State; 7] = [
    State::Proposed,
    State::Approved,
    State::Applying,
    State::Applied,
    State::Verified,
    State::Releasing,
    State::Released,
];
/// A life in which that does not come.
const LONGEST: Duration = Duration::from_secs(12);
/// Between what was waited for and the kill, at most, milliseconds: two transitions are some 20 apart; and of every third life.
const SOON: u64 = 40;
const LATER: u64 = 1_500;
const PACE: Duration = Duration::from_millis(900);
/// One of so many is not killed but put to sleep, and may do what it can for so long when it wakes up.
const SLEEPS: u64 = 10;
const AWAKE: Duration = Duration::from_millis(1_500);
const NAME: &str = "kills";
/// A playbook of each type of device: who is held for seconds, who has to be approved, and who is held to the end.
const PLAYBOOKS: [(&str, &str); 3] = [
    ("camera", "mode = \"auto\"\n[[step]]\nlevel = \"quarantine\"\nttl = \"4s\"\n"),
    (
        "lock",
        "mode = \"approve\"\n[approval]\nask = [\"soc\"]\nwithin = \"8s\"\n[[step]]\nlevel = \"quarantine\"\nttl = \"4s\"\n",
    ),
    ("valve", "mode = \"auto\"\n[[step]]\nlevel = \"quarantine\"\nttl = \"1h\"\n"),
];

fn type_of(number: usize) -> &'static str {
    match number % 10 {
        0 => "valve",
        1..=3 => "lock",
        _ => "camera",
    }
}

fn name(number: usize) -> String {
    format!("device-{number:04}")
}

#[test]
fn killed_between_two_transitions_journal_table_and_gateway_agree() {
    let what = "kills between transitions";
    if !are_there(what) || !is_there(what) {
        return;
    }
    let kills = kills();
    let mut chance = Chance::drawn();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (kafka, engine, mosquitto) = (Broker::start(&[]), Engine::start(folder.path()), Mosquitto::start());
    // More than are found while it is killed.
    let devices = kills as usize * 7 + 60;
    let site = site(&kafka, &engine, &mosquitto, folder.path(), devices);
    let journal = Journal::follow(&kafka.bootstrap);
    let mut act = site.start_roles("act");
    let feed = Feed::start(&kafka.bootstrap, devices);
    let mut in_vain = 0;
    for number in 0..kills {
        let target = TARGETS[number as usize % TARGETS.len()];
        in_vain += u64::from(!journal.wait_for(target));
        let within = if number % 3 == 2 { LATER } else { SOON };
        std::thread::sleep(Duration::from_millis(chance.below(within)));
        assert!(act.is_running(), "it ended by itself:\n{}", act.said());
        if number % SLEEPS != SLEEPS - 1 {
            act.kill();
            act = site.start_roles("act");
            continue;
        }
        // It sleeps in the midst of it, and wakes up when another has its place.
        act.signal("STOP");
        let mut sleeper = std::mem::replace(&mut act, site.start_roles("act"));
        in_vain += u64::from(!journal.wait_for(target));
        sleeper.signal("CONT");
        std::thread::sleep(AWAKE);
        sleeper.kill();
    }
    let found = feed.end();
    journal.wait_until_settled(found, &mut act);
    all_rows_are_there(&journal, &engine, &mut act);
    act.stop();

    let entries = journal.end();
    let met = pairs_met(&entries);
    eprintln!(
        "{kills} kills, {in_vain} of them without what was waited for; {found} devices; between which transitions:"
    );
    met.iter().for_each(|((from, to), times)| eprintln!("{times:6} {from} -> {to}"));
    let least = if kills >= 30 { 6 } else { 3 };
    assert!(met.len() >= least, "only {} pairs of transitions were met, expected {least}", met.len());
    demand_agreement(&entries, &site, &engine, &mosquitto);
    all_is_signed(&entries, &site, &folder.path().join("journal.key"));
}

/// By every process with the one key; the last one said goodbye, and signed before.
fn all_is_signed(entries: &[Entry], site: &Site, key: &Path) {
    let key = Signer::open(key).expect("the first process made it").public_key();
    let told = succeed(&["audit", "verify", "--config", text(&site.config), "--key", &key]);
    let last = entries.last().map_or(0, |entry| entry.seq);
    let signed = format!("signed through entry {}\n", last - 1);
    assert!(told.contains(&format!(": {last} entries, ")) && told.contains(&signed), "{last}: {told}");
}

fn site(kafka: &Broker, engine: &Engine, mosquitto: &Mosquitto, folder: &Path, devices: usize) -> Site {
    let path = |name: &str| folder.join(name);
    let names: Vec<String> = (0..devices).map(name).collect();
    let client = |name: &String| json!({ "command": "createClient", "username": name, "password": PASSWORD });
    mosquitto.control(&names.iter().map(client).collect::<Vec<_>>());
    std::fs::create_dir(path("playbooks")).expect("a folder is made");
    for (of, rest) in PLAYBOOKS {
        let when = format!("kind = 'compromise' and scope = 'device' and device_type = '{of}'");
        let toml = format!("id = \"{of}\"\ntitle = \"Of a {of}\"\nwhen = \"{when}\"\n{rest}");
        std::fs::write(path(&format!("playbooks/{of}.toml")), toml).expect("the playbook is written");
    }
    // Short: whoever begins waits for what the one before knew, and for its calls.
    let toml = format!(
        "[[source.kafka.topics]]\nname = \"{NAME}.raw\"\nformat = \"native-json\"\nlive = true\nlateness_seconds = 2\n\
         [responders]\nmode = \"auto\"\nplaybooks = \"{}\"\nlease_seconds = 1\nrecheck_seconds = 20\n\
         signing_key = \"{}\"\n\
         [responders.caps]\ntype_devices = {devices}\nsite_devices = {devices}\ngateway_devices = {devices}\n\
         hour_devices = {devices}\nfleet_share = 1.0\n\
         [gateways.broker]\nkind = \"mosquitto\"\nmode = \"auto\"\nurl = \"mqtts://localhost:{}\"\ntime_limit_seconds = 2\n\
         username = \"{ADMINISTRATOR}\"\npassword = {{ file = \"{}\" }}\ntls = {{ ca = \"{}\" }}\nown = [\"{BRIDGE}\"]\n",
        text(&path("playbooks")),
        text(&path("journal.key")),
        mosquitto.port,
        text(&mosquitto.password()),
        text(&mosquitto.ca()),
    );
    let toml = with_engine(&toml, folder, engine);
    let mut site = Site::new(kafka, NAME, &[], "", "instance = \"one\"", &toml);
    site.replace("readings_partitions = 2", "readings_partitions = 1");
    let mut inventory = "device_id,device_type,client_id,username,site,gateway\n".to_owned();
    for (number, id) in names.iter().enumerate() {
        writeln!(inventory, "{id},{},{id},{id},hall,broker", type_of(number)).expect("a text takes it");
    }
    std::fs::write(site.folder.path().join("inventory.csv"), inventory).expect("the inventory is written");
    site.create_topics(1);
    site
}

/// The mirror is behind the journal.
fn all_rows_are_there(journal: &Journal, engine: &Engine, act: &mut Service) {
    let is_row = |entry: &&Entry| matches!(entry.body, Body::Proposed(_) | Body::Moved(_) | Body::Noted(_));
    let expected = journal.entries().iter().filter(is_row).count() as u64;
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        let rows = engine.query("SELECT count() AS rows FROM actions")[0]["rows"].as_u64();
        if rows >= Some(expected) {
            return;
        }
        assert!(Instant::now() < until, "{rows:?} of {expected} rows:\n{}", act.said());
        assert!(act.is_running(), "it ended:\n{}", act.said());
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// What a lane would tell: a finding after the other, of a device each.
struct Feed {
    ends: Arc<AtomicBool>,
    thread: JoinHandle<usize>,
}

impl Feed {
    fn start(bootstrap: &str, devices: usize) -> Feed {
        let ends: Arc<AtomicBool> = Arc::default();
        let (sender, ended) = (Sender::new(bootstrap, &[]), Arc::clone(&ends));
        let topic = format!("{NAME}.findings");
        let thread = std::thread::spawn(move || {
            let mut found = 0;
            while !ended.load(Ordering::Relaxed) && found < devices {
                let through = EventTime(now());
                // As src/live/message.rs has it.
                let step = json!({
                    "version": 2, "lane": 0, "first_tick": through, "through": through, "part": 0, "parts": 1,
                    "findings": [finding(found, through)], "devices": [],
                });
                sender.send(to(&topic, 0, &step.to_string()));
                sender.flush();
                found += 1;
                std::thread::sleep(PACE);
            }
            found
        });
        Feed { ends, thread }
    }

    /// How many were told.
    fn end(self) -> usize {
        self.ends.store(true, Ordering::Relaxed);
        self.thread.join().expect("it does not fail")
    }
}

fn finding(number: usize, at: EventTime) -> Finding {
    let device = name(number);
    Finding {
        finding_id: format!("finding of {device}"),
        incident_id: format!("incident of {device}"),
        scope: Scope::Device,
        devices: vec![device.as_str().into()],
        device_id: device.into(),
        device_type: type_of(number).into(),
        kind: FindingKind::Compromise,
        severity: Severity::High,
        confidence: Confidence::Ready,
        score: 40.0,
        line: 20.0,
        p_value: 1e-9,
        detectors: Vec::new(),
        technique: "T1498".into(),
        emitted_at: at,
        window_start: at.plus_seconds(-10),
        window_end: at.plus_seconds(-5),
        baseline_version: 1,
        reasons: Vec::new(),
        explanation: "told by a test".to_owned(),
    }
}

/// The journal as it is written, and the people who answer to it.
struct Journal {
    entries: Arc<Mutex<Vec<Entry>>>,
    /// Where the next life begins to be looked at.
    seen: AtomicUsize,
    ends: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Journal {
    fn follow(bootstrap: &str) -> Journal {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", bootstrap).set("group.id", "who-watches").set("enable.auto.commit", "false");
        config.set("isolation.level", "read_committed").set("fetch.wait.max.ms", "10");
        let consumer: BaseConsumer = config.create().expect("a consumer");
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&format!("{NAME}.journal"), 0, Offset::Beginning).expect("an offset");
        consumer.assign(&list).expect("a partition to read");
        let (entries, ends): (Arc<Mutex<Vec<Entry>>>, Arc<AtomicBool>) = Default::default();
        let (written, ended) = (Arc::clone(&entries), Arc::clone(&ends));
        let mut people = People { sender: Sender::new(bootstrap, &[]), devices: BTreeMap::new() };
        let thread = std::thread::spawn(move || {
            while !ended.load(Ordering::Relaxed) {
                let Some(record) = consumer.poll(Duration::from_millis(50)) else { continue };
                let record = record.expect("the journal can be read");
                let line = std::str::from_utf8(record.payload().unwrap_or_default()).expect("entries are UTF-8");
                let entry: Entry = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
                people.read(&entry);
                written.lock().expect("nobody panics with it").push(entry);
            }
        });
        Journal { entries, seen: AtomicUsize::new(0), ends, thread }
    }

    fn entries(&self) -> Vec<Entry> {
        self.entries.lock().expect("nobody panics with it").clone()
    }

    /// Whether an action came to the state, in the life that is looked at.
    fn wait_for(&self, state: State) -> bool {
        let until = Instant::now() + LONGEST;
        let mut from = self.seen.load(Ordering::Relaxed);
        let is_it = |entry: &Entry| match &entry.body {
            Body::Proposed(_) => state == State::Proposed,
            Body::Moved(moved) => moved.to == state,
            _ => false,
        };
        let mut has_begun = false;
        loop {
            let is_there = {
                let entries = self.entries.lock().expect("nobody panics with it");
                // What the one before wrote may come to be seen after it was killed.
                if !has_begun
                    && let Some(at) = entries[from..].iter().position(|entry| matches!(entry.body, Body::Began(_)))
                {
                    (has_begun, from) = (true, from + at);
                }
                has_begun && entries[from..].iter().any(is_it)
            };
            if is_there || Instant::now() > until {
                self.seen.store(from + usize::from(has_begun), Ordering::Relaxed);
                return is_there;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Until every device has its action, and nothing more is to come of any.
    fn wait_until_settled(&self, found: usize, act: &mut Service) {
        let until = Instant::now() + Duration::from_secs(120);
        loop {
            let mut book = Book::default();
            self.entries().iter().for_each(|entry| book.fold(entry));
            let waiting: Vec<_> = book.open().filter(|action| action.state != State::Verified).collect();
            let short = book.open().filter(|action| action.proposal.device_type != "valve").count();
            if book.actions().count() >= found && waiting.is_empty() && short == 0 {
                return;
            }
            assert!(Instant::now() < until, "of {found} these do not settle: {waiting:#?}\n{}", act.said());
            assert!(act.is_running(), "it ended:\n{}", act.said());
            std::thread::sleep(Duration::from_millis(500));
        }
    }

    /// All that was written, the last words included.
    fn end(self) -> Vec<Entry> {
        let until = Instant::now() + Duration::from_secs(20);
        while !matches!(self.entries().last(), Some(Entry { body: Body::Ended(_), .. })) {
            assert!(Instant::now() < until, "it did not say goodbye");
            std::thread::sleep(Duration::from_millis(50));
        }
        self.ends.store(true, Ordering::Relaxed);
        self.thread.join().expect("the journal was read");
        std::mem::take(&mut *self.entries.lock().expect("nobody panics with it"))
    }
}

/// They answer once, to whatever process there is.
struct People {
    sender: Sender,
    /// By action: its number and type.
    devices: BTreeMap<String, (usize, String)>,
}

impl People {
    fn read(&mut self, entry: &Entry) {
        match &entry.body {
            Body::Proposed(proposal) => {
                let id = proposal.action_id.clone();
                let number = proposal.device_id.trim_start_matches("device-").parse().expect("devices have numbers");
                self.devices.insert(id.clone(), (number, proposal.device_type.to_string()));
                if proposal.device_type == "lock" {
                    match number / 10 % 4 {
                        // Nobody has time.
                        0 if number % 10 == 1 => {}
                        1 if number % 10 == 1 => {
                            self.ask("deny", &id, Command::Deny { action_id: id.clone(), reason: "no".to_owned() });
                        }
                        _ => self.ask("approve", &id, Command::Approve { action_id: id.clone() }),
                    }
                }
            }
            Body::Moved(moved) if moved.to == State::Verified => {
                let id = moved.action_id.clone();
                let is_released = self.devices.get(&id).is_some_and(|(number, of)| of == "camera" && number % 3 == 0);
                if is_released {
                    self.ask("release", &id, Command::Release { action_id: id.clone(), reason: "fine".to_owned() });
                }
            }
            _ => {}
        }
    }

    fn ask(&self, what: &str, action: &str, command: Command) {
        let issued_at = EventTime(now());
        let deadline = EventTime(issued_at.0 + 60 * SECOND);
        let request = Request {
            command_id: format!("{what} {action}"),
            by: "soc".into(),
            issued_at,
            deadline,
            note: String::new(),
            command,
        };
        let mut sent = serde_json::to_value(&request).expect("a request is JSON");
        sent["kind"] = json!("command");
        self.sender.send(to(&format!("{NAME}.commands"), 0, &sent.to_string()));
        self.sender.flush();
    }
}
