//! Records as bad as life has them: undecodable, from the future, far too late, and one device that sends a hundred times
//! as much as all others. Each is counted to the last one, and the other lanes keep their pace.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;

use super::records::{Bench, Options, Sender, logged, message, now};
use crate::kafka::{Broker, are_there};
use crate::vedette::{Service, get, query};

const LANES: usize = 4;
const PARTITIONS: i64 = 4;
const ROUNDS: i64 = 5;
/// Event time of a round.
const ROUND: i64 = 600;
/// Twelve devices of three types, one message every ten seconds.
const OTHERS: [&str; 12] = ["a-1", "a-2", "a-3", "a-4", "b-1", "b-2", "b-3", "b-4", "c-1", "c-2", "c-3", "c-4"];
const EACH: i64 = ROUND / 10;
const ALL_OTHERS: i64 = EACH * OTHERS.len() as i64;
const HOT: i64 = 100 * ALL_OTHERS;
/// A hundredth, a hundredth and a twentieth of the round's records.
const UNDECODABLE: i64 = (ALL_OTHERS + HOT) / 100;
const FROM_THE_FUTURE: i64 = (ALL_OTHERS + HOT) / 100;
const LATE_OF_OTHERS: i64 = ALL_OTHERS / 20;
const LATE_OF_HOT: i64 = HOT / 20;
/// Before the flood, for looks at lanes that have nothing to do.
const QUIET: Duration = Duration::from_secs(2);
/// Seconds that a lane which nobody floods may be further behind than before.
const MORE: f64 = 4.0;

#[test]
fn bad_records_and_a_device_that_floods_are_counted_and_hold_up_nobody_else() {
    if !are_there("bad records and a flood") {
        return;
    }
    let broker = Broker::start(&[]);
    let inventory: Vec<String> = OTHERS.iter().map(|id| format!("{id},{},{id}", &id[..1])).collect();
    let bench = Bench::new(
        &broker,
        &Options {
            inventory: &format!("{}\nhot,hub,hot", inventory.join("\n")),
            raw_partitions: PARTITIONS as u16,
            lanes: LANES as u16,
            window_seconds: 60,
            lateness_seconds: 60,
            live: false,
            memory_seconds: 2,
            store: None,
        },
    );
    let sender = Sender::new(&broker);
    let mut service = Service::start(&bench.config, "route,judge,act", &bench.log(), &bench.admin);
    service.wait_until_said("lane begins", Duration::from_secs(30));
    let start = (now() as i64 - 6 * 3_600) / 60 * 60;
    let watch = Watch { admin: service.admin.clone(), seen: Mutex::default(), is_over: AtomicBool::new(false) };
    let before = std::thread::scope(|scope| {
        scope.spawn(|| watch.look());
        let _over = Over(&watch.is_over);
        std::thread::sleep(QUIET);
        let before = watch.taken();
        for round in 0..ROUNDS {
            send(&sender, start, round);
            service.wait_closed(LANES, (start + (round + 1) * ROUND) * 1_000_000, Duration::from_secs(90));
        }
        // One more step, which takes along what was counted since the last one.
        (0..PARTITIONS).for_each(|partition| sender.heartbeat(partition as i32, start + ROUNDS * ROUND + 600));
        sender.flush();
        service.wait_closed(LANES, (start + ROUNDS * ROUND + 480) * 1_000_000, Duration::from_secs(60));
        before
    });

    let rejected = [("clock_ahead", FROM_THE_FUTURE * ROUNDS), ("not_json", UNDECODABLE * ROUNDS)];
    let late = (ROUNDS - 1) * (LATE_OF_OTHERS + LATE_OF_HOT);
    let metrics = get(&service.admin, "/metrics").expect("the admin listener answers");
    for (reason, count) in rejected {
        let reason = format!("reason=\"{reason}\"");
        assert_eq!(counted(&metrics, "vedette_rejected_total", &reason), count, "{reason}\n{metrics}");
    }
    assert_eq!(counted(&metrics, "vedette_late_total", ""), late, "{metrics}");
    assert_eq!(counted(&metrics, "vedette_duplicates_total", ""), 0);
    service.stop();

    let sql = "select device_id, cast(sum(records) as bigint) as records, count(*) as windows from windows \
               where records > 0 group by 1 order by 1";
    let mut expected: Vec<(String, i64, i64)> =
        OTHERS.iter().map(|id| ((*id).to_owned(), EACH * ROUNDS, ROUNDS * ROUND / 60)).collect();
    expected.push(("hot".to_owned(), HOT * ROUNDS, ROUNDS * ROUND / 60));
    let number = |value: &Value| value.as_i64().expect("a number");
    let found: Vec<(String, i64, i64)> = query(&bench.store, sql)
        .iter()
        .map(|row| {
            (row["device_id"].as_str().expect("an id").to_owned(), number(&row["records"]), number(&row["windows"]))
        })
        .collect();
    assert_eq!(found, expected);
    let sql = "select reason, count(*) as n, count(distinct file || '/' || cast(\"offset\" as varchar)) as places \
               from rejected group by 1 order by 1";
    let found = query(&bench.store, sql);
    for ((reason, count), row) in rejected.iter().zip(&found) {
        assert_eq!(
            (row["reason"].as_str(), number(&row["n"]), number(&row["places"])),
            (Some(*reason), *count, *count)
        );
    }
    assert_eq!(found.len(), rejected.len());

    let hot = (0..LANES as i32)
        .find(|lane| logged(&broker, *lane, 0).iter().any(|batch| batch.devices.iter().any(|id| id == "hot")))
        .expect("a lane has the device that floods");
    demand_pace(i64::from(hot), &before, &watch.taken());
}

/// Of looks at the lanes before the flood and in it: half of the time those that nobody floods are at most a few seconds further
/// behind than before, and never ten.
#[track_caller]
fn demand_pace(hot: i64, before: &[(i64, f64)], during: &[(i64, f64)]) {
    let of = |looks: &[(i64, f64)], lane: i64| -> Vec<f64> {
        let mut behind: Vec<f64> = looks.iter().filter(|look| look.0 == lane).map(|look| look.1).collect();
        behind.sort_by(f64::total_cmp);
        behind
    };
    let median = |behind: &[f64]| behind.get(behind.len() / 2).copied();
    for lane in 0..LANES as i64 {
        let (before, during) = (of(before, lane), of(during, lane));
        // A lane that never had anything to judge is behind nobody.
        let (usual, found) = (median(&before).unwrap_or(0.0), median(&during).expect("it was looked at"));
        let most = during.last().copied().unwrap_or(0.0);
        let looks = during.len();
        eprintln!(
            "lane {lane}, {looks} looks: {usual:.1} s behind before, {found:.1} s in the flood, {most:.1} s at most"
        );
        assert!(looks > 20, "lane {lane}: {looks} looks");
        if lane != hot {
            assert!(found < usual + MORE, "lane {lane}, which nobody floods, was {found:.1} s behind half of the time");
            assert!(most < 30.0, "lane {lane}, which nobody floods, was {most:.1} s behind");
        }
    }
}

/// A round of the stream, its bad records in between. Late ones are of the round before, whose windows are closed.
fn send(sender: &Sender, start: i64, round: i64) {
    let from = (start + round * ROUND) as f64;
    let late_by = |number: i64, of: i64| from - ROUND as f64 + number as f64 * (ROUND - 120) as f64 / of as f64;
    for number in 0..HOT {
        let seconds = from + number as f64 * ROUND as f64 / HOT as f64;
        if number % (HOT / EACH) == 0 {
            for (place, id) in (0..).zip(OTHERS) {
                sender.send(place % PARTITIONS as i32, message(id, seconds).as_bytes());
            }
        }
        sender.send((number % PARTITIONS) as i32, message("hot", seconds).as_bytes());
    }
    for number in 0..UNDECODABLE {
        sender.send((number % PARTITIONS) as i32, format!("{{\"kind\":\"message\",\"time\":{number}").as_bytes());
    }
    for number in 0..FROM_THE_FUTURE {
        sender.send((number % PARTITIONS) as i32, message("hot", now() + 3.0 * 86_400.0).as_bytes());
    }
    if round > 0 {
        for number in 0..LATE_OF_OTHERS {
            let id = OTHERS[number as usize % OTHERS.len()];
            sender.send((number % PARTITIONS) as i32, message(id, late_by(number, LATE_OF_OTHERS)).as_bytes());
        }
        for number in 0..LATE_OF_HOT {
            sender.send((number % PARTITIONS) as i32, message("hot", late_by(number, LATE_OF_HOT)).as_bytes());
        }
    }
    (0..PARTITIONS).for_each(|partition| sender.heartbeat(partition as i32, start + (round + 1) * ROUND + 60));
    sender.flush();
}

/// The sum of a counter over its labels.
fn counted(metrics: &str, name: &str, label: &str) -> i64 {
    let values = metrics.lines().filter(|line| line.starts_with(name) && line.contains(label));
    values.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum::<f64>() as i64
}

/// Said when it is dropped, also when an assertion failed.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// How far behind each lane is, looked at all the time.
struct Watch {
    admin: String,
    seen: Mutex<Vec<(i64, f64)>>,
    is_over: AtomicBool,
}

impl Watch {
    /// What was seen since the last time: lanes, and how many seconds each was behind.
    fn taken(&self) -> Vec<(i64, f64)> {
        std::mem::take(&mut *self.seen.lock().expect("nobody panicked with it"))
    }

    fn look(&self) {
        while !self.is_over.load(Ordering::SeqCst) {
            let body = get(&self.admin, "/readyz").unwrap_or_default();
            let readiness: Value = serde_json::from_str(&body).unwrap_or_default();
            for lane in readiness["lanes"].as_array().into_iter().flatten() {
                if let (Some(number), Some(behind)) = (lane["lane"].as_i64(), lane["behind_seconds"].as_f64()) {
                    self.seen.lock().expect("nobody panicked with it").push((number, behind));
                }
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}
