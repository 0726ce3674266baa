//! Incidents are told when they change, closed once, and forgotten when nothing can be of them any more: nobody can tell from
//! what is found that they were.

use std::collections::BTreeMap;

use detect::{Config, Joiner};
use fleet::{Confidence, EventTime, Finding, FindingKind, Incident, MICROS_PER_SECOND, Scope, Severity};
use proptest::prelude::*;

const MINUTE: i64 = 60 * MICROS_PER_SECOND;
const DAY: i64 = 1440;
/// 2026-03-02T00:00:00Z
const START: i64 = 1_772_409_600 * MICROS_PER_SECOND;
const LANES: usize = 3;

fn at(minute: i64) -> EventTime {
    EventTime(START + minute * MINUTE)
}

/// Given in the tick that ends at `minute`, as a lane gives it.
fn finding(kind: FindingKind, subject: &str, minute: i64, span: i64) -> Finding {
    let config = Config::default();
    let (scope, waits) = match kind {
        FindingKind::Compromise | FindingKind::UnknownDevice | FindingKind::RetiredDevice => (Scope::Device, false),
        FindingKind::Outage => (Scope::Fleet, true),
        _ => (Scope::Device, true),
    };
    let hold = i64::from(config.hold_seconds);
    // What a group waits for is before it, what a device waits for was before.
    let window_end = if waits && scope == Scope::Device { at(minute).plus_seconds(-hold) } else { at(minute) };
    let wait = if waits { hold } else { 0 };
    let once = match kind {
        FindingKind::UnknownDevice => String::new(),
        FindingKind::RetiredDevice => window_end.day().to_string(),
        _ => window_end.0.to_string(),
    };
    Finding {
        finding_id: format!("{kind} {subject} {once}"),
        incident_id: String::new(),
        scope,
        device_id: if scope == Scope::Device { subject.into() } else { "".into() },
        devices: vec![subject.into()],
        device_type: subject.into(),
        kind,
        severity: Severity::Medium,
        confidence: Confidence::Ready,
        score: 9.0,
        line: 6.0,
        p_value: 0.01,
        detectors: Vec::new(),
        technique: "".into(),
        emitted_at: window_end.plus_seconds(i64::from(config.lateness_seconds) + wait),
        window_start: EventTime(window_end.0 - span * MINUTE),
        window_end,
        baseline_version: 1,
        reasons: Vec::new(),
        explanation: String::new(),
    }
}

fn joiner(lanes: usize) -> Joiner {
    let mut joiner = Joiner::new(&Config::default(), lanes);
    for (number, subject) in SUBJECTS.iter().enumerate() {
        joiner.locate((*subject).into(), ["north", "south"][number % 2].into());
    }
    joiner
}

const SUBJECTS: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
const KINDS: [FindingKind; 5] = [
    FindingKind::Compromise,
    FindingKind::Anomaly,
    FindingKind::Outage,
    FindingKind::UnknownDevice,
    FindingKind::RetiredDevice,
];
/// Minutes between a lane's ticks with findings; the gap between two incidents is 180.
const GAPS: [i64; 9] = [1, 5, 30, 170, 179, 181, 195, 400, 3 * DAY];

/// What became of it all: findings with their incidents in the order of telling, and each incident's latest state.
#[derive(Default, Debug, PartialEq)]
struct Told {
    findings: Vec<(String, String)>,
    incidents: BTreeMap<String, Incident>,
}

impl Told {
    fn take(&mut self, findings: Vec<Finding>, changed: Vec<Incident>) {
        self.findings.extend(findings.into_iter().map(|finding| (finding.finding_id, finding.incident_id)));
        self.incidents.extend(changed.into_iter().map(|incident| (incident.incident_id.clone(), incident)));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// Against a joiner that is only asked at the end, and so has forgotten nothing.
    #[test]
    fn who_forgets_says_the_same(
        events in prop::collection::vec((0..LANES, 0..GAPS.len(), 0..2usize, 0..KINDS.len(), 1..15i64), 1..80),
    ) {
        let (mut straight, mut forgetful) = (joiner(LANES), joiner(LANES));
        let (mut at_once, mut bit_by_bit) = (Told::default(), Told::default());
        let mut clocks = [0; LANES];
        for (lane, gap, subject, kind, span) in events {
            clocks[lane] += GAPS[gap];
            let found = finding(KINDS[kind], SUBJECTS[lane * 2 + subject], clocks[lane], span);
            straight.push(lane, at(clocks[lane]), vec![found.clone()]);
            forgetful.push(lane, at(clocks[lane]), vec![found]);
            let released = forgetful.advance();
            bit_by_bit.take(released, forgetful.changed_incidents());
            let memory = forgetful.memory();
            forgetful = joiner(LANES);
            forgetful.recall(&memory).unwrap();
        }
        let released = straight.finish();
        at_once.take(released, straight.changed_incidents());
        let released = forgetful.finish();
        bit_by_bit.take(released, forgetful.changed_incidents());
        prop_assert_eq!(at_once, bit_by_bit);
    }
}

#[test]
fn memory_follows_what_goes_on() {
    let mut joiner = joiner(2);
    let mut sizes = Vec::new();
    let mut incidents = 0;
    for day in 0..400 {
        let minute = day * DAY + 60;
        let found = [FindingKind::Compromise, FindingKind::RetiredDevice].map(|kind| finding(kind, "a", minute, 5));
        joiner.push(0, at(minute), found.to_vec());
        joiner.push(1, at(minute), Vec::new());
        joiner.advance();
        incidents += joiner.changed_incidents().iter().filter(|incident| incident.findings == 1).count();
        sizes.push(joiner.memory().len());
    }
    assert!(incidents >= 800, "`{incidents}` states were told");
    assert!(sizes[399] <= sizes[9] + 64, "memory grows for ever: {} then {}", sizes[9], sizes[399]);
}

#[test]
fn an_incident_is_told_when_it_changes_and_closed_once() {
    let mut joiner = joiner(2);
    let mut step = |minutes: [i64; 2], findings: Vec<Finding>| {
        joiner.push(0, at(minutes[0]), findings);
        joiner.push(1, at(minutes[1]), Vec::new());
        joiner.advance();
        joiner.changed_incidents()
    };
    let opened = step([10, 10], vec![finding(FindingKind::Compromise, "a", 10, 5)]);
    assert_eq!((opened.len(), opened[0].closed_at, opened[0].findings), (1, None, 1));
    assert!(step([20, 20], Vec::new()).is_empty(), "nothing changed");
    let grown = step([100, 100], vec![finding(FindingKind::Compromise, "a", 100, 5)]);
    assert_eq!((grown.len(), grown[0].closed_at, grown[0].findings), (1, None, 2));
    assert!(step([279, 279], Vec::new()).is_empty());
    let closed = step([280, 279], Vec::new());
    assert_eq!(closed, [Incident { closed_at: Some(at(280)), ..grown[0].clone() }]);
    assert!(step([3 * DAY, 3 * DAY], Vec::new()).is_empty(), "it is closed once");
}

/// The furthest lane closes an incident; one that is behind opens it again, as long as that could be.
#[test]
fn a_lane_that_is_behind_adds_to_what_was_closed() {
    let mut joiner = joiner(2);
    let common = |minute| Finding { device_id: "a".into(), ..finding(FindingKind::Compromise, "a", minute, 5) };
    joiner.push(0, at(10), vec![common(10)]);
    joiner.push(1, at(10), Vec::new());
    joiner.advance();
    let id = joiner.changed_incidents().remove(0).incident_id;
    joiner.push(0, at(30 * DAY), Vec::new());
    joiner.advance();
    assert_eq!(joiner.changed_incidents()[0].closed_at, Some(at(190)));
    joiner.push(1, at(150), vec![common(150)]);
    joiner.advance();
    let again = joiner.changed_incidents().remove(0);
    assert_eq!((again.incident_id, again.findings, again.closed_at), (id, 2, Some(at(330))));
}
