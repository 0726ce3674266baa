//! A lane that is saved after a tick and recalled by another process says the very same as one that never stopped.

mod support;

use std::collections::BTreeSet;
use std::sync::Arc;

use detect::calibration::Calibration;
use detect::{Config, Joiner, Judge, Prepared, Version};
use fleet::{Device, DeviceKey, EventTime, Fact, FindingKind, Tick};
use proptest::prelude::*;
use support::shapes::{change, eventful, injections};
use support::{JUDGED, Lane, MINUTE, World};

/// Nothing learned at first, then the version, then one that is held to a higher line.
fn versions(world: &World) -> Vec<Prepared> {
    let first = world.learned();
    let mut second = first.clone();
    second.baselines.version = 2;
    second.calibration = Calibration { evidence: first.calibration.evidence + 0.1, ..first.calibration.clone() };
    [first, second].iter().map(|version: &Version| Prepared::new(version, &world.config).unwrap()).collect()
}

/// Of that world, with every kind of fact.
fn ticks(world: &World) -> Vec<Tick> {
    let mut ticks = world.ticks();
    for (minute, tick) in ticks.iter_mut().enumerate() {
        tick.baseline_version = [0, 1, 2][usize::from(minute >= 300) + usize::from(minute >= 2_000)];
    }
    let stranger = Device {
        key: DeviceKey(900),
        id: "stranger".into(),
        standing: fleet::device::Standing::Unknown,
        profile: Arc::default(),
        ..Device::clone(&world.devices[0])
    };
    // Told of once.
    for minute in [700, 900] {
        ticks[minute].facts.push(Fact::Device { device: Arc::new(stranger.clone()), from: EventTime::MIN });
    }
    ticks[1_300].facts.push(Fact::Left { device: DeviceKey(3), from: support::at(JUDGED + 1_301) });
    ticks[1_400].facts.push(Fact::Device { device: Arc::clone(&world.devices[3]), from: EventTime::MIN });
    let (of_act, from) = (DeviceKey(0), |minute: i64| support::at(JUDGED + minute));
    ticks[500].facts.push(Fact::Restricted { device: of_act, from: from(501) });
    ticks[505].facts.push(Fact::Restricted { device: DeviceKey(777), from: from(505) });
    ticks[1_200].facts.push(Fact::Freed { device: of_act, from: from(1_195) });
    ticks[1_500].facts.push(Fact::RetiredSpoke { device: DeviceKey(7), at: support::at(JUDGED + 1_501) });
    ticks
}

/// Says what a lane says, to the last bit, and asks that one which is recalled after every tick says the same.
fn same_when_recalled(mut straight: Lane, ticks: &[Tick]) -> Lane {
    let mut recalled = straight.recalled(&straight.memories());
    for tick in ticks {
        let (one, other) = (straight.tick(tick), recalled.tick(tick));
        // Debug tells floats apart to the last bit, and zeros by sign.
        assert_eq!(format!("{one:?}"), format!("{other:?}"), "at {}", tick.end);
        let memories = recalled.memories();
        assert!(memories == straight.memories(), "at {}: equal states have unequal bytes", tick.end);
        recalled = recalled.recalled(&memories);
    }
    assert_eq!(straight.joiner.finish(), recalled.joiner.finish());
    assert_eq!(straight.joiner.changed_incidents(), recalled.joiner.changed_incidents());
    straight
}

#[test]
fn on_two_eventful_days() {
    let world = eventful(World::usual());
    let ticks = ticks(&world);
    same_when_recalled(Lane::new(&world.config, versions(&world)), &ticks);

    let mut lane = Lane::new(&world.config, versions(&world));
    let steps: Vec<_> = ticks.iter().map(|tick| lane.tick(tick)).collect();
    let findings: Vec<_> = steps.iter().flat_map(|step| &step.findings).collect();
    let kinds: BTreeSet<FindingKind> = findings.iter().map(|finding| finding.kind).collect();
    use FindingKind::{Change, Compromise, Fault, Outage, RetiredDevice, UnknownDevice};
    for kind in [Change, Compromise, Fault, Outage, RetiredDevice, UnknownDevice] {
        assert!(kinds.contains(&kind), "no {kind} in {kinds:?}");
    }
    let evidence = || steps.iter().flat_map(|step| &step.judgement.evidence);
    assert!(evidence().any(|told| told.evidence.shape == "service_lost"));
    let detectors: BTreeSet<&str> = evidence().map(|told| told.evidence.detector).collect();
    for detector in ["beacon", "contacts", "drift", "rules", "sign_in", "silence", "statistics", "stuck", "volume"] {
        assert!(detectors.contains(detector), "no {detector} in {detectors:?}");
    }
    assert!(steps.iter().any(|step| !step.judgement.curve.is_empty()));
    let sightings: usize = steps.iter().map(|step| step.judgement.sightings.len()).sum();
    assert_eq!(sightings, 1_205 - 500, "from the fact's tick to the end of the grace, of whom the lane has");
    assert!(findings.iter().any(|finding| finding.baseline_version == 0 && finding.kind == Compromise));
    assert!(findings.iter().any(|finding| finding.baseline_version == 2 && finding.kind == Compromise));
}

/// What `act` tells: the minute, the device, how many minutes ahead, and whether it frees.
fn of_act(minutes: usize) -> impl Strategy<Value = Vec<(usize, u32, i64, bool)>> {
    prop::collection::vec((0..minutes, 0u32..10, -30i64..1, any::<bool>()), 0..8)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens(injections in injections(240), of_act in of_act(360)) {
        let mut world = World::of(&[("camera", 5), ("sensor", 4)]).minutes(360);
        for (devices, from, minutes, shape) in &injections {
            world = world.inject_all(devices, JUDGED + from, JUDGED + from + minutes, change(*shape));
        }
        let mut ticks = world.ticks();
        for (minute, device, ahead, freed) in of_act {
            let (device, from) = (DeviceKey(device), support::at(JUDGED + minute as i64 + ahead));
            let fact = if freed { Fact::Freed { device, from } } else { Fact::Restricted { device, from } };
            ticks[minute].facts.push(fact);
        }
        same_when_recalled(Lane::new(&world.config, versions(&world)), &ticks);
    }
}

/// A lane for each type; they run one after the other for a while, so that much waits in the joiner.
#[test]
fn a_joiner_of_several_lanes_is_recalled_after_every_push() {
    let world = eventful(World::usual());
    let mut lanes = ["camera", "sensor", "plug"].map(|name| (name, Lane::new(&world.config, versions(&world))));
    let joiner = || Joiner::new(&world.config, 3);
    let (mut straight, mut recalled) = (joiner(), joiner());
    for device in &world.devices {
        straight.locate(device.id.clone(), device.site.clone());
        recalled.locate(device.id.clone(), device.site.clone());
    }
    let mut released = Vec::new();
    for hour in ticks(&world).chunks(60) {
        for (number, (device_type, lane)) in lanes.iter_mut().enumerate() {
            let own = |key: DeviceKey| {
                world.devices.get(key.0 as usize).is_some_and(|device| device.device_type == *device_type)
            };
            for tick in hour {
                let mut tick = tick.clone();
                tick.windows.retain(|window| own(window.device));
                tick.facts.retain(|fact| matches!(fact, Fact::Device { device, .. } if own(device.key)));
                let findings = lane.tick(&tick).findings;
                straight.push(number, tick.end, findings.clone());
                recalled.push(number, tick.end, findings);
                let left = straight.advance();
                assert_eq!(left, recalled.advance());
                assert_eq!(straight.changed_incidents(), recalled.changed_incidents());
                released.extend(left);
                let memory = recalled.memory();
                assert_eq!(memory, straight.memory());
                recalled = joiner();
                recalled.recall(&memory).unwrap();
            }
        }
    }
    assert_eq!(straight.finish(), recalled.finish());
    assert_eq!(straight.changed_incidents(), recalled.changed_incidents());
    assert!(released.iter().any(|finding| finding.scope == fleet::Scope::Site), "an outage of the site");
}

#[test]
fn damaged_memory_is_refused_and_changes_nothing() {
    let world = eventful(World::usual());
    let mut lane = Lane::new(&world.config, versions(&world));
    ticks(&world).iter().take(840).for_each(|tick| drop(lane.tick(tick)));
    let memories = lane.memories();
    let before = memories.judge.clone();
    let prepared = Arc::new(lane.judge.prepared().clone());
    let mut refused = |memory: &[u8]| {
        let error = lane.judge.recall(memory, Arc::clone(&prepared)).unwrap_err().to_string();
        assert!(error.contains("start over from the log"), "{error}");
        assert_eq!(lane.judge.memory(), before);
    };
    refused(&[]);
    refused(&memories.joiner);
    for place in (0..before.len()).step_by(211) {
        let mut damaged = before.clone();
        damaged[place] ^= 0x10;
        refused(&damaged);
        refused(&before[..place]);
    }
    let mut joiner = Joiner::new(&world.config, 2);
    assert!(joiner.recall(&memories.joiner).unwrap_err().to_string().contains("`1` lanes"));
    assert!(joiner.recall(&memories.judge).is_err());
    assert!(detect::roster::Roster::recall(&memories.judge).is_err());
    let roster = detect::roster::Roster::recall(&lane.judge.roster().memory()).unwrap();
    assert_eq!(roster.memory(), lane.judge.roster().memory());
    assert_eq!(roster.cohorts(), lane.judge.roster().cohorts());
}

#[test]
fn other_baselines_and_other_budgets_are_refused() {
    let world = World::usual();
    let prepared = Arc::new(versions(&world).remove(0));
    let judge = |config: &Config| Judge::new(config, MINUTE, EventTime::MIN);
    let mut one = judge(&world.config);
    one.use_version(Arc::clone(&prepared));
    let memory = one.memory();
    let other = Arc::new(versions(&world).remove(1));
    let error = judge(&world.config).recall(&memory, other).unwrap_err();
    assert!(error.to_string().contains("version `1`"), "{error}");
    let fewer = Config { curve_budgets: vec![5.0], ..world.config.clone() };
    let error = judge(&fewer).recall(&memory, prepared).unwrap_err();
    assert!(error.to_string().contains("`2`"), "{error}");
}
