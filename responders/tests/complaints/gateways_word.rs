//! What a gateway says, and what is so.

use std::time::Duration;

use fleet::{FindingKind, Level, Mode, Sighting, State};
use responders::engine::due::Call;
use responders::engine::find::action_id;
use responders::gateways::Witness;
use responders::journal::entry::{Body, Command, Entry};

use crate::gateway::{Fault, TIME_LIMIT};
use crate::world::{World, micros, plan};

#[test]
fn believed_a_200_that_was_a_failure() {
    let mut world = World::new().begun();
    world.broker().site().fault = Some(Fault::Lies);
    let id = world.hit("camera-1", &plan(Level::Quarantine));
    assert_eq!(world.state(&id), State::Applied, "taken, and not said to be in force");
    world.pass(120);
    assert_eq!(world.state(&id), State::Failed);
    assert!(world.action(&id).reason.contains("does not hold it"));
    assert!(!world.text().contains("verified"), "it was believed");
    let applied = world.broker().site().count(Call::Apply);
    assert!((2..=5).contains(&applied), "it was applied {applied} times");

    // The same of taking back: it is released when it is gone, however often the gateway says so before.
    let mut world = World::new().begun();
    let id = world.hit("camera-1", &plan(Level::Quarantine));
    assert_eq!(world.state(&id), State::Verified);
    world.broker().site().fault = Some(Fault::Lies);
    assert_eq!(world.command("anna", Command::Release { action_id: id.clone(), reason: "fine".to_owned() }), None);
    world.pass(1_200);
    assert_eq!(world.state(&id), State::Releasing);
    let tried = world.broker().site().count(Call::Undo);
    assert!((4..40).contains(&tried), "it was taken back {tried} times in twenty minutes");
    world.broker().site().fault = None;
    world.pass(300);
    assert_eq!(world.state(&id), State::Released);
    assert!(world.broker().site().holds.is_empty());
}

#[test]
fn said_no_to_a_release_and_was_called_released() {
    // RADIUS cannot be read: that it does not let go is all there is to know.
    for cannot_say in [true, false] {
        let mut world = World::new().begun();
        world.broker().site().cannot_say = cannot_say;
        let id = world.hit("camera-1", &plan(Level::Quarantine));
        world.broker().site().fault = Some(Fault::Keeps);
        assert_eq!(world.command("anna", Command::Release { action_id: id.clone(), reason: "fine".to_owned() }), None);
        world.pass(1_200);
        assert_eq!(world.state(&id), State::Releasing, "it is held: {}", world.action(&id).reason);
        let tried = world.broker().site().count(Call::Undo);
        assert!((4..40).contains(&tried), "it was taken back {tried} times in twenty minutes");
        world.broker().site().fault = None;
        world.pass(400);
        assert_eq!(world.state(&id), State::Released);
        assert!(world.broker().site().holds.is_empty());
    }
}

#[test]
fn said_done_and_the_device_still_talked() {
    for (mode, state) in [(Mode::Auto, State::Verified), (Mode::Approve, State::Proposed)] {
        let mut world = World::new();
        world.config.mode = mode;
        let mut world = world.begun();
        let mut plan = plan(Level::Quarantine);
        (plan.if_still_talking, plan.talking_ttl_seconds) = (Some(Level::Disable), Some(90));
        let id = world.hit("camera-1", &plan);
        if mode == Mode::Approve {
            assert_eq!(world.command("anna", Command::Approve { action_id: id.clone() }), None);
            world.turn();
        }
        assert_eq!(world.state(&id), State::Verified);
        world.now = world.now.plus_seconds(1_000);
        // The window in which it was applied says nothing.
        world.now = world.action(&id).applied_at.unwrap().plus_seconds(61);
        world.window("camera-1", 9);
        for _ in 0..2 {
            world.now = world.now.plus_seconds(60);
            world.window("camera-1", 9);
        }
        assert!(!world.action(&id).is_talking);
        world.now = world.now.plus_seconds(60);
        world.window("camera-1", 9);
        assert!(world.action(&id).is_talking);
        let further = action_id("camera-1", "incident camera-1", Level::Disable);
        assert_eq!(world.state(&further), state, "in mode {mode}: {}", world.action(&further).reason);
        assert_eq!(world.action(&further).proposal.ttl_seconds, Some(90), "for as long as the playbook says");
        if mode == Mode::Approve {
            let answer_by = world.action(&further).proposal.answer_by.unwrap();
            assert!(answer_by.minus(world.now) > micros(500), "people have time to answer");
        }
        // It is held to more by now, and falls silent.
        for _ in 0..3 {
            world.now = world.now.plus_seconds(60);
            world.window("camera-1", 0);
        }
        assert!(!world.action(&id).is_talking);
        assert!(world.action(&id).quiet_at.is_some());
    }
}

/// In which the first camera is seen.
fn a_minute_goes_by(world: &mut World, seen: impl FnOnce(Sighting) -> Sighting) {
    let start = world.now;
    world.now = start.plus_seconds(60);
    world.sight(&seen(Sighting::silent("camera-1".into(), start, world.now)));
}

/// Whoever is shut out of the network and goes on there is not silent because its name is a broker's too; and what others send to
/// it in vain is not its own talk.
#[test]
fn said_done_and_the_device_still_talked_past_the_broker() {
    for (witness, answers, is_talking) in
        [(Witness::Messages, 900, false), (Witness::Traffic, 900, true), (Witness::Traffic, 0, false)]
    {
        let mut world = World::new();
        world.gateways[0].about.abilities.iter_mut().for_each(|ability| ability.witness = witness);
        let mut world = world.begun();
        let id = world.hit("camera-1", &plan(Level::Quarantine));
        world.now = world.now.plus_seconds(10);
        for _ in 0..5 {
            a_minute_goes_by(&mut world, |silent| Sighting {
                flows: 500,
                bytes_in: 5_000_000,
                bytes_out: answers,
                ..silent
            });
        }
        let action = world.action(&id);
        assert_eq!((action.is_talking, action.quiet_at.is_some()), (is_talking, !is_talking), "{witness:?}");
    }
}

#[test]
fn what_follows_talking_passes_the_same_guard_rails() {
    // Disable is the broker's; it is only to be done in mode observe, or by two people.
    for four_eyes in [false, true] {
        let mut world = World::new();
        if four_eyes {
            world.config.four_eyes.push(Level::Disable);
        } else {
            world.gateway_modes[0] = Mode::Observe;
        }
        let mut world = world.begun();
        let mut plan = plan(Level::BlockPeers);
        plan.level = Level::Quarantine;
        plan.gateway = Some("firewall".into());
        plan.if_still_talking = Some(Level::Disable);
        world.hit("camera-1", &plan);
        world.now = world.now.plus_seconds(10);
        for _ in 0..3 {
            a_minute_goes_by(&mut world, |silent| Sighting { messages: 1, flows: 1, bytes_in: 1, ..silent });
        }
        world.turn();
        let further = action_id("camera-1", "incident camera-1", Level::Disable);
        assert_eq!(world.state(&further), State::Proposed);
        world.pass(100);
        assert_eq!(world.broker().site().count(Call::Apply), 0);
        if four_eyes {
            assert_eq!(world.command("anna", Command::Approve { action_id: further.clone() }), None);
            assert!(world.command("anna", Command::Approve { action_id: further.clone() }).is_some());
            world.turn();
            assert_eq!(world.state(&further), State::Proposed, "one person is not two");
            assert_eq!(world.command("otto", Command::Approve { action_id: further.clone() }), None);
            world.turn();
            assert_eq!(world.state(&further), State::Verified);
        }
    }
}

#[test]
fn two_that_kept_talking_lead_to_one_step() {
    let mut world = World::new().begun();
    let further = |level| {
        let mut plan = plan(level);
        plan.if_still_talking = Some(Level::RotateCredentials);
        plan
    };
    // Whoever is disabled already is not quarantined any more: one after the other.
    world.hit("camera-1", &further(Level::Quarantine));
    world.hit("camera-1", &further(Level::Disable));
    world.pass(30);
    let id = |level| action_id("camera-1", "incident camera-1", level);
    for level in [Level::Quarantine, Level::Disable] {
        assert_eq!(world.state(&id(level)), State::Verified);
    }
    for _ in 0..5 {
        world.now = world.now.plus_seconds(60);
        world.window("camera-1", 9);
    }
    assert!(world.action(&id(Level::Quarantine)).is_talking && world.action(&id(Level::Disable)).is_talking);
    let proposed = |entry: &Entry| matches!(&entry.body, Body::Proposed(it) if it.level == Level::RotateCredentials);
    assert_eq!(world.entries().iter().filter(|entry| proposed(entry)).count(), 1);
}

#[test]
fn the_ban_fed_the_detector_that_banned() {
    let mut world = World::new().begun();
    let id = world.hit("camera-1", &plan(Level::Quarantine));
    let entries = world.entries().len();
    let mut silent = world.finding("camera-1");
    silent.kind = FindingKind::Fault;
    silent.incident_id = "incident of silence".to_owned();
    let plans = [plan(Level::Notify), plan(Level::Disable)];
    for _ in 0..30 {
        world.now = world.now.plus_seconds(60);
        silent.emitted_at = world.now;
        (silent.window_start, silent.window_end) = (world.now.plus_seconds(-60), world.now);
        world.find(&silent, &plans);
        world.window("camera-1", 0);
    }
    let said: Vec<_> = world.entries().split_off(entries);
    assert_eq!(said.len(), 1, "that it went quiet, and nothing else: {said:?}");
    assert!(world.action(&id).quiet_at.is_some());

    // What it did while it was held is not held against it when it is free either; what it does after is.
    world.command("anna", Command::Release { action_id: id.clone(), reason: "fine".to_owned() });
    world.pass(15);
    assert_eq!(world.state(&id), State::Released);
    world.find(&silent, &plans);
    assert_eq!(world.book().actions().count(), 1);
    world.now = world.now.plus_seconds(300);
    silent.emitted_at = world.now;
    (silent.window_start, silent.window_end) = (world.now.plus_seconds(-120), world.now);
    world.find(&silent, &plans);
    assert_eq!(world.book().actions().count(), 3);
}

#[test]
fn release_removed_somebody_elses_block() {
    // It was there before.
    let mut world = World::new().begun();
    world.broker().site().block("camera-1", "the night shift");
    let id = world.hit("camera-1", &plan(Level::Quarantine));
    world.pass(60);
    assert!(world.state(&id).is_final());
    assert!(world.broker().site().is_held("camera-1"));
    assert!(world.text().contains("the night shift"));

    // It came while ours was in force, or in place of it.
    for replaces in [false, true] {
        let mut world = World::new().begun();
        let id = world.hit("camera-1", &plan(Level::Quarantine));
        assert_eq!(world.state(&id), State::Verified);
        if replaces {
            world.broker().site().holds.clear();
        }
        world.broker().site().block("camera-1", "the night shift");
        assert_eq!(world.command("anna", Command::Release { action_id: id.clone(), reason: "fine".to_owned() }), None);
        world.pass(60);
        assert_eq!(world.state(&id), State::Released);
        let site = world.broker().site();
        assert_eq!(site.holds.len(), 1);
        assert_eq!(site.holds[0].by, "the night shift");
    }
}

#[test]
fn a_gateway_down_for_an_hour() {
    let mut world = World::new().begun();
    world.broker().site().fault = Some(Fault::Unreachable);
    let mut only = plan(Level::Quarantine);
    only.gateway = Some("broker".into());
    let late = world.hit("camera-1", &only);
    world.pass(3_600);
    assert_eq!(world.state(&late), State::Applying);
    let tried = world.broker().site().count(Call::Apply);
    assert!((12..60).contains(&tried), "it was tried {tried} times in an hour");
    world.broker().site().fault = None;
    world.pass(300);
    assert_eq!(world.state(&late), State::Verified, "it did not come back by itself");

    // Whoever is released while it is down is free when it is back, and not said to be before.
    world.broker().site().fault = Some(Fault::Unreachable);
    world.command("anna", Command::Release { action_id: late.clone(), reason: "fine".to_owned() });
    world.pass(3_600);
    assert_eq!(world.state(&late), State::Releasing);
    world.broker().site().fault = None;
    world.pass(300);
    assert_eq!(world.state(&late), State::Released);
    assert!(world.broker().site().holds.is_empty());

    // Longer than anybody has patience: given up, and what may have come through is taken back.
    world.broker().site().fault = Some(Fault::LosesAnswers);
    let id = world.hit("camera-2", &only);
    world.config.give_up_seconds = 600;
    world.begin();
    assert!(world.broker().site().is_held("camera-2"));
    world.pass(595);
    assert!(world.broker().site().is_held("camera-2"));
    world.broker().site().fault = Some(Fault::Unreachable);
    world.pass(100);
    assert!(world.broker().site().is_held("camera-2"));
    assert_eq!(world.state(&id), State::Releasing);
    world.broker().site().fault = None;
    world.pass(400);
    assert_eq!(world.state(&id), State::Failed);
    assert!(world.broker().site().holds.is_empty(), "given up, and left cut off");
}

#[test]
fn it_asked_for_patience_and_got_it() {
    let mut world = World::new().begun();
    world.broker().site().fault = Some(Fault::Busy(Duration::from_secs(90)));
    let id = world.hit("camera-1", &plan(Level::Quarantine));
    world.pass(89);
    assert_eq!(world.broker().site().count(Call::Apply), 1);
    world.broker().site().fault = None;
    world.pass(2);
    assert_eq!(world.state(&id), State::Verified);
}

#[test]
fn a_call_that_came_through_late_does_not_leave_the_device_cut_off() {
    let mut world = World::new().begun();
    world.broker().site().fault = Some(Fault::IsLate(TIME_LIMIT - Duration::from_secs(1)));
    let id = world.hit("camera-1", &plan(Level::Quarantine));
    assert_eq!(world.state(&id), State::Applying);
    world.broker().site().fault = None;
    world.command("anna", Command::Release { action_id: id.clone(), reason: "fine".to_owned() });
    world.turn();
    assert_eq!(world.state(&id), State::Releasing, "nothing is there yet, and that says nothing");
    world.pass(60);
    assert_eq!(world.state(&id), State::Released);
    assert!(world.broker().site().holds.is_empty());
}

#[test]
fn a_session_that_was_ended_is_not_ended_again() {
    let mut world = World::new().begun();
    let id = world.hit("camera-1", &plan(Level::TerminateSession));
    assert_eq!(world.state(&id), State::Released);
    world.pass(300);
    assert_eq!(world.broker().site().count(Call::Apply), 1);
    assert_eq!(world.broker().site().count(Call::Undo), 0);
}

#[test]
fn a_connector_that_panics_is_a_gateway_that_does_not_answer() {
    let mut world = World::new().begun();
    world.broker().site().fault = Some(Fault::Panics);
    let id = world.hit("camera-1", &plan(Level::Quarantine));
    assert_eq!(world.state(&id), State::Applying);
    world.broker().site().fault = None;
    world.pass(5);
    assert_eq!(world.state(&id), State::Verified);
}

#[test]
fn a_gateway_that_refuses_is_followed_by_the_next_unless_it_may_hold_something() {
    let mut world = World::new().begun();
    world.broker().site().fault = Some(Fault::Refuses);
    let id = world.hit("camera-1", &plan(Level::Quarantine));
    assert_eq!((world.state(&id), world.action(&id).gateway.as_str()), (State::Verified, "firewall"));

    let mut world = World::new().begun();
    world.broker().site().fault = Some(Fault::LosesAnswers);
    let id = world.hit("camera-1", &plan(Level::Quarantine));
    world.broker().site().fault = Some(Fault::Refuses);
    world.pass(3);
    assert_eq!(world.state(&id), State::Releasing, "it is held there, whatever is said now");
    world.broker().site().fault = None;
    world.pass(300);
    assert_eq!(world.state(&id), State::Failed);
    assert!(world.gateways.iter().all(|keeper| keeper.site().holds.is_empty()));
}

#[test]
fn a_gateway_that_could_not_say_once_is_asked_again() {
    let mut world = World::new().begun();
    world.broker().site().cannot_say = true;
    let id = world.hit("camera-1", &plan(Level::Quarantine));
    world.pass(30);
    assert_eq!((world.state(&id), world.broker().site().count(Call::ReadBack)), (State::Applied, 1));
    world.broker().site().cannot_say = false;
    world.pass(31);
    assert_eq!((world.state(&id), world.broker().site().count(Call::ReadBack)), (State::Verified, 2));
}

#[test]
fn who_asked_for_a_week_of_patience_left_a_device_cut_off() {
    let mut world = World::new().begun();
    let id = world.hit("camera-1", &plan(Level::Quarantine));
    world.broker().site().fault = Some(Fault::Busy(Duration::from_secs(604_800)));
    assert_eq!(world.command("anna", Command::Release { action_id: id.clone(), reason: "fine".to_owned() }), None);
    world.turn();
    world.broker().site().fault = None;
    world.pass(3_602);
    assert_eq!(world.state(&id), State::Released);
}
