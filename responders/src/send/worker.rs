//! A gateway's threads: as many as it takes calls at the same time, with one queue and one breaker.

use std::panic::AssertUnwindSafe;
use std::sync::mpsc::Sender as Out;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::breaker::{Breaker, ENOUGH};
use super::queue::Queue;
use super::{Gate, boot_time};
use crate::engine::done::{Answer, Said};
use crate::engine::due::{Call, Job};
use crate::gateways::{Failure, FailureKind, Gateway};

pub struct Worker {
    queue: Arc<Queue>,
}

impl Worker {
    /// Its threads end when it is dropped, after the calls in hand.
    pub fn start(gateway: Box<dyn Gateway>, gate: &Arc<Gate>, out: &Out<Answer>) -> std::io::Result<Worker> {
        let worker = Worker { queue: Arc::default() };
        let breaker = Arc::new(Mutex::new(Breaker::default()));
        let name = format!("gateway {}", gateway.about().name);
        for connector in gateway.beside().into_iter().chain([gateway]) {
            let line = Line {
                queue: Arc::clone(&worker.queue),
                breaker: Arc::clone(&breaker),
                gate: Arc::clone(gate),
                out: out.clone(),
            };
            std::thread::Builder::new().name(name.clone()).spawn(move || line.work(connector))?;
        }
        Ok(worker)
    }

    /// `false`: too much waits already.
    pub fn offer(&self, job: Job) -> bool {
        self.queue.offer(job)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.queue.close();
    }
}

struct Line {
    queue: Arc<Queue>,
    breaker: Arc<Mutex<Breaker>>,
    gate: Arc<Gate>,
    out: Out<Answer>,
}

impl Line {
    fn work(&self, mut gateway: Box<dyn Gateway>) {
        while let Some(job) = self.queue.take() {
            let answer = self.answer(gateway.as_mut(), &job);
            let is_heard = self.out.send(answer).is_ok();
            self.queue.finish(&job.order.device_id);
            if !is_heard {
                return;
            }
        }
    }

    fn answer(&self, gateway: &mut dyn Gateway, job: &Job) -> Answer {
        let pass = match self.breaker().admit(boot_time()) {
            Ok(pass) => pass,
            Err(left) => {
                let words =
                    format!("`{}` did not answer {ENOUGH} times in a row: it is left alone for a while", job.gateway);
                let failure = Failure { retry_after: Some(left), ..Failure::unreachable(words) };
                return Answer { action_id: job.order.action_id.clone(), call: job.call, said: Said::Failed(failure) };
            }
        };
        let (answer, was_sent) = call(gateway, &self.gate, job);
        match &answer.said {
            _ if !was_sent => self.breaker().was_not_sent(&pass),
            Said::Failed(failure) if failure.kind == FailureKind::Unreachable => {
                self.breaker().failed(&pass, boot_time());
            }
            _ => self.breaker().succeeded(),
        }
        answer
    }

    fn breaker(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
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
