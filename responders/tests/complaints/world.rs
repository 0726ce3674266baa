//! A small world: a town, its gateways, a journal in a file, a clock the test moves, and a process that can be killed.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use fleet::{
    Confidence, EventTime, Finding, FindingKind, Level, MICROS_PER_SECOND, Mode, Scope, Severity, Sighting, State,
};
use responders::Config;
use responders::book::{Action, Book};
use responders::engine::find::{Plan, action_id};
use responders::engine::{Engine, Post};
use responders::gateways::addresses::EachAddress;
use responders::gateways::{Gateway, Key};
use responders::journal::entry::{Command, Entry, Request};
use responders::journal::file::{FileJournal, look};
use responders::journal::sign::Signer;
use responders::journal::{Journal, JournalError};
use responders::respond::Responding;
use responders::send::{Alone, Gate, Lease, Sender};
use smol_str::SmolStr;
use tempfile::TempDir;

use crate::gateway::Keeper;
use crate::town::Town;

/// When a process is killed: at which write from now, and whether that one still reaches the disk.
pub type Fuse = Arc<Mutex<Option<(u32, bool)>>>;

/// A journal whose process is killed when its fuse has burnt down.
struct Mortal<J> {
    journal: J,
    fuse: Fuse,
    full_after: FullAfter,
}

/// So many writes, and the disk is full.
pub type FullAfter = Arc<Mutex<Option<u32>>>;

impl<J: Journal> Journal for Mortal<J> {
    fn append(&mut self, lines: &[String]) -> Result<(), JournalError> {
        if let Some(left) = self.full_after.lock().expect("nobody panics with it").as_mut() {
            *left = left.checked_sub(1).ok_or_else(|| JournalError::Later("the disk is full".to_owned()))?;
        }
        let mut fuse = self.fuse.lock().expect("nobody panics with it");
        match *fuse {
            Some((0, reaches)) => {
                if reaches {
                    self.journal.append(lines)?;
                }
                Err(JournalError::Lost("killed".to_owned()))
            }
            Some((writes, reaches)) => {
                *fuse = Some((writes - 1, reaches));
                self.journal.append(lines)
            }
            None => self.journal.append(lines),
        }
    }
}

pub struct World {
    pub folder: TempDir,
    pub now: EventTime,
    /// How wrong the clock of the process is, seconds.
    pub skew: i64,
    pub town: Town,
    pub config: Config,
    pub gateways: Vec<Keeper>,
    pub gateway_modes: Vec<Mode>,
    /// By gateway; those that are not here stand for all.
    pub sites: BTreeMap<SmolStr, Vec<SmolStr>>,
    pub fuse: Fuse,
    pub full_after: FullAfter,
    pub in_threads: bool,
    pub lease: Option<Arc<dyn Lease>>,
    life: Option<Responding>,
    commands: AtomicU32,
}

/// A lease the test keeps a hand on.
struct Shared(Arc<dyn Lease>);

impl Lease for Shared {
    fn holds_until(&self) -> Option<Duration> {
        self.0.holds_until()
    }
}

pub const BROKER: &str = "broker";
pub const FIREWALL: &str = "firewall";

impl World {
    /// Mode auto, everything allowed, a broker that goes by client ids and a firewall that goes by addresses.
    pub fn new() -> World {
        let memory = std::path::Path::new("/dev/shm");
        let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        let mut config = Config { mode: Mode::Auto, ..Config::default() };
        (config.caps.type_devices, config.caps.site_devices, config.caps.hour_devices) = (50, 50, 50);
        config.caps.fleet_share = 1.0;
        let broker =
            Keeper::new(BROKER, Key::ClientId, &[Level::Quarantine, Level::Disable, Level::TerminateSession], false);
        let firewall = Keeper::new(FIREWALL, Key::Ip, &[Level::Quarantine, Level::BlockPeers, Level::Throttle], true);
        World {
            folder: folder.expect("a folder"),
            now: EventTime::parse("2026-03-02T08:00:00Z").expect("a time"),
            skew: 0,
            town: Town::with(&[("camera", 8), ("meter", 40)]),
            config,
            gateways: vec![broker, firewall],
            gateway_modes: vec![Mode::Auto; 2],
            sites: BTreeMap::new(),
            fuse: Fuse::default(),
            full_after: FullAfter::default(),
            in_threads: false,
            lease: None,
            life: None,
            commands: AtomicU32::new(0),
        }
    }

    /// With the firewall alone, so that addresses are what counts.
    pub fn of_addresses() -> World {
        let mut world = World::new();
        world.gateways.remove(0);
        world
    }

    pub fn begun(mut self) -> World {
        self.begin();
        self
    }

    pub fn path(&self) -> PathBuf {
        self.folder.path().join("journal.jsonl")
    }

    /// A process begins, with nothing but what the journal says.
    pub fn begin(&mut self) {
        self.try_begin().expect("it begins");
    }

    pub fn try_begin(&mut self) -> Result<(), JournalError> {
        self.life = None;
        let posts = self.gateways.iter().zip(&self.gateway_modes);
        let posts = posts.map(|(keeper, mode)| Post {
            about: keeper.about.clone(),
            mode: *mode,
            sites: self.sites.get(&keeper.about.name).cloned().unwrap_or_default(),
        });
        let mut book = Book::default();
        let (journal, chain) = FileJournal::open(&self.path(), |entry| book.fold(&entry))?;
        assert_eq!(chain, book.chain);
        let mut engine = Engine::new(self.config.clone(), posts.collect());
        engine.book = book;
        let lease: Box<dyn Lease> = match &self.lease {
            Some(lease) => Box::new(Shared(Arc::clone(lease))),
            None => Box::new(Alone),
        };
        let gate = Arc::new(Gate::new(lease, self.config.stop_file.clone()));
        let each = |keeper: &Keeper| Box::new(EachAddress::new(Box::new(keeper.clone()))) as Box<dyn Gateway>;
        let gateways = self.gateways.iter().map(each).collect();
        let sender = if self.in_threads {
            Sender::start(gateways, gate).expect("threads")
        } else {
            Sender::here(gateways, gate)
        };
        let journal =
            Box::new(Mortal { journal, fuse: Arc::clone(&self.fuse), full_after: Arc::clone(&self.full_after) });
        let signer = self.config.signing_key.as_deref().map(|path| Signer::open(path).expect("a key"));
        let owner = Some((self.clock(), "test".to_owned()));
        self.life = Some(Responding::begin(engine, journal, sender, signer, owner)?);
        Ok(())
    }

    /// Nothing is left but the journal, and what stands at the gateways.
    pub fn kill(&mut self) {
        self.life = None;
        *self.fuse.lock().expect("nobody panics with it") = None;
    }

    pub fn refuse_writes_after(&mut self, writes: u32) {
        *self.full_after.lock().expect("nobody panics with it") = Some(writes);
    }

    /// As the process sees it.
    pub fn clock(&self) -> EventTime {
        self.now.plus_seconds(self.skew)
    }

    pub fn life(&mut self) -> &mut Responding {
        self.life.as_mut().expect("a process lives")
    }

    pub fn book(&self) -> &Book {
        self.life.as_ref().expect("a process lives").book()
    }

    pub fn broker(&self) -> &Keeper {
        self.gateways.iter().find(|keeper| keeper.about.name == BROKER).expect("a broker")
    }

    pub fn firewall(&self) -> &Keeper {
        self.gateways.iter().find(|keeper| keeper.about.name == FIREWALL).expect("a firewall")
    }

    pub fn try_turn(&mut self) -> Result<(), JournalError> {
        let now = self.now;
        for keeper in &self.gateways {
            let mut site = keeper.site();
            site.skew = self.skew;
            site.at(now);
        }
        let wait = if self.in_threads { Duration::from_millis(20) } else { Duration::ZERO };
        let clock = self.clock();
        self.life.as_mut().expect("a process lives").turn(clock, wait, &self.town)
    }

    pub fn turn(&mut self) {
        self.try_turn().expect("the journal takes it");
    }

    /// Turns until an action has come so far: gateways in threads take as long as the machine does.
    pub fn turn_until(&mut self, id: &str, state: State) {
        let end = Instant::now() + Duration::from_secs(10);
        self.turn();
        while self.state(id) != state {
            assert!(Instant::now() < end, "`{id}` is {}, not {state}", self.state(id));
            self.turn();
        }
    }

    /// A turn each second.
    pub fn pass(&mut self, seconds: i64) {
        for _ in 0..seconds {
            self.now = self.now.plus_seconds(1);
            self.turn();
        }
    }

    pub fn try_find(&mut self, finding: &Finding, plans: &[Plan]) -> Result<(), JournalError> {
        let device = self.town.devices.get(&finding.device_id).cloned();
        let now = self.clock();
        let life = self.life.as_mut().expect("a process lives");
        life.find(now, finding, device.as_deref(), plans, &self.town)
    }

    pub fn find(&mut self, finding: &Finding, plans: &[Plan]) {
        self.try_find(finding, plans).expect("the journal takes it");
    }

    /// A finding of now, and the turn after it.
    pub fn hit(&mut self, device: &str, plan: &Plan) -> String {
        let finding = self.finding(device);
        self.find(&finding, std::slice::from_ref(plan));
        self.turn();
        action_id(device, &finding.incident_id, plan.level)
    }

    pub fn finding(&self, device: &str) -> Finding {
        let kind = device.split('-').next().unwrap_or_default();
        Finding {
            finding_id: format!("finding {device} {}", self.now.0),
            incident_id: format!("incident {device}"),
            scope: Scope::Device,
            device_id: device.into(),
            devices: vec![device.into()],
            device_type: kind.into(),
            kind: FindingKind::Compromise,
            severity: Severity::High,
            confidence: Confidence::Ready,
            score: 40.0,
            line: 20.0,
            p_value: 1e-9,
            detectors: Vec::new(),
            technique: "T1498".into(),
            emitted_at: self.now,
            window_start: self.now.plus_seconds(-90),
            window_end: self.now.plus_seconds(-30),
            baseline_version: 1,
            reasons: Vec::new(),
            explanation: "test".to_owned(),
        }
    }

    pub fn try_command(&mut self, by: &str, command: Command) -> Result<Option<String>, JournalError> {
        let number = self.commands.fetch_add(1, Ordering::Relaxed);
        let command_id = format!("command {number} {}", self.now.0);
        let now = self.clock();
        let deadline = now.plus_seconds(60);
        let request = Request {
            command_id: command_id.clone(),
            by: by.into(),
            issued_at: now,
            deadline,
            note: String::new(),
            command,
        };
        self.life().command(now, &request, None)?;
        Ok(self.book().outcome(&command_id).expect("it was taken").clone())
    }

    /// Why it was refused, if it was.
    pub fn command(&mut self, by: &str, command: Command) -> Option<String> {
        self.try_command(by, command).expect("the journal takes it")
    }

    pub fn window(&mut self, device: &str, messages: u32) {
        let silent = Sighting::silent(device.into(), self.now.plus_seconds(-60), self.now);
        self.sight(&Sighting { messages, ..silent });
    }

    pub fn sight(&mut self, sighting: &Sighting) {
        let now = self.now;
        self.life().sight(now, sighting).expect("the journal takes it");
        self.turn();
    }

    pub fn action(&self, id: &str) -> Action {
        self.book().action(id).unwrap_or_else(|| panic!("no action `{id}`")).clone()
    }

    pub fn state(&self, id: &str) -> State {
        self.action(id).state
    }

    pub fn entries(&self) -> Vec<Entry> {
        let mut entries = Vec::new();
        look(&self.path(), |entry| entries.push(entry)).expect("the journal verifies");
        entries
    }

    /// Every entry so far, as lines: for counting what was said.
    pub fn text(&self) -> String {
        std::fs::read_to_string(self.path()).expect("the journal is there")
    }
}

pub fn plan(level: Level) -> Plan {
    Plan {
        playbook: "test".into(),
        version: "1".into(),
        mode: Mode::Auto,
        level,
        gateway: None,
        tries_others: true,
        ttl_seconds: Some(4 * 3_600),
        answer_seconds: 600,
        approvals: 1,
        ask: Vec::new(),
        ask_for: Vec::new(),
        stops: false,
        if_still_talking: None,
        talking_ttl_seconds: None,
    }
}

pub fn micros(seconds: i64) -> i64 {
    seconds * MICROS_PER_SECOND
}
