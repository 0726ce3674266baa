//! Rules of the loop nobody has complained about yet: probation, repeats, modes of several gateways, what is remembered.

use fleet::{Level, Mode, State};
use responders::engine::due::Call;
use responders::journal::entry::{Command, ModeOf};

use crate::gateway::Fault;
use crate::world::{BROKER, FIREWALL, World, micros, plan};

#[test]
fn after_its_release_a_device_is_on_probation_whatever_comes_of_the_next_finding() {
    let mut world = World::new().begun();
    let mut short = plan(Level::Quarantine);
    short.ttl_seconds = Some(60);
    let id = world.hit("camera-1", &short);
    assert!(!world.book().is_on_probation("camera-1", world.now, micros(3_600)), "it is held");
    world.pass(75);
    assert_eq!(world.state(&id), State::Released);
    assert!(world.book().is_on_probation("camera-1", world.now, micros(3_600)));
    assert!(!world.book().is_on_probation("camera-2", world.now, micros(3_600)));
    // Refused under the same id.
    world.config.never.devices.push("camera-1".into());
    world.begin();
    world.now = world.now.plus_seconds(200);
    world.hit("camera-1", &short);
    assert_eq!(world.state(&id), State::Refused);
    assert!(world.book().is_on_probation("camera-1", world.now, micros(3_600)));
    assert!(!world.book().is_on_probation("camera-1", world.now.plus_seconds(3_600), micros(3_600)));
}

#[test]
fn repeats_are_other_incidents_that_came_to_something() {
    let mut world = World::new().begun();
    for incident in 0..4 {
        let mut finding = world.finding("camera-1");
        finding.incident_id = format!("incident {incident}");
        world.find(&finding, &[plan(Level::Throttle)]);
        world.turn();
        let id = responders::engine::find::action_id("camera-1", &finding.incident_id, Level::Throttle);
        assert_eq!(world.state(&id), State::Verified);
        assert_eq!(world.book().repeats("camera-1", &finding.incident_id, world.now, micros(86_400)), incident);
        world.command("anna", Command::Release { action_id: id, reason: "fine".to_owned() });
        world.pass(60);
    }
    assert_eq!(world.book().repeats("camera-1", "next", world.now, micros(100)), 1);
    assert_eq!(world.book().repeats("camera-1", "next", world.now, micros(10)), 0);
}

#[test]
fn the_least_of_three_modes_holds_for_the_gateway_that_is_used() {
    // The first gateway cannot: its successor's own mode holds.
    for (second, state) in
        [(Mode::Observe, State::Failed), (Mode::Approve, State::Failed), (Mode::Auto, State::Verified)]
    {
        let mut world = World::new();
        world.gateway_modes[1] = second;
        let mut world = world.begun();
        world.broker().site().fault = Some(Fault::Refuses);
        let id = world.hit("camera-1", &plan(Level::Quarantine));
        assert_eq!(world.state(&id), state, "with the second in mode {second}");
        assert_eq!(world.firewall().site().count(Call::Apply), usize::from(second == Mode::Auto));
    }
    // The first goes by a name that cannot be used.
    let mut world = World::new();
    world.gateway_modes[1] = Mode::Approve;
    world.town.rename("camera-1", responders::gateways::Key::ClientId, Err("two devices use it"));
    let mut world = world.begun();
    let id = world.hit("camera-1", &plan(Level::Quarantine));
    assert_eq!(world.state(&id), State::Refused);
    assert!(world.firewall().site().calls.is_empty(), "without an approval");

    // Made stricter before it begins.
    let mut world = World::new().begun();
    world.command("anna", Command::Stop { on: true, reason: "look".to_owned() });
    let id = world.hit("camera-1", &plan(Level::Quarantine));
    world.command("anna", Command::Mode { of: ModeOf::Playbook("test".into()), mode: Mode::Approve });
    world.command("anna", Command::Stop { on: false, reason: String::new() });
    world.pass(5);
    assert_eq!(world.state(&id), State::Refused);
    world.now = world.now.plus_seconds(60);
    world.hit("camera-1", &plan(Level::Quarantine));
    assert_eq!(world.state(&id), State::Proposed, "the next finding asks");
}

#[test]
fn a_devices_own_gateways_are_asked_in_the_inventorys_order_and_nobody_else() {
    let own = |world: &mut World, names: &[&str]| {
        world.town.gateways.insert("camera-1".into(), names.iter().map(|name| (*name).into()).collect());
    };
    let asked = |world: &World, id: &str| world.action(id).proposal.gateways;
    // The configuration has the broker first, and the firewall is another site's: the inventory's word comes before both.
    let mut world = World::new();
    world.sites.insert(FIREWALL.into(), vec!["yard".into()]);
    own(&mut world, &[FIREWALL, BROKER]);
    let mut world = world.begun();
    let id = world.hit("camera-1", &plan(Level::Quarantine));
    assert_eq!((world.state(&id), asked(&world, &id)), (State::Verified, vec![FIREWALL.into(), BROKER.into()]));
    assert_eq!((world.firewall().site().count(Call::Apply), world.broker().site().count(Call::Apply)), (1, 0));
    // Of the device's own, those that can.
    let id = world.hit("camera-1", &plan(Level::Disable));
    assert_eq!((world.state(&id), asked(&world, &id)), (State::Verified, vec![BROKER.into()]));

    // Its own cannot, or are not configured: another that could, for all sites, is not asked.
    for names in [&[FIREWALL][..], &["switch"], &["switch", FIREWALL]] {
        let mut world = World::new();
        own(&mut world, names);
        let mut world = world.begun();
        let id = world.hit("camera-1", &plan(Level::Disable));
        assert_eq!((world.state(&id), asked(&world, &id)), (State::Refused, Vec::new()), "with {names:?}");
        let reason = world.action(&id).reason;
        assert!(reason.contains(&format!("`{}`", names.join(" "))) && reason.contains("disable"), "{reason}");
        assert!(world.broker().site().calls.is_empty() && world.firewall().site().calls.is_empty());
    }
}

#[test]
fn without_gateways_of_its_own_those_of_its_site_stand_for_a_device() {
    for (brokers, expected) in [
        (vec!["yard".into()], vec![FIREWALL.into()]),
        (vec!["yard".into(), "hall".into()], vec![BROKER.into(), FIREWALL.into()]),
    ] {
        let mut world = World::new();
        world.sites.insert(BROKER.into(), brokers);
        let mut world = world.begun();
        let id = world.hit("camera-1", &plan(Level::Quarantine));
        assert_eq!((world.state(&id), world.action(&id).proposal.gateways), (State::Verified, expected));
    }
    // The only one that could is another site's.
    let mut world = World::new();
    world.sites.insert(BROKER.into(), vec!["yard".into()]);
    let mut world = world.begun();
    let id = world.hit("camera-1", &plan(Level::Disable));
    assert_eq!(world.state(&id), State::Refused);
    assert!(world.action(&id).reason.contains("no gateway of device `camera-1`"), "{}", world.action(&id).reason);
}

#[test]
fn undone_by_somebody_else_it_is_repaired_so_often_and_no_more() {
    let mut world = World::new();
    (world.config.repairs, world.config.recheck_seconds) = (3, 30);
    let mut world = world.begun();
    let id = world.hit("camera-1", &plan(Level::Quarantine));
    for repairs in 1..=3 {
        world.broker().site().holds.clear();
        world.pass(31);
        assert_eq!((world.state(&id), world.action(&id).repairs), (State::Verified, repairs));
        assert!(world.broker().site().is_held("camera-1"));
    }
    world.broker().site().holds.clear();
    world.pass(31);
    assert_eq!(world.state(&id), State::Released);
    assert!(world.action(&id).reason.contains("left to people"));
}

#[test]
fn it_came_back_after_its_release_and_its_quiet_is_counted_anew() {
    let mut world = World::new().begun();
    let mut short = plan(Level::Quarantine);
    short.ttl_seconds = Some(600);
    for _ in 0..2 {
        world.now = world.now.plus_seconds(300);
        let id = world.hit("camera-1", &short);
        assert_eq!(world.state(&id), State::Verified);
        world.now = world.now.plus_seconds(10);
        for window in 1..=3 {
            world.now = world.now.plus_seconds(60);
            world.window("camera-1", 0);
            assert_eq!(world.action(&id).quiet_at.is_some(), window == 3);
            // The same window again is no more windows.
            world.window("camera-1", 0);
        }
        world.pass(600);
        assert_eq!(world.state(&id), State::Released);
    }
}

#[test]
fn words_and_dry_runs_are_not_carried_along_for_ever() {
    let mut world = World::new().begun();
    world.hit("camera-1", &plan(Level::Notify));
    world.command("anna", Command::Mode { of: ModeOf::All, mode: Mode::Observe });
    world.hit("camera-2", &plan(Level::Quarantine));
    assert_eq!(world.book().actions().count(), 2);
    assert_eq!(world.book().open().count(), 0);
    world.now = world.now.plus_seconds(15 * 86_400);
    world.turn();
    assert_eq!(world.book().actions().count(), 0);
}

#[test]
fn an_answer_is_kept_until_the_journal_takes_it() {
    let mut world = World::new().begun();
    let finding = world.finding("camera-1");
    let other = world.finding("camera-2");
    world.find(&finding, &[plan(Level::Quarantine)]);
    world.find(&other, &[plan(Level::Quarantine)]);
    // The disk is full from the first answer on, for a while.
    world.refuse_writes_after(2);
    assert!(world.try_turn().is_err());
    world.refuse_writes_after(0);
    for _ in 0..3 {
        world.now = world.now.plus_seconds(1);
        assert!(world.try_turn().is_err());
    }
    *world.full_after.lock().unwrap() = None;
    world.pass(3);
    assert!(world.book().actions().all(|action| action.state == State::Verified), "an answer was lost");
    assert_eq!(world.broker().site().count(Call::Apply), 2);
}
