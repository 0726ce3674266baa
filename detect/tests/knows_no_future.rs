//! Nothing may know the future: whatever is injected, judging a part of the ticks gives the same findings up to there.

mod support;

use std::net::IpAddr;

use fleet::reading::Protocol;
use fleet::{FindingKind, Scope};
use proptest::prelude::*;
use support::{JUDGED, Minute, World, address_of, at};

const HOURS: i64 = 8;

#[derive(Clone, Copy, Debug)]
enum Shape {
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

fn change(shape: Shape) -> impl Fn(&mut Minute, i64) {
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

/// Who, from when on, for how long, what.
fn injections() -> impl Strategy<Value = Vec<(Vec<usize>, i64, i64, Shape)>> {
    let devices = prop_oneof![
        prop::collection::vec(0usize..9, 1..3),
        Just((0..5).collect::<Vec<usize>>()),
        Just((0..9).collect::<Vec<usize>>()),
    ];
    prop::collection::vec((devices, 0..HOURS * 60, 1i64..240, shapes()), 1..5)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_part_of_the_ticks_gives_the_same_findings_up_to_there(injections in injections(), cut in 1..HOURS * 60) {
        let mut world = World::of(&[("camera", 5), ("sensor", 4)]).minutes(HOURS * 60);
        for (devices, from, minutes, shape) in &injections {
            world = world.inject_all(devices, JUDGED + from, JUDGED + from + minutes, change(*shape));
        }
        let version = world.learned();
        let ticks = world.ticks();
        let whole = world.judge(&version, &ticks, true);
        let part = world.judge(&version, &ticks[..cut as usize], false);
        let now = at(JUDGED + cut);
        let until_now = |outcome: &support::Outcome| {
            outcome.findings.iter().filter(|finding| finding.emitted_at <= now).cloned().collect::<Vec<_>>()
        };
        prop_assert_eq!(until_now(&whole), until_now(&part));
        for finding in &whole.findings {
            prop_assert!(finding.emitted_at > finding.window_end && finding.window_start < finding.window_end);
            prop_assert!(finding.window_end.seconds_since(finding.window_start) <= 900.0);
            if finding.scope == Scope::Device {
                prop_assert!(finding.kind.is_budgeted() && finding.score > 0.0 && !finding.reasons.is_empty());
            } else {
                prop_assert!(matches!(finding.kind, FindingKind::Change | FindingKind::Outage));
            }
        }
    }
}
