//! Who has an address is learned by one router, known to all of them, and still known after they were killed.

use std::time::Duration;

use super::site::{PATIENCE, Site, begun, metric};
use super::stream::{SECOND, Sender, all_of, to};
use crate::kafka::{Broker, are_there};
use crate::vedette::Service;

const BEGIN: i64 = 1_772_755_200 * SECOND;
/// The records of one have MAC addresses, those of the other do not.
const TOPICS: [&str; 2] = ["identities.access", "identities.border"];
const ADDRESS: &str = "10.0.0.5";
const MACS: [(&str, &str); 2] = [("pump", "02:00:00:00:00:01"), ("fan", "02:00:00:00:00:02")];

#[test]
fn who_has_an_address_is_known_to_all_routers_and_after_they_are_killed() {
    if !are_there("what routers learn of addresses") {
        return;
    }
    let broker = Broker::start(&[]);
    let topic = |name: &str| {
        format!(
            "[[source.kafka.topics]]\nname = \"{name}\"\nformat = \"native-json\"\nlive = false\nlateness_seconds = 2\n"
        )
    };
    let site = Site::new(&broker, "identities", &[], "", "", &TOPICS.map(topic).concat());
    let inventory = MACS.map(|(device, mac)| format!("{device},machine,{mac}\n")).concat();
    let csv = format!("device_id,device_type,mac\n{inventory}");
    std::fs::write(site.folder.path().join("inventory.csv"), csv).expect("the inventory is written");
    site.create_topics(1);
    let sender = Sender::new(site.bootstrap(), &[]);
    let mut judge = site.start_roles("judge,act");
    let mut first = site.start_roles("route");
    begun(&mut first, TOPICS.len());
    let mut routers = [first, site.start_roles("route")];
    begun(&mut routers[1], TOPICS.len() + 1);

    // The one that reads the border's topic learns nothing of it by itself.
    shown(&site, &sender, 0, BEGIN);
    followed();
    said(&sender, BEGIN + SECOND);
    vouch(&sender, BEGIN + 10 * SECOND);
    site.wait_records(&mut judge, "pump", 2);
    let read: Vec<f64> = routers.iter().map(|router| metric(router, "vedette_records_total", "")).collect();
    assert!(read.iter().all(|read| *read > 0.0), "each reads one topic: {read:?}");

    // The address moves, and what is said later of an earlier time is still the former holder's.
    shown(&site, &sender, 1, BEGIN + 12 * SECOND);
    followed();
    said(&sender, BEGIN + 13 * SECOND);
    said(&sender, BEGIN + 11 * SECOND);
    vouch(&sender, BEGIN + 20 * SECOND);
    site.wait_records(&mut judge, "fan", 2);
    site.wait_records(&mut judge, "pump", 3);

    routers.iter_mut().for_each(Service::kill);
    let mut router = site.start_roles("route");
    said(&sender, BEGIN + 22 * SECOND);
    vouch(&sender, BEGIN + 30 * SECOND);
    site.wait_records(&mut judge, "fan", 3);
    router.stop();
    judge.stop();
    assert_eq!(site.records().len(), MACS.len(), "nobody is taken for a stranger: {:?}", site.records());
}

/// A record shows a device's MAC address beside the address; what is learned of it is written down.
fn shown(site: &Site, sender: &Sender, device: usize, at: i64) {
    let (_, mac) = MACS[device];
    sender.send(to(TOPICS[0], 0, &flow(&format!(r#""mac":"{mac}","#), at)));
    sender.flush();
    let told = || all_of(site.bootstrap(), "identities.identities", 0).len();
    let end = std::time::Instant::now() + PATIENCE;
    while told() <= device {
        assert!(std::time::Instant::now() < end, "nobody told of an address");
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Others take up what was told in each beat, which is a second when nothing holds it up.
fn followed() {
    std::thread::sleep(Duration::from_secs(8));
}

fn said(sender: &Sender, at: i64) {
    sender.send(to(TOPICS[1], 0, &flow("", at)));
    sender.flush();
}

fn flow(mac: &str, at: i64) -> String {
    let seconds = at as f64 / SECOND as f64;
    format!(
        r#"{{"kind":"flow","time":{seconds:.6},{mac}"ip":"{ADDRESS}","responder_ip":"203.0.113.9","responder_port":443,"protocol":"tcp","bytes_in":40,"packets_in":2}}"#
    )
}

fn vouch(sender: &Sender, through: i64) {
    TOPICS.iter().for_each(|topic| sender.heartbeat(topic, &[0], through));
}
