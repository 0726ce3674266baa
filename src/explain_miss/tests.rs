//! What stood in the way of finding an incident, on hand-made rows. The incident lasts an hour from second 0.

use fleet::device::Standing;
use fleet::{Confidence, Criticality, FindingKind, Severity};

use super::*;

fn at(seconds: i64) -> EventTime {
    EventTime::default().plus_seconds(10 * 86_400 + seconds)
}

fn material() -> Material {
    Material {
        episode: Episode {
            name: "slow-upload".into(),
            device_ids: vec!["camera-4".into()],
            start: at(0),
            end: at(3600),
            incident: true,
        },
        device_id: "camera-4".into(),
        device: Some(DeviceRow {
            device_id: "camera-4".into(),
            device_type: "camera".into(),
            site: "".into(),
            segment: "".into(),
            owner: "".into(),
            criticality: Criticality::Medium,
            firmware: "".into(),
            protocol: "".into(),
            purpose: "".into(),
            standing: Standing::Active,
            first_seen: None,
            last_seen: None,
        }),
        points: vec![point(60, 0.0), point(120, 5.0), point(180, 3.0)],
        evidence: vec![evidence(120, "destinations", 5.0), evidence(180, "forest", 1.0)],
        meetings: vec![],
        has_baseline: true,
        findings: vec![],
        incidents: vec![],
        actions: vec![],
    }
}

fn point(end: i64, evidence: f32) -> Point {
    Point { start: at(end - 60), end: at(end), records: 3, malicious: 1, evidence, line: 10.0 }
}

fn evidence(end: i64, detector: &str, evidence: f64) -> EvidenceRow {
    EvidenceRow {
        device_id: "camera-4".into(),
        device_type: "camera".into(),
        window_start: at(end - 60),
        window_end: at(end),
        detector: detector.into(),
        subject: "ssl 203.0.113.9".into(),
        observed: "12 kB out".into(),
        expected_type: None,
        expected_device: None,
        peers_now: None,
        technique: None,
        evidence,
        total: evidence,
        line: 10.0,
        records: None,
    }
}

fn finding(end: i64) -> Finding {
    Finding {
        finding_id: format!("f{end}"),
        incident_id: "i".into(),
        scope: Scope::Device,
        device_id: "camera-4".into(),
        devices: vec!["camera-4".into()],
        device_type: "camera".into(),
        kind: FindingKind::Compromise,
        severity: Severity::High,
        confidence: Confidence::Ready,
        score: 12.0,
        line: 10.0,
        p_value: 1e-3,
        detectors: vec!["destinations".into(), "scan".into()],
        technique: "".into(),
        emitted_at: at(end + 70),
        window_start: at(end - 60),
        window_end: at(end),
        baseline_version: 1,
        reasons: vec![],
        explanation: "".into(),
    }
}

fn meeting(with: &str, known_share: Option<f32>) -> Meeting {
    Meeting { with: with.into(), outbound: true, flows: 1, refused: 0, bytes_out: 0, bytes_in: 0, known_share }
}

fn words(material: &Material) -> String {
    why(material).join("\n")
}

#[test]
fn found_in_time_says_how_long_each_part_took() {
    let mut material = material();
    material.findings = vec![finding(600), finding(120)];
    let text = words(&material);
    assert!(text.starts_with("FOUND: 3:10 after it began, by destinations and scan (finding f120,"), "{text}");
    assert!(
        text.contains("2 findings in all") && text.contains("ended 2:00 after") && text.contains("took 1:10"),
        "{text}"
    );
}

#[test]
fn found_late_says_what_it_waited_for() {
    let mut material = material();
    material.points = vec![point(60, 0.0), point(900, 6.0), point(1200, 11.0)];
    material.points[0].malicious = 0;
    material.evidence = vec![evidence(900, "destinations", 6.0)];
    material.findings = vec![finding(1200)];
    let text = words(&material);
    assert!(text.starts_with("FOUND LATE: 21:10 after"), "{text}");
    assert!(text.contains("window that ended 15:00 after the beginning"), "{text}");
    assert!(text.contains("Half of the line was reached after 15:00"), "{text}");
}

#[test]
fn too_little_evidence() {
    let text = words(&material());
    assert!(text.starts_with("MISSED."), "{text}");
    assert!(text.contains("Evidence reached 5.0 of the 10.0 it takes (50 %)"), "{text}");
    assert!(text.contains("strongest was destinations on ssl 203.0.113.9 (5.0): 12 kB out"), "{text}");
    let mut nothing = material();
    nothing.evidence.clear();
    assert!(words(&nothing).contains("No detector had anything to say"));
}

#[test]
fn absorbed_by_a_group() {
    let mut material = material();
    material.points.push(point(240, 12.0));
    let group = Finding {
        scope: Scope::Fleet,
        device_id: "".into(),
        devices: vec!["camera-4".into(), "camera-5".into()],
        kind: FindingKind::Change,
        ..finding(240)
    };
    material.findings = vec![group];
    let text = words(&material);
    assert!(text.contains("crossed the line") && text.contains("f240 (change, 2 devices of camera)"), "{text}");
    material.findings[0] = Finding { window_start: at(9000), window_end: at(9060), ..material.findings[0].clone() };
    assert!(!words(&material).contains("Group findings"));
}

#[test]
fn an_incident_that_was_open_already_swallows_it() {
    let mut material = material();
    let incident = Incident {
        incident_id: "older".into(),
        scope: Scope::Device,
        device_id: "camera-4".into(),
        device_type: "camera".into(),
        kind: FindingKind::Anomaly,
        severity: Severity::Low,
        opened_at: at(-900),
        closed_at: None,
        first_window: at(-1000),
        last_window: at(-900),
        findings: 1,
    };
    material.incidents = vec![incident.clone()];
    assert!(words(&material).contains("Incident older of this device was open since"));
    material.incidents = vec![Incident { closed_at: Some(at(-60)), ..incident }];
    assert!(!words(&material).contains("older"));
}

#[test]
fn findings_out_of_time() {
    let mut material = material();
    material.findings = vec![finding(-600), finding(3600 + 7200)];
    assert!(words(&material).contains("f-600, is of 10:00 before it began"), "{}", words(&material));
    material.findings.remove(0);
    assert!(words(&material).contains("f10800, is of 1:59:00 after its end"), "{}", words(&material));
}

#[test]
fn whom_it_talked_to() {
    let mut material = material();
    material.meetings = vec![meeting("dns 192.168.1.1:53", Some(0.9))];
    assert!(words(&material).contains("knew everyone"));
    material.meetings.push(meeting("ssl 203.0.113.9:443", None));
    assert!(words(&material).contains("Of 2 contacts, the baseline does not know 1: ssl 203.0.113.9:443."));
    material.has_baseline = false;
    assert!(words(&material).contains("no baseline"));
}

#[test]
fn nothing_to_see() {
    let mut unknown = material();
    unknown.device = None;
    assert!(words(&unknown).contains("The store knows no device `camera-4`"));
    let mut unheard = material();
    unheard.points.clear();
    assert!(words(&unheard).contains("Nothing was heard of it"));
    assert!(words(&unheard).contains("Evidence reached 5.0"), "its silence was a reason");
    let mut silent = material();
    silent.points.iter_mut().for_each(|point| (point.records, point.malicious) = (0, 0));
    assert!(words(&silent).contains("silent throughout"));
}

#[test]
fn the_page_fits_a_terminal() {
    let mut material = material();
    material.findings = vec![finding(120)];
    material.meetings = vec![meeting(&"x".repeat(200), None)];
    let text = material.explain();
    for part in
        ["Incident `slow-upload`: camera-4 (camera)", "Evidence against the line", "<< compromise f120", "not known"]
    {
        assert!(text.contains(part), "no `{part}` in\n{text}");
    }
    assert!(text.lines().all(|line| line.chars().count() <= 110), "{text}");
}
