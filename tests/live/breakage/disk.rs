//! The embedded store on a disk that is full, and then on one that may not be written to. What cannot be stored is not
//! gathered in memory: lanes have their partitions paused.

use std::ops::Range;
use std::time::Duration;

use super::namespace::{self, Disk};
use super::records::{Bench, Options, Sender, message};
use crate::kafka::{Broker, are_there};
use crate::vedette::{Service, get, query, until};

const LANES: usize = 2;
const START: i64 = 1_780_000_020;
/// Event time of one part of the stream.
const PART: i64 = 1_200;
/// Topics begin so.
const SHORT: &str = "site/a";
/// MiB that a service with nowhere to write may take more than before.
const MORE: u64 = 300;

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
    // What is fetched ahead, and comes compressed thirty times, is not what is measured here.
    let properties = "[source.kafka.properties]\n";
    let little = "\"queued.max.messages.kbytes\" = \"16384\"\n\"fetch.message.max.bytes\" = \"131072\"\n";
    let toml = std::fs::read_to_string(&bench.config).expect("the bench has a configuration");
    std::fs::write(&bench.config, toml.replace(properties, &format!("{properties}{little}"))).expect("it is written");
    let sender = Sender::new(&broker);
    let mut service = Service::start(&bench.config, "route,judge,act", &bench.log(), &bench.admin);
    let end = |part: i64| (START + (part + 1) * PART) * 1_000_000;
    send(&sender, 0..PART, 4_000, SHORT);
    service.wait_closed(LANES, end(0), Duration::from_secs(60));

    disk.fill();
    let (before, _) = service.memory();
    assert_eq!(paused(&service), 0);
    // A step that cannot be stored, and the next, which waits for it: from then on a lane judges nothing.
    send(&sender, PART..PART + 300, 1_000, SHORT);
    service.wait_until_said("free space there", Duration::from_secs(60));
    send(&sender, PART + 300..PART + 600, 1_000, SHORT);
    std::thread::sleep(Duration::from_secs(3));
    // 400 MB: more than it may take, if all of that waited in memory.
    let long = format!("site/{}", "a".repeat(1_000));
    send(&sender, PART + 600..2 * PART, 400_000, &long);
    until(&mut service, "a lane that is paused", |service| paused(service) > 0);
    std::thread::sleep(Duration::from_secs(6));
    assert!(paused(&service) > 0, "nothing is stored, and there is no room for more");
    assert!(closed(&service) < end(1), "nothing is stored, nothing is finished");
    let (now, most) = service.memory();
    eprintln!("memory: {before} MiB before the disk was full, {now} MiB with it, {most} MiB at most");
    assert!(now < before + MORE, "{before} MiB grew to {now} MiB while the disk was full");
    disk.make_room();
    service.wait_closed(LANES, end(1), Duration::from_secs(90));
    until(&mut service, "lanes that are not paused", |service| paused(service) == 0);

    disk.forbid_writing("store");
    send(&sender, 2 * PART..3 * PART, 4_000, SHORT);
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
        .map(|device| format!(r#"{{"device_id":"{device}","records":102500,"windows":60}}"#))
        .collect();
    assert_eq!(rows.iter().map(ToString::to_string).collect::<Vec<_>>(), expected);
    eprintln!("{} lines of trouble:\n{}", complaints.len(), complaints.join("\n"));
    assert!(complaints.len() <= 10, "more than a handful");
}

/// A span of the stream, seconds from its start: so many records, of four devices in turn, evenly over that time.
fn send(sender: &Sender, span: Range<i64>, records: i64, topic: &str) {
    let (from, seconds) = (START + span.start, (span.end - span.start) as f64);
    for number in 0..records {
        let at = from as f64 + number as f64 * seconds / records as f64;
        let client = ["pump-1", "pump-2", "valve-1", "valve-2"][(number % 4) as usize];
        sender.send((number % 2) as i32, message(client, at).replace(SHORT, topic).as_bytes());
    }
    (0..2).for_each(|partition| sender.heartbeat(partition, START + span.end + 60));
    sender.flush();
}

/// How many lanes are.
fn paused(service: &Service) -> usize {
    let metrics = get(&service.admin, "/metrics").expect("the admin listener answers");
    let lanes: Vec<&str> = metrics.lines().filter(|line| line.starts_with("vedette_lane_paused{")).collect();
    assert_eq!(lanes.len(), LANES, "{metrics}");
    lanes.iter().filter(|line| line.ends_with(" 1")).count()
}

/// The least that a lane has closed, microseconds.
fn closed(service: &Service) -> i64 {
    let readiness = service.readiness().expect("the admin listener answers");
    let lanes = readiness["lanes"].as_array().expect("lanes").clone();
    lanes.iter().map(|lane| lane["closed_through"].as_i64().unwrap_or(i64::MIN)).min().unwrap_or(i64::MIN)
}
