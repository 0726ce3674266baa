//! Incident Finding (class 2005): an incident opens, becomes graver, is judged, closes.

use fleet::id::stable_id;
use fleet::{Confidence, Criticality, EventTime, Finding, FindingKind, Incident, Scope, Severity};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use smol_str::SmolStr;

use super::Reporter;
use super::attack::attack;
use super::detection::confidence;
use super::parts::{self, INCIDENT, LINE, LONG, cut, millis, without_nothing};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activity {
    Create,
    Update,
    Close,
}

/// OCSF `status_id` of an incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    New,
    InProgress,
    OnHold,
    Resolved,
    Closed,
}

/// What a person says of an incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    True,
    False,
    BenignChange,
    Fault,
}

impl Verdict {
    pub fn name(self) -> &'static str {
        match self {
            Verdict::True => "true",
            Verdict::False => "false",
            Verdict::BenignChange => "benign change",
            Verdict::Fault => "fault",
        }
    }

    /// OCSF `verdict_id`: it has no word for a fault.
    fn ocsf(self) -> (i64, &'static str) {
        match self {
            Verdict::True => (2, "True Positive"),
            Verdict::False => (1, "False Positive"),
            Verdict::BenignChange => (5, "Benign"),
            Verdict::Fault => (99, "Fault"),
        }
    }
}

/// A finding as an incident lists it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FindingName {
    pub uid: String,
    pub title: String,
    pub at: EventTime,
    pub technique: SmolStr,
}

impl FindingName {
    pub fn of(finding: &Finding) -> FindingName {
        let device_type = if finding.device_type.is_empty() { "unknown type" } else { finding.device_type.as_str() };
        let of_whom = match finding.scope {
            Scope::Device => format!("{} ({device_type})", finding.device_id),
            Scope::Fleet => format!("{} devices of type {device_type}", finding.devices.len()),
            Scope::Site => format!("{} devices of one site", finding.devices.len()),
        };
        let kind = finding.kind.name().replace('_', " ");
        FindingName {
            uid: finding.finding_id.clone(),
            title: cut(&format!("{} {kind}: {of_whom}", capital(finding.severity)), LINE),
            at: finding.emitted_at,
            technique: finding.technique.clone(),
        }
    }
}

fn capital(severity: Severity) -> String {
    let name = severity.name();
    name[..1].to_ascii_uppercase() + &name[1..]
}

/// An incident and what is known around it.
#[derive(Clone, Copy, Debug)]
pub struct Case<'a> {
    pub incident: &'a Incident,
    /// Those that opened it or made it graver, in the order of time; none where they are not known any more.
    pub findings: &'a [FindingName],
    pub confidence: Option<Confidence>,
    pub criticality: Option<Criticality>,
    /// As the inventory has it; empty: the reporter's team.
    pub owner: &'a str,
    /// One paragraph.
    pub desc: &'a str,
    pub verdict: Option<Verdict>,
}

/// `at` is when it changed. The same change of the same incident has the same uid.
pub fn incident(reporter: &Reporter, case: &Case<'_>, activity: Activity, status: Status, at: EventTime) -> Value {
    let incident = case.incident;
    let (activity_id, activity_name) = match activity {
        Activity::Create => (1, "Create"),
        Activity::Update => (2, "Update"),
        Activity::Close => (3, "Close"),
    };
    let (status_id, status_name) = match status {
        Status::New => (1, "New"),
        Status::InProgress => (2, "In Progress"),
        Status::OnHold => (3, "On Hold"),
        Status::Resolved => (4, "Resolved"),
        Status::Closed => (5, "Closed"),
    };
    let verdict = case.verdict.map_or("", Verdict::name);
    let id = incident.incident_id.as_str();
    let uid = stable_id(&[
        "incident",
        id,
        activity_name,
        incident.kind.name(),
        incident.severity.name(),
        status_name,
        verdict,
    ]);
    let team = if case.owner.is_empty() { reporter.team.as_str() } else { case.owner };
    let mut event = parts::event(INCIDENT, activity_id, activity_name, at, incident.severity);
    event["metadata"] = parts::metadata(reporter, &uid, id, at, &["host"]);
    event["message"] = cut(case.desc, LINE).into();
    event["desc"] = cut(case.desc, LONG).into();
    event["finding_info_list"] = findings(case);
    event["attacks"] = techniques(case);
    event["status_id"] = status_id.into();
    event["status"] = status_name.into();
    event["assignee_group"] = json!({ "name": if team.is_empty() { "unassigned" } else { team } });
    event["priority_id"] = priority(incident.severity).into();
    event["impact_id"] = case.criticality.map(impact).into();
    event["verdict_id"] = case.verdict.map(|verdict| verdict.ocsf().0).into();
    event["verdict"] = case.verdict.map(|verdict| verdict.ocsf().1).into();
    event["confidence_id"] = case.confidence.map(|it| confidence(it).0).into();
    event["is_suspected_breach"] = (incident.kind == FindingKind::Compromise).into();
    event["start_time"] = millis(incident.first_window).into();
    event["end_time"] = millis(incident.last_window).into();
    event["count"] = incident.findings.max(1).into();
    if incident.scope == Scope::Device {
        event["device"] = parts::device(&incident.device_id, &incident.device_type, None, &Default::default());
    }
    event["observables"] = parts::observables(&incident.device_id, &Default::default()).into();
    event["unmapped"] = json!({
        "incident_id": id,
        "kind": incident.kind,
        "scope": incident.scope,
        "device_type": incident.device_type,
        "opened_at": millis(incident.opened_at),
        "closed_at": incident.closed_at.map(millis),
    });
    without_nothing(event)
}

/// Required, and never empty: where the findings are not known any more, the incident stands for them.
fn findings(case: &Case<'_>) -> Value {
    if case.findings.is_empty() {
        return json!([{ "uid": case.incident.incident_id, "types": [case.incident.kind] }]);
    }
    let one = |name: &FindingName| json!({ "uid": name.uid, "title": name.title, "created_time": millis(name.at) });
    case.findings.iter().map(one).collect()
}

fn techniques(case: &Case<'_>) -> Value {
    let mut techniques: Vec<&str> = case.findings.iter().map(|finding| finding.technique.as_str()).collect();
    techniques.sort_unstable();
    techniques.dedup();
    techniques.into_iter().filter_map(attack).collect()
}

fn priority(severity: Severity) -> i64 {
    match severity {
        Severity::Info | Severity::Low => 1,
        Severity::Medium => 2,
        Severity::High => 3,
        Severity::Critical => 4,
    }
}

fn impact(criticality: Criticality) -> i64 {
    match criticality {
        Criticality::Low => 1,
        Criticality::Medium => 2,
        Criticality::High => 3,
        Criticality::Critical => 4,
    }
}
