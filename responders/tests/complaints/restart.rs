//! A process ends, and another begins with what the journal says.

use fleet::{EventTime, Level, Mode, State};
use responders::engine::due::Call;
use responders::journal::entry::{Body, Command};
use responders::journal::sign::Signer;

use crate::gateway::{Fault, TIME_LIMIT};
use crate::town::Town;
use crate::world::{World, plan};

#[test]
fn a_restart_forgot_who_was_quarantined() {
    let mut world = World::new().begun();
    let id = world.hit("camera-1", &plan(Level::Quarantine));
    let before = world.book().clone();
    world.kill();
    world.begin();
    assert_eq!(world.action(&id), before.action(&id).unwrap().clone());
    let looked = world.broker().site().count(Call::ReadBack);
    world.turn();
    assert_eq!(world.broker().site().count(Call::ReadBack), looked + 1, "what is in force is looked at at once");

    // Somebody undid it while nobody looked.
    world.kill();
    world.broker().site().holds.clear();
    world.begin();
    world.pass(5);
    assert_eq!(world.state(&id), State::Verified);
    assert!(world.broker().site().is_held("camera-1"), "it was not repaired");

    // Its time passed while nobody was there.
    world.kill();
    world.now = world.now.plus_seconds(5 * 3_600);
    world.begin();
    world.pass(15);
    assert_eq!(world.state(&id), State::Released);
    assert!(world.broker().site().holds.is_empty(), "its time is over");
}

#[test]
fn what_was_sent_before_a_kill_may_have_come_through() {
    // Taken, and killed before that was written; then the gateway refuses what it holds.
    let mut world = World::new().begun();
    let finding = world.finding("camera-1");
    let mut only = plan(Level::Quarantine);
    only.tries_others = false;
    world.find(&finding, &[only.clone()]);
    *world.fuse.lock().unwrap() = Some((1, false));
    assert!(world.try_turn().is_err());
    assert!(world.broker().site().is_held("camera-1"));
    world.kill();
    world.broker().site().fault = Some(Fault::Refuses);
    world.begin();
    world.turn();
    let id = responders::engine::find::action_id("camera-1", &finding.incident_id, Level::Quarantine);
    assert_eq!(world.state(&id), State::Releasing, "it was given up, and is held");
    world.broker().site().fault = None;
    world.pass(30);
    assert_eq!(world.state(&id), State::Failed);
    assert!(world.broker().site().holds.is_empty());

    // On its way when the process was killed, and let go before it came through.
    let mut world = World::new().begun();
    world.find(&finding, &[only]);
    world.broker().site().fault = Some(Fault::IsLate(TIME_LIMIT - std::time::Duration::from_secs(3)));
    *world.fuse.lock().unwrap() = Some((1, false));
    assert!(world.try_turn().is_err());
    world.kill();
    world.broker().site().fault = None;
    world.begin();
    assert_eq!(world.command("anna", Command::Release { action_id: id.clone(), reason: "fine".to_owned() }), None);
    world.pass(40);
    assert_eq!(world.state(&id), State::Released);
    assert!(world.broker().site().holds.is_empty(), "what came through late was left");
}

/// Sent by a process that is killed before it hears of it, and let go by the next one; it comes through 90 s after it was sent.
fn sent_and_let_go() -> (World, String) {
    let mut world = World::new().begun();
    let finding = world.finding("camera-1");
    world.find(&finding, &[plan(Level::Quarantine)]);
    world.broker().site().fault = Some(Fault::IsLate(TIME_LIMIT * 9));
    *world.fuse.lock().unwrap() = Some((1, false));
    assert!(world.try_turn().is_err());
    world.kill();
    world.broker().site().fault = None;
    world.begin();
    let id = responders::engine::find::action_id("camera-1", &finding.incident_id, Level::Quarantine);
    assert_eq!(world.command("anna", Command::Release { action_id: id.clone(), reason: "fine".to_owned() }), None);
    world.pass(40);
    assert_eq!(world.state(&id), State::Released);
    assert!(world.broker().site().holds.is_empty());
    (world, id)
}

fn looks(world: &World) -> usize {
    world.broker().site().count(Call::ReadBack)
}

#[test]
fn what_a_dead_owner_sent_came_through_after_the_release() {
    let (mut world, id) = sent_and_let_go();
    world.pass(51);
    assert!(world.broker().site().is_held("camera-1"), "it came through");
    world.pass(60);
    assert_eq!(world.state(&id), State::Released);
    assert!(world.broker().site().holds.is_empty(), "nobody holds it, and it is held");
    assert_eq!(world.text().matches("\"to\":\"releasing\"").count(), 2, "once by a person, once by itself");
    let released = world.text().matches("\"to\":\"released\"").count();
    // Once more after nothing can come through any more, and never again.
    world.pass(400);
    let looked = looks(&world);
    world.pass(400);
    assert_eq!((looks(&world), world.text().matches("\"to\":\"released\"").count()), (looked, released));
    // Nor by whoever comes next.
    world.kill();
    world.now = world.now.plus_seconds(86_400);
    world.begin();
    world.pass(100);
    assert_eq!(looks(&world), looked, "it is looked for in every life");

    // While nobody is there: whoever comes next looks at once.
    let (mut world, id) = sent_and_let_go();
    world.kill();
    world.now = world.now.plus_seconds(100);
    world.begin();
    world.turn();
    assert!(matches!(world.state(&id), State::Releasing | State::Released));
    world.pass(15);
    assert_eq!(world.state(&id), State::Released);
    assert!(world.broker().site().holds.is_empty(), "nobody looked at what was released lately");

    // What failed is looked at as well, and the gateway may be away when it is time to.
    let (mut world, id) = sent_and_let_go();
    world.broker().site().fault = Some(Fault::Unreachable);
    world.pass(600);
    let text = world.text();
    world.broker().site().fault = None;
    world.pass(75);
    assert!(world.broker().site().holds.is_empty() && world.state(&id) == State::Released);
    assert!(!text.contains("nobody answers"), "what ended is not noted on");
}

#[test]
fn what_was_let_go_is_looked_at_only_where_something_of_ours_may_come_through() {
    // Every call was answered: nothing is on its way, also for whoever comes next.
    let mut world = World::new().begun();
    let id = world.hit("camera-1", &plan(Level::Quarantine));
    world.pass(2);
    world.command("anna", Command::Release { action_id: id.clone(), reason: "fine".to_owned() });
    world.pass(5);
    assert_eq!(world.state(&id), State::Released);
    world.kill();
    let looked = looks(&world);
    world.begin();
    world.pass(400);
    assert_eq!(looks(&world), looked);

    // Somebody else's block is not what came through.
    let (mut world, id) = sent_and_let_go();
    world.broker().site().block("camera-1", "the night shift");
    world.pass(400);
    assert_eq!(world.state(&id), State::Released);
    let by: Vec<String> = world.broker().site().holds.iter().map(|hold| hold.by.clone()).collect();
    assert!(by.contains(&"the night shift".to_owned()), "{by:?}");

    // Another action of ours holds it now: what is read could be that one's.
    let (mut world, id) = sent_and_let_go();
    let mut finding = world.finding("camera-1");
    finding.incident_id = "another incident".to_owned();
    world.find(&finding, &[plan(Level::Quarantine)]);
    world.pass(2);
    let of_it = |world: &World| world.broker().site().calls.iter().filter(|(_, action, _)| *action == id).count();
    let before = of_it(&world);
    world.pass(200);
    assert_eq!(of_it(&world), before, "two hands at one entry");

    // Long after nothing comes through any more: whoever begins looks all the same, once, and takes back what came meanwhile.
    let (mut world, id) = sent_and_let_go();
    world.kill();
    world.now = world.now.plus_seconds(600);
    world.begin();
    world.pass(100);
    assert_eq!(world.state(&id), State::Released);
    assert!(world.broker().site().holds.is_empty(), "nobody was there for ten minutes, and nobody looked");
    let looked = looks(&world);
    world.pass(100);
    assert_eq!(looks(&world), looked, "nothing can come through any more");
}

/// A write that tore keeps whole lines of its beginning.
fn cut(world: &mut World, lines: usize) {
    world.kill();
    let text = world.text();
    let whole: Vec<&str> = text.lines().collect();
    let kept: String = whole[..whole.len() - lines].iter().map(|line| format!("{line}\n")).collect();
    std::fs::write(world.path(), kept).unwrap();
    world.begin();
}

#[test]
fn half_of_a_write_is_made_good() {
    let mut world = World::new().begun();
    let finding = world.finding("camera-1");
    world.find(&finding, &[plan(Level::Quarantine)]);
    let id = responders::engine::find::action_id("camera-1", &finding.incident_id, Level::Quarantine);
    cut(&mut world, 1);
    assert_eq!(world.state(&id), State::Proposed, "nobody is asked, and nobody decided");
    world.pass(60);
    assert_eq!(world.state(&id), State::Refused);
    world.hit("camera-1", &plan(Level::Quarantine));
    assert_eq!(world.state(&id), State::Verified, "the next window decides anew");

    // A command whose end is missing is not known, and obeyed when it comes again.
    for command in [
        Command::Extend { action_id: id.clone(), until: world.now.plus_seconds(20_000) },
        Command::Release { action_id: id.clone(), reason: "fine".to_owned() },
    ] {
        assert_eq!(world.command("anna", command.clone()), None);
        cut(&mut world, 1);
        assert_eq!(world.command("anna", command), None);
    }
    world.pass(15);
    assert_eq!(world.state(&id), State::Released);
    world.config.mode = Mode::Approve;
    world.begin();
    let id = world.hit("camera-2", &plan(Level::Quarantine));
    // That it was approved is missing, and then that the command was.
    for lines in [2, 1] {
        assert_eq!(world.command("anna", Command::Approve { action_id: id.clone() }), None);
        cut(&mut world, lines);
        world.now = world.now.plus_seconds(1);
    }
    assert_eq!(world.command("anna", Command::Approve { action_id: id.clone() }), None);
    world.turn();
    assert_eq!(world.state(&id), State::Verified);
}

/// Killed at every write of a whole life, before it and after it: what follows is always the same in the end.
#[test]
fn killed_between_any_two_steps_gateway_and_journal_agree() {
    let mut kills = 0;
    for at in 0.. {
        let mut reached = false;
        for reaches_disk in [false, true] {
            let mut world = World::new().begun();
            *world.fuse.lock().unwrap() = Some((at, reaches_disk));
            let finding = world.finding("camera-1");
            let lived = live(&mut world, &finding);
            if lived.is_err() {
                reached = true;
                kills += 1;
                world.kill();
                world.now = world.now.plus_seconds(2);
                world.begin();
                live(&mut world, &finding).expect("nobody kills it");
            }
            world.pass(120);
            let actions: Vec<_> = world.book().actions().collect();
            assert_eq!(actions.len(), 1, "killed at {at}");
            let is_held = world.broker().site().is_held("camera-1");
            assert_eq!(actions[0].state, State::Released, "killed at {at}: {}", actions[0].reason);
            assert!(!is_held, "killed at {at}, it is held");
            assert!(world.broker().site().calls.iter().any(|(call, ..)| *call == Call::Undo));
            world.entries();
        }
        if !reached {
            break;
        }
    }
    assert!(kills >= 14, "{kills} kills");
}

/// A finding that is given again after a restart, and a person who lets it go.
fn live(world: &mut World, finding: &fleet::Finding) -> Result<(), responders::journal::JournalError> {
    let id = responders::engine::find::action_id("camera-1", &finding.incident_id, Level::Quarantine);
    world.try_find(finding, &[plan(Level::Quarantine)])?;
    for _ in 0..12 {
        world.try_turn()?;
        world.now = world.now.plus_seconds(1);
    }
    let state = world.state(&id);
    if !state.is_final() {
        assert!(matches!(state, State::Verified | State::Releasing), "{state}");
        world.try_command("anna", Command::Release { action_id: id, reason: "fine".to_owned() })?;
    }
    world.try_turn()
}

#[test]
fn the_same_action_twice_made_two_entries() {
    // The finding is delivered again, by two playbooks, with a restart and a lost answer in between.
    let mut world = World::new().begun();
    world.broker().site().fault = Some(Fault::LosesAnswers);
    let finding = world.finding("camera-1");
    let mut other = plan(Level::Quarantine);
    other.playbook = "other".into();
    let plans = [plan(Level::Quarantine), other];
    world.find(&finding, &plans);
    world.find(&finding, &plans);
    world.turn();
    world.kill();
    world.begin();
    world.broker().site().fault = None;
    world.find(&finding, &plans);
    world.pass(10);
    let mut later = finding.clone();
    later.emitted_at = world.now;
    world.find(&later, &plans);
    // Another incident of the same device asks for the same, while it is held and before.
    later.incident_id = "another incident".to_owned();
    world.find(&later, &plans);
    world.pass(10);
    assert_eq!(world.broker().site().holds.len(), 1, "two entries of one device");
    assert_eq!(world.book().actions().count(), 1);
    assert_eq!(world.text().matches("\"kind\":\"proposed\"").count(), 1);

    let mut world = World::new();
    world.config.mode = Mode::Approve;
    let mut world = world.begun();
    world.find(&finding, &plans);
    world.find(&later, &plans);
    assert_eq!(world.book().actions().count(), 1, "people are asked once");
}

#[test]
fn clock_moved_backwards() {
    let hour = 3_600;
    for days in [0, 400] {
        let mut world = World::new().begun();
        let back = hour + days * 86_400;
        let mut short = plan(Level::Quarantine);
        short.ttl_seconds = Some(600);
        let id = world.hit("camera-1", &short);
        world.broker().site().fault = Some(Fault::Unreachable);
        let retried = world.hit("camera-2", &short);
        world.pass(5);
        // With and without a restart in between.
        world.now = world.now.plus_seconds(-back);
        if days > 0 {
            world.kill();
            world.begin();
        }
        world.broker().site().fault = None;
        world.pass(60);
        assert_eq!(world.state(&retried), State::Verified, "what waited to be tried waits for the clock");
        world.pass(800);
        assert_eq!(world.state(&id), State::Released, "held for the time that came twice");
        let mut last = EventTime::MIN;
        for entry in world.entries() {
            assert!(entry.at >= last, "entry {} is older than the one before", entry.seq);
            last = entry.at;
        }
        // Others' clocks are right: what they say now is news.
        let id = world.hit("camera-3", &short);
        assert_eq!(world.state(&id), State::Verified, "{}", world.action(&id).reason);
        assert_eq!(world.command("anna", Command::Release { action_id: id, reason: "fine".to_owned() }), None);
    }

    // An answer that came too late does not come in time for the clock having been set back.
    let mut world = World::new();
    world.config.mode = Mode::Approve;
    let mut world = world.begun();
    let id = world.hit("camera-1", &plan(Level::Quarantine));
    world.now = world.now.plus_seconds(601);
    let words = world.command("anna", Command::Approve { action_id: id.clone() });
    assert!(words.is_some());
    world.now = world.now.plus_seconds(-hour);
    assert!(world.command("anna", Command::Approve { action_id: id.clone() }).is_some());
    world.turn();
    assert_eq!(world.state(&id), State::Expired);
    assert!(world.broker().site().calls.is_empty());
}

#[test]
fn an_old_finding_brought_back_what_a_person_had_let_go() {
    let let_go = |world: &mut World, id: &str| {
        let command = Command::Release { action_id: id.to_owned(), reason: "it was the new firmware".to_owned() };
        assert_eq!(world.command("anna", command), None);
        world.pass(30);
        assert_eq!(world.state(id), State::Released);
    };
    // While it was held, these led to no entry: another incident, and another level of the same.
    let mut world = World::new().begun();
    let id = world.hit("camera-1", &plan(Level::Quarantine));
    world.pass(60);
    let same = world.finding("camera-1");
    let mut other = same.clone();
    (other.incident_id, other.finding_id) = ("another incident".to_owned(), "another".to_owned());
    let before = world.entries().len();
    world.find(&other, &[plan(Level::Quarantine)]);
    world.find(&same, &[plan(Level::Throttle)]);
    assert_eq!(world.entries().len(), before, "it is held");
    let_go(&mut world, &id);
    // The process is killed before it has said how far it read, and reads them again.
    world.kill();
    world.begin();
    let before = world.entries().len();
    world.find(&other, &[plan(Level::Quarantine)]);
    world.find(&same, &[plan(Level::Throttle)]);
    world.find(&same, &[plan(Level::Disable)]);
    world.turn();
    assert_eq!(world.entries().len(), before, "a device that was let go is held again for what it did before");
    // What comes of it now is decided.
    let id = world.hit("camera-1", &plan(Level::Disable));
    assert_eq!(world.state(&id), State::Verified);

    // People said no, or nobody answered.
    for denies in [true, false] {
        let mut world = World::new();
        world.config.mode = Mode::Approve;
        let mut world = world.begun();
        let id = world.hit("camera-1", &plan(Level::Quarantine));
        let mut other = world.finding("camera-1");
        other.incident_id = "another incident".to_owned();
        world.find(&other, &[plan(Level::Quarantine)]);
        world.pass(5);
        if denies {
            world.command("anna", Command::Deny { action_id: id, reason: "no".to_owned() });
        } else {
            world.pass(700);
        }
        world.kill();
        world.begin();
        world.find(&other, &[plan(Level::Quarantine)]);
        assert_eq!(world.book().actions().count(), 1, "denied: {denies}");
    }
}

#[test]
fn every_hundred_entries_are_signed_and_the_last_ones_of_who_says_goodbye() {
    let mut world = World::new();
    let key = world.folder.path().join("journal.key");
    world.config.signing_key = Some(key.clone());
    world.begin();
    for number in 1..=40 {
        world.hit(&format!("meter-{number}"), &plan(Level::Quarantine));
    }
    // Who is killed signs nothing more; who comes next goes on counting.
    world.kill();
    world.begin();
    let now = world.clock();
    world.life().end(now, true).unwrap();

    // Reading them verifies every signature.
    let entries = world.entries();
    let key = Signer::open(&key).unwrap().public_key();
    let mut signed = Vec::new();
    for entry in &entries {
        if let Body::Signed(signature) = &entry.body {
            assert_eq!((&signature.key, &signature.head), (&key, &entry.previous));
            signed.push(entry.seq);
        }
    }
    let [first, second, last] = signed.as_slice() else { panic!("signed are {signed:?} of {}", entries.len()) };
    // A turn is signed as a whole.
    assert!((100..110).contains(first) && (100..110).contains(&(second - first)), "{signed:?}");
    assert!(matches!(entries.last().unwrap().body, Body::Ended(_)));
    assert_eq!(*last, entries.len() as u64 - 1, "all but the goodbye");
}

#[test]
fn who_says_goodbye_waits_for_the_last_calls_by_time() {
    let mut world = World::new();
    (world.in_threads, world.gateways[0].workers) = (true, 48);
    let mut world = world.begun();
    let broker = world.broker().clone();
    let mut held_up = broker.site();
    // Each of 48 answers comes by itself.
    held_up.takes = std::time::Duration::from_millis(5);
    for device in world.town.devices.keys().cloned().collect::<Vec<_>>() {
        let finding = world.finding(&device);
        world.find(&finding, &[plan(Level::Quarantine)]);
    }
    let (now, town) = (world.clock(), Town::with(&[("camera", 8), ("meter", 40)]));
    world.life().turn(now, std::time::Duration::ZERO, &town).unwrap();
    // The goodbye waits two seconds, whatever the machine does: all threads are at work before it.
    broker.wait_entered(48);
    drop(held_up);
    world.life().end(now, true).unwrap();
    assert!(matches!(world.entries().last().unwrap().body, Body::Ended(_)), "all calls had ended");
}

#[test]
fn who_came_after_one_that_may_still_act_does_not_say_that_nobody_does() {
    let mut world = World::new().begun();
    let now = world.clock();
    world.life().end(now, false).unwrap();
    let entries = world.entries();
    assert!(!entries.iter().any(|entry| matches!(entry.body, Body::Ended(_))));
    let Body::Began(began) = &entries[0].body else { panic!("{entries:?}") };
    assert_eq!(began.lease(), std::time::Duration::from_secs(8), "whoever comes next knows how long to wait");
}
