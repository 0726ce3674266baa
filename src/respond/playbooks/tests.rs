//! What playbooks say of a finding after what the journal has of its device already.

use fleet::{Confidence, FindingKind, Level, Scope, Severity, State};
use responders::journal::entry::{Body, Entry, Move, Proposal};

use super::*;

const HOUR: i64 = 3_600;

/// Seconds after the beginning of all tests.
fn at(seconds: i64) -> EventTime {
    EventTime::parse("2026-03-02T00:00:00Z").unwrap().plus_seconds(seconds)
}

fn finding(seconds: i64) -> Finding {
    Finding {
        finding_id: "finding".to_owned(),
        incident_id: "now".to_owned(),
        scope: Scope::Device,
        device_id: "lamp-1".into(),
        devices: vec!["lamp-1".into()],
        device_type: "lamp".into(),
        kind: FindingKind::Compromise,
        severity: Severity::High,
        confidence: Confidence::Ready,
        score: 30.0,
        line: 20.0,
        p_value: 1e-6,
        detectors: Vec::new(),
        technique: "T1046".into(),
        emitted_at: at(seconds),
        window_start: at(seconds - 60),
        window_end: at(seconds - 10),
        baseline_version: 1,
        reasons: Vec::new(),
        explanation: String::new(),
    }
}

/// One earlier action of the device, about to be written.
struct Earlier {
    incident: &'static str,
    device: &'static str,
    playbook: &'static str,
    level: Level,
    found: i64,
    /// States it came to, and when.
    then: Vec<(State, i64)>,
}

fn quarantined(incident: &'static str, found: i64) -> Earlier {
    let then = vec![(State::Approved, found), (State::Applying, found), (State::Applied, found)];
    Earlier { incident, device: "lamp-1", playbook: "held", level: Level::Quarantine, found, then }
}

fn released(incident: &'static str, found: i64, at: i64) -> Earlier {
    let mut earlier = quarantined(incident, found);
    earlier.then.extend([(State::Releasing, at), (State::Released, at)]);
    earlier
}

fn book(earlier: &[Earlier]) -> Book {
    let mut book = Book::default();
    for one in earlier {
        let id = format!("{} {} {}", one.device, one.incident, one.level);
        write(&mut book, one.found, Body::Proposed(Box::new(proposal(one, &id))));
        for (state, seconds) in &one.then {
            write(&mut book, *seconds, Body::Moved(Box::new(Move::new(&id, *state, "loop", ""))));
        }
    }
    book
}

fn write(book: &mut Book, seconds: i64, body: Body) {
    let chain = &book.chain;
    // Their times are the test's, in whatever order it has them.
    let entry = Entry { seq: chain.seq + 1, at: at(seconds), previous: chain.head.clone(), body, hash: "".into() };
    book.fold(&entry);
}

fn proposal(of: &Earlier, id: &str) -> Proposal {
    Proposal {
        action_id: id.to_owned(),
        incident_id: of.incident.to_owned(),
        finding_id: format!("of {}", of.incident),
        device_id: of.device.into(),
        device_type: "lamp".into(),
        site: "".into(),
        segment: "".into(),
        kind: FindingKind::Compromise,
        severity: Severity::High,
        level: of.level,
        gateways: vec!["core".into()],
        playbook: of.playbook.into(),
        playbook_version: "1".into(),
        mode: Mode::Auto,
        ttl_seconds: Some(3_600),
        answer_by: None,
        approvals: 1,
        ask_for: Vec::new(),
        after: None,
        if_still_talking: None,
        talking_ttl_seconds: None,
        why: "test".to_owned(),
        first_window: at(of.found - 60),
        found_at: at(of.found),
    }
}

fn compiled(texts: &[String]) -> CompiledPlaybooks {
    let parse = |text: &String| Playbook::parse(text, "test.toml").unwrap_or_else(|error| panic!("{error}"));
    let playbooks = Playbooks::new(texts.iter().map(parse).collect()).unwrap();
    CompiledPlaybooks::compile(playbooks).unwrap()
}

/// `id`, asked at `priority`, which notifies when this holds.
fn notifies(id: &str, priority: u8, when: &str) -> String {
    format!("id = \"{id}\"\ntitle = \"t\"\npriority = {priority}\nwhen = \"{when}\"\n[[step]]\nlevel = \"notify\"\n")
}

/// The playbook that decides about a finding at `seconds`; nothing: none does.
fn decides(playbooks: &CompiledPlaybooks, now: i64, seconds: i64, book: &Book, config: &Config) -> Option<String> {
    let plans = playbooks.plans(at(now), &finding(seconds), None, book, config).unwrap();
    plans.first().map(|plan| plan.playbook.to_string())
}

const HELD: &str = r#"
id = "held"
title = "t"
mode = "auto"
when = "kind = 'compromise'"
[approval]
ask = ["soc"]
within = "20m"
levels = ["disable"]
four_eyes = true
[[step]]
level = "notify"
[[step]]
level = "quarantine"
gateway = "core"
ttl = "1h"
then = "stop"
escalate = { after = 2, within = "2h", level = "disable", ttl = "12h" }
still_talking = { level = "rotate-credentials" }
"#;

#[test]
fn a_plan_says_what_the_playbook_says() {
    let held = compiled(&[HELD.to_owned()]);
    let version = held.iter().next().unwrap().version();
    let plans = held.plans(at(0), &finding(0), None, &Book::default(), &Config::default()).unwrap();
    let notify = Plan {
        playbook: "held".into(),
        version: version.into(),
        mode: Mode::Auto,
        level: Level::Notify,
        gateway: None,
        tries_others: true,
        ttl_seconds: None,
        answer_seconds: 1_200,
        approvals: 2,
        ask: vec!["soc".to_owned()],
        ask_for: vec![Level::Disable],
        stops: false,
        if_still_talking: None,
        talking_ttl_seconds: None,
    };
    let quarantine = Plan {
        level: Level::Quarantine,
        gateway: Some("core".into()),
        tries_others: false,
        ttl_seconds: Some(3_600),
        stops: true,
        if_still_talking: Some(Level::RotateCredentials),
        talking_ttl_seconds: None,
        ..notify.clone()
    };
    assert_eq!(plans, [notify, quarantine]);

    let alone = HELD.replace("four_eyes = true\n", "").replace("then = \"stop\"", "then = \"notify\"");
    let plans = compiled(&[alone]).plans(at(0), &finding(0), None, &Book::default(), &Config::default()).unwrap();
    let plan = &plans[1];
    assert_eq!((plan.approvals, plan.tries_others, plan.stops), (1, false, false));

    let other = Finding { kind: FindingKind::Fault, ..finding(0) };
    assert_eq!(held.plans(at(0), &other, None, &Book::default(), &Config::default()).unwrap(), []);
}

#[test]
fn a_step_escalates_after_what_the_same_playbook_did_to_the_device_lately() {
    let held = compiled(&[HELD.to_owned()]);
    let now = 10 * HOUR;
    let hit = |incident, found| quarantined(incident, found);
    let denied = Earlier { then: vec![(State::Denied, now - 60)], ..hit("b", now - 120) };
    let notified = Earlier { level: Level::Notify, then: vec![(State::Approved, now - 60)], ..hit("b", now - 120) };
    for (what, earlier, escalates) in [
        ("nothing", vec![], false),
        ("one", vec![hit("a", now - 60)], false),
        ("two", vec![hit("a", now - 60), hit("b", now - 120)], true),
        ("two, one let go", vec![hit("a", now - 60), released("b", now - 120, now - 90)], true),
        ("two, one at the edge", vec![hit("a", now - 60), hit("b", now - 2 * HOUR)], true),
        ("one too long ago", vec![hit("a", now - 60), hit("b", now - 2 * HOUR - 1)], false),
        ("one of later", vec![hit("a", now - 60), hit("b", now + 1)], false),
        ("one of this incident", vec![hit("a", now - 60), hit("now", now - 120)], false),
        ("one by another playbook", vec![hit("a", now - 60), Earlier { playbook: "x", ..hit("b", now - 9) }], false),
        ("one of another device", vec![hit("a", now - 60), Earlier { device: "lamp-2", ..hit("b", now - 9) }], false),
        ("one that people denied", vec![hit("a", now - 60), denied], false),
        ("one in words", vec![hit("a", now - 60), notified], false),
    ] {
        let plans = held.plans(at(now), &finding(now), None, &book(&earlier), &Config::default()).unwrap();
        let [notify, step] = plans.as_slice() else { panic!("{what}: {plans:?}") };
        assert_eq!(notify.level, Level::Notify, "{what}: it has no escalation");
        // Another level may need another gateway.
        let (level, ttl, gateway) = if escalates {
            (Level::Disable, 12 * 3_600, None)
        } else {
            (Level::Quarantine, 3_600, Some("core".into()))
        };
        assert_eq!((step.level, step.ttl_seconds, &step.gateway), (level, Some(ttl), &gateway), "{what}");
        assert!(step.stops && step.approvals == 2, "{what}: the rest is the step's own");
    }
}

#[test]
fn conditions_know_what_was_done_to_the_device() {
    let config = Config { probation_seconds: 7_200, ..Config::default() };
    let all = compiled(&[
        notifies("often", 90, "repeats_24h >= 2"),
        notifies("probation", 80, "probation"),
        notifies("held-now", 70, "open_actions >= 1"),
        notifies("first", 60, "repeats_24h = 0 and not probation and open_actions = 0"),
    ]);
    let now = 48 * HOUR;
    let waiting = Earlier { then: vec![], ..quarantined("now", now - 60) };
    let refused = Earlier { then: vec![(State::Refused, now - 60)], ..quarantined("a", now - 60) };
    let unapplied = Earlier { then: vec![(State::Released, now - 60)], ..quarantined("now", now - 60) };
    let of_another = Earlier { device: "lamp-2", ..quarantined("a", now - 60) };
    for (what, earlier, playbook) in [
        ("nothing", vec![], Some("first")),
        ("another device's", vec![of_another], Some("first")),
        ("refused", vec![refused], Some("first")),
        ("two within a day", vec![quarantined("a", now - 24 * HOUR), quarantined("b", now - 60)], Some("often")),
        ("one a day ago", vec![quarantined("a", now - 24 * HOUR - 1), quarantined("b", now - 60)], Some("held-now")),
        ("let go just now", vec![released("a", now - HOUR, now)], Some("probation")),
        ("let go lately", vec![released("now", now - 9 * HOUR, now - 2 * HOUR + 1)], Some("probation")),
        ("let go long enough ago", vec![released("now", now - 9 * HOUR, now - 2 * HOUR)], Some("first")),
        ("never held, so not let go", vec![unapplied], Some("first")),
        ("held for this incident", vec![quarantined("now", now - 60)], Some("held-now")),
        ("not held yet", vec![waiting], Some("first")),
        ("once, and let go long ago", vec![released("a", now - 9 * HOUR, now - 3 * HOUR)], None),
    ] {
        let decided = decides(&all, now, now, &book(&earlier), &config);
        assert_eq!(decided.as_deref(), playbook, "{what}");
    }
}

/// Of history that is fed, findings have the times of then, and actions those of now.
#[test]
fn probation_goes_by_the_clock_where_findings_may_be_of_any_age() {
    let all = compiled(&[notifies("probation", 80, "probation"), notifies("else", 10, "true")]);
    let live = Config { probation_seconds: 7_200, ..Config::default() };
    let fed = Config { max_age_seconds: 0, ..live.clone() };
    let now = 48 * HOUR;
    let let_go_now = book(&[released("a", now - 2 * HOUR, now - HOUR)]);
    // A finding that comes late, of before the release.
    assert_eq!(decides(&all, now, now - 90 * 60, &let_go_now, &live).as_deref(), Some("else"));
    assert_eq!(decides(&all, now, now - 90 * 60, &let_go_now, &fed).as_deref(), Some("probation"));
    assert_eq!(decides(&all, now + HOUR, now + 60, &let_go_now, &live).as_deref(), Some("probation"));
    assert_eq!(decides(&all, now + HOUR, now + 60, &let_go_now, &fed).as_deref(), Some("else"));
}

#[test]
fn a_condition_that_cannot_be_computed_is_no_yes_and_the_next_playbook_decides() {
    let all = compiled(&[notifies("odd", 90, "10 / cast(repeats_24h as bigint) > 0"), notifies("next", 10, "true")]);
    assert_eq!(decides(&all, 0, 0, &Book::default(), &Config::default()).as_deref(), Some("next"));
    // Nobody knows the site of a finding without a device: null is no yes either.
    let all = compiled(&[notifies("site", 90, "site <> 'hall'"), notifies("next", 10, "true")]);
    assert_eq!(decides(&all, 0, 0, &Book::default(), &Config::default()).as_deref(), Some("next"));
}

#[test]
fn what_a_column_never_is_does_not_pass() {
    let parse = |when: &str| Playbook::parse(&notifies("typo", 50, when), "typo.toml").unwrap();
    for column in COLUMNS.iter().filter(|column| !column.values().is_empty()) {
        let name = column.name;
        let refused = CompiledPlaybooks::compile(Playbooks::new(vec![parse(&format!("{name} = 'hgih'"))]).unwrap());
        let error = refused.err().expect(name).to_string();
        assert!(error.starts_with("typo.toml") && error.contains(&format!("`{name}` is never `hgih`")), "{error}");
        for value in column.values() {
            assert!(column.meaning.contains(value), "`{value}` is not in what is said of {name}");
            compiled(&[notifies("right", 50, &format!("{name} in ('{value}')"))]);
        }
    }
}
