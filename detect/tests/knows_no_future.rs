//! Nothing may know the future: whatever is injected, judging a part of the ticks gives the same findings up to there.

mod support;

use fleet::{FindingKind, Scope};
use proptest::prelude::*;
use support::shapes::{change, injections};
use support::{JUDGED, World, at};

const HOURS: i64 = 8;

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_part_of_the_ticks_gives_the_same_findings_up_to_there(injections in injections(HOURS * 60), cut in 1..HOURS * 60) {
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
