//! Addresses: of whom is it, now.

use fleet::device::Standing;
use fleet::{Level, State};
use responders::engine::due::Call;
use responders::gateways::Key;
use responders::journal::entry::Command;

use crate::gateway::{Fault, TIME_LIMIT};
use crate::town::address;
use crate::world::{World, plan};

#[test]
fn acted_on_the_wrong_device_after_an_address_moved() {
    // Before anything was sent.
    let mut world = World::of_addresses().begun();
    world.town.rename("camera-1", Key::Ip, Err("10.0.0.1 has been meter-3's since 07:58"));
    let id = world.hit("camera-1", &plan(Level::Quarantine));
    assert_eq!(world.state(&id), State::Refused);
    assert!(world.action(&id).reason.contains("meter-3"), "{}", world.action(&id).reason);
    assert!(world.firewall().site().calls.is_empty(), "the gateway was reached");

    // While the gateway was away: what is tried again is not what was true at first.
    let mut world = World::of_addresses().begun();
    let (old, new) = (address("camera", 1), "10.0.99.1");
    world.firewall().site().fault = Some(Fault::Unreachable);
    let id = world.hit("camera-1", &plan(Level::Quarantine));
    assert_eq!(world.state(&id), State::Applying);
    world.pass(30);
    world.town.rename("camera-1", Key::Ip, Ok(new));
    world.firewall().site().fault = None;
    let tried = world.firewall().site().count(Call::Apply);
    world.pass(300);
    assert_eq!(world.firewall().site().count(Call::Apply), tried, "the address of somebody else was tried");
    assert!(!world.firewall().site().is_held(&old));
    assert_eq!(world.state(&id), State::Failed);

    // Nobody knows it any more when the gateway is back.
    let mut world = World::of_addresses().begun();
    world.firewall().site().fault = Some(Fault::Unreachable);
    let id = world.hit("camera-1", &plan(Level::Quarantine));
    world.town.stand("camera-1", Standing::Unknown);
    world.firewall().site().fault = None;
    world.pass(60);
    assert_eq!((world.state(&id), world.firewall().site().count(Call::Apply)), (State::Failed, 1));

    // In force: the address goes to somebody else, who must not be cut off with it.
    for now in [Ok(new), Err("it is meter-3's now")] {
        let mut world = World::of_addresses().begun();
        let id = world.hit("camera-1", &plan(Level::Quarantine));
        assert_eq!(world.state(&id), State::Verified);
        assert!(world.firewall().site().is_held(&old));
        world.town.rename("camera-1", Key::Ip, now);
        world.pass(1);
        assert!(!world.firewall().site().is_held(&old), "whoever has {old} now is cut off");
        assert_eq!(world.state(&id), State::Released);
    }

    // The inventory lost sight of it: that frees nobody.
    let mut world = World::of_addresses().begun();
    let id = world.hit("camera-1", &plan(Level::Quarantine));
    world.town.devices.remove("camera-1");
    world.town.names.remove("camera-1");
    world.pass(120);
    assert_eq!(world.state(&id), State::Verified);
    world.pass(4 * 3_600);
    assert_eq!(world.state(&id), State::Released, "its time is over all the same");
}

#[test]
fn one_address_shared_by_many_cut_everybody_off() {
    for is_standing in [true, false] {
        let mut world = World::of_addresses();
        if is_standing {
            world.town.stand("camera-1", Standing::Shared);
        } else {
            world.town.rename("camera-1", Key::Ip, Err("3 devices are behind 10.0.0.1"));
        }
        let mut world = world.begun();
        let id = world.hit("camera-1", &plan(Level::Quarantine));
        assert_eq!(world.state(&id), State::Refused);
        assert!(world.firewall().site().calls.is_empty());

        // It becomes so while it is held.
        let mut world = World::of_addresses().begun();
        let id = world.hit("camera-1", &plan(Level::Quarantine));
        assert_eq!(world.state(&id), State::Verified);
        if is_standing {
            world.town.stand("camera-1", Standing::Shared);
        } else {
            world.town.rename("camera-1", Key::Ip, Err("3 devices are behind 10.0.0.1"));
        }
        world.pass(1);
        assert_eq!(world.state(&id), State::Released, "everybody behind it is cut off");
        assert!(world.firewall().site().holds.is_empty());
    }
}

#[test]
fn the_gateways_own_address_those_of_others_and_this_machines_are_never_a_target() {
    let mut world = World::new();
    world.gateways[0].about.own = vec![(Key::Ip, address("camera", 2))];
    world.gateways[1].about.own = vec![(Key::Ip, address("camera", 1))];
    world.town.ours = vec![address("camera", 3)];
    let mut world = world.begun();
    for device in ["camera-1", "camera-2", "camera-3"] {
        let id = world.hit(device, &plan(Level::Quarantine));
        assert_eq!(world.state(&id), State::Refused, "{device}");
        assert!(world.action(&id).reason.contains("never a target"));
    }
    assert!(world.gateways.iter().all(|keeper| keeper.site().calls.is_empty()));
}

#[test]
fn an_allow_list_entry_did_not_release() {
    type List = fn(&mut responders::Config);
    let lists: [List; 4] = [
        |config| config.never.devices.push("camera-1".into()),
        |config| config.never.types.push("camera".into()),
        |config| config.never.sites.push("hall".into()),
        |config| config.never.segments.push("floor".into()),
    ];
    for list in lists {
        for (has_left, begins_anew) in [(false, true), (true, true), (false, false)] {
            let mut world = World::new().begun();
            let held = world.hit("camera-1", &plan(Level::Quarantine));
            assert_eq!(world.state(&held), State::Verified);
            list(&mut world.config);
            if has_left {
                world.town.devices.remove("camera-1");
            }
            if begins_anew {
                world.begin();
            } else {
                let never = world.config.never.clone();
                world.life().heed_never(never);
            }
            world.turn();
            world.pass(12);
            assert_eq!(world.state(&held), State::Released);
            assert!(world.gateways.iter().all(|keeper| keeper.site().holds.is_empty()));
            let finding = world.finding("camera-1");
            world.find(&finding, &[plan(Level::Quarantine)]);
            world.turn();
            assert!(world.book().open().next().is_none(), "it was restricted again");
        }
    }

    // What waits: for the stop to be lifted, or to be tried again.
    let mut world = World::new();
    let stop = world.folder.path().join("stop");
    world.config.stop_file = Some(stop.clone());
    let mut world = world.begun();
    std::fs::write(&stop, "").unwrap();
    let id = world.hit("camera-1", &plan(Level::Quarantine));
    assert_eq!(world.state(&id), State::Approved);
    world.config.never.devices.push("camera-1".into());
    world.begin();
    std::fs::remove_file(&stop).unwrap();
    world.turn();
    assert_eq!(world.state(&id), State::Refused);
    assert_eq!(world.broker().site().count(Call::Apply), 0);
}

#[test]
fn cut_off_by_one_address_it_went_on_by_another() {
    let (v4, v6) = (address("camera", 1), "fd00::1");
    let mut world = World::of_addresses().begun();
    world.town.further.insert("camera-1".into(), vec![(v6.into(), Ok(())), ("fd00::9".into(), Err("b's".to_owned()))]);
    let id = world.hit("camera-1", &plan(Level::Quarantine));
    assert_eq!(world.state(&id), State::Verified);
    let held = |world: &World| [v4.as_str(), v6].map(|address| world.firewall().site().is_held(address));
    assert_eq!(held(&world), [true; 2]);
    assert!(!world.firewall().site().is_held("fd00::9"), "somebody else has it");

    // One of the two is undone by somebody, and nobody knows of the hold but the journal.
    world.kill();
    world.firewall().site().holds.retain(|hold| hold.target != v6);
    world.begin();
    world.pass(3);
    assert_eq!((world.state(&id), held(&world)), (State::Verified, [true; 2]), "it was not repaired");

    let lets_go = Command::Release { action_id: id.clone(), reason: "fine".to_owned() };
    assert_eq!(world.command("anna", lets_go), None);
    world.turn();
    assert_eq!((world.state(&id), held(&world)), (State::Released, [false; 2]));

    // An address that goes to somebody else frees whoever has it now.
    let mut world = World::of_addresses().begun();
    world.town.further.insert("camera-1".into(), vec![(v6.into(), Ok(()))]);
    let id = world.hit("camera-1", &plan(Level::Quarantine));
    world.town.further.insert("camera-1".into(), vec![(v6.into(), Err("it is meter-3's now".to_owned()))]);
    world.pass(1);
    assert_eq!((world.state(&id), held(&world)), (State::Released, [false; 2]));
    assert!(world.action(&id).reason.contains("meter-3"));

    // What is ours is no target by any of its addresses.
    let mut world = World::of_addresses();
    world.gateways[0].about.own = vec![(Key::Ip, v6.into())];
    let mut world = world.begun();
    world.town.further.insert("camera-1".into(), vec![(v6.into(), Ok(()))]);
    let id = world.hit("camera-1", &plan(Level::Quarantine));
    assert_eq!((world.state(&id), held(&world)), (State::Refused, [false; 2]));
}

#[test]
fn an_address_that_the_gateway_cannot_be_told_of_is_named() {
    let (v4, v6) = (address("camera", 1), "fd00::1");
    let mut world = World::of_addresses().begun();
    world.town.further.insert("camera-1".into(), vec![(v6.into(), Ok(()))]);
    world.firewall().site().refuses.push(v6.to_owned());
    let id = world.hit("camera-1", &plan(Level::Quarantine));
    assert_eq!(world.state(&id), State::Verified);
    assert!(world.firewall().site().is_held(&v4));
    assert!(world.text().contains("the gateway took it, but not for `fd00::1`"), "nobody was told");
    assert_eq!(world.command("anna", Command::Release { action_id: id.clone(), reason: "fine".to_owned() }), None);
    world.pass(1);
    assert_eq!(world.state(&id), State::Released);
    assert!(!world.firewall().site().is_held(&v4));
}

#[test]
fn what_is_taken_back_for_one_address_is_not_gone_for_the_other() {
    let v6 = "fd00::1";
    let mut world = World::of_addresses().begun();
    world.town.further.insert("camera-1".into(), vec![(v6.into(), Ok(()))]);
    let id = world.hit("camera-1", &plan(Level::Quarantine));
    let of_v6 = world.firewall().site().holds.iter().find(|hold| hold.target == v6).cloned().unwrap();
    assert_eq!(world.command("anna", Command::Release { action_id: id.clone(), reason: "fine".to_owned() }), None);
    // Taken back, killed before it was read, and one of them stands there again.
    *world.fuse.lock().unwrap() = Some((1, false));
    assert!(world.try_turn().is_err());
    world.kill();
    world.firewall().site().holds.push(of_v6);
    world.begin();
    world.pass(30);
    assert_eq!(world.state(&id), State::Released);
    assert!(!world.firewall().site().is_held(v6));
}

/// Two or more addresses, of which the first is the one in its names.
fn has(world: &mut World, device: &str, addresses: &[&str]) {
    let further = addresses[1..].iter().map(|address| ((*address).into(), Ok(()))).collect();
    world.town.rename(device, Key::Ip, Ok(addresses[0]));
    world.town.further.insert(device.into(), further);
}

#[test]
fn what_came_through_late_for_one_of_its_addresses_is_taken_back() {
    let mut world = World::of_addresses().begun();
    has(&mut world, "camera-1", &["10.0.0.1", "fd00::1"]);
    let finding = world.finding("camera-1");
    world.find(&finding, &[plan(Level::Quarantine)]);
    world.firewall().site().fault = Some(Fault::IsLate(TIME_LIMIT * 9));
    *world.fuse.lock().unwrap() = Some((1, false));
    assert!(world.try_turn().is_err());
    world.kill();
    world.firewall().site().fault = None;
    world.begin();
    let id = responders::engine::find::action_id("camera-1", &finding.incident_id, Level::Quarantine);
    assert_eq!(world.command("anna", Command::Release { action_id: id.clone(), reason: "fine".to_owned() }), None);
    world.pass(40);
    assert_eq!(world.state(&id), State::Released);
    world.pass(51);
    let held: Vec<String> = world.firewall().site().holds.iter().map(|hold| hold.target.clone()).collect();
    assert_eq!(held, ["10.0.0.1"], "the one came through, the other was never sent");
    world.pass(60);
    assert_eq!(world.state(&id), State::Released);
    assert!(world.firewall().site().holds.is_empty(), "nobody holds it, and it is held");
}

#[test]
fn another_address_of_its_own_freed_it() {
    let mut world = World::of_addresses().begun();
    has(&mut world, "camera-1", &["fd00::1"]);
    let id = world.hit("camera-1", &plan(Level::Quarantine));
    has(&mut world, "camera-1", &["10.0.0.1", "fd00::1"]);
    world.pass(5);
    assert_eq!(world.state(&id), State::Verified, "{}", world.action(&id).reason);
    assert!(["fd00::1", "10.0.0.1"].iter().all(|address| world.firewall().site().is_held(address)));
    assert_eq!(world.action(&id).repairs, 0, "nobody undid it");
    world.pass(300);
    assert_eq!(world.firewall().site().count(Call::Apply), 3, "each was told once, the first twice");

    // One that it is refused for frees none.
    has(&mut world, "camera-1", &["10.0.0.1", "fd00::1", "fd00::3"]);
    world.firewall().site().is_full_for.push("fd00::3".to_owned());
    world.pass(300);
    assert_eq!(world.state(&id), State::Verified);
    assert!(world.text().contains("but not for `fd00::3`"));

    // One that it lost does.
    world.town.further.insert("camera-1".into(), vec![("fd00::1".into(), Err("it is meter-3's now".to_owned()))]);
    world.pass(5);
    assert_eq!(world.state(&id), State::Released);
    assert!(world.firewall().site().holds.is_empty());
}

#[test]
fn who_gets_an_address_that_it_left_is_not_cut_off() {
    let mut world = World::of_addresses().begun();
    has(&mut world, "camera-1", &["fd00::1"]);
    let id = world.hit("camera-1", &plan(Level::Quarantine));
    has(&mut world, "camera-1", &["10.0.0.1", "fd00::1"]);
    world.pass(5);
    assert!(world.firewall().site().is_held("10.0.0.1"));
    has(&mut world, "camera-1", &["10.0.0.2", "fd00::1"]);
    world.pass(30);
    assert_eq!(world.state(&id), State::Released);
    assert!(world.firewall().site().holds.is_empty());
}

#[test]
fn an_address_it_is_not_held_by_frees_nobody() {
    let mut world = World::new().begun();
    let id = world.hit("camera-1", &plan(Level::Quarantine));
    assert_eq!(world.action(&id).gateway, "broker", "which goes by client ids");
    world.town.ours = vec![address("camera", 1)];
    world.pass(30);
    assert_eq!(world.state(&id), State::Verified);
}

#[test]
fn who_got_the_address_of_somebody_let_go_is_not_let_go_with_it() {
    // Before anything stands there: what is taken back could be its.
    for (one, other) in [("camera-1", "camera-2"), ("camera-2", "camera-1")] {
        let mut world = World::of_addresses().begun();
        world.firewall().site().forgets_whose = true;
        has(&mut world, one, &["10.0.0.5"]);
        let former = world.hit(one, &plan(Level::Quarantine));
        has(&mut world, one, &["10.0.0.6"]);
        has(&mut world, other, &["10.0.0.5"]);
        world.firewall().site().fault = Some(Fault::Unreachable);
        let id = world.hit(other, &plan(Level::Quarantine));
        world.pass(5);
        assert_eq!(
            (world.state(&former), world.state(&id)),
            (State::Releasing, State::Approved),
            "two hands at one entry"
        );
        world.firewall().site().fault = None;
        world.pass(60);
        assert_eq!((world.state(&former), world.state(&id)), (State::Released, State::Verified));
        assert!(world.firewall().site().is_held("10.0.0.5"));
    }

    // Long after: whoever begins looks at what may have come through, and finds another's.
    let mut world = World::of_addresses().begun();
    world.firewall().site().forgets_whose = true;
    has(&mut world, "camera-1", &["10.0.0.5"]);
    let finding = world.finding("camera-1");
    world.find(&finding, &[plan(Level::Quarantine)]);
    *world.fuse.lock().unwrap() = Some((1, false));
    assert!(world.try_turn().is_err());
    world.kill();
    world.begin();
    let former = responders::engine::find::action_id("camera-1", &finding.incident_id, Level::Quarantine);
    assert_eq!(world.command("anna", Command::Release { action_id: former.clone(), reason: "fine".to_owned() }), None);
    world.pass(40);
    assert_eq!(world.state(&former), State::Released);
    world.kill();
    world.now = world.now.plus_seconds(3 * 86_400);
    has(&mut world, "camera-1", &["10.0.0.6"]);
    has(&mut world, "camera-2", &["10.0.0.5"]);
    world.begin();
    // It is looked at when this life begins, so this one has to be there before.
    *world.fuse.lock().unwrap() = None;
    world.firewall().site().is_silent_on.push("10.0.0.5".to_owned());
    world.turn();
    world.firewall().site().is_silent_on.clear();
    let id = world.hit("camera-2", &plan(Level::Quarantine));
    assert_eq!(world.state(&id), State::Verified);
    world.kill();
    world.begin();
    world.pass(200);
    assert_eq!((world.state(&former), world.state(&id)), (State::Released, State::Verified));
    assert!(world.firewall().site().is_held("10.0.0.5"), "it was taken back");
    assert!(!world.text().contains("came through after"), "it was another's");
}

#[test]
fn an_address_that_is_refused_once_it_is_held_is_not_forgotten() {
    let mut world = World::of_addresses().begun();
    has(&mut world, "camera-1", &["10.0.0.1", "fd00::1"]);
    let id = world.hit("camera-1", &plan(Level::Quarantine));
    world.firewall().site().is_full_for.push("fd00::1".to_owned());
    world.firewall().site().holds.retain(|hold| hold.target != "10.0.0.1");
    world.pass(300);
    assert!(world.text().contains("somebody else undid it: repaired"));
    assert_eq!(world.command("anna", Command::Release { action_id: id.clone(), reason: "fine".to_owned() }), None);
    world.pass(60);
    assert_eq!(world.state(&id), State::Released);
    assert!(world.firewall().site().holds.is_empty(), "one of its addresses is held, and nobody knows");
}

#[test]
fn what_came_to_be_our_own_is_let_go() {
    type Own = fn(&mut World);
    let owns: [Own; 2] = [
        |world| world.gateways[0].about.own = vec![(Key::Ip, "10.0.0.1".into())],
        |world| world.town.ours = vec!["10.0.0.1".into()],
    ];
    for own in owns {
        let mut world = World::of_addresses().begun();
        has(&mut world, "camera-1", &["fd00::1", "10.0.0.1"]);
        let id = world.hit("camera-1", &plan(Level::Quarantine));
        assert_eq!(world.state(&id), State::Verified);
        world.kill();
        own(&mut world);
        world.begin();
        world.pass(60);
        assert_eq!(world.state(&id), State::Released);
        assert!(world.action(&id).reason.contains("never a target") && world.firewall().site().holds.is_empty());
    }
}

#[test]
fn an_address_that_failed_does_not_lose_what_was_given_for_the_others() {
    for comes_back in [true, false] {
        let mut world = World::of_addresses().begun();
        has(&mut world, "camera-1", &["10.0.0.1", "fd00::1", "fd00::2", "fd00::3"]);
        world.firewall().site().is_silent_on.push("fd00::2".to_owned());
        let id = world.hit("camera-1", &plan(Level::Quarantine));
        assert_eq!(world.state(&id), State::Applying, "not all of it is done");
        assert!(world.action(&id).failure.unwrap().contains("`fd00::2`: nobody answers"));
        let given = world.action(&id).receipt.expect("what was given is kept");
        for address in ["fd00::1", "fd00::3"] {
            assert_eq!(given["addresses"]["further"][address], serde_json::json!({}), "{given}");
            assert!(world.firewall().site().is_held(address));
        }
        world.kill();
        world.begin();
        if comes_back {
            world.firewall().site().is_silent_on.clear();
            let before = world.firewall().site().calls.len();
            world.pass(10);
            assert_eq!(world.state(&id), State::Verified);
            assert!(world.firewall().site().is_held("fd00::2"));
            let tried: Vec<String> =
                world.firewall().site().calls[before..].iter().take(2).map(|(_, _, to)| to.clone()).collect();
            assert_eq!(tried, ["10.0.0.1", "fd00::2"], "time may not suffice for all: this one comes first");
            assert!(!world.action(&id).receipt.unwrap().to_string().contains("nobody answers"));
        } else {
            // Tried for as long as any other, and then nothing of it is left.
            world.pass(600);
            assert_eq!(world.state(&id), State::Applying);
            world.firewall().site().is_silent_on.clear();
            world.firewall().site().refuses.push("fd00::2".to_owned());
            world.pass(400);
            assert_eq!(world.state(&id), State::Verified);
        }
        assert_eq!(world.command("anna", Command::Release { action_id: id.clone(), reason: "fine".to_owned() }), None);
        world.pass(30);
        assert_eq!(world.state(&id), State::Released);
        assert!(world.firewall().site().holds.is_empty());
    }
}
