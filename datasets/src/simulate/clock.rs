//! The simulated calendar: a fixed first day, and how busy each hour is. Times are microseconds, as in `EventTime`.

use fleet::EventTime;

pub(super) const SECOND: i64 = 1_000_000;
pub(super) const MINUTE: i64 = 60 * SECOND;
pub(super) const HOUR: i64 = 60 * MINUTE;
pub(super) const DAY: i64 = 24 * HOUR;

/// 2026-03-02T00:00:00Z, a Monday.
pub(super) const START: EventTime = EventTime(1_772_409_600 * SECOND);

pub(super) fn seconds(count: f64) -> i64 {
    (count * SECOND as f64) as i64
}

/// How the hours of a day differ; weights average about 1 over a working day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Activity {
    Even,
    /// People at their desks: morning peak, lunch, quiet weekends.
    Office,
    /// Two shifts, 05:00 to 22:00; stands still on Sunday.
    Production,
    /// Light and heat of inhabited rooms: morning and evening.
    Household,
}

const OFFICE: [f64; 24] = [
    0.05, 0.05, 0.05, 0.05, 0.1, 0.3, 0.9, 2.0, 2.8, 2.2, 1.8, 1.8, 2.4, 2.2, 1.7, 1.6, 1.8, 1.9, 1.1, 0.6, 0.4, 0.3,
    0.2, 0.1,
];
const PRODUCTION: [f64; 24] = [
    0.05, 0.05, 0.05, 0.05, 0.3, 1.2, 1.5, 1.5, 1.5, 1.3, 1.5, 1.5, 1.2, 1.5, 1.6, 1.5, 1.5, 1.4, 1.3, 1.3, 1.2, 0.9,
    0.2, 0.05,
];
const HOUSEHOLD: [f64; 24] = [
    0.3, 0.2, 0.2, 0.2, 0.3, 0.6, 1.4, 1.6, 1.2, 0.8, 0.7, 0.7, 0.9, 0.8, 0.7, 0.8, 1.1, 1.6, 2.0, 2.2, 2.0, 1.7, 1.2,
    0.6,
];

impl Activity {
    /// The busiest hour's weight: thinning a Poisson process of this rate by `at / PEAK` gives the profile.
    pub const PEAK: f64 = 2.8;

    /// Weight at this instant, blended between the hours.
    pub fn at(self, time: i64) -> f64 {
        let (weights, saturday, sunday) = match self {
            Activity::Even => return 1.0,
            Activity::Office => (&OFFICE, 0.15, 0.1),
            Activity::Production => (&PRODUCTION, 0.7, 0.1),
            Activity::Household => (&HOUSEHOLD, 1.1, 1.2),
        };
        let since = time - START.0;
        let hour = since.rem_euclid(DAY) / HOUR;
        let share = since.rem_euclid(HOUR) as f64 / HOUR as f64;
        let now = weights[hour as usize];
        let next = weights[(hour as usize + 1) % 24];
        let day = match since.div_euclid(DAY).rem_euclid(7) {
            5 => saturday,
            6 => sunday,
            _ => 1.0,
        };
        day * (now + (next - now) * share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_day_is_a_monday_and_weights_average_one() {
        assert_eq!(START.to_string(), "2026-03-02T00:00:00Z");
        assert_eq!(START.hour_of_week(), 0);
        for activity in [Activity::Office, Activity::Production, Activity::Household] {
            let hours: Vec<f64> = (0..24).map(|hour| activity.at(START.0 + hour * HOUR)).collect();
            let mean = hours.iter().sum::<f64>() / 24.0;
            assert!((0.9..1.15).contains(&mean), "{activity:?} averages {mean}");
            assert!(hours.iter().all(|weight| *weight <= Activity::PEAK));
        }
        assert!(Activity::Office.at(START.0 + 5 * DAY + 9 * HOUR) < 0.5 * Activity::Office.at(START.0 + 9 * HOUR));
    }
}
