//! Seconds until level again after kill -9, while records keep coming at a pace.

use std::time::{Duration, Instant};

use crate::feed::{Feed, Paced};
use crate::stand::{Run, SELDOM, SESSION_MILLIS, Service, Stand};
use crate::{Failure, Options, Report, median};

const RATE: u64 = 20_000;
/// Level: nothing is older than this, raw or in a lane, but for what comes once a second.
const LEVEL_SECONDS: f64 = 2.0;
const PATIENCE: Duration = Duration::from_secs(120);
/// Between being level and the next kill, so that a memory is stored and more has come since.
const CALM: Duration = Duration::from_secs(15);

struct Stream {
    stand: Stand,
    toml: String,
    label: &'static str,
    paced: Paced,
    rate: u64,
}

fn begin(stand: Stand, options: &Options, label: &'static str, report: &mut Report) -> Result<Stream, Failure> {
    let rate = options.rate.unwrap_or(RATE);
    let toml = stand.prepare(&Run { label, live: true, memory_seconds: 10 })?;
    report.say(format!(
        "{rate} messages/s of {} devices, {} partition(s), {} process(es), memory stored every 10 s; level: at most \
         {LEVEL_SECONDS} s behind",
        stand.devices, stand.partitions, options.processes
    ));
    let paced = Paced::start(Feed::new(&stand)?, rate);
    Ok(Stream { stand, toml, label, paced, rate })
}

impl Stream {
    /// Ends of the raw partitions.
    fn ends(&self) -> Result<Vec<u64>, Failure> {
        Ok(self.stand.raw_positions(self.label)?.into_iter().map(|(_, end)| end).collect())
    }

    /// Waits until everything up to `beyond` is committed by `route`, and raw topic and lanes are level; gives the seconds
    /// since `since`.
    fn level(&self, services: &mut [Service], beyond: &[u64], since: Instant) -> Result<f64, Failure> {
        let most = (self.rate as f64 * LEVEL_SECONDS / f64::from(self.stand.partitions)) as u64;
        let mut seen = String::new();
        while since.elapsed() < PATIENCE {
            let mut lanes = Vec::new();
            for service in services.iter_mut() {
                lanes.extend(service.lanes()?);
            }
            let is_level = lanes.len() == usize::from(self.stand.partitions)
                && lanes.iter().all(|lane| lane["behind_seconds"].as_f64().is_some_and(|age| age <= LEVEL_SECONDS));
            if is_level {
                let raw = self.stand.raw_positions(self.label)?;
                if raw.iter().zip(beyond).all(|((done, end), beyond)| done >= beyond && end - done <= most) {
                    return Ok(since.elapsed().as_secs_f64());
                }
                seen = format!("{raw:?}");
            } else {
                seen = format!("{lanes:?}");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Err(format!("not level within {} s: {seen}", PATIENCE.as_secs()).into())
    }
}

/// Killed and started again under its name.
pub fn restart(options: &Options, report: &mut Report) -> Result<(), Failure> {
    let rate = options.rate.unwrap_or(RATE);
    let stand = Stand::start(options, 1, u32::try_from(rate * 5)?, SELDOM)?;
    let stream = begin(stand, options, "restart", report)?;
    let mut services = stream.stand.services(&stream.toml, "one", "route,judge,act")?;
    stream.level(&mut services, &[0], Instant::now())?;
    report.say("kill,seconds_to_be_level");
    let mut all = Vec::new();
    for kill in 1..=options.rounds.unwrap_or(3) {
        std::thread::sleep(CALM);
        let beyond = stream.ends()?;
        services[0].kill();
        let since = Instant::now();
        services[0] = stream.stand.service(&stream.toml, "one-0", "route,judge,act")?;
        let seconds = stream.level(&mut services, &beyond, since)?;
        report.say(format!("{kill},{seconds:.2}"));
        all.push(seconds);
    }
    let most = all.iter().copied().fold(0.0, f64::max);
    report.say(format!("seconds to be level again: median {:.2}, most {most:.2} (goal 10, aim 3)", median(all)));
    services.iter_mut().try_for_each(Service::stop)?;
    stream.paced.finish()?;
    Ok(())
}

/// One more process than asked for; one with lanes is killed, and the others take over when the session has ended.
pub fn takeover(options: &Options, report: &mut Report) -> Result<(), Failure> {
    let rate = options.rate.unwrap_or(RATE);
    let stand = Stand::start(options, 1, u32::try_from(rate * 5)?, SELDOM)?.with_engine()?;
    let stream = begin(stand, options, "takeover", report)?;
    let mut services = stream.stand.services(&stream.toml, "one", "route,judge,act")?;
    stream.level(&mut services, &[0], Instant::now())?;
    report.say(format!("kill,seconds_to_be_level,of_these_session_timeout ({SESSION_MILLIS} ms)"));
    let mut all = Vec::new();
    for kill in 1..=options.rounds.unwrap_or(2) {
        // It joins; of one lane, it waits.
        services.push(stream.stand.service(&stream.toml, &format!("more-{kill}"), "route,judge,act")?);
        std::thread::sleep(CALM);
        let mut owner = 0;
        while services[owner].lanes()?.is_empty() {
            owner = (owner + 1) % services.len();
        }
        let beyond = stream.ends()?;
        services[owner].kill();
        let since = Instant::now();
        services.remove(owner);
        let seconds = stream.level(&mut services, &beyond, since)?;
        report.say(format!("{kill},{seconds:.2},{:.2}", SESSION_MILLIS as f64 / 1e3));
        all.push(seconds);
    }
    let most = all.iter().copied().fold(0.0, f64::max);
    let beyond = most - SESSION_MILLIS as f64 / 1e3;
    report.say(format!(
        "seconds to be level again: median {:.2}, most {most:.2}, which is {beyond:.2} beyond the session timeout (goal 10, aim 3)",
        median(all)
    ));
    services.iter_mut().try_for_each(Service::stop)?;
    stream.paced.finish()?;
    Ok(())
}
