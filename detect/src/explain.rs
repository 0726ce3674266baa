//! From a crossing to a finding that explains itself.

use fleet::id::stable_id;
use fleet::{
    Confidence, Criticality, Device, EventTime, Finding, FindingKind, MICROS_PER_SECOND, Reason, Scope, Severity,
};
use smol_str::SmolStr;

use crate::account::Crossing;
use crate::config::Config;
use crate::evidence::{Bearing, Evidence, Group, Piece};
use crate::prepared::Prepared;
use crate::rates::MAX_WEIGHT;

/// A finding's windows span at most this.
const MAX_SPAN_SECONDS: i64 = 900;
const MAX_REASONS: usize = 8;
/// Weight, as a share of the greatest possible, at which an attack's shape or a stay at an unused application is certain.
const CERTAIN_ATTACK: f64 = 0.6;
const CERTAIN_STAY: f64 = 0.85;

pub(crate) fn device_finding(
    crossing: &Crossing,
    device: &Device,
    prepared: &Prepared,
    width: i64,
    config: &Config,
) -> Finding {
    let pieces: Vec<&Piece> = crossing.pieces.iter().map(|(piece, _)| piece).collect();
    let kind = kind_of(&pieces);
    let confidence =
        prepared.of(&device.device_type, &device.segment).map_or(Confidence::Learning, |it| it.learned.confidence);
    // What goes on while a finding waits is younger than what carried it over the line.
    let first = pieces.iter().map(|piece| piece.at).fold(crossing.crossed_at, EventTime::min);
    let earliest = crossing.crossed_at.plus_seconds(-MAX_SPAN_SECONDS);
    let window_start = EventTime((first.0 - width).max(earliest.0));
    let mut detectors: Vec<SmolStr> = Vec::new();
    for piece in &pieces {
        let detector = SmolStr::new_static(piece.evidence.detector);
        if !detectors.contains(&detector) {
            detectors.push(detector);
        }
    }
    let reasons: Vec<Reason> =
        crossing.pieces.iter().take(MAX_REASONS).map(|(piece, weight)| reason(&piece.evidence, *weight)).collect();
    let crossed = crossing.crossed_at.0.to_string();
    let mut finding = Finding {
        finding_id: stable_id(&["device", &device.id, &crossed]),
        incident_id: String::new(),
        scope: Scope::Device,
        device_id: device.id.clone(),
        devices: vec![device.id.clone()],
        device_type: device.device_type.clone(),
        kind,
        severity: severity_of(&crossing.pieces, kind, device.criticality),
        confidence,
        score: crossing.evidence,
        line: crossing.line,
        p_value: prepared.calibration.p_value(crossing.evidence),
        detectors,
        technique: SmolStr::new_static(pieces.first().map_or("", |piece| piece.evidence.technique)),
        emitted_at: emitted_at(crossing.crossed_at, crossing.hold_seconds, config),
        window_start,
        window_end: crossing.crossed_at,
        baseline_version: prepared.version,
        reasons,
        explanation: String::new(),
    };
    finding.explanation = tell(&finding, device);
    finding
}

fn emitted_at(window_end: EventTime, hold_seconds: u32, config: &Config) -> EventTime {
    window_end.plus_seconds(i64::from(config.lateness_seconds) + i64::from(hold_seconds))
}

fn kind_of(pieces: &[&Piece]) -> FindingKind {
    let bears = |bearing| pieces.iter().any(|piece| piece.evidence.bearing == bearing);
    if bears(Bearing::Compromise) {
        return FindingKind::Compromise;
    }
    if bears(Bearing::Fault) { FindingKind::Fault } else { FindingKind::Anomaly }
}

/// Certain evidence of a compromise is high, and critical where the device is; everything else is for a person to look at.
fn severity_of(pieces: &[(Piece, f64)], kind: FindingKind, criticality: Criticality) -> Severity {
    if kind != FindingKind::Compromise {
        return Severity::Medium;
    }
    let certain = pieces.iter().any(|(piece, weight)| {
        piece.evidence.attack && *weight >= CERTAIN_ATTACK * MAX_WEIGHT
            || piece.evidence.strong && *weight >= CERTAIN_STAY * MAX_WEIGHT
    });
    match (certain, criticality) {
        (false, _) => Severity::Medium,
        (true, Criticality::High | Criticality::Critical) => Severity::Critical,
        (true, _) => Severity::High,
    }
}

fn reason(evidence: &Evidence, weight: f64) -> Reason {
    Reason {
        detector: SmolStr::new_static(evidence.detector),
        subject: evidence.subject.clone(),
        observed: evidence.observed.clone(),
        expected_type: evidence.expected_type.clone(),
        expected_device: evidence.expected_device.clone(),
        peers_now: evidence.peers_now.clone(),
        first_seen_type: evidence.first_seen_type,
        first_seen_device: evidence.first_seen_device,
        technique: (!evidence.technique.is_empty()).then(|| SmolStr::new_static(evidence.technique)),
        evidence: weight,
        records: evidence.records,
    }
}

fn tell(finding: &Finding, device: &Device) -> String {
    let device_type = if device.device_type.is_empty() { "unknown type" } else { device.device_type.as_str() };
    let mut text = format!(
        "{} ({device_type}, {} criticality): {}, severity {}.",
        device.id,
        device.criticality.name(),
        finding.kind,
        finding.severity,
    );
    for reason in finding.reasons.iter().take(3) {
        text.push_str(&format!(" {}: {}", reason.subject, reason.observed));
        if let Some(expected) = reason.expected_device.as_ref().or(reason.expected_type.as_ref()) {
            text.push_str(&format!(" (expected: {expected})"));
        }
        text.push('.');
    }
    text.push_str(&format!(
        " Evidence {:.1} against a line of {:.1}; at most {} normal device-days show as much.",
        finding.score,
        finding.line,
        one_in(finding.p_value)
    ));
    text
}

fn one_in(probability: f64) -> String {
    if probability >= 0.1 {
        format!("{:.0} % of", probability * 100.0)
    } else {
        format!("1 in {:.0}", 1.0 / probability)
    }
}

/// A group changed or went quiet together.
pub(crate) fn group_finding(
    devices: Vec<&Device>,
    group: &Group,
    evidence: Option<&Evidence>,
    at: EventTime,
    prepared: &Prepared,
    width: i64,
    config: &Config,
) -> Finding {
    let device_type = devices.first().map_or_else(SmolStr::default, |device| device.device_type.clone());
    let segment = devices.first().map_or_else(SmolStr::default, |device| device.segment.clone());
    let kind = if group.outage { FindingKind::Outage } else { FindingKind::Change };
    let slot = at.0.div_euclid(3600 * MICROS_PER_SECOND).to_string();
    let names: Vec<SmolStr> = devices.iter().map(|device| device.id.clone()).collect();
    let what = if group.outage { "went quiet or lost their service" } else { "began something new" };
    let explanation = format!(
        "{} of the {device_type} devices {what} within two hours: {}. Shared by so many it makes it the group's own ({kind}), and \
         no device of it is accused for it: {}.",
        names.len(),
        group.topic,
        names.join(", "),
    );
    Finding {
        finding_id: stable_id(&["fleet", &device_type, &segment, kind.name(), &slot]),
        incident_id: String::new(),
        scope: Scope::Fleet,
        device_id: SmolStr::default(),
        devices: names,
        device_type,
        kind,
        severity: Severity::Low,
        confidence: Confidence::Ready,
        score: evidence.map_or(0.0, |evidence| evidence.weight),
        line: 0.0,
        p_value: 1.0,
        detectors: vec![SmolStr::new_static("peers"), SmolStr::new_static(evidence.map_or("gap", |it| it.detector))],
        technique: SmolStr::new_static(if group.outage { "T0826" } else { "" }),
        emitted_at: emitted_at(at, config.hold_seconds, config),
        window_start: EventTime(at.0 - width),
        window_end: at,
        baseline_version: prepared.version,
        reasons: evidence.iter().map(|evidence| reason(evidence, evidence.weight)).collect(),
        explanation,
    }
}

/// The inventory does not know the device, or has retired it: told once, outside the budget.
pub(crate) fn standing_finding(
    device: &Device,
    kind: FindingKind,
    at: EventTime,
    width: i64,
    config: &Config,
) -> Finding {
    let (severity, technique, words) = match kind {
        FindingKind::RetiredDevice => (Severity::Medium, "T1078", "is retired in the inventory and speaks again"),
        _ => (Severity::Low, "T1200", "is not in the inventory and originates or answers traffic"),
    };
    let day = at.day().to_string();
    let once = if kind == FindingKind::RetiredDevice { day.as_str() } else { "" };
    Finding {
        finding_id: stable_id(&[kind.name(), &device.id, once]),
        incident_id: String::new(),
        scope: Scope::Device,
        device_id: device.id.clone(),
        devices: vec![device.id.clone()],
        device_type: device.device_type.clone(),
        kind,
        severity,
        confidence: Confidence::Ready,
        score: 0.0,
        line: 0.0,
        p_value: 1.0,
        detectors: vec![SmolStr::new_static("inventory")],
        technique: SmolStr::new_static(technique),
        emitted_at: emitted_at(at, 0, config),
        window_start: EventTime(at.0 - width),
        window_end: at,
        baseline_version: 0,
        reasons: Vec::new(),
        explanation: format!("{} {words}. Add it to the inventory, or find out whose it is.", device.id),
    }
}
