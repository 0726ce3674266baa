//! Several calls at the same time to one gateway.

use std::collections::BTreeMap;
use std::sync::{Condvar, MutexGuard};
use std::time::Instant;

use fleet::Level;

use super::*;
use crate::gateways::{About, Applied, Found, Order, Undone};

/// How long a call is held up, at most: longer than any machine needs for the others.
const PATIENCE: Duration = Duration::from_secs(10);

/// Takes a while for each call, over several connectors.
struct Slow {
    about: About,
    connectors: usize,
    answers: bool,
    hall: Arc<Hall>,
}

/// Where calls are while they are made.
struct Hall {
    seen: Mutex<Seen>,
    changed: Condvar,
}

struct Seen {
    /// Devices that are asked about at this moment, and the most at once so far.
    now: Vec<SmolStr>,
    most: usize,
    calls: Vec<(SmolStr, String)>,
    /// Nobody goes on before so many were here at once.
    together: usize,
    /// So many more may go on.
    may_go: usize,
}

impl Hall {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap()
    }

    fn let_go(&self, calls: usize) {
        self.seen().may_go = calls;
        self.changed.notify_all();
    }
}

impl Slow {
    fn new(connectors: usize, answers: bool) -> Slow {
        let about = About {
            name: "slow".into(),
            product: "test".into(),
            abilities: Vec::new(),
            time_limit: Duration::from_secs(5),
            own: Vec::new(),
        };
        let (now, calls) = (Vec::new(), Vec::new());
        let seen = Seen { now, most: 0, calls, together: connectors, may_go: usize::MAX };
        let hall = Arc::new(Hall { seen: Mutex::new(seen), changed: Condvar::new() });
        Slow { about, connectors, answers, hall }
    }
}

impl Gateway for Slow {
    fn about(&self) -> &About {
        &self.about
    }

    fn apply(&mut self, _: &Permit, _: &Order) -> Result<Applied, Failure> {
        Err(Failure::refused("nobody asks for it"))
    }

    fn read_back(&mut self, _: &Permit, order: &Order) -> Result<Found, Failure> {
        {
            let mut seen = self.hall.seen();
            assert!(!seen.now.contains(&order.device_id), "one device, two calls at once");
            seen.now.push(order.device_id.clone());
            seen.most = seen.most.max(seen.now.len());
            seen.calls.push((order.device_id.clone(), order.action_id.clone()));
            self.hall.changed.notify_all();
            let waits = |seen: &mut Seen| seen.most < seen.together || seen.may_go == 0;
            let (mut seen, _) = self.hall.changed.wait_timeout_while(seen, PATIENCE, waits).unwrap();
            seen.may_go = seen.may_go.saturating_sub(1);
        }
        std::thread::sleep(Duration::from_millis(20));
        self.hall.seen().now.retain(|device| *device != order.device_id);
        if self.answers { Ok(Found::InForce) } else { Err(Failure::unreachable("nobody answers")) }
    }

    fn undo(&mut self, _: &Permit, _: &Order) -> Result<Undone, Failure> {
        Err(Failure::refused("nobody asks for it"))
    }

    fn probe(&mut self, _: &Permit) -> Result<(), Failure> {
        Ok(())
    }

    fn beside(&self) -> Vec<Box<dyn Gateway>> {
        let another = |_| -> Box<dyn Gateway> {
            Box::new(Slow {
                about: self.about.clone(),
                connectors: 1,
                answers: self.answers,
                hall: Arc::clone(&self.hall),
            })
        };
        (1..self.connectors).map(another).collect()
    }
}

fn job(device: &str, number: usize) -> Job {
    let order = Order {
        action_id: format!("{device} {number}"),
        incident_id: "incident".to_owned(),
        device_id: device.into(),
        level: Level::Quarantine,
        names: BTreeMap::new(),
        further: vec![],
        until: None,
        note: "vedette incident".to_owned(),
        receipt: None,
    };
    Job { gateway: "slow".into(), call: Call::ReadBack, mode: Mode::Auto, order }
}

fn start(gateway: Slow) -> (Sender, Arc<Hall>) {
    let hall = Arc::clone(&gateway.hall);
    let gate = Arc::new(Gate::new(Box::new(Alone), None));
    (Sender::start(vec![Box::new(gateway)], gate).unwrap(), hall)
}

fn answers(sender: &mut Sender, count: usize) -> Vec<Answer> {
    let (mut answers, began) = (Vec::new(), Instant::now());
    while answers.len() < count {
        assert!(began.elapsed() < PATIENCE * 3, "{} of {count} answers came", answers.len());
        answers.extend(sender.answers(Duration::from_millis(100)));
    }
    answers
}

#[test]
fn devices_are_asked_about_side_by_side_and_one_device_in_order() {
    for connectors in [1, 4] {
        let (mut sender, hall) = start(Slow::new(connectors, true));
        for number in 0..3 {
            for device in ["a", "a", "b", "c", "d"] {
                assert!(sender.send(job(device, number)));
            }
        }
        assert!(answers(&mut sender, 15).iter().all(|answer| answer.said == Said::Found(Found::InForce)));
        let seen = hall.seen();
        assert_eq!(seen.most, connectors);
        for device in ["a", "b", "c", "d"] {
            let of_it: Vec<&String> = seen.calls.iter().filter(|(of, _)| of == device).map(|(_, id)| id).collect();
            assert!(of_it.is_sorted() && of_it.len() >= 3, "{of_it:?}");
        }
    }
}

#[test]
fn a_gateway_that_does_not_answer_is_left_alone_by_all_its_workers() {
    let (mut sender, hall) = start(Slow::new(4, false));
    for number in 0..40 {
        assert!(sender.send(job(&format!("device-{number}"), 0)));
    }
    let answers = answers(&mut sender, 40);
    let reached = hall.seen().calls.len();
    assert!((5..=8).contains(&reached), "five failures open the circuit, three may be on their way: {reached}");
    let told = |answer: &&Answer| matches!(&answer.said, Said::Failed(failure) if failure.retry_after.is_some());
    assert_eq!(answers.iter().filter(told).count(), 40 - reached);
}

#[test]
fn what_is_too_much_is_taken_later_and_nothing_is_begun_after_the_end() {
    let (mut sender, hall) = start(Slow::new(2, true));
    hall.let_go(0);
    let taken = (0..400).filter(|number| sender.send(job(&format!("device-{number}"), 0))).count();
    assert!((256..=258).contains(&taken), "what may wait, and what two have in hand: {taken}");
    hall.let_go(2);
    answers(&mut sender, 2);
    drop(sender);
    hall.let_go(usize::MAX);
    // Its threads hold the gateway until they end.
    let began = Instant::now();
    while Arc::strong_count(&hall) > 1 {
        assert!(began.elapsed() < PATIENCE, "its threads do not end");
        std::thread::sleep(Duration::from_millis(1));
    }
    let reached = hall.seen().calls.len();
    assert!((2..=4).contains(&reached), "two answered, two in hand: {reached}");
}
