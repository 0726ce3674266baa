//! Whether a new version may be put in force: it judges the last hours it learned from, as does the version in force, and
//! one that finds much more or much less is held back for a person to look at.

use crate::trainer::TrainerConfig;
use crate::trainer::record::Checked;

/// In words, with the figures.
pub fn reason_to_hold_back(checked: &Checked, config: &TrainerConfig) -> Option<String> {
    let Checked { against, before, after, .. } = checked;
    let (less, more) = (before.min(after), before.max(after));
    if more - less < config.hold_back_findings || *more as f64 <= config.hold_back_factor * *less as f64 {
        return None;
    }
    let hours = checked.until.seconds_since(checked.since) / 3600.0;
    Some(format!(
        "it would have raised {after} {} in the last {hours:.0} hours, version {against} would have raised {before}",
        if *after == 1 { "finding" } else { "findings" }
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use fleet::EventTime;

    fn held_back(before: u64, after: u64) -> bool {
        let until = EventTime(0).plus_seconds(86_400);
        let checked = Checked { against: 4, since: EventTime(0), until, before, after };
        reason_to_hold_back(&checked, &TrainerConfig::default()).is_some()
    }

    #[test]
    fn many_more_and_many_fewer_are_held_back() {
        for (before, after) in [(0, 5), (2, 7), (10, 31), (31, 10), (5, 0), (7, 2)] {
            assert!(held_back(before, after), "{before} to {after}");
        }
    }

    #[test]
    fn a_few_more_or_fewer_are_not() {
        for (before, after) in [(0, 0), (0, 4), (4, 0), (2, 6), (6, 2), (10, 30), (30, 10), (100, 104), (7, 7)] {
            assert!(!held_back(before, after), "{before} to {after}");
        }
    }

    #[test]
    fn the_reason_has_both_figures() {
        let until = EventTime(0).plus_seconds(86_400);
        let checked = Checked { against: 4, since: EventTime(0), until, before: 2, after: 40 };
        let reason = reason_to_hold_back(&checked, &TrainerConfig::default());
        let expected = "it would have raised 40 findings in the last 24 hours, version 4 would have raised 2";
        assert_eq!(reason.as_deref(), Some(expected));
    }
}
