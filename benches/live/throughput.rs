//! How much a CPU second does, over what the bare batch consume of the same topic does with it.

use std::time::{Duration, Instant};

use crate::feed::Feed;
use crate::stand::{RAW, Run, Service, Stand, closed, wait_lanes};
use crate::{Failure, Options, Report, bare, median};

const PATIENCE: Duration = Duration::from_secs(600);
const DEVICES: u32 = 100_000;
/// Seconds between a device's messages.
const PERIOD: i64 = 2;

/// The raw topic filled, and what the bare consume of it costs.
struct Filled {
    stand: Stand,
    messages: u64,
    through: i64,
    rounds: usize,
    bare: Vec<f64>,
}

fn fill(stand: Stand, options: &Options, messages: u64, report: &mut Report) -> Result<Filled, Failure> {
    let messages = options.messages.unwrap_or(messages);
    stand.prepare(&Run { label: "made", live: false, memory_seconds: 60 })?;
    let began = Instant::now();
    let through = Feed::new(&stand)?.history(messages)?;
    report.say(format!(
        "{messages} messages of {} devices in {} partitions, one each {} s of event time; fed in {:.1} s",
        stand.devices,
        stand.partitions,
        stand.period,
        began.elapsed().as_secs_f64()
    ));
    report.say("round,what,seconds,cpu_seconds,messages_per_cpu_second,ratio");
    Ok(Filled { stand, messages, through, rounds: options.rounds.unwrap_or(3), bare: Vec::new() })
}

impl Filled {
    /// Messages a CPU second of the bare consume.
    fn bare(&mut self, round: usize, report: &mut Report) -> Result<f64, Failure> {
        let bare = bare::run(&self.stand.brokers, RAW, self.messages)?;
        let rate = self.messages as f64 / bare.cpu.max(0.01);
        report.say(format!(
            "{round},bare ({:.0} bytes each),{:.2},{:.2},{rate:.0},1",
            bare.bytes / self.messages as f64,
            bare.seconds,
            bare.cpu
        ));
        self.bare.push(rate);
        Ok(rate)
    }

    fn say(&self, report: &mut Report, round: usize, what: &str, seconds: f64, cpu: f64, bare: f64) -> f64 {
        let rate = self.messages as f64 / cpu;
        report.say(format!("{round},{what},{seconds:.2},{cpu:.2},{rate:.0},{:.3}", rate / bare));
        rate
    }
}

/// From the start of the processes until every window is closed, stored and committed.
pub fn raw(options: &Options, report: &mut Report) -> Result<(), Failure> {
    let messages = if options.processes > 1 { 10_000_000 } else { 20_000_000 };
    let stand = Stand::start(options, 4, DEVICES, PERIOD)?;
    let mut filled = fill(stand, options, messages, report)?;
    let mut rates = Vec::new();
    for round in 1..=filled.rounds {
        let bare = filled.bare(round, report)?;
        let label = format!("round-{round}");
        let lanes = filled.stand.partitions;
        let run = Run { label: &label, live: false, memory_seconds: 60 };
        let toml = filled.stand.prepare(&run)?;
        let engine_before = filled.stand.engine_pid().map(crate::usage::cpu_seconds).transpose()?;
        let began = Instant::now();
        let mut services = filled.stand.services(&toml, &label, "route,judge,act")?;
        wait_lanes(&mut services, usize::from(lanes), PATIENCE, closed(filled.through))?;
        let seconds = began.elapsed().as_secs_f64();
        let cpu = services.iter().map(Service::cpu).sum::<Result<f64, Failure>>()?;
        let peaks = services.iter().map(Service::memory).collect::<Result<Vec<_>, Failure>>()?;
        let what = format!("all roles in {} process(es)", services.len());
        rates.push(filled.say(report, round, &what, seconds, cpu, bare));
        let peaks: Vec<String> = peaks.iter().map(|(_, peak)| format!("{peak:.0}")).collect();
        report.say(format!("# peak memory, MiB: {}", peaks.join(", ")));
        let bytes = |topic: &str| Ok::<_, Failure>(filled.stand.kafka_bytes(topic)? as f64 / filled.messages as f64);
        let (raw, readings) = (bytes(RAW)?, bytes(&format!("{label}.readings"))?);
        report.say(format!("# bytes on Kafka's disk a message: raw {raw:.0}, readings {readings:.0}"));
        if let (Some(before), Some(pid)) = (engine_before, filled.stand.engine_pid()) {
            let engine = crate::usage::cpu_seconds(pid)? - before;
            report.say(format!("# ClickHouse's engine, not counted above: {engine:.2} CPU s"));
        }
        services.iter_mut().try_for_each(Service::stop)?;
    }
    summary(&filled, rates, "raw messages", "0.15, aim 0.30", report);
    Ok(())
}

/// First `route` alone, until all is in the readings log; then the judge alone over that.
pub fn judge(options: &Options, report: &mut Report) -> Result<(), Failure> {
    let stand = Stand::start(options, 4, DEVICES, PERIOD)?;
    let mut filled = fill(stand, options, 20_000_000, report)?;
    let mut rates = Vec::new();
    for round in 1..=filled.rounds {
        let bare = filled.bare(round, report)?;
        let label = format!("round-{round}");
        let lanes = filled.stand.partitions;
        let run = Run { label: &label, live: false, memory_seconds: 60 };
        let toml = filled.stand.prepare(&run)?;
        let began = Instant::now();
        let mut route = filled.stand.service(&toml, &format!("{label}-route"), "route")?;
        while filled.stand.raw_positions(&label)?.iter().any(|(done, end)| done < end) {
            route.lanes()?;
            if began.elapsed() > PATIENCE {
                return Err("route does not come to the end of the raw topic".into());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        let cpu = route.cpu()?;
        filled.say(report, round, "route alone", began.elapsed().as_secs_f64(), cpu, bare);
        route.stop()?;
        let began = Instant::now();
        let mut services = filled.stand.services(&toml, &format!("{label}-judge"), "judge")?;
        wait_lanes(&mut services, usize::from(lanes), PATIENCE, closed(filled.through))?;
        let cpu = services.iter().map(Service::cpu).sum::<Result<f64, Failure>>()?;
        rates.push(filled.say(report, round, "judge alone", began.elapsed().as_secs_f64(), cpu, bare));
        services.iter_mut().try_for_each(Service::stop)?;
    }
    summary(&filled, rates, "readings, by the judge alone", "0.5, aim 1.5", report);
    Ok(())
}

fn summary(filled: &Filled, rates: Vec<f64>, what: &str, goal: &str, report: &mut Report) {
    let (ours, bare) = (median(rates), median(filled.bare.clone()));
    report.say(format!(
        "{what} a CPU second: {ours:.0}; bare consume {bare:.0}; ratio of medians {:.3} (goal {goal})",
        ours / bare
    ));
}
