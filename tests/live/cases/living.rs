//! Records as they happen: quiet partitions, routers that stand still, clocks that are wrong, partitions and devices that
//! are new. The broker's time is this machine's, windows are five seconds wide.

use std::process::Command;
use std::time::{Duration, Instant};

use rdkafka::producer::Producer;

use super::site::{PATIENCE, Site, closed, late, metric, metric_if_up};
use super::stream::{Raw, SECOND, Sender, now, record, to};
use crate::kafka::{Broker, are_there};
use crate::not_run::not_run;
use crate::vedette::{Service, query, text, until};

const DEVICES: [&str; 10] =
    ["steady", "kept", "open", "in-time", "behind", "second", "wrong", "ahead", "slow", "moved"];
const LATENESS: i64 = 2;
const TOPIC: &str = "living.raw";
/// Well beyond when a window would close whose records have come.
const A_WHILE: Duration = Duration::from_secs(12);

#[test]
fn a_live_topic_meets_what_fleets_and_operators_do() {
    if !are_there("live topics") {
        return;
    }
    let mut broker = Broker::start(&[]);
    let topics = format!(
        "[[source.kafka.topics]]\nname = \"{TOPIC}\"\nformat = \"native-json\"\nlive = true\n\
         lateness_seconds = {LATENESS}"
    );
    let site = Site::new(&broker, "living", &DEVICES, "max_ahead_seconds = 60", "", &topics);
    // As brokers before 4.0 are: they take any timestamp of a producer's.
    let any = "--config message.timestamp.after.max.ms=9223372036854775807";
    let made = broker.tell(&format!("topics --create --topic {TOPIC} --partitions 1 {any}"));
    assert_eq!(made["status"], 0, "{made}");
    site.create_topics(1);
    let sender = Sender::new(site.bootstrap(), &[]);
    let mut route = site.start_roles("route");
    let mut judge = site.start_roles("judge,act");

    a_quiet_fleet_closes_its_windows(&site, &sender, &mut judge);
    an_open_transaction_is_waited_for(&site, &mut judge);
    wrong_clocks_close_nothing(&sender, &route, &mut judge);
    a_heartbeat_vouches_for_nobody(&site, &sender, &mut judge);
    route.stop();
    let mut route = a_stopped_router_accuses_nobody(&site, &sender, &mut judge);
    route.stop();
    a_router_with_a_wrong_clock_vouches_by_the_brokers(&site, &sender, &mut judge);
    let mut route = site.start_roles("route");
    a_partition_is_added(&site, &mut broker, &mut judge);
    partitions_move_while_nothing_is_left_to_read(&site, &mut judge);
    a_device_is_added(&site, &sender, &mut route, &mut judge);

    assert_eq!(metric(&route, "vedette_retention_lost_total", ""), 0.0, "{}", route.said());
    assert_eq!(late(&judge), 0, "{}", route.said());
    // Silence itself takes a baseline and slots of ten minutes, and here is neither: that nobody is missed while nobody reads
    // comes of windows that stay open, as demanded above. This is that nothing else took anybody for broken.
    for accused in [
        "select device_id, kind from findings where kind in ('fault', 'outage')",
        "select device_id, detector from evidence where detector = 'silence'",
    ] {
        let rows = query(&site.store(), accused);
        assert!(rows.is_empty(), "{rows:?}");
    }
    route.stop();
    judge.stop();
}

/// Nobody speaks at all; then one transaction, and again nobody: behind the last record stands the transaction's marker.
fn a_quiet_fleet_closes_its_windows(site: &Site, sender: &Sender, judge: &mut Service) {
    let began = now();
    until(judge, "windows of a fleet that never spoke", |judge| closed(judge).is_some_and(|at| at >= began));
    sender.send_some(TOPIC, 0, "steady", now(), 5);
    site.wait_records(judge, "steady", 5);
    let transactional = Sender::transactional(site.bootstrap(), "living");
    transactional.0.begin_transaction().expect("a transaction");
    transactional.send_some(TOPIC, 0, "kept", now(), 5);
    transactional.0.commit_transaction(PATIENCE).expect("it is committed");
    site.wait_records(judge, "kept", 5);
    let quiet = now();
    until(judge, "windows after a transaction's end", |judge| closed(judge).is_some_and(|at| at >= quiet));
}

/// What is written and not yet committed may still come: nothing is vouched for meanwhile.
fn an_open_transaction_is_waited_for(site: &Site, judge: &mut Service) {
    let transactional = Sender::transactional(site.bootstrap(), "living-open");
    transactional.0.begin_transaction().expect("a transaction");
    let at = now();
    transactional.send_some(TOPIC, 0, "open", at, 1);
    std::thread::sleep(A_WHILE);
    let through = closed(judge).expect("lanes run");
    assert!(through <= at + SECOND, "closed {} s past what was still open", (through - at) / SECOND);
    transactional.0.commit_transaction(PATIENCE).expect("it is committed");
    site.wait_records(judge, "open", 1);
}

/// A device from 2099, once with the right timestamp beside it and once with a gateway of the same year.
fn wrong_clocks_close_nothing(sender: &Sender, route: &Service, judge: &mut Service) {
    let far = 4_070_908_800 * SECOND;
    let before = metric(route, "vedette_rejected_total", "clock_ahead");
    sender.send(to(TOPIC, 0, &record("wrong", far)));
    sender.send(Raw { timestamp: Some(far / 1_000), ..to(TOPIC, 0, &record("wrong", far)) });
    sender.flush();
    until(judge, "two clocks that are ahead", |_| {
        metric_if_up(route, "vedette_rejected_total", "clock_ahead") == Some(before + 2.0)
    });
    let sent = now();
    until(judge, "windows that close as before", |judge| closed(judge).is_some_and(|at| at >= sent));
    assert!(closed(judge).expect("lanes run") <= now(), "nothing is closed before its time");
}

/// Where devices speak as things happen, no producer says how far event time is: not even one within what a clock may be
/// ahead.
fn a_heartbeat_vouches_for_nobody(site: &Site, sender: &Sender, judge: &mut Service) {
    sender.heartbeat(TOPIC, &[0], now() + 50 * SECOND);
    // Behind it; and late, had it closed anything.
    sender.send_some(TOPIC, 0, "in-time", now(), 5);
    site.wait_records(judge, "in-time", 5);
    assert!(closed(judge).expect("lanes run") <= now(), "nothing is closed before its time");
}

/// The router is away: nothing closes, though the fleet speaks, and what it said is read afterwards.
fn a_stopped_router_accuses_nobody(site: &Site, sender: &Sender, judge: &mut Service) -> Service {
    let at = now();
    sender.send_some(TOPIC, 0, "behind", at, 10);
    std::thread::sleep(A_WHILE);
    let through = closed(judge).expect("lanes run");
    assert!(through <= at, "nothing closes while nobody reads: {} s too far", (through - at) / SECOND);
    let route = site.start_roles("route");
    site.wait_records(judge, "behind", 10);
    route
}

/// An hour ahead, and two days behind: windows close as ever, and what is dated now is in time.
fn a_router_with_a_wrong_clock_vouches_by_the_brokers(site: &Site, sender: &Sender, judge: &mut Service) {
    let shim = site.folder.path().join("wrong_clock.so");
    let source = "tests/live/cases/wrong_clock.c";
    let made = Command::new("cc").args(["-shared", "-fPIC", "-o", text(&shim), source, "-ldl"]).status();
    if !made.is_ok_and(|status| status.success()) {
        assert!(std::env::var_os("CI").is_none(), "there is no C compiler, and this is CI");
        not_run("a router with a wrong clock; it needs a C compiler");
        return;
    }
    for (device, seconds) in [("ahead", "3600"), ("slow", "-172800")] {
        sender.send_some(TOPIC, 0, device, now(), 5);
        let variables = [("LD_PRELOAD", text(&shim)), ("VEDETTE_CLOCK_AHEAD", seconds)];
        let mut route = site.start_with("route", &variables);
        site.wait_records(judge, device, 5);
        let quiet = now();
        until(judge, "windows of a quiet fleet", |judge| closed(judge).is_some_and(|at| at >= quiet));
        assert!(closed(judge).expect("lanes run") <= now(), "nothing is closed before its time");
        assert_eq!(metric(&route, "vedette_rejected_total", ""), 0.0, "{}", route.said());
        route.stop();
    }
}

fn a_partition_is_added(site: &Site, broker: &mut Broker, judge: &mut Service) {
    let altered = broker.tell(&format!("topics --alter --topic {TOPIC} --partitions 2"));
    assert_eq!(altered["status"], 0, "{altered}");
    // The router looks around every ten seconds, and so does librdkafka; until it knows the partition it is not waited for.
    std::thread::sleep(Duration::from_secs(12));
    let sender = Sender::new(site.bootstrap(), &[]);
    sender.send_some(TOPIC, 1, "second", now(), 10);
    site.wait_records(judge, "second", 10);
}

/// A second router joins and leaves, while a record comes now and then: each is the next of a partition read to its end.
fn partitions_move_while_nothing_is_left_to_read(site: &Site, judge: &mut Service) {
    let sender = Sender::new(site.bootstrap(), &[]);
    let mut sent = 0;
    let mut trickle = |lasting: Duration| {
        let began = Instant::now();
        while began.elapsed() < lasting {
            [0, 1].iter().for_each(|partition| sender.send_some(TOPIC, *partition, "moved", now(), 1));
            sent += 2;
            std::thread::sleep(Duration::from_millis(150));
        }
    };
    for _ in 0..2 {
        let mut second = site.start_roles("route");
        trickle(Duration::from_secs(5));
        second.stop();
        trickle(Duration::from_secs(2));
    }
    site.wait_records(judge, "moved", sent);
}

fn a_device_is_added(site: &Site, sender: &Sender, route: &mut Service, judge: &mut Service) {
    let mut devices = DEVICES.to_vec();
    devices.push("newcomer");
    site.write_inventory(&devices);
    until(route, "the inventory to be read again", |route| route.said().contains("the inventory changed"));
    sender.send_some(TOPIC, 0, "newcomer", now(), 5);
    site.wait_records(judge, "newcomer", 5);
    let typed = "select distinct device_type as t from windows where device_id = 'newcomer' and records > 0";
    assert_eq!(query(&site.store(), typed)[0]["t"], "sensor");
    until(judge, "a row of `devices`", |_| {
        let rows = query(&site.store(), "select device_type as t from devices where device_id = 'newcomer'");
        rows.len() == 1 && rows[0]["t"] == "sensor"
    });
}
