//! Detection Finding (class 2004): what was seen, against what was expected, with the evidence.

use std::net::IpAddr;

use fleet::id::stable_id;
use fleet::{Confidence, Device, Finding, FindingKind, Reason, Scope, Severity};
use serde_json::{Value, json};

use super::attack::attack;
use super::parts::{self, DETECTION, LONG, cut, millis, without_nothing};
use super::{FindingName, Reporter};
use crate::tell::Names;

/// Devices of a group finding that are named one by one.
const MOST_DEVICES: usize = 100;
/// OCSF `activity_id`.
const CREATE: i64 = 1;

pub fn detection(reporter: &Reporter, finding: &Finding, device: Option<&Device>, names: &Names) -> Value {
    let at = finding.emitted_at;
    let uid = stable_id(&["detection", &finding.finding_id]);
    let mut event = parts::event(DETECTION, CREATE, "Create", at, finding.severity);
    event["metadata"] = parts::metadata(reporter, &uid, &finding.incident_id, at, &["host"]);
    event["message"] = cut(&finding.explanation, LONG).into();
    event["finding_info"] = info(finding);
    event["status_id"] = 1.into();
    event["status"] = "New".into();
    event["confidence_id"] = confidence(finding.confidence).0.into();
    event["confidence"] = confidence(finding.confidence).1.into();
    event["is_alert"] = (finding.severity >= Severity::Medium && finding.kind != FindingKind::Posture).into();
    event["start_time"] = millis(finding.window_start).into();
    event["end_time"] = millis(finding.window_end).into();
    event["evidences"] = finding.reasons.iter().map(evidence).collect();
    event["anomaly_analyses"] = finding.reasons.iter().map(|reason| analysis(finding, reason)).collect();
    event["observables"] = observables(finding, names).into();
    let single = finding.scope == Scope::Device;
    if single {
        event["device"] = parts::device(&finding.device_id, &finding.device_type, device, names);
    }
    let devices = finding.devices.iter().take(MOST_DEVICES);
    event["resources"] = devices.map(|id| json!({ "uid": id, "type": "IoT device" })).collect();
    event["unmapped"] = json!({
        "incident_id": finding.incident_id,
        "scope": finding.scope,
        "device_type": finding.device_type,
        "devices": finding.devices.len(),
        "evidence": finite(finding.score),
        "line": finite(finding.line),
        "p_value": finite(finding.p_value),
        "baseline_version": finding.baseline_version,
    });
    without_nothing(event)
}

fn info(finding: &Finding) -> Value {
    let mut attacks: Vec<&str> = vec![&finding.technique];
    for technique in finding.reasons.iter().filter_map(|reason| reason.technique.as_deref()) {
        if !attacks.contains(&technique) {
            attacks.push(technique);
        }
    }
    let analytics: Vec<Value> = finding.detectors.iter().map(|name| analytic(name, finding.baseline_version)).collect();
    json!({
        "uid": finding.finding_id,
        "title": FindingName::of(finding).title,
        "desc": cut(&finding.explanation, LONG),
        "types": [finding.kind],
        "analytic": analytics.first(),
        "related_analytics": analytics.get(1..),
        "attacks": attacks.into_iter().filter_map(attack).collect::<Vec<_>>(),
        "created_time": millis(finding.emitted_at),
        "first_seen_time": millis(finding.window_start),
        "last_seen_time": millis(finding.window_end),
        "product": { "name": "Vedette", "vendor_name": "Vedette" },
    })
}

/// OCSF `analytic.type_id`.
fn analytic(detector: &str, baseline_version: u32) -> Value {
    let (id, caption) = match detector {
        "rules" | "inventory" => (1, "Rule"),
        "contacts" | "beacon" | "silence" | "sign_in" | "peers" | "gap" => (2, "Behavioral"),
        "statistics" | "drift" | "volume" | "stuck" => (3, "Statistical"),
        _ => (99, "Other"),
    };
    json!({ "name": detector, "type_id": id, "type": caption, "version": baseline_version.to_string() })
}

pub(super) fn confidence(confidence: Confidence) -> (i64, &'static str) {
    match confidence {
        Confidence::Learning => (1, "Low"),
        Confidence::Provisional => (2, "Medium"),
        Confidence::Ready => (3, "High"),
    }
}

fn evidence(reason: &Reason) -> Value {
    let record = |position: fleet::Position| json!({ "source": position.source, "offset": position.offset });
    let mut evidence = json!({
        "name": reason.detector,
        "data": {
            "subject": reason.subject,
            "observed": reason.observed,
            "expected_of_type": reason.expected_type,
            "expected_of_device": reason.expected_device,
            "peers_now": reason.peers_now,
            "first_seen_for_type": reason.first_seen_type,
            "first_seen_for_device": reason.first_seen_device,
            "evidence": finite(reason.evidence),
            "first_record": reason.records.map(|(first, _)| record(first)),
            "last_record": reason.records.map(|(_, last)| record(last)),
        },
    });
    if let Some((endpoint, ip)) = endpoint(&reason.subject) {
        evidence[endpoint] = json!({ "ip": ip });
    }
    evidence
}

/// Subjects of contacts read `service to address` or `service from address`.
fn endpoint(subject: &str) -> Option<(&'static str, IpAddr)> {
    let mut words = subject.rsplit(' ');
    let ip = words.next()?.parse().ok()?;
    Some((if words.next() == Some("from") { "src_endpoint" } else { "dst_endpoint" }, ip))
}

/// The slot OCSF 1.5 has for a value beside its baseline.
fn analysis(finding: &Finding, reason: &Reason) -> Value {
    let mut targets = vec![json!({ "name": finding.device_type, "type": "device type" })];
    if finding.device_type.is_empty() {
        targets = vec![json!({ "name": "unknown", "type": "device type" })];
    }
    if !finding.device_id.is_empty() {
        targets.insert(0, json!({ "name": finding.device_id, "type": "device" }));
    }
    let expected = [
        ("expected of the device", &reason.expected_device),
        ("expected of the type", &reason.expected_type),
        ("peers now", &reason.peers_now),
    ];
    let baselines: Vec<Value> = expected
        .into_iter()
        .filter_map(|(what, value)| value.as_ref().filter(|value| !value.is_empty()).map(|value| (what, value)))
        .map(|(what, value)| observation(&reason.subject, what, value))
        .collect();
    let observed = if reason.observed.is_empty() { "seen" } else { reason.observed.as_str() };
    let mut anomaly = observation(&reason.subject, &reason.detector, observed);
    if reason.first_seen_type == Some(true) || reason.first_seen_device == Some(true) {
        anomaly["observed_pattern"] = "UNSEEN".into();
    }
    json!({ "analysis_targets": targets, "baselines": baselines, "anomalies": [anomaly] })
}

fn observation(parameter: &str, kind: &str, value: &str) -> Value {
    let parameter = if parameter.is_empty() { "unnamed" } else { parameter };
    json!({ "observation_parameter": parameter, "observation_type": kind, "observations": [{ "value": value }] })
}

fn observables(finding: &Finding, names: &Names) -> Vec<Value> {
    let mut observables = parts::observables(&finding.device_id, names);
    for (number, reason) in finding.reasons.iter().enumerate() {
        if let Some((endpoint, ip)) = endpoint(&reason.subject) {
            let name = format!("evidences[{number}].{endpoint}.ip");
            observables.push(json!({ "name": name, "type_id": 2, "type": "IP Address", "value": ip }));
        }
    }
    observables
}

/// JSON has no infinities.
fn finite(number: f64) -> Option<f64> {
    number.is_finite().then_some(number)
}
