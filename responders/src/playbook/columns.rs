//! What a playbook's predicate may name: the finding, its device, its evidence, and what was done to the device lately.
//!
//! The front door makes a batch of one row of it ([`row`], in the order of [`COLUMNS`]) and asks the predicate. What is not
//! known is null, so that a condition on it is not met: a finding about a group has no device.

use fleet::device::{Criticality, Standing};
use fleet::{Confidence, Device, Finding, FindingKind, Reason, Scope, Severity};
use smol_str::SmolStr;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// UTF-8.
    Text,
    /// 64-bit floating point.
    Number,
    Bool,
}

impl Kind {
    /// As `docs/playbooks.md` says it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Text => "text",
            Kind::Number => "number",
            Kind::Bool => "yes or no",
        }
    }
}

impl Column {
    /// All that a text can be, where that is settled; else nothing.
    pub fn values(&self) -> Vec<&'static str> {
        fn names<T: Copy>(all: &[T], name: fn(T) -> &'static str) -> Vec<&'static str> {
            all.iter().map(|it| name(*it)).collect()
        }
        match self.name {
            "kind" => names(FindingKind::ALL, FindingKind::name),
            "scope" => names(Scope::ALL, Scope::name),
            "severity" => names(Severity::ALL, Severity::name),
            "confidence" => names(Confidence::ALL, Confidence::name),
            "criticality" => names(
                &[Criticality::Low, Criticality::Medium, Criticality::High, Criticality::Critical],
                Criticality::name,
            ),
            "standing" => names(&[Standing::Active, Standing::Retired, Standing::Unknown, Standing::Shared], standing),
            _ => Vec::new(),
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Text(SmolStr),
    Number(f64),
    Bool(bool),
    /// Null.
    Unknown,
}

/// One column; all are nullable.
pub struct Column {
    pub name: &'static str,
    pub kind: Kind,
    pub meaning: &'static str,
    value: fn(&Subject<'_>) -> Value,
}

/// What was done to the device lately, as the journal says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Circumstances {
    /// Actions that restricted it and began in the last 24 hours of event time.
    pub repeats_24h: u32,
    /// Released a short while ago.
    pub probation: bool,
    /// Actions at a gateway that hold it now.
    pub open_actions: u32,
}

struct Subject<'s> {
    finding: &'s Finding,
    device: Option<&'s Device>,
    circumstances: Circumstances,
}

/// The values of every column, in the order of [`COLUMNS`].
pub fn row(finding: &Finding, device: Option<&Device>, circumstances: Circumstances) -> Vec<Value> {
    let subject = Subject { finding, device, circumstances };
    COLUMNS.iter().map(|column| (column.value)(&subject)).collect()
}

macro_rules! columns {
    ($($name:literal, $kind:ident, $meaning:literal => $value:expr;)*) => {
        &[$(Column { name: $name, kind: Kind::$kind, meaning: $meaning, value: $value }),*]
    };
}

pub const COLUMNS: &[Column] = columns! {
    "kind", Text, "compromise, anomaly, fault, change, outage, unknown_device, retired_device or posture" =>
        |it| text(it.finding.kind.name());
    "scope", Text, "device, fleet (devices of one type) or site" => |it| text(it.finding.scope.name());
    "severity", Text, "info, low, medium, high or critical" => |it| text(it.finding.severity.name());
    "severity_rank", Number, "the same from 0 (info) to 4 (critical)" => |it| number(it.finding.severity as u8);
    "confidence", Text, "how sure the baseline of the type is: learning, provisional or ready" =>
        |it| text(it.finding.confidence.name());
    "score", Number, "evidence, natural logarithm units" => |it| number(it.finding.score);
    "line", Number, "the line it crossed, the same unit; 0 where there is none" => |it| number(it.finding.line);
    "margin", Number, "score less line" => |it| number(it.finding.score - it.finding.line);
    "p_value", Number, "probability of as much evidence on a normal device-day of the type" =>
        |it| number(it.finding.p_value);
    "technique", Text, "MITRE ATT&CK technique of the strongest reason; empty when it has none" =>
        |it| text(&it.finding.technique);
    "techniques", Text, "techniques of all reasons, strongest first, each between spaces" =>
        |it| spaced(techniques(it.finding));
    "detectors", Text, "detectors that contributed, strongest first, each between spaces" =>
        |it| spaced(it.finding.detectors.iter().collect());
    "reasons", Number, "how many reasons are told, at most 8" => |it| number(it.finding.reasons.len() as u32);
    "first_detector", Text, "detector of the strongest reason; empty without reasons" =>
        |it| text(strongest(it.finding).map_or("", |reason| &reason.detector));
    "first_subject", Text, "what the strongest reason is about: a feature, a rule, a service and its destination" =>
        |it| text(strongest(it.finding).map_or("", |reason| &reason.subject));
    "subjects", Text, "subjects of all reasons, strongest first, separated by `; `" => |it| subjects(it.finding);
    "top_evidence", Number, "weight of the strongest reason, natural logarithm units; 0 without reasons" =>
        |it| number(strongest(it.finding).map_or(0.0, |reason| reason.evidence));
    "new_to_device", Bool, "some reason is about something that the device never did before" =>
        |it| any(it.finding, |reason| reason.first_seen_device == Some(true));
    "new_to_type", Bool, "some reason is about something that no device of the type ever did before" =>
        |it| any(it.finding, |reason| reason.first_seen_type == Some(true));
    "devices", Number, "how many devices the finding names" => |it| number(it.finding.devices.len() as u32);
    "baseline_version", Number, "version of the baselines it was judged by; 0 without one" =>
        |it| number(it.finding.baseline_version);
    "window_seconds", Number, "length of the windows that carried it over the line" =>
        |it| number(it.finding.window_end.seconds_since(it.finding.window_start));
    "hour", Number, "hour of the day at which it was told, UTC" => |it| number(it.finding.emitted_at.hour() as u32);
    "weekday", Number, "day of the week at which it was told, UTC; Monday is 0" =>
        |it| number((it.finding.emitted_at.hour_of_week() / 24) as u32);
    "device_type", Text, "type of the device, or of all devices of a fleet finding; empty when unknown" =>
        |it| text(it.device.map_or(&it.finding.device_type, |device| &device.device_type));
    "device_id", Text, "the device's id" => |it| told(it, |device| text(&device.id));
    "site", Text, "its site, as the inventory says" => |it| told(it, |device| text(&device.site));
    "segment", Text, "its network segment" => |it| told(it, |device| text(&device.segment));
    "owner", Text, "its owner" => |it| told(it, |device| text(&device.owner));
    "criticality", Text, "low, medium, high or critical" => |it| told(it, |device| text(device.criticality.name()));
    "criticality_rank", Number, "the same from 0 (low) to 3 (critical)" =>
        |it| told(it, |device| number(device.criticality as u8));
    "purpose", Text, "its purpose, as the inventory says" => |it| told(it, |device| text(&device.purpose));
    "protocol", Text, "what it mainly speaks, as the inventory says" => |it| told(it, |device| text(&device.protocol));
    "firmware", Text, "the version the inventory expects; empty when it does not say" =>
        |it| told(it, |device| text(&device.firmware));
    "standing", Text, "active, retired, unknown (not in the inventory) or shared" =>
        |it| told(it, |device| text(standing(device.standing)));
    "repeats_24h", Number, "actions that restricted the device and began in the last 24 hours" =>
        |it| number(it.circumstances.repeats_24h);
    "probation", Bool, "the device was released a short while ago" => |it| Value::Bool(it.circumstances.probation);
    "open_actions", Number, "actions that restrict the device now" => |it| number(it.circumstances.open_actions);
};

fn text(text: &str) -> Value {
    Value::Text(SmolStr::new(text))
}

fn number(number: impl Into<f64>) -> Value {
    Value::Number(number.into())
}

fn told(subject: &Subject<'_>, value: fn(&Device) -> Value) -> Value {
    subject.device.map_or(Value::Unknown, value)
}

fn strongest(finding: &Finding) -> Option<&Reason> {
    finding.reasons.first()
}

fn any(finding: &Finding, holds: impl Fn(&Reason) -> bool) -> Value {
    Value::Bool(finding.reasons.iter().any(holds))
}

fn techniques(finding: &Finding) -> Vec<&SmolStr> {
    let all = std::iter::once(&finding.technique).chain(finding.reasons.iter().filter_map(|it| it.technique.as_ref()));
    let mut techniques: Vec<&SmolStr> = Vec::new();
    for technique in all.filter(|technique| !technique.is_empty()) {
        if !techniques.contains(&technique) {
            techniques.push(technique);
        }
    }
    techniques
}

/// So that `techniques like '% T1046 %'` finds neither a longer nor a shorter word.
fn spaced(words: Vec<&SmolStr>) -> Value {
    let mut text = String::from(" ");
    for word in words {
        text.push_str(word);
        text.push(' ');
    }
    Value::Text(text.into())
}

fn subjects(finding: &Finding) -> Value {
    let subjects: Vec<&str> = finding.reasons.iter().map(|reason| reason.subject.as_str()).collect();
    Value::Text(subjects.join("; ").into())
}

fn standing(standing: Standing) -> &'static str {
    match standing {
        Standing::Active => "active",
        Standing::Retired => "retired",
        Standing::Unknown => "unknown",
        Standing::Shared => "shared",
    }
}

#[cfg(test)]
mod tests;
