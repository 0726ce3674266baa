//! Evidence adds up and drains; findings of one device and episode are one incident; a finding explains itself.

mod support;

use std::net::IpAddr;

use detect::{Config, Forgotten, Prepared};
use fleet::reading::Protocol;
use fleet::{Confidence, DeviceKey, FindingKind, Scope};
use support::{DAY, JUDGED, Lane, Minute, World, at, id_of};

const MORNING: i64 = JUDGED + 6 * 60;

/// One look at a place nobody of the type knows.
fn look(host: u8) -> impl Fn(&mut Minute, i64) {
    move |minute, _| minute.flow(IpAddr::from([45, 9, host, 3]), Protocol::Tcp, 6001, 1, 300, 400)
}

fn upload(minute: &mut Minute, _: i64) {
    minute.flow(IpAddr::from([45, 9, 20, 3]), Protocol::Tcp, 4444, 1, 40_000, 500);
}

fn guess(minute: &mut Minute, _: i64) {
    minute.sign_ins(IpAddr::from([192, 168, 1, 240]), 3, 0);
}

#[test]
fn one_look_is_no_finding_and_two_are() {
    let one = World::usual().inject(1, MORNING, MORNING + 1, look(1)).run();
    assert!(one.findings.is_empty(), "{}", one.said());
    let two =
        World::usual().inject(1, MORNING, MORNING + 1, look(1)).inject(1, MORNING + 10, MORNING + 11, look(2)).run();
    assert_eq!(two.about(1).len(), 1, "{}", two.said());
    assert_eq!(two.about(1)[0].reasons.len(), 2);
    let apart = MORNING + 5 * 60;
    let drained = World::usual().inject(1, MORNING, MORNING + 1, look(1)).inject(1, apart, apart + 1, look(2)).run();
    assert!(drained.findings.is_empty(), "{}", drained.said());
}

#[test]
fn evidence_halves_in_an_hour() {
    let outcome = World::usual().inject(1, MORNING, MORNING + 1, look(1)).run();
    let held = |minute: i64| outcome.held.iter().find(|(when, device, _)| (*when, *device) == (minute, 1)).unwrap().2;
    let (then, later) = (held(MORNING + 1), held(MORNING + 61));
    assert!(then >= 4.0 && (later - then / 2.0).abs() < 0.05, "{then} then, {later} an hour later");
}

#[test]
fn a_finding_without_an_attacks_shape_waits_for_its_peers() {
    let outcome =
        World::usual().inject(1, MORNING, MORNING + 1, look(1)).inject(1, MORNING + 10, MORNING + 11, look(2)).run();
    let finding = outcome.about(1)[0];
    assert_eq!(finding.window_end, at(MORNING + 11));
    assert_eq!(finding.emitted_at.seconds_since(finding.window_end), 190.0, "lateness and hold");
    let attack = World::usual().inject(1, MORNING, MORNING + 3, upload).run();
    let finding = attack.about(1)[0];
    assert_eq!(finding.emitted_at.seconds_since(finding.window_end), 70.0, "lateness alone");
}

#[test]
fn episodes_of_one_device_are_one_incident_until_hours_lie_between() {
    let second = MORNING + 100;
    let near = World::usual().inject(1, MORNING, MORNING + 5, guess).inject(1, second, second + 5, upload).run();
    assert_eq!(near.about(1).len(), 2, "{}", near.said());
    assert_eq!(near.incidents.len(), 1);
    let incident = &near.incidents[0];
    assert_eq!((incident.findings, incident.scope, &incident.device_id), (2, Scope::Device, &id_of(1)));
    assert!(near.findings.iter().all(|finding| finding.incident_id == incident.incident_id));
    assert!(incident.first_window < at(MORNING + 5) && incident.last_window > at(second));

    let second = MORNING + 4 * 60;
    let far = World::usual().inject(1, MORNING, MORNING + 5, guess).inject(1, second, second + 5, upload).run();
    assert_eq!(far.incidents.len(), 2, "{}", far.said());
    assert_ne!(far.incidents[0].incident_id, far.incidents[1].incident_id);
}

#[test]
fn two_devices_are_two_incidents() {
    let outcome = World::usual().inject(1, MORNING, MORNING + 5, guess).inject(8, MORNING, MORNING + 5, upload).run();
    assert_eq!(outcome.incidents.len(), 2, "{}", outcome.said());
}

#[test]
fn an_explanation_holds_value_expectation_technique_and_records() {
    let outcome = World::usual().inject(8, MORNING, MORNING + 5, upload).run();
    let finding = outcome.about(8)[0];
    assert_eq!((finding.kind, finding.confidence), (FindingKind::Compromise, Confidence::Ready));
    assert!(finding.score >= finding.line && finding.p_value <= 0.02, "{} {}", finding.score, finding.p_value);
    let reason = &finding.reasons[0];
    assert!(reason.subject.contains("45.9.20.3"), "{reason:?}");
    assert!(reason.observed.contains("40.0k bytes out"), "the value: {reason:?}");
    let expected = reason.expected_type.as_ref().expect("the range of the type");
    assert!(expected.contains("15 device-days"), "{expected}");
    assert_eq!((reason.first_seen_type, reason.first_seen_device), (Some(true), Some(true)));
    assert_eq!(reason.technique.as_deref(), Some("T1041"));
    assert_eq!(finding.technique, "T1041");
    let (first, last) = reason.records.expect("the records");
    let windows = World::usual().inject(8, MORNING, MORNING + 5, upload).windows(MORNING, MORNING + 1);
    let contact = windows[8].contacts.iter().find(|contact| contact.port == 4444).unwrap();
    assert_eq!((first, last), (contact.first_record, contact.last_record), "they can be fetched");
    for word in ["device-8", "compromise", &reason.subject, &reason.observed, expected] {
        assert!(finding.explanation.contains(word), "`{word}` is missing: {}", finding.explanation);
    }
    let totals = World::usual().inject(1, MORNING, MORNING + 60, |minute, _| minute.multiply_bytes(10)).run();
    let reason = &totals.about(1)[0].reasons[0];
    assert!(reason.expected_device.as_ref().is_some_and(|expected| expected.contains("bytes a window")), "{reason:?}");
}

#[test]
fn destinations_that_are_forgotten_before_their_time_are_counted() {
    // A device that does nothing but look, at three places.
    let looks = |third: i64| {
        World::usual()
            .minutes(2 * DAY)
            .inject(1, JUDGED, JUDGED + 2 * DAY, |minute, _| minute.silence())
            .inject(1, MORNING, MORNING + 1, look(1))
            .inject(1, MORNING + 1, MORNING + 2, look(2))
            .inject(1, third, third + 1, look(3))
    };
    let forgotten = |world: &World, most: usize| {
        let config = Config { max_episodes_per_device: most, ..world.config.clone() };
        let mut lane = Lane::new(&config, vec![Prepared::new(&world.learned(), &config).unwrap()]);
        let mut all = Forgotten::default();
        world.ticks().iter().for_each(|tick| all.add(lane.tick(tick).judgement.forgotten));
        all
    };
    let together = looks(MORNING + 2);
    assert_eq!(forgotten(&together, 3), Forgotten::default());
    assert_eq!(forgotten(&together, 2), Forgotten { destinations: 1, device: Some(DeviceKey(1)) });
    let a_day_later = looks(MORNING + DAY + 60);
    assert_eq!(forgotten(&a_day_later, 2), Forgotten::default(), "those before are over");
}
