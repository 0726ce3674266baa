//! What a trainer leaves out is a question to ClickHouse and a function over rows of the embedded store: of the same findings,
//! incidents and verdicts both leave out the same.

use std::ops::Range;

use fleet::Secret;
use fleet::{Confidence, EventTime, Finding, FindingKind, Incident, MICROS_PER_SECOND, Scope, Severity};
use smol_str::SmolStr;
use store::clickhouse::ClickHouseConfig;
use store::clickhouse::config::KEPT_DAYS;
use store::{ClickHouseStore, Config, Home, ParquetStore, VerdictRow};

use super::super::engine::Engine;
use super::super::kafka::are_there;

/// What persons said of a finding, and at which hour.
const SAID: [&[(&str, i64)]; 7] = [
    &[],
    &[("false", 900)],
    &[("true", 900)],
    &[("benign_change", 900)],
    &[("false", 900), ("true", 901)],
    &[("true", 900), ("false", 901)],
    // The latest is the first that was stored.
    &[("true", 901), ("benign_change", 900)],
];

/// Of the finding's incident: nothing, or from when to when in minutes after the finding's window begins.
const INCIDENTS: [Option<(i64, i64)>; 3] = [None, Some((-300, 540)), Some((20, 40))];

fn minute(number: i64) -> EventTime {
    EventTime(1_772_582_400 * MICROS_PER_SECOND).plus_seconds(number * 60)
}

fn hour(number: i64) -> EventTime {
    minute(60 * number)
}

#[derive(Default)]
struct Rows {
    findings: Vec<Finding>,
    incidents: Vec<Incident>,
    verdicts: Vec<VerdictRow>,
}

/// Each kind with each of the others, one an hour.
fn rows() -> Rows {
    let mut rows = Rows::default();
    for kind in FindingKind::ALL {
        for scope in [Scope::Device, Scope::Fleet] {
            for incident in INCIDENTS {
                for said in SAID {
                    rows.add(*kind, scope, incident, said);
                }
            }
        }
    }
    // Once more, by another id: the same devices at the same time.
    let again = Finding { finding_id: "again".to_owned(), ..rows.findings[0].clone() };
    rows.findings.push(again);
    rows
}

impl Rows {
    fn add(&mut self, kind: FindingKind, scope: Scope, incident: Option<(i64, i64)>, said: &[(&str, i64)]) {
        let number = self.findings.len() as i64;
        let (finding_id, incident_id) = (format!("finding-{number}"), format!("incident-{number}"));
        let devices: Vec<SmolStr> = match scope {
            Scope::Device => vec![format!("it's-{}", number % 5).into()],
            _ => vec!["it's-1".into(), "lamp-ü".into(), format!("lamp-{number}").into()],
        };
        let device_id = if scope == Scope::Device { devices[0].clone() } else { SmolStr::default() };
        if let Some((from, until)) = incident {
            self.incidents.push(Incident {
                incident_id: incident_id.clone(),
                scope,
                device_id: device_id.clone(),
                device_type: "lamp".into(),
                kind,
                severity: Severity::High,
                opened_at: hour(number),
                closed_at: None,
                first_window: minute(60 * number + from),
                last_window: minute(60 * number + until),
                findings: 1,
            });
        }
        self.verdicts.extend(said.iter().map(|(verdict, at)| VerdictRow {
            finding_id: finding_id.clone(),
            verdict: (*verdict).into(),
            author: "ann".into(),
            given_at: hour(*at),
            note: String::new(),
        }));
        self.findings.push(Finding {
            finding_id,
            incident_id,
            scope,
            device_id,
            devices,
            device_type: "lamp".into(),
            kind,
            severity: Severity::High,
            confidence: Confidence::Ready,
            score: 12.5,
            line: 9.0,
            p_value: 1e-5,
            detectors: vec!["destinations".into()],
            technique: "".into(),
            emitted_at: hour(number + 2),
            window_start: hour(number),
            window_end: hour(number + 1),
            baseline_version: 1,
            reasons: Vec::new(),
            explanation: "it's something".to_owned(),
        });
    }
}

#[test]
fn both_stores_leave_out_the_same_by_verdict_incident_and_age_of_a_change() {
    if !are_there("what both stores leave out") {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let engine = Engine::start(folder.path());
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "secret\n").expect("the secret is written");
    let config = ClickHouseConfig {
        url: format!("http://{}", engine.address),
        user: "writer".to_owned(),
        password: Some(Secret::File(secret)),
        migrate: true,
        keep_days: KEPT_DAYS.map(|(table, _)| (table.to_owned(), 36_500)).into(),
        ..ClickHouseConfig::default()
    };
    let clickhouse = ClickHouseStore::open(&config, "log", &|_| {}).expect("the tables are made");
    let embedded = ParquetStore::create(&folder.path().join("embedded"), Config::default()).expect("a store is made");
    let homes: [&dyn Home; 2] = [&embedded, &clickhouse];

    let rows = rows();
    let (some, others) = rows.findings.split_at(rows.findings.len() / 3);
    for home in homes {
        home.write_findings("some", some).expect("findings are written");
        home.write_findings("others", others).expect("findings are written");
        home.write_incidents(&rows.incidents).expect("incidents are written");
    }
    let before = left_out_by(homes, EventTime::MIN..EventTime::MAX, EventTime::MIN);
    for home in homes {
        home.write_verdicts("all", &rows.verdicts).expect("verdicts are written");
    }
    let end = rows.findings.len() as i64;
    let changes: Vec<&Finding> = rows.findings.iter().filter(|finding| finding.kind == FindingKind::Change).collect();
    // Where a change ends, just before, and just after.
    let ends = changes[changes.len() / 2].window_end;
    let times = [EventTime::MIN, EventTime(ends.0 - 1), ends, EventTime(ends.0 + 1), EventTime::MAX];
    let ranges = [
        EventTime::MIN..EventTime::MAX,
        hour(end / 3)..hour(2 * end / 3),
        // In the incident of the eighth finding, and in no finding that counts.
        minute(210)..minute(211),
        ends..EventTime::MAX,
        EventTime::MIN..ends,
    ];
    let mut found = Vec::new();
    for range in &ranges {
        for adopted in times {
            found.push(left_out_by(homes, range.clone(), adopted));
        }
    }
    eprintln!("{before} without a verdict; {found:?}");
    assert!(found[0] < before, "verdicts bring some back: {} of {before}", found[0]);
    assert!(found[1] > found[2], "a change that lasted is none any more: {found:?}");
    assert!(found[4] > 0 && found[4] < found[1], "what is no change is left out however old it is: {found:?}");
    assert!(found.iter().all(|count| *count > 0), "a question without an answer tells nothing: {found:?}");
}

/// How many spells both give; they must be the same.
#[track_caller]
fn left_out_by(homes: [&dyn Home; 2], range: Range<EventTime>, adopted: EventTime) -> usize {
    let [embedded, clickhouse] = homes.map(|home| home.spells(range.clone(), adopted).expect("the store answers"));
    for (ours, theirs) in embedded.iter().zip(&clickhouse) {
        assert_eq!(
            ours, theirs,
            "{range:?}, changes until {adopted}: the embedded store (left) and ClickHouse (right)"
        );
    }
    assert_eq!(embedded.len(), clickhouse.len(), "{range:?}, changes until {adopted}");
    embedded.len()
}
