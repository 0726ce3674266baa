//! What was injected is found, and the first reason names it.

mod support;

use std::net::IpAddr;

use fleet::reading::Protocol;
use fleet::{FindingKind, Severity};
use support::{DAY, JUDGED, World, at};

/// An hour into the judged day's afternoon.
const NOON: i64 = JUDGED + 12 * 60;

fn first_reason(outcome: &support::Outcome, device: usize) -> fleet::Reason {
    let findings = outcome.about(device);
    let finding = findings.first().unwrap_or_else(|| panic!("device {device} was not found\n{}", outcome.said()));
    assert!(finding.window_end > at(NOON), "found before anything was injected\n{}", outcome.said());
    finding.reasons[0].clone()
}

#[test]
fn normal_days_raise_nothing() {
    for seed in 1..=3 {
        let outcome = World::usual().seed(seed).run();
        assert!(outcome.findings.is_empty(), "seed {seed}\n{}", outcome.said());
    }
}

#[test]
fn ten_times_the_bytes() {
    let outcome = World::usual().inject(1, NOON, NOON + 60, |minute, _| minute.multiply_bytes(10)).run();
    let reason = first_reason(&outcome, 1);
    assert!(reason.subject.starts_with("bytes_out"), "{reason:?}");
    assert!(reason.expected_device.is_some());
    assert_eq!(outcome.devices().len(), outcome.about(1).len(), "{}", outcome.said());
}

#[test]
fn a_new_destination() {
    let master = IpAddr::from([185, 220, 101, 4]);
    let beacon = move |minute: &mut support::Minute, passed: i64| {
        if passed % 5 == 0 {
            minute.flow(master, Protocol::Tcp, 6667, 1, 120, 200);
        }
    };
    let outcome = World::usual().inject(7, NOON, NOON + 180, beacon).run();
    let reason = first_reason(&outcome, 7);
    assert!(reason.subject.contains("185.220.101.4"), "{reason:?}");
    assert_eq!((reason.first_seen_type, reason.first_seen_device), (Some(true), Some(true)));
    let finding = outcome.about(7)[0];
    assert_eq!(finding.kind, FindingKind::Compromise);
    assert!(finding.emitted_at < at(NOON + 40), "{}", outcome.said());
    assert!(outcome.evidence.iter().any(|(device, detector, _, _)| (*device, *detector) == (7, "beacon")));
}

#[test]
fn a_scan() {
    let scan = |minute: &mut support::Minute, passed: i64| {
        for host in 0..8 {
            minute.flow(
                IpAddr::from([192, 168, 1, 100 + (passed as u8 * 8 + host) % 120]),
                Protocol::Tcp,
                9100,
                1,
                0,
                0,
            );
        }
    };
    let outcome = World::usual().inject(12, NOON, NOON + 10, scan).run();
    let reason = first_reason(&outcome, 12);
    assert_eq!(reason.subject, "internal_fan_out", "{reason:?}");
    assert_eq!(reason.technique.as_deref(), Some("T1046"));
    assert!(outcome.about(12)[0].severity >= Severity::High);
}

#[test]
fn guessing_at_an_administration_service() {
    let host = support::address_of(3);
    let guess = move |minute: &mut support::Minute, _| minute.flow(host, Protocol::Tcp, 23, 3, 90, 120);
    let outcome = World::usual().inject(9, NOON, NOON + 15, guess).run();
    let reason = first_reason(&outcome, 9);
    assert!(reason.subject.contains("192.168.1.13"), "{reason:?}");
    assert_eq!(reason.technique.as_deref(), Some("T1110.001"), "{reason:?}");
    assert!(outcome.about(9)[0].emitted_at <= at(NOON + 5));
}

#[test]
fn sign_ins_that_fail_slower_than_a_window_shows() {
    let source = IpAddr::from([192, 168, 1, 240]);
    let guess = move |minute: &mut support::Minute, _| minute.sign_ins(source, 2, 0);
    let outcome = World::usual().inject(4, NOON, NOON + 10, guess).run();
    let reason = first_reason(&outcome, 4);
    assert_eq!(reason.subject, "sign_in_failures", "{reason:?}");
    assert_eq!(reason.technique.as_deref(), Some("T1110.001"));
    assert!(reason.records.is_some());
    assert!(outcome.about(4)[0].emitted_at <= at(NOON + 5));
    assert_eq!(outcome.about(4).len(), 1, "what goes on is no news\n{}", outcome.said());
}

#[test]
fn somebody_who_mistypes_is_no_guesser() {
    let source = IpAddr::from([192, 168, 1, 240]);
    let typing = move |minute: &mut support::Minute, passed: i64| minute.sign_ins(source, u32::from(passed < 4), 1);
    let outcome = World::usual().inject(4, NOON, NOON + 30, typing).run();
    assert!(outcome.about(4).is_empty(), "{}", outcome.said());
}

#[test]
fn silence() {
    let outcome = World::usual().inject(8, NOON, NOON + 600, |minute, _| minute.silence()).run();
    let reason = first_reason(&outcome, 8);
    assert_eq!(reason.subject, "seconds_since_heard", "{reason:?}");
    assert_eq!(outcome.about(8)[0].kind, FindingKind::Fault, "silence alone is a fault");
    assert!(reason.peers_now.is_some() && reason.expected_device.is_some());
}

#[test]
fn a_command_the_type_never_sends() {
    let outcome = World::usual().inject(2, NOON, NOON + 3, |minute, _| minute.command("factory-reset")).run();
    let reason = first_reason(&outcome, 2);
    assert_eq!(reason.subject, "command-never-used", "{reason:?}");
    assert_eq!(outcome.about(2)[0].kind, FindingKind::Compromise);
}

#[test]
fn a_command_the_type_uses_is_no_news() {
    let outcome = World::usual().inject(2, NOON, NOON + 3, |minute, _| minute.command("capture")).run();
    assert!(outcome.findings.is_empty(), "{}", outcome.said());
}

#[test]
fn a_stuck_value_is_a_fault() {
    let sensor = World::usual().members("sensor")[2];
    let outcome = World::usual().inject(sensor, NOON, NOON + 300, |minute, _| minute.value = Some((21.5, 0.0))).run();
    let reason = first_reason(&outcome, sensor);
    assert_eq!((reason.detector.as_str(), reason.subject.as_str()), ("stuck", "value_mean"), "{reason:?}");
    assert_eq!(reason.technique.as_deref(), Some("T0856"));
    assert_eq!(outcome.about(sensor)[0].kind, FindingKind::Fault);
    assert_eq!(outcome.devices().len(), 1, "{}", outcome.said());
}

#[test]
fn values_that_always_stand_still_are_not_stuck() {
    let world = World::usual();
    let sensors = world.members("sensor");
    let outcome = world.inject_all(&sensors, 0, JUDGED + DAY, |minute, _| minute.value = Some((1.0, 0.0))).run();
    assert!(outcome.findings.is_empty(), "{}", outcome.said());
}

#[test]
fn a_slow_drift_supports_and_alone_raises_nothing() {
    let drift = |minute: &mut support::Minute, passed: i64| {
        if let Some((value, _)) = &mut minute.value {
            *value *= 1.0 + passed as f32 / 600.0;
        }
    };
    let world = World::usual();
    let sensor = world.members("sensor")[0];
    let outcome = world.inject(sensor, NOON, NOON + 600, drift).run();
    let told = outcome.evidence.iter().filter(|(device, detector, ..)| (*device, *detector) == (sensor, "drift"));
    assert_eq!(told.count(), 1, "told once");
    let others = outcome.evidence.iter().filter(|(device, detector, ..)| *device != sensor && *detector == "drift");
    assert_eq!(others.count(), 0, "nobody else drifts");
    assert!(outcome.findings.is_empty(), "{}", outcome.said());
}
