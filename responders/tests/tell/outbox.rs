//! Outboxes: nobody waits, nothing is lost that need not be, and what is lost is said.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use fleet::Severity;
use responders::gateways::Failure;
use responders::tell::outbox::{Limits, Standing};
use responders::tell::{Kind, Outbox, Outgoing, Reporter, Sink};

use crate::receivers::{Collector, PATIENCE, closed};
use crate::sample::finding;
use crate::syslog::{messages, sink};
use crate::validator::faults;

type Said = Arc<dyn Fn(&Outgoing, usize) -> Result<(), Failure> + Send + Sync>;

/// Answers as it is told, and keeps what it took.
#[derive(Clone)]
struct Ear {
    took: Arc<Mutex<Vec<Outgoing>>>,
    tries: Arc<AtomicUsize>,
    answer: Said,
}

impl Ear {
    fn new(answer: impl Fn(&Outgoing, usize) -> Result<(), Failure> + Send + Sync + 'static) -> Ear {
        Ear { took: Arc::default(), tries: Arc::default(), answer: Arc::new(answer) }
    }

    fn incidents(&self) -> Vec<String> {
        self.took.lock().unwrap().iter().map(|message| message.incident_id.clone()).collect()
    }
}

impl Sink for Ear {
    fn send(&mut self, message: &Outgoing) -> Result<(), Failure> {
        let number = self.tries.fetch_add(1, Ordering::SeqCst);
        (self.answer)(message, number)?;
        self.took.lock().unwrap().push(message.clone());
        Ok(())
    }
}

fn quick() -> Limits {
    Limits { first_pause: Duration::from_millis(2), longest_pause: Duration::from_millis(20), ..Limits::default() }
}

fn start(ear: &Ear, limits: Limits) -> Outbox {
    Outbox::start("ear", Box::new(ear.clone()), Reporter::default(), limits).unwrap()
}

fn message(number: usize) -> Arc<Outgoing> {
    messages(&finding("camera-01", &format!("i{number}"), Severity::High)).remove(0)
}

fn until(what: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !what() {
        assert!(Instant::now() < end, "it did not come about");
        thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn what_fails_for_now_is_tried_again_and_order_is_kept() {
    let ear = Ear::new(|_, number| if number % 3 == 2 { Ok(()) } else { Err(Failure::unreachable("away")) });
    let outbox = start(&ear, quick());
    for number in 0..20 {
        outbox.put(message(number));
    }
    until(|| outbox.standing().queued == 0);
    let standing = outbox.close(PATIENCE);
    assert_eq!(standing, Standing { queued: 0, sent: 20, lost: 0, trouble: None });
    assert_eq!(ear.incidents(), (0..20).map(|number| format!("i{number}")).collect::<Vec<_>>());
    assert_eq!(ear.tries.load(Ordering::SeqCst), 60);
}

#[test]
fn a_dead_sink_holds_nobody_up_and_is_told_what_it_missed() {
    let alive = Arc::new(AtomicBool::new(false));
    let is_alive = Arc::clone(&alive);
    let ear =
        Ear::new(move |_, _| if is_alive.load(Ordering::SeqCst) { Ok(()) } else { Err(Failure::unreachable("away")) });
    let outbox = start(&ear, Limits { queue: 50, ..quick() });
    let all: Vec<_> = (0..500).map(message).collect();
    outbox.put(Arc::clone(&all[0]));
    until(|| outbox.standing().trouble.is_some());
    let began = Instant::now();
    for message in &all[1..] {
        outbox.put(Arc::clone(message));
    }
    assert!(began.elapsed() < Duration::from_millis(500), "{:?}", began.elapsed());
    let standing = outbox.standing();
    assert_eq!((standing.queued, standing.lost), (51, 449), "the one under way, and the latest fifty");
    assert_eq!(standing.trouble.unwrap().message, "away");
    alive.store(true, Ordering::SeqCst);
    until(|| outbox.standing().queued == 0);
    let standing = outbox.close(PATIENCE);
    assert_eq!((standing.sent, standing.lost, standing.trouble), (51, 449, None));
    let took = ear.took.lock().unwrap();
    assert_eq!(took.len(), 52);
    assert_eq!(
        (took[1].kind, took[1].title.as_str()),
        (Kind::Lost, "Lost 449 messages: `ear` did not take them in time")
    );
    assert_eq!(faults(&took[1].event), Vec::<String>::new());
    assert_eq!(took[1].event["unmapped"]["lost"], 449);
    assert_eq!(took[51].incident_id, "i499");
}

#[test]
fn what_is_refused_or_never_gets_through_makes_room_for_the_next() {
    let ear = Ear::new(|message, _| match message.incident_id.as_str() {
        "i1" => Err(Failure::refused("no such field")),
        "i2" => Err(Failure::unreachable("chokes on this one")),
        _ => Ok(()),
    });
    let outbox = start(&ear, Limits { give_up: Duration::from_millis(60), ..quick() });
    for number in 0..4 {
        outbox.put(message(number));
    }
    until(|| outbox.standing().queued == 0);
    let standing = outbox.close(PATIENCE);
    assert_eq!((standing.sent, standing.lost), (2, 2));
    assert_eq!(ear.incidents(), ["i0", "i3", ""], "and a note of what was lost");
}

#[test]
fn a_sign_in_that_is_refused_waits_for_whoever_mends_it() {
    let ear = Ear::new(|_, number| {
        let kind = responders::gateways::FailureKind::Unauthorised;
        if number < 5 { Err(Failure::new(kind, "401")) } else { Ok(()) }
    });
    let outbox = start(&ear, quick());
    outbox.put(message(0));
    until(|| outbox.standing().sent == 1);
    assert_eq!(outbox.close(PATIENCE).lost, 0);
}

#[test]
fn patience_that_is_asked_for_is_given() {
    let ear = Ear::new(|_, number| match number {
        0 => Err(Failure::busy("429", Some(Duration::from_millis(300)))),
        _ => Ok(()),
    });
    let outbox = start(&ear, quick());
    let began = Instant::now();
    outbox.put(message(0));
    until(|| outbox.standing().sent == 1);
    assert!(began.elapsed() >= Duration::from_millis(300), "{:?}", began.elapsed());
}

#[test]
fn its_end_is_in_time_whatever_the_sink_does() {
    let dead = Ear::new(|_, _| Err(Failure::unreachable("away")));
    let hangs = Ear::new(|_, _| {
        thread::sleep(Duration::from_secs(60));
        Ok(())
    });
    for ear in [&dead, &hangs] {
        let outbox = start(ear, Limits { first_pause: Duration::from_secs(30), ..quick() });
        for number in 0..5 {
            outbox.put(message(number));
        }
        until(|| ear.tries.load(Ordering::SeqCst) > 0);
        let began = Instant::now();
        let standing = outbox.close(Duration::from_millis(200));
        assert!(began.elapsed() < PATIENCE, "{:?}", began.elapsed());
        assert_eq!((standing.queued, standing.sent), (5, 0));
    }
    let slow = Ear::new(|_, _| {
        thread::sleep(Duration::from_millis(5));
        Ok(())
    });
    let outbox = start(&slow, quick());
    for number in 0..20 {
        outbox.put(message(number));
    }
    assert_eq!(outbox.close(PATIENCE).sent, 20, "what waits is sent first");
}

/// The real thing: a collector that comes back at another moment than one would like.
#[test]
fn a_collector_that_is_away_gets_everything_when_it_is_back() {
    let address = closed(2);
    let text = format!("kind = 'syslog'\nname = 's'\naddress = '{address}'\ntransport = 'tcp'");
    let outbox = Outbox::start("s", sink(&text), Reporter::default(), quick()).unwrap();
    for number in 0..10 {
        outbox.put(message(number));
    }
    until(|| outbox.standing().trouble.is_some());
    let collector = Collector::start_at(address, None, 100);
    for number in 0..10 {
        assert!(collector.next().contains(&format!("incident=\"i{number}\"")));
    }
    assert_eq!(outbox.close(PATIENCE).sent, 10);
}
