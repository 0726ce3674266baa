//! A server with a token of each role, a desk in memory, and HTTP by hand, so that tests send exactly what they mean to.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use fleet::{EventTime, FindingKind, Level, Mode, Severity, State};
use responders::api::command::{Verdict, VerdictPreview, VerdictScope};
use responders::api::server::Clock;
use responders::api::views::{
    ActionDetail, ActionFilter, ActionView, Actions, GatewayHealth, Health, IncidentDetail, IncidentFilter,
    IncidentStats, IncidentView, Incidents, JournalHead, ModeView, PlaybookView, Playbooks, Spread, StatsFilter,
    Transition, VerdictFilter, VerdictView, Verdicts,
};
use responders::api::{ApiConfig, Asked, Call, Command, CommandOutcome, Desk, Refusal, Server};
use responders::rights::{Moment, Role, file};
use serde_json::Value;

pub const NOW: &str = "2026-01-01T00:00:00Z";
pub const ACTION: &str = "act:pump-7/quarantine";

pub fn at(text: &str) -> EventTime {
    EventTime::parse(text).unwrap()
}

/// Answers with fixed views, and remembers calls and commands.
#[derive(Default)]
pub struct MemoryDesk {
    pub calls: Mutex<Vec<Call>>,
    pub commands: Mutex<Vec<(Asked, Command)>>,
    pub filters: Mutex<Vec<String>>,
    /// How long each answer takes.
    pub takes: Mutex<Duration>,
    /// What is looked at waits until this is no more so; not for ever, for the server's end waits for it.
    pub holds: AtomicBool,
    /// Commands that came here, answered or not.
    pub begun: AtomicUsize,
    pub cannot_record: Mutex<bool>,
}

impl MemoryDesk {
    fn read<T>(&self, asked: &impl std::fmt::Debug, answer: T) -> Result<T, Refusal> {
        self.filters.lock().unwrap().push(format!("{asked:?}"));
        let end = Instant::now() + Duration::from_secs(30);
        while self.holds.load(Ordering::SeqCst) && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(5));
        }
        std::thread::sleep(*self.takes.lock().unwrap());
        Ok(answer)
    }

    pub fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }

    pub fn commands(&self) -> Vec<(Asked, Command)> {
        self.commands.lock().unwrap().clone()
    }
}

pub fn action() -> ActionView {
    ActionView {
        action_id: ACTION.to_owned(),
        incident_id: "inc-1".to_owned(),
        finding_id: "fin-1".to_owned(),
        device_id: "pump-7".to_owned(),
        device_type: "pump".to_owned(),
        site: Some("north".to_owned()),
        level: Level::Quarantine,
        mode: Mode::Approve,
        state: State::Proposed,
        gateway: Some("broker".to_owned()),
        playbook: Some("isolate".to_owned()),
        reason: "asks".to_owned(),
        decided_at: Moment(at(NOW)),
        changed_at: Moment(at(NOW)),
        until: None,
        answer_by: Some(Moment(at("2026-01-01T00:15:00Z"))),
        approved_by: Vec::new(),
        approvals_missing: 1,
    }
}

fn incident() -> IncidentView {
    IncidentView {
        incident_id: "inc-1".to_owned(),
        device_id: "pump-7".to_owned(),
        device_type: "pump".to_owned(),
        site: None,
        kind: FindingKind::Compromise,
        severity: Severity::High,
        opened_at: Moment(at(NOW)),
        open: Some(true),
        closed_at: None,
        findings: 3,
        kept_back: 1,
        seconds_to_detect: Some(61.5),
        seconds_to_isolate: None,
        verdict: None,
    }
}

impl Desk for MemoryDesk {
    fn actions(&self, filter: &ActionFilter) -> Result<Actions, Refusal> {
        self.read(filter, Actions { actions: vec![action()], next: Some("2".to_owned()) })
    }

    fn action(&self, action_id: &str) -> Result<ActionDetail, Refusal> {
        if action_id != ACTION {
            return Err(Refusal::not_found(format!("there is no action `{action_id}`"), "list them"));
        }
        let history = vec![Transition {
            entry: 4,
            at: Moment(at(NOW)),
            state: State::Proposed,
            by: None,
            reason: "asks".to_owned(),
        }];
        self.read(&action_id, ActionDetail { action: action(), history })
    }

    fn incidents(&self, filter: &IncidentFilter) -> Result<Incidents, Refusal> {
        self.read(filter, Incidents { incidents: vec![incident()], next: None })
    }

    fn incident(&self, incident_id: &str) -> Result<IncidentDetail, Refusal> {
        let detail = IncidentDetail {
            incident: incident(),
            explanation: "it calls home".to_owned(),
            finding_ids: vec!["fin-1".to_owned()],
            actions: vec![action()],
        };
        self.read(&incident_id, detail)
    }

    fn incident_stats(&self, filter: &StatsFilter) -> Result<IncidentStats, Refusal> {
        let isolate = Spread { count: 2, p50: Some(0.4), p95: Some(1.2) };
        self.read(filter, IncidentStats { incidents: 3, isolated: 2, isolate, ..IncidentStats::default() })
    }

    fn verdicts(&self, filter: &VerdictFilter) -> Result<Verdicts, Refusal> {
        let verdict = VerdictView {
            incident_id: "inc-0".to_owned(),
            finding_id: None,
            device_id: "pump-7".to_owned(),
            verdict: Verdict::BenignChange,
            scope: VerdictScope::DeviceType,
            applies_to: Some("pump".to_owned()),
            kept_back: 4,
            note: String::new(),
            by: "the-analyst".to_owned(),
            at: Moment(at(NOW)),
            expires: Some(Moment(at("2026-02-01T00:00:00Z"))),
        };
        self.read(filter, Verdicts { verdicts: vec![verdict], next: None })
    }

    fn playbooks(&self) -> Result<Playbooks, Refusal> {
        let playbook = PlaybookView {
            id: "isolate".to_owned(),
            title: "Isolate".to_owned(),
            mode: Mode::Observe,
            version: "1".to_owned(),
        };
        self.read(&(), Playbooks { playbooks: vec![playbook] })
    }

    fn mode(&self) -> Result<ModeView, Refusal> {
        let gateways = BTreeMap::from([("broker".to_owned(), Mode::Auto)]);
        self.read(&(), ModeView { global: Mode::Approve, gateways, ..ModeView::default() })
    }

    fn health(&self) -> Result<Health, Refusal> {
        let journal = JournalHead { entry: 9, hash: "00".repeat(32), at: Moment(at(NOW)), signed: Some(8) };
        let broker =
            GatewayHealth { name: "broker".to_owned(), left_alone: Some(false), queued: Some(1), last_failure: None };
        let owner = Some("act-1 4711".to_owned());
        self.read(&(), Health { owner, journal: Some(journal), gateways: vec![broker], waiting: 1 })
    }

    fn command(&self, asked: &Asked, command: &Command) -> Result<CommandOutcome, Refusal> {
        self.begun.fetch_add(1, Ordering::SeqCst);
        std::thread::sleep(*self.takes.lock().unwrap());
        let mut commands = self.commands.lock().unwrap();
        let before = |(other, _): &(Asked, Command)| asked.idempotency_key.is_some() && other == asked;
        if let Some(entry) = commands.iter().position(before) {
            let entry = Some(entry as u64);
            return Ok(CommandOutcome { entry, repeated: true, ..CommandOutcome::default() });
        }
        if matches!(command, Command::Deny { action_id, .. } if action_id == "late") {
            return Err(Refusal::conflict("`late` is expired, not proposed", "nothing is to be done"));
        }
        if let Command::Verdict(request) = command
            && request.preview
        {
            let preview = VerdictPreview {
                since: Moment(at("2025-12-02T00:00:00Z")),
                until: Moment(at(NOW)),
                findings: 12,
                incidents: 3,
                devices: 2,
                hides_true_incidents: vec!["inc-0".to_owned()],
            };
            let message = "a preview".to_owned();
            return Ok(CommandOutcome { message, preview: Some(preview), ..CommandOutcome::default() });
        }
        commands.push((asked.clone(), command.clone()));
        let entry = Some(commands.len() as u64 - 1);
        Ok(CommandOutcome { entry, message: "taken".to_owned(), ..CommandOutcome::default() })
    }

    fn record_call(&self, call: &Call) -> Result<(), Refusal> {
        if *self.cannot_record.lock().unwrap() {
            return Err(Refusal::unavailable("the journal is full", "make room"));
        }
        self.calls.lock().unwrap().push(call.clone());
        Ok(())
    }
}

/// A server, and whatever tests need to speak with it.
pub struct Site {
    pub server: Server,
    pub desk: Arc<MemoryDesk>,
    pub tokens: PathBuf,
    /// By role.
    pub texts: BTreeMap<Role, String>,
    pub now: Arc<AtomicI64>,
    pub folder: tempfile::TempDir,
}

pub fn clock(now: &Arc<AtomicI64>) -> Clock {
    let now = Arc::clone(now);
    Arc::new(move || EventTime(now.load(Ordering::SeqCst)))
}

/// Named after their roles.
pub fn tokens_of_all_roles(path: &Path) -> BTreeMap<Role, String> {
    let make = |role: Role| {
        let (text, _) = file::create(path, &format!("the-{role}"), role, file::DEFAULT_LIFE, at(NOW)).unwrap();
        (role, text.reveal().to_owned())
    };
    Role::ALL.into_iter().map(make).collect()
}

pub fn on_any_port() -> ApiConfig {
    ApiConfig { listen: "127.0.0.1:0".parse().unwrap(), ..ApiConfig::default() }
}

impl Site {
    pub fn new() -> Site {
        Site::with(|_| {})
    }

    pub fn with(change: impl FnOnce(&mut ApiConfig)) -> Site {
        let folder = tempfile::tempdir().unwrap();
        let tokens = folder.path().join("tokens.toml");
        let texts = tokens_of_all_roles(&tokens);
        let mut config = ApiConfig { tokens: Some(tokens.clone()), ..on_any_port() };
        change(&mut config);
        let desk = Arc::new(MemoryDesk::default());
        let now = Arc::new(AtomicI64::new(at(NOW).0));
        let server = Server::start(&config, Arc::clone(&desk) as Arc<dyn Desk>, clock(&now)).unwrap();
        Site { server, desk, tokens, texts, now, folder }
    }

    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    pub fn as_role(&self, role: Role, method: &str, path: &str, body: Option<&str>) -> Answer {
        self.call(method, path, Some(&self.texts[&role]), body)
    }

    pub fn call(&self, method: &str, path: &str, token: Option<&str>, body: Option<&str>) -> Answer {
        let authorization = token.map(|token| format!("Authorization: Bearer {token}\r\n"));
        send(self.address(), &request(method, path, &authorization.unwrap_or_default(), body))
    }
}

/// `headers`: whole lines.
pub fn request(method: &str, path: &str, headers: &str, body: Option<&str>) -> String {
    let content = body
        .map_or(String::new(), |body| format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len()));
    let body = body.unwrap_or_default();
    format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}{content}\r\n{body}")
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// Lower case.
    pub head: String,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub fn error(&self) -> String {
        let json = self.json();
        assert!(json["remedy"].as_str().is_some_and(|remedy| !remedy.is_empty()), "{json}");
        json["error"].as_str().unwrap().to_owned()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")))
    }
}

pub fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

pub fn send(address: SocketAddr, request: &str) -> Answer {
    let mut stream = connect(address);
    // A server that has heard enough may hang up before all is sent.
    let _ = stream.write_all(request.as_bytes());
    read(stream)
}

pub fn read(mut stream: TcpStream) -> Answer {
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer, but `{text}`"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let head = head.replace("\r\n", "\n").to_lowercase();
    Answer { status, head, text: body.to_owned() }
}

/// What happens beside the test, soon.
pub fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(10), "{what}: not so after 10 s");
        std::thread::sleep(Duration::from_millis(10));
    }
}
