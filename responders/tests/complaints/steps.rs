//! Steps of a playbook, one after the other: what comes of those that follow when one fails, and who is asked.

use fleet::{Level, Mode, State};
use responders::engine::due::Call;
use responders::engine::find::{Plan, action_id};
use responders::journal::entry::{Command, ModeOf};

use crate::gateway::Fault;
use crate::world::{BROKER, World, plan};

/// At the firewall, and only then at the broker; a ticket at last.
fn steps(stops: bool) -> [Plan; 3] {
    let first = Plan { stops, tries_others: false, ..plan(Level::Throttle) };
    let second = Plan { gateway: Some(BROKER.into()), ..plan(Level::Disable) };
    [first, second, Plan { ttl_seconds: None, ..plan(Level::Ticket) }]
}

fn found(world: &mut World, plans: &[Plan]) -> [String; 3] {
    let finding = world.finding("camera-1");
    world.find(&finding, plans);
    world.turn();
    [0, 1, 2].map(|at| action_id("camera-1", &finding.incident_id, plans[at].level))
}

#[test]
fn a_step_failed_and_those_that_follow_were_taken_all_the_same() {
    for stops in [false, true] {
        let mut world = World::new().begun();
        world.firewall().site().fault = Some(Fault::Refuses);
        let [first, second, third] = found(&mut world, &steps(stops));
        assert_eq!(world.state(&first), State::Failed);
        let (of_second, of_third) =
            if stops { (State::Refused, State::Refused) } else { (State::Verified, State::Approved) };
        assert_eq!((world.state(&second), world.state(&third)), (of_second, of_third), "stops: {stops}");
        assert_eq!(world.broker().site().count(Call::Apply), usize::from(!stops));
        assert_eq!(world.action(&second).reason.contains("its playbook stops there"), stops);
    }

    // Forbidden by a guard-rail, at once; and it is said once, however many windows follow.
    let mut world = World::new();
    world.config.never.devices.push("camera-1".into());
    let mut world = world.begun();
    let [first, second, third] = found(&mut world, &steps(true));
    assert_eq!([&first, &second, &third].map(|id| world.state(id)), [State::Refused; 3]);
    let entries = world.entries().len();
    for _ in 0..3 {
        world.now = world.now.plus_seconds(60);
        found(&mut world, &steps(true));
    }
    assert_eq!(world.entries().len(), entries, "the same is said again");
    assert!(world.broker().site().calls.is_empty());
}

#[test]
fn the_next_step_waits_until_the_one_before_it_holds() {
    let mut world = World::new().begun();
    world.firewall().site().fault = Some(Fault::Unreachable);
    let [first, second, third] = found(&mut world, &steps(true));
    world.pass(20);
    let states = |world: &World| [&first, &second, &third].map(|id| world.state(id));
    assert_eq!(states(&world), [State::Applying, State::Proposed, State::Proposed]);
    // What waits is no torn write.
    world.kill();
    world.begin();
    world.pass(20);
    assert_eq!(states(&world), [State::Applying, State::Proposed, State::Proposed]);
    assert!(world.broker().site().calls.is_empty());
    world.firewall().site().fault = None;
    world.pass(60);
    assert_eq!(states(&world), [State::Verified, State::Verified, State::Approved]);

    // People say no to the first: the second was not asked for alone.
    let mut world = World::new();
    world.config.mode = Mode::Approve;
    let mut world = world.begun();
    let [first, second, _] = found(&mut world, &steps(true));
    assert_eq!(world.command("anna", Command::Approve { action_id: second.clone() }), None);
    world.pass(5);
    assert_eq!(world.state(&second), State::Approved, "it waits");
    assert!(world.broker().site().calls.is_empty());
    assert_eq!(world.command("anna", Command::Deny { action_id: first, reason: "no".to_owned() }), None);
    world.turn();
    assert_eq!(world.state(&second), State::Refused);
}

#[test]
fn a_dry_run_says_all_steps_and_takes_none() {
    let mut world = World::new();
    world.config.mode = Mode::Observe;
    let mut world = world.begun();
    let [first, second, third] = found(&mut world, &steps(true));
    assert_eq!(
        [&first, &second, &third].map(|id| world.state(id)),
        [State::Proposed, State::Proposed, State::Approved]
    );
    // The gateway of the first alone is only watched: the second is not done without it.
    let mut world = World::new();
    world.gateway_modes[1] = Mode::Observe;
    let mut world = world.begun();
    let [_, second, _] = found(&mut world, &steps(true));
    assert_eq!(world.state(&second), State::Refused);
    assert!(world.broker().site().calls.is_empty());
}

#[test]
fn a_mode_that_was_set_asked_nobody_about_what_people_are_always_asked_about() {
    let mut world = World::new().begun();
    let auto = Command::Mode { of: ModeOf::Playbook("test".into()), mode: Mode::Auto };
    assert_eq!(world.command("anna", auto), None);
    let asked = Plan { ask_for: vec![Level::Disable], ask: vec!["shift-lead".to_owned()], ..plan(Level::Disable) };
    let id = world.hit("camera-1", &asked);
    assert_eq!(world.state(&id), State::Proposed);
    assert!(world.action(&id).reason.ends_with("asked: shift-lead"), "{}", world.action(&id).reason);
    assert!(world.broker().site().calls.is_empty());

    // Nor where the device kept talking after a milder one.
    let milder =
        Plan { ask_for: vec![Level::Disable], if_still_talking: Some(Level::Disable), ..plan(Level::Quarantine) };
    let id = world.hit("camera-2", &milder);
    assert_eq!(world.state(&id), State::Verified);
    for _ in 0..4 {
        world.pass(70);
        world.window("camera-2", 9);
    }
    let further = action_id("camera-2", "incident camera-2", Level::Disable);
    assert_eq!(world.state(&further), State::Proposed);
}
