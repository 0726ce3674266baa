//! Which lane a cohort has: what routers agreed on holds, whatever becomes of the inventory and whoever looks at it when.

use serde_json::Value;

use super::site::{LANES, Site, metric_if_up};
use super::stream::{SECOND, Sender, all_of, record, to};
use crate::kafka::{Broker, are_there};
use crate::vedette::{Service, query, until};

const BEGIN: i64 = 1_772_755_200 * SECOND;
const TOPIC: &str = "cohorts.raw";
const FIRST: [(&str, &str); 4] = [("old-1", "old"), ("old-2", "old"), ("gone", "old"), ("other", "other")];
/// Placed anew, the largest type would have the lane of `old`.
const SECOND_ONE: [(&str, &str); 8] = [
    ("old-1", "old"),
    ("old-2", "old"),
    ("other", "other"),
    ("new-1", "new"),
    ("new-2", "new"),
    ("new-3", "new"),
    ("new-4", "new"),
    ("new-5", "new"),
];

#[test]
fn cohorts_keep_their_lanes_and_devices_that_left_are_told_of() {
    if !are_there("lanes of cohorts") {
        return;
    }
    let broker = Broker::start(&[]);
    let topics = format!(
        "[[source.kafka.topics]]\nname = \"{TOPIC}\"\nformat = \"native-json\"\nlive = false\nlateness_seconds = 2"
    );
    let site = Site::new(&broker, "cohorts", &[], "", "", &topics);
    site.write_types(&FIRST);
    site.create_topics(1);
    let sender = Sender::new(site.bootstrap(), &[]);
    let mut judge = site.start_roles("judge,act");
    let mut route = site.start_roles("route");

    the_inventory_changes_while_no_router_runs(&site, &sender, &mut route, &mut judge);
    let mut route = site.start_roles("route");
    windows_go_on_where_they_were(&site, &sender, &mut judge);
    what_another_router_wrote_first_holds(&site, &sender, &mut route, &mut judge);

    route.stop();
    judge.stop();
    let told: Vec<Value> = query(&site.store(), "select device_id from devices order by device_id");
    let told: Vec<&str> = told.iter().filter_map(|row| row["device_id"].as_str()).collect();
    let expected = ["later-1", "new-1", "new-2", "new-3", "new-4", "new-5", "old-1", "old-2", "other", "unknown:gone"];
    assert_eq!(told, expected);
}

/// Half of a window is read before.
fn the_inventory_changes_while_no_router_runs(site: &Site, sender: &Sender, route: &mut Service, judge: &mut Service) {
    sender.send_some(TOPIC, 0, "old-1", BEGIN, 5);
    sender.send_some(TOPIC, 0, "gone", BEGIN, 5);
    until(route, "ten readings", |route| {
        metric_if_up(route, "vedette_readings_total", "").is_some_and(|readings| readings >= 10.0)
    });
    route.stop();
    assert!(judge.is_running(), "{}", judge.said());
    site.write_types(&SECOND_ONE);
    sender.send_some(TOPIC, 0, "old-1", BEGIN + SECOND, 5);
    sender.send_some(TOPIC, 0, "new-1", BEGIN + SECOND, 5);
    sender.heartbeat(TOPIC, &[0], BEGIN + 60 * SECOND);
}

fn windows_go_on_where_they_were(site: &Site, sender: &Sender, judge: &mut Service) {
    site.wait_records(judge, "old-1", 10);
    site.wait_records(judge, "new-1", 5);
    let rows = query(&site.store(), "select records from windows where device_id = 'old-1' and records > 0");
    assert_eq!(rows.len(), 1, "one window, one row: {rows:?}");
    assert_eq!((lanes_of(site, "old-1"), lanes_of(site, "new-1")), (vec![0], vec![1]));
    assert_eq!(placed(site), [("old".to_owned(), 0), ("other".to_owned(), 1), ("new".to_owned(), 1)]);
    // It left; what it still says is a stranger's.
    sender.send_some(TOPIC, 0, "gone", BEGIN + 62 * SECOND, 5);
    sender.heartbeat(TOPIC, &[0], BEGIN + 120 * SECOND);
    site.wait_records(judge, "unknown:gone", 5);
    site.wait_records(judge, "gone", 5);
}

/// Under a router that runs: another has the new inventory a moment earlier, and something else writes to the topic.
fn what_another_router_wrote_first_holds(site: &Site, sender: &Sender, route: &mut Service, judge: &mut Service) {
    let log = all_of(site.bootstrap(), "cohorts.cohorts", 0);
    let first = log[0].value.as_deref().expect("a record").replace("\"old\"", "\"later\"");
    for lane in ["99", "1", "none"] {
        let theirs = first.replace("\"lane\":0", &format!("\"lane\":{lane}"));
        sender.send(to("cohorts.cohorts", 0, &theirs));
    }
    sender.flush();
    let mut devices = SECOND_ONE.to_vec();
    devices.push(("later-1", "later"));
    site.write_types(&devices);
    until(route, "the inventory to be read again", |route| route.said().contains("the inventory changed"));
    assert_eq!(route.said().matches("cannot be used and is passed over").count(), 2, "{}", route.said());
    sender.send(to(TOPIC, 0, &record("later-1", BEGIN + 122 * SECOND)));
    sender.heartbeat(TOPIC, &[0], BEGIN + 180 * SECOND);
    site.wait_records(judge, "later-1", 1);
    // Where there are fewer devices it would have been lane 0.
    assert_eq!(lanes_of(site, "later-1"), [1]);
    assert_eq!(placed(site).last(), Some(&("later".to_owned(), 1)), "nobody wrote after it");
}

/// Lanes that were told anything of a device; an id stands in a message as it is.
fn lanes_of(site: &Site, device: &str) -> Vec<i32> {
    let is_named = |lane: &i32| {
        let log = all_of(site.bootstrap(), "cohorts.readings", *lane);
        log.iter().any(|message| message.value.as_ref().is_some_and(|value| value.contains(device)))
    };
    (0..LANES as i32).filter(is_named).collect()
}

/// Types and lanes, as they were written; what is no record, or of no lane, is left out.
fn placed(site: &Site) -> Vec<(String, i64)> {
    let placed = |value: &str| -> Option<(String, i64)> {
        let record: Value = serde_json::from_str(value).ok()?;
        Some((record["cohort"]["device_type"].as_str()?.to_owned(), record["lane"].as_i64()?))
    };
    let log = all_of(site.bootstrap(), "cohorts.cohorts", 0);
    log.iter().filter_map(|record| placed(record.value.as_deref()?)).filter(|(_, lane)| *lane < LANES as i64).collect()
}
