//! What the roles of this process are at, for whoever asks from outside.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use store::Store;

use crate::live::Role;
use crate::live::judge::lease::{LaneStatus, Lease};
use crate::live::stop::Stop;

/// How often the store is asked whether it is there, and how long it may take before it counts as away.
const ASK: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_secs(15);
const LOOK_UP: Duration = Duration::from_millis(100);

#[derive(Clone, Default)]
pub struct Status(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    roles: BTreeMap<Role, RoleState>,
    lanes: BTreeMap<i32, Lane>,
    /// When the store answered last, and its complaint, if it had one.
    store: Option<(Instant, Option<String>)>,
}

#[derive(Clone, Copy, Default)]
struct RoleState {
    joined: bool,
    /// Route alone: when all that was to be sent had arrived last.
    sent: Option<Instant>,
}

enum Lane {
    /// With what it failed from before: it counts until the lane has begun.
    Runs(Lease, Option<String>),
    Failed(LaneStatus, String),
}

/// A role as it is told to the outside.
pub struct RoleReport {
    pub role: Role,
    /// It is a member of its group, and was given partitions, or none: it stands by.
    pub joined: bool,
    pub since_sent: Option<Duration>,
}

/// A lane as it is told to the outside.
pub struct LaneReport {
    pub lane: i32,
    pub status: LaneStatus,
    pub failure: Option<String>,
}

/// The store as it is told to the outside.
pub struct StoreReport {
    pub seconds_since_answer: f64,
    pub failure: Option<String>,
}

impl Status {
    fn state<T>(&self, with: impl FnOnce(&mut State) -> T) -> T {
        with(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The role is not a member of its group, or not yet.
    pub fn left(&self, role: Role) {
        self.state(|state| state.roles.insert(role, RoleState::default()));
    }

    pub fn joined(&self, role: Role) {
        self.state(|state| state.roles.entry(role).or_default().joined = true);
    }

    /// All that route had to send until lately has arrived.
    pub fn sent(&self) {
        self.state(|state| state.roles.entry(Role::Route).or_default().sent = Some(Instant::now()));
    }

    pub fn roles(&self) -> Vec<RoleReport> {
        let report = |(role, state): (&Role, &RoleState)| RoleReport {
            role: *role,
            joined: state.joined,
            since_sent: state.sent.map(|at| at.elapsed()),
        };
        self.state(|state| state.roles.iter().map(report).collect())
    }

    pub fn lane_runs(&self, lane: i32, lease: Lease) {
        self.state(|state| {
            let failed = match state.lanes.remove(&lane) {
                Some(Lane::Failed(_, failure)) => Some(failure),
                _ => None,
            };
            state.lanes.insert(lane, Lane::Runs(lease, failed));
        });
    }

    /// How far it was is still told: a lane that stands still falls behind.
    pub fn lane_failed(&self, lane: i32, failure: String) {
        self.state(|state| {
            let last = match state.lanes.remove(&lane) {
                Some(Lane::Runs(lease, _)) => lease.status(),
                Some(Lane::Failed(status, _)) => status,
                None => LaneStatus::default(),
            };
            state.lanes.insert(lane, Lane::Failed(last, failure));
        });
    }

    pub fn lane_gone(&self, lane: i32) {
        self.state(|state| state.lanes.remove(&lane));
    }

    pub fn lanes(&self) -> Vec<LaneReport> {
        let report = |(lane, state): (&i32, &Lane)| match state {
            Lane::Runs(lease, failed) => {
                let status = lease.status();
                let failure = failed.clone().filter(|_| !status.begun);
                LaneReport { lane: *lane, status, failure }
            }
            Lane::Failed(status, failure) => {
                LaneReport { lane: *lane, status: status.clone(), failure: Some(failure.clone()) }
            }
        };
        self.state(|state| state.lanes.iter().map(report).collect())
    }

    /// Asks the store from now on, on a thread that nobody waits for: a store that hangs must not keep the process from
    /// ending.
    pub fn watch(&self, store: &Arc<dyn Store>, stop: &Stop) {
        let (status, store, stop) = (self.clone(), Arc::downgrade(store), stop.clone());
        self.state(|state| state.store = Some((Instant::now(), None)));
        let asking = move || {
            while !stop.is_asked() {
                let Some(store) = store.upgrade() else { return };
                let failure = store.ping().err().map(|error| error.to_string());
                drop(store);
                status.state(|state| state.store = Some((Instant::now(), failure)));
                let until = Instant::now() + ASK;
                while Instant::now() < until && !stop.is_asked() {
                    std::thread::sleep(LOOK_UP);
                }
            }
        };
        if let Err(error) = std::thread::Builder::new().name("store-watch".to_owned()).spawn(asking) {
            tracing::warn!(%error, "nobody watches the store: `/readyz` tells of it only what lanes meet");
        }
    }

    /// `None`: no role of this process needs a store.
    pub fn store(&self) -> Option<StoreReport> {
        let (answered, complaint) = self.state(|state| state.store.clone())?;
        let silent =
            (answered.elapsed() > ASK + PATIENCE).then(|| format!("no answer for {} s", answered.elapsed().as_secs()));
        // What a lane cannot write counts also where questions are answered: a full disk is read well.
        let refused = self.lanes().into_iter().find_map(|lane| lane.status.store_failure);
        let failure = complaint.or(silent).or(refused);
        Some(StoreReport { seconds_since_answer: answered.elapsed().as_secs_f64(), failure })
    }
}
