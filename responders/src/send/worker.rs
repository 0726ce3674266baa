//! A gateway's thread.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender as Out, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use super::breaker::Breaker;
use super::{Gate, boot_time};
use crate::engine::done::{Answer, Said};
use crate::engine::due::{Call, Job};
use crate::gateways::{Failure, FailureKind, Gateway};

/// What may wait for one gateway.
const WAITING: usize = 256;

/// How a gateway's thread stands, for whoever watches.
#[derive(Debug, Default)]
pub struct Load {
    waiting: AtomicUsize,
    /// By [`boot_time`], milliseconds.
    left_alone_until: AtomicU64,
}

impl Load {
    /// Calls, the one in hand included.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Nothing is sent to it for a while, for it did not answer.
    pub fn is_left_alone(&self) -> bool {
        millis(boot_time()) < self.left_alone_until.load(Ordering::Relaxed)
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

pub struct Worker {
    jobs: SyncSender<Job>,
    pub load: Arc<Load>,
}

impl Worker {
    /// It ends when the worker is dropped, after the call in hand.
    pub fn start(gateway: Box<dyn Gateway>, gate: Arc<Gate>, out: Out<Answer>) -> std::io::Result<Worker> {
        let (jobs, waiting) = sync_channel(WAITING);
        let name = format!("gateway {}", gateway.about().name);
        let load = Arc::new(Load::default());
        let of_thread = Arc::clone(&load);
        std::thread::Builder::new().name(name).spawn(move || work(gateway, &gate, &waiting, &out, &of_thread))?;
        Ok(Worker { jobs, load })
    }

    pub fn offer(&self, job: Job) -> bool {
        self.load.waiting.fetch_add(1, Ordering::Relaxed);
        match self.jobs.try_send(job) {
            Ok(()) => true,
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.load.waiting.fetch_sub(1, Ordering::Relaxed);
                false
            }
        }
    }
}

fn work(mut gateway: Box<dyn Gateway>, gate: &Gate, waiting: &Receiver<Job>, out: &Out<Answer>, load: &Load) {
    let mut breaker = Breaker::default();
    for job in waiting {
        let answer = match breaker.wait(boot_time()) {
            Some(left) => {
                let words =
                    format!("`{}` did not answer {} times in a row: it is left alone for a while", job.gateway, 5);
                let failure = Failure { retry_after: Some(left), ..Failure::unreachable(words) };
                Answer { action_id: job.order.action_id.clone(), call: job.call, said: Said::Failed(failure) }
            }
            None => {
                let (answer, was_sent) = call(gateway.as_mut(), gate, &job);
                match &answer.said {
                    // What was held back here says nothing of the gateway.
                    _ if !was_sent => {}
                    Said::Failed(failure) if failure.kind == FailureKind::Unreachable => breaker.failed(boot_time()),
                    _ => breaker.succeeded(),
                }
                let until = breaker.wait(boot_time()).map_or(Duration::ZERO, |left| boot_time() + left);
                load.left_alone_until.store(millis(until), Ordering::Relaxed);
                answer
            }
        };
        load.waiting.fetch_sub(1, Ordering::Relaxed);
        if out.send(answer).is_err() {
            return;
        }
    }
}

/// One call, if it may be made, and whether it was. A gateway that panics has failed, and the next call finds it as it is.
pub fn call(gateway: &mut dyn Gateway, gate: &Gate, job: &Job) -> (Answer, bool) {
    let time_limit = gateway.about().time_limit;
    let (said, was_sent) = match gate.permit(job, time_limit) {
        Err(failure) => (Said::Failed(failure), false),
        Ok(permit) => {
            let order = &job.order;
            let called = std::panic::catch_unwind(AssertUnwindSafe(|| match job.call {
                Call::Apply => gateway.apply(&permit, order).map(Said::Applied),
                Call::ReadBack => gateway.read_back(&permit, order).map(Said::Found),
                Call::Undo => gateway.undo(&permit, order).map(Said::Undone),
            }));
            let panicked =
                || Err(Failure::unreachable("the connector panicked; this is a defect of vedette, please report it"));
            (called.unwrap_or_else(|_| panicked()).unwrap_or_else(Said::Failed), true)
        }
    };
    (Answer { action_id: job.order.action_id.clone(), call: job.call, said }, was_sent)
}

#[cfg(test)]
mod tests {
    use fleet::{Level, Mode};

    use super::*;
    use crate::gateways::recording::Recording;
    use crate::gateways::{About, Applied, Found, Order, Permit, Undone};
    use crate::send::Alone;

    /// Nobody answers for it.
    struct Silent(Recording);

    impl Gateway for Silent {
        fn about(&self) -> &About {
            self.0.about()
        }

        fn apply(&mut self, _: &Permit, _: &Order) -> Result<Applied, Failure> {
            Err(Failure::unreachable("nobody answers"))
        }

        fn read_back(&mut self, _: &Permit, _: &Order) -> Result<Found, Failure> {
            Err(Failure::unreachable("nobody answers"))
        }

        fn undo(&mut self, _: &Permit, _: &Order) -> Result<Undone, Failure> {
            Err(Failure::unreachable("nobody answers"))
        }

        fn probe(&mut self, _: &Permit) -> Result<(), Failure> {
            Err(Failure::unreachable("nobody answers"))
        }
    }

    #[test]
    fn who_does_not_answer_is_seen_to_be_left_alone() {
        let (out, answers) = std::sync::mpsc::channel();
        let gate = Arc::new(Gate::new(Box::new(Alone), None));
        let worker = Worker::start(Box::new(Silent(Recording::new())), gate, out).unwrap();
        let order = Order {
            action_id: "action-1".to_owned(),
            incident_id: "incident-1".to_owned(),
            device_id: "pump-1".into(),
            level: Level::Quarantine,
            names: Default::default(),
            until: None,
            note: "vedette incident-1".to_owned(),
            receipt: None,
        };
        let job = Job { gateway: "record".into(), call: Call::ReadBack, mode: Mode::Auto, order };
        for asked in 1..=5 {
            assert!(!worker.load.is_left_alone(), "after {asked} calls");
            assert!(worker.offer(job.clone()));
            let _ = answers.recv().unwrap();
        }
        assert!(worker.load.is_left_alone());
        assert_eq!(worker.load.waiting(), 0);
    }
}
