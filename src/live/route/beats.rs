//! When an epoch ends: once a second; ten times as often at first, so that a router which is killed after a second has
//! committed something, and the next one comes further.

use std::time::{Duration, Instant};

pub const BEAT: Duration = Duration::from_secs(1);
const EARLY: Duration = Duration::from_millis(100);
/// Of a life, beats with partitions that come so early.
const EARLY_BEATS: u32 = 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beat {
    /// Too soon to say of any partition that it is quiet: one whose records come a few times a second is not, and those
    /// behind event time would be late.
    Early,
    /// A second or more after the last whole one.
    Whole,
}

pub struct Beats {
    last: Instant,
    last_whole: Instant,
    /// How many early ones are left.
    early: u32,
}

impl Beats {
    pub fn new(now: Instant) -> Beats {
        Beats { last: now, last_whole: now, early: EARLY_BEATS }
    }

    /// The beat that is due. Without partitions there is nothing to hurry for.
    pub fn due(&mut self, has_partitions: bool, now: Instant) -> Option<Beat> {
        let hurries = has_partitions && self.early > 0;
        if now - self.last < if hurries { EARLY } else { BEAT } {
            return None;
        }
        self.last = now;
        self.early -= u32::from(hurries);
        if now - self.last_whole < BEAT {
            return Some(Beat::Early);
        }
        self.last_whole = now;
        Some(Beat::Whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tenths of a second at which beats come, with partitions from `assigned` on.
    fn beats(assigned: u64, until: u64) -> Vec<(u64, Beat)> {
        let begin = Instant::now();
        let mut beats = Beats::new(begin);
        let at = |tenth| begin + Duration::from_millis(100 * tenth);
        (0..until).filter_map(|tenth| Some((tenth, beats.due(tenth >= assigned, at(tenth))?))).collect()
    }

    #[test]
    fn the_first_beats_with_partitions_come_at_once_and_soon() {
        let early: Vec<u64> = beats(7, 40).iter().map(|(tenth, _)| *tenth).collect();
        assert_eq!(early, [7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 26, 36]);
        let waited: Vec<u64> = beats(25, 60).iter().map(|(tenth, _)| *tenth).collect();
        assert_eq!(waited, [10, 20, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 44, 54]);
    }

    #[test]
    fn between_whole_beats_is_a_second_however_many_there_are() {
        for assigned in [0, 3, 7, 10, 25] {
            let all = beats(assigned, 100);
            let whole: Vec<u64> =
                all.iter().filter(|(_, beat)| *beat == Beat::Whole).map(|(tenth, _)| *tenth).collect();
            assert!(whole[0] >= 10 && whole.windows(2).all(|pair| pair[1] - pair[0] >= 10), "{assigned}: {all:?}");
            assert!(all.iter().filter(|(tenth, _)| *tenth > assigned + 20).all(|(_, beat)| *beat == Beat::Whole));
        }
    }
}
