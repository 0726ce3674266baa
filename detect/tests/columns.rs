//! What rules may name: derived from windows, and documented as the code has it.

mod support;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use detect::RuleSet;
use detect::roster::Roster;
use detect::rules::RuleKind;
use detect::rules::columns::{ColumnMemory, Columns, NUMBERS, TEXTS};
use fleet::window::Details;
use fleet::{Device, Tick};
use support::{Minute, World, at};

const PAGE: &str = include_str!("../../docs/rules.md");

#[test]
fn the_documentation_lists_every_column_and_rule_as_the_code_has_it() {
    for (name, meaning) in TEXTS.iter().chain(&NUMBERS) {
        assert!(PAGE.contains(&format!("| `{name}` | {meaning} |\n")), "`{name}` is missing or different");
    }
    for rule in RuleSet::shipped().unwrap().rules {
        let kind = if rule.kind == RuleKind::Posture { "posture" } else { "behaviour" };
        let row = format!(
            "| `{}` | {kind} | {} | {} | {} | {} | `{}` |\n",
            rule.id, rule.severity, rule.technique, rule.weight, rule.title, rule.when
        );
        assert!(PAGE.contains(&row), "docs/rules.md lacks the row\n{row}");
    }
}

#[test]
fn shipped_rules_have_ids_of_their_own_and_weight_where_they_are_evidence() {
    let rules = RuleSet::shipped().unwrap().rules;
    let ids: BTreeSet<&str> = rules.iter().map(|rule| rule.id.as_str()).collect();
    assert_eq!(ids.len(), rules.len());
    for rule in &rules {
        assert_eq!(rule.kind == RuleKind::Behaviour, rule.weight > 0.0, "{}", rule.id);
        assert!(rule.technique.starts_with('T'), "{}", rule.id);
    }
}

/// Rows of one device's minutes, one after the other, without a baseline.
fn rows(minutes: Vec<(usize, Minute)>, devices: &[Arc<Device>]) -> Vec<Columns> {
    let mut roster = Roster::default();
    devices.iter().for_each(|device| roster.join(device));
    let mut memory = ColumnMemory::default();
    let mut rows = Vec::new();
    for (position, (device, minute)) in minutes.into_iter().enumerate() {
        let start = at(position as i64 + 15 * 60);
        let window = minute.window(devices[device].key, start, devices).unwrap();
        let tick = Tick { end: window.end, windows: vec![window], facts: Vec::new(), baseline_version: 0 };
        rows.extend(memory.rows(&tick, &roster, |_: &Device| None));
    }
    rows
}

fn number(row: &Columns, name: &str) -> f64 {
    row.numbers[NUMBERS.iter().position(|(column, _)| *column == name).unwrap()]
}

fn text<'r>(row: &'r Columns, name: &str) -> &'r str {
    row.text(TEXTS.iter().position(|(column, _)| *column == name).unwrap())
}

#[test]
fn what_the_device_and_the_clock_say() {
    let world = World::usual();
    let quiet = Minute::normal(&world.devices[0], 0, 0, 1);
    let row = &rows(vec![(0, quiet)], &world.devices)[0];
    assert_eq!((text(row, "device_id"), text(row, "device_type"), text(row, "site")), ("device-0", "camera", "north"));
    assert_eq!((text(row, "criticality"), text(row, "firmware")), ("medium", ""));
    assert_eq!((number(row, "hour"), number(row, "weekday"), number(row, "known_type")), (15.0, 0.0, 0.0));
}

#[test]
fn what_is_compared_with_the_window_before() {
    let world = World::usual();
    let told = |device: usize, details: Details| {
        let mut minute = Minute::normal(&world.devices[device], device, 0, 1);
        minute.details = Some(details);
        (device, minute)
    };
    let runs = |firmware: &str, configuration: &str| Details {
        firmware: Some(firmware.into()),
        configuration: Some(configuration.into()),
        ..Details::default()
    };
    let bears = |address: [u8; 4]| Details {
        tokens: vec!["t".into()],
        credential: Some("key".into()),
        addresses: vec![IpAddr::from(address)],
        ..Details::default()
    };
    let rows = rows(
        vec![
            told(0, runs("1.2.0", "a")),
            told(0, runs("1.10.0", "a")),
            told(0, runs("1.9.0", "b")),
            told(0, bears([10, 0, 0, 1])),
            told(0, bears([10, 0, 0, 1])),
            told(1, bears([10, 0, 0, 1])),
        ],
        &world.devices,
    );
    let column = |name: &str| rows.iter().map(|row| number(row, name) as u32).collect::<Vec<_>>();
    assert_eq!(column("firmware_downgraded"), [0, 0, 1, 0, 0, 0]);
    assert_eq!(column("configuration_changed"), [0, 0, 1, 0, 0, 0]);
    assert_eq!(column("token_reused"), [0, 0, 0, 0, 0, 1]);
    assert_eq!(column("credential_shared"), [0, 0, 0, 0, 0, 1]);
    assert_eq!(text(&rows[4], "firmware"), "1.9.0", "what it reported last");
}
