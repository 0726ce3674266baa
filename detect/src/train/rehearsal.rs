//! What versions of the baselines would have found in windows that are stored: each judges the same days, beginning with no
//! memory, and the difference is the versions' own.
//!
//! Policy rules are left out: they are the same in every version, and their SQL is not this room's.

use std::sync::Arc;

use fleet::{Device, Finding, Scope, Tick, Window};
use rayon::prelude::*;

use super::{Restriction, lanes};
use crate::config::Config;
use crate::judge::Judge;
use crate::prepared::Prepared;

pub struct Rehearsal {
    lanes: Vec<Vec<Tick>>,
    width: i64,
    config: Config,
}

impl Rehearsal {
    /// `width` of a window in microseconds.
    pub fn new(
        windows: Vec<Window>,
        devices: &[Arc<Device>],
        restrictions: &[Restriction],
        width: i64,
        config: &Config,
    ) -> Rehearsal {
        let config = Config { curve_budgets: Vec::new(), ..config.clone() };
        Rehearsal { lanes: lanes(windows, devices, restrictions), width, config }
    }

    /// Findings about single devices that spend the alert budget.
    pub fn findings(&self, prepared: &Arc<Prepared>) -> Vec<Finding> {
        let judge_lane = |ticks: &Vec<Tick>| {
            let mut judge = Judge::new(&self.config, self.width, fleet::EventTime::MIN);
            judge.use_version(Arc::clone(prepared));
            let mut found = Vec::new();
            for tick in ticks {
                judge.take_facts(tick);
                found.extend(judge.judge(tick, &[]).findings);
            }
            found.retain(|finding| finding.scope == Scope::Device && finding.kind.is_budgeted());
            found
        };
        self.lanes.par_iter().flat_map(judge_lane).collect()
    }
}
