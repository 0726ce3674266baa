//! What is written is read back as it was, once, however often it is written.

mod common;

use common::*;
use fleet::reading::Position;
use fleet::{Action, DeviceKey, EventTime, Incident, Level, Mode, Scope, Severity, State};
use store::{
    ALWAYS, BaselineRow, Config, DeviceRow, Error, EvidenceRow, Format, ParquetStore, RejectedRow, Step, Store,
    VerdictRow,
};

fn store() -> (tempfile::TempDir, ParquetStore) {
    let dir = tempfile::tempdir().unwrap();
    let store = ParquetStore::create(&dir.path().join("out"), Config::default()).unwrap();
    (dir, store)
}

#[test]
fn steps_written_again_replace_themselves() {
    let (_dir, store) = store();
    fill(&store);
    assert_eq!(counts(&store), FILLED);
    fill(&store);
    assert_eq!(counts(&store), FILLED);
    assert_eq!(store.steps(1).unwrap(), [(minute(1), minute(3)), (minute(4), minute(6))]);
}

#[test]
fn a_step_done_again_without_evidence_leaves_none_of_it() {
    let (_dir, store) = store();
    let data = StepData::new(0, 0, 3, 8);
    store.write_step(&data.step()).unwrap();
    assert_eq!(count(&store, "select count(*) from evidence"), 4);
    store.write_step(&Step { evidence: &[], ..data.step() }).unwrap();
    assert_eq!(count(&store, "select count(*) from evidence"), 0);
}

#[test]
fn windows_come_back_as_they_were_closed() {
    let (_dir, store) = store();
    fill(&store);
    for compacted in [false, true] {
        if compacted {
            store.compact(EventTime::MAX).unwrap();
        }
        let all = store.windows(ALWAYS, key_of).unwrap();
        let mut expected = Vec::new();
        for at in 0..6 {
            expected.extend((0..8).map(|key| window(key, minute(at))));
        }
        assert_eq!(all, expected, "compacted: {compacted}");
        let some = store.windows(minute(2)..minute(4), |id| key_of(id).filter(|key| key.0 > 5)).unwrap();
        let found: Vec<_> = some.iter().map(|window| (window.start, window.device)).collect();
        let expected = [2, 3].map(|at| [6, 7].map(|key| (minute(at), DeviceKey(key)))).concat();
        assert_eq!(found, expected);
        assert!(some.iter().all(|window| window.contacts.len() == 2 && window.contacts[1].peer.is_some()));
    }
}

#[test]
fn small_tables_come_back_as_they_were_written() {
    let (_dir, store) = store();
    let findings = vec![finding(0), finding(1)];
    store.write_findings("all", &findings).unwrap();
    assert_eq!(store.rows::<fleet::Finding>().unwrap(), findings);

    let action = Action {
        action_id: "a".to_owned(),
        seq: 1,
        at: minute(5),
        state: State::Refused,
        note: Default::default(),
        incident_id: "i".to_owned(),
        finding_id: "f".to_owned(),
        device_id: "device-00001".into(),
        device_type: "camera".into(),
        level: Level::Quarantine,
        mode: Mode::Observe,
        gateway: Default::default(),
        playbook: "compromise".into(),
        by: "policy".into(),
        reason: "it is a gateway".to_owned(),
        decided_at: minute(5),
        until: None,
    };
    store.write_actions("all", std::slice::from_ref(&action)).unwrap();
    assert_eq!(store.rows::<Action>().unwrap(), [action]);

    let incident = |name: &str, closed_at| Incident {
        incident_id: name.to_owned(),
        scope: Scope::Fleet,
        device_id: "".into(),
        device_type: "camera".into(),
        kind: fleet::FindingKind::Change,
        severity: Severity::Info,
        opened_at: minute(1),
        closed_at,
        first_window: minute(0),
        last_window: minute(1),
        findings: 2,
    };
    store.write_incidents(&[incident("b", None), incident("a", None)]).unwrap();
    let closed = [incident("a", None), incident("b", Some(minute(9)))];
    store.write_incidents(&closed[1..]).unwrap();
    assert_eq!(store.rows::<Incident>().unwrap(), closed);
    let later = Incident { opened_at: minute(3 * 24 * 60), ..incident("c", None) };
    store.write_incidents(std::slice::from_ref(&later)).unwrap();
    store.write_incidents(&[incident("b", None), later.clone(), later.clone()]).unwrap();
    let expected = [incident("a", None), incident("b", None), later];
    assert_eq!(store.rows::<Incident>().unwrap(), expected, "those that are not named stay, and nothing stands twice");
    store.compact(EventTime::MAX).unwrap();
    assert_eq!(store.rows::<Incident>().unwrap(), expected);

    let devices =
        [DeviceRow::new(&device(1), Some(minute(0)), Some(minute(1))), DeviceRow::new(&device(2), None, None)];
    store.write_devices(::store::WHOLE, &devices).unwrap();
    assert_eq!(store.rows::<DeviceRow>().unwrap(), devices);

    let baseline = |version| BaselineRow {
        version,
        device_type: "camera".into(),
        segment: "".into(),
        from_time: minute(0),
        confidence: fleet::Confidence::Provisional,
        devices: 3,
        windows: 1 << 40,
        days: 2,
        body: "{\"features\": []}".to_owned(),
    };
    store.write_baselines(1, &[baseline(1)]).unwrap();
    store.write_baselines(2, &[baseline(2)]).unwrap();
    assert_eq!(store.rows::<BaselineRow>().unwrap(), [baseline(1), baseline(2)]);

    let rejected = RejectedRow {
        file: "conn.log".into(),
        position: Position { source: 1, offset: 77 },
        reason: "bad_field".into(),
        detail: "`ts` is `x`".to_owned(),
        sample: "x,\u{fffd}".to_owned(),
    };
    store.write_rejected("batch-0", std::slice::from_ref(&rejected)).unwrap();
    store.write_rejected("batch-0", std::slice::from_ref(&rejected)).unwrap();
    assert_eq!(store.rows::<RejectedRow>().unwrap(), [rejected]);

    let verdict = VerdictRow {
        finding_id: "finding-1".to_owned(),
        verdict: "benign_change".into(),
        author: "ann".into(),
        given_at: minute(3),
        note: "new firmware, as planned".to_owned(),
    };
    store.write_verdicts("finding-1", std::slice::from_ref(&verdict)).unwrap();
    assert_eq!(store.rows::<VerdictRow>().unwrap(), [verdict]);
}

#[test]
fn evidence_of_one_device_in_a_range() {
    let (_dir, store) = store();
    fill(&store);
    let rows: Vec<EvidenceRow> = store.evidence("device-00002", minute(3)..minute(9)).unwrap();
    assert_eq!(rows, [evidence_row(2, 5)]);
}

#[test]
fn equal_runs_give_equal_tables_whatever_their_steps() {
    let (_a, one) = store();
    fill(&one);
    one.compact(EventTime::MAX).unwrap();
    let (_b, other) = store();
    for from in [0, 2, 4] {
        other.write_step(&StepData::new(1, from, from + 2, 8).step()).unwrap();
        other.write_step(&StepData::new(0, from, from + 2, 8).step()).unwrap();
        other.compact(minute(from)).unwrap();
    }
    other.compact(EventTime::MAX).unwrap();
    for sql in ["select * from windows", "select * from contacts"] {
        assert_eq!(text(&one, sql, Format::Csv), text(&other, sql, Format::Csv), "{sql}");
    }
}

#[test]
fn compaction_leaves_one_file_and_later_steps_beside_it() {
    let (_dir, store) = store();
    fill(&store);
    store.compact(minute(3)).unwrap();
    assert_eq!(counts(&store), FILLED);
    assert_eq!(store.steps(0).unwrap(), [(minute(4), minute(6))], "later steps are not committed yet");
    store.compact(EventTime::MAX).unwrap();
    let files = std::fs::read_dir(store.dir().join("tables/windows")).unwrap().count();
    assert_eq!((counts(&store), files), (FILLED, 1));
    // Done again after its compaction, a step is already there.
    fill(&store);
    assert_eq!(counts(&store), FILLED);
}

#[test]
fn a_window_of_a_device_nobody_announced_is_an_error() {
    let (_dir, store) = store();
    let data = StepData { names: names(2), ..StepData::new(0, 0, 1, 8) };
    let error = store.write_step(&data.step()).unwrap_err();
    assert!(matches!(error, Error::UnknownDevice { key: DeviceKey(2) }), "{error}");
}
