//! Each shipped rule: windows that trigger it, and windows that come close and must not. Columns are derived as in a lane.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use baseline::{Baselines, Period};
use detect::roster::Roster;
use detect::rules::columns::ColumnMemory;
use fleet::device::Standing;
use fleet::reading::{Position, Protocol};
use fleet::window::{Destination, Details};
use fleet::{Cohort, Contact, Criticality, Device, DeviceKey, Direction, EventTime, FEATURES, Profile, Service, Tick};
use smol_str::SmolStr;

use super::*;

const MORNING: &str = "2026-03-02T10:00:00Z";
const NIGHT: &str = "2026-03-02T03:00:00Z";
const SATURDAY: &str = "2026-03-07T10:00:00Z";
/// Two cameras of production, and one device of a type that was never learned.
const CAMERA: u32 = 0;
const OTHER_CAMERA: u32 = 1;
const NOVELTY: u32 = 2;

fn devices() -> Vec<Arc<Device>> {
    let device = |key: u32, device_type: &str, purpose: &str| {
        Arc::new(Device {
            key: DeviceKey(key),
            id: SmolStr::new(format!("device-{key}")),
            criticality: Criticality::Medium,
            standing: Standing::Active,
            profile: Arc::new(Profile {
                device_type: SmolStr::new(device_type),
                site: "north".into(),
                firmware: "2.0.0".into(),
                purpose: SmolStr::new(purpose),
                cohort: Cohort { device_type: SmolStr::new(device_type), segment: SmolStr::default(), shard: 0 },
                ..Profile::default()
            }),
        })
    };
    vec![
        device(CAMERA, "camera", "production"),
        device(OTHER_CAMERA, "camera", "production"),
        device(NOVELTY, "novelty", ""),
    ]
}

/// A device says nothing of note.
fn window(device: u32, time: &str) -> Window {
    let start = EventTime::parse(time).unwrap();
    Window {
        device: DeviceKey(device),
        start,
        end: start.plus_seconds(60),
        features: [0.0; FEATURES],
        contacts: Vec::new(),
        details: None,
        first_record: Position::default(),
        last_record: Position::default(),
        records: 1,
        malicious: 0,
    }
}

/// Changes a window and gives it back: so a case reads in one line.
trait With: Sized {
    fn feature(self, feature: Feature, value: f32) -> Self;
    fn details(self, change: impl FnOnce(&mut Details)) -> Self;
    fn contact(self, service: &str, destination: &str, direction: Direction) -> Self;
    /// Of the last contact.
    fn peer(self, device: u32) -> Self;
    fn refused(self) -> Self;
}

impl With for Window {
    fn feature(mut self, feature: Feature, value: f32) -> Window {
        self.features[feature.index()] = value;
        self
    }

    fn details(mut self, change: impl FnOnce(&mut Details)) -> Window {
        change(self.details.get_or_insert_with(Box::default));
        self
    }

    fn contact(mut self, service: &str, destination: &str, direction: Direction) -> Window {
        self.contacts.push(Contact {
            service: Service(SmolStr::new(service)),
            destination: Destination::parse(destination),
            port: 0,
            protocol: Protocol::Tcp,
            direction,
            peer: None,
            flows: 1,
            refused: 0,
            bytes_out: 10,
            bytes_in: 10,
            packets_out: 1,
            packets_in: 1,
            duration: 0.1,
            first_record: Position::default(),
            last_record: Position::default(),
        });
        self
    }

    fn peer(mut self, device: u32) -> Window {
        self.contacts.last_mut().unwrap().peer = Some(DeviceKey(device));
        self
    }

    fn refused(mut self) -> Window {
        self.contacts.last_mut().unwrap().refused = 1;
        self
    }
}

/// Cameras publish one topic, take pictures, speak MQTT among themselves, and know one country.
fn baselines(devices: &[Arc<Device>]) -> Baselines {
    let usual = window(CAMERA, "2026-03-01T10:00:00Z")
        .contact(Service::TOPIC, "camera/state", Direction::Outbound)
        .contact(Service::COMMAND, "capture", Direction::Outbound)
        .contact("mqtt", "192.168.1.11", Direction::Outbound)
        .peer(OTHER_CAMERA)
        .details(|details| details.countries = vec!["DE".into()]);
    let lookup = |key: DeviceKey| devices.get(key.0 as usize).map(AsRef::as_ref);
    let period = Period { since: EventTime::MIN, until: EventTime::MAX };
    baseline::learn(&[usual], &lookup, &|_| None, &period, 1, &baseline::Config::default()).unwrap()
}

/// The rules that match each of the windows, which follow one another in a lane.
fn matched(windows: &[Window]) -> Vec<BTreeSet<String>> {
    let rules = CompiledRules::compile(RuleSet::shipped().unwrap()).unwrap();
    let devices = devices();
    let baselines = baselines(&devices);
    let mut roster = Roster::default();
    devices.iter().for_each(|device| roster.join(device));
    let learned = |device: &Device| baselines.of(&device.device_type, &device.segment);
    let mut memory = ColumnMemory::default();
    let mut columns = Vec::new();
    for window in windows {
        let tick = Tick { end: window.end, windows: vec![window.clone()], facts: Vec::new(), baseline_version: 1 };
        columns.extend(memory.rows(&tick, &roster, learned));
    }
    let mut matched = vec![BTreeSet::new(); windows.len()];
    let windows: Vec<&Window> = windows.iter().collect();
    rules
        .for_each_match(&windows, &columns, |rule, index| {
            matched[index].insert(rule.id.to_string());
        })
        .unwrap();
    matched
}

/// Each of `triggers` matches with its last window, and none of `spares` with any.
struct Case {
    rule: &'static str,
    triggers: Vec<Vec<Window>>,
    spares: Vec<Vec<Window>>,
}

fn case(rule: &'static str, triggers: Vec<Vec<Window>>, spares: Vec<Vec<Window>>) -> Case {
    Case { rule, triggers, spares }
}

mod cases;

#[test]
fn each_rule_matches_what_it_says_and_nothing_close_to_it() {
    for case in cases::all() {
        for windows in &case.triggers {
            let last = matched(windows).pop().unwrap();
            assert!(last.contains(case.rule), "`{}` was not triggered by {windows:?}: only {last:?}", case.rule);
        }
        for windows in &case.spares {
            for matches in matched(windows) {
                assert!(!matches.contains(case.rule), "`{}` was triggered by {windows:?}", case.rule);
            }
        }
    }
}

#[test]
fn every_shipped_rule_has_a_case_for_and_one_against() {
    let shipped: BTreeSet<String> = RuleSet::shipped().unwrap().rules.iter().map(|rule| rule.id.to_string()).collect();
    let tested = cases::all();
    assert!(tested.iter().all(|case| !case.triggers.is_empty() && !case.spares.is_empty()));
    assert_eq!(shipped, tested.iter().map(|case| case.rule.to_owned()).collect());
}

#[test]
fn an_ordinary_window_matches_nothing() {
    let ordinary = window(CAMERA, MORNING).feature(Feature::Messages, 3.0).feature(Feature::BytesOut, 900.0).contact(
        Service::TOPIC,
        "camera/state",
        Direction::Outbound,
    );
    assert_eq!(matched(&[ordinary]), vec![BTreeSet::new()]);
}

#[test]
fn a_rule_that_names_no_column_is_shown_with_its_mistake() {
    let rules = RuleSet::parse(
        "[[rule]]\nid = \"odd\"\ntitle = \"odd\"\nwhen = \"no_such_column > 1\"\nkind = \"posture\"\nseverity = \"low\"\n\
         technique = \"T1040\"\n",
    );
    let error = CompiledRules::compile(rules.unwrap()).err().expect("it names a column that is not there");
    let text = format!("{error:#}");
    assert!(text.contains("`odd`") && text.contains("no_such_column"), "{text}");
}
