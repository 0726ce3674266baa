//! Each rule of the score card on hand-made rows. Times are hours after the judged part begins.

use fleet::action::State;
use fleet::finding::{Confidence, Scope, Severity};
use fleet::{Level, MICROS_PER_SECOND, Mode, Position};

use super::curve::CurveInputPoint;
use super::run::RunState;
use super::text::{Table, WIDTH, cut, duration, grouped, listed, moment, wrap};
use super::*;

fn hours(hours: f64) -> EventTime {
    EventTime::parse("2026-03-06T00:00:00Z").unwrap().plus_seconds((hours * 3600.0).round() as i64)
}

fn minutes(count: f64) -> EventTime {
    hours(count / 60.0)
}

fn episode(name: &str, device: &str, start: EventTime, end: EventTime, incident: bool) -> Episode {
    Episode { name: name.into(), device_ids: device.split(' ').map(str::to_string).collect(), start, end, incident }
}

/// A minute's window that ends at `end` and is emitted 70 s later.
fn finding(device: &str, end: EventTime) -> Finding {
    Finding {
        finding_id: format!("{device}-{}", end.0),
        incident_id: format!("incident-{device}"),
        scope: Scope::Device,
        device_id: device.into(),
        devices: vec![device.into()],
        device_type: "camera".into(),
        kind: FindingKind::Compromise,
        severity: Severity::High,
        confidence: Confidence::Ready,
        score: 20.0,
        line: 10.0,
        p_value: 1e-4,
        detectors: vec!["destinations".into()],
        technique: "T1071".into(),
        emitted_at: end.plus_seconds(70),
        window_start: end.plus_seconds(-60),
        window_end: end,
        baseline_version: 1,
        reasons: vec![],
        explanation: String::new(),
    }
}

fn group_finding(devices: &[&str], kind: FindingKind, end: EventTime) -> Finding {
    Finding {
        finding_id: format!("group-{}", end.0),
        incident_id: "group".into(),
        scope: Scope::Fleet,
        device_id: "".into(),
        devices: devices.iter().map(|&id| id.into()).collect(),
        kind,
        ..finding("", end)
    }
}

fn action(device: &str, decided_at: EventTime) -> Action {
    Action {
        action_id: format!("action-{device}-{}", decided_at.0),
        seq: 1,
        at: decided_at,
        state: State::Proposed,
        note: SmolStr::default(),
        incident_id: String::new(),
        finding_id: String::new(),
        device_id: device.into(),
        device_type: "camera".into(),
        level: Level::Quarantine,
        mode: Mode::Observe,
        gateway: SmolStr::default(),
        playbook: "compromise".into(),
        by: "policy".into(),
        reason: String::new(),
        decided_at,
        until: None,
    }
}

/// Two judged days; cameras c1, c2, c3, and one plug p1.
fn inputs(episodes: Vec<Episode>, findings: Vec<Finding>) -> Inputs {
    let device = |id: &str, device_type: &str| JudgedDevice {
        id: id.into(),
        device_type: device_type.into(),
        standing: Standing::Active,
    };
    Inputs {
        run: RunInfo {
            dataset: "hand".into(),
            title: "made by hand".into(),
            semi_synthetic: true,
            seed: 7,
            version: "0.1.0".into(),
            baseline_version: 1,
            budget: 20.0,
            learn_until: hours(0.0),
            end: hours(48.0),
            days_watched: None,
            episodes,
            sources: vec!["flows.jsonl.gz".into()],
            topics: vec![],
            readings: 1000,
            rejected: [("not_json".to_string(), 2), ("bad_field".to_string(), 1)].into(),
            late: 4,
            seconds: 2.0,
            state: RunState::Complete,
        },
        findings,
        actions: vec![],
        devices: vec![device("c1", "camera"), device("c2", "camera"), device("c3", "camera"), device("p1", "plug")],
        windows: vec![],
        curve: CurveInput::default(),
    }
}

fn card(episodes: Vec<Episode>, findings: Vec<Finding>) -> ScoreCard {
    ScoreCard::compute(&inputs(episodes, findings))
}

fn mirai() -> Episode {
    episode("mirai", "c1", hours(1.0), hours(2.0), true)
}

/// Of findings on an otherwise quiet fleet.
fn false_count(findings: Vec<Finding>) -> u64 {
    card(vec![], findings).false_incidents
}

#[test]
fn the_first_of_several_findings_gives_the_time_to_detect() {
    let mut early = finding("c1", minutes(62.0));
    early.detectors = vec!["scan".into(), "destinations".into()];
    let card = card(vec![mirai()], vec![finding("c1", minutes(90.0)), early]);
    let incident = &card.incidents[0];
    assert!(incident.detected);
    assert_eq!((incident.seconds_to_detect, incident.findings), (Some(190.0), 2));
    assert_eq!(incident.first_finding_at, Some(minutes(62.0).plus_seconds(70)));
    assert_eq!(incident.detectors, ["scan", "destinations"]);
    assert_eq!((card.incidents_detected, card.incidents_total, card.false_incidents), (1, 1, 0));
}

#[test]
fn grace_is_a_quarter_of_an_hour_after_the_end() {
    let inside = finding("c1", hours(2.0).plus_seconds(15 * 60 + 59));
    let outside = finding("c1", hours(2.0).plus_seconds(15 * 60 + 60));
    assert_eq!(card(vec![mirai()], vec![inside]).incidents_detected, 1);
    let missed = card(vec![mirai()], vec![outside]);
    assert_eq!((missed.incidents_detected, missed.false_incidents), (0, 1));
}

#[test]
fn windows_must_overlap_and_the_emission_come_after_the_start() {
    let before = finding("c1", hours(1.0));
    let missed = card(vec![mirai()], vec![before.clone()]);
    assert_eq!(
        (missed.incidents_detected, missed.false_incidents),
        (0, 1),
        "its window ends where the incident begins"
    );

    let mut hasty = finding("c1", hours(1.0).plus_seconds(30));
    assert_eq!(card(vec![mirai()], vec![hasty.clone()]).incidents_detected, 1);
    hasty.emitted_at = hours(1.0);
    let missed = card(vec![mirai()], vec![hasty]);
    assert_eq!((missed.incidents_detected, missed.false_incidents), (0, 1), "said before it began");
}

#[test]
fn a_finding_speaks_for_its_last_quarter_of_an_hour() {
    let short = episode("short", "c1", hours(1.0), hours(1.0), true);
    let mut day_long = finding("c1", hours(20.0));
    day_long.window_start = hours(0.5);
    let card = card(vec![short], vec![day_long]);
    assert_eq!((card.incidents_detected, card.false_incidents), (0, 1));
    assert_eq!(card.false_incident_list[0].start, hours(19.75));
    assert_eq!(card.false_incident_list[0].detectors, ["destinations"]);
}

#[test]
fn another_device_group_findings_and_inventory_findings_detect_nothing() {
    let other = finding("c2", minutes(65.0));
    let group = group_finding(&["c1", "c2"], FindingKind::Change, minutes(66.0));
    let mut quiet = vec![other, group];
    for kind in [FindingKind::UnknownDevice, FindingKind::RetiredDevice, FindingKind::Posture] {
        quiet.push(Finding { kind, ..finding("c1", minutes(67.0)) });
    }
    let card = card(vec![mirai()], quiet);
    assert_eq!(card.incidents_detected, 0);
    assert_eq!(card.false_incidents, 1, "c2's alone");
    assert_eq!(card.unknown_devices, BTreeSet::from(["c1".into()]));
}

#[test]
fn a_device_finding_of_any_other_kind_counts() {
    for kind in [FindingKind::Anomaly, FindingKind::Fault, FindingKind::Change, FindingKind::Outage] {
        assert_eq!(false_count(vec![Finding { kind, ..finding("c1", hours(5.0)) }]), 1, "{kind}");
    }
}

#[test]
fn an_incident_of_several_devices_is_found_on_any_of_them() {
    let worm = episode("worm", "c1 c2", hours(1.0), hours(2.0), true);
    let card = card(vec![worm], vec![finding("c2", minutes(61.0))]);
    assert_eq!((card.incidents_detected, card.false_incidents), (1, 0));
    let json = serde_json::to_value(&card).unwrap();
    assert_eq!(json["incidents"][0]["device_id"], serde_json::json!(["c1", "c2"]));
}

#[test]
fn misses_count_as_infinite() {
    let episodes = |count: usize| {
        (0..count).map(|n| episode(&format!("e{n}"), "c1", hours(n as f64), hours(n as f64 + 0.1), true)).collect()
    };
    let found = |hour: f64| finding("c1", hours(hour).plus_seconds(60));
    let all = card(episodes(3), vec![found(0.0), found(1.0), found(2.0)]);
    assert_eq!(all.seconds_to_detect, TimeToDetect { p50: Some(130.0), p95: Some(130.0) });
    let two = card(episodes(3), vec![found(0.0), found(1.0)]);
    assert_eq!(two.seconds_to_detect, TimeToDetect { p50: Some(130.0), p95: None });
    let half = card(episodes(4), vec![found(0.0), found(1.0)]);
    assert_eq!(half.seconds_to_detect, TimeToDetect { p50: None, p95: None });
    assert_eq!(serde_json::to_value(&half).unwrap()["seconds_to_detect"]["p50"], serde_json::Value::Null);
    assert_eq!(card(vec![], vec![]).seconds_to_detect, TimeToDetect { p50: None, p95: None });
}

#[test]
fn quantiles_interpolate_as_numpy_does() {
    let values = [40.0, 10.0, 20.0, 30.0];
    assert_eq!(quantile(&values, 0.5), Some(25.0));
    assert_eq!(quantile(&values, 0.95), Some(38.5));
    assert_eq!(quantile(&[1.0, f64::INFINITY], 0.0), Some(1.0));
    assert_eq!(quantile(&[1.0, f64::INFINITY], 0.1), None);
    assert_eq!(quantile(&[], 0.5), None);
}

#[test]
fn findings_less_than_three_hours_apart_are_one_false_incident() {
    let first = finding("c1", hours(5.0));
    let next_start_after = |seconds: i64| finding("c1", hours(5.0).plus_seconds(seconds + 60));
    assert_eq!(false_count(vec![first.clone(), next_start_after(3 * 3600 - 1)]), 1);
    assert_eq!(false_count(vec![first.clone(), next_start_after(3 * 3600)]), 2);
    assert_eq!(false_count(vec![first, finding("c2", hours(5.0))]), 2, "devices are not joined");
}

#[test]
fn one_for_every_24_hours_begun() {
    let chain = |hours_long: i64| -> Vec<Finding> {
        let ends = (0..=hours_long).map(|hour| hours(1.0).plus_seconds(hour * 3600));
        ends.map(|end| Finding { window_start: end, ..finding("c1", end) }).collect()
    };
    assert_eq!(false_count(chain(23)), 1);
    assert_eq!(false_count(chain(24)), 1);
    assert_eq!(false_count(chain(25)), 2);
    let mut shuffled = chain(25);
    shuffled.reverse();
    let card = card(vec![], shuffled);
    assert_eq!((card.false_incident_list.len(), card.false_incident_list[0].findings), (1, 26));
}

#[test]
fn an_incident_between_them_does_not_join_false_findings() {
    let episodes = vec![episode("middle", "c1", hours(4.0), hours(8.0), true)];
    let findings = vec![finding("c1", hours(3.5)), finding("c1", hours(6.0)), finding("c1", hours(9.0))];
    let card = card(episodes, findings);
    assert_eq!((card.false_incidents, card.incidents_detected), (2, 1));
}

#[test]
fn a_group_finding_that_absorbs_it_later_erases_nothing() {
    let mut absorbed = finding("c1", hours(5.0));
    absorbed.incident_id = "group".into();
    let group = group_finding(&["c1", "c2", "c3"], FindingKind::Change, hours(5.1));
    assert_eq!(false_count(vec![absorbed, group]), 1);
}

#[test]
fn only_the_judged_part_counts() {
    let episodes = vec![
        episode("learning", "c1", hours(-5.0), hours(-4.0), true),
        episode("straddling", "c2", hours(-1.0), hours(1.0), true),
        episode("beyond", "c1", hours(48.0), hours(49.0), true),
    ];
    let findings = vec![finding("c3", hours(-2.0)), finding("c3", hours(0.0)), finding("c3", hours(48.02))];
    let card = card(episodes, findings);
    assert_eq!(card.incidents.iter().map(|incident| &incident.name[..]).collect::<Vec<_>>(), ["straddling"]);
    assert_eq!(card.false_incidents, 0);
    assert_eq!(false_count(vec![finding("c3", minutes(1.0))]), 1);
    assert_eq!(false_count(vec![finding("c3", hours(48.0))]), 1, "emitted after the end, of the last judged window");
}

#[test]
fn device_days_and_rates() {
    let mut inputs = inputs(vec![], vec![finding("c1", hours(5.0))]);
    inputs.devices.push(JudgedDevice { id: "old".into(), device_type: "plug".into(), standing: Standing::Retired });
    let card = ScoreCard::compute(&inputs);
    assert_eq!((card.devices, card.device_days_judged), (4, 8.0));
    assert_eq!(card.false_incidents_per_1000_device_days, Some(125.0));
    let rate = card.false_incident_rate.unwrap();
    assert!((rate.lower - 0.02532 * 125.0).abs() < 0.01 && (rate.upper - 5.5716 * 125.0).abs() < 0.1, "{rate:?}");
    assert_eq!((card.rejected, card.late, card.readings_per_second), (3, 4, Some(500.0)));

    inputs.run.days_watched = Some([("c1".into(), 0.5), ("p1".into(), 1.5)].into());
    let card = ScoreCard::compute(&inputs);
    assert_eq!(card.false_incidents_per_1000_device_days, Some(500.0));
    let days = card.by_cohort_size.iter().map(|row| (row.size, row.device_days));
    assert_eq!(days.collect::<Vec<_>>(), [(1, 1.5), (3, 0.5)], "each device's own days");
    inputs.run.days_watched = None;
    let unknown = JudgedDevice { id: "forged".into(), device_type: "".into(), standing: Standing::Unknown };
    inputs.devices.push(unknown.clone());
    assert_eq!(ScoreCard::compute(&inputs).device_days_judged, 8.0, "an unknown device dilutes nothing");
    inputs.devices = vec![unknown];
    assert_eq!(ScoreCard::compute(&inputs).device_days_judged, 2.0, "without an inventory they are all there is");
    inputs.devices.clear();
    assert_eq!(ScoreCard::compute(&inputs).false_incidents_per_1000_device_days, None);
}

#[test]
fn benign_changes_take_their_own_devices_and_time() {
    let change = || episode("roll-out", "c1 c2", hours(10.0), hours(12.0), false);
    let hidden = episode("hidden", "c2", hours(11.0), hours(12.0), true);
    let findings = vec![
        finding("c1", hours(11.0)),
        finding("c1", hours(11.5)),
        finding("c2", hours(11.5)),
        finding("c3", hours(11.0)),
        finding("c1", hours(20.0)),
        group_finding(&["c1", "c2"], FindingKind::Change, hours(10.5)),
        group_finding(&["c1", "c2"], FindingKind::Change, hours(11.5)),
        group_finding(&["c3"], FindingKind::Change, hours(11.6)),
        group_finding(&["c1"], FindingKind::Posture, hours(11.7)),
        group_finding(&["c1"], FindingKind::Change, hours(13.0)),
    ];
    let mut inputs = inputs(vec![change(), hidden], findings);
    inputs.actions = vec![action("c1", hours(11.0)), action("c2", hours(11.5)), action("c3", hours(11.0))];
    let card = ScoreCard::compute(&inputs);
    let expected = BenignChange {
        name: "roll-out".into(),
        device_incidents: 1,
        fleet_findings: 2,
        fleet_incidents: 1,
        would_quarantine: 1,
    };
    assert_eq!(card.benign_changes, [expected]);
    assert_eq!(card.false_incidents, 3, "a benign change covers nothing: c1 twice, c3");
}

#[test]
fn quarantines_within_and_outside_incidents() {
    let mut inputs = inputs(vec![mirai()], vec![]);
    let refused = Action { state: State::Refused, ..action("c2", hours(1.5)) };
    let notified = Action { level: Level::Notify, ..action("c2", hours(1.5)) };
    inputs.actions = vec![action("c1", hours(1.5)), action("c1", hours(1.6)), refused, notified];
    let quarantined = ScoreCard::compute(&inputs).would_quarantine;
    assert_eq!((quarantined.incident_devices, quarantined.benign_devices, quarantined.before_its_end), (1, 0, 1));

    inputs.actions = vec![action("c1", hours(2.2)), action("c1", hours(9.0)), action("p1", hours(1.5))];
    let quarantined = ScoreCard::compute(&inputs).would_quarantine;
    assert_eq!((quarantined.incident_devices, quarantined.benign_devices, quarantined.before_its_end), (1, 2, 0));
    assert_eq!(quarantined.benign_device_ids, BTreeSet::from(["c1".into(), "p1".into()]));

    inputs.actions = vec![action("c1", hours(-1.0))];
    assert_eq!(ScoreCard::compute(&inputs).would_quarantine, Quarantined::default());
}

#[test]
fn the_curve_is_counted_by_the_same_rules() {
    let point = |budget: f64, findings: &[Finding]| CurveInputPoint {
        budget,
        line: 100.0 / budget,
        findings: findings.iter().filter_map(Alarm::of).collect(),
    };
    let caught = finding("c1", minutes(62.0));
    let noise = finding("c2", hours(5.0));
    let mut inputs = inputs(vec![mirai()], vec![]);
    inputs.curve = CurveInput(vec![point(100.0, &[caught, noise.clone(), noise]), point(5.0, &[]), point(20.0, &[])]);
    let curve = ScoreCard::compute(&inputs).operating_curve;
    assert_eq!(curve.iter().map(|point| point.budget).collect::<Vec<_>>(), [20.0, 100.0], "5 asks for too little here");
    assert_eq!((curve[0].incidents_detected, curve[0].false_incidents, curve[0].seconds_to_detect_p50), (0, 0, None));
    assert_eq!((curve[1].incidents_detected, curve[1].false_incidents), (1, 1));
    assert_eq!(curve[1].seconds_to_detect_p50, Some(190.0));
    assert_eq!(curve[1].false_incidents_per_1000_device_days, Some(125.0));
    assert!(curve[1].lower < Some(125.0) && curve[1].upper > Some(125.0));

    inputs.run.days_watched = Some([("c1".into(), 10_000.0)].into());
    assert_eq!(ScoreCard::compute(&inputs).operating_curve[0].budget, 5.0);
    let text = serde_json::to_string(&inputs.curve).unwrap();
    assert_eq!(serde_json::from_str::<CurveInput>(&text).unwrap(), inputs.curve);
}

#[test]
fn cohort_sizes_share_out_everything() {
    let episodes = vec![mirai(), episode("plug", "p1", hours(1.0), hours(2.0), true)];
    let stranger = finding("unknown-1", hours(7.0));
    let mut inputs = inputs(episodes, vec![finding("c1", minutes(65.0)), finding("c2", hours(7.0)), stranger]);
    inputs.devices.push(JudgedDevice { id: "unknown-1".into(), device_type: "".into(), standing: Standing::Unknown });
    let card = ScoreCard::compute(&inputs);
    let rows: Vec<_> = card
        .by_cohort_size
        .iter()
        .map(|row| (row.size, row.types.join(" "), row.incidents_detected, row.incidents_total, row.false_incidents))
        .collect();
    assert_eq!(rows, [(0, "".into(), 0, 0, 1), (1, "plug".into(), 0, 1, 0), (3, "camera".into(), 1, 1, 1),]);
    assert_eq!(card.by_cohort_size.iter().map(|row| row.device_days).sum::<f64>(), card.device_days_judged);
}

#[test]
fn windows_are_ranked_by_score() {
    let mut inputs = inputs(vec![], vec![]);
    assert_eq!(ScoreCard::compute(&inputs).window_roc_auc, None);
    let windows = [(0.1, false), (0.4, false), (0.35, true), (0.8, true)];
    inputs.windows = windows.map(|(score, malicious)| JudgedWindow { score, malicious }).to_vec();
    let card = ScoreCard::compute(&inputs);
    assert_eq!(card.window_roc_auc, Some(0.75));
    assert!((card.window_average_precision.unwrap() - 0.8333).abs() < 1e-3);
}

#[test]
fn poisson_bounds_are_exact() {
    // R: poisson.test(k)$conf.int
    for (count, lower, upper) in [
        (0, 0.0, 3.688879),
        (1, 0.025318, 5.571643),
        (10, 4.795389, 18.390356),
        (100, 81.363992, 121.627),
        (2000, 1913.30, 2089.62),
    ] {
        let (low, high) = poisson::bounds(count);
        assert!((low - lower).abs() < 1e-4 * (1.0 + lower), "{count}: {low} for {lower}");
        assert!((high - upper).abs() < 1e-4 * (1.0 + upper), "{count}: {high} for {upper}");
    }
}

#[test]
fn json_has_the_promised_keys_in_their_order() {
    let mut inputs = inputs(vec![mirai(), episode("lease", "c2", hours(3.0), hours(4.0), false)], vec![]);
    inputs.curve = CurveInput(vec![CurveInputPoint { budget: 10.0, line: 12.0, findings: vec![] }]);
    let text = serde_json::to_string(&ScoreCard::compute(&inputs)).unwrap();
    let mut rest = &text[..];
    for key in
        "dataset semi_synthetic seed version baseline_version budget devices device_days_judged readings rejected \
                late seconds readings_per_second incidents name device_id start end detected first_finding_at \
                seconds_to_detect findings detectors incidents_detected incidents_total seconds_to_detect p50 p95 \
                false_incidents false_incidents_per_1000_device_days benign_changes name device_incidents \
                fleet_findings would_quarantine unknown_devices would_quarantine incident_devices benign_devices \
                operating_curve budget incidents_detected false_incidents_per_1000_device_days seconds_to_detect_p50 \
                by_cohort_size window_roc_auc window_average_precision"
            .split_whitespace()
    {
        let found = rest.find(&format!("\"{key}\":"));
        let place = found.unwrap_or_else(|| panic!("`{key}` is missing, or out of order, in {text}"));
        rest = &rest[place + 1..];
    }
    assert!(text.contains(r#""start":"2026-03-06T01:00:00Z""#), "{text}");
    assert!(text.contains(r#""seconds_to_detect":null"#), "{text}");
}

#[test]
fn the_card_fits_a_terminal_and_says_what_it_is() {
    let long_ago = episode(&"a-very-long-name-".repeat(6), "c1", hours(1.0), hours(2.0), true);
    let mut caught = finding("c1", minutes(62.0));
    caught.detectors = vec!["destinations-and-many-more".into(); 5];
    let mut inputs = inputs(vec![long_ago, mirai()], vec![caught, finding("c2", hours(5.0))]);
    inputs.actions = vec![action("c1", minutes(62.0)), action("c2", hours(5.0))];
    inputs.curve = CurveInput(vec![CurveInputPoint { budget: 10.0, line: 12.0, findings: vec![] }]);
    let text = ScoreCard::compute(&inputs).render();
    for line in text.lines() {
        assert!(line.chars().count() <= WIDTH, "{} characters: {line}", line.chars().count());
    }
    for part in [
        "Semi-synthetic",
        "Found 2 of 2 incidents",
        "median 3:10",
        "1 false incident in 8 device-days: 125.0",
        "quarantined 1 device during an incident and 1 other (c2)",
        "Rejected: bad_field 1, not_json 2",
    ] {
        assert!(text.replace('\n', " ").contains(part), "no `{part}` in\n{text}");
    }
    inputs.run.semi_synthetic = false;
    assert!(!ScoreCard::compute(&inputs).render().contains("Semi-synthetic"));
}

#[test]
fn text_helpers() {
    assert_eq!((duration(190.4), duration(3723.0), duration(0.0)), ("3:10".into(), "1:02:03".into(), "0:00".into()));
    assert_eq!(duration(-61.0), "-1:01");
    assert_eq!(grouped(1_234_567), "1,234,567");
    assert_eq!(grouped(999), "999");
    assert_eq!(moment(EventTime(hours(4.5).0 + MICROS_PER_SECOND / 2)), "2026-03-06 04:30:00");
    assert_eq!(listed(["a", "b", "c"]), "a, b and c");
    assert_eq!(cut("abcdef", 4), "abc…");
    assert!(wrap(&"word ".repeat(60), "  ").lines().all(|line| line.starts_with("  word") && line.len() <= WIDTH));
    let mut table = Table::new(&["name", ">count"]);
    table.row(["a", "5"]);
    table.row(["longer", "12,345"]);
    assert_eq!(table.render(), "name     count\na            5\nlonger  12,345\n");
    let mut wide = Table::new(&["!id", "text"]);
    wide.row(["i".repeat(70), "t".repeat(70)]);
    let line = wide.render().lines().nth(1).unwrap_or_default().to_string();
    assert!(line.starts_with(&"i".repeat(70)) && line.ends_with('…') && line.chars().count() == WIDTH, "{line}");
}

#[test]
fn a_run_survives_its_file_and_names_places() {
    let run = inputs(vec![mirai()], vec![]).run;
    let text = serde_json::to_string(&run).unwrap();
    assert_eq!(serde_json::from_str::<RunInfo>(&text).unwrap(), run);
    assert_eq!(run.place_of(Position { source: 0, offset: 41 }), "flows.jsonl.gz:42");
    assert_eq!(run.place_of(Position { source: 9, offset: 0 }), "source 9:1");
}
