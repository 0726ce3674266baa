//! Time to isolate, from the decision until the gateway was read back: the loop with its journal on the disk, a real Mosquitto
//! with dynamic security over TLS and 200 clients, a real nftables in a namespace. README.md in `benches/respond` says more.
//! `cargo run --release -p responders --example isolate [-- NAME]`, as root; NAME keeps the text in `benches/respond/runs`.

#[path = "../../tests/isolating/mod.rs"]
mod isolating;
#[path = "../../tests/programs/mod.rs"]
#[allow(dead_code, reason = "tests need more of it")]
mod programs;
#[path = "../../../benches/live/usage.rs"]
#[allow(dead_code, reason = "other benches need more of it")]
mod usage;

#[path = "../../tests/mosquitto/broker.rs"]
#[allow(dead_code, reason = "tests need more of it")]
mod broker;
#[path = "../../tests/nftables/site.rs"]
#[allow(dead_code, reason = "tests need more of it")]
mod site;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use responders::gateways::Gateway;
use responders::gateways::addresses::EachAddress;
use responders::gateways::nftables::{NftConfig, Nftables};

mod not_run {
    /// What programs of the tests say where they are missing.
    pub fn not_run(why: &str) {
        eprintln!("{why}");
    }
}

use self::broker::{Broker, Device};
use self::isolating::{Loop, device, quantile};
use self::site::Site;

pub type Failure = Box<dyn std::error::Error + Send + Sync>;

const CLIENTS: u32 = 200;
/// One a second, so many of them.
const PACED: usize = 20;
const STORM: usize = 20;
const STORMS: usize = 3;
const LARGE_STORM: usize = 100;
/// Seconds, 95 of 100.
const GOAL: f64 = 5.0;
/// A device that was cut off comes back so often; the command of the operator who enrols them takes so many at once.
const TRIES_EVERY: Duration = Duration::from_secs(1);
const ENROLLED_AT_ONCE: usize = 40;

#[derive(Default)]
struct Report(String);

impl Report {
    fn say(&mut self, line: impl AsRef<str>) {
        println!("{}", line.as_ref());
        // Writing to a String cannot fail.
        let _ = writeln!(self.0, "{}", line.as_ref());
    }
}

fn main() -> Result<(), Failure> {
    let room = Path::new(env!("CARGO_MANIFEST_DIR"));
    // Programs of the tests are started from there.
    std::env::set_current_dir(room)?;
    let name = std::env::args().nth(1);
    let mut report = Report::default();
    let words: Vec<String> = std::env::args().skip(1).collect();
    let profile = if cfg!(debug_assertions) { "" } else { " --release" };
    report.say(
        format!("command: cargo run{profile} -p responders --example isolate -- {}", words.join(" "))
            .trim_end_matches([' ', '-']),
    );
    usage::machine().iter().for_each(|line| report.say(line));
    report.say("gateway,findings,count,p50_ms,p95_ms,most_ms");
    let most = mosquitto(&mut report)?.max(nftables(&mut report)?);
    let verdict = if most <= GOAL { "met" } else { "missed" };
    report.say(format!("goal: p95 at most {GOAL} s: {verdict}, the highest is {most:.2} s"));
    if let Some(name) = name {
        let runs: PathBuf = room.join("../benches/respond/runs");
        std::fs::create_dir_all(&runs)?;
        std::fs::write(runs.join(format!("{name}.txt")), report.0)?;
    }
    Ok(())
}

fn mosquitto(report: &mut Report) -> Result<f64, Failure> {
    let broker = Broker::new().ok_or("Mosquitto cannot run here")?;
    let names: Vec<String> = (1..=CLIENTS).map(device).collect();
    for some in names.chunks(ENROLLED_AT_ONCE) {
        broker.enrol(&some.iter().map(String::as_str).collect::<Vec<_>>());
    }
    let devices: Vec<Device> = names.iter().map(|name| broker.device_that_tries(name, TRIES_EVERY)).collect();
    let (isolated, most) = measure(report, "mosquitto", Box::new(broker.gateway()));
    let out = devices[..isolated].iter().filter(|device| !device.is_connected()).count();
    let unmoved = devices[isolated..].iter().filter(|device| device.is_connected() && device.cuts() == 0).count();
    report.say(format!(
        "mosquitto: of {isolated} isolated {out} are out; of {} others {unmoved} never noticed",
        devices.len() - isolated
    ));
    Ok(most)
}

fn nftables(report: &mut Report) -> Result<f64, Failure> {
    let site = Site::new().ok_or("nftables cannot run here")?;
    let config = NftConfig { run: site.gateway.inside(&["nft"]), ..NftConfig::default() };
    // As a configuration opens it.
    let gateway = EachAddress::new(Box::new(Nftables::new("gw1", config)?));
    let (isolated, most) = measure(report, "nftables", Box::new(gateway));
    let held = site.gateway.run(&["nft", "list", "set", "inet", "vedette", "quarantine4"]);
    report.say(format!("nftables: of {isolated} isolated {} are in its set", held.matches("\"vedette:").count()));
    Ok(most)
}

/// How many were isolated, the first of [`CLIENTS`], and the highest p95 in seconds.
fn measure(report: &mut Report, what: &str, gateway: Box<dyn Gateway>) -> (usize, f64) {
    let names: Vec<String> = (1..=CLIENTS).map(device).collect();
    let mut all = Loop::begin(gateway, CLIENTS);
    let mut isolated = 0;
    let mut next = |count: usize| {
        isolated += count;
        names[isolated - count..isolated].to_vec()
    };
    let mut paced = Vec::new();
    for _ in 0..PACED {
        let began = Instant::now();
        paced.extend(all.isolate(&next(1)));
        std::thread::sleep(Duration::from_secs(1).saturating_sub(began.elapsed()));
    }
    let mut storms = Vec::new();
    for _ in 0..STORMS {
        storms.extend(all.isolate(&next(STORM)));
    }
    let large = all.isolate(&next(LARGE_STORM));
    let mut most = 0.0_f64;
    for (findings, mut times) in [
        ("one a second".to_owned(), paced),
        (format!("{STORM} at one instant; {STORMS} times"), storms),
        (format!("{LARGE_STORM} at one instant"), large),
    ] {
        let [p50, p95, last] = [0.5, 0.95, 1.0].map(|share| quantile(&mut times, share).as_secs_f64());
        let millis = [p50, p95, last].map(|seconds| format!("{:.0}", seconds * 1_000.0)).join(",");
        report.say(format!("{what},{findings},{},{millis}", times.len()));
        most = most.max(p95);
    }
    (isolated, most)
}
