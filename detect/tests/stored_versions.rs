//! A version that is stored as JSON and prepared again judges as the one that was trained, to the last bit.

mod support;

use baseline::TypeBaseline;
use detect::{Prepared, Version, prepare};
use support::shapes::eventful;
use support::{Lane, World};

/// Through the rows in which a version is stored, in another order.
fn stored(version: &Version) -> Version {
    let rows: Vec<String> =
        version.baselines.types.iter().rev().map(|learned| serde_json::to_string(learned).unwrap()).collect();
    let calibration = serde_json::to_string(&version.calibration).unwrap();
    let types: Vec<TypeBaseline> = rows.iter().map(|row| serde_json::from_str(row).unwrap()).collect();
    let calibration = serde_json::from_str(&calibration).unwrap();
    Version::of_stored(version.baselines.version, version.baselines.from, types, calibration)
}

fn said(world: &World, prepared: Prepared) -> Vec<String> {
    let mut lane = Lane::new(&world.config, vec![prepared]);
    world.ticks().iter().map(|tick| format!("{:?}", lane.tick(tick))).collect()
}

#[test]
fn a_stored_version_judges_as_the_trained_one() {
    let world = eventful(World::usual());
    let (version, trained) = World::usual().train();
    let again = stored(&version);
    assert_eq!((&again.baselines.types, &again.calibration), (&version.baselines.types, &version.calibration));
    let lines = |calibration: &detect::calibration::Calibration| {
        [1.0, 20.0, 200.0].map(|budget| calibration.line(budget).to_bits())
    };
    assert_eq!(lines(&again.calibration), lines(&version.calibration));
    assert_eq!(said(&world, trained), said(&world, prepare(&again, &world.config).unwrap()));
}

/// Values come no larger than 1e30 out of the windows: JSON knows no infinity.
#[test]
fn values_far_outside_anything_measured_can_be_stored() {
    let world = World::usual();
    let sensors = world.members("sensor");
    let wild = |minute: &mut support::Minute, passed: i64| {
        minute.value = Some(if passed % 2 == 0 { (1e30, 2e30) } else { (-1e30, 0.0) });
    };
    let world = world.inject_all(&sensors[..3], 0, support::JUDGED, wild);
    let (version, _) = world.train();
    let again = stored(&version);
    assert_eq!((again.baselines.types, again.calibration), (version.baselines.types, version.calibration));
}
