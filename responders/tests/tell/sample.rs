//! Findings, incidents and changes to tell of: one of each that is plain, and many that are not.

use std::sync::Arc;

use fleet::device::Standing;
use fleet::id::stable_hash;
use fleet::{
    Confidence, Criticality, Device, DeviceKey, EventTime, Finding, FindingKind, Incident, Level, Mode, Position,
    Profile, Reason, Scope, Severity, State,
};
use responders::gateways::Key;
use responders::tell::{Change, Names};
use smol_str::format_smolstr;

pub fn at(seconds: i64) -> EventTime {
    EventTime(1_767_225_600_000_000).plus_seconds(seconds)
}

pub fn finding(device: &str, incident: &str, severity: Severity) -> Finding {
    Finding {
        finding_id: format!("finding-of-{incident}-{severity}"),
        incident_id: incident.to_owned(),
        scope: Scope::Device,
        device_id: device.into(),
        devices: vec![device.into()],
        device_type: "dome_camera".into(),
        kind: FindingKind::Compromise,
        severity,
        confidence: Confidence::Ready,
        score: 31.5,
        line: 12.0,
        p_value: 0.0001,
        detectors: vec!["contacts".into(), "statistics".into()],
        technique: "T1041".into(),
        emitted_at: at(0),
        window_start: at(-180),
        window_end: at(-120),
        baseline_version: 3,
        reasons: vec![Reason {
            detector: "contacts".into(),
            subject: "https to 203.0.113.9".into(),
            observed: "gave much and took little; 1.0 M bytes out, 2 k in, 4 flows".to_owned(),
            expected_type: Some("https to cloud.example and 2 others".to_owned()),
            expected_device: None,
            peers_now: Some("0 of 12".to_owned()),
            first_seen_type: Some(true),
            first_seen_device: Some(true),
            technique: Some("T1041".into()),
            evidence: 19.5,
            records: Some((Position { source: 0, offset: 7 }, Position { source: 0, offset: 12 })),
        }],
        explanation: format!("{device} gave much to an address nobody of its type knows."),
    }
}

pub fn incident(finding: &Finding) -> Incident {
    Incident {
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
        findings: 1,
    }
}

pub fn change(action: &str, incident: &str, from: Option<State>, to: State, mode: Mode) -> Change {
    Change {
        seq: 41,
        at: at(30),
        action_id: action.to_owned(),
        incident_id: incident.to_owned(),
        finding_id: format!("finding-of-{incident}-high"),
        device_id: "camera-01".into(),
        device_type: "dome_camera".into(),
        level: Level::Quarantine,
        from,
        to,
        gateway: "broker".into(),
        playbook: "quarantine-compromise".into(),
        mode,
        reason: "compromise of severity high".to_owned(),
        by: "policy".into(),
        expires_at: Some(at(3600)),
    }
}

pub fn device(id: &str) -> Device {
    let profile = Profile {
        device_type: "dome_camera".into(),
        site: "lab".into(),
        segment: "video".into(),
        owner: "building services".into(),
        purpose: "entrance".into(),
        ..Profile::default()
    };
    Device {
        key: DeviceKey(0),
        id: id.into(),
        criticality: Criticality::High,
        standing: Standing::Active,
        profile: Arc::new(profile),
    }
}

pub fn names() -> Names {
    [(Key::Ip, "192.168.10.11".into()), (Key::Mac, "54:ef:44:a0:00:01".into())].into()
}

/// A number below `most`, the same for the same seed and purpose.
pub fn pick(seed: u64, what: &str, most: usize) -> usize {
    (stable_hash(&[what, &seed.to_string()]) % most as u64) as usize
}

pub fn one<T: Clone>(seed: u64, what: &str, of: &[T]) -> T {
    of[pick(seed, what, of.len())].clone()
}

/// Findings of every scope, kind, severity and confidence, with odd names, empty parts and impossible numbers.
pub fn any_finding(seed: u64) -> Finding {
    const TEXTS: [&str; 6] =
        ["", "plain", "with \"quotes\" ] \\ and\nlines", "\u{0}\u{7}", "größer – 摄像机", "<!channel> @all"];
    let mut finding =
        finding(one(seed, "device", &["camera-01", "cam \"2\"", "摄像机"]), &format!("i{seed}"), Severity::High);
    finding.scope = one(seed, "scope", Scope::ALL);
    if finding.scope != Scope::Device {
        finding.device_id = Default::default();
        finding.devices = (0..pick(seed, "devices", 300)).map(|number| format_smolstr!("device-{number}")).collect();
    }
    finding.kind = one(seed, "kind", FindingKind::ALL);
    finding.severity = one(seed, "severity", Severity::ALL);
    finding.confidence = one(seed, "confidence", Confidence::ALL);
    finding.device_type = one(seed, "type", &["", "dome_camera", "a/b c"]).into();
    finding.technique = one(seed, "technique", &["", "T1110.001", "T0826", "T9999"]).into();
    finding.score = one(seed, "score", &[0.0, 31.5, f64::INFINITY, f64::NAN, -0.0]);
    finding.p_value = one(seed, "p", &[0.0, 1.0, 1e-300]);
    finding.explanation = one(seed, "explanation", &TEXTS).repeat(1 + pick(seed, "times", 900));
    finding.detectors.truncate(pick(seed, "detectors", 3));
    let reason = finding.reasons[0].clone();
    finding.reasons = (0..pick(seed, "reasons", 9) as u64)
        .map(|number| {
            let seed = seed * 31 + number;
            let text = |what: &str| one(seed, what, &TEXTS).to_owned();
            Reason {
                detector: one(seed, "detector", &["rules", "contacts", "silence", "drift", "new one"]).into(),
                subject: one(seed, "subject", &["", "bytes_out", "mqtt from fe80::1", "ssh to 10.0.0.7"]).into(),
                observed: text("observed"),
                expected_type: one(seed, "et", &[None, Some(text("type's"))]),
                expected_device: one(seed, "ed", &[None, Some(text("device's"))]),
                peers_now: one(seed, "peers", &[None, Some(text("peers'"))]),
                first_seen_type: one(seed, "ft", &[None, Some(true), Some(false)]),
                records: one(seed, "records", &[None, reason.records]),
                technique: one(seed, "of reason", &[None, Some("T1048.003".into()), Some("".into())]),
                evidence: one(seed, "evidence", &[0.0, 4.5, f64::NEG_INFINITY]),
                ..reason.clone()
            }
        })
        .collect();
    finding
}
