//! A gateway's threads: as many as it takes calls at the same time, with one queue and one breaker.

use std::panic::AssertUnwindSafe;
use std::sync::mpsc::Sender as Out;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::breaker::{Breaker, ENOUGH};
use super::queue::Queue;
use super::{Gate, boot_time};
use crate::engine::done::{Answer, Said};
use crate::engine::due::{Call, Job};
use crate::gateways::{Failure, FailureKind, Found, Gateway};

/// How a gateway stands, for whoever watches.
#[derive(Clone)]
pub struct Load {
    queue: Arc<Queue>,
    breaker: Arc<Mutex<Breaker>>,
}

impl Load {
    /// Calls, those in hand included.
    pub fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// Nothing is sent to it for a while, for it did not answer.
    pub fn is_left_alone(&self) -> bool {
        self.breaker().is_open(boot_time())
    }

    fn breaker(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub struct Worker {
    load: Load,
}

impl Worker {
    /// Its threads end when it is dropped, after the calls in hand.
    pub fn start(gateway: Box<dyn Gateway>, gate: &Arc<Gate>, out: &Out<Answer>) -> std::io::Result<Worker> {
        let worker = Worker { load: Load { queue: Arc::default(), breaker: Arc::default() } };
        let name = format!("gateway {}", gateway.about().name);
        for connector in gateway.beside().into_iter().chain([gateway]) {
            let line = Line { load: worker.load(), gate: Arc::clone(gate), out: out.clone() };
            std::thread::Builder::new().name(name.clone()).spawn(move || line.work(connector))?;
        }
        Ok(worker)
    }

    pub fn load(&self) -> Load {
        self.load.clone()
    }

    /// `false`: too much waits already.
    pub fn offer(&self, job: Job) -> bool {
        self.load.queue.offer(job)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.load.queue.close();
    }
}

struct Line {
    load: Load,
    gate: Arc<Gate>,
    out: Out<Answer>,
}

impl Line {
    fn work(&self, mut gateway: Box<dyn Gateway>) {
        while let Some(job) = self.load.queue.take() {
            let answer = self.answer(gateway.as_mut(), &job);
            let is_heard = self.out.send(answer).is_ok();
            self.load.queue.finish(&job.order.device_id);
            if !is_heard {
                return;
            }
        }
    }

    fn answer(&self, gateway: &mut dyn Gateway, job: &Job) -> Answer {
        let pass = match self.load.breaker().admit(boot_time()) {
            Ok(pass) => pass,
            Err(left) => {
                let words =
                    format!("`{}` did not answer {ENOUGH} times in a row: it is left alone for a while", job.gateway);
                let failure = Failure { retry_after: Some(left), ..Failure::unreachable(words) };
                let said = Said::Failed(failure);
                return Answer { action_id: job.order.action_id.clone(), call: job.call, said, was_sent: false };
            }
        };
        let answer = call(gateway, &self.gate, job);
        match &answer.said {
            _ if !answer.was_sent => self.load.breaker().was_not_sent(&pass),
            // Some cannot be read, and were not asked.
            Said::Found(Found::Unknown) => self.load.breaker().was_not_sent(&pass),
            Said::Failed(failure) if failure.kind == FailureKind::Unreachable => {
                self.load.breaker().failed(&pass, boot_time());
            }
            _ => self.load.breaker().succeeded(),
        }
        answer
    }
}

/// One call, if it may be made. A gateway that panics has failed, and the next call finds it as it is.
pub fn call(gateway: &mut dyn Gateway, gate: &Gate, job: &Job) -> Answer {
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
    Answer { action_id: job.order.action_id.clone(), call: job.call, said, was_sent }
}

#[cfg(test)]
mod tests {
    use fleet::{Level, Mode};

    use super::*;
    use crate::gateways::recording::Recording;
    use crate::gateways::{About, Applied, Order, Permit, Undone};
    use crate::send::Alone;

    /// Nobody answers for it, and it cannot be read, which takes nobody.
    struct Silent(Recording);

    impl Gateway for Silent {
        fn about(&self) -> &About {
            self.0.about()
        }

        fn apply(&mut self, _: &Permit, _: &Order) -> Result<Applied, Failure> {
            Err(Failure::unreachable("nobody answers"))
        }

        fn read_back(&mut self, _: &Permit, _: &Order) -> Result<Found, Failure> {
            Ok(Found::Unknown)
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
        let worker = Worker::start(Box::new(Silent(Recording::new())), &gate, &out).unwrap();
        let order = Order {
            action_id: "action-1".to_owned(),
            incident_id: "incident-1".to_owned(),
            device_id: "pump-1".into(),
            level: Level::Quarantine,
            names: Default::default(),
            further: vec![],
            until: None,
            note: "vedette incident-1".to_owned(),
            receipt: None,
        };
        let job = |call| Job { gateway: "record".into(), call, mode: Mode::Auto, order: order.clone() };
        for asked in 1..=5 {
            assert!(!worker.load.is_left_alone(), "after {asked} calls");
            for call in [Call::ReadBack, Call::Undo] {
                assert!(worker.offer(job(call)));
                let _ = answers.recv().unwrap();
            }
        }
        assert!(worker.load.is_left_alone());
        let end = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while worker.load.waiting() > 0 {
            assert!(std::time::Instant::now() < end, "{} wait", worker.load.waiting());
            std::thread::yield_now();
        }
    }
}
