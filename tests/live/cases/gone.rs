//! What is no more: records that retention deleted, topics made again, sources far behind and sources taken away.

use std::time::Duration;

use super::site::{LANES, Site, closed, demand_nothing_closed_beyond, metric, metric_if_up};
use super::stream::{SECOND, Sender, all_of, now};
use crate::kafka::{Broker, are_there};
use crate::vedette::{Service, succeed, text, until, vedette};

const TOPIC: &str = "gone.raw";
const LANES_LOG: &str = "gone.readings";
const FINDINGS_LOG: &str = "gone.findings";

#[test]
fn what_is_deleted_is_told_of_and_what_is_made_again_is_read_anew() {
    if !are_there("deleted records and topics") {
        return;
    }
    let mut broker = Broker::start(&[]);
    let topics = format!(
        "[[source.kafka.topics]]\nname = \"{TOPIC}\"\nformat = \"native-json\"\nlive = true\nlateness_seconds = 2"
    );
    let devices = ["first", "cut", "while-asleep", "of-the-log", "after", "again", "anew"];
    let mut site = Site::new(&broker, "gone", &devices, "", "", &topics);
    // Longer than a router sleeps here, however long the tool takes that deletes meanwhile.
    site.replace("\"session.timeout.ms\" = \"6000\"", "\"session.timeout.ms\" = \"45000\"");
    site.create_topics(1);
    let sender = Sender::new(site.bootstrap(), &[]);
    let mut judge = site.start_roles("judge,act");
    let mut route = site.start_roles("route");
    sender.send_some(TOPIC, 0, "first", now(), 20);
    site.wait_records(&mut judge, "first", 20);

    let mut route = raw_records_while_away(&site, &sender, &mut broker, &mut route, &mut judge);
    raw_records_while_asleep(&site, &sender, &mut broker, &mut route, &mut judge);
    let judge = readings_while_away(&site, &sender, &mut broker, judge);
    let mut judge = findings_while_away(&site, &mut broker, judge);
    made_again_while_running(&site, &sender, &mut broker, &mut judge);
    made_again_while_away(&site, &sender, &mut broker, &mut route, &mut judge);
    judge.stop();
    groups_without_their_offsets(&mut site, &mut broker);
}

/// Deletes all records of a partition below an offset, as retention would.
fn delete_below(site: &Site, broker: &mut Broker, topic: &str, partition: i32, offset: i64) {
    let file = site.folder.path().join("delete.json");
    let json =
        format!(r#"{{"partitions":[{{"topic":"{topic}","partition":{partition},"offset":{offset}}}],"version":1}}"#);
    std::fs::write(&file, json).expect("the offsets are written");
    let done = broker.tell(&format!("delete-records --offset-json-file {}", text(&file)));
    assert_eq!(done["status"], 0, "{done}");
}

fn end_of(site: &Site, topic: &str, partition: i32) -> i64 {
    all_of(site.bootstrap(), topic, partition).last().map_or(0, |record| record.offset + 1)
}

/// Half of what came while the router was away.
fn raw_records_while_away(
    site: &Site,
    sender: &Sender,
    broker: &mut Broker,
    route: &mut Service,
    judge: &mut Service,
) -> Service {
    route.stop();
    let before = end_of(site, TOPIC, 0);
    sender.send_some(TOPIC, 0, "cut", now(), 20);
    delete_below(site, broker, TOPIC, 0, before + 10);
    let route = site.start_roles("route");
    site.wait_records(judge, "cut", 10);
    assert_eq!(metric(&route, "vedette_retention_lost_total", TOPIC), 10.0, "{}", route.said());
    assert!(route.said().contains("retention deleted records before they were read"), "{}", route.said());
    route
}

/// The same under a router that runs, and sleeps just then: what it lost and what it read are all there was.
fn raw_records_while_asleep(
    site: &Site,
    sender: &Sender,
    broker: &mut Broker,
    route: &mut Service,
    judge: &mut Service,
) {
    let before = end_of(site, TOPIC, 0);
    let lost_before = metric(route, "vedette_retention_lost_total", TOPIC);
    route.signal("STOP");
    // The first one answers the request that waits at the broker.
    sender.send_some(TOPIC, 0, "while-asleep", now(), 1);
    std::thread::sleep(Duration::from_secs(1));
    sender.send_some(TOPIC, 0, "while-asleep", now(), 39);
    delete_below(site, broker, TOPIC, 0, before + 30);
    route.signal("CONT");
    let mut told = (0, 0);
    until(judge, "what was left, and what was lost", |_| {
        let Some(lost) = metric_if_up(route, "vedette_retention_lost_total", TOPIC) else { return false };
        told = ((lost - lost_before) as i64, site.records().get("while-asleep").copied().unwrap_or(0));
        told.0 + told.1 == 40
    });
    assert!(told.0 > 0 && told.1 >= 10, "lost and read: {told:?}");
}

/// Entries of the readings log that a judge which was away never saw.
fn readings_while_away(site: &Site, sender: &Sender, broker: &mut Broker, mut judge: Service) -> Service {
    judge.stop();
    sender.send_some(TOPIC, 0, "of-the-log", now(), 10);
    std::thread::sleep(Duration::from_secs(3));
    for lane in 0..2 {
        delete_below(site, broker, LANES_LOG, lane, end_of(site, LANES_LOG, lane));
    }
    let mut judge = site.start_roles("judge,act");
    until(&mut judge, "lanes that say what they lost", |judge| {
        metric_if_up(judge, "vedette_retention_lost_total", LANES_LOG).is_some_and(|lost| lost > 0.0)
    });
    assert!(judge.said().contains("retention deleted entries of the readings log"), "{}", judge.said());
    sender.send_some(TOPIC, 0, "after", now(), 10);
    site.wait_records(&mut judge, "after", 10);
    judge
}

/// What an `act` which was away never joined: the findings log also has each tick that a lane closed.
fn findings_while_away(site: &Site, broker: &mut Broker, mut judge: Service) -> Service {
    judge.stop();
    let mut alone = site.start_roles("judge");
    let before = end_of(site, FINDINGS_LOG, 0);
    until(&mut alone, "ticks that nobody joins", |_| end_of(site, FINDINGS_LOG, 0) > before);
    alone.stop();
    delete_below(site, broker, FINDINGS_LOG, 0, end_of(site, FINDINGS_LOG, 0));
    let mut judge = site.start_roles("judge,act");
    until(&mut judge, "act that says what it lost", |judge| {
        metric_if_up(judge, "vedette_retention_lost_total", FINDINGS_LOG).is_some_and(|lost| lost > 0.0)
    });
    assert!(judge.said().contains("retention deleted findings before they were joined"), "{}", judge.said());
    judge
}

/// Shorter than before: its offsets were seen already, of another topic.
fn made_again_while_running(site: &Site, sender: &Sender, broker: &mut Broker, judge: &mut Service) {
    make_again(broker);
    sender.send_some(TOPIC, 0, "again", now(), 5);
    site.wait_records(judge, "again", 5);
    let through = now();
    until(judge, "windows that no longer wait for the old topic", |judge| {
        closed(judge).is_some_and(|at| at >= through)
    });
}

/// Longer than before: where the old one was left there is something, and before it too.
fn made_again_while_away(site: &Site, sender: &Sender, broker: &mut Broker, route: &mut Service, judge: &mut Service) {
    route.stop();
    make_again(broker);
    sender.send_some(TOPIC, 0, "anew", now(), 200);
    let mut route = site.start_roles("route");
    site.wait_records(judge, "anew", 200);
    std::thread::sleep(Duration::from_secs(2));
    site.wait_records(judge, "again", 5);
    assert_eq!(metric(&route, "vedette_retention_lost_total", ""), 0.0, "{}", route.said());
    route.stop();
}

/// Whoever began anew would leave a hole, and say nothing.
fn groups_without_their_offsets(site: &mut Site, broker: &mut Broker) {
    delete_below(site, broker, FINDINGS_LOG, 0, end_of(site, FINDINGS_LOG, 0));
    site.replace("group = \"gone\"", "group = \"other\"");
    let mut judge = site.start_roles("judge,act");
    for group in ["other-judge", "other-act"] {
        judge.wait_until_said(&format!("the group `{group}` has no commit"), Duration::from_secs(60));
    }
    judge.stop();
}

fn make_again(broker: &mut Broker) {
    for command in ["--delete", "--create --partitions 1"] {
        let done = broker.tell(&format!("topics {command} --topic {TOPIC}"));
        assert_eq!(done["status"], 0, "{done}");
    }
}

const BEGIN: i64 = 1_772_755_200 * SECOND;
const BEHIND: i64 = 1_200 * SECOND;

#[test]
fn windows_wait_for_a_source_far_behind_until_it_comes_or_is_taken_away() {
    if !are_there("a source far behind") {
        return;
    }
    let mut broker = Broker::start(&[]);
    let table =
        |name: &str| format!("[[source.kafka.topics]]\nname = \"{name}\"\nformat = \"native-json\"\nlive = false\n");
    let topics = format!("{}{}", table("slow.one"), table("slow.other"));
    let mut site = Site::new(&broker, "slow", &["level", "behind"], "", "", &topics);
    site.create_topics(1);
    let sender = Sender::new(site.bootstrap(), &[]);
    sender.send_some("slow.one", 0, "level", BEGIN, 10);
    sender.heartbeat("slow.one", &[0], BEGIN + 2 * BEHIND);
    sender.heartbeat("slow.other", &[0], BEGIN - BEHIND);
    let mut service = site.start();
    until(&mut service, "both sources read", |service| service.said().matches("reading raw partition").count() == 2);
    until(&mut service, "all lanes", |service| service.lanes_begun() == LANES);
    std::thread::sleep(Duration::from_secs(6));
    demand_nothing_closed_beyond(&service, BEGIN - BEHIND, "windows wait for the slower one");
    assert_eq!(site.records().get("level"), None);

    // It catches up: what it brings is not late.
    sender.send_some("slow.other", 0, "behind", BEGIN, 10);
    sender.heartbeat("slow.other", &[0], BEGIN + BEHIND);
    site.wait_records(&mut service, "level", 10);
    site.wait_records(&mut service, "behind", 10);
    until(&mut service, "both level", |service| closed(service).is_some_and(|at| at > BEGIN + BEHIND - 90 * SECOND));
    assert_eq!(super::site::late(&service), 0);

    // Deleted for good: still waited for, until the operator says so.
    let deleted = broker.tell("topics --delete --topic slow.other");
    assert_eq!(deleted["status"], 0, "{deleted}");
    until(&mut service, "a word about it", |service| service.said().contains("the raw topic is not there"));
    assert!(closed(&service).unwrap() <= BEGIN + BEHIND);
    let refused = vedette(&["topics", "remove", "slow.other", "--config", text(&site.config)]);
    assert_eq!(refused.status.code(), Some(2), "a router would name it again");
    service.stop();
    site.replace(&table("slow.other"), "");
    let mut service = site.start();
    until(&mut service, "all lanes", |service| service.lanes_begun() == LANES);
    std::thread::sleep(Duration::from_secs(5));
    demand_nothing_closed_beyond(&service, BEGIN + BEHIND, "restarting alone forgets no source");
    succeed(&["topics", "remove", "slow.other", "--config", text(&site.config)]);
    // Steps are cut by marks, and history brings none by itself.
    sender.heartbeat("slow.one", &[0], BEGIN + 2 * BEHIND + SECOND);
    until(&mut service, "windows that wait no more", |service| {
        closed(service).is_some_and(|at| at > BEGIN + 2 * BEHIND - 90 * SECOND)
    });
    service.stop();
}
