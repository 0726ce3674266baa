//! The clock of responding: it never goes back, and counts while the machine sleeps. A clock that is set back would else
//! hold devices longer than was said, and let answers count that came too late.

use std::time::Duration;

use fleet::EventTime;
use responders::send::boot_time;

use crate::live::now_millis;

pub struct Clock {
    at: EventTime,
    since: Duration,
}

impl Clock {
    /// `last`: of the last entry in the journal, whoever wrote it.
    pub fn new(last: EventTime) -> Clock {
        Clock { at: wall().max(last), since: boot_time() }
    }

    pub fn now(&mut self) -> EventTime {
        let now = boot_time();
        let passed = i64::try_from(now.saturating_sub(self.since).as_micros()).unwrap_or(0);
        self.at = self.at.plus_micros(passed).max(wall());
        self.since = now;
        self.at
    }
}

fn wall() -> EventTime {
    EventTime(now_millis().saturating_mul(1_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_on_from_where_the_journal_is_also_when_the_wall_clock_was_set_back() {
        let ahead = wall().plus_seconds(3_600);
        let mut clock = Clock::new(ahead);
        let first = clock.now();
        assert!(first >= ahead);
        std::thread::sleep(Duration::from_millis(5));
        assert!(clock.now().minus(first) >= 5_000);
        assert!(Clock::new(EventTime(0)).now() >= wall().plus_seconds(-1));
    }
}
