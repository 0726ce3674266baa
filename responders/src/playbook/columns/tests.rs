use std::collections::BTreeMap;
use std::sync::Arc;

use fleet::device::Standing;
use fleet::{Confidence, Criticality, DeviceKey, EventTime, FindingKind, Profile, Scope, Severity};

use super::*;

const PAGE: &str = include_str!("../../../../docs/playbooks.md");

fn reason(detector: &str, subject: &str, technique: Option<&str>, evidence: f64) -> Reason {
    Reason {
        detector: detector.into(),
        subject: subject.into(),
        observed: String::new(),
        expected_type: None,
        expected_device: None,
        peers_now: None,
        first_seen_type: Some(false),
        first_seen_device: None,
        technique: technique.map(SmolStr::from),
        evidence,
        records: None,
    }
}

fn finding() -> Finding {
    let mut reasons = vec![
        reason("contacts", "tcp/23 to 203.0.113.9", Some("T1110.001"), 9.5),
        reason("beacon", "tcp/23 to 203.0.113.9", Some("T1046"), 0.5),
        reason("rules", "new-country", Some("T1110.001"), 3.0),
    ];
    reasons[1].first_seen_device = Some(true);
    Finding {
        finding_id: "f".into(),
        incident_id: "i".into(),
        scope: Scope::Device,
        device_id: "camera-1".into(),
        devices: vec!["camera-1".into()],
        device_type: "camera".into(),
        kind: FindingKind::Compromise,
        severity: Severity::High,
        confidence: Confidence::Provisional,
        score: 13.0,
        line: 8.5,
        p_value: 0.001,
        detectors: vec!["contacts".into(), "rules".into()],
        technique: "T1110.001".into(),
        // A Sunday.
        emitted_at: EventTime::parse("2026-11-22T15:30:00Z").unwrap(),
        window_start: EventTime::parse("2026-11-22T15:26:00Z").unwrap(),
        window_end: EventTime::parse("2026-11-22T15:28:30Z").unwrap(),
        baseline_version: 7,
        reasons,
        explanation: String::new(),
    }
}

fn device() -> Device {
    let profile = Profile {
        device_type: "camera".into(),
        site: "north".into(),
        segment: "video".into(),
        owner: "facility".into(),
        firmware: "1.2".into(),
        protocol: "rtsp".into(),
        purpose: "surveillance".into(),
        ..Profile::default()
    };
    Device {
        key: DeviceKey(0),
        id: "camera-1".into(),
        criticality: Criticality::High,
        standing: Standing::Active,
        profile: Arc::new(profile),
    }
}

fn named(values: Vec<Value>) -> BTreeMap<&'static str, Value> {
    COLUMNS.iter().map(|column| column.name).zip(values).collect()
}

#[test]
fn every_column_of_a_device_finding() {
    let circumstances = Circumstances { repeats_24h: 2, probation: true, open_actions: 1 };
    let mut row = named(row(&finding(), Some(&device()), circumstances));
    let texts = [
        ("kind", "compromise"),
        ("scope", "device"),
        ("severity", "high"),
        ("confidence", "provisional"),
        ("technique", "T1110.001"),
        ("techniques", " T1110.001 T1046 "),
        ("detectors", " contacts rules "),
        ("first_detector", "contacts"),
        ("first_subject", "tcp/23 to 203.0.113.9"),
        ("subjects", "tcp/23 to 203.0.113.9; tcp/23 to 203.0.113.9; new-country"),
        ("device_type", "camera"),
        ("device_id", "camera-1"),
        ("site", "north"),
        ("segment", "video"),
        ("owner", "facility"),
        ("criticality", "high"),
        ("purpose", "surveillance"),
        ("protocol", "rtsp"),
        ("firmware", "1.2"),
        ("standing", "active"),
    ];
    let numbers = [
        ("severity_rank", 3.0),
        ("score", 13.0),
        ("line", 8.5),
        ("margin", 4.5),
        ("p_value", 0.001),
        ("reasons", 3.0),
        ("top_evidence", 9.5),
        ("devices", 1.0),
        ("baseline_version", 7.0),
        ("window_seconds", 150.0),
        ("hour", 15.0),
        ("weekday", 6.0),
        ("criticality_rank", 2.0),
        ("repeats_24h", 2.0),
        ("open_actions", 1.0),
    ];
    let bools = [("new_to_device", true), ("new_to_type", false), ("probation", true)];
    let expected = texts.map(|(name, it)| (name, Value::Text(it.into()))).into_iter();
    let expected = expected.chain(numbers.map(|(name, it)| (name, Value::Number(it))));
    for (name, value) in expected.chain(bools.map(|(name, it)| (name, Value::Bool(it)))) {
        assert_eq!(row.remove(name), Some(value), "{name}");
    }
    assert!(row.is_empty(), "no value is expected of {row:?}");
}

#[test]
fn a_group_has_no_device_and_a_finding_may_have_no_reason() {
    let mut group = finding();
    group.reasons.clear();
    group.technique = SmolStr::default();
    (group.scope, group.device_id, group.kind) = (Scope::Fleet, SmolStr::default(), FindingKind::Change);
    group.devices.push("camera-2".into());
    let row = named(row(&group, None, Circumstances::default()));
    for name in [
        "device_id",
        "site",
        "segment",
        "owner",
        "criticality",
        "criticality_rank",
        "purpose",
        "protocol",
        "firmware",
        "standing",
    ] {
        assert_eq!(row[name], Value::Unknown, "{name}");
    }
    let unknown = row.values().filter(|value| **value == Value::Unknown).count();
    assert_eq!(unknown, 10, "everything else is known");
    assert_eq!(row["device_type"], Value::Text("camera".into()));
    assert_eq!((&row["techniques"], &row["first_detector"]), (&Value::Text(" ".into()), &Value::Text("".into())));
    assert_eq!((&row["top_evidence"], &row["new_to_device"]), (&Value::Number(0.0), &Value::Bool(false)));
    assert_eq!(row["devices"], Value::Number(2.0));
}

#[test]
fn values_are_of_the_kind_that_their_column_says() {
    for (column, value) in COLUMNS.iter().zip(row(&finding(), Some(&device()), Circumstances::default())) {
        let kind = match value {
            Value::Text(_) => Kind::Text,
            Value::Number(_) => Kind::Number,
            Value::Bool(_) => Kind::Bool,
            Value::Unknown => panic!("`{}` is unknown", column.name),
        };
        assert_eq!(kind, column.kind, "{}", column.name);
    }
}

#[test]
fn ranks_and_names_are_those_of_the_nouns() {
    for (rank, severity) in Severity::ALL.iter().enumerate() {
        let row = named(row(&Finding { severity: *severity, ..finding() }, None, Circumstances::default()));
        assert_eq!(row["severity_rank"], Value::Number(rank as f64), "{severity}");
    }
    for standing in [Standing::Active, Standing::Retired, Standing::Unknown, Standing::Shared] {
        let row = named(row(&finding(), Some(&Device { standing, ..device() }), Circumstances::default()));
        let name = serde_json::to_value(standing).unwrap();
        assert_eq!(row["standing"], Value::Text(name.as_str().unwrap().into()));
    }
    let meaning = |name: &str| COLUMNS.iter().find(|column| column.name == name).unwrap().meaning;
    let words: Vec<&str> = FindingKind::ALL.iter().map(|kind| kind.name()).collect();
    let (last, first) = words.split_last().unwrap();
    assert_eq!(meaning("kind"), format!("{} or {last}", first.join(", ")));
}

#[test]
fn the_documentation_lists_exactly_these_columns() {
    let rows: Vec<String> = COLUMNS
        .iter()
        .map(|column| format!("| `{}` | {} | {} |", column.name, column.kind.name(), column.meaning))
        .collect();
    let table = PAGE.split_once("| column | type | meaning |\n| --- | --- | --- |\n").unwrap().1;
    let listed: Vec<&str> = table.lines().take_while(|line| line.starts_with('|')).collect();
    assert_eq!(listed, rows, "the table of docs/playbooks.md is to be\n{}", rows.join("\n"));
}
