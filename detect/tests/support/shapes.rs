//! What property tests inject: any shape, into anybody, at any time.

use std::net::IpAddr;

use fleet::reading::Protocol;
use fleet::window::Details;
use proptest::prelude::*;

use super::{DAY, JUDGED, Minute, World, address_of, cloud};

#[derive(Clone, Copy, Debug)]
pub enum Shape {
    Silence,
    TenTimes,
    Beacon,
    Refused,
    Guessing,
    Scan,
    Upload,
    Download,
    SignIns,
    Stuck,
}

pub fn change(shape: Shape) -> impl Fn(&mut Minute, i64) {
    let master = IpAddr::from([45, 9, 20, 3]);
    move |minute, passed| match shape {
        Shape::Silence => minute.silence(),
        Shape::TenTimes => minute.multiply_bytes(10),
        Shape::Beacon if passed % 5 == 0 => minute.flow(master, Protocol::Tcp, 6667, 1, 120, 200),
        Shape::Beacon => {}
        Shape::Refused => minute.refused(master, 23_000, 2),
        Shape::Guessing => minute.flow(address_of(3), Protocol::Tcp, 23, 2, 90, 120),
        Shape::Scan => minute.refused(IpAddr::from([192, 168, 1, 100 + (passed % 100) as u8]), 9100, 1),
        Shape::Upload => minute.flow(master, Protocol::Tcp, 4444, 1, 40_000, 500),
        Shape::Download => minute.flow(master, Protocol::Tcp, 443, 1, 4_000, 2_000_000),
        Shape::SignIns => minute.sign_ins(IpAddr::from([192, 168, 1, 240]), 1, 0),
        Shape::Stuck => minute.value = Some((20.0, 0.0)),
    }
}

fn shapes() -> impl Strategy<Value = Shape> {
    use Shape::{Beacon, Download, Guessing, Refused, Scan, SignIns, Silence, Stuck, TenTimes, Upload};
    prop::sample::select(vec![Silence, TenTimes, Beacon, Refused, Guessing, Scan, Upload, Download, SignIns, Stuck])
}

/// Who (of nine devices), from when on, for how long, what.
pub fn injections(minutes: i64) -> impl Strategy<Value = Vec<(Vec<usize>, i64, i64, Shape)>> {
    let devices = prop_oneof![
        prop::collection::vec(0usize..9, 1..3),
        Just((0..5).collect::<Vec<usize>>()),
        Just((0..9).collect::<Vec<usize>>()),
    ];
    prop::collection::vec((devices, 0..minutes, 1i64..240, shapes()), 1..5)
}

/// Two days on which everything happens that is told of: to one device, to a type, to the site.
pub fn eventful(world: World) -> World {
    let master = IpAddr::from([45, 9, 20, 3]);
    let (noon, next) = (JUDGED + DAY / 2, JUDGED + DAY + DAY / 2);
    let everybody: Vec<usize> = (0..world.devices.len()).collect();
    let (cameras, sensors, plugs) = (world.members("camera"), world.members("sensor"), world.members("plug"));
    let tells = |details: Details| move |minute: &mut Minute, _: i64| minute.details = Some(details.clone());
    let bears =
        |token: &str| Details { tokens: vec![token.into()], credential: Some("key".into()), ..Details::default() };
    let runs = |firmware: &str| Details { firmware: Some(firmware.into()), ..Details::default() };
    let mut world = world.minutes(2 * DAY);
    for (rank, camera) in cameras.iter().enumerate() {
        let begin = noon + rank as i64 * 9;
        world = world.inject(*camera, begin, begin + 4, change(Shape::Download));
    }
    let drifts = |minute: &mut Minute, passed: i64| {
        if let Some((value, _)) = &mut minute.value {
            *value *= 1.0 + passed as f32 / 600.0;
        }
    };
    let lost = |minute: &mut Minute, _: i64| {
        let known = cloud("plug");
        minute.contacts.retain(|contact| contact.port != 443);
        minute.refused(known, 443, 3);
    };
    world
        .inject(cameras[4], JUDGED + 60, JUDGED + 80, change(Shape::Refused))
        .inject(cameras[1], noon + 240, noon + 300, change(Shape::Scan))
        .inject(cameras[2], noon + 100, noon + 103, |minute, _| minute.command("factory-reset"))
        .inject(cameras[3], noon + 120, noon + 140, change(Shape::SignIns))
        .inject(cameras[5], noon + 60, noon + 240, change(Shape::Beacon))
        .inject(cameras[0], next, next + 60, |minute, _| minute.multiply_bytes(1_000_000_000_000))
        .inject(sensors[0], noon, noon + 600, drifts)
        .inject(sensors[1], noon, noon + 300, change(Shape::Stuck))
        .inject(sensors[2], noon, noon + 500, change(Shape::Silence))
        .inject(sensors[3], noon + 30, noon + 31, tells(bears("a")))
        .inject(sensors[4], noon + 50, noon + 51, tells(bears("a")))
        .inject(plugs[0], noon + 30, noon + 31, tells(runs("2.0")))
        .inject(plugs[0], noon + 90, noon + 91, tells(runs("1.0")))
        .inject(plugs[1], noon, noon + 30, change(Shape::Upload))
        .inject(plugs[2], next, next + 4, move |minute, _| minute.flow(master, Protocol::Tcp, 23, 2, 90, 120))
        .inject(plugs[3], noon, noon + 40, lost)
        .inject_all(&everybody, next + 300, next + 345, |minute, _| minute.silence())
}
