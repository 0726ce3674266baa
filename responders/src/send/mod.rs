//! The one place that sends. Gateways are handed over to it and cannot be reached otherwise: a call needs a
//! [`Permit`], and only the [`Gate`] here gives one, at the last moment, after asking for mode, stop and lease, and whether it
//! is still to be done.

mod breaker;
mod queue;
#[cfg(test)]
mod tests;
mod worker;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fleet::Mode;
use smol_str::SmolStr;

pub use self::worker::Load;
use self::worker::Worker;
use crate::engine::done::{Answer, Said};
use crate::engine::due::{Call, Job};
use crate::gateways::{Failure, FailureKind, Gateway, Permit};

/// Since the machine began, time asleep included: a process that was stopped, or a machine that slept, notices.
pub fn boot_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Whether this process is still the one that works.
pub trait Lease: Send + Sync {
    /// By [`boot_time`]: until then nobody else can have taken over. `None`: it is ours no more.
    fn holds_until(&self) -> Option<Duration>;
}

/// Whoever holds the lock on a journal's file has no rival.
pub struct Alone;

impl Lease for Alone {
    fn holds_until(&self) -> Option<Duration> {
        Some(Duration::MAX)
    }
}

/// What everything that is sent has to pass.
pub struct Gate {
    lease: Box<dyn Lease>,
    stop_file: Option<PathBuf>,
    stopped: AtomicBool,
    /// For good: the journal is somebody else's.
    closed: AtomicBool,
    /// Actions that are to be applied as the book stands now, however long their jobs have waited.
    wanted: Mutex<BTreeSet<String>>,
}

impl Gate {
    pub fn new(lease: Box<dyn Lease>, stop_file: Option<PathBuf>) -> Gate {
        Gate {
            lease,
            stop_file,
            stopped: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            wanted: Mutex::default(),
        }
    }

    /// What the book says of the stop.
    pub fn set_stopped(&self, stopped: bool) {
        self.stopped.store(stopped, Ordering::SeqCst);
    }

    /// Nothing is sent any more, whatever is asked for and whatever waits.
    pub fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
    }

    /// Whether the book says, at this moment, that it is to be applied.
    pub fn set_wanted(&self, action_id: &str, is_wanted: bool) {
        let mut wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        if is_wanted {
            wanted.insert(action_id.to_owned());
        } else {
            wanted.remove(action_id);
        }
    }

    fn is_wanted(&self, action_id: &str) -> bool {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner).contains(action_id)
    }

    /// Whether nothing may be applied; a file that cannot be asked for counts as one that is there.
    pub fn is_stopped(&self) -> bool {
        let has_file = |path: &PathBuf| path.try_exists().unwrap_or(true);
        self.stopped.load(Ordering::SeqCst) || self.stop_file.as_ref().is_some_and(has_file)
    }

    /// Whether anything at all may be sent: it is asked before, so that waiting for the lease is no failed try.
    pub fn is_open(&self) -> bool {
        let holds = |until: Duration| until > boot_time();
        !self.closed.load(Ordering::SeqCst) && self.lease.holds_until().is_some_and(holds)
    }

    /// # Errors
    /// What forbids it.
    fn permit(&self, job: &Job, time_limit: Duration) -> Result<Permit, Failure> {
        if self.closed.load(Ordering::SeqCst) {
            return Err(Failure::unreachable("another process acts now: nothing is sent from here"));
        }
        // Taking back, and looking, is never forbidden by these: both only ever end what was begun.
        if job.call == Call::Apply {
            if job.mode == Mode::Observe {
                return Err(Failure::refused("this is a dry run: nothing is sent"));
            }
            if self.is_stopped() {
                return Err(Failure::unreachable("responding is stopped: nothing is applied"));
            }
            if !self.is_wanted(&job.order.action_id) {
                return Err(Failure::new(FailureKind::Conflict, "it was decided anew while it waited to be sent"));
            }
        }
        let now = boot_time();
        let left = self.lease.holds_until().map(|until| until.saturating_sub(now)).unwrap_or_default();
        if left.is_zero() {
            return Err(Failure::unreachable("another process may act now: nothing is sent from here"));
        }
        Ok(Permit::until(now + left.min(time_limit)))
    }
}

/// Whether a gateway answers and lets us in. It changes nothing there, so nothing forbids it.
///
/// # Errors
/// What the gateway said, or that nobody answers.
pub fn probe(gateway: &mut dyn Gateway) -> Result<(), Failure> {
    let time_limit = gateway.about().time_limit;
    gateway.probe(&Permit::until(boot_time() + time_limit))
}

/// Calls go out, answers come back; every gateway has threads and a bounded queue of its own, so one that hangs holds up no
/// other.
pub struct Sender {
    gate: Arc<Gate>,
    home: Home,
}

enum Home {
    Threads {
        workers: BTreeMap<SmolStr, Worker>,
        answers: std::sync::mpsc::Receiver<Answer>,
    },
    /// In the caller's thread, for replays.
    Here {
        gateways: BTreeMap<SmolStr, Box<dyn Gateway>>,
        answers: Vec<Answer>,
    },
}

impl Sender {
    /// # Errors
    /// The system has no thread left.
    pub fn start(gateways: Vec<Box<dyn Gateway>>, gate: Arc<Gate>) -> std::io::Result<Sender> {
        let (out, answers) = std::sync::mpsc::channel();
        let mut workers = BTreeMap::new();
        for gateway in gateways {
            let name = gateway.about().name.clone();
            workers.insert(name, Worker::start(gateway, &gate, &out)?);
        }
        Ok(Sender { gate, home: Home::Threads { workers, answers } })
    }

    pub fn here(gateways: Vec<Box<dyn Gateway>>, gate: Arc<Gate>) -> Sender {
        let gateways = gateways.into_iter().map(|gateway| (gateway.about().name.clone(), gateway)).collect();
        Sender { gate, home: Home::Here { gateways, answers: Vec::new() } }
    }

    pub fn gate(&self) -> &Gate {
        &self.gate
    }

    /// How each gateway's thread stands; replays have none.
    pub fn loads(&self) -> Vec<(SmolStr, Load)> {
        match &self.home {
            Home::Threads { workers, .. } => {
                workers.iter().map(|(name, worker)| (name.clone(), worker.load())).collect()
            }
            Home::Here { .. } => Vec::new(),
        }
    }

    /// `false`: its queue is full, it is to be sent later.
    pub fn send(&mut self, job: Job) -> bool {
        let unknown = |job: &Job| Answer {
            action_id: job.order.action_id.clone(),
            call: job.call,
            said: Said::Failed(Failure::refused(format!("the gateway `{}` is not configured", job.gateway))),
            was_sent: false,
        };
        match &mut self.home {
            Home::Threads { workers, .. } => match workers.get(&job.gateway) {
                Some(worker) => worker.offer(job),
                // Nobody will answer: whoever took it out of the configuration has to put it back, or release by hand.
                None => false,
            },
            Home::Here { gateways, answers } => {
                let answer = match gateways.get_mut(&job.gateway) {
                    Some(gateway) => worker::call(gateway.as_mut(), &self.gate, &job),
                    None => unknown(&job),
                };
                answers.push(answer);
                true
            }
        }
    }

    /// Answers that have come, waiting for the first at most so long.
    pub fn answers(&mut self, wait: Duration) -> Vec<Answer> {
        match &mut self.home {
            Home::Threads { answers, .. } => {
                let first = if wait.is_zero() { answers.try_recv().ok() } else { answers.recv_timeout(wait).ok() };
                first.into_iter().chain(answers.try_iter()).collect()
            }
            Home::Here { answers, .. } => std::mem::take(answers),
        }
    }
}
