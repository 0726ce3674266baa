//! Rows a second into the store: steps of windows with contacts, as lanes write them, by one thread.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Instant;

use fleet::device::Standing;
use fleet::reading::{Position, Protocol};
use fleet::window::Destination;
use fleet::{
    Cohort, Contact, Criticality, Device, DeviceKey, Direction, EventTime, FEATURES, Profile, Service, Window,
};
use store::clickhouse::ClickHouseConfig;
use store::{ClickHouseStore, Config, DeviceNames, ParquetStore, ScoredWindow, Step, Store};

use crate::records::{BEGIN, SECOND};
use crate::{Failure, Options, Report, median, stand, usage};

const DEVICES: u32 = 10_000;
const CONTACTS: u64 = 3;

pub fn run(options: &Options, report: &mut Report) -> Result<(), Failure> {
    let windows = options.messages.unwrap_or(500_000);
    let rounds = options.rounds.unwrap_or(3);
    let folder = tempfile::tempdir()?;
    let devices: Vec<Arc<Device>> = (0..DEVICES).map(device).collect();
    let names = DeviceNames::new(&devices);
    let engine = stand::engine(&folder.path().join("engine"))?;
    let config: ClickHouseConfig = serde_json::from_value(serde_json::json!({
        "url": format!("http://{}", stand::address(&engine)?),
        "user": "writer",
        "password": { "file": secret(folder.path())? },
        "migrate": true,
        "keep_days": { "windows": 36500, "contacts": 36500, "rollups": 36500 },
    }))?;
    report.say(format!(
        "steps of {DEVICES} windows with {CONTACTS} contacts each, {windows} windows a round, one thread"
    ));
    report
        .say("round,store,seconds,rows_per_second,our_rows_per_cpu_second,engine_cpu_seconds,bytes_on_disk_per_window");
    for what in ["embedded", "clickhouse"] {
        let mut rates = Vec::new();
        for round in 1..=rounds {
            let store: Box<dyn Store> = match what {
                "embedded" => {
                    Box::new(ParquetStore::create(&folder.path().join(format!("store-{round}")), Config::default())?)
                }
                // Another log: its rows are others.
                _ => Box::new(ClickHouseStore::open(&config, &format!("bench-{round}"), &|_| {})?),
            };
            let (mut seconds, mut cpu, mut rows) = (0.0, 0.0, 0_u64);
            let engine_before = usage::cpu_seconds(engine.pid())?;
            let home = match what {
                "embedded" => folder.path().join(format!("store-{round}")),
                _ => folder.path().join("engine"),
            };
            let disk_before = bytes_below(&home)?;
            for tick in 0..windows.div_ceil(u64::from(DEVICES)) {
                let scored: Vec<ScoredWindow> = (0..DEVICES).map(|device| window(device, tick as i64)).collect();
                let end = scored[0].window.end;
                let step =
                    Step { lane: 0, first_tick: end, last_tick: end, devices: &names, windows: &scored, evidence: &[] };
                // Only writing is timed.
                let (began, before) = (Instant::now(), usage::cpu_seconds(std::process::id())?);
                store.write_step(&step)?;
                seconds += began.elapsed().as_secs_f64();
                cpu += usage::cpu_seconds(std::process::id())? - before;
                rows += scored.len() as u64 * (1 + CONTACTS);
            }
            let rate = rows as f64 / seconds;
            let engine_cpu = usage::cpu_seconds(engine.pid())? - engine_before;
            report.say(format!(
                "{round},{what},{seconds:.2},{rate:.0},{:.0},{engine_cpu:.2},{:.0}",
                rows as f64 / cpu.max(0.01),
                bytes_below(&home)?.saturating_sub(disk_before) as f64 / (rows / (1 + CONTACTS)) as f64
            ));
            rates.push(rate);
        }
        report.say(format!("rows a second into {what}: median {:.0}", median(rates)));
    }
    Ok(())
}

/// Of all files; one that goes meanwhile, as merging does, is passed over.
fn bytes_below(folder: &std::path::Path) -> Result<u64, Failure> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder)?.flatten() {
        let Ok(facts) = entry.metadata() else { continue };
        bytes += if facts.is_dir() { bytes_below(&entry.path()).unwrap_or(0) } else { facts.len() };
    }
    Ok(bytes)
}

fn secret(folder: &std::path::Path) -> Result<String, Failure> {
    let path = folder.join("secret");
    std::fs::write(&path, "secret\n")?;
    Ok(path.to_str().ok_or("the path is not UTF-8")?.to_owned())
}

fn device(key: u32) -> Arc<Device> {
    let device_type = format!("type-{}", key % 10);
    Arc::new(Device {
        key: DeviceKey(key),
        id: format!("device-{key}").into(),
        criticality: Criticality::Medium,
        standing: Standing::Active,
        profile: Arc::new(Profile {
            device_type: device_type.as_str().into(),
            site: "north".into(),
            segment: "iot".into(),
            cohort: Cohort { device_type: device_type.as_str().into(), segment: "iot".into(), shard: 0 },
            ..Profile::default()
        }),
    })
}

fn window(device: u32, tick: i64) -> ScoredWindow {
    let mixed =
        |number: u64| (u64::from(device) * 31 + tick as u64 * 17 + number).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
    let start = EventTime(BEGIN + tick * 60 * SECOND);
    let record = Position { source: 0, offset: tick as u64 * 1_000 + u64::from(device) };
    let mut features = [0.0; FEATURES];
    // A flow fleet: about half of the features move.
    for (index, feature) in features.iter_mut().enumerate().filter(|(index, _)| index % 2 == 0) {
        *feature = (mixed(index as u64) % (1 << (index % 16))) as f32;
    }
    let contact = |number: u64| Contact {
        service: Service(["ssl", "mqtt", "ntp"][number as usize % 3].into()),
        destination: Destination::Address(Ipv4Addr::from(0xcb00_7100 + number as u32 + device % 10 * 3).into()),
        port: 443,
        protocol: Protocol::Tcp,
        direction: Direction::Outbound,
        peer: None,
        flows: 2,
        refused: 0,
        bytes_out: mixed(number) % 5_000,
        bytes_in: mixed(number + 9) % 80_000,
        packets_out: 12,
        packets_in: 14,
        duration: 1.5,
        first_record: record,
        last_record: record,
    };
    ScoredWindow {
        window: Window {
            device: DeviceKey(device),
            start,
            end: EventTime(start.0 + 60 * SECOND),
            features,
            contacts: (0..CONTACTS).map(contact).collect(),
            details: None,
            first_record: record,
            last_record: record,
            records: 6,
            malicious: 0,
        },
        score: (mixed(1) % 1_000) as f32 / 100.0,
        p_value: (mixed(2) % 1_000) as f32 / 1_000.0,
        evidence: 0.1,
        line: 9.0,
    }
}
