//! The loop as the service runs it, with its journal on the disk and its gateways on threads: how long it takes from a decision
//! until the gateway was read back.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant, UNIX_EPOCH};

use fleet::{Confidence, EventTime, Finding, FindingKind, Level, Mode, Scope, Severity, State};
use responders::Config;
use responders::engine::find::{Plan, action_id};
use responders::engine::{Engine, Post};
use responders::gateways::{Gateway, Key, clock};
use responders::journal::file::FileJournal;
use responders::respond::Responding;
use responders::send::{Alone, Gate, Sender};
use smol_str::SmolStr;
use tempfile::TempDir;

#[allow(dead_code, reason = "tests of complaints need more of it")]
#[path = "../complaints/town.rs"]
mod town;

use town::Town;

/// How often the service looks whether something is due.
const LOOK_UP: Duration = Duration::from_millis(50);
const PATIENCE: Duration = Duration::from_secs(120);
/// Of the address of a device whose kind is this word.
const KIND: &str = "camera";

pub struct Loop {
    responding: Responding,
    town: Town,
    gateway: SmolStr,
    _folder: TempDir,
}

/// Devices of the loop's inventory: `camera-1` and so on, which is their username as well.
pub fn device(number: u32) -> String {
    format!("{KIND}-{number}")
}

impl Loop {
    /// Everything is allowed, with caps above `devices`.
    pub fn begin(gateway: Box<dyn Gateway>, devices: u32) -> Loop {
        let mut town = Town::with(&[(KIND, devices)]);
        for number in 1..=devices {
            let id = device(number);
            town.rename(&id, Key::Username, Ok(&id));
        }
        let mut config = Config { mode: Mode::Auto, ..Config::default() };
        let caps = &mut config.caps;
        (caps.type_devices, caps.site_devices) = (devices + 1, devices + 1);
        (caps.gateway_devices, caps.hour_devices) = (devices + 1, devices + 1);
        caps.fleet_share = 1.0;
        let folder = tempfile::tempdir().expect("a folder can be made");
        let (journal, chain) = FileJournal::open(&folder.path().join("journal.jsonl"), |_| ()).expect("a new journal");
        let about = gateway.about().clone();
        let name = about.name.clone();
        let mut engine = Engine::new(config, vec![Post { about, mode: Mode::Auto, sites: Vec::new() }]);
        engine.book.chain = chain;
        let sender = Sender::start(vec![gateway], Arc::new(Gate::new(Box::new(Alone), None))).expect("threads");
        let owner = Some((now(), "test".to_owned()));
        let responding = Responding::begin(engine, Box::new(journal), sender, None, owner).expect("it begins");
        Loop { responding, town, gateway: name, _folder: folder }
    }

    /// There are findings about all of these at one instant: how long from there until each was read back.
    pub fn isolate(&mut self, devices: &[String]) -> Vec<Duration> {
        let plan = self.plan();
        let (began, findings): (Instant, Vec<Finding>) =
            (Instant::now(), devices.iter().map(|id| finding(id)).collect());
        for finding in &findings {
            let device = self.town.devices.get(&finding.device_id).cloned();
            let plans = std::slice::from_ref(&plan);
            let found = self.responding.find(now(), finding, device.as_deref(), plans, &self.town);
            found.expect("the journal takes it");
        }
        let mut waiting: BTreeSet<String> =
            findings.iter().map(|finding| action_id(&finding.device_id, &finding.incident_id, plan.level)).collect();
        let mut times = Vec::new();
        while !waiting.is_empty() {
            assert!(began.elapsed() < PATIENCE, "{} are not isolated: {}", waiting.len(), self.why(&waiting));
            self.responding.turn(now(), Duration::ZERO, &self.town).expect("the journal takes it");
            let verified =
                |id: &String| self.responding.book().action(id).map(|action| action.state) == Some(State::Verified);
            let before = waiting.len();
            waiting.retain(|id| !verified(id));
            times.extend(std::iter::repeat_n(began.elapsed(), before - waiting.len()));
            std::thread::sleep(if waiting.is_empty() { Duration::ZERO } else { LOOK_UP });
        }
        times
    }

    fn why(&self, waiting: &BTreeSet<String>) -> String {
        let actions = waiting.iter().filter_map(|id| self.responding.book().action(id));
        let told: Vec<String> =
            actions.map(|action| format!("{} ({:?}): {}", action.state, action.failure, action.reason)).collect();
        told.join("\n")
    }

    fn plan(&self) -> Plan {
        Plan {
            playbook: "isolate".into(),
            version: "1".into(),
            mode: Mode::Auto,
            level: Level::Quarantine,
            gateway: Some(self.gateway.clone()),
            tries_others: false,
            ttl_seconds: Some(3_600),
            answer_seconds: 60,
            approvals: 1,
            ask: vec![],
            ask_for: vec![],
            stops: false,
            if_still_talking: None,
            talking_ttl_seconds: None,
        }
    }
}

fn now() -> EventTime {
    let since = clock::now().duration_since(UNIX_EPOCH).expect("after 1970");
    EventTime(i64::try_from(since.as_micros()).expect("before 294247"))
}

fn finding(device: &str) -> Finding {
    let now = now();
    Finding {
        finding_id: format!("finding {device}"),
        incident_id: format!("incident {device}"),
        scope: Scope::Device,
        device_id: device.into(),
        devices: vec![device.into()],
        device_type: KIND.into(),
        kind: FindingKind::Compromise,
        severity: Severity::High,
        confidence: Confidence::Ready,
        score: 40.0,
        line: 20.0,
        p_value: 1e-9,
        detectors: Vec::new(),
        technique: "T1498".into(),
        emitted_at: now,
        window_start: now.plus_seconds(-90),
        window_end: now.plus_seconds(-30),
        baseline_version: 1,
        reasons: Vec::new(),
        explanation: "test".to_owned(),
    }
}

/// The time that `share` of them are not above.
pub fn quantile(times: &mut [Duration], share: f64) -> Duration {
    times.sort_unstable();
    let place = (times.len() as f64 * share).ceil() as usize;
    times[place.saturating_sub(1)]
}
