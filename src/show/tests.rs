//! What the readers print, on hand-made rows.

use datasets::scorecard::run::{Episode, RunInfo};
use fleet::{
    Action, Confidence, EventTime, Finding, FindingKind, Incident, Level, Mode, Position, Reason, Scope, Severity,
    State,
};
use store::EvidenceRow;

use super::findings::{list, page};
use super::timeline::{self, Point, near_misses};

fn at(seconds: i64) -> EventTime {
    EventTime::default().plus_seconds(10 * 86_400 + seconds)
}

fn run() -> RunInfo {
    RunInfo {
        dataset: "hand".into(),
        title: "".into(),
        semi_synthetic: false,
        seed: 1,
        version: "".into(),
        baseline_version: 1,
        budget: 20.0,
        learn_until: at(0),
        end: at(86_400),
        days_watched: None,
        episodes: vec![Episode {
            name: "visit".into(),
            device_ids: vec!["led-2".into()],
            start: at(3600),
            end: at(7200),
            incident: true,
        }],
        sources: vec!["day-1.jsonl.gz".into(), "day-2.jsonl.gz".into()],
        topics: vec![],
        readings: 0,
        rejected: Default::default(),
        late: 0,
        seconds: 0.0,
        state: datasets::scorecard::run::RunState::Complete,
    }
}

fn reason() -> Reason {
    Reason {
        detector: "destinations".into(),
        subject: "tcp/6667 198.51.100.7".into(),
        observed: "40 flows, 3.1 kB out".into(),
        expected_type: Some("never seen on 28 device-days".into()),
        expected_device: None,
        peers_now: Some("0 of 6 peers".into()),
        first_seen_type: Some(true),
        first_seen_device: Some(true),
        technique: Some("T1071".into()),
        evidence: 11.25,
        records: Some((Position { source: 1, offset: 41 }, Position { source: 1, offset: 99 })),
    }
}

fn finding(end: i64) -> Finding {
    Finding {
        finding_id: format!("f{end}"),
        incident_id: "incident-1".into(),
        scope: Scope::Device,
        device_id: "led-2".into(),
        devices: vec!["led-2".into()],
        device_type: "led".into(),
        kind: FindingKind::Compromise,
        severity: Severity::High,
        confidence: Confidence::Ready,
        score: 24.0,
        line: 12.0,
        p_value: 2e-4,
        detectors: vec!["destinations".into(), "beacon".into()],
        technique: "T1071".into(),
        emitted_at: at(end + 70),
        window_start: at(end - 60),
        window_end: at(end),
        baseline_version: 3,
        reasons: vec![reason()],
        explanation: "led-2 began to talk to an address nobody of its type knows.".into(),
    }
}

#[test]
fn a_finding_in_full() {
    let incident = Incident {
        incident_id: "incident-1".into(),
        scope: Scope::Device,
        device_id: "led-2".into(),
        device_type: "led".into(),
        kind: FindingKind::Compromise,
        severity: Severity::High,
        opened_at: at(3670),
        closed_at: None,
        first_window: at(3600),
        last_window: at(3660),
        findings: 1,
    };
    let action = Action {
        action_id: "a".into(),
        seq: 1,
        at: at(3730),
        state: State::Proposed,
        note: Default::default(),
        incident_id: "incident-1".into(),
        finding_id: "f3660".into(),
        device_id: "led-2".into(),
        device_type: "led".into(),
        level: Level::Quarantine,
        mode: Mode::Observe,
        gateway: Default::default(),
        playbook: "compromise".into(),
        by: "policy".into(),
        reason: "the kind is compromise and the severity high".into(),
        decided_at: at(3730),
        until: None,
    };
    let text = page(&finding(3660), Some(&incident), &[action], &run());
    for part in [
        "Finding f3660: compromise, high",
        "led-2 began to talk",
        "24.0 against a line of 12.0; as much on 1 in 5,000",
        "version 3, ready",
        "destinations and beacon",
        "ATT&CK T1071",
        "incident-1: 1 finding since",
        "still open",
        "incident `visit`",
        "1. destinations: tcp/6667 198.51.100.7 (evidence 11.2",
        "its type: never seen on 28 device-days",
        "its peers now: 0 of 6 peers",
        "first seen: now, for the whole type",
        "records: day-2.jsonl.gz:42 to day-2.jsonl.gz:100",
        "quarantine led-2, observe mode: would act, because the kind is compromise",
    ] {
        assert!(text.contains(part), "no `{part}` in\n{text}");
    }
    assert!(text.lines().all(|line| line.chars().count() <= 110), "{text}");
}

#[test]
fn labels_are_held_against_it() {
    let without = |run: &RunInfo| page(&finding(60), None, &[], run);
    assert!(without(&run()).contains("nothing: a false finding"));
    assert!(without(&run()).contains("nothing was decided"));
    let unlabelled = RunInfo { episodes: vec![], ..run() };
    assert!(!without(&unlabelled).contains("labelled"));
}

#[test]
fn the_list_is_in_the_order_of_emission_and_counts_groups() {
    let group = Finding {
        scope: Scope::Fleet,
        device_id: "".into(),
        devices: vec!["led-1".into(), "led-2".into()],
        kind: FindingKind::Change,
        ..finding(120)
    };
    let text = list(&mut [finding(3660), group]);
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[1].contains("f120") && lines[1].contains("2 devices of led"), "{text}");
    assert!(lines[2].contains("f3660") && lines[2].contains("led-2"), "{text}");
    assert_eq!(list(&mut []), "no findings\n");
}

fn point(end: i64, evidence: f32) -> Point {
    Point { start: at(end - 60), end: at(end), records: 2, malicious: 0, evidence, line: 10.0 }
}

fn evidence(end: i64, detector: &str, evidence: f64) -> EvidenceRow {
    EvidenceRow {
        device_id: "led-2".into(),
        device_type: "led".into(),
        window_start: at(end - 60),
        window_end: at(end),
        detector: detector.into(),
        subject: "flows".into(),
        observed: "9".into(),
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

#[test]
fn near_misses_are_joined_and_findings_excuse_them() {
    let points = [point(60, 6.0), point(120, 1.0), point(1800, 8.0), point(40_000, 4.9), point(50_000, 7.0)];
    let rows = [evidence(60, "forest", 3.0), evidence(1800, "scan", 6.0), evidence(50_000, "beacon", 5.0)];
    let near = near_misses(&points, &rows, &[]);
    assert_eq!(near.len(), 2, "{near:?}");
    assert_eq!((near[0].start, near[0].end, near[0].share), (at(0), at(1800), 0.8));
    assert_eq!(near[0].reason, "scan: flows, 9");
    let caught = finding(50_000);
    assert_eq!(near_misses(&points, &rows, &[&caught]).len(), 1);
}

#[test]
fn a_timeline_has_a_bar_the_line_and_the_findings() {
    let points: Vec<Point> = (1..=120).map(|minute| point(minute * 60, minute as f32 / 10.0)).collect();
    let rows = [evidence(3000, "forest", 3.0)];
    let caught = finding(7200);
    let text = timeline::render(&points, &rows, &[&caught], 12);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 13, "{text}");
    assert!(lines[1].contains("20") && lines[1].contains("10 %") && lines[1].contains('|'), "{text}");
    assert!(lines[12].contains("120 %") && lines[12].contains("########"), "{text}");
    assert!(lines[12].contains("<< compromise f7200"), "emitted after the last window\n{text}");
    assert!(lines[5].contains("forest: flows, 9"), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 110), "{text}");
    assert_eq!(timeline::render(&[], &[], &[], 12), "nothing is stored of that time\n");
    let silent = timeline::render(&[], &[evidence(60, "silence", 11.0)], &[], 12);
    assert!(silent.contains("110 %") && silent.contains("silence: flows, 9"), "{silent}");
}

#[test]
fn a_long_time_in_few_rows() {
    let points: Vec<Point> = (0..1000).map(|hour| point(hour * 3600, 1.0)).collect();
    let rows = timeline::render(&points, &[], &[], 20).lines().count();
    assert!((10..=22).contains(&rows), "{rows} rows");
}

#[test]
fn paths_are_one_word_to_a_shell() {
    let pasted = |path: &str| super::pasted(std::path::Path::new(path));
    assert_eq!(pasted("out/store-100"), "out/store-100");
    assert_eq!(pasted("~/my out"), "'~/my out'");
    assert_eq!(pasted("it's"), r"'it'\''s'");
    assert_eq!(super::word("lamp 1; touch x $(id)"), "'lamp 1; touch x $(id)'");
    assert!(super::command("findings list", std::path::Path::new("a b")).ends_with(" findings list --store 'a b'"));
}
