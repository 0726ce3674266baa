//! Verdicts that reach beyond their incident: what was no attack is not told again, and what is more than that is.

use fleet::{EventTime, Finding, FindingKind, Level, Reason, Scope, Severity, State};
use responders::engine::find::action_id;
use responders::engine::suppress::{called_true, keeps_back, preview};
use responders::journal::Body;
use responders::journal::entry::{Command, KeptBack, Reach, ReachOf, Verdict};
use smol_str::SmolStr;

use crate::world::{World, plan};

const DAY: i64 = 86_400;

fn reason(subject: &str, technique: &str, evidence: f64) -> Reason {
    Reason {
        detector: if technique == "rule" { "rules" } else { "contacts" }.into(),
        subject: subject.into(),
        observed: "seen".to_owned(),
        expected_type: None,
        expected_device: None,
        peers_now: None,
        first_seen_type: None,
        first_seen_device: None,
        technique: Some(SmolStr::from(technique)).filter(|name| !name.is_empty() && name != "rule"),
        evidence,
        records: None,
    }
}

/// At a new place, as an application of the camera's maker might be: 12 of a line of 10.
fn stays(world: &World, device: &str, incident: &str) -> Finding {
    Finding {
        finding_id: format!("{incident} at {}", world.now.0),
        incident_id: incident.to_owned(),
        severity: Severity::Medium,
        score: 12.3,
        line: 10.0,
        reasons: vec![
            reason("tls to updates.example", "T1071.001", 8.0),
            reason("dns to updates.example", "", 4.0),
            reason("flows_out", "", 0.5),
        ],
        ..world.finding(device)
    }
}

fn with(finding: &Finding, more: Reason) -> Finding {
    let mut other = finding.clone();
    other.score += more.evidence;
    other.reasons.push(more);
    other
}

fn said(word: &str, of: ReachOf, about: &Finding, expires: EventTime) -> Verdict {
    Verdict {
        incident_id: about.incident_id.clone(),
        finding_id: String::new(),
        verdict: word.into(),
        note: "new firmware".to_owned(),
        reach: Some(Reach::about(of, &[about], expires).unwrap()),
    }
}

fn on_device(device: &str) -> ReachOf {
    ReachOf::Device(device.into())
}

fn give(world: &mut World, verdict: Verdict) -> Option<String> {
    world.command("anna", Command::Verdict(Box::new(verdict)))
}

fn kept_back(world: &World) -> Vec<KeptBack> {
    let kept = |entry: responders::journal::Entry| match entry.body {
        Body::KeptBack(kept) => Some(*kept),
        _ => None,
    };
    world.entries().into_iter().filter_map(kept).collect()
}

/// Whether anything at all is to be done about it, and anybody told.
fn is_kept_back(world: &mut World, finding: &Finding) -> bool {
    let now = world.clock();
    let town = std::mem::take(&mut world.town);
    let is_untold = world.life().keeps_back(now, finding, &town);
    world.town = town;
    world.find(finding, &[plan(Level::Notify), plan(Level::Quarantine)]);
    world.turn();
    let of_it = |action: &&responders::book::Action| action.proposal.finding_id == finding.finding_id;
    let actions = world.book().actions().filter(of_it).count();
    assert_eq!(actions == 0, is_untold, "{actions} actions about `{}`", finding.finding_id);
    assert_eq!(world.book().kept_back(&finding.finding_id).is_some(), is_untold);
    is_untold
}

/// A camera was quarantined for what the maker's update does; anna says so, for 30 days.
fn after_a_verdict(of: ReachOf) -> (World, Finding) {
    let mut world = World::new().begun();
    let first = stays(&world, "camera-1", "first");
    assert!(!is_kept_back(&mut world, &first));
    let held = action_id("camera-1", "first", Level::Quarantine);
    assert_eq!(world.state(&held), State::Verified);
    let expires = world.now.plus_seconds(30 * DAY);
    assert_eq!(give(&mut world, said("benign_change", of, &first, expires)), None);
    world.pass(5);
    assert_eq!(world.state(&held), State::Released);
    world.now = world.now.plus_seconds(DAY);
    (world, first)
}

#[test]
fn the_same_on_the_same_device_is_told_nobody_and_written_down_once() {
    let (mut world, _) = after_a_verdict(on_device("camera-1"));
    let again = stays(&world, "camera-1", "second");
    assert!(is_kept_back(&mut world, &again));
    world.find(&again, &[plan(Level::Quarantine)]);
    let kept = kept_back(&world);
    assert_eq!(kept.len(), 1, "given again after a restart it is no news");
    assert_eq!((kept[0].verdict.as_str(), kept[0].given_by.as_str()), ("benign_change", "anna"));
    let entry = &world.entries()[kept[0].verdict_entry as usize - 1];
    assert!(matches!(&entry.body, Body::Commanded(said) if matches!(said.command, Command::Verdict(_))), "{entry:?}");
    assert!(world.book().is_kept_back("second", 1) && !world.book().is_kept_back("second", 2));
    assert!(!world.book().is_kept_back("first", 1));
    let elsewhere = stays(&world, "camera-2", "third");
    assert!(!is_kept_back(&mut world, &elsewhere), "it was about one device");
}

#[test]
fn a_type_and_a_site_are_no_more_than_that() {
    let (mut world, _) = after_a_verdict(ReachOf::DeviceType("camera".into()));
    let (camera, meter) = (stays(&world, "camera-5", "a"), stays(&world, "meter-5", "b"));
    assert!(is_kept_back(&mut world, &camera) && !is_kept_back(&mut world, &meter));

    let (mut world, _) = after_a_verdict(ReachOf::Site("hall".into()));
    let (meter, stranger) = (stays(&world, "meter-5", "b"), stays(&world, "nobody-1", "c"));
    assert!(is_kept_back(&mut world, &meter) && !is_kept_back(&mut world, &stranger));
    assert_eq!(kept_back(&world)[0].site, "hall");
}

#[test]
fn a_worse_reason_was_hidden_by_a_verdict_about_a_lesser_one() {
    let (mut world, _) = after_a_verdict(on_device("camera-1"));
    let same = stays(&world, "camera-1", "next");
    let mut next = 0;
    let mut is_hidden = |world: &mut World, finding: Finding| {
        next += 1;
        let (finding_id, incident_id) = (format!("finding {next}"), format!("incident {next}"));
        is_kept_back(world, &Finding { finding_id, incident_id, ..finding })
    };
    for worse in [
        with(&same, reason("tls to evil.example", "T1071.001", 4.0)),
        with(&same, reason("tls to updates.example", "T1041", 4.0)),
        with(&same, reason("ssh to 10.0.0.1", "T1110.001", 3.0)),
        // What is beyond the reasons that are listed.
        Finding { score: same.score + 4.0, ..same.clone() },
        Finding { severity: Severity::High, ..same.clone() },
        Finding { kind: FindingKind::Anomaly, ..same.clone() },
        Finding { reasons: vec![reason("bytes_out", "", 0.5)], score: 0.5, ..same.clone() },
    ] {
        assert!(!is_hidden(&mut world, worse.clone()), "{worse:?}");
    }
    // Less of it, and what detectors of totals add to anything.
    let mut less = same.clone();
    less.reasons.truncate(1);
    less.score = 8.2;
    assert!(is_hidden(&mut world, less));
    assert!(is_hidden(&mut world, with(&same, reason("bytes_out", "", 0.5))));
}

#[test]
fn an_attacks_shape_is_kept_back_for_one_device_at_most() {
    let mut world = World::new().begun();
    let expires = world.now.plus_seconds(DAY);
    for technique in ["T1110.001", "T1046", "T1008", "T1041", "T1048.003", "rule"] {
        let finding = with(&stays(&world, "camera-1", technique), reason("somewhere", technique, 6.0));
        for of in [ReachOf::DeviceType("camera".into()), ReachOf::Site("hall".into())] {
            let refused = give(&mut world, said("false", of, &finding, expires));
            assert!(refused.as_ref().is_some_and(|why| why.contains("one device at most")), "{technique}: {refused:?}");
        }
        assert_eq!(give(&mut world, said("false", on_device("camera-1"), &finding, expires)), None);
        world.now = world.now.plus_seconds(60);
        let again = Finding {
            finding_id: format!("{technique} again"),
            incident_id: format!("{technique} again"),
            emitted_at: world.now,
            ..finding
        };
        assert!(is_kept_back(&mut world, &again), "{technique}");
    }
    // Devices that are attacked together are hidden by nothing.
    let group = Finding {
        scope: Scope::Fleet,
        device_id: SmolStr::default(),
        devices: vec!["camera-1".into(), "camera-2".into()],
        ..stays(&world, "camera-1", "worm")
    };
    assert_eq!(give(&mut world, said("false", ReachOf::DeviceType("camera".into()), &group, expires)), None);
    assert!(!is_kept_back(&mut world, &Finding { finding_id: "w2".into(), incident_id: "w2".into(), ..group.clone() }));
    let change = Finding { kind: FindingKind::Change, incident_id: "roll-out".into(), ..group };
    assert_eq!(give(&mut world, said("false", ReachOf::DeviceType("camera".into()), &change, expires)), None);
    assert!(is_kept_back(&mut world, &Finding { finding_id: "c2".into(), incident_id: "c2".into(), ..change }));
}

#[test]
fn a_verdict_ends_and_what_is_past_cannot_be_given() {
    let (mut world, first) = after_a_verdict(on_device("camera-1"));
    world.now = world.now.plus_seconds(28 * DAY);
    let last = stays(&world, "camera-1", "last");
    assert!(is_kept_back(&mut world, &last));
    world.now = world.now.plus_seconds(2 * DAY);
    let after = stays(&world, "camera-1", "after");
    assert!(!is_kept_back(&mut world, &after));
    let past = said("benign_change", on_device("camera-1"), &first, world.now);
    assert!(give(&mut world, past).unwrap().contains("already"));
}

#[test]
fn somebody_calls_it_true_and_it_is_told_again() {
    let (mut world, first) = after_a_verdict(ReachOf::DeviceType("camera".into()));
    let expires = world.now.plus_seconds(DAY);
    assert_eq!(give(&mut world, said("true", on_device("camera-3"), &first, expires)), None);
    let (third, fourth) = (stays(&world, "camera-3", "a"), stays(&world, "camera-4", "b"));
    assert!(!is_kept_back(&mut world, &third), "of this device it was true");
    assert!(is_kept_back(&mut world, &fourth), "of others it still is nothing");
    let of_all = said("true", ReachOf::DeviceType("camera".into()), &first, expires);
    assert_eq!(give(&mut world, of_all), None);
    world.now = world.now.plus_seconds(2 * DAY);
    let after = stays(&world, "camera-4", "c");
    assert!(!is_kept_back(&mut world, &after), "what was true does not become false by the end of a day");
    let expires = world.now.plus_seconds(DAY);
    assert_eq!(give(&mut world, said("false", on_device("camera-4"), &after, expires)), None);
    world.now = world.now.plus_seconds(60);
    let later = stays(&world, "camera-4", "d");
    assert!(is_kept_back(&mut world, &later), "the last word counts");

    // Of its own incident, without any reach.
    let own = Verdict { incident_id: "e".to_owned(), reach: None, ..said("true", on_device("x"), &later, expires) };
    assert_eq!(give(&mut world, own), None);
    world.now = world.now.plus_seconds(60);
    let in_it = stays(&world, "camera-4", "e");
    assert!(!is_kept_back(&mut world, &in_it));
}

#[test]
fn a_restart_forgot_what_people_said() {
    let (mut world, _) = after_a_verdict(on_device("camera-1"));
    let before = stays(&world, "camera-1", "before");
    assert!(is_kept_back(&mut world, &before));
    world.kill();
    world.begin();
    world.find(&before, &[plan(Level::Quarantine)]);
    assert_eq!(kept_back(&world).len(), 1);
    world.now = world.now.plus_seconds(60);
    let after = stays(&world, "camera-1", "after");
    assert!(is_kept_back(&mut world, &after));
    assert_eq!(kept_back(&world).len(), 2);
    world.now = world.now.plus_seconds(15 * DAY);
    world.turn();
    assert_eq!(world.book().all_kept_back().count(), 0, "after two weeks the store alone knows");
}

#[test]
fn a_word_about_one_finding_releases_what_that_one_led_to() {
    let mut world = World::new().begun();
    let (first, second) = (stays(&world, "camera-1", "one"), stays(&world, "camera-2", "one"));
    assert!(!is_kept_back(&mut world, &first));
    world.find(&Finding { finding_id: "another".to_owned(), ..second }, &[plan(Level::Quarantine)]);
    world.pass(5);
    let word =
        Verdict { reach: None, finding_id: "another".to_owned(), ..said("false", on_device("x"), &first, world.now) };
    assert_eq!(give(&mut world, word), None);
    world.pass(5);
    assert_eq!(world.state(&action_id("camera-1", "one", Level::Quarantine)), State::Verified);
    assert_eq!(world.state(&action_id("camera-2", "one", Level::Quarantine)), State::Released);
}

#[test]
fn a_preview_counts_what_the_same_verdict_would_keep_back() {
    let (mut world, first) = after_a_verdict(on_device("camera-1"));
    let mut history = vec![first.clone()];
    for number in 1..=4 {
        world.now = world.now.plus_seconds(60);
        history.push(stays(&world, &format!("camera-{number}"), &format!("of {number}")));
    }
    history.push(with(&stays(&world, "camera-7", "worse"), reason("tls to evil.example", "T1571", 5.0)));
    history.push(stays(&world, "meter-1", "a meter"));
    let of_type = said("false", ReachOf::DeviceType("camera".into()), &first, world.now.plus_seconds(DAY));
    let would = preview(&of_type, &history, |_| "hall".into());
    assert_eq!((would.findings, would.incidents.len(), would.devices.len()), (5, 5, 4));
    assert!(would.incidents.contains("of 3") && !would.incidents.contains("worse"), "{would:?}");
    let entries = world.entries().len();
    assert_eq!(preview(&said("true", on_device("camera-1"), &first, world.now), &history, |_| "".into()).findings, 0);
    assert_eq!(world.entries().len(), entries);

    let now = world.now;
    let own = |word: &str, incident: &str| Verdict {
        incident_id: incident.to_owned(),
        reach: None,
        ..said(word, on_device("x"), &first, now)
    };
    for (word, incident) in [("true", "of 2"), ("true", "of 3"), ("false", "of 3")] {
        assert_eq!(give(&mut world, own(word, incident)), None);
    }
    let called = called_true(world.book().verdicts());
    assert!(would.incidents.iter().filter(|id| called.contains(id.as_str())).eq(["of 2"]), "{called:?}");
    // And the same function decides while running.
    let verdicts = world.book().verdicts();
    assert!(keeps_back(verdicts, world.now, &stays(&world, "camera-1", "x"), "").is_some());
}

#[test]
fn entries_of_a_former_release_are_read() {
    let line = r#"{"incident_id":"i","verdict":"false"}"#;
    let verdict: Verdict = serde_json::from_str(line).unwrap();
    assert_eq!((verdict.reach.clone(), serde_json::to_string(&verdict).unwrap().as_str()), (None, line));
}

#[test]
fn what_people_called_no_attack_was_quarantined_again() {
    for word in ["false", "benign_change", "fault"] {
        let mut world = World::new().begun();
        let first = stays(&world, "camera-1", "one");
        assert!(!is_kept_back(&mut world, &first));
        let alone = Verdict { reach: None, ..said(word, on_device("camera-1"), &first, world.now.plus_seconds(DAY)) };
        assert_eq!(give(&mut world, alone.clone()), None);
        world.pass(5);
        let id = |level| action_id("camera-1", "one", level);
        assert_eq!(world.state(&id(Level::Quarantine)), State::Released);
        let again = |world: &mut World, severity| {
            world.pass(600);
            let finding = Finding { severity, ..stays(world, "camera-1", "one") };
            world.find(&finding, &[plan(Level::Quarantine), plan(Level::Ticket)]);
            world.pass(5);
        };
        let finding = stays(&world, "camera-1", "one");
        world.find(&finding, &[plan(Level::Disable)]);
        assert!(world.book().action(&id(Level::Disable)).is_none(), "nor by another level");
        for severity in [Severity::Medium, Severity::Low] {
            again(&mut world, severity);
            assert_eq!(world.state(&id(Level::Quarantine)), State::Released, "{severity}");
        }
        assert!(world.book().action(&id(Level::Ticket)).is_some(), "words are said");
        // What is graver was not what they spoke of.
        again(&mut world, Severity::High);
        assert_eq!(world.state(&id(Level::Quarantine)), State::Verified);
        // Nor was it when its time is over.
        world.pass(5 * 3_600);
        assert_eq!(world.state(&id(Level::Quarantine)), State::Released);
        again(&mut world, Severity::High);
        assert_eq!(world.state(&id(Level::Quarantine)), State::Verified);

        // Somebody called it true since.
        assert_eq!(give(&mut world, alone.clone()), None);
        world.pass(5);
        again(&mut world, Severity::High);
        assert_eq!(world.state(&id(Level::Quarantine)), State::Released);
        assert_eq!(give(&mut world, Verdict { verdict: "true".into(), ..alone }), None);
        again(&mut world, Severity::Medium);
        assert_eq!(world.state(&id(Level::Quarantine)), State::Verified);
    }
}
