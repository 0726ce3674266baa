//! What the simulation has decided beforehand: who is struck by what, when, and under which name it is labelled.

mod changes;
mod everyday;
mod incidents;

use super::DemoOptions;
use super::clock::{DAY, START};
use super::life::{Bend, Pause};
use super::records::Stage;
use super::roster::Roster;

#[derive(Default)]
pub(super) struct Script {
    /// These three in order of their start.
    pub episodes: Vec<Episode>,
    pub everyday: Vec<Everyday>,
    pub scenes: Vec<Scene>,
    /// By unit, then in order.
    pub pauses: Vec<(usize, Pause)>,
    pub bends: Vec<(usize, Bend)>,
}

impl Script {
    /// Enrols who joins during the run, and decides what happens to whom.
    pub fn write(roster: &mut Roster, options: &DemoOptions) -> Script {
        let judged = options.learn_until().0;
        let mut script = Script::default();
        if options.changes {
            changes::enrol(roster, judged);
            changes::plan(roster, judged, options.seed, &mut script);
        }
        if options.incidents {
            incidents::plan(roster, judged, &mut script);
        }
        for day in 0..i64::from(options.learn_days + options.judge_days) {
            for (index, unit) in roster.units.iter().enumerate() {
                everyday::plan(index, unit, START.0 + day * DAY, options.seed, &mut script);
            }
        }
        script.scenes.sort_by_key(|scene| (scene.start, scene.unit));
        script.episodes.sort_by_key(|episode| episode.start);
        script.everyday.sort_by_key(|event| (event.start, event.unit));
        script.pauses.sort_by_key(|(unit, pause)| (*unit, pause.from));
        script
    }

    /// The unit is off or not itself some time between `start` and `end`.
    pub fn is_busy(&self, unit: usize, start: i64, end: i64) -> bool {
        let off = |(other, pause): &(usize, Pause)| *other == unit && pause.from <= end && start <= pause.to;
        let bent = |(other, bend): &(usize, Bend)| *other == unit && bend.from <= end && start <= bend.to;
        self.pauses.iter().any(off) || self.bends.iter().any(bent)
    }
}

/// A named, labelled stretch of time.
pub(super) struct Episode {
    pub name: String,
    pub units: Vec<usize>,
    pub start: i64,
    pub end: i64,
    pub incident: bool,
}

pub(super) struct Everyday {
    pub kind: &'static str,
    pub unit: usize,
    pub start: i64,
    pub end: i64,
}

/// Records that come on top of a unit's habits, all within `start..=end`.
pub(super) struct Scene {
    pub unit: usize,
    pub start: i64,
    pub end: i64,
    pub malicious: bool,
    action: Action,
}

#[derive(Clone, Copy)]
enum Action {
    Everyday(everyday::Kind),
    Incident(incidents::Kind),
    Change(changes::Kind),
}

impl Scene {
    pub fn play(&self, stage: &mut Stage<'_>) {
        stage.malicious = self.malicious;
        match self.action {
            Action::Everyday(kind) => everyday::play(kind, self, stage),
            Action::Incident(kind) => incidents::play(kind, self, stage),
            Action::Change(kind) => changes::play(kind, self, stage),
        }
    }
}
