//! Learning days with attacks in them: what was there from the beginning is still found.

mod support;

use std::net::IpAddr;

use fleet::reading::Protocol;
use fleet::{DeviceKey, EventTime};
use support::{Attack, DAY, JUDGED, Minute, World, address_of, at};

const NOON: i64 = 12 * 60;

fn guessing(minute: &mut Minute, _: i64) {
    minute.flow(address_of(3), Protocol::Tcp, 23, 3, 90, 120);
}

fn refused(minute: &mut Minute, _: i64) {
    minute.refused(IpAddr::from([45, 9, 20, 3]), 23_000, 2);
}

fn scan(minute: &mut Minute, passed: i64) {
    for host in 0..8 {
        let last = 100 + (passed * 8 + host) % 120;
        minute.refused(IpAddr::from([192, 168, 1, last as u8]), 9100, 1);
    }
}

fn upload(minute: &mut Minute, _: i64) {
    minute.flow(IpAddr::from([45, 9, 20, 3]), Protocol::Tcp, 4444, 1, 40_000, 500);
}

fn sign_ins(minute: &mut Minute, _: i64) {
    minute.sign_ins(IpAddr::from([192, 168, 1, 240]), 3, 0);
}

#[test]
fn an_attack_seen_while_learning_is_still_an_attack() {
    let attacks: [(&str, Attack); 5] =
        [("guessing", guessing), ("refused", refused), ("scan", scan), ("upload", upload), ("sign-ins", sign_ins)];
    for (name, attack) in attacks {
        let mut world = World::usual();
        // The same device on two of the three days, and, where the shape alone tells, another once: what a sixth of the
        // device-days uploads to is the type's own.
        let days: &[(usize, i64)] = if name == "upload" { &[(1, 0), (1, 1)] } else { &[(1, 0), (1, 1), (2, 1)] };
        for (device, day) in days {
            world = world.inject(*device, day * DAY + NOON, day * DAY + NOON + 60, attack);
        }
        let begin = JUDGED + NOON;
        let outcome = world.inject(1, begin, begin + 60, attack).run();
        let found = outcome.about(1);
        assert!(!found.is_empty(), "{name} was learned to be normal\n{}", outcome.said());
        assert!(found[0].window_end > at(begin) && found[0].emitted_at < at(begin + 60), "{}", outcome.said());
        assert_eq!(outcome.devices().len(), found.len(), "{name}: others are accused\n{}", outcome.said());
    }
}

#[test]
fn attacks_in_learning_do_not_lift_the_line_out_of_reach() {
    let clean = World::usual().learned().calibration.line(20.0);
    let mut world = World::usual();
    for device in [0, 7, 13] {
        world = world.inject(device, DAY + NOON, DAY + NOON + 120, refused).inject(device, NOON, NOON + 30, scan);
    }
    let attacked = world.learned().calibration.line(20.0);
    assert!(attacked <= clean + 1.0, "{attacked} against {clean}");
}

#[test]
fn windows_of_an_attacks_shape_do_not_train() {
    let world = World::usual().inject(1, NOON, NOON + 30, |minute, _| {
        minute.refused(IpAddr::from([45, 9, 20, 3]), 23_000, 40);
    });
    let learned = world.learned();
    let cameras = learned.baselines.of("camera", "").unwrap();
    assert_eq!(cameras.left_out.values().sum::<u64>(), 30, "{:?}", cameras.left_out);
}

#[test]
fn known_destinations_without_room_are_counted() {
    let world = World::usual();
    let windows = world.windows(0, JUDGED);
    let devices = &world.devices;
    let lookup = |key: DeviceKey| devices.get(key.0 as usize).map(AsRef::as_ref);
    let period = baseline::Period { since: EventTime(at(0).0 - 1), until: at(JUDGED) };
    let learn = |max_destinations| {
        let config = baseline::Config { max_destinations, ..baseline::Config::default() };
        baseline::learn(&windows, &lookup, &|_| None, &period, 1, &config).unwrap()
    };
    let all = learn(4096);
    assert!(all.forgotten().is_none());
    let without_room: Vec<u64> = all.types.iter().map(|it| it.destinations.known.len() as u64 - 1).collect();
    let one_each = learn(1);
    let (forgotten, most) = one_each.forgotten().unwrap();
    assert_eq!(forgotten, without_room.iter().sum::<u64>());
    assert_eq!(Some(most.destinations.forgotten), without_room.iter().copied().max());
}
