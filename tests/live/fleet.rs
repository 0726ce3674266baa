//! The benchmark fleet through Kafka, in the shapes a site may have: lanes, processes, keys of raw records, restarts. The
//! findings are those of its replay, each time.

use std::path::Path;
use std::time::Duration;

use super::clickhouse::{configured, demand_the_same_there, three, wait_closed, wait_for_findings};
use super::engine::Engine;
use super::kafka::{Broker, are_there};
use super::one_truth::{Replayed, demand_the_same, prepare, replayed_fleet, site_named};
use super::vedette::{Service, recordings, succeed, text};

/// Event time for wall time: six days in about half a minute, where the machine keeps up.
const SPEED: &str = "18000";

#[test]
fn the_fleet_fed_through_kafka_gives_the_findings_of_its_replay() {
    let Some(data) = recordings("fleet") else { return };
    if !are_there("the fleet through Kafka") {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let replayed = replayed_fleet(&data, folder.path());
    let broker = Broker::start(&[]);
    // Cases to leave out while looking for a fault in one of them.
    let only = std::env::var("VEDETTE_FLEET_CASE").ok();
    let wanted = |case: &str| only.as_deref().is_none_or(|only| only == case);
    if wanted("one") {
        one_lane_straight_through(&broker, &replayed, &data);
    }
    if wanted("sixteen") {
        sixteen_lanes_with_restarts(&broker, &replayed, &data);
    }
    if wanted("three") {
        three_processes(&broker, &replayed, &data);
    }
}

fn feed(broker: &Broker, data: &Path, name: &str, key: &str, speed: &str) {
    let topic = format!("{name}.raw");
    let mut arguments = vec!["feed", "datasets/fleet.toml", "--path", text(data), "--brokers", &broker.bootstrap];
    arguments.extend(["--topic", &topic, "--key", key, "--speed", speed, "--quiet"]);
    succeed(&arguments);
}

fn one_lane_straight_through(broker: &Broker, replayed: &Replayed, data: &Path) {
    let site = site_named(broker, replayed, 1, "one");
    prepare(&site, replayed, 4);
    let mut service = Service::start(&site.config, "route,judge,act", &site.folder.path().join("log"), &site.admin);
    feed(broker, data, "one", "device", "0");
    service.wait_closed(1, replayed.through, Duration::from_secs(180));
    service.stop();
    demand_the_same(&replayed.store, &site.folder.path().join("store"));
}

/// A collector's key is one raw partition of four: the others are quiet.
fn sixteen_lanes_with_restarts(broker: &Broker, replayed: &Replayed, data: &Path) {
    let site = site_named(broker, replayed, 16, "sixteen");
    prepare(&site, replayed, 4);
    let start = || Service::start(&site.config, "route,judge,act", &site.folder.path().join("log"), &site.admin);
    let mut service = start();
    std::thread::scope(|scope| {
        let feeding = scope.spawn(|| feed(broker, data, "sixteen", "collector", SPEED));
        for restart in 0..4 {
            std::thread::sleep(Duration::from_secs(6));
            match restart % 2 {
                0 => service.stop(),
                _ => service.kill(),
            }
            service = start();
        }
        feeding.join().expect("the set was fed");
    });
    service.wait_closed(16, replayed.through, Duration::from_secs(180));
    service.stop();
    demand_the_same(&replayed.store, &site.folder.path().join("store"));
}

/// Four lanes: one of the processes has two.
fn three_processes(broker: &Broker, replayed: &Replayed, data: &Path) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let engine = Engine::start(folder.path());
    let (site, mut services) = three(broker, replayed, &engine, "three", 4);
    std::thread::scope(|scope| {
        let feeding = scope.spawn(|| feed(broker, data, "three", "none", SPEED));
        std::thread::sleep(Duration::from_secs(10));
        services[1].kill();
        services[1] = configured(&site, &engine, 1);
        feeding.join().expect("the set was fed");
    });
    wait_closed(&mut services, 4, replayed.through);
    wait_for_findings(&replayed.store, &engine);
    services.iter_mut().for_each(Service::stop);
    demand_the_same_there(replayed, &engine);
}
