//! What an action of ours causes is held against nobody: neither against the device, nor against those around it, nor for
//! what is learned.

mod support;

use std::net::IpAddr;

use detect::roster::Roster;
use detect::rules::columns::ColumnMemory;
use detect::train::{LeftOut, Rehearsal, Restriction, train_without};
use detect::{Config, Judge, Prepared};
use fleet::window::Details;
use fleet::{DeviceKey, EventTime, Fact, Feature, FindingKind, Sighting, Tick};
use support::{DAY, JUDGED, MINUTE, Minute, World, address_of, at, cloud, id_of};

const NOON: i64 = JUDGED + 12 * 60;
/// Minutes of `release_grace_seconds`.
const GRACE: i64 = 10;

/// The world's ticks; `devices` are told of as restricted from minute `from` on, and as free from `until` on.
fn told(world: &World, devices: &[usize], from: i64, until: Option<i64>) -> Vec<Tick> {
    let mut ticks = world.ticks();
    let mut tell = |minute: i64, fact: Fact| ticks[(minute - JUDGED) as usize].facts.push(fact);
    for device in devices {
        let device = DeviceKey(*device as u32);
        tell(from, Fact::Restricted { device, from: at(from) });
        if let Some(until) = until {
            tell(until, Fact::Freed { device, from: at(until) });
        }
    }
    ticks
}

fn sightings(world: &World, ticks: &[Tick]) -> Vec<Sighting> {
    let mut judge = Judge::new(&world.config, MINUTE, EventTime::MIN);
    let mut seen = Vec::new();
    for tick in ticks {
        judge.take_facts(tick);
        seen.extend(judge.judge(tick, &[]).sightings);
    }
    seen
}

fn silence(minute: &mut Minute, _: i64) {
    minute.silence();
}

/// A device that lost everything and wants it back: refused at its cloud, and at the door.
fn storm(minute: &mut Minute, _: i64) {
    let known = cloud("camera");
    minute.contacts.retain(|contact| contact.port != 443);
    minute.refused(known, 443, 20);
    minute.sign_ins(IpAddr::from([192, 168, 1, 240]), 8, 0);
}

/// What a worm does: refused bursts at its master, and scanning.
fn worm(minute: &mut Minute, passed: i64) {
    minute.refused(IpAddr::from([45, 9, 20, 3]), 23_000, 2);
    for host in 0..5 {
        minute.refused(IpAddr::from([192, 168, 1, (60 + (passed * 5 + host) % 120) as u8]), 2323, 1);
    }
}

#[test]
fn the_silence_of_who_is_cut_off_is_no_news_and_is_seen() {
    let world = World::usual();
    let sensor = world.members("sensor")[0];
    let (from, until) = (NOON, NOON + 300);
    let world = world.inject(sensor, from, until, silence);
    let learned = world.learned();
    assert!(!world.judge(&learned, &world.ticks(), true).about(sensor).is_empty(), "it would be missed");
    let ticks = told(&world, &[sensor], from, Some(until));
    let outcome = world.judge(&learned, &ticks, true);
    assert!(outcome.findings.is_empty(), "{}", outcome.said());
    assert!(outcome.evidence.iter().all(|(device, detector, ..)| (*device, *detector) != (sensor, "silence")));

    let seen = sightings(&world, &ticks);
    assert!(seen.iter().all(|sighting| sighting.device_id == id_of(sensor)));
    assert_eq!(seen.len() as i64, until - from + GRACE, "one a window, the grace included");
    assert_eq!((seen[0].window_start, seen[0].window_end), (at(from), at(from + 1)));
    let (quiet, back) = seen.split_at((until - from) as usize);
    assert!(quiet.iter().all(Sighting::is_silent) && back.iter().all(|sighting| sighting.messages > 0));
    assert!(sightings(&world, &world.ticks()).is_empty());
}

#[test]
fn the_storm_of_who_comes_back_is_no_news_within_the_grace() {
    let world = World::usual();
    let camera = world.members("camera")[2];
    let (from, until) = (NOON, NOON + 60);
    let world = world.inject(camera, from, until, silence).inject(camera, until, until + GRACE, storm);
    let learned = world.learned();
    let without = world.judge(&learned, &world.ticks(), true);
    assert!(!without.about(camera).is_empty(), "it would alarm\n{}", without.said());
    let outcome = world.judge(&learned, &told(&world, &[camera], from, Some(until)), true);
    assert!(outcome.findings.is_empty(), "{}", outcome.said());
    let stubborn = world.inject(camera, until + GRACE, until + 3 * GRACE, storm);
    let outcome = stubborn.judge(&learned, &told(&stubborn, &[camera], from, Some(until)), true);
    assert!(!outcome.about(camera).is_empty(), "what goes on after the grace is its own");
    let seen = sightings(&stubborn, &told(&stubborn, &[camera], from, Some(until)));
    assert!(seen[60].failed_sign_ins == 8 && seen[60].flows >= 20, "{:?}", seen[60]);
}

#[test]
fn whoever_misbehaves_beside_it_or_after_it_is_found() {
    let world = World::usual();
    let cameras = world.members("camera");
    let (from, until) = (NOON, NOON + 60);
    let world = world.inject(cameras[1], from, until + 5, worm).inject(cameras[4], from + 5, from + 30, worm).inject(
        cameras[2],
        until + GRACE,
        until + GRACE + 30,
        worm,
    );
    let learned = world.learned();
    let outcome = world.judge(&learned, &told(&world, &[cameras[1], cameras[2]], from, Some(until)), true);
    assert!(outcome.about(cameras[1]).is_empty(), "{}", outcome.said());
    for camera in [cameras[4], cameras[2]] {
        assert_eq!(outcome.about(camera)[0].kind, FindingKind::Compromise, "{}", outcome.said());
    }
}

#[test]
fn who_was_let_go_is_found_for_less_and_only_for_a_while() {
    let camera = World::usual().members("camera")[2];
    let (from, until) = (NOON - 120, NOON - 60);
    let refused = |hosts: u8| {
        World::usual().inject(camera, NOON, NOON + 1, move |minute, _| {
            (0..hosts).for_each(|host| minute.refused(IpAddr::from([192, 168, 1, 60 + host]), 2323, 1));
        })
    };
    let learned = World::usual().learned();
    let line = learned.calibration.line(World::usual().config.budget);
    // The most of it that is no finding otherwise.
    let slight = |hosts: &u8| {
        let world = refused(*hosts);
        let outcome = world.judge(&learned, &world.ticks(), true);
        let totals = outcome.evidence.iter().filter(|told| told.0 == camera).map(|told| told.3);
        let total = totals.fold(0.0, f64::max);
        (outcome.about(camera).is_empty() && total > 0.0).then_some((*hosts, total))
    };
    let (hosts, total) = (1..9).rev().find_map(|hosts| slight(&hosts)).expect("something slight");
    assert!(total < line, "{total} of {line}");
    let found = |share: f64, seconds: u32| {
        let mut world = refused(hosts);
        (world.config.probation_line, world.config.probation_seconds) = (share, seconds);
        let outcome = world.judge(&learned, &told(&world, &[camera], from, Some(until)), true);
        outcome.about(camera).first().map(|finding| finding.line)
    };
    let share = 0.9 * total / line;
    assert_eq!(found(1.1 * total / line, 86_400), None, "less than its lower line");
    assert!(found(share, 86_400).is_some_and(|lower| (lower - share * line).abs() < 1e-9));
    assert_eq!(found(share, 3_600), None, "its probation is over");
}

#[test]
fn what_was_held_before_is_told_and_drains() {
    let world = World::usual();
    let camera = world.members("camera")[0];
    let world = world.inject(camera, NOON - 10, NOON + 30, worm);
    let outcome = world.judge(&world.learned(), &told(&world, &[camera], NOON, None), true);
    assert!(outcome.about(camera).iter().all(|finding| finding.window_end <= at(NOON)), "{}", outcome.said());
    assert!(!outcome.about(camera).is_empty());
    let held = |minute: i64| outcome.held.iter().find(|held| (held.0, held.1) == (minute, camera)).unwrap().2;
    assert!(held(NOON + 1) < held(NOON) || held(NOON) == 0.0, "nothing is added");
    assert!(held(NOON + 400) <= held(NOON + 1));
}

#[test]
fn half_a_type_that_is_cut_off_is_no_outage_and_hides_none() {
    let world = World::usual();
    let cameras = world.members("camera");
    let (cut, free) = cameras.split_at(3);
    let world = world.inject_all(cut, NOON, NOON + 600, silence);
    let learned = world.learned();
    let without = world.judge(&learned, &world.ticks(), true);
    assert!(!without.of_kind(FindingKind::Outage).is_empty(), "it would be one\n{}", without.said());
    let outcome = world.judge(&learned, &told(&world, cut, NOON, Some(NOON + 600)), true);
    assert!(outcome.findings.is_empty(), "{}", outcome.said());

    let world = world.inject_all(free, NOON + 200, NOON + 400, silence);
    let outcome = world.judge(&learned, &told(&world, cut, NOON, Some(NOON + 600)), true);
    let outages = outcome.of_kind(FindingKind::Outage);
    assert_eq!(outages.len(), 1, "{}", outcome.said());
    assert!(outages[0].devices.iter().all(|id| free.iter().any(|device| id_of(*device) == *id)), "{}", outcome.said());
    assert!(outcome.devices().is_empty(), "{}", outcome.said());
}

#[test]
fn who_does_not_come_back_is_missed_after_the_grace() {
    let world = World::usual();
    let sensor = world.members("sensor")[1];
    let world = world.inject(sensor, NOON, JUDGED + DAY, silence);
    let ticks = told(&world, &[sensor], NOON, Some(NOON + 120));
    let outcome = world.judge(&world.learned(), &ticks, true);
    let missed = outcome.about(sensor);
    assert!(missed.iter().any(|finding| finding.kind == FindingKind::Fault), "{}", outcome.said());
    assert!(missed.iter().all(|finding| finding.emitted_at > at(NOON + 150)), "{}", outcome.said());
}

#[test]
fn neighbours_and_brokers_of_who_is_cut_off_are_not_accused() {
    let world = World::usual();
    let (bad, hub) = (world.members("camera")[0], world.members("plug")[0]);
    // It calls nobody but this camera, which is new to it and does not answer; and refuses its sign-ins all the time.
    let around = move |minute: &mut Minute, _: i64| {
        minute.refused(address_of(bad), 1883, 15);
        minute.sign_ins(address_of(bad), 20, 0);
    };
    let world = world.inject(hub, NOON, NOON + 60, around);
    let learned = world.learned();
    assert!(!world.judge(&learned, &world.ticks(), true).about(hub).is_empty());
    let mut ticks = told(&world, &[bad], NOON, Some(NOON + 60));
    let prepared = Prepared::new(&learned, &world.config).unwrap();
    let mut judge = Judge::new(&world.config, MINUTE, EventTime::MIN);
    judge.use_version(prepared.into());
    for tick in &mut ticks {
        judge.take_facts(tick);
        for window in &mut tick.windows {
            if let Some(without) = judge.roster().without_masked_sign_ins(window) {
                assert_eq!(without.device.0 as usize, hub);
                assert_eq!((window.get(Feature::SignInFailures), without.get(Feature::SignInFailures)), (20.0, 0.0));
                *window = without;
            }
        }
        let findings = judge.judge(tick, &[]).findings;
        assert!(findings.is_empty(), "{findings:?}");
    }
    assert!(
        ticks[(NOON - JUDGED + 5) as usize].windows.iter().all(|window| window.get(Feature::SignInFailures) == 0.0)
    );
}

#[test]
fn a_fact_that_is_late_holds_from_the_next_tick_on() {
    let world = World::usual();
    let camera = world.members("camera")[3];
    let world = world.inject(camera, NOON, NOON + 60, worm);
    let mut ticks = world.ticks();
    let late = (NOON + 3 - JUDGED) as usize;
    ticks[late].facts.push(Fact::Restricted { device: DeviceKey(camera as u32), from: at(NOON - 30) });
    let outcome = world.judge(&world.learned(), &ticks, true);
    let told = outcome.evidence.iter().filter(|(device, detector, ..)| (*device, *detector) == (camera, "contacts"));
    assert!(told.count() > 0, "what was judged before stands");
    assert!(outcome.about(camera).iter().all(|finding| finding.window_end <= at(NOON + 3)), "{}", outcome.said());
    assert_eq!(sightings(&world, &ticks)[0].window_end, at(NOON + 4));
}

#[test]
fn rules_look_away_and_remember_nothing() {
    let world = World::usual();
    let mut roster = Roster::default();
    world.devices.iter().for_each(|device| roster.join(device));
    let key = world.devices[0].key;
    let mut memory = ColumnMemory::default();
    let empty = memory.memory();
    let mut minute = Minute::normal(&world.devices[0], 0, 0, 1);
    minute.details = Some(Details { firmware: Some("0.1".into()), ..Details::default() });
    let window = minute.window(key, at(0), &world.devices).unwrap();
    let facts = vec![Fact::Restricted { device: key, from: at(0) }];
    let tick = Tick { end: at(1), windows: vec![window], facts, baseline_version: 0 };
    roster.take_restrictions(&tick, MINUTE, &Config::default());
    let rows = memory.rows(&tick, &roster, |_| None);
    assert_eq!((rows.len(), rows[0].text(0)), (1, ""));
    assert!(memory.memory() == empty);
    let mut recalled = Roster::recall(&roster.memory()).unwrap();
    assert!(recalled.is_masked(key) && recalled.memory() == roster.memory());
    recalled.leave(key);
    assert_eq!((recalled.masked().count(), recalled.is_masked(key)), (0, true), "it may be a peer");
}

#[test]
fn what_is_learned_and_rehearsed_does_not_take_our_silence_for_normal() {
    let (from, until) = (JUDGED - 1_000, JUDGED - 100);
    // Half the cameras, so that it counts in calibration, and one sensor, which is no outage.
    let cut = [0, 1, 2, 6];
    let world = World::usual().inject_all(&cut, from, until, silence);
    let restriction =
        |device: usize| Restriction { device: DeviceKey(device as u32), from: at(from), until: Some(at(until)) };
    let restrictions: Vec<Restriction> = cut.into_iter().map(restriction).collect();
    let windows = || world.windows(0, JUDGED);
    let calibrated = |restrictions: Vec<Restriction>| {
        let lookup = |key: DeviceKey| world.devices.get(key.0 as usize).map(AsRef::as_ref);
        let period = baseline::Period { since: EventTime(at(0).0 - 1), until: at(JUDGED) };
        let baselines =
            baseline::learn(&windows(), &lookup, &|_| None, &period, 1, &baseline::Config::default()).unwrap();
        let left_out = LeftOut { restrictions, ..LeftOut::default() };
        train_without(&left_out, baselines, windows(), &world.devices, MINUTE, &world.config).unwrap()
    };
    let (plain, masked) = (calibrated(Vec::new()), calibrated(restrictions.clone()));
    assert!(masked.0.calibration.silence < plain.0.calibration.silence, "or nobody would be missed any more");

    let prepared = std::sync::Arc::new(masked.1);
    let found = |restrictions: &[Restriction]| {
        Rehearsal::new(windows(), &world.devices, restrictions, MINUTE, &world.config).findings(&prepared).len()
    };
    assert!(found(&[]) > 0 && found(&restrictions) == 0);
}

#[test]
fn the_days_of_a_restriction_are_whole() {
    let of_minutes = |from: i64, until: Option<i64>| {
        Restriction { device: DeviceKey(0), from: at(from), until: until.map(at) }.days(600)
    };
    assert_eq!(of_minutes(700, Some(800)), at(0)..at(DAY));
    assert_eq!(of_minutes(DAY, Some(2 * DAY - 11)), at(DAY)..at(2 * DAY));
    assert_eq!(of_minutes(DAY - 1, Some(2 * DAY - 10)), at(0)..at(3 * DAY), "the grace is of the next day");
    assert_eq!(of_minutes(DAY + 1, None), at(DAY)..EventTime::MAX);
    let always = Restriction { device: DeviceKey(0), from: EventTime::MIN, until: Some(EventTime::MAX) }.days(600);
    assert!(always.start == EventTime::MIN && always.end > at(1_000 * DAY));
}
