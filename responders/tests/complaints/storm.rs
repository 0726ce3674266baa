//! Many findings at once: how far it goes by itself.

use fleet::{Confidence, FindingKind, Level, Mode, Scope, State};
use responders::journal::entry::{Command, ModeOf};

use crate::world::{World, plan};

fn held(world: &World) -> usize {
    world.gateways.iter().map(|keeper| keeper.site().holds.len()).sum()
}

#[test]
fn a_storm_of_findings_quarantined_half_the_fleet() {
    type Cap = fn(&mut responders::Config);
    // 40 meters and 8 cameras, all in one hall.
    let caps: [(&str, &str, Cap, usize); 10] = [
        ("type, count", "type `meter`", |config| config.caps.type_devices = 4, 4),
        ("type, share", "type `meter`", |config| (config.caps.type_devices, config.caps.type_share) = (0, 0.2), 8),
        ("site, count", "site `hall`", |config| config.caps.site_devices = 6, 6),
        ("site, share", "site `hall`", |config| (config.caps.site_devices, config.caps.site_share) = (0, 0.125), 6),
        ("gateway, count", "gateway `broker`", |config| config.caps.gateway_devices = 5, 5),
        (
            "gateway, share",
            "gateway `broker`",
            |config| (config.caps.gateway_devices, config.caps.gateway_share) = (2, 0.15),
            7,
        ),
        ("hour, count", "in one hour", |config| config.caps.hour_devices = 3, 3),
        ("hour, share", "in one hour", |config| (config.caps.hour_devices, config.caps.hour_share) = (2, 0.15), 7),
        ("fleet, whatever counts say", "the whole fleet", |config| config.caps.fleet_share = 0.125, 6),
        ("fleet, a small one", "the whole fleet", |config| config.caps.fleet_share = 0.01, 1),
    ];
    for (name, whose, cap, most) in caps {
        let mut world = World::new();
        world.config.caps.type_share = 0.0;
        world.config.caps.site_share = 0.0;
        cap(&mut world.config);
        let mut world = world.begun();
        for round in 0..3 {
            for meter in 1..=40 {
                let mut finding = world.finding(&format!("meter-{meter}"));
                finding.incident_id = format!("{round} {meter}");
                world.find(&finding, &[plan(Level::Quarantine)]);
            }
            world.pass(5);
            assert_eq!(held(&world), most, "{name}");
            if round == 1 {
                world.kill();
                world.begin();
            }
        }
        let text = world.text();
        let refused = text.lines().filter(|line| line.contains("is reached; look before more are cut off"));
        assert!(refused.clone().count() >= 40 - most, "{name}");
        assert!(
            refused
                .into_iter()
                .all(|line| line.contains(&format!("the cap of {most} devices")) && line.contains(whose)),
            "{name}"
        );
    }
}

#[test]
fn what_waited_begins_within_the_caps_of_that_moment() {
    for restarts in [false, true] {
        let mut world = World::new();
        world.config.caps.hour_devices = 20;
        let mut world = world.begun();
        assert_eq!(world.command("anna", Command::Stop { on: true, reason: "look".to_owned() }), None);
        for meter in 1..=10 {
            world.hit(&format!("meter-{meter}"), &plan(Level::Quarantine));
        }
        world.config.caps.type_devices = 3;
        world.config.caps.type_share = 0.0;
        world.begin();
        assert_eq!(world.command("anna", Command::Stop { on: false, reason: String::new() }), None);
        if restarts {
            world.begin();
        }
        world.pass(5);
        assert_eq!(held(&world), 3);
    }
}

#[test]
fn a_day_later_there_is_room_again_and_not_before() {
    let mut world = World::new();
    (world.config.caps.type_devices, world.config.caps.type_share) = (1, 0.0);
    let mut world = world.begun();
    let mut short = plan(Level::Quarantine);
    short.ttl_seconds = Some(600);
    let first = world.hit("meter-1", &short);
    world.pass(620);
    assert_eq!(world.state(&first), State::Released);
    world.now = world.now.plus_seconds(120);
    let second = world.hit("meter-2", &short);
    assert_eq!(world.state(&second), State::Refused, "released, and begun today all the same");
    let again = world.hit("meter-1", &short);
    assert_eq!(world.state(&again), State::Verified, "the same device is no more devices");
    world.pass(620);
    world.now = world.now.plus_seconds(86_400);
    let id = world.hit("meter-2", &short);
    assert_eq!(world.state(&id), State::Verified);
}

#[test]
fn what_would_have_been_done_uses_up_nothing() {
    let mut world = World::new();
    world.config.mode = Mode::Observe;
    (world.config.caps.type_devices, world.config.caps.type_share) = (3, 0.0);
    let mut world = world.begun();
    let dry: Vec<String> =
        (1..=6).map(|meter| world.hit(&format!("meter-{meter}"), &plan(Level::Quarantine))).collect();
    let would = dry.iter().filter(|id| world.state(id) == State::Proposed).count();
    assert_eq!(would, 3, "a dry run tells of the caps as well");
    assert_eq!(world.command("anna", Command::Mode { of: ModeOf::All, mode: Mode::Auto }), None);
    for meter in 11..=16 {
        world.hit(&format!("meter-{meter}"), &plan(Level::Quarantine));
    }
    assert_eq!(held(&world), 3);
}

#[test]
fn a_group_that_does_it_together_is_not_cut_off() {
    let mut world = World::new();
    world.config.mode = Mode::Approve;
    let mut world = world.begun();
    let id = world.hit("meter-1", &plan(Level::Quarantine));
    let mut group = world.finding("meter-1");
    (group.scope, group.kind, group.device_id) = (Scope::Fleet, FindingKind::Change, "".into());
    group.devices = (1..=40).map(|meter| format!("meter-{meter}").into()).collect();
    (group.incident_id, group.finding_id) = ("a rollout".to_owned(), "rollout".to_owned());
    world.find(&group, &[plan(Level::Quarantine), plan(Level::Notify)]);
    assert_eq!(world.state(&id), State::Refused);
    assert!(world.action(&id).reason.contains("rollout"));
    world.now = world.now.plus_seconds(60);
    world.hit("meter-1", &plan(Level::Quarantine));
    assert_eq!(world.state(&id), State::Refused, "the next window of the same does not bring it back");
    world.now = world.now.plus_seconds(3 * 3_600);
    world.hit("meter-1", &plan(Level::Quarantine));
    assert_eq!(world.state(&id), State::Proposed, "hours later it is something else");
    assert_eq!(held(&world), 0);
}

#[test]
fn nobody_is_restricted_on_a_baseline_that_is_learning_or_on_old_news() {
    let mut world = World::new().begun();
    let mut finding = world.finding("camera-1");
    finding.confidence = Confidence::Learning;
    world.find(&finding, &[plan(Level::Quarantine)]);
    let mut old = world.finding("camera-2");
    world.now = world.now.plus_seconds(3_601);
    world.find(&old, &[plan(Level::Quarantine)]);
    old.device_id = "camera-99".into();
    old.emitted_at = world.now;
    world.find(&old, &[plan(Level::Quarantine)]);
    world.pass(5);
    assert_eq!(held(&world), 0);
    assert!(world.book().actions().all(|action| action.state == State::Refused));
    assert_eq!(world.book().actions().count(), 3);
}
