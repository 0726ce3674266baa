//! What services meet: a broker that is away, one that is killed, a process that sleeps through losing its place.

use std::time::Duration;

use super::kafka::{Broker, are_there};
use super::one_truth::{demand_the_same, prepare, replayed_demo, site};
use super::vedette::{Feed, Service, text};

/// The broker is stopped for a while, and then killed, while a set is fed and judged.
#[test]
fn a_broker_that_goes_away_and_comes_back_costs_nothing() {
    if !are_there("a broker that goes away") {
        return;
    }
    let away = std::env::var("VEDETTE_AWAY_SECONDS").map_or(30, |text| text.parse().expect("a number of seconds"));
    let replayed = replayed_demo();
    let mut broker = Broker::start(&[]);
    let site = site(&broker, replayed, 2);
    prepare(&site, replayed, 2);
    let log = site.folder.path().join("log");
    let mut service = Service::start(&site.config, "route,judge,act", &log, &site.admin);
    let demo = replayed.data("demo.toml");
    let feed = Feed::start(&[text(&demo), "--brokers", &broker.bootstrap, "--speed", "12000", "--quiet"]);
    std::thread::sleep(Duration::from_secs(5));
    broker.tell("stop");
    let (before, _) = service.memory();
    std::thread::sleep(Duration::from_secs(away));
    let (after, most) = service.memory();
    eprintln!("memory: {before} MiB before brokers were away, {after} MiB after {away} s, {most} MiB at most");
    assert!(after < before + 200, "{before} MiB grew to {after} MiB while brokers were away");
    broker.tell("start");
    std::thread::sleep(Duration::from_secs(5));
    broker.tell("kill");
    broker.tell("start");
    feed.join();
    service.wait_closed(2, replayed.through, Duration::from_secs(240));
    // Ten seconds after the last client met nobody.
    service.wait_until_said("brokers answer again", Duration::from_secs(60));
    let complaints = service.complaints();
    service.stop();
    demand_the_same(&replayed.store, &site.folder.path().join("store"));
    // That brokers are away, each time and once a minute; how each role lost its place and what it met when it began again,
    // and each lane.
    let (roles, lanes) = (3, 2);
    let most = 2 + (away / 60) as usize + 2 * roles + lanes;
    eprintln!("{} lines of trouble:\n{}", complaints.len(), complaints.join("\n"));
    assert!(complaints.len() <= most, "more than {most} lines");
    let is_told = |line: &String| line.contains(" WARN ") && line.contains("no broker can be reached");
    assert!(complaints.iter().any(is_told), "nobody was told that brokers were away");
}
