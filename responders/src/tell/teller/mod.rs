//! What is told, and to whom: one message when an incident opens, when it becomes graver than was told, is judged, closes,
//! and when an action comes to another state, or its device keeps talking all the same. Nothing for a window, a further
//! finding, or another try.
//!
//! Pure: time is passed in (`now`, of whatever clock, as long as it is one). Memory is bounded; what was forgotten may be
//! told once more, with the same key.

mod gate;
mod words;

use std::collections::BTreeMap;
use std::sync::Arc;

use fleet::memory::Format;
use fleet::{
    Confidence, Criticality, Device, EventTime, Finding, FindingKind, Incident, MICROS_PER_SECOND, Severity, State,
};
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use self::gate::Gate;
use super::Names;
use super::change::Change;
use super::config::TellConfig;
use super::ocsf::{self, Activity, Case, FindingName, Reporter, Status, Verdict};
use super::outgoing::{Kind, Outgoing};
use crate::error::Error;

const FORMAT: Format = Format { of: "teller", version: 2 };

/// An incident of which nothing was heard for so long is forgotten.
const REMEMBERED: i64 = 7 * 86_400 * MICROS_PER_SECOND;
/// The same transition of the same action, as when somebody keeps undoing it, is told again after so long.
const AGAIN: i64 = 3600 * MICROS_PER_SECOND;
const MOST_INCIDENTS: usize = 20_000;
const MOST_CHANGES: usize = 50_000;
/// Findings that an incident lists.
const MOST_FINDINGS: usize = 20;

/// A message for the sink of this number in the configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Addressed {
    pub sink: usize,
    pub message: Arc<Outgoing>,
}

pub struct Teller {
    reporter: Reporter,
    gates: Vec<Gate>,
    told: Told,
}

/// What was told.
#[derive(Default, Serialize, Deserialize)]
struct Told {
    incidents: BTreeMap<String, Known>,
    /// By action and transition.
    changes: BTreeMap<(String, Option<State>, State), EventTime>,
}

#[derive(Clone, Serialize, Deserialize)]
struct Known {
    incident: Incident,
    findings: Vec<FindingName>,
    confidence: Option<Confidence>,
    criticality: Option<Criticality>,
    owner: SmolStr,
    verdict: Option<Verdict>,
    /// How grave it was, and what, when it was first told.
    opened_as: (Severity, FindingKind),
    seen: EventTime,
}

impl Teller {
    pub fn new(reporter: Reporter, config: &TellConfig) -> Teller {
        let gates = config
            .sinks
            .iter()
            .map(|sink| Gate::new(sink.name().clone(), sink.only(), sink.own().min_severity.is_some()))
            .collect();
        Teller { reporter, gates, told: Told::default() }
    }

    pub fn has_sinks(&self) -> bool {
        !self.gates.is_empty()
    }

    /// `device` and `names` are what the inventory says of it now; nothing for group findings.
    pub fn finding(
        &mut self,
        finding: &Finding,
        device: Option<&Device>,
        names: &Names,
        now: EventTime,
    ) -> Vec<Addressed> {
        self.forget(now);
        let (kind, title, text, activity) = match self.told.incidents.get(&finding.incident_id) {
            None => {
                let (title, text) = words::opened(finding);
                (Kind::Opened, title, text, Activity::Create)
            }
            Some(known) => {
                let before = known.incident.severity;
                let graver = finding.severity > before || turns(known.incident.kind, finding.kind);
                if !graver || known.incident.closed_at.is_some() {
                    self.told.seen(&finding.incident_id, now);
                    return Vec::new();
                }
                let (title, text) = words::raised(finding, before);
                (Kind::Raised, title, text, Activity::Update)
            }
        };
        let known = self.told.add(finding, device, now);
        let status = if activity == Activity::Create { Status::New } else { Status::InProgress };
        let event = ocsf::incident(&self.reporter, &known.case(&text), activity, status, finding.emitted_at);
        let about = known.message(kind, finding.emitted_at, title, text, event);
        let mut evidence = about.clone();
        evidence.kind = Kind::Finding;
        evidence.event = ocsf::detection(&self.reporter, finding, device, names);
        evidence.key = ocsf::uid(&evidence.event);
        [self.address(about, now), self.address(evidence, now)].concat()
    }

    /// An incident as it is now.
    pub fn incident(&mut self, incident: &Incident, now: EventTime) -> Vec<Addressed> {
        self.forget(now);
        let closes = incident.closed_at;
        let known = match self.told.incidents.get_mut(&incident.incident_id) {
            Some(known) => known,
            // It is told with its first finding.
            None if closes.is_none() => return Vec::new(),
            // Told before anything of it was forgotten.
            None => self
                .told
                .incidents
                .entry(incident.incident_id.clone())
                .or_insert_with(|| Known::of(Incident { closed_at: None, ..incident.clone() }, now)),
        };
        known.seen = now;
        let before = known.incident.severity;
        let was_closed = known.incident.closed_at.is_some();
        let graver = incident.severity > before;
        let kind = if turns(incident.kind, known.incident.kind) { known.incident.kind } else { incident.kind };
        known.incident = Incident { severity: before.max(incident.severity), kind, ..incident.clone() };
        known.incident.closed_at = closes.filter(|_| !was_closed).or(known.incident.closed_at);
        if was_closed || (closes.is_none() && !graver) {
            return Vec::new();
        }
        let (kind, activity, status, (title, text)) = match closes {
            Some(_) => (Kind::Closed, Activity::Close, Status::Closed, words::closed(&known.incident)),
            None => (Kind::Raised, Activity::Update, Status::InProgress, words::worse(&known.incident, before)),
        };
        let at = closes.unwrap_or(incident.last_window);
        let event = ocsf::incident(&self.reporter, &known.case(&text), activity, status, at);
        let message = known.message(kind, at, title, text, event);
        self.address(message, now)
    }

    /// What a person says of an incident, once for each verdict. `otherwise`: the incident, where nothing of it was told or is
    /// remembered; where that is not known either, nobody is told.
    pub fn verdict(
        &mut self,
        incident_id: &str,
        otherwise: Option<Incident>,
        verdict: Verdict,
        by: &str,
        now: EventTime,
    ) -> Vec<Addressed> {
        self.forget(now);
        if let (false, Some(incident)) = (self.told.incidents.contains_key(incident_id), otherwise) {
            self.told.incidents.insert(incident_id.to_owned(), Known::of(incident, now));
        }
        let Some(known) = self.told.incidents.get_mut(incident_id) else { return Vec::new() };
        known.seen = now;
        if known.verdict.replace(verdict) == Some(verdict) {
            return Vec::new();
        }
        let (title, text) = words::judged(&known.incident, verdict, by);
        let event = ocsf::incident(&self.reporter, &known.case(&text), Activity::Update, Status::Resolved, now);
        let message = known.message(Kind::Verdict, now, title, text, event);
        self.address(message, now)
    }

    /// Somebody told it, in a former life.
    pub fn knows(&mut self, change: &Change) {
        self.forget(change.at);
        self.told.changes.insert((change.action_id.clone(), change.from, change.to), change.at);
    }

    /// It was put into an outbox, and perhaps nobody took it from there.
    pub fn not_told(&mut self, change: &Change) {
        self.told.changes.remove(&(change.action_id.clone(), change.from, change.to));
    }

    /// A failure is high at least, and so is a device that keeps talking: something is not as people believe it to be.
    pub fn change(
        &mut self,
        change: &Change,
        device: Option<&Device>,
        names: &Names,
        now: EventTime,
    ) -> Vec<Addressed> {
        self.forget(now);
        let transition = (change.action_id.clone(), change.from, change.to);
        let last = self.told.changes.get(&transition);
        if last.is_some_and(|last| (0..AGAIN).contains(&now.minus(*last))) {
            return Vec::new();
        }
        self.told.changes.insert(transition, now);
        self.told.seen(&change.incident_id, now);
        let known = self.told.incidents.get(&change.incident_id);
        let opened_as = known.map(|known| known.opened_as);
        let incident = known.map(|known| &known.incident);
        let severity = incident.map_or(Severity::Medium, |incident| incident.severity);
        let is_otherwise = change.to == State::Failed || change.is_talking();
        let severity = if is_otherwise { severity.max(Severity::High) } else { severity };
        let event = ocsf::remediation(&self.reporter, change, severity, device, names);
        let (title, text) = words::changed(change);
        let message = Outgoing {
            key: ocsf::uid(&event),
            at: change.at,
            kind: change.kind(),
            severity,
            finding_kind: incident.map(|incident| incident.kind),
            incident_id: change.incident_id.clone(),
            device_id: change.device_id.clone(),
            device_type: change.device_type.clone(),
            title,
            text,
            event,
        };
        // Whoever was told of the incident by itself is not told again because a playbook says so as well.
        let is_asked = matches!(message.kind, Kind::Notify | Kind::Ticket);
        let was_told = |gate: &Gate, message: &Outgoing| {
            is_asked && opened_as.is_some_and(|opened_as| gate.was_told(opened_as, message))
        };
        self.address_unless(message, now, was_told)
    }

    /// Digests whose minute is over; to be called every few seconds.
    pub fn tick(&mut self, now: EventTime) -> Vec<Addressed> {
        let mut due = Vec::new();
        for (sink, gate) in self.gates.iter_mut().enumerate() {
            due.extend(gate.due(&self.reporter, now).map(|digest| Addressed { sink, message: Arc::new(digest) }));
        }
        due
    }

    fn address(&mut self, message: Outgoing, now: EventTime) -> Vec<Addressed> {
        self.address_unless(message, now, |_, _| false)
    }

    fn address_unless(
        &mut self,
        message: Outgoing,
        now: EventTime,
        was_told: impl Fn(&Gate, &Outgoing) -> bool,
    ) -> Vec<Addressed> {
        let mut addressed = self.tick(now);
        let message = Arc::new(message);
        for (sink, gate) in self.gates.iter_mut().enumerate() {
            if !was_told(gate, &message) && gate.offer(&message, now) {
                addressed.push(Addressed { sink, message: Arc::clone(&message) });
            }
        }
        addressed
    }

    fn forget(&mut self, now: EventTime) {
        let told = &mut self.told;
        if told.incidents.len() > MOST_INCIDENTS {
            let line = middle(told.incidents.values().map(|known| known.seen)).max(EventTime(now.0 - REMEMBERED));
            told.incidents.retain(|_, known| known.seen > line);
        }
        if told.changes.len() > MOST_CHANGES {
            let line = middle(told.changes.values().copied()).max(EventTime(now.0 - AGAIN));
            told.changes.retain(|_, at| *at > line);
        }
    }

    /// All that later decisions hang on, as bytes: equal states give equal ones.
    pub fn memory(&self) -> Vec<u8> {
        let gates: BTreeMap<&SmolStr, &gate::Past> = self.gates.iter().map(|gate| (&gate.name, &gate.past)).collect();
        FORMAT.save(&(&self.told, gates))
    }

    /// Takes the place of everything remembered so far; the configuration stays, and digests of sinks that are gone go.
    ///
    /// # Errors
    /// It is damaged, or another version's; nothing has changed.
    pub fn recall(&mut self, memory: &[u8]) -> Result<(), Error> {
        let (told, mut gates): (Told, BTreeMap<SmolStr, gate::Past>) = FORMAT.load(memory)?;
        self.told = told;
        for gate in &mut self.gates {
            gate.past = gates.remove(&gate.name).unwrap_or_default();
        }
        Ok(())
    }
}

impl Told {
    fn seen(&mut self, incident_id: &str, now: EventTime) {
        if let Some(known) = self.incidents.get_mut(incident_id) {
            known.seen = now;
        }
    }

    fn add(&mut self, finding: &Finding, device: Option<&Device>, now: EventTime) -> &mut Known {
        let known = self.incidents.entry(finding.incident_id.clone()).or_insert_with(|| {
            let incident = Incident {
                incident_id: finding.incident_id.clone(),
                scope: finding.scope,
                device_id: finding.device_id.clone(),
                device_type: finding.device_type.clone(),
                kind: finding.kind,
                severity: finding.severity,
                opened_at: finding.emitted_at,
                closed_at: None,
                first_window: finding.window_start,
                last_window: finding.window_end,
                findings: 0,
            };
            Known::of(incident, now)
        });
        known.seen = now;
        known.confidence = Some(finding.confidence);
        if let Some(device) = device {
            known.criticality = Some(device.criticality);
            known.owner = device.owner.clone();
        }
        let incident = &mut known.incident;
        incident.severity = incident.severity.max(finding.severity);
        if turns(incident.kind, finding.kind) {
            incident.kind = finding.kind;
        }
        incident.last_window = incident.last_window.max(finding.window_end);
        incident.findings = incident.findings.saturating_add(1);
        if known.findings.len() < MOST_FINDINGS {
            known.findings.push(FindingName::of(finding));
        }
        known
    }
}

impl Known {
    fn of(incident: Incident, seen: EventTime) -> Known {
        Known {
            opened_as: (incident.severity, incident.kind),
            incident,
            findings: Vec::new(),
            confidence: None,
            criticality: None,
            owner: SmolStr::default(),
            verdict: None,
            seen,
        }
    }

    fn case<'a>(&'a self, desc: &'a str) -> Case<'a> {
        Case {
            incident: &self.incident,
            findings: &self.findings,
            confidence: self.confidence,
            criticality: self.criticality,
            owner: &self.owner,
            desc,
            verdict: self.verdict,
        }
    }

    fn message(&self, kind: Kind, at: EventTime, title: String, text: String, event: serde_json::Value) -> Outgoing {
        Outgoing {
            key: ocsf::uid(&event),
            at,
            kind,
            severity: self.incident.severity,
            finding_kind: Some(self.incident.kind),
            incident_id: self.incident.incident_id.clone(),
            device_id: self.incident.device_id.clone(),
            device_type: self.incident.device_type.clone(),
            title,
            text,
            event,
        }
    }
}

/// From something odd to somebody's doing: that is news, whatever its severity.
fn turns(before: FindingKind, now: FindingKind) -> bool {
    now == FindingKind::Compromise && before != FindingKind::Compromise
}

/// Half of them are not later.
fn middle(times: impl Iterator<Item = EventTime>) -> EventTime {
    let mut times: Vec<EventTime> = times.collect();
    let half = times.len() / 2;
    if times.is_empty() { EventTime::MIN } else { *times.select_nth_unstable(half).1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_bounded_and_keeps_the_latest() {
        let mut teller = Teller::new(Reporter::default(), &TellConfig::default());
        let incident = Incident {
            incident_id: String::new(),
            scope: fleet::Scope::Device,
            device_id: "camera-01".into(),
            device_type: "dome_camera".into(),
            kind: FindingKind::Anomaly,
            severity: Severity::Low,
            opened_at: EventTime(0),
            closed_at: None,
            first_window: EventTime(0),
            last_window: EventTime(0),
            findings: 1,
        };
        for number in 0..120_000 {
            let (id, now) = (format!("i{number}"), EventTime(0).plus_seconds(number));
            teller.forget(now);
            teller.told.changes.insert((id.clone(), None, State::Proposed), now);
            teller.told.incidents.insert(id, Known::of(incident.clone(), now));
            assert!(teller.told.incidents.len() <= MOST_INCIDENTS + 1 && teller.told.changes.len() <= MOST_CHANGES + 1);
        }
        assert!(teller.told.incidents.len() >= MOST_INCIDENTS / 2, "{}", teller.told.incidents.len());
        let latest = (120_000 - 5000)..120_000;
        assert!(latest.clone().all(|number| teller.told.incidents.contains_key(&format!("i{number}"))));
        let last = ("i119999".to_owned(), None, State::Proposed);
        assert!(teller.told.changes.contains_key(&last));
    }
}
