//! The embedded store on a disk that is full, and then on one that may not be written to.

use std::time::Duration;

use super::namespace::{self, Disk};
use super::records::{Bench, Options, Sender, message};
use crate::kafka::{Broker, are_there};
use crate::vedette::{Service, query};

const LANES: usize = 2;
const START: i64 = 1_780_000_020;
/// Event time of one part of the stream.
const PART: i64 = 1_200;

#[test]
fn a_full_disk_stops_the_lanes_until_there_is_room() {
    let what = "a full disk";
    if !are_there(what) || !namespace::are_there(what) {
        return;
    }
    let mut disk = Disk::new(64);
    let broker = Broker::start(&[]);
    let inventory = "pump-1,pump,pump-1\npump-2,pump,pump-2\nvalve-1,valve,valve-1\nvalve-2,valve,valve-2";
    let bench = Bench::new(
        &broker,
        &Options {
            inventory,
            raw_partitions: 2,
            lanes: LANES as u16,
            window_seconds: 60,
            lateness_seconds: 60,
            live: false,
            memory_seconds: 1,
            store: Some(disk.path().join("store")),
        },
    );
    let sender = Sender::new(&broker);
    let mut service = Service::start(&bench.config, "route,judge,act", &bench.log(), &bench.admin);
    let end = |part: i64| (START + (part + 1) * PART) * 1_000_000;
    send(&sender, 0, 4_000);
    service.wait_closed(LANES, end(0), Duration::from_secs(60));

    disk.fill();
    let (before, _) = service.memory();
    // Far more than anybody should hold in memory.
    send(&sender, 1, 400_000);
    service.wait_until_said("free space there", Duration::from_secs(60));
    std::thread::sleep(Duration::from_secs(6));
    assert!(closed(&service) < end(1), "nothing is stored, nothing is finished");
    let (now, most) = service.memory();
    eprintln!("memory: {before} MiB before the disk was full, {now} MiB with it, {most} MiB at most");
    assert!(now < before + 300, "{before} MiB grew to {now} MiB while the disk was full");
    disk.make_room();
    service.wait_closed(LANES, end(1), Duration::from_secs(90));

    disk.forbid_writing("store");
    send(&sender, 2, 4_000);
    service.wait_until_said("make it writable", Duration::from_secs(60));
    std::thread::sleep(Duration::from_secs(3));
    assert!(service.is_running(), "what somebody must mend is waited for");
    assert!(closed(&service) < end(2));
    disk.allow_writing("store");
    service.wait_closed(LANES, end(2), Duration::from_secs(90));

    let complaints = service.complaints();
    service.stop();
    let sql = "select device_id, cast(sum(records) as bigint) as records, count(*) as windows from windows \
               where records > 0 group by 1 order by 1";
    let rows = query(&bench.store, sql);
    let expected: Vec<String> = ["pump-1", "pump-2", "valve-1", "valve-2"]
        .iter()
        .map(|device| format!(r#"{{"device_id":"{device}","records":102000,"windows":60}}"#))
        .collect();
    assert_eq!(rows.iter().map(ToString::to_string).collect::<Vec<_>>(), expected);
    eprintln!("{} lines of trouble:\n{}", complaints.len(), complaints.join("\n"));
    assert!(complaints.len() <= 10, "more than a handful");
}

/// One part of the stream: so many records, of four devices in turn, evenly over its time.
fn send(sender: &Sender, part: i64, records: i64) {
    let from = START + part * PART;
    for number in 0..records {
        let seconds = from as f64 + number as f64 * PART as f64 / records as f64;
        let client = ["pump-1", "pump-2", "valve-1", "valve-2"][(number % 4) as usize];
        sender.send((number % 2) as i32, message(client, seconds).as_bytes());
    }
    (0..2).for_each(|partition| sender.heartbeat(partition, from + PART + 60));
    sender.flush();
}

/// The least that a lane has closed, microseconds.
fn closed(service: &Service) -> i64 {
    let readiness = service.readiness().expect("the admin listener answers");
    let lanes = readiness["lanes"].as_array().expect("lanes").clone();
    lanes.iter().map(|lane| lane["closed_through"].as_i64().unwrap_or(i64::MIN)).min().unwrap_or(i64::MIN)
}
