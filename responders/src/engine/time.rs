//! The loop's own time. Clocks are set back, by people and by whoever keeps them right; what waits must go on waiting for as
//! long as it was said, what is over must stay over, and a device must not stay cut off for the time that came twice.

use fleet::{EventTime, MICROS_PER_SECOND};

/// While the clock is behind, more than this between two looks at it is the clock being set, not time that went by.
const LOOKED_AT: i64 = 60 * MICROS_PER_SECOND;

/// Never goes back. Where the clock does, time goes on at three quarters of its pace until the clock has caught up.
#[derive(Clone, Copy, Debug)]
pub struct Time {
    now: EventTime,
    clock: Option<EventTime>,
}

impl Time {
    /// `last`: when the journal ends.
    pub fn after(last: EventTime) -> Time {
        Time { now: last, clock: None }
    }

    pub fn look(&mut self, clock: EventTime) -> EventTime {
        let went_by = self.clock.map_or(0, |before| clock.minus(before)).clamp(0, LOOKED_AT);
        self.clock = Some(clock);
        self.now = if clock < self.now { self.now.plus_micros(went_by / 4 * 3) } else { clock };
        self.now
    }

    /// How far the clock is behind, microseconds.
    pub fn ahead(&self) -> i64 {
        self.clock.map_or(0, |clock| self.now.minus(clock))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> EventTime {
        EventTime(0).plus_seconds(seconds)
    }

    #[test]
    fn it_is_the_clocks_time_as_long_as_that_does_not_go_back() {
        let mut time = Time::after(EventTime::MIN);
        for seconds in [5, 5, 90, 4_000] {
            assert_eq!(time.look(at(seconds)), at(seconds));
            assert_eq!(time.ahead(), 0);
        }
    }

    #[test]
    fn a_clock_set_back_by_an_hour_is_caught_up_with() {
        let mut time = Time::after(EventTime::MIN);
        time.look(at(10_000));
        assert_eq!(time.look(at(6_400)), at(10_000), "it does not go back");
        assert_eq!(time.ahead(), 3_600 * MICROS_PER_SECOND);
        let mut before = at(10_000);
        assert_eq!(time.clone().look(at(6_440)), at(10_030), "and does not stand");
        for second in 1..=14_400 {
            let now = time.look(at(6_400 + second));
            assert!(now >= before, "it went back to {now}");
            before = now;
        }
        assert_eq!(before, at(20_800));
        assert_eq!(time.ahead(), 0, "an hour is made up for in four");
    }

    #[test]
    fn a_clock_that_is_put_right_again_does_not_count_twice() {
        let mut time = Time::after(at(10_000));
        assert_eq!(time.look(at(100)), at(10_000), "a process begins with a clock that was reset");
        time.look(at(104));
        assert_eq!(time.look(at(10_002)), at(10_048), "no more than a minute is believed");
        assert_eq!(time.look(at(10_100)), at(10_100));
    }
}
