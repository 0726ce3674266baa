//! What is told: one message an incident and change, within each sink's limits.

use std::collections::BTreeMap;

use fleet::{EventTime, FindingKind, Level, Mode, Severity, State};
use responders::tell::{Addressed, Change, Kind, Names, Reporter, TellConfig, Teller, Verdict};

use crate::sample::{at, change, finding, incident};
use crate::validator::faults;

fn config(text: &str) -> TellConfig {
    #[derive(serde::Deserialize)]
    struct Responders {
        tell: TellConfig,
    }
    toml::from_str::<Responders>(text).unwrap().tell
}

const SIEM: &str = "[[tell]]\nkind = 'file'\nname = 'siem'\npath = 'events.jsonl'\n";
const CHAT: &str = "[[tell]]\nkind = 'chat'\nname = 'soc'\ntemplate = 'slack'\nurl = 'https://chat.example/hook'\nonly = { per_minute = 10 }\n";

fn teller(text: &str) -> Teller {
    Teller::new(Reporter::default(), &config(text))
}

fn kinds(told: &[Addressed]) -> Vec<Kind> {
    for addressed in told {
        assert_eq!(faults(&addressed.message.event), Vec::<String>::new());
        assert_eq!(addressed.message.event["metadata"]["uid"], addressed.message.key);
    }
    told.iter().map(|addressed| addressed.message.kind).collect()
}

fn tell(teller: &mut Teller, finding: &fleet::Finding, now: EventTime) -> Vec<Kind> {
    kinds(&teller.finding(finding, None, &Names::new(), now))
}

#[test]
fn a_hundred_findings_of_one_incident_are_one_message_and_its_raises() {
    let mut chat = teller(CHAT);
    let mut siem = teller(SIEM);
    let (mut people, mut machines) = (Vec::new(), Vec::new());
    for number in 0..100 {
        let severity = match number {
            0..30 => Severity::Medium,
            30..60 => Severity::High,
            _ => one_of(number),
        };
        let mut finding = finding("camera-01", "i1", severity);
        finding.finding_id = format!("f{number}");
        people.extend(tell(&mut chat, &finding, at(number * 60)));
        machines.extend(tell(&mut siem, &finding, at(number * 60)));
    }
    assert_eq!(people, [Kind::Opened, Kind::Raised, Kind::Raised]);
    use Kind::{Finding, Opened, Raised};
    assert_eq!(machines, [Opened, Finding, Raised, Finding, Raised, Finding]);
}

/// Up and down: only the first time up is news.
fn one_of(number: i64) -> Severity {
    if number % 2 == 0 { Severity::Critical } else { Severity::Low }
}

#[test]
fn an_anomaly_that_turns_out_to_be_somebodys_doing_is_news() {
    let mut chat = teller(CHAT);
    let mut odd = finding("camera-01", "i1", Severity::Medium);
    odd.kind = FindingKind::Anomaly;
    assert_eq!(tell(&mut chat, &odd, at(0)), [Kind::Opened]);
    odd.kind = FindingKind::Compromise;
    assert_eq!(tell(&mut chat, &odd, at(1)), [Kind::Raised]);
    odd.kind = FindingKind::Anomaly;
    assert_eq!(tell(&mut chat, &odd, at(2)), []);
}

#[test]
fn an_incident_opens_is_judged_and_closes_once() {
    let mut chat = teller(CHAT);
    let first = finding("camera-01", "i1", Severity::High);
    let mut about = incident(&first);
    assert_eq!(kinds(&chat.incident(&about, at(0))), [], "it is told with its finding");
    assert_eq!(tell(&mut chat, &first, at(0)), [Kind::Opened]);
    for minute in 1..50 {
        about.findings += 1;
        about.last_window = at(minute * 60);
        assert_eq!(kinds(&chat.incident(&about, at(minute * 60))), []);
    }
    about.severity = Severity::Critical;
    assert_eq!(kinds(&chat.incident(&about, at(3000))), [Kind::Raised]);
    assert_eq!(tell(&mut chat, &finding("camera-01", "i1", Severity::Critical), at(3001)), [], "it was told by now");
    assert_eq!(kinds(&chat.verdict("i1", None, Verdict::False, "ada", at(3002))), [Kind::Verdict]);
    assert_eq!(kinds(&chat.verdict("i1", None, Verdict::False, "ada", at(3003))), []);
    assert_eq!(kinds(&chat.verdict("i1", None, Verdict::Fault, "ada", at(3004))), [Kind::Verdict]);
    about.closed_at = Some(at(7200));
    let closed = chat.incident(&about, at(7200));
    assert_eq!(kinds(&closed), [Kind::Closed]);
    assert_eq!(closed[0].message.event["type_uid"], 200_503);
    assert_eq!(closed[0].message.event["verdict"], "Fault");
    assert_eq!(kinds(&chat.incident(&about, at(7260))), []);
    assert_eq!(tell(&mut chat, &finding("camera-01", "i1", Severity::Critical), at(7300)), []);
}

#[test]
fn a_verdict_on_an_incident_that_was_not_told_is_told_where_the_incident_is_known() {
    let mut chat = teller(CHAT);
    assert_eq!(kinds(&chat.verdict("i1", None, Verdict::True, "ada", at(0))), [], "of what?");
    let about = incident(&finding("camera-01", "i1", Severity::High));
    assert_eq!(kinds(&chat.verdict("i1", Some(about.clone()), Verdict::True, "ada", at(1))), [Kind::Verdict]);
    assert_eq!(kinds(&chat.verdict("i1", Some(about), Verdict::True, "ada", at(2))), []);
}

#[test]
fn people_hear_of_outcomes_and_machines_of_every_step() {
    let run = |text: &str, mode: Mode| {
        let mut teller = teller(text);
        tell(&mut teller, &finding("camera-01", "i1", Severity::High), at(0));
        use State::{Applied, Applying, Approved, Proposed, Released, Releasing, Verified};
        let path = [Proposed, Approved, Applying, Applied, Verified, Releasing, Released];
        let mut from = None;
        let mut told = Vec::new();
        for to in path {
            let change = change("a1", "i1", from, to, mode);
            told.extend(kinds(&teller.change(&change, None, &Names::new(), at(1))));
            // Read again from the journal after a restart, or tried again: nothing new.
            assert_eq!(kinds(&teller.change(&change, None, &Names::new(), at(2))), []);
            from = Some(to);
        }
        told.len()
    };
    assert_eq!((run(CHAT, Mode::Auto), run(SIEM, Mode::Auto)), (3, 7), "applied, verified, released; all of them");
    assert_eq!(run(CHAT, Mode::Approve), 5, "what waits for approval, and the approval, too");
}

#[test]
fn a_step_that_is_to_tell_somebody_reaches_whoever_was_not_told() {
    let tickets = "[[tell]]\nkind = 'ticket'\nname = 'desk'\ntemplate = 'ticket'\nurl = 'https://desk.example/new'\n";
    // Who hears of the incident, and then of the steps, `notify` before `ticket`.
    for (severity, opened, steps) in [
        (Severity::Low, vec![2, 2], vec![(0, Kind::Notify), (2, Kind::Notify), (1, Kind::Ticket), (2, Kind::Ticket)]),
        (Severity::Medium, vec![0, 2, 2], vec![(2, Kind::Notify), (1, Kind::Ticket), (2, Kind::Ticket)]),
        (Severity::High, vec![0, 1, 2, 2], vec![(2, Kind::Notify), (2, Kind::Ticket)]),
    ] {
        let mut all = teller(&[CHAT, tickets, SIEM].concat());
        let told = all.finding(&finding("camera-01", "i1", severity), None, &Names::new(), at(0));
        let mut sinks: Vec<usize> = told.iter().map(|told| told.sink).collect();
        sinks.sort_unstable();
        assert_eq!(sinks, opened, "{severity}");
        let mut told = Vec::new();
        for level in [Level::Notify, Level::Ticket] {
            let step = change(level.name(), "i1", Some(State::Proposed), State::Approved, Mode::Auto);
            let step = Change { level, ..step };
            told.extend(all.change(&step, None, &Names::new(), at(1)));
            assert!(all.change(&step, None, &Names::new(), at(2)).is_empty(), "once");
        }
        kinds(&told);
        let told: Vec<(usize, Kind)> = told.iter().map(|told| (told.sink, told.message.kind)).collect();
        assert_eq!(told, steps, "{severity}");
    }
    // Who said how grave things have to be is asked for nothing less.
    let mut pager = teller(&CHAT.replace("per_minute = 10", "min_severity = 'critical'"));
    let step = change("a", "i1", Some(State::Proposed), State::Approved, Mode::Auto);
    let step = Change { level: Level::Notify, ..step };
    pager.finding(&finding("camera-01", "i1", Severity::High), None, &Names::new(), at(0));
    assert!(pager.change(&step, None, &Names::new(), at(1)).is_empty());
    // What opened as something that it does not hear of, and turned, it was not told of.
    let mut desk = teller(&tickets.replace("name = 'desk'", "name = 'desk'\nonly = { kinds = ['compromise'] }"));
    let mut odd = finding("camera-01", "i1", Severity::High);
    odd.kind = FindingKind::Anomaly;
    assert!(desk.finding(&odd, None, &Names::new(), at(0)).is_empty());
    odd.kind = FindingKind::Compromise;
    assert!(desk.finding(&odd, None, &Names::new(), at(1)).is_empty(), "it hears of no raise");
    let told = desk.change(&Change { level: Level::Ticket, ..step }, None, &Names::new(), at(2));
    assert_eq!(kinds(&told), [Kind::Ticket]);
    let reaches =
        |text: &str| [Level::Notify, Level::Ticket, Level::Quarantine].map(|level| config(text).reaches(level));
    assert_eq!(reaches(SIEM), [true, false, true]);
    assert_eq!(reaches(&[CHAT, tickets].concat()), [true; 3]);
    assert_eq!(reaches("tell = []"), [false, false, true]);
}

#[test]
fn what_somebody_told_in_a_former_life_is_news_to_nobody() {
    let again = change("a1", "i1", Some(State::Verified), State::Applying, Mode::Auto);
    let mut chat = teller(CHAT);
    chat.knows(&again);
    let told_at = |seconds: i64| again.at.plus_seconds(seconds);
    assert_eq!(kinds(&chat.change(&again, None, &Names::new(), told_at(60))), []);
    let next = change("a1", "i1", Some(State::Applied), State::Verified, Mode::Auto);
    assert_eq!(kinds(&chat.change(&next, None, &Names::new(), told_at(61))), [Kind::Action]);
    assert_eq!(kinds(&chat.change(&again, None, &Names::new(), told_at(3_601))), [Kind::Action], "an hour later it is");
}

#[test]
fn who_keeps_undoing_it_is_told_of_once_an_hour() {
    let mut chat = teller(CHAT);
    tell(&mut chat, &finding("camera-01", "i1", Severity::High), at(0));
    let mut told = Vec::new();
    for minute in 0..90 {
        let mut again = change("a1", "i1", Some(State::Verified), State::Applying, Mode::Auto);
        again.seq = 100 + minute as u64;
        told.extend(chat.change(&again, None, &Names::new(), at(minute * 60)));
    }
    assert_eq!(kinds(&told), [Kind::Action, Kind::Action]);
    assert_ne!(told[0].message.key, told[1].message.key);
    assert!(told[0].message.title.contains("undone by somebody else"), "{}", told[0].message.title);
}

#[test]
fn who_keeps_talking_is_told_of_as_a_failure_is() {
    let mut chat = teller(&CHAT.replace("per_minute = 10", "min_severity = 'high'"));
    tell(&mut chat, &finding("camera-01", "i1", Severity::Medium), at(0));
    let change = |from| change("a1", "i1", Some(from), State::Verified, Mode::Auto);
    assert_eq!(kinds(&chat.change(&change(State::Applied), None, &Names::new(), at(1))), []);
    let told = chat.change(&change(State::Verified), None, &Names::new(), at(2));
    assert_eq!(kinds(&told), [Kind::Action]);
    let message = &told[0].message;
    assert_eq!((message.severity, &message.event["status_id"]), (Severity::High, &4.into()));
    assert!(message.title.contains("keeps talking"), "{}", message.title);
    assert_eq!(kinds(&chat.change(&change(State::Verified), None, &Names::new(), at(60))), [], "once");
}

#[test]
fn a_failure_is_told_to_whoever_hears_of_high_severity_only() {
    let mut chat = teller(&CHAT.replace("per_minute = 10", "min_severity = 'high'"));
    assert_eq!(tell(&mut chat, &finding("camera-01", "i1", Severity::Medium), at(0)), []);
    let change = |to| change("a1", "i1", Some(State::Applying), to, Mode::Auto);
    assert_eq!(kinds(&chat.change(&change(State::Applied), None, &Names::new(), at(1))), []);
    assert_eq!(kinds(&chat.change(&change(State::Failed), None, &Names::new(), at(2))), [Kind::Action]);
}

#[test]
fn a_sink_gets_only_what_it_asked_for() {
    let mut two = teller(&format!(
        "{SIEM}only = {{ kinds = ['fault'] }}\n{}",
        SIEM.replace("siem", "second").replace("events", "e2") + "only = { events = ['opened'] }\n"
    ));
    let told = two.finding(&finding("camera-01", "i1", Severity::Low), None, &Names::new(), at(0));
    assert_eq!(told.iter().map(|it| (it.sink, it.message.kind)).collect::<Vec<_>>(), [(1, Kind::Opened)]);
    let mut fault = finding("camera-01", "i2", Severity::Low);
    fault.kind = FindingKind::Fault;
    let told = two.finding(&fault, None, &Names::new(), at(0));
    let told: Vec<_> = told.iter().map(|it| (it.sink, it.message.kind)).collect();
    assert_eq!(told, [(0, Kind::Opened), (1, Kind::Opened), (0, Kind::Finding)]);
}

/// Incidents `from..to`, one each tenth of a second.
fn flood(teller: &mut Teller, from: i64, to: i64) -> Vec<Addressed> {
    let mut told = Vec::new();
    for number in from..to {
        let mut one = finding(&format!("d{number}"), &format!("i{number}"), Severity::Medium);
        one.device_type = if number % 5 < 3 { "camera".into() } else { "plug".into() };
        if number == 77 {
            one.severity = Severity::Critical;
        }
        let now = EventTime(at(0).0 + number * 100_000);
        told.extend(teller.finding(&one, None, &Names::new(), now));
    }
    told
}

#[test]
fn five_hundred_incidents_are_ten_messages_and_a_digest() {
    let mut chat = teller(CHAT);
    let mut told = flood(&mut chat, 0, 500);
    assert_eq!(told.len(), 10, "within 50 seconds as many as a minute may have");
    assert_eq!(chat.tick(at(60)), [], "the digest's minute began with the first message that was held back");
    told.extend(chat.tick(at(61)));
    assert_eq!(told.len(), 11);
    let digest = &told[10].message;
    assert_eq!(digest.kind, Kind::Digest);
    assert_eq!(faults(&digest.event), Vec::<String>::new());
    assert_eq!(digest.title, "490 incidents: 294 camera, 196 plug");
    assert_eq!(digest.severity, Severity::Critical);
    assert!(digest.text.contains("\n- Critical compromise: d77 "), "{}", digest.text);
    assert_eq!(digest.text.lines().count(), 6, "the worst five: {}", digest.text);
    assert_eq!(digest.event["unmapped"]["incidents"], 490);
    assert_eq!(chat.tick(at(200)), [], "once");
}

#[test]
fn what_goes_on_for_ten_minutes_is_eleven_messages_a_minute() {
    let mut chat = teller(CHAT);
    let mut by_minute: BTreeMap<i64, usize> = BTreeMap::new();
    let mut single = 0;
    let mut in_digests = 0;
    for number in 0..6_000 {
        let now = EventTime(at(0).0 + number * 100_000);
        let mut told = chat.tick(now);
        told.extend(flood(&mut chat, number, number + 1));
        for addressed in told {
            *by_minute.entry(number / 600).or_default() += 1;
            match addressed.message.event["unmapped"]["messages"].as_u64() {
                Some(messages) if addressed.message.kind == Kind::Digest => in_digests += messages,
                _ => single += 1,
            }
        }
    }
    assert!(by_minute.values().all(|count| *count <= 12), "{by_minute:?}");
    in_digests +=
        chat.tick(at(700)).iter().filter_map(|it| it.message.event["unmapped"]["messages"].as_u64()).sum::<u64>();
    assert_eq!(single + in_digests, 6_000, "nothing is left out");
}

#[test]
fn a_bucket_fills_up_again_and_no_further() {
    let mut chat = teller(&CHAT.replace("10", "6"));
    assert_eq!(flood(&mut chat, 0, 6).len(), 6);
    // Ten seconds are one message of six a minute.
    let at_second =
        |chat: &mut Teller, second: i64, id: &str| tell(chat, &finding("d", id, Severity::High), at(second)).len();
    assert_eq!(at_second(&mut chat, 11, "a"), 1);
    assert_eq!(at_second(&mut chat, 3600, "b"), 1);
    let more: usize = (0..20).map(|number| at_second(&mut chat, 3600, &format!("c{number}"))).sum();
    assert_eq!(more, 5, "an hour of silence saves up no more than a minute's");
}

#[test]
fn a_clock_that_is_put_back_neither_floods_nor_silences() {
    let mut chat = teller(CHAT);
    assert_eq!(flood(&mut chat, 0, 40).len(), 10);
    let told = chat.tick(at(-86_400));
    assert_eq!(told.len(), 1, "the digest does not wait for yesterday's tomorrow");
    let now = at(-86_400 + 60);
    assert_eq!(tell(&mut chat, &finding("d", "later", Severity::High), at(-86_400)), [], "the bucket is still empty");
    assert_eq!(kinds(&chat.tick(now)), [Kind::Digest]);
    assert_eq!(tell(&mut chat, &finding("d", "much later", Severity::High), now), [Kind::Opened]);
}

#[test]
fn a_restart_tells_nothing_twice_and_keeps_the_digest() {
    let mut before = teller(CHAT);
    assert_eq!(flood(&mut before, 0, 30).len(), 10);
    let memory = before.memory();
    let mut after = teller(CHAT);
    after.recall(&memory).unwrap();
    assert_eq!(after.memory(), memory);
    assert_eq!(flood(&mut after, 0, 30), [], "all of them are known");
    let (told, expected) = (after.tick(at(100)), before.tick(at(100)));
    assert_eq!(told, expected);
    assert_eq!(told[0].message.title, "20 incidents: 12 camera, 8 plug");
    assert!(after.recall(b"nonsense").is_err());
    // Whoever starts without a memory says the same under the same key.
    let mut forgetful = teller(CHAT);
    let again = flood(&mut forgetful, 0, 1);
    let mut first = teller(CHAT);
    assert_eq!(flood(&mut first, 0, 1)[0].message.key, again[0].message.key);
}
