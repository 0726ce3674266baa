//! ClickHouse failing in every way it can, while a set is judged into it: nothing is lost, nothing stands twice, memory
//! stays bounded, and the log tells it in a handful of lines.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::kills::fed_meanwhile;
use super::namespace::{self, HostTable};
use crate::clickhouse::{demand_the_same_there, wait_for_findings};
use crate::engine::Engine;
use crate::kafka::{Broker, are_there};
use crate::one_truth::{Site, prepare, replayed_demo, site};
use crate::vedette::Service;

const NAME: &str = "store.vedette.test";
/// What the engine does for a while, each: all but `slow` keep it from storing anything. With words of its own that must be
/// told; empty where it may as well be over within a second, which is only counted.
const FAULTS: [(&str, &str); 8] = [
    ("500", "TOO_MANY_PARTS"),
    ("full", "NOT_ENOUGH_SPACE"),
    ("hang", ""),
    ("cut", ""),
    ("cut-after@insert", ""),
    ("exception-in-200", ""),
    ("exception-in-200-old@insert", ""),
    ("slow@insert", ""),
];
/// What each line about the store's trouble says.
const TRYING: &str = "trying until it works, nothing is lost meanwhile";

#[test]
fn whatever_the_store_does_nothing_is_lost_and_nothing_twice() {
    let what = "a store that fails in every way";
    if !are_there(what) || !namespace::are_there(what) {
        return;
    }
    let away: u64 = std::env::var("VEDETTE_AWAY_SECONDS").map_or(60, |text| text.parse().expect("a number of seconds"));
    let replayed = replayed_demo();
    let broker = Broker::start(&[]);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let engine = Engine::start(folder.path());
    let site = site(&broker, replayed, 2);
    let toml = site.keep_in(&engine);
    prepare(&site, replayed, 3);
    let named = engine.address.replace("127.0.0.1", NAME);
    let toml = toml.replace(&engine.address, &named).replace("migrate = true", "migrate = true\ntimeout_seconds = 4");
    std::fs::write(&site.config, &toml).expect("it is written");
    let place = Place { hosts: HostTable::new(), site, log: folder.path().join("log") };

    place.hosts.know(NAME);
    let mut service = place.start();
    let mut feed = fed_meanwhile(replayed, &broker, 80.0 + away as f64);
    service.wait_until_said("lane begins", Duration::from_secs(30));
    for (fault, words) in FAULTS {
        std::thread::sleep(Duration::from_millis(1_500));
        service.wait_until("trouble is told to be over", Duration::from_secs(60), is_over);
        assert!(feed.is_running(), "nothing is stored any more, so nothing can fail");
        let so_far = service.said().len();
        let before = engine.fault(fault);
        std::thread::sleep(Duration::from_millis(2_500));
        let until = Instant::now() + Duration::from_secs(30);
        while engine.fault("stats") == before {
            assert!(Instant::now() < until, "`{fault}` met no request:\n{}", service.said());
            std::thread::sleep(Duration::from_millis(100));
        }
        if !words.is_empty() {
            service.wait_until(words, Duration::from_secs(30), |said| is_told(said, so_far, words));
        }
        engine.fault("ok");
    }
    service.wait_until("the last trouble is told to be over", Duration::from_secs(60), is_over);

    // The name is gone, and with it the connections: one that is open would be used on and on, and no name looked up.
    place.hosts.forget();
    engine.fault("refuse");
    // If the first line is about a connection, the next one comes a minute later.
    service.wait_until_said("lookup", Duration::from_secs(130));
    engine.fault("ok");
    place.hosts.know(NAME);
    service.wait_until("the name is known again", Duration::from_secs(60), is_over);

    // Away for long. Whoever is told to stop meanwhile ends in order, and whoever is started waits.
    let so_far = service.said().len();
    engine.fault("refuse");
    service.wait_until("an outage", Duration::from_secs(30), |said| is_told(said, so_far, TRYING));
    demand_bounded(&service, away / 2);
    service.stop();
    let mut service = place.start();
    service.wait_until_said("cannot open the store", Duration::from_secs(20));
    demand_bounded(&service, away / 2);
    engine.fault("ok");
    // Not the name it has: that is said, and nothing else happens until it is mended.
    service.stop();
    std::fs::write(&place.site.config, toml.replace(NAME, "vedette.invalid")).expect("it is written");
    let mut service = place.start();
    service.wait_until_said("vedette.invalid", Duration::from_secs(30));
    service.stop();
    std::fs::write(&place.site.config, &toml).expect("it is written");
    let mut service = place.start();

    feed.join();
    service.wait_closed(2, replayed.through, Duration::from_secs(240));
    wait_for_findings(&replayed.store, &engine);
    let complaints = service.complaints();
    service.stop();
    demand_the_same_there(replayed, &engine);
    eprintln!("{} lines of trouble:\n{}", complaints.len(), complaints.join("\n"));
    // The faults, the name and the outage, a line each; the stop meanwhile, a line a role, and two starts; and once a minute.
    let most = FAULTS.len() + 2 + 3 + 2 + (away / 60) as usize + 2;
    assert!(complaints.len() <= most, "more than {most} lines");
}

/// Whether a line about the store's trouble has the words, after so many bytes of the log.
fn is_told(said: &str, so_far: usize, words: &str) -> bool {
    let mut lines = said.get(so_far..).unwrap_or_default().lines();
    lines.any(|line| line.contains(" WARN ") && line.contains(TRYING) && line.contains(words))
}

/// Whether all trouble that was told of was also told to be over.
fn is_over(said: &str) -> bool {
    said.rfind(TRYING).is_none_or(|at| said[at..].contains("the store works again"))
}

/// Lets it wait for so many seconds.
#[track_caller]
fn demand_bounded(service: &Service, seconds: u64) {
    let (before, _) = service.memory();
    std::thread::sleep(Duration::from_secs(seconds));
    let (now, most) = service.memory();
    eprintln!("memory: {before} MiB while the store is away, {now} MiB {seconds} s later, {most} MiB at most");
    assert!(now < before + 200, "{before} MiB grew to {now} MiB while the store was away");
}

struct Place {
    hosts: HostTable,
    site: Site,
    log: PathBuf,
}

impl Place {
    fn start(&self) -> Service {
        let starter = self.hosts.starter();
        let starter: Vec<&str> = starter.iter().map(String::as_str).collect();
        let config: &Path = &self.site.config;
        Service::start_by(&starter, config, "route,judge,act", &self.log, &self.site.admin)
    }
}
