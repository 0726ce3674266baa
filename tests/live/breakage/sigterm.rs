//! Told to stop in the middle of a stream: it ends in order, and the next start reads hardly anything again. Also when no
//! broker is there to take what is in hand.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::records::{Bench, Logged, Options, Sender, logged, message, now};
use crate::kafka::{Broker, are_there};
use crate::vedette::{Service, query, until};

const LANES: usize = 2;
const WINDOW: u32 = 5;
const LATENESS: u32 = 5;
/// Seconds that may be read again: what was open, and as marks are a second apart, what came since the last one.
const MOST: f64 = (WINDOW + LATENESS) as f64 + 2.0;
const DEVICES: [&str; 4] = ["pump-1", "pump-2", "valve-1", "valve-2"];

fn bench(broker: &Broker) -> Bench {
    let options = Options {
        inventory: "pump-1,pump,pump-1\npump-2,pump,pump-2\nvalve-1,valve,valve-1\nvalve-2,valve,valve-2",
        raw_partitions: 2,
        lanes: LANES as u16,
        window_seconds: WINDOW,
        lateness_seconds: LATENESS,
        live: true,
        // What is remembered between the start and the stop would hide what the stop itself leaves.
        memory_seconds: 600,
        store: None,
    };
    Bench::new(broker, &options)
}

#[test]
fn after_a_stop_less_than_a_window_and_the_lateness_is_read_again() {
    if !are_there("a stop in the middle of a stream") {
        return;
    }
    let broker = Broker::start(&[]);
    let bench = bench(&broker);
    let sender = Sender::new(&broker);
    let enough = Arc::new(AtomicBool::new(false));
    let is_enough = Arc::clone(&enough);
    let stream = std::thread::spawn(move || {
        let (mut sent, mut bad) = (0_u64, 0_u64);
        while !is_enough.load(Ordering::SeqCst) {
            for (place, device) in DEVICES.iter().enumerate() {
                sender.send((place % 2) as i32, message(device, now()).as_bytes());
                sent += 1;
            }
            // Always some on their way: none may get lost with the stop.
            sender.send(0, b"{");
            bad += 1;
            std::thread::sleep(Duration::from_millis(20));
        }
        sender.flush();
        (sent, bad)
    });

    let mut service = Service::start(&bench.config, "route,judge,act", &bench.log(), &bench.admin);
    std::thread::sleep(Duration::from_secs(22));
    // A machine that is busy may be behind just now. What comes after this moment is no matter of the stop.
    let mut at = 0.0;
    until(&mut service, "lanes that closed all they could", |service| {
        at = now();
        closed(service).is_some_and(|closed| at - closed < MOST)
    });
    let asked = Instant::now();
    service.stop();
    eprintln!("stopped after {:.1} s", asked.elapsed().as_secs_f64());
    assert!(asked.elapsed() < Duration::from_secs(10), "long before the deadline of 25 s");
    let before: Vec<Vec<Logged>> = (0..LANES).map(|lane| logged(&broker, lane as i32, 0)).collect();

    let mut service = Service::start(&bench.config, "route,judge,act", &bench.log(), &bench.admin);
    std::thread::sleep(Duration::from_secs(4));
    enough.store(true, Ordering::SeqCst);
    let (sent, bad) = stream.join().expect("the stream was sent");
    let last = (now() * 1e6) as i64 + i64::from(WINDOW) * 1_000_000;
    service.wait_closed(LANES, last, Duration::from_secs(60));
    let readiness = service.readiness().expect("the admin listener answers");
    let said = service.said();
    service.stop();

    for (lane, log) in before.iter().enumerate() {
        let from = second_start(&said, lane as i32);
        let times = |logged: &Logged| logged.times.iter().map(|time| time.seconds()).collect::<Vec<f64>>();
        let all = at - least(&log.iter().flat_map(times).collect::<Vec<f64>>());
        // Batches are read again as a whole, and the beat that cut the first one may have been late: its last reading
        // counts.
        let newest = |times: Vec<f64>| times.into_iter().fold(f64::NEG_INFINITY, f64::max);
        let read_again = log.iter().find(|batch| batch.offset >= from).map(times);
        let span = read_again.map_or(0.0, |times| at - newest(times));
        eprintln!("{span:.1} s of {all:.1} s were read again, at most {MOST} s");
        assert!(all > MOST + 2.0, "the stream was too short to tell");
        assert!(span < MOST, "{span:.1} s were read again, expected less than {MOST} s");
    }
    for lane in readiness["lanes"].as_array().expect("lanes") {
        assert_eq!(lane["duplicates"], 0, "the router had committed all it sent: {lane}");
        assert_eq!(lane["late"], 0, "{lane}");
    }
    let rows = query(&bench.store, "select cast(sum(records) as bigint) as records from windows");
    assert_eq!(rows[0]["records"].as_u64(), Some(sent));
    let sql = "select count(*) as n, count(distinct \"offset\") as apart from rejected";
    let rows = query(&bench.store, sql);
    assert_eq!((rows[0]["n"].as_u64(), rows[0]["apart"].as_u64()), (Some(bad), Some(bad)));
}

/// What the brokers did not take is read again, and nothing stands twice. A session lasts longer than a stop may.
#[test]
fn with_the_brokers_away_a_stop_ends_well_too() {
    if !are_there("a stop without brokers") {
        return;
    }
    let mut broker = Broker::start(&[]);
    let bench = bench(&broker);
    let (toml, short) =
        (std::fs::read_to_string(&bench.config).expect("it is there"), "\"session.timeout.ms\" = \"6000\"");
    assert!(toml.contains(short), "{toml}");
    std::fs::write(&bench.config, toml.replace(short, "\"session.timeout.ms\" = \"45000\"")).expect("it is written");
    let start = || Service::start(&bench.config, "route,judge,act", &bench.log(), &bench.admin);
    let send = |broker: &Broker, rounds: usize| {
        // One that met the brokers' absence would wait before it tries again, and what it has be late.
        let sender = Sender::new(broker);
        for _ in 0..rounds {
            for (place, device) in DEVICES.iter().enumerate() {
                sender.send((place % 2) as i32, message(device, now()).as_bytes());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        sender.flush();
    };
    let started = |times: usize| {
        let mut service = start();
        let begins = |said: &str| said.matches("lane begins").count() == times * LANES;
        service.wait_until("both lanes", Duration::from_secs(30), begins);
        service
    };
    let stop = |mut service: Service| {
        let asked = Instant::now();
        service.stop();
        eprintln!("stopped after {:.1} s", asked.elapsed().as_secs_f64());
        assert!(asked.elapsed() < Duration::from_secs(25), "not before the deadline of 25 s");
        assert!(!service.said().contains("not waiting any longer"), "{}", service.said());
    };
    let mut service = started(1);
    send(&broker, 100);
    broker.tell("kill");
    service.wait_until_said("no broker can be reached", Duration::from_secs(30));
    stop(service);

    // It takes commits and never answers: whoever closes a client would wait for them.
    broker.tell("start");
    let service = started(2);
    send(&broker, 100);
    broker.tell("freeze");
    std::thread::sleep(Duration::from_secs(2));
    stop(service);
    broker.tell("kill");

    broker.tell("start");
    let mut service = start();
    send(&broker, 50);
    let last = (now() * 1e6) as i64 + i64::from(WINDOW) * 1_000_000;
    service.wait_closed(LANES, last, Duration::from_secs(60));
    service.stop();
    let rows = query(&bench.store, "select cast(sum(records) as bigint) as records from windows");
    assert_eq!(rows[0]["records"], 250 * DEVICES.len(), "{}", service.said());
}

/// Up to when all lanes have closed and committed everything, in seconds.
fn closed(service: &Service) -> Option<f64> {
    let readiness = service.readiness()?;
    let lanes = readiness["lanes"].as_array().filter(|lanes| lanes.len() == LANES)?;
    let closed = |lane: &Value| Some(lane["closed_through"].as_i64()? as f64 / 1e6);
    let closed: Option<Vec<f64>> = lanes.iter().map(closed).collect();
    Some(least(&closed?))
}

/// `... lane begins lane=1 from=120 closed_through=...`
fn began(line: &str) -> Option<(i32, u64)> {
    let (_, facts) = line.split_once("lane begins ")?;
    let fact = |name: &str| facts.split_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
    Some((fact("lane")?.parse().ok()?, fact("from")?.parse().ok()?))
}

#[track_caller]
fn second_start(said: &str, lane: i32) -> u64 {
    let starts: Vec<u64> = said.lines().filter_map(began).filter(|(of, _)| *of == lane).map(|(_, from)| from).collect();
    assert_eq!(starts.len(), 2, "lane {lane} began twice:\n{said}");
    starts[1]
}

fn least(times: &[f64]) -> f64 {
    times.iter().copied().fold(f64::INFINITY, f64::min)
}
