//! A router of a live topic that sleeps until others have its partitions, and wakes up while those sleep: what it knows is old,
//! and it does not know that.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::site::{LANES, Site, begun, closed, demand_nothing_closed_beyond, late};
use super::stream::{Sender, now, record, to};
use crate::kafka::{Broker, are_there};
use crate::vedette::{query, until};

const TOPIC: &str = "zombie.raw";
/// One of each partition.
const DEVICES: [&str; 4] = ["first", "second", "third", "fourth"];
/// Seconds.
const LATENESS: u64 = 2;
const WINDOW: u64 = 2;

#[test]
fn a_router_that_wakes_up_without_its_partitions_costs_nothing() {
    if !are_there("a router that sleeps, on a live topic") {
        return;
    }
    let broker = Broker::start(&[]);
    let topics = format!(
        "[[source.kafka.topics]]\nname = \"{TOPIC}\"\nformat = \"native-json\"\nlive = true\n\
         lateness_seconds = {LATENESS}"
    );
    let mut site = Site::new(&broker, "zombie", &DEVICES, "", "", &topics);
    site.replace("window_seconds = 5\n", &format!("window_seconds = {WINDOW}\n"));
    site.create_topics(DEVICES.len() as u32);
    let mut judge = site.start_roles("judge,act");
    let mut zombie = site.start_roles("route");
    begun(&mut zombie, DEVICES.len());
    until(&mut judge, "all lanes", |judge| judge.lanes_begun() == LANES);
    // Nobody speaks: it vouches for all partitions, by the broker's time.
    std::thread::sleep(Duration::from_secs(3));

    zombie.signal("STOP");
    let enough = Arc::new(AtomicBool::new(false));
    let spoken = speak(&site, Arc::clone(&enough));
    let mut heir = site.start_roles("route");
    begun(&mut heir, 2 * DEVICES.len());
    // Long enough that, were all vouched for up to now, a window would close whose records nobody has read.
    heir.signal("STOP");
    let asleep = now();
    std::thread::sleep(Duration::from_millis(1_000 * (LATENESS + WINDOW) + 500));
    demand_nothing_closed_beyond(&judge, asleep, "nothing closes while nobody reads");
    zombie.signal("CONT");
    std::thread::sleep(Duration::from_secs(1));
    heir.signal("CONT");
    // They share the partitions in the end.
    begun(&mut heir, 2 * DEVICES.len() + 2);
    std::thread::sleep(Duration::from_secs(1));
    enough.store(true, Ordering::SeqCst);
    let sent = spoken.join().expect("the records were sent");

    for device in DEVICES {
        site.wait_records(&mut judge, device, sent);
    }
    assert_eq!(late(&judge), 0, "{}", zombie.said());
    assert!(closed(&judge).is_some_and(|through| through <= now()), "nothing is closed before its time");
    for service in [&mut zombie, &mut heir, &mut judge] {
        assert!(service.is_running(), "{}", service.said());
        service.stop();
    }
    let twice = "select device_id, window_start from windows where records > 0 group by device_id, window_start \
                 having count(*) > 1";
    assert!(query(&site.store(), twice).is_empty(), "{:?}", query(&site.store(), twice));
    assert!(DEVICES.iter().all(|device| site.records().get(*device) == Some(&sent)), "{:?}", site.records());
}

/// Of all devices as it happens, until it is enough; gives how many records each has sent.
fn speak(site: &Site, is_enough: Arc<AtomicBool>) -> JoinHandle<i64> {
    let sender = Sender::new(site.bootstrap(), &[]);
    std::thread::spawn(move || {
        let mut sent = 0;
        while !is_enough.load(Ordering::SeqCst) {
            for (partition, device) in (0..).zip(DEVICES) {
                sender.send(to(TOPIC, partition, &record(device, now())));
            }
            sender.flush();
            sent += 1;
            std::thread::sleep(Duration::from_millis(150));
        }
        sent
    })
}
