//! Made-up devices, steps and findings for the store's tests.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::datatypes::Int64Type;
use fleet::device::Standing;
use fleet::reading::{Position, Protocol};
use fleet::window::{Destination, Details};
use fleet::{
    Cohort, Confidence, Contact, Criticality, Device, DeviceKey, Direction, EventTime, FEATURES, Finding, FindingKind,
    MICROS_PER_SECOND, Profile, Reason, Scope, Service, Severity, Window,
};
use store::{DeviceNames, EvidenceRow, ParquetStore, ScoredWindow, Step, Store};

pub const MINUTE: i64 = 60 * MICROS_PER_SECOND;
/// 2026-03-04T00:00:00Z
pub const START: i64 = 1_772_582_400 * MICROS_PER_SECOND;

pub fn minute(number: i64) -> EventTime {
    EventTime(START + number * MINUTE)
}

pub fn device(key: u32) -> Arc<Device> {
    let device_type = if key.is_multiple_of(2) { "camera" } else { "thermostat" };
    Arc::new(Device {
        key: DeviceKey(key),
        id: format!("device-{key:05}").into(),
        criticality: Criticality::High,
        standing: Standing::Active,
        profile: Arc::new(Profile {
            device_type: device_type.into(),
            site: "north".into(),
            segment: "iot".into(),
            owner: "facilities".into(),
            firmware: "1.2.3".into(),
            protocol: "mqtt".into(),
            purpose: "watching".into(),
            cohort: Cohort { device_type: device_type.into(), segment: "iot".into(), shard: 0 },
        }),
    })
}

pub fn names(devices: u32) -> DeviceNames {
    DeviceNames::new(&(0..devices).map(device).collect::<Vec<_>>())
}

/// The key of a device made by [`device`].
pub fn key_of(id: &str) -> Option<DeviceKey> {
    id.strip_prefix("device-")?.parse().ok().map(DeviceKey)
}

pub fn window(device: u32, start: EventTime) -> Window {
    let record = |offset: u64| Position { source: device % 3, offset };
    let at = start.0.unsigned_abs() / 60_000_000;
    let mut features = [0.0; FEATURES];
    for (index, feature) in features.iter_mut().enumerate() {
        if index % 3 == 0 {
            *feature = (at % 1000) as f32 + index as f32 + device as f32 / 8.0;
        }
    }
    let contact = |ordinal: u64, service: &str, destination: Destination, peer: Option<u32>| Contact {
        service: Service(service.into()),
        destination,
        port: 443,
        protocol: Protocol::Tcp,
        direction: if ordinal == 1 { Direction::Inbound } else { Direction::Outbound },
        peer: peer.map(DeviceKey),
        flows: 3 + ordinal as u32,
        refused: ordinal as u32,
        bytes_out: 1_000 + at,
        bytes_in: 70_000 + u64::from(device),
        packets_out: 12,
        packets_in: 50,
        duration: 1.5,
        first_record: record(at * 10),
        last_record: record(at * 10 + ordinal),
    };
    Window {
        device: DeviceKey(device),
        start,
        end: EventTime(start.0 + MINUTE),
        features,
        contacts: vec![
            contact(0, "ssl", Destination::Name("cloud.example.com".into()), None),
            // Two contacts of one first record keep their order.
            contact(1, "dns", Destination::Address("192.168.1.1".parse().unwrap()), Some(device ^ 1)),
        ],
        details: (device == 1).then(|| {
            Box::new(Details {
                firmware: Some("1.2.3".into()),
                addresses: vec!["10.0.0.7".parse().unwrap()],
                ..Details::default()
            })
        }),
        first_record: record(at * 10),
        last_record: record(at * 10 + 9),
        records: 10,
        malicious: u32::from(device == 3),
    }
}

/// One window for each device and minute; the last tick's windows carry evidence.
pub struct StepData {
    pub lane: u32,
    pub from: i64,
    pub until: i64,
    pub names: DeviceNames,
    pub windows: Vec<ScoredWindow>,
    pub evidence: Vec<EvidenceRow>,
}

impl StepData {
    /// Minutes `from..until` of devices `0..devices` that belong to `lane` of two.
    pub fn new(lane: u32, from: i64, until: i64, devices: u32) -> StepData {
        let mut windows = Vec::new();
        let mut evidence = Vec::new();
        for at in from..until {
            for key in (0..devices).filter(|key| key % 2 == lane) {
                let window = window(key, minute(at));
                windows.push(ScoredWindow { window, score: 0.5 + key as f32, p_value: 0.01, evidence: 2.0, line: 9.0 });
                if at + 1 == until {
                    evidence.push(evidence_row(key, at));
                }
            }
        }
        StepData { lane, from, until, names: names(devices), windows, evidence }
    }

    pub fn step(&self) -> Step<'_> {
        Step {
            lane: self.lane,
            first_tick: minute(self.from + 1),
            last_tick: minute(self.until),
            devices: &self.names,
            windows: &self.windows,
            evidence: &self.evidence,
        }
    }
}

pub fn evidence_row(key: u32, at: i64) -> EvidenceRow {
    EvidenceRow {
        device_id: device(key).id.clone(),
        device_type: device(key).device_type.clone(),
        window_start: minute(at),
        window_end: minute(at + 1),
        detector: "destinations".into(),
        subject: "ssl cloud.example.com".into(),
        observed: "70 kB".to_owned(),
        expected_type: Some("1 to 2 kB".to_owned()),
        expected_device: None,
        peers_now: None,
        technique: Some("T1041".into()),
        evidence: 3.25,
        total: 4.5,
        line: 9.0,
        records: key
            .is_multiple_of(2)
            .then_some((Position { source: 0, offset: 5 }, Position { source: 1, offset: 7 })),
    }
}

pub fn finding(number: u32) -> Finding {
    let device = device(number);
    Finding {
        finding_id: format!("finding-{number}"),
        incident_id: format!("incident-{}", number / 2),
        scope: Scope::Device,
        device_id: device.id.clone(),
        devices: vec![device.id.clone()],
        device_type: device.device_type.clone(),
        kind: FindingKind::Compromise,
        severity: Severity::High,
        confidence: Confidence::Ready,
        score: 12.5,
        line: 9.0,
        p_value: 1e-5,
        detectors: vec!["destinations".into(), "forest".into()],
        technique: "T1041".into(),
        emitted_at: minute(i64::from(number)),
        window_start: minute(i64::from(number) - 2),
        window_end: minute(i64::from(number) - 1),
        baseline_version: 1,
        reasons: vec![Reason {
            detector: "destinations".into(),
            subject: "ssl evil.example".into(),
            observed: "10 MB, \"quoted\"".to_owned(),
            expected_type: None,
            expected_device: Some("nothing".to_owned()),
            peers_now: None,
            first_seen_type: Some(true),
            first_seen_device: None,
            technique: Some("T1041".into()),
            evidence: 12.5,
            records: Some((Position::default(), Position { source: 2, offset: 9 })),
        }],
        explanation: "it uploads, and never did".to_owned(),
    }
}

/// Two lanes, minutes 0..6 in steps of three, and findings in two files.
pub fn fill(store: &ParquetStore) {
    for lane in 0..2 {
        for from in [0, 3] {
            store.write_step(&StepData::new(lane, from, from + 3, 8).step()).unwrap();
        }
    }
    store.write_findings("first", &[finding(2), finding(0)]).unwrap();
    store.write_findings("second", &[finding(1)]).unwrap();
}

/// What [`fill`] writes.
pub const WINDOWS: i64 = 8 * 6;
pub const FINDINGS: i64 = 3;

pub fn count(store: &ParquetStore, sql: &str) -> i64 {
    let batches = store.query(sql).unwrap();
    let column = batches[0].column(0);
    assert_eq!((batches.len(), column.len()), (1, 1), "{sql}");
    column.as_primitive::<Int64Type>().value(0)
}

/// Counts of all that [`fill`] writes, each also without copies.
pub fn counts(store: &ParquetStore) -> [i64; 6] {
    [
        count(store, "select count(*) from windows"),
        count(store, "select count(*) from (select distinct device_id, window_start from windows)"),
        count(store, "select count(*) from contacts"),
        count(store, "select count(*) from evidence"),
        count(store, "select count(*) from findings"),
        count(store, "select count(distinct finding_id) from findings"),
    ]
}

pub const FILLED: [i64; 6] = [WINDOWS, WINDOWS, 2 * WINDOWS, 2 * 8, FINDINGS, FINDINGS];

pub fn text(store: &ParquetStore, sql: &str, format: store::Format) -> String {
    let mut out = Vec::new();
    store.query_to(sql, format, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}
