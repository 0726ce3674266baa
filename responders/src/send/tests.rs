//! Several calls at the same time to one gateway.

use std::collections::BTreeMap;
use std::time::Instant;

use fleet::Level;

use super::*;
use crate::gateways::{About, Applied, Found, Order, Undone};

/// Takes a while for each call, over several connectors.
struct Slow {
    about: About,
    connectors: usize,
    answers: bool,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    /// Devices that are asked about at this moment, and the most at once so far.
    now: Vec<SmolStr>,
    most: usize,
    calls: Vec<(SmolStr, String)>,
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
        Slow { about, connectors, answers, seen: Arc::default() }
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
            let mut seen = self.seen.lock().unwrap();
            assert!(!seen.now.contains(&order.device_id), "one device, two calls at once");
            seen.now.push(order.device_id.clone());
            seen.most = seen.most.max(seen.now.len());
            seen.calls.push((order.device_id.clone(), order.action_id.clone()));
        }
        std::thread::sleep(Duration::from_millis(20));
        self.seen.lock().unwrap().now.retain(|device| *device != order.device_id);
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
                seen: Arc::clone(&self.seen),
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

fn start(gateway: Slow) -> (Sender, Arc<Mutex<Seen>>) {
    let seen = Arc::clone(&gateway.seen);
    let gate = Arc::new(Gate::new(Box::new(Alone), None));
    (Sender::start(vec![Box::new(gateway)], gate).unwrap(), seen)
}

fn answers(sender: &mut Sender, count: usize) -> Vec<Answer> {
    let (mut answers, began) = (Vec::new(), Instant::now());
    while answers.len() < count {
        assert!(began.elapsed() < Duration::from_secs(10), "{} of {count} answers came", answers.len());
        answers.extend(sender.answers(Duration::from_millis(100)));
    }
    answers
}

#[test]
fn devices_are_asked_about_side_by_side_and_one_device_in_order() {
    for connectors in [1, 4] {
        let (mut sender, seen) = start(Slow::new(connectors, true));
        for number in 0..3 {
            for device in ["a", "a", "b", "c", "d"] {
                assert!(sender.send(job(device, number)));
            }
        }
        assert!(answers(&mut sender, 15).iter().all(|answer| answer.said == Said::Found(Found::InForce)));
        let seen = seen.lock().unwrap();
        assert_eq!(seen.most, connectors);
        for device in ["a", "b", "c", "d"] {
            let of_it: Vec<&String> = seen.calls.iter().filter(|(of, _)| of == device).map(|(_, id)| id).collect();
            assert!(of_it.is_sorted() && of_it.len() >= 3, "{of_it:?}");
        }
    }
}

#[test]
fn a_gateway_that_does_not_answer_is_left_alone_by_all_its_workers() {
    let (mut sender, seen) = start(Slow::new(4, false));
    for number in 0..40 {
        assert!(sender.send(job(&format!("device-{number}"), 0)));
    }
    let answers = answers(&mut sender, 40);
    let reached = seen.lock().unwrap().calls.len();
    assert!((5..=8).contains(&reached), "five failures open the circuit, three may be on their way: {reached}");
    let told = |answer: &&Answer| matches!(&answer.said, Said::Failed(failure) if failure.retry_after.is_some());
    assert_eq!(answers.iter().filter(told).count(), 40 - reached);
}

#[test]
fn what_is_too_much_is_taken_later_and_nothing_is_begun_after_the_end() {
    let (mut sender, seen) = start(Slow::new(2, true));
    let taken = (0..400).filter(|number| sender.send(job(&format!("device-{number}"), 0))).count();
    assert!((256..=270).contains(&taken), "{taken}");
    answers(&mut sender, 2);
    drop(sender);
    std::thread::sleep(Duration::from_millis(100));
    let reached = seen.lock().unwrap().calls.len();
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(seen.lock().unwrap().calls.len(), reached);
    assert!(reached < 100);
}
