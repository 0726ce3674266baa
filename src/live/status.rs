//! What the roles of this process are at, for whoever asks from outside.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::live::judge::lease::{LaneStatus, Lease};

#[derive(Clone, Default)]
pub struct Status(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    lanes: BTreeMap<i32, Lane>,
}

enum Lane {
    Runs(Lease),
    Failed(String),
}

/// A lane as it is told to the outside.
pub struct LaneReport {
    pub lane: i32,
    pub status: LaneStatus,
    pub failure: Option<String>,
}

impl Status {
    fn state<T>(&self, with: impl FnOnce(&mut State) -> T) -> T {
        with(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn lane_runs(&self, lane: i32, lease: Lease) {
        self.state(|state| state.lanes.insert(lane, Lane::Runs(lease)));
    }

    pub fn lane_failed(&self, lane: i32, failure: String) {
        self.state(|state| state.lanes.insert(lane, Lane::Failed(failure)));
    }

    pub fn lane_gone(&self, lane: i32) {
        self.state(|state| state.lanes.remove(&lane));
    }

    pub fn lanes(&self) -> Vec<LaneReport> {
        let report = |(lane, state): (&i32, &Lane)| match state {
            Lane::Runs(lease) => LaneReport { lane: *lane, status: lease.status(), failure: None },
            Lane::Failed(failure) => {
                LaneReport { lane: *lane, status: LaneStatus::default(), failure: Some(failure.clone()) }
            }
        };
        self.state(|state| state.lanes.iter().map(report).collect())
    }
}
