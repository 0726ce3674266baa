//! A simulated fleet: the demo's data, and as many benign device-days as a budget's measurement needs.
//!
//! Everything follows from the options and the seed; there is no clock, and every device and scene draws from its own
//! stream of random numbers, hour by hour, so that memory does not grow with the days. What a device does is in
//! `catalogue`, how it becomes records in `life` and `records`; what is done to it in `script`: `everyday` (means
//! nothing), `changes` (benign, with a name) and `incidents`.

mod catalogue;
mod clock;
mod life;
pub mod parquet_bench;
mod random;
mod records;
mod roster;
mod script;
#[cfg(test)]
mod tests;
mod types;
mod write;

use fleet::{EventTime, Position, Reading};

use clock::{DAY, HOUR, START};
use life::Life;
use random::Random;
use records::{Sent, Stage};
use roster::Roster;
use script::Script;

pub use write::{DemoFiles, is_demo, write_demo};

#[derive(Clone, Debug, PartialEq)]
pub struct DemoOptions {
    pub seed: u64,
    /// Factor on the number of devices of each type: 1 is a fleet of 246, those that join on the way included.
    pub devices_scale: f64,
    pub learn_days: u32,
    /// At least one.
    pub judge_days: u32,
    /// Factor on how often everything happens.
    pub traffic: f64,
    pub incidents: bool,
    /// Benign changes with a name, the unknown device among them.
    pub changes: bool,
}

impl Default for DemoOptions {
    fn default() -> DemoOptions {
        DemoOptions {
            seed: 1,
            devices_scale: 1.0,
            learn_days: 3,
            judge_days: 1,
            traffic: 1.0,
            incidents: true,
            changes: true,
        }
    }
}

impl DemoOptions {
    /// A large fleet of light traffic in which nothing is wrong, to measure how often that is said nevertheless.
    pub fn benign(seed: u64, devices: usize, learn_days: u32, judge_days: u32) -> DemoOptions {
        let at_scale_one: usize = catalogue::TYPES.iter().map(|kind| kind.count).sum();
        DemoOptions {
            seed,
            devices_scale: devices as f64 / at_scale_one as f64,
            learn_days,
            judge_days,
            traffic: 0.25,
            incidents: false,
            changes: false,
        }
    }

    pub fn start(&self) -> EventTime {
        START
    }

    /// End of learning, begin of judging.
    pub fn learn_until(&self) -> EventTime {
        EventTime(START.0 + i64::from(self.learn_days) * DAY)
    }

    pub fn end(&self) -> EventTime {
        EventTime(self.learn_until().0 + i64::from(self.judge_days) * DAY)
    }
}

/// The fleet at some instant of its life; [`Simulation::next_hour`] moves it on.
pub struct Simulation {
    options: DemoOptions,
    roster: Roster,
    script: Script,
    lives: Vec<Life>,
    /// Made, but not yet arrived at the collector.
    pending: Vec<Sent>,
    now: i64,
    scenes_played: usize,
    written: u64,
}

impl Simulation {
    pub fn new(options: &DemoOptions) -> Simulation {
        let mut roster = Roster::new(options.devices_scale);
        let script = Script::write(&mut roster, options);
        let mut lives: Vec<Life> =
            (0..roster.units.len()).map(|unit| Life::new(unit, &roster, options.seed, options.traffic)).collect();
        for (unit, pause) in &script.pauses {
            lives[*unit].pauses.push(*pause);
            roster.units[*unit].away.push((pause.from, pause.to));
        }
        for (unit, bend) in &script.bends {
            lives[*unit].bends.push(*bend);
        }
        Simulation {
            options: options.clone(),
            roster,
            script,
            lives,
            pending: Vec::new(),
            now: START.0,
            scenes_played: 0,
            written: 0,
        }
    }

    pub fn devices(&self) -> usize {
        self.roster.units.len()
    }

    /// Appends what the collectors receive in the next hour, in that order; `false` when there is no more. Positions
    /// are the readings' numbers, from source 0.
    pub fn next_hour(&mut self, out: &mut Vec<Reading>) -> bool {
        let end = self.options.end().0;
        if self.now >= end && self.pending.is_empty() {
            return false;
        }
        let until = (self.now + HOUR).min(end);
        for life in &mut self.lives {
            life.live(&self.roster, until, self.options.traffic, &mut self.pending);
        }
        self.play_scenes(until);
        self.pending.retain(|sent| sent.reading.time.0 < end);
        self.pending.sort_by_key(|sent| sent.arrival);
        let arrived =
            if until < end { self.pending.partition_point(|sent| sent.arrival < until) } else { self.pending.len() };
        for sent in self.pending.drain(..arrived) {
            let position = Position { source: 0, offset: self.written };
            out.push(Reading { position, ..sent.reading });
            self.written += 1;
        }
        self.now = until;
        true
    }

    fn play_scenes(&mut self, until: i64) {
        while let Some(scene) = self.script.scenes.get(self.scenes_played).filter(|scene| scene.start < until) {
            self.scenes_played += 1;
            let id = &self.roster.units[scene.unit].id;
            let mut random = Random::named(self.options.seed, &["scene", id, &scene.start.to_string()]);
            let mut stage =
                Stage { roster: &self.roster, random: &mut random, out: &mut self.pending, malicious: false };
            scene.play(&mut stage);
        }
    }
}
