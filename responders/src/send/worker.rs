//! A gateway's thread.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender as Out, SyncSender, TrySendError, sync_channel};

use super::breaker::Breaker;
use super::{Gate, boot_time};
use crate::engine::done::{Answer, Said};
use crate::engine::due::{Call, Job};
use crate::gateways::{Failure, FailureKind, Gateway};

/// What may wait for one gateway.
const WAITING: usize = 256;

pub struct Worker {
    jobs: SyncSender<Job>,
}

impl Worker {
    /// It ends when the worker is dropped, after the call in hand.
    pub fn start(gateway: Box<dyn Gateway>, gate: Arc<Gate>, out: Out<Answer>) -> std::io::Result<Worker> {
        let (jobs, waiting) = sync_channel(WAITING);
        let name = format!("gateway {}", gateway.about().name);
        std::thread::Builder::new().name(name).spawn(move || work(gateway, &gate, &waiting, &out))?;
        Ok(Worker { jobs })
    }

    pub fn offer(&self, job: Job) -> bool {
        match self.jobs.try_send(job) {
            Ok(()) => true,
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => false,
        }
    }
}

fn work(mut gateway: Box<dyn Gateway>, gate: &Gate, waiting: &Receiver<Job>, out: &Out<Answer>) {
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
                answer
            }
        };
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
