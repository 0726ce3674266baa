//! Killed at random moments, and started again: at the end every row stands once.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::records::now;
use crate::clickhouse::{demand_the_same_there, wait_for_findings};
use crate::engine::Engine;
use crate::kafka::{Broker, are_there};
use crate::one_truth::{Replayed, demand_the_same, prepare, replayed_demo, site};
use crate::vedette::{Feed, Service, free_address, text};

/// Seconds between two kills, on average.
const LIFE: f64 = 2.4;
/// So many times as long as all kills take the set is fed.
const LONGER: f64 = 1.05;
/// For lanes to commit, where the machine is busy; and while there is less progress than is demanded.
const LONGEST: Duration = Duration::from_secs(10);
const WANTED: Duration = Duration::from_secs(30);
/// At most, what chance adds to a life.
const CHANCE: Duration = Duration::from_secs(2);
const LANES: usize = 4;

/// How many kills: `VEDETTE_KILLS`, else fifty.
pub fn kills() -> u64 {
    std::env::var("VEDETTE_KILLS").map_or(50, |text| text.parse().expect("VEDETTE_KILLS is a number"))
}

#[test]
fn killed_again_and_again_nothing_is_lost_and_nothing_twice() {
    if !are_there("kills at random moments") {
        return;
    }
    let replayed = replayed_demo();
    let broker = Broker::start(&[]);
    let site = site(&broker, replayed, LANES as u16);
    let (toml, path) = (std::fs::read_to_string(&site.config).expect("it is there"), "path = \"store\"\n");
    assert!(toml.contains(path), "{toml}");
    // So that it is also killed while it merges.
    std::fs::write(&site.config, toml.replace(path, &format!("{path}merge_files = 8\n"))).expect("it is written");
    prepare(&site, replayed, 3);
    let log = site.folder.path().join("log");
    let mut feed = fed_meanwhile(replayed, &broker, kills() as f64 * LIFE * LONGER);
    let start = || Service::start(&site.config, "route,judge,act", &log, &site.admin);
    let mut services = kill_at_random(&[&start], kills(), &mut feed);
    demand_progress(&services[0], kills());
    feed.join();
    services[0].wait_closed(LANES, replayed.through, Duration::from_secs(240));
    let store = site.folder.path().join("store");
    // As they come, also those of the last life.
    let until = Instant::now() + Duration::from_secs(60);
    for table in ["windows", "findings"] {
        let names = || {
            let files = std::fs::read_dir(store.join("tables").join(table)).expect("the table is there");
            files.map(|entry| entry.expect("an entry").file_name()).collect::<Vec<_>>()
        };
        let is_merged = || names().iter().any(|name| name.to_string_lossy().starts_with("compacted-"));
        while !is_merged() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(500));
        }
        assert!(is_merged(), "{table}: no files were merged: {:?}", names());
    }
    services[0].stop();
    demand_the_same(&replayed.store, &store);
}

/// Route, judge and act as processes of their own, one of which is killed each time.
#[test]
fn one_role_killed_again_and_again_costs_nothing() {
    if !are_there("one role killed at random moments") {
        return;
    }
    let replayed = replayed_demo();
    let broker = Broker::start(&[]);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let engine = Engine::start(folder.path());
    let site = site(&broker, replayed, LANES as u16);
    let toml = site.keep_in(&engine);
    prepare(&site, replayed, 3);
    let mut feed = fed_meanwhile(replayed, &broker, kills() as f64 / 2.0 * LIFE * LONGER);
    let of_role = |role: &'static str| {
        let (config, admin) = (site.folder.path().join(format!("{role}.toml")), free_address());
        std::fs::write(&config, toml.replace(&site.admin, &admin)).expect("it is written");
        let log = site.folder.path().join(format!("log-{role}"));
        move || Service::start(&config, role, &log, &admin)
    };
    let (route, judge, act) = (of_role("route"), of_role("judge"), of_role("act"));
    let mut services = kill_at_random(&[&route, &judge, &act], kills() / 2, &mut feed);
    demand_progress(&services[1], kills() / 2);
    feed.join();
    services[1].wait_closed(LANES, replayed.through, Duration::from_secs(240));
    wait_for_findings(&replayed.store, &engine);
    services.iter_mut().for_each(Service::stop);
    demand_the_same_there(replayed, &engine);
    let once = engine.query("select count(*) as n, uniqExact(device_id, window_start) as apart from vedette.windows");
    assert_eq!(once[0]["n"], once[0]["apart"], "a window stands once");
}

/// Those that were killed had committed something in between: lanes went on from ticks that differ.
#[track_caller]
fn demand_progress(judge: &Service, kills: u64) {
    let (starts, ticks) = begun(judge);
    let (said, least) = (judge.said(), least(kills));
    eprintln!("{kills} kills: lanes began {starts} times, at {ticks} different ticks");
    assert!(ticks >= least, "lanes began {starts} times at {ticks} different ticks, expected {least}:\n{said}");
}

/// Different ticks that lanes are to begin at.
fn least(kills: u64) -> usize {
    kills as usize / 8
}

/// How often lanes began, and at how many different ticks; in all lives, which write into one log.
fn begun(service: &Service) -> (usize, usize) {
    let said = service.said();
    let lines = said.lines().filter(|line| line.contains("lane begins"));
    let begun: Vec<&str> = lines.filter_map(|line| line.split("closed_through=").nth(1)).collect();
    (begun.len(), begun.iter().collect::<BTreeSet<_>>().len())
}

/// Feeds the demo for so many seconds, so that whatever happens meanwhile meets a stream.
pub fn fed_meanwhile(replayed: &Replayed, broker: &Broker, seconds: f64) -> Feed {
    let demo_seconds = 4.0 * 86_400.0;
    let (demo, speed) = (replayed.data("demo.toml"), (demo_seconds / seconds).to_string());
    Feed::start(&[text(&demo), "--brokers", &broker.bootstrap, "--speed", &speed, "--quiet"])
}

/// Starts all, kills one of them at a random moment and starts it again, so many times while the set is fed; gives what runs
/// then.
#[track_caller]
fn kill_at_random(start: &[&dyn Fn() -> Service], kills: u64, feed: &mut Feed) -> Vec<Service> {
    let mut chance = Chance::drawn();
    let end = Instant::now() + Duration::from_secs_f64(kills as f64 * LIFE);
    let mut services: Vec<Service> = start.iter().map(|start| start()).collect();
    let mut while_fed = 0;
    for number in 0..kills {
        // What a slow machine took longer for is missing from the lives that are left: all are to end before the feed does.
        let share = end.saturating_duration_since(Instant::now()) / (kills - number) as u32;
        // Many die while they begin, or just after; every third life sees its lanes come further.
        // However slow the machine is, so many do that there is progress; the lives that are left have less time then.
        if number % 3 == 2 {
            let is_wanting = services.iter().map(|service| begun(service).1).max() < Some(least(kills));
            let until = Instant::now() + if is_wanting { WANTED } else { LONGEST.min(share * 4) };
            while !services.iter().any(has_committed) && Instant::now() < until {
                std::thread::sleep(Duration::from_millis(50));
            }
        }
        std::thread::sleep(Duration::from_millis(150) + share.min(CHANCE).mul_f64(chance.below(1_000) as f64 / 1e3));
        let one = chance.below(services.len() as u64) as usize;
        while_fed += u64::from(feed.is_running());
        services[one].kill();
        services[one] = start[one]();
    }
    eprintln!("{while_fed} of {kills} kills fell while the set was fed");
    assert!(while_fed * 5 >= kills * 4, "the feed was over by then: {while_fed} of {kills} kills fell before that");
    services
}

/// Its lanes, all of them, since it was started.
fn has_committed(service: &Service) -> bool {
    let readiness = service.readiness().unwrap_or_default();
    let committed = |lane: &Value| !lane["seconds_since_commit"].is_null();
    readiness["lanes"].as_array().is_some_and(|lanes| lanes.len() == LANES && lanes.iter().all(committed))
}

/// xorshift64: of the same seed, the same numbers.
pub struct Chance(u64);

impl Chance {
    /// Of a seed that is another in every run: `VEDETTE_SEED`, else the time.
    pub fn drawn() -> Chance {
        let by_time = |_| (now() * 1e6) as u64;
        let seed =
            std::env::var("VEDETTE_SEED").map_or_else(by_time, |text| text.parse().expect("VEDETTE_SEED is a number"));
        eprintln!("moments drawn by VEDETTE_SEED={seed}");
        // Of nothing but zeros it would make nothing else.
        Chance(seed.max(1))
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}
