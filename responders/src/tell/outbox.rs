//! A thread and a bounded queue for each sink: whoever tells never waits, and a sink that is away holds up nothing but its
//! own messages. When the queue is full the oldest go; they are counted, and the sink is told so when it is back.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use fleet::id::stable_hash;
use fleet::{EventTime, Severity};
use serde_json::json;
use smol_str::SmolStr;

use super::ocsf::{self, Reporter};
use super::outgoing::{Kind, Outgoing, Sink};
use crate::error::Error;
use crate::gateways::{Failure, FailureKind};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Messages that wait.
    pub queue: usize,
    /// Before the second try; doubled after each.
    pub first_pause: Duration,
    pub longest_pause: Duration,
    /// A message that did not get through for so long is given up, so that the next ones have their turn.
    pub give_up: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            queue: 2000,
            first_pause: Duration::from_secs(1),
            longest_pause: Duration::from_secs(60),
            give_up: Duration::from_secs(3600),
        }
    }
}

/// How a sink is, for metrics and for whoever asks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Waiting, the one that is being sent included.
    pub queued: usize,
    pub sent: u64,
    /// Pushed out of a full queue, refused, or given up.
    pub lost: u64,
    /// What went wrong last; `None` when the last message got through.
    pub trouble: Option<Failure>,
}

pub struct Outbox {
    shared: Arc<Shared>,
    thread: Option<thread::JoinHandle<()>>,
}

struct Shared {
    queue: Mutex<Queue>,
    /// Something was put in, or the end is near.
    changed: Condvar,
    limits: Limits,
    name: SmolStr,
    reporter: Reporter,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Arc<Outgoing>>,
    standing: Standing,
    sending: bool,
    /// What the sink was told of being lost.
    told_lost: u64,
    /// Nothing is put in any more; what waits is sent until then.
    ends: Option<Instant>,
    ended: bool,
}

impl Outbox {
    /// # Errors
    /// The machine gives no thread.
    pub fn start(name: &str, sink: Box<dyn Sink>, reporter: Reporter, limits: Limits) -> Result<Outbox, Error> {
        let shared =
            Arc::new(Shared { queue: Mutex::default(), changed: Condvar::new(), limits, name: name.into(), reporter });
        let worker = Arc::clone(&shared);
        let thread = thread::Builder::new().name(format!("tell {name}")).spawn(move || worker.work(sink));
        let thread = thread.map_err(|error| Error::Wrong(format!("no thread for `{name}`: {error}")))?;
        Ok(Outbox { shared, thread: Some(thread) })
    }

    /// Never waits for the sink. After [`Outbox::close`] nothing is taken.
    pub fn put(&self, message: Arc<Outgoing>) {
        let mut queue = self.shared.lock();
        if queue.ends.is_some() {
            return;
        }
        if queue.waiting.len() >= self.shared.limits.queue {
            queue.waiting.pop_front();
            queue.standing.lost += 1;
        }
        queue.waiting.push_back(message);
        self.shared.changed.notify_all();
    }

    pub fn standing(&self) -> Standing {
        self.shared.lock().standing()
    }

    /// Sends what waits for as long as it may take, and ends; what is not sent then is in `queued`. A call to the sink
    /// that is under way is not waited for any longer.
    pub fn close(mut self, within: Duration) -> Standing {
        let until = Instant::now() + within;
        let mut queue = self.shared.end(until);
        while !queue.ended {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return queue.standing();
            }
            queue = self.shared.wait(queue, left);
        }
        let standing = queue.standing();
        drop(queue);
        if let Some(thread) = self.thread.take() {
            // Its end was told above; what it might panic with was said by the panic.
            let _ = thread.join();
        }
        standing
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        drop(self.shared.end(Instant::now()));
    }
}

impl Queue {
    fn standing(&self) -> Standing {
        Standing { queued: self.waiting.len() + usize::from(self.sending), ..self.standing.clone() }
    }
}

/// The worker's thread is over, whichever way.
struct Ended<'a>(&'a Shared);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.lock().ended = true;
        self.0.changed.notify_all();
    }
}

impl Shared {
    /// A queue is whole after each of its changes: a panic of its holder spoils nothing.
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, queue: MutexGuard<'a, Queue>, most: Duration) -> MutexGuard<'a, Queue> {
        self.changed.wait_timeout(queue, most).unwrap_or_else(PoisonError::into_inner).0
    }

    fn end(&self, at: Instant) -> MutexGuard<'_, Queue> {
        let mut queue = self.lock();
        queue.ends.get_or_insert(at);
        self.changed.notify_all();
        queue
    }

    fn work(&self, mut sink: Box<dyn Sink>) {
        let _ended = Ended(self);
        while let Some(message) = self.next() {
            self.deliver(sink.as_mut(), &message);
        }
    }

    /// `None` when the end has come.
    fn next(&self) -> Option<Arc<Outgoing>> {
        let mut queue = self.lock();
        loop {
            if queue.ends.is_some_and(|ends| queue.waiting.is_empty() || ends <= Instant::now()) {
                return None;
            }
            if let Some(message) = queue.waiting.pop_front() {
                queue.sending = true;
                return Some(message);
            }
            queue = self.wait(queue, Duration::from_secs(3600));
        }
    }

    fn deliver(&self, sink: &mut dyn Sink, message: &Outgoing) {
        let began = Instant::now();
        let mut tries = 0;
        loop {
            let failure = match sink.send(message) {
                Ok(()) => return self.delivered(sink, message),
                Err(failure) => failure,
            };
            tries += 1;
            let hopeless = !worth_another_try(&failure) || began.elapsed() >= self.limits.give_up;
            let pause = self.pause(&failure, &message.key, tries);
            let mut queue = self.lock();
            if queue.standing.trouble.is_none() {
                tracing::warn!(sink = %self.name, %failure, "a sink does not take messages; they wait");
            }
            queue.standing.trouble = Some(failure);
            if hopeless {
                queue.standing.lost += 1;
                queue.sending = false;
                return;
            }
            let until = Instant::now() + pause;
            loop {
                // It stays where it was: whoever closes sees it among those that wait.
                if queue.ends.is_some_and(|ends| ends <= Instant::now()) {
                    return;
                }
                let until = queue.ends.map_or(until, |ends| until.min(ends));
                let left = until.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    break;
                }
                queue = self.wait(queue, left);
            }
        }
    }

    fn delivered(&self, sink: &mut dyn Sink, message: &Outgoing) {
        let (lost, all) = {
            let mut queue = self.lock();
            queue.standing.sent += 1;
            queue.sending = false;
            if queue.standing.trouble.take().is_some() {
                tracing::info!(sink = %self.name, waiting = queue.waiting.len(), "a sink takes messages again");
            }
            (queue.standing.lost - queue.told_lost, queue.standing.lost)
        };
        // Should it fail, the next message that gets through brings it along.
        if lost > 0 && sink.send(&self.note(lost, all, message.at)).is_ok() {
            self.lock().told_lost = all;
        }
    }

    fn note(&self, lost: u64, all: u64, at: EventTime) -> Outgoing {
        let title = format!("Lost {lost} messages: `{}` did not take them in time", self.name);
        let parts = [self.name.as_str(), &all.to_string(), &at.0.to_string()];
        let counts = json!({ "sink": self.name, "lost": lost, "lost_since_start": all });
        let event = ocsf::note(&self.reporter, "Lost", &parts, at, Severity::Medium, &title, counts);
        Outgoing {
            key: ocsf::uid(&event),
            at,
            kind: Kind::Lost,
            severity: Severity::Medium,
            finding_kind: None,
            incident_id: String::new(),
            device_id: SmolStr::default(),
            device_type: SmolStr::default(),
            title,
            text: "What they said is in the journal and in the store.".to_owned(),
            event,
        }
    }

    /// Half of it is chance, so that sinks which failed together are not tried together.
    fn pause(&self, failure: &Failure, key: &str, tries: u32) -> Duration {
        let doubled = self.limits.first_pause.saturating_mul(1 << (tries - 1).min(16));
        let pause = doubled.min(self.limits.longest_pause);
        let chance = stable_hash(&[&self.name, key, &tries.to_string()]) % 1000;
        pause
            .mul_f64(0.5 + chance as f64 / 2000.0)
            .max(failure.retry_after.unwrap_or_default().min(self.limits.give_up))
    }
}

/// A sign-in that is not good enough is mended by a person: the message waits for that. One that conflicts with what is there
/// is the same the next time: there is nothing to decide anew.
fn worth_another_try(failure: &Failure) -> bool {
    matches!(failure.kind, FailureKind::Unreachable | FailureKind::Busy | FailureKind::Unauthorised)
}
