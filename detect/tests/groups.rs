//! Groups: what a cohort does together is told of the cohort, unless it is an attack.

mod support;

use std::net::IpAddr;

use fleet::reading::Protocol;
use fleet::{FindingKind, Scope, Severity};
use support::{DAY, JUDGED, Minute, World, address_of, at};

const NOON: i64 = JUDGED + 12 * 60;

/// What a worm does in its first hour: refused bursts at its master, guessing at a neighbour, scanning.
fn worm(minute: &mut Minute, passed: i64) {
    minute.refused(IpAddr::from([45, 9, 20, 3]), 23_000, 2);
    if passed % 3 == 0 {
        minute.flow(address_of(200), Protocol::Tcp, 23, 4, 90, 120);
    }
    for host in 0..5 {
        let last = 60 + (passed * 5 + host) % 120;
        minute.refused(IpAddr::from([192, 168, 1, last as u8]), 2323, 1);
    }
}

#[test]
fn a_worm_on_half_or_all_of_a_type_is_compromise_and_never_change() {
    // One infects the next, minutes later; or all are hit at once.
    for (share, apart) in [(3, 7), (6, 7), (3, 0), (6, 0)] {
        let mut world = World::usual();
        let cameras = world.members("camera");
        for (rank, camera) in cameras.iter().take(share).enumerate() {
            world = world.inject(*camera, NOON + rank as i64 * apart, NOON + 60, worm);
        }
        let outcome = world.run();
        for camera in cameras.iter().take(share) {
            let findings = outcome.about(*camera);
            assert!(!findings.is_empty(), "{camera} of {share} was not found\n{}", outcome.said());
            assert!(findings.iter().all(|finding| finding.kind == FindingKind::Compromise), "{}", outcome.said());
            assert!(findings[0].severity >= Severity::High);
        }
        assert_eq!(outcome.of_kind(FindingKind::Change).len(), 0, "{share}\n{}", outcome.said());
        let healthy = outcome.devices().into_iter().filter(|finding| !cameras[..share].contains(&number(finding)));
        assert_eq!(healthy.count(), 0, "{}", outcome.said());
    }
}

fn number(finding: &fleet::Finding) -> usize {
    finding.device_id.trim_start_matches("device-").parse().unwrap()
}

#[test]
fn a_roll_out_is_one_change_and_accuses_nobody() {
    let mirror = IpAddr::from([151, 101, 2, 9]);
    let mut world = World::usual();
    for (rank, camera) in world.members("camera").into_iter().enumerate() {
        let begin = NOON + rank as i64 * 9;
        world = world.inject(camera, begin, begin + 4, move |minute, _| {
            minute.flow(mirror, Protocol::Tcp, 443, 1, 4_000, 2_000_000);
        });
    }
    let outcome = world.run();
    assert!(outcome.devices().is_empty(), "{}", outcome.said());
    assert_eq!(outcome.findings.len(), 1, "{}", outcome.said());
    let finding = &outcome.findings[0];
    assert_eq!((finding.kind, finding.scope), (FindingKind::Change, Scope::Fleet));
    assert_eq!(finding.device_type, "camera");
    assert_eq!(outcome.incidents.len(), 1);
}

#[test]
fn one_that_misbehaves_during_a_roll_out_is_found() {
    let mirror = IpAddr::from([151, 101, 2, 9]);
    let mut world = World::usual();
    let cameras = world.members("camera");
    for (rank, camera) in cameras.iter().enumerate() {
        let begin = NOON + rank as i64 * 9;
        world = world.inject(*camera, begin, begin + 4, move |minute, _| {
            minute.flow(mirror, Protocol::Tcp, 443, 1, 4_000, 2_000_000);
        });
    }
    let outcome = world.inject(cameras[3], NOON + 30, NOON + 60, worm).run();
    assert_eq!(outcome.about(cameras[3])[0].kind, FindingKind::Compromise, "{}", outcome.said());
    assert!(outcome.devices().iter().all(|finding| number(finding) == cameras[3]), "{}", outcome.said());
    assert!(outcome.of_kind(FindingKind::Change).len() <= 1, "{}", outcome.said());
}

#[test]
fn a_power_cut_is_one_outage_of_the_site() {
    let world = World::usual();
    let everybody: Vec<usize> = (0..world.devices.len()).collect();
    let outcome = world.inject_all(&everybody, NOON, NOON + 45, |minute, _| minute.silence()).run();
    assert_eq!(outcome.findings.len(), 1, "{}", outcome.said());
    let finding = &outcome.findings[0];
    assert_eq!((finding.kind, finding.scope), (FindingKind::Outage, Scope::Site));
    assert_eq!(finding.devices.len(), everybody.len());
    assert!(finding.emitted_at < at(NOON + 20), "while it goes on");
}

#[test]
fn a_type_that_falls_silent_together_has_an_outage() {
    let world = World::usual();
    let cameras = world.members("camera");
    let outcome = world.inject_all(&cameras, NOON, NOON + 300, |minute, _| minute.silence()).run();
    assert!(outcome.devices().is_empty(), "{}", outcome.said());
    assert_eq!(outcome.findings.len(), 1, "{}", outcome.said());
    assert_eq!((outcome.findings[0].kind, outcome.findings[0].scope), (FindingKind::Outage, Scope::Fleet));
}

#[test]
fn a_heatwave_shifts_a_type_and_accuses_nobody() {
    let world = World::usual();
    let sensors = world.members("sensor");
    let warmer = |minute: &mut Minute, passed: i64| {
        if let Some((value, _)) = &mut minute.value {
            *value += 15.0 * (passed as f32 / 200.0).min(1.0);
        }
    };
    let outcome = world.inject_all(&sensors, NOON, JUDGED + DAY, warmer).run();
    assert!(outcome.devices().is_empty(), "{}", outcome.said());
    assert!(outcome.incidents.len() <= 1, "{}", outcome.said());
}

#[test]
fn what_a_minority_does_is_no_change() {
    let mirror = IpAddr::from([151, 101, 2, 9]);
    let world = World::usual();
    let cameras = world.members("camera");
    let fetch = move |minute: &mut Minute, _: i64| minute.flow(mirror, Protocol::Tcp, 443, 1, 4_000, 2_000_000);
    let outcome = world.inject_all(&cameras[..2], NOON, NOON + 4, fetch).run();
    assert!(outcome.groups().is_empty(), "{}", outcome.said());
}
