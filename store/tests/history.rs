//! What a trainer asks back, and versions that are written once.

mod common;

use common::*;
use fleet::{EventTime, Finding, FindingKind, Incident, Level, Scope, Severity, State};
use store::{
    ANNOUNCED, BaselineRow, Config, Error, Heard, History, ParquetStore, Restriction, Spell, Store, Transition,
    VerdictRow, restrictions,
};

fn store() -> (tempfile::TempDir, ParquetStore) {
    let dir = tempfile::tempdir().unwrap();
    let store = ParquetStore::create(&dir.path().join("out"), Config::default()).unwrap();
    (dir, store)
}

#[test]
fn who_was_heard_is_counted_within_the_time_asked_for() {
    let (_dir, store) = store();
    fill(&store);
    let heard = store.heard(minute(2)..minute(5)).unwrap();
    assert_eq!(heard.len(), 8);
    assert_eq!(heard[3], Heard { device_id: "device-00003".into(), windows: 3, first: minute(2) });
    assert!(store.heard(minute(6)..EventTime::MAX).unwrap().is_empty());
}

fn of_kind(number: u32, kind: FindingKind) -> Finding {
    Finding { kind, ..finding(number) }
}

/// Finding `number` is about minutes `number - 2` to `number - 1`, and of incident `number / 2`.
fn spell(number: u32, kind: FindingKind, from: i64, until: i64) -> Spell {
    Spell { device_id: device(number).id.clone(), kind, from: minute(from), until: minute(until) }
}

#[test]
fn a_device_is_not_itself_in_its_findings_and_in_their_incidents() {
    let (_dir, store) = store();
    let outage = Finding {
        scope: Scope::Fleet,
        device_id: "".into(),
        devices: vec![device(6).id.clone(), device(8).id.clone()],
        ..of_kind(40, FindingKind::Outage)
    };
    let others = [of_kind(20, FindingKind::Posture), of_kind(22, FindingKind::UnknownDevice)];
    store.write_findings("all", &[finding(10), outage, others[0].clone(), others[1].clone()]).unwrap();
    let expected = [
        spell(6, FindingKind::Outage, 38, 39),
        spell(8, FindingKind::Outage, 38, 39),
        spell(10, FindingKind::Compromise, 8, 9),
    ];
    let all = EventTime::MIN..EventTime::MAX;
    assert_eq!(store.spells(all.clone(), minute(0)).unwrap(), expected);
    assert_eq!(store.spells(minute(9)..minute(38), minute(0)).unwrap(), []);
    let incident = Incident {
        incident_id: "incident-5".to_owned(),
        scope: Scope::Device,
        device_id: device(10).id.clone(),
        device_type: "camera".into(),
        kind: FindingKind::Compromise,
        severity: Severity::High,
        opened_at: minute(10),
        closed_at: None,
        first_window: minute(7),
        last_window: minute(30),
        findings: 3,
    };
    store.write_incidents(&[incident]).unwrap();
    assert_eq!(store.spells(all, minute(0)).unwrap()[2], spell(10, FindingKind::Compromise, 7, 30));
}

#[test]
fn what_a_person_called_normal_is_and_so_is_a_change_that_lasts() {
    let (_dir, store) = store();
    store.write_findings("all", &[finding(10), of_kind(12, FindingKind::Change)]).unwrap();
    let all = || EventTime::MIN..EventTime::MAX;
    assert_eq!(store.spells(all(), minute(0)).unwrap().len(), 2);
    assert_eq!(store.spells(all(), minute(11)).unwrap(), [spell(10, FindingKind::Compromise, 8, 9)]);
    let verdict = |at, verdict: &str| VerdictRow {
        finding_id: finding(10).finding_id,
        verdict: verdict.into(),
        author: "ann".into(),
        given_at: minute(at),
        note: String::new(),
    };
    store.write_verdicts("first", &[verdict(50, "false")]).unwrap();
    assert_eq!(store.spells(all(), minute(11)).unwrap(), []);
    store.write_verdicts("second", &[verdict(51, "true")]).unwrap();
    assert_eq!(store.spells(all(), minute(11)).unwrap().len(), 1, "the latest verdict counts");
}

#[test]
fn findings_come_in_the_order_in_which_they_were_told() {
    let (_dir, store) = store();
    store.write_findings("late", &[finding(14), finding(12)]).unwrap();
    store.write_findings("early", &[finding(10)]).unwrap();
    let all = store.read_findings(EventTime::MIN..EventTime::MAX).unwrap();
    assert_eq!(all, [finding(10), finding(12), finding(14)]);
    let (second, third) = (all[1].emitted_at, all[2].emitted_at);
    assert_eq!(store.read_findings(second..third).unwrap(), [finding(12)]);
}

#[test]
fn incidents_are_looked_up_by_their_ids_as_they_are_now() {
    let (_dir, store) = store();
    let incident = |id: &str, closed_at| Incident {
        incident_id: id.to_owned(),
        scope: Scope::Device,
        device_id: device(10).id.clone(),
        device_type: "camera".into(),
        kind: FindingKind::Compromise,
        severity: Severity::High,
        opened_at: minute(10),
        closed_at,
        first_window: minute(7),
        last_window: minute(30),
        findings: 3,
    };
    store.write_incidents(&[incident("b", None), incident("a", None), incident("c", None)]).unwrap();
    let closed = incident("a", Some(minute(90)));
    store.write_incidents(std::slice::from_ref(&closed)).unwrap();
    let found = store.read_incidents(&["b", "a", "unheard of"].into()).unwrap();
    assert_eq!(found, [closed, incident("b", None)]);
}

/// Transitions of one action, from `start` on a minute each.
fn action(id: &str, device_id: &str, level: Level, start: i64, states: &[State]) -> Vec<Transition> {
    let transition = |(seq, state): (u64, &State)| Transition {
        action_id: id.to_owned(),
        seq,
        device_id: device_id.into(),
        level,
        state: *state,
        at: minute(start + seq as i64),
    };
    (0..).zip(states).map(transition).collect()
}

#[test]
fn actions_restrict_from_applied_to_released() {
    use State::{Applied, Applying, Approved, Failed, Proposed, Released, Releasing, Verified};
    let whole = [Proposed, Approved, Applying, Applied, Verified, Applying, Applied, Verified, Releasing, Released];
    let mut all = [
        action("a", "lamp", Level::Quarantine, 0, &whole),
        // Begins before the other one ends, and could not be taken back.
        action("b", "lamp", Level::Throttle, 5, &[Applying, Applied, Releasing, Releasing, Failed]),
        action("c", "lock", Level::Quarantine, 0, &[Applying, Failed]),
        action("d", "lock", Level::Quarantine, 30, &[Applying, Applied, Failed]),
        action("e", "lock", Level::Disable, 40, &whole),
        action("f", "gate", Level::Notify, 0, &whole),
        action("g", "gate", Level::Quarantine, 0, &[Applying, Applied]),
    ]
    .concat();
    all.reverse();
    let restriction = |id: &str, from, until: Option<i64>| Restriction {
        device_id: id.into(),
        from: minute(from),
        until: until.map(minute),
    };
    let expected = [
        restriction("gate", 1, None),
        restriction("lamp", 3, None),
        restriction("lock", 31, Some(32)),
        restriction("lock", 43, Some(49)),
    ];
    assert_eq!(restrictions(all), expected);
}

fn baseline(version: u32, windows: u64) -> BaselineRow {
    BaselineRow {
        version,
        device_type: "camera".into(),
        segment: "".into(),
        from_time: minute(0),
        confidence: fleet::Confidence::Ready,
        devices: 3,
        windows,
        days: 2,
        body: "{}".to_owned(),
    }
}

#[test]
fn a_version_is_never_replaced() {
    let (_dir, store) = store();
    store.write_baselines(1, &[baseline(1, 5)]).unwrap();
    store.write_baselines(1, &[baseline(1, 5)]).unwrap();
    let taken = store.write_baselines(1, &[baseline(1, 6)]);
    assert!(matches!(taken, Err(Error::VersionTaken { version: 1 })), "{taken:?}");
    assert_eq!(store.read_baselines().unwrap(), [baseline(1, 5)]);
}

#[test]
fn baselines_may_be_added_beside_the_one_who_writes() {
    let (dir, store) = store();
    let beside = ParquetStore::beside(&dir.path().join("out"), Config::default()).unwrap();
    beside.write_baselines(1, &[baseline(1, 5)]).unwrap();
    let announced = BaselineRow { device_type: "".into(), segment: ANNOUNCED.into(), ..baseline(1, 0) };
    beside.write_announcement("announced-1", &announced).unwrap();
    assert!(matches!(beside.write_findings("all", &[finding(0)]), Err(Error::ReadOnly { .. })));
    assert!(matches!(beside.write_memory("lane", minute(0), b"x"), Err(Error::ReadOnly { .. })));
    let rows = store.read_baselines().unwrap();
    assert_eq!((rows.len(), rows.iter().filter(|row| row.is_announcement()).count()), (2, 1));
    store.write_baselines(1, &[baseline(1, 5)]).unwrap();
    assert!(matches!(store.write_baselines(1, &[baseline(1, 9)]), Err(Error::VersionTaken { .. })));
    drop(store);
    ParquetStore::beside(&dir.path().join("out"), Config::default())
        .unwrap()
        .write_findings("all", &[finding(0)])
        .unwrap();
}
