//! Small cohorts: where there are few peers or none, an attack's shape is still found and nobody is called a group.

mod support;

use std::net::IpAddr;

use fleet::reading::Protocol;
use fleet::{FindingKind, Scope};
use support::{Attack, JUDGED, Minute, World, address_of};

const NOON: i64 = JUDGED + 12 * 60;

/// Two types of the size in question, and nothing to lean on beside.
fn world(size: usize) -> World {
    World::of(&[("camera", size), ("plug", size)])
}

#[test]
fn an_attack_is_found_in_cohorts_of_one_two_three_and_five() {
    let shapes: [(&str, Attack); 4] = [
        ("guessing", |minute, _| minute.flow(address_of(200), Protocol::Tcp, 22, 3, 90, 120)),
        ("refused", |minute, _| minute.refused(IpAddr::from([45, 9, 20, 3]), 23_000, 2)),
        ("upload", |minute, _| minute.flow(IpAddr::from([45, 9, 20, 3]), Protocol::Tcp, 4444, 1, 40_000, 500)),
        ("sign-ins", |minute, _| minute.sign_ins(IpAddr::from([192, 168, 1, 240]), 2, 0)),
    ];
    for size in [1, 2, 3, 5] {
        for (name, shape) in shapes {
            let outcome = world(size).inject(0, NOON, NOON + 20, shape).run();
            let found = outcome.about(0);
            assert!(!found.is_empty(), "{name} in a cohort of {size} was missed\n{}", outcome.said());
            assert!(found.iter().all(|finding| finding.kind == FindingKind::Compromise), "{}", outcome.said());
            assert_eq!(outcome.devices().len(), found.len(), "{name}, {size}: others are accused\n{}", outcome.said());
        }
    }
}

#[test]
fn fewer_than_four_are_no_group() {
    let mirror = IpAddr::from([151, 101, 2, 9]);
    for size in [1, 2, 3] {
        let world = world(size);
        let cameras = world.members("camera");
        let fetch = move |minute: &mut Minute, _: i64| minute.flow(mirror, Protocol::Tcp, 443, 1, 4_000, 2_000_000);
        let outcome = world.inject_all(&cameras, NOON, NOON + 4, fetch).run();
        let groups = outcome.findings.iter().filter(|finding| finding.scope != Scope::Device);
        assert_eq!(groups.count(), 0, "{size}\n{}", outcome.said());
    }
}

#[test]
fn a_cohort_of_four_can_be_a_group() {
    let mirror = IpAddr::from([151, 101, 2, 9]);
    let world = world(4);
    let cameras = world.members("camera");
    let fetch = move |minute: &mut Minute, _: i64| minute.flow(mirror, Protocol::Tcp, 443, 1, 4_000, 2_000_000);
    let outcome = world.inject_all(&cameras, NOON, NOON + 4, fetch).run();
    assert_eq!(outcome.of_kind(FindingKind::Change).len(), 1, "{}", outcome.said());
    assert!(outcome.devices().is_empty(), "{}", outcome.said());
}

#[test]
fn benign_days_raise_nothing_in_any_cohort() {
    for size in [1, 2, 3, 5] {
        for seed in 11..13 {
            let outcome = world(size).seed(seed).run();
            assert!(outcome.findings.is_empty(), "{size}, seed {seed}\n{}", outcome.said());
        }
    }
}
