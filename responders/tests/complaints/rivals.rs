//! Two processes that think they work, and every way past the one place that sends.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use fleet::{Level, Mode, State};
use responders::engine::done::Said;
use responders::engine::due::{Call, Job};
use responders::gateways::{Failure, Gateway, Order};
use responders::journal::JournalError;
use responders::journal::file::FileJournal;
use responders::send::{Alone, Gate, Lease, Sender, boot_time};

use crate::gateway::{Fault, Keeper};
use crate::world::{BROKER, World, plan};

/// Until then, by boot time; `None`: lost.
struct Held(Mutex<Option<Duration>>);

impl Held {
    fn set(&self, until: Option<Duration>) {
        *self.0.lock().unwrap() = until;
    }
}

impl Lease for Held {
    fn holds_until(&self) -> Option<Duration> {
        *self.0.lock().unwrap()
    }
}

#[test]
fn two_workers_acted_at_once() {
    // One journal file is one process's.
    let world = World::new().begun();
    assert!(matches!(FileJournal::open(&world.path(), |_| ()), Err(JournalError::Lost(_))));

    // Whose place was taken, by whatever keeps the journal, neither writes nor sends, also what waits already.
    for in_threads in [false, true] {
        let mut world = World::new();
        world.in_threads = in_threads;
        let mut world = world.begun();
        world.broker().site().fault = Some(Fault::Unreachable);
        let id = world.hit("camera-1", &plan(Level::Quarantine));
        world.broker().wait_kept(1);
        world.turn();
        assert_eq!(world.state(&id), State::Applying);
        *world.fuse.lock().unwrap() = Some((0, false));
        let finding = world.finding("camera-2");
        assert!(matches!(world.try_find(&finding, &[plan(Level::Quarantine)]), Err(JournalError::Lost(_))));
        *world.fuse.lock().unwrap() = None;
        let (text, calls) = (world.text(), world.broker().site().calls.len());
        for _ in 0..100 {
            world.now = world.now.plus_seconds(10);
            assert!(matches!(world.try_turn(), Err(JournalError::Lost(_))), "it goes on as if nothing had been");
        }
        assert_eq!(world.text(), text);
        assert_eq!(world.broker().site().calls.len(), calls, "a gateway was reached");
    }
}

#[test]
fn what_waits_for_a_gateway_is_not_sent_when_the_journal_is_lost() {
    let mut world = World::new();
    world.in_threads = true;
    let mut world = world.begun();
    let broker = world.broker().clone();
    let held_up = broker.site();
    for device in ["camera-1", "camera-2", "camera-3"] {
        let finding = world.finding(device);
        world.find(&finding, &[plan(Level::Quarantine)]);
    }
    let now = world.now;
    let town = crate::town::Town::with(&[("camera", 3)]);
    world.life().turn(now, Duration::from_millis(50), &town).unwrap();
    assert!(world.book().actions().all(|action| action.state == State::Applying));
    broker.wait_entered(1);
    *world.fuse.lock().unwrap() = Some((0, false));
    let finding = world.finding("camera-4");
    assert!(world.try_find(&finding, &[plan(Level::Quarantine)]).is_err());
    drop(held_up);
    broker.wait_kept(1);
    // Whatever else would be sent has time to be.
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(broker.site().calls.len(), 1, "more than the call in hand");
}

#[test]
fn who_slept_through_losing_its_place_reaches_nobody() {
    let lease = Arc::new(Held(Mutex::new(Some(boot_time() + Duration::from_secs(3_600)))));
    let mut world = World::new();
    world.lease = Some(Arc::clone(&lease) as Arc<dyn Lease>);
    let mut world = world.begun();
    let id = world.hit("camera-1", &plan(Level::Quarantine));
    assert_eq!(world.state(&id), State::Verified);
    let calls = world.broker().site().calls.len();

    // It slept: by the time since the machine began the lease has run out, and nobody told it so.
    for until in [Some(boot_time()), Some(Duration::ZERO), None] {
        lease.set(until);
        let other = world.hit(if until.is_some() { "camera-2" } else { "camera-3" }, &plan(Level::Quarantine));
        world.command(
            "anna",
            responders::journal::entry::Command::Release { action_id: id.clone(), reason: "fine".to_owned() },
        );
        world.pass(120);
        assert_eq!(world.state(&other), State::Applying);
        assert_eq!(world.broker().site().calls.len(), calls, "a gateway was reached");
    }
    lease.set(Some(boot_time() + Duration::from_secs(3_600)));
    world.pass(600);
    assert_eq!(world.state(&id), State::Released);
}

#[test]
fn a_call_in_hand_ends_with_the_lease() {
    /// Takes longer than the lease holds, and asks before it would send.
    struct Slow(Keeper, Arc<Mutex<Option<Failure>>>);
    impl Gateway for Slow {
        fn about(&self) -> &responders::gateways::About {
            &self.0.about
        }
        fn apply(
            &mut self,
            permit: &responders::gateways::Permit,
            order: &Order,
        ) -> Result<responders::gateways::Applied, Failure> {
            std::thread::sleep(Duration::from_millis(1_100));
            if let Err(failure) = permit.left() {
                *self.1.lock().unwrap() = Some(failure);
            }
            self.0.apply(permit, order)
        }
        fn read_back(
            &mut self,
            permit: &responders::gateways::Permit,
            order: &Order,
        ) -> Result<responders::gateways::Found, Failure> {
            self.0.read_back(permit, order)
        }
        fn undo(
            &mut self,
            permit: &responders::gateways::Permit,
            order: &Order,
        ) -> Result<responders::gateways::Undone, Failure> {
            self.0.undo(permit, order)
        }
        fn probe(&mut self, permit: &responders::gateways::Permit) -> Result<(), Failure> {
            self.0.probe(permit)
        }
    }
    let world = World::new();
    let ended = Arc::default();
    let slow = Slow(world.broker().clone(), Arc::clone(&ended));
    let lease = Held(Mutex::new(Some(boot_time() + Duration::from_secs(1))));
    let gate = Arc::new(Gate::new(Box::new(lease), None));
    gate.set_wanted("one", true);
    let mut sender = Sender::here(vec![Box::new(slow)], gate);
    assert!(sender.send(job(Call::Apply, Mode::Auto)));
    assert!(matches!(sender.answers(Duration::ZERO)[0].said, Said::Failed(_)));
    assert!(ended.lock().unwrap().is_some());
    assert!(world.broker().site().calls.is_empty());
}

fn job(call: Call, mode: Mode) -> Job {
    let order = Order {
        action_id: "one".to_owned(),
        incident_id: "incident".to_owned(),
        device_id: "camera-1".into(),
        level: Level::Quarantine,
        names: [(responders::gateways::Key::ClientId, "camera-1".into())].into(),
        further: Vec::new(),
        until: None,
        note: "vedette".to_owned(),
        receipt: None,
    };
    Job { gateway: BROKER.into(), call, mode, order }
}

/// Every call, in every mode, with the gate in every state, here and in threads: a gateway that panics is not reached by
/// any that must not.
#[test]
fn dry_run_was_not_honoured_on_one_path() {
    let folder = tempfile::tempdir().unwrap();
    let stop = folder.path().join("stop");
    let mut combinations = 0;
    for in_threads in [false, true] {
        for call in [Call::Apply, Call::ReadBack, Call::Undo] {
            for mode in Mode::ALL {
                for bits in 0..32 {
                    let has = |bit: u32| bits & (1 << bit) != 0;
                    let (by_command, by_file, has_lease, is_wanted, is_closed) =
                        (has(0), has(1), has(2), has(3), has(4));
                    if by_file {
                        std::fs::write(&stop, "").unwrap()
                    } else {
                        let _ = std::fs::remove_file(&stop);
                    }
                    let world = World::new();
                    world.broker().site().fault = Some(Fault::Panics);
                    let lease: Box<dyn Lease> =
                        if has_lease { Box::new(Alone) } else { Box::new(Held(Mutex::new(None))) };
                    let gate = Arc::new(Gate::new(lease, Some(stop.clone())));
                    gate.set_stopped(by_command);
                    gate.set_wanted("one", is_wanted);
                    if is_closed {
                        gate.close();
                    }
                    let gateways: Vec<Box<dyn Gateway>> = vec![Box::new(world.broker().clone())];
                    let mut sender =
                        if in_threads { Sender::start(gateways, gate).unwrap() } else { Sender::here(gateways, gate) };
                    assert!(sender.send(job(call, *mode)));
                    let answers = sender.answers(Duration::from_secs(5));
                    let Said::Failed(failure) = &answers[0].said else { panic!("{answers:?}") };
                    let may_apply = *mode != Mode::Observe && !by_command && !by_file && is_wanted;
                    let may = has_lease && !is_closed && (call != Call::Apply || may_apply);
                    assert_eq!(failure.message.contains("panicked"), may, "{call:?} {mode} {bits:05b}: {failure}");
                    assert_eq!(world.broker().site().calls.len(), usize::from(may));
                    combinations += 1;
                }
            }
        }
    }
    assert_eq!(combinations, 2 * 3 * 3 * 32);
}

/// The same from the front: whatever is asked for in mode observe, nothing is sent.
#[test]
fn nothing_that_is_asked_for_in_mode_observe_reaches_a_gateway() {
    use responders::journal::entry::{Command, ModeOf};
    let modes = [ModeOf::All, ModeOf::Gateway(BROKER.into()), ModeOf::Playbook("test".into())];
    for of in modes {
        let mut world = World::new();
        world.gateways.truncate(1);
        let mut world = world.begun();
        world.broker().site().fault = Some(Fault::Panics);
        let began = world.hit("camera-1", &plan(Level::Quarantine));
        let calls = world.broker().site().count(Call::Apply);
        assert_eq!(calls, 1);
        world.command("anna", Command::Mode { of, mode: Mode::Observe });
        let dry = world.hit("camera-2", &plan(Level::Quarantine));
        for command in [
            Command::Approve { action_id: dry.clone() },
            Command::Release { action_id: dry.clone(), reason: String::new() },
            Command::Extend { action_id: began.clone(), until: world.now.plus_seconds(9_000) },
        ] {
            world.command("anna", command);
        }
        world.pass(600);
        world.kill();
        world.begin();
        world.pass(60);
        assert_eq!(world.broker().site().count(Call::Apply), calls);
        assert_eq!(world.state(&dry), State::Proposed, "it says what it would do");
        // What may have come through is taken back, which no mode forbids.
        world.broker().site().fault = None;
        world.pass(400);
        assert_eq!(world.state(&began), State::Failed);
        // What was said in a dry run stays words when the mode is another.
        world.command("anna", Command::Mode { of: ModeOf::All, mode: Mode::Auto });
        world.pass(60);
        assert_eq!(world.state(&dry), State::Proposed);
        assert_eq!(world.broker().site().count(Call::Apply), calls);
    }
}

/// Holds when it is asked for so often, and not the time after; nothing: it holds.
struct Lapses(Mutex<Option<u32>>);

impl Lease for Lapses {
    fn holds_until(&self) -> Option<Duration> {
        let mut left = self.0.lock().unwrap();
        let holds = left.is_none_or(|left| left > 0);
        *left = left.map(|left| left.saturating_sub(1));
        Some(if holds { Duration::MAX } else { Duration::ZERO })
    }
}

#[test]
fn what_was_never_sent_does_not_keep_the_next_gateway_from_being_asked() {
    let lease = Arc::new(Lapses(Mutex::new(None)));
    let mut world = World::new();
    world.lease = Some(Arc::clone(&lease) as Arc<dyn Lease>);
    let mut world = world.begun();
    // It lapses between the look whether anything may be sent, and sending.
    *lease.0.lock().unwrap() = Some(1);
    let id = world.hit("camera-1", &plan(Level::Quarantine));
    assert_eq!(world.state(&id), State::Applying);
    assert!(world.action(&id).failure.unwrap().contains("nothing is sent from here"));
    assert!(world.text().contains("\"was_sent\":false"));
    assert!(!world.action(&id).may_hold(), "nothing of it can come through");
    *lease.0.lock().unwrap() = None;
    world.broker().site().fault = Some(Fault::Refuses);
    world.pass(3);
    assert_eq!((world.state(&id), world.action(&id).gateway.as_str()), (State::Verified, "firewall"));
}
