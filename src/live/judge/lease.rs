//! A lane's right to commit, withdrawn before its partition is given up; and what the outside may know of the lane.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use fleet::EventTime;
use ingest::windows::LaneCounters;

use crate::live::now_millis;

#[derive(Clone, Default)]
pub struct Lease {
    state: Arc<Mutex<State>>,
    /// Bytes the lane was handed and has not taken yet.
    waiting: Arc<AtomicUsize>,
}

#[derive(Default)]
struct State {
    withdrawn: bool,
    status: LaneStatus,
}

/// Where a lane is.
#[derive(Clone, Debug, Default)]
pub struct LaneStatus {
    /// It has what it remembers, and takes entries.
    pub begun: bool,
    /// Its log had nothing to read when it began.
    pub level: bool,
    /// Offset of the last entry it took.
    pub offset: u64,
    /// Milliseconds: when the broker appended that entry.
    pub appended: Option<i64>,
    pub closed_through: Option<EventTime>,
    /// Milliseconds since 1970, by our clock.
    pub committed_at: Option<i64>,
    pub counters: LaneCounters,
    /// Why the store does not take what it is given; it is tried again.
    pub store_failure: Option<String>,
    /// It has as much waiting as it may: nothing more is read for it until that is less.
    pub paused: bool,
}

impl LaneStatus {
    /// Seconds since the broker had the last entry that was judged; nothing, where there was none to judge. `None`: not known
    /// before the first entry.
    pub fn lag(&self) -> Option<f64> {
        let age = self.appended.map(|at| (now_millis() - at) as f64 / 1e3);
        age.or((self.begun && self.level).then_some(0.0))
    }
}

impl Lease {
    fn state<T>(&self, with: impl FnOnce(&mut State) -> T) -> T {
        with(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn withdraw(&self) {
        self.state(|state| state.withdrawn = true);
    }

    pub fn holds(&self) -> bool {
        self.state(|state| !state.withdrawn)
    }

    /// Runs `commit` while the lease cannot be withdrawn; `None` when it was.
    pub fn while_held<T>(&self, commit: impl FnOnce() -> T) -> Option<T> {
        self.state(|state| if state.withdrawn { None } else { Some(commit()) })
    }

    pub fn handed(&self, bytes: usize) {
        self.waiting.fetch_add(bytes, Ordering::Relaxed);
    }

    pub fn taken(&self, bytes: usize) {
        self.waiting.fetch_sub(bytes, Ordering::Relaxed);
    }

    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// `level`: there is nothing to read yet; `closed_through`: what was committed before, if anything was.
    pub fn note_begun(&self, level: bool, closed_through: Option<EventTime>) {
        self.state(|state| {
            (state.status.begun, state.status.level) = (true, level);
            state.status.closed_through = closed_through;
        });
    }

    pub fn note(&self, offset: u64, appended: Option<i64>, counters: &LaneCounters) {
        self.state(|state| {
            state.status.offset = offset;
            state.status.appended = appended;
            state.status.counters = *counters;
        });
    }

    pub fn note_commit(&self, closed_through: EventTime, at: i64) {
        self.state(|state| {
            state.status.closed_through = Some(closed_through);
            state.status.committed_at = Some(at);
        });
    }

    pub fn note_store(&self, failure: Option<String>) {
        self.state(|state| state.status.store_failure = failure);
    }

    pub fn note_paused(&self, paused: bool) {
        self.state(|state| state.status.paused = paused);
    }

    pub fn status(&self) -> LaneStatus {
        // What is given up waits for nothing any more.
        self.state(|state| LaneStatus { paused: state.status.paused && !state.withdrawn, ..state.status.clone() })
    }
}
