//! A version now and then, without anybody asking: learned by the process that has the first lane of the readings log, on a
//! thread of its own that nobody waits for.
//!
//! Time is event time: a version is due when every lane has stored its windows up to a multiple of `trainer.every_hours`,
//! and is learned from what ends there. What is stored says which versions there are, so it does not matter who learns the
//! next one, or when somebody was started again.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use fleet::{EventTime, MICROS_PER_SECOND};
use opentelemetry::KeyValue;
use store::Home;

use super::WithoutRoom;
use super::announce::announce;
use super::positions::Positions;
use crate::config::Config;
use crate::live::metrics::{DESTINATIONS, metrics};
use crate::live::stop::Stop;
use crate::trainer::record::{By, Training, announcements, training};

const LOOK_UP: Duration = Duration::from_secs(2);
const AFTER_A_FAILURE: Duration = Duration::from_secs(60);
/// Until it is said that `act` is what is waited for.
const ACT_IS_SLOW: Duration = Duration::from_secs(300);

/// Whether the first lane is in this process; held by the judge, and gone with it.
#[derive(Default)]
pub struct FirstLane(Arc<AtomicBool>);

impl FirstLane {
    pub fn is_here(&self, here: bool) {
        self.0.store(here, Ordering::SeqCst);
    }
}

/// Starts the thread, if there is a schedule. It is not joined: when the process ends, what it was at is begun again by
/// whoever has the first lane then.
pub fn start(config: &Config, home: Arc<dyn Home>, first_lane: &FirstLane, stop: &Stop) -> anyhow::Result<()> {
    if config.trainer.every_hours == 0 {
        return Ok(());
    }
    let (first_lane, stop) = (Arc::downgrade(&first_lane.0), stop.clone());
    let mut schedule =
        Schedule { config: config.clone(), home, first_lane, positions: None, settled: EventTime::MIN, awaited: None };
    std::thread::Builder::new().name("trainer".to_owned()).spawn(move || {
        let mut next = Instant::now();
        while !stop.is_asked() && schedule.first_lane.strong_count() > 0 {
            std::thread::sleep(LOOK_UP);
            if Instant::now() < next || !schedule.has_first_lane() {
                continue;
            }
            if let Err(error) = schedule.turn() {
                tracing::warn!(error = format!("{error:#}"), "no new baselines; trying again in a minute");
                metrics().baselines_learned.add(1, &[KeyValue::new("outcome", "failed")]);
                (schedule.positions, next) = (None, Instant::now() + AFTER_A_FAILURE);
            }
        }
    })?;
    Ok(())
}

struct Schedule {
    config: Config,
    home: Arc<dyn Home>,
    first_lane: Weak<AtomicBool>,
    positions: Option<Positions>,
    /// Nothing is left to do up to here.
    settled: EventTime,
    awaited: Option<Awaited>,
}

/// Findings that `act` has to store before their windows can be left out.
struct Awaited {
    until: EventTime,
    published: u64,
    since: Instant,
    said: bool,
}

impl Schedule {
    fn has_first_lane(&self) -> bool {
        self.first_lane.upgrade().is_some_and(|here| here.load(Ordering::SeqCst))
    }

    fn turn(&mut self) -> anyhow::Result<()> {
        if self.positions.is_none() {
            self.positions = Some(Positions::new(&self.config.source.kafka)?);
        }
        let Some(positions) = &self.positions else { return Ok(()) };
        let Some(closed) = positions.closed()? else { return Ok(()) };
        // What lanes found is told once its hold is over.
        let held = i64::from(self.config.detect.hold_seconds);
        let until = last_multiple(closed.plus_seconds(-held), self.config.trainer.every_hours);
        if until <= self.settled {
            return Ok(());
        }
        let stored = self.home.read_baselines()?;
        let newest = stored.iter().filter_map(|row| Some((row.version, training(row)?)));
        if let Some((version, known)) =
            newest.filter(|(_, known)| known.until >= until).max_by_key(|(version, _)| *version)
        {
            let told = announcements(&stored).iter().any(|told| told.version >= version);
            if known.by == By::Schedule && known.held_back.is_none() && !told {
                self.put_in_force(version)?;
            }
            self.settled = until;
            return Ok(());
        }
        let days = |days: u32| i64::from(days) * 86_400;
        let since = until.plus_seconds(-days(self.config.trainer.learn_days));
        let heard = self.home.heard(since..until)?;
        let first = heard.iter().map(|heard| heard.first).min();
        if first.is_none_or(|first| first > until.plus_seconds(-days(self.config.trainer.min_days))) {
            self.settled = until;
            return Ok(());
        }
        if !self.findings_are_stored(until)? {
            return Ok(());
        }
        self.learn(since, until)
    }

    /// What lanes found up to `until` must be stored, or it would be learned from.
    fn findings_are_stored(&mut self, until: EventTime) -> anyhow::Result<bool> {
        let Some(positions) = &self.positions else { return Ok(false) };
        if self.awaited.as_ref().is_none_or(|awaited| awaited.until != until) {
            let published = positions.published()?;
            self.awaited = Some(Awaited { until, published, since: Instant::now(), said: false });
        }
        let Some(awaited) = &mut self.awaited else { return Ok(false) };
        if positions.acted_on()? >= awaited.published {
            return Ok(true);
        }
        if awaited.since.elapsed() >= ACT_IS_SLOW && !awaited.said {
            awaited.said = true;
            tracing::warn!(%until, "new baselines wait for `act` to store what was found until then; does it run?");
        }
        Ok(false)
    }

    fn learn(&mut self, since: EventTime, until: EventTime) -> anyhow::Result<()> {
        let began = Instant::now();
        tracing::info!(%since, %until, "learning new baselines");
        let trained = super::train(&self.config, self.home.as_ref(), since..until, By::Schedule)?;
        metrics().training_seconds.record(began.elapsed().as_secs_f64(), &[]);
        let Some(trained) = trained else {
            tracing::info!(%until, "no window of a known device type to learn from yet");
            self.settled = until;
            return Ok(());
        };
        let Training { checked, held_back, .. } = &trained.training;
        let (before, after) = checked.as_ref().map_or((0, 0), |checked| (checked.before, checked.after));
        let (version, types, windows) = (trained.version, trained.types, trained.windows);
        if let Some(WithoutRoom { destinations, device_type }) = &trained.forgotten {
            metrics().forgotten.add(*destinations, &[KeyValue::new("limit", DESTINATIONS)]);
            tracing::warn!(
                version,
                destinations,
                most_of = device_type.as_str(),
                limit = self.config.baseline.max_destinations,
                "types know more destinations than are kept, and the rarest are forgotten: going there again is rare to \
                 them; raise `max_destinations` under [baseline]"
            );
        }
        match held_back {
            Some(reason) => {
                metrics().baselines_learned.add(1, &[KeyValue::new("outcome", "held_back")]);
                tracing::warn!(
                    version,
                    types,
                    windows,
                    before,
                    after,
                    reason,
                    "new baselines are held back; look at `vedette baselines diff`, and `pin` them if they are right"
                );
            }
            None => {
                tracing::info!(version, types, windows, before, after, "new baselines are learned");
                self.put_in_force(version)?;
            }
        }
        self.settled = until;
        Ok(())
    }

    /// Unless the first lane went elsewhere meanwhile: whoever has it finds the version stored.
    fn put_in_force(&self, version: u32) -> anyhow::Result<()> {
        if !self.has_first_lane() {
            return Ok(());
        }
        let from = announce(&self.config, self.home.as_ref(), version, None, "schedule")?;
        metrics().baselines_learned.add(1, &[KeyValue::new("outcome", "announced")]);
        tracing::info!(version, %from, "new baselines are announced");
        Ok(())
    }
}

fn last_multiple(time: EventTime, hours: u32) -> EventTime {
    let step = i64::from(hours.max(1)) * 3_600 * MICROS_PER_SECOND;
    EventTime(time.0.div_euclid(step) * step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_end_at_multiples_of_the_interval() {
        let at = |text: &str| EventTime::parse(text).unwrap();
        assert_eq!(last_multiple(at("2026-03-04T05:06:07Z"), 24), at("2026-03-04T00:00:00Z"));
        assert_eq!(last_multiple(at("2026-03-04T06:00:00Z"), 6), at("2026-03-04T06:00:00Z"));
    }
}
