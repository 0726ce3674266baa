use std::sync::Arc;

use fleet::{Cohort, Criticality, DeviceKey, Profile, Severity};

use super::*;

fn device(id: &str, standing: Standing) -> Device {
    Device {
        key: DeviceKey(0),
        id: id.into(),
        criticality: Criticality::Medium,
        standing,
        profile: Arc::new(Profile {
            device_type: "camera".into(),
            site: "lab".into(),
            cohort: Cohort { device_type: "camera".into(), segment: SmolStr::default(), shard: 0 },
            ..Profile::default()
        }),
    }
}

fn finding(device: &str, minute: i64) -> Finding {
    Finding {
        finding_id: format!("f-{device}-{minute}"),
        incident_id: format!("i-{device}"),
        scope: Scope::Device,
        device_id: device.into(),
        devices: vec![device.into()],
        device_type: "camera".into(),
        kind: FindingKind::Compromise,
        severity: Severity::High,
        confidence: Confidence::Ready,
        score: 12.0,
        line: 6.0,
        p_value: 0.001,
        detectors: vec!["contacts".into()],
        technique: "T1071".into(),
        emitted_at: EventTime(0).plus_seconds(minute * 60),
        window_start: EventTime(0),
        window_end: EventTime(0),
        baseline_version: 1,
        reasons: Vec::new(),
        explanation: String::new(),
    }
}

fn observer() -> Observer {
    Observer::new(Config::default(), BTreeMap::from([("camera".into(), 7)]))
}

#[test]
fn a_certain_compromise_would_be_quarantined_once() {
    let mut observer = observer();
    let camera = device("camera-1", Standing::Active);
    let action = observer.respond(&finding("camera-1", 1), Some(&camera)).unwrap();
    assert_eq!((action.decision, action.mode), (Decision::WouldAct, Mode::Observe));
    assert_eq!(observer.respond(&finding("camera-1", 2), Some(&camera)), None);
}

#[test]
fn what_is_not_the_policys_business_leaves_no_row() {
    let camera = device("camera-1", Standing::Active);
    let mut fault = finding("camera-1", 1);
    fault.kind = FindingKind::Fault;
    assert_eq!(observer().respond(&fault, Some(&camera)), None);
}

#[test]
fn what_is_too_mild_at_first_may_be_grave_later() {
    let mut observer = observer();
    let camera = device("camera-1", Standing::Active);
    let mut mild = finding("camera-1", 1);
    mild.severity = Severity::Medium;
    let refused = observer.respond(&mild, Some(&camera)).unwrap();
    assert_eq!(refused.decision, Decision::Refused);
    assert!(refused.reason.contains("severity medium is below high"), "{}", refused.reason);
    assert_eq!(observer.respond(&finding("camera-1", 2), Some(&camera)).unwrap().decision, Decision::WouldAct);
}

#[test]
fn each_guard_rail_refuses_and_says_why() {
    let mut group = finding("", 1);
    group.scope = Scope::Fleet;
    let mut learning = finding("camera-1", 1);
    learning.confidence = Confidence::Learning;
    for (finding, device, word) in [
        (group, None, "single devices"),
        (finding("camera-1", 1), None, "not in the inventory"),
        (finding("camera-1", 1), Some(device("camera-1", Standing::Unknown)), "unknown"),
        (finding("camera-1", 1), Some(device("camera-1", Standing::Shared)), "shared"),
        (learning, Some(device("camera-1", Standing::Active)), "learning"),
    ] {
        let action = observer().respond(&finding, device.as_ref()).unwrap();
        assert_eq!(action.decision, Decision::Refused);
        assert!(action.reason.contains(word), "{}", action.reason);
    }
}

#[test]
fn the_cap_of_a_type_holds_for_a_day() {
    let mut observer = observer();
    for number in 0..4 {
        let id = format!("camera-{number}");
        let action = observer.respond(&finding(&id, number), Some(&device(&id, Standing::Active))).unwrap();
        let expected = if number < 3 { Decision::WouldAct } else { Decision::Refused };
        assert_eq!(action.decision, expected, "{}", action.reason);
    }
    let next_day = observer.respond(&finding("camera-9", 1443), Some(&device("camera-9", Standing::Active))).unwrap();
    assert_eq!(next_day.decision, Decision::WouldAct);
}

#[test]
fn what_no_later_decision_hangs_on_is_forgotten() {
    let mut observer = observer();
    let mut sizes = Vec::new();
    for day in 0..50 {
        let mut found = finding("camera-1", day * 1440);
        found.incident_id = format!("i-{day}");
        let camera = device("camera-1", Standing::Active);
        assert_eq!(observer.respond(&found, Some(&camera)).unwrap().decision, Decision::WouldAct);
        sizes.push(observer.memory().len());
    }
    assert!(sizes[49] <= sizes[9] + 16, "memory grows for ever: {sizes:?}");
}

#[test]
fn an_incident_that_goes_on_for_weeks_is_decided_once() {
    let mut observer = observer();
    let camera = device("camera-1", Standing::Active);
    assert!(observer.respond(&finding("camera-1", 0), Some(&camera)).is_some());
    for hour in 1..500 {
        let mut milder = finding("camera-1", hour * 60);
        milder.kind = FindingKind::Anomaly;
        assert_eq!(observer.respond(&milder, Some(&camera)), None);
    }
    assert_eq!(observer.respond(&finding("camera-1", 500 * 60), Some(&camera)), None);
}

#[test]
fn who_is_recalled_decides_as_who_never_stopped() {
    let (mut straight, mut recalled) = (observer(), observer());
    for number in [0, 1, 0, 2, 3, 4, 3, 1] {
        let id = format!("camera-{number}");
        let (finding, camera) = (finding(&id, number), device(&id, Standing::Active));
        assert_eq!(straight.respond(&finding, Some(&camera)), recalled.respond(&finding, Some(&camera)));
        assert_eq!(straight.memory(), recalled.memory());
        let mut next = observer();
        next.recall(&recalled.memory()).unwrap();
        recalled = next;
    }
    let mut damaged = recalled.memory();
    *damaged.last_mut().unwrap() ^= 1;
    assert!(recalled.recall(&damaged).unwrap_err().to_string().contains("start over from the log"));
    assert_eq!(recalled.memory(), straight.memory());
}

#[test]
fn a_share_beyond_one_is_refused() {
    let config = Config { cap_share: 1.5, ..Config::default() };
    assert!(config.check().unwrap_err().to_string().contains("`1.5`"));
}
