//! Approvals, denials, releases, stops: who said what, and when.

use fleet::{Level, Mode, State};
use responders::engine::due::Call;
use responders::journal::entry::{Command, ModeOf, Request, Verdict};

use crate::gateway::Fault;
use crate::world::{World, plan};

fn asking() -> World {
    let mut world = World::new();
    world.config.mode = Mode::Approve;
    world.begun()
}

fn approve(id: &str) -> Command {
    Command::Approve { action_id: id.to_owned() }
}

#[test]
fn approval_answered_late_was_carried_out() {
    // After the time people had.
    let mut world = asking();
    let id = world.hit("camera-1", &plan(Level::Quarantine));
    assert_eq!(world.state(&id), State::Proposed);
    world.now = world.now.plus_seconds(601);
    assert!(world.command("anna", approve(&id)).unwrap().contains("had to come by"));
    world.pass(10);
    assert_eq!(world.state(&id), State::Expired);
    assert!(world.command("anna", approve(&id)).is_some());
    world.pass(10);
    assert_eq!(world.broker().site().count(Call::Apply), 0);

    // Said in time, and a long time on its way.
    let mut world = asking();
    let id = world.hit("camera-1", &plan(Level::Quarantine));
    let issued_at = world.now.plus_seconds(1);
    for (seconds, deadline) in [(700, 60), (1_000, 10_000)] {
        let request = Request {
            command_id: format!("after {seconds}"),
            by: "anna".into(),
            issued_at,
            deadline: issued_at.plus_seconds(deadline),
            note: String::new(),
            command: approve(&id),
        };
        let now = issued_at.plus_seconds(seconds);
        world.life().command(now, &request, None).unwrap();
        assert!(world.book().outcome(&request.command_id).unwrap().is_some());
    }

    // By who was not there at the time: the process.
    let mut world = asking();
    let id = world.hit("camera-1", &plan(Level::Quarantine));
    world.kill();
    world.now = world.now.plus_seconds(601);
    world.begin();
    assert!(world.command("anna", approve(&id)).is_some());
    world.pass(10);
    assert_eq!(world.state(&id), State::Expired);

    // Approved, and it could not begin for so long that it is another day.
    let mut world = asking();
    let stop = Command::Stop { on: true, reason: "maintenance".to_owned() };
    assert_eq!(world.command("anna", stop), None);
    let id = world.hit("camera-1", &plan(Level::Quarantine));
    assert_eq!(world.command("anna", approve(&id)), None);
    world.kill();
    world.now = world.now.plus_seconds(2 * 3_600);
    world.begin();
    assert_eq!(world.command("anna", Command::Stop { on: false, reason: String::new() }), None);
    world.pass(10);
    assert_eq!(world.state(&id), State::Expired);
    assert_eq!(world.broker().site().count(Call::Apply), 0);
}

#[test]
fn two_people_are_two() {
    let mut world = World::new();
    world.config.four_eyes.push(Level::Quarantine);
    let mut world = world.begun();
    let id = world.hit("camera-1", &plan(Level::Quarantine));
    assert_eq!(world.state(&id), State::Proposed, "in mode auto as well");
    assert_eq!(world.command("anna", approve(&id)), None);
    assert!(world.command("anna", approve(&id)).unwrap().contains("2 people"));
    world.kill();
    world.begin();
    assert!(world.command("anna", approve(&id)).is_some(), "who agreed before a restart is known");
    world.pass(5);
    assert_eq!(world.state(&id), State::Proposed);
    assert_eq!(world.command("otto", approve(&id)), None);
    world.pass(5);
    assert_eq!(world.state(&id), State::Verified);
    // A level that was not chosen takes nobody.
    let id = world.hit("camera-2", &plan(Level::Throttle));
    assert_eq!(world.state(&id), State::Verified);
}

#[test]
fn the_same_command_twice_is_one() {
    let mut world = asking();
    let id = world.hit("camera-1", &plan(Level::Quarantine));
    let request = Request {
        command_id: "one".to_owned(),
        by: "anna".into(),
        issued_at: world.now,
        deadline: world.now.plus_seconds(60),
        note: "asked by mail".to_owned(),
        command: Command::Deny { action_id: id.clone(), reason: "not mine".to_owned() },
    };
    let now = world.now;
    for offset in [Some(7), Some(7), None] {
        world.life().command(now, &request, offset).unwrap();
    }
    let old = Request { command_id: "before".to_owned(), ..request };
    world.life().command(now, &old, Some(3)).unwrap();
    assert_eq!(world.text().matches("\"kind\":\"commanded\"").count(), 1);
    assert!(world.text().contains("asked by mail"), "why, for the journal");
    assert_eq!(world.state(&id), State::Denied);
}

#[test]
fn stopped_by_command_or_by_file_nothing_is_applied_and_release_goes_on() {
    for by_file in [false, true] {
        let mut world = World::new();
        let file = world.folder.path().join("stop");
        world.config.stop_file = Some(file.clone());
        let mut world = world.begun();
        let held = world.hit("camera-1", &plan(Level::Quarantine));
        world.broker().site().fault = Some(Fault::Unreachable);
        let trying = world.hit("camera-2", &plan(Level::Quarantine));
        world.broker().site().fault = None;
        let set = |world: &mut World, on: bool| {
            if !by_file {
                assert_eq!(world.command("anna", Command::Stop { on, reason: "look first".to_owned() }), None);
            } else if on {
                std::fs::write(&file, "").unwrap();
            } else {
                std::fs::remove_file(&file).unwrap();
            }
        };
        set(&mut world, true);
        let applied = world.broker().site().count(Call::Apply);
        let waiting = world.hit("camera-3", &plan(Level::Quarantine));
        world.command("anna", Command::Release { action_id: held.clone(), reason: "fine".to_owned() });
        world.pass(30);
        world.kill();
        world.begin();
        world.pass(30);
        assert_eq!(world.broker().site().count(Call::Apply), applied, "stopped, and it went on");
        assert_eq!(world.state(&held), State::Released, "stopped, and whoever is cut off stays so");
        assert_eq!((world.state(&trying), world.state(&waiting)), (State::Applying, State::Approved));
        set(&mut world, false);
        world.pass(10);
        assert_eq!((world.state(&trying), world.state(&waiting)), (State::Verified, State::Verified));
    }
}

#[test]
fn a_verdict_frees_who_is_held_and_who_is_about_to_be() {
    let mut world = World::new().begun();
    let held = world.hit("camera-1", &plan(Level::Quarantine));
    assert_eq!(world.command("anna", Command::Stop { on: true, reason: "look".to_owned() }), None);
    let mut finding = world.finding("camera-1");
    finding.emitted_at = finding.emitted_at.plus_seconds(1);
    world.find(&finding, &[plan(Level::Disable)]);
    let waiting = responders::engine::find::action_id("camera-1", &finding.incident_id, Level::Disable);
    assert_eq!(world.state(&waiting), State::Approved);
    let verdict = |word: &str| {
        Command::Verdict(Box::new(Verdict {
            incident_id: "incident camera-1".to_owned(),
            finding_id: String::new(),
            verdict: word.into(),
            note: String::new(),
            reach: None,
        }))
    };
    assert_eq!(world.command("anna", verdict("true")), None);
    world.pass(5);
    assert_eq!((world.state(&held), world.state(&waiting)), (State::Verified, State::Approved));
    assert_eq!(world.command("anna", verdict("benign_change")), None);
    assert_eq!(world.command("anna", Command::Stop { on: false, reason: String::new() }), None);
    world.pass(20);
    assert_eq!((world.state(&held), world.state(&waiting)), (State::Released, State::Denied));
    assert!(world.broker().site().holds.is_empty());
}

#[test]
fn released_before_it_began_is_denied() {
    let mut world = asking();
    let id = world.hit("camera-1", &plan(Level::Quarantine));
    assert_eq!(world.command("anna", Command::Release { action_id: id.clone(), reason: "fine".to_owned() }), None);
    assert_eq!(world.state(&id), State::Denied);
    assert!(world.command("otto", approve(&id)).is_some());
}

#[test]
fn an_extension_is_told_to_who_ends_it_by_itself() {
    let mut world = World::of_addresses().begun();
    let mut short = plan(Level::Quarantine);
    short.ttl_seconds = Some(300);
    let id = world.hit("camera-1", &short);
    let until = world.now.plus_seconds(900);
    let extend = |until| Command::Extend { action_id: id.clone(), until };
    assert!(world.command("anna", extend(world.now)).is_some(), "that is past");
    for _ in 0..6 {
        assert_eq!(world.command("anna", extend(until)), None);
        world.turn();
    }
    assert_eq!((world.state(&id), world.action(&id).repairs), (State::Verified, 0), "to extend is not to repair");
    world.pass(600);
    assert_eq!(world.state(&id), State::Verified);
    assert_eq!(world.firewall().site().holds.first().map(|hold| hold.until), Some(Some(until)));
    world.pass(310);
    assert_eq!(world.state(&id), State::Released);
    assert!(world.command("anna", extend(world.now.plus_seconds(60))).is_some());

    // Where it cannot be told, it is not promised.
    let id = world.hit("camera-2", &short);
    world.command("anna", Command::Mode { of: ModeOf::All, mode: Mode::Observe });
    let command = Command::Extend { action_id: id.clone(), until: world.now.plus_seconds(900) };
    assert!(world.command("anna", command).is_some());
    world.pass(60);
    assert_eq!(world.state(&id), State::Verified, "it is held as long as was said");
}

#[test]
fn extended_while_the_gateway_is_asked_it_is_asked_again() {
    let mut world = World::of_addresses();
    world.in_threads = true;
    let mut world = world.begun();
    let mut short = plan(Level::Quarantine);
    short.ttl_seconds = Some(300);
    let firewall = world.firewall().clone();
    let held_up = firewall.site();
    // The call is sent, and hangs.
    let finding = world.finding("camera-1");
    world.find(&finding, &[short]);
    let id = responders::engine::find::action_id("camera-1", &finding.incident_id, Level::Quarantine);
    let now = world.now;
    let town = crate::town::Town::with(&[("camera", 1)]);
    world.life().turn(now, std::time::Duration::from_millis(20), &town).unwrap();
    assert_eq!(world.state(&id), State::Applying);
    let until = now.plus_seconds(900);
    assert_eq!(world.command("anna", Command::Extend { action_id: id.clone(), until }), None);
    drop(held_up);
    world.turn_until(&id, State::Verified);
    assert_eq!(firewall.site().holds[0].until, Some(until));
}

#[test]
fn released_while_the_gateway_is_asked_it_is_taken_back_after() {
    let mut world = World::of_addresses();
    world.in_threads = true;
    let mut world = world.begun();
    let firewall = world.firewall().clone();
    let held_up = firewall.site();
    let finding = world.finding("camera-1");
    world.find(&finding, &[plan(Level::Quarantine)]);
    let id = responders::engine::find::action_id("camera-1", &finding.incident_id, Level::Quarantine);
    let now = world.now;
    let town = crate::town::Town::with(&[("camera", 1)]);
    world.life().turn(now, std::time::Duration::from_millis(20), &town).unwrap();
    firewall.wait_entered(1);
    assert_eq!(world.command("anna", Command::Release { action_id: id.clone(), reason: "fine".to_owned() }), None);
    world.life().turn(now, std::time::Duration::from_millis(20), &town).unwrap();
    assert_eq!(world.state(&id), State::Releasing);
    drop(held_up);
    world.turn_until(&id, State::Released);
    let site = firewall.site();
    assert!(site.holds.is_empty());
    let order: Vec<Call> = site.calls.iter().map(|(call, ..)| *call).collect();
    assert_eq!(order, [Call::Apply, Call::Undo, Call::ReadBack]);
}
