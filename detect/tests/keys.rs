//! Keys are numbers of convenience: other numbers in the same order give the same findings, and how devices that nobody
//! knows are numbered says nothing at all.

mod support;

use std::sync::Arc;

use fleet::device::Standing;
use fleet::window::Details;
use fleet::{Device, DeviceKey, Fact, Tick};
use support::shapes::eventful;
use support::{DAY, JUDGED, Lane, Minute, World};

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

fn renumbered(ticks: &[Tick], number: &dyn Fn(DeviceKey) -> DeviceKey) -> Vec<Tick> {
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
            if let Fact::Device(device) = fact {
                *fact = Fact::Device(Arc::new(Device { key: number(device.key), ..Device::clone(device) }));
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
    said.push(format!("{:?}", lane.joiner.incidents()));
    said
}

#[test]
fn other_numbers_in_the_same_order_say_the_same() {
    let world = world();
    let ticks = world.ticks();
    let known = (world.devices.len() - STRANGERS) as u32;
    let expected = said(&world, &ticks);
    assert!(
        expected.iter().any(|line| line.contains("a session token was presented again")),
        "nobody's token was reused"
    );
    // Strangers come after all others, before them, and among them, in any order.
    for strangers in [[2_000, 1_000, 1_500], [2, 0, 1], [0, 31, 9_000]] {
        let number =
            |key: DeviceKey| DeviceKey(if key.0 < known { key.0 * 3 + 5 } else { strangers[(key.0 - known) as usize] });
        let found = said(&world, &renumbered(&ticks, &number));
        for (expected, found) in expected.iter().zip(&found) {
            assert_eq!(expected, found, "{strangers:?}");
        }
        assert_eq!(expected.len(), found.len(), "{strangers:?}");
    }
}
