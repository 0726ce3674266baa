//! Keys are numbers of convenience: other numbers in the same order give the same findings, and how devices that nobody
//! knows are numbered says nothing at all.

mod support;

use std::sync::Arc;

use fleet::device::Standing;
use fleet::window::Details;
use fleet::{Device, DeviceKey, EventTime, Fact, Tick, Window};
use support::shapes::eventful;
use support::{DAY, JUDGED, Lane, MINUTE, Minute, World, at};

const STRANGERS: usize = 3;

/// The usual one and three devices that nobody knows, who share a token and a credential with all.
fn world() -> World {
    let mut world = World::of(&[("camera", 6), ("sensor", 5), ("plug", 5), ("", STRANGERS)]);
    let strangers = world.members("");
    for stranger in &strangers {
        Arc::make_mut(&mut world.devices[*stranger]).standing = Standing::Unknown;
    }
    let shares = |minute: &mut Minute, _: i64| {
        let details = Details { tokens: vec!["t".into()], credential: Some("c".into()), ..Details::default() };
        minute.details = Some(details);
    };
    let mut all = world.members("camera");
    all.extend(&strangers);
    let world = eventful(world);
    world.inject_all(&all, JUDGED + DAY + 60, JUDGED + DAY + 62, shares)
}

fn renumbered(ticks: &[Tick], strangers: [u32; STRANGERS]) -> Vec<Tick> {
    let number = |key: DeviceKey| number(key, strangers);
    let mut ticks = ticks.to_vec();
    for tick in &mut ticks {
        for window in &mut tick.windows {
            window.device = number(window.device);
            for peer in window.contacts.iter_mut().filter_map(|contact| contact.peer.as_mut()) {
                *peer = number(*peer);
            }
        }
        tick.windows.sort_by_key(|window| window.device);
        for fact in &mut tick.facts {
            if let Fact::Device { device, .. } = fact {
                *fact = Fact::Device {
                    device: Arc::new(Device { key: number(device.key), ..Device::clone(device) }),
                    from: EventTime::MIN,
                };
            }
        }
    }
    ticks
}

/// What left, and what was held against whom: by device id.
fn said(world: &World, ticks: &[Tick]) -> Vec<String> {
    let prepared = detect::prepare(&world.learned(), &world.config).unwrap();
    let mut lane = Lane::new(&world.config, vec![prepared]);
    let mut said = Vec::new();
    for tick in ticks {
        let step = lane.tick(tick);
        let id = |key: DeviceKey| lane.judge.roster().device(key).unwrap().id.clone();
        said.extend(step.released.iter().map(|finding| format!("{finding:?}")));
        said.extend(step.incidents.iter().map(|incident| format!("{incident:?}")));
        for told in &step.judgement.evidence {
            let of_nobody = fleet::DeviceKey(0);
            let device = id(told.evidence.device);
            let evidence = detect::evidence::Evidence { device: of_nobody, ..told.evidence.clone() };
            said.push(format!("{device} {evidence:?} {} {}", told.total, told.line));
        }
        let scores = tick.windows.iter().zip(&step.judgement.windows);
        let mut scores: Vec<_> = scores.map(|(window, score)| format!("{} {score:?}", id(window.device))).collect();
        scores.sort_unstable();
        said.extend(scores);
        said.extend(step.judgement.curve.iter().map(|found| format!("{} {}", found.budget, id(found.device))));
    }
    said.extend(lane.joiner.finish().iter().map(|finding| format!("{finding:?}")));
    said.push(format!("{:?}", lane.joiner.changed_incidents()));
    said
}

/// Strangers come after all others, before them, and among them, in any order.
const STRANGERS_NUMBERED: [[u32; STRANGERS]; 3] = [[2_000, 1_000, 1_500], [2, 0, 1], [0, 31, 9_000]];

fn number(key: DeviceKey, strangers: [u32; STRANGERS]) -> DeviceKey {
    let known = 16;
    DeviceKey(if key.0 < known { key.0 * 3 + 5 } else { strangers[(key.0 - known) as usize] })
}

#[test]
fn other_numbers_in_the_same_order_say_the_same() {
    let world = world();
    let ticks = world.ticks();
    let expected = said(&world, &ticks);
    assert!(
        expected.iter().any(|line| line.contains("a session token was presented again")),
        "nobody's token was reused"
    );
    for strangers in STRANGERS_NUMBERED {
        let found = said(&world, &renumbered(&ticks, strangers));
        for (expected, found) in expected.iter().zip(&found) {
            assert_eq!(expected, found, "{strangers:?}");
        }
        assert_eq!(expected.len(), found.len(), "{strangers:?}");
    }
}

#[test]
fn other_numbers_in_the_same_order_learn_the_same() {
    let world = world();
    let learn = |devices: &[Arc<Device>], windows: Vec<Window>| {
        let lookup = |key| devices.iter().find(|device| device.key == key).map(AsRef::as_ref);
        let period = baseline::Period { since: EventTime(at(0).0 - 1), until: at(JUDGED) };
        let baselines =
            baseline::learn(&windows, &lookup, &|_| None, &period, 1, &baseline::Config::default()).unwrap();
        detect::train(baselines, windows, devices, MINUTE, &world.config).unwrap().0
    };
    let windows = world.windows(0, JUDGED);
    let expected = learn(&world.devices, windows.clone());
    for strangers in STRANGERS_NUMBERED {
        let facts = world
            .devices
            .iter()
            .map(|device| Fact::Device { device: Arc::clone(device), from: EventTime::MIN })
            .collect();
        let all = Tick { end: at(0), windows: windows.clone(), facts, baseline_version: 0 };
        let Tick { mut windows, facts, .. } = renumbered(&[all], strangers).remove(0);
        windows.sort_by_key(|window| (window.end, window.device));
        let device = |fact| if let Fact::Device { device, .. } = fact { Some(device) } else { None };
        let mut devices: Vec<Arc<Device>> = facts.into_iter().filter_map(device).collect();
        devices.sort_by_key(|device| device.key);
        assert_eq!(learn(&devices, windows), expected, "{strangers:?}");
    }
}
