//! How far event time is complete: what each source says of itself, and the least of it.
//!
//! Only the *standing* mark of a source counts: the one with the greatest `through`, and its roster together with those
//! of the source's later marks. So the state is a pure fold over the log from the oldest standing mark on, and a lane
//! that resumes there knows what its predecessor knew; a roster that named a removed source heals with the next mark.

use std::collections::BTreeMap;
use std::sync::Arc;

use fleet::{EventTime, MICROS_PER_SECOND, Mark, Position};

#[derive(Default)]
pub(crate) struct Marks {
    standing: BTreeMap<u32, Standing>,
    /// `None` until every source of the roster has a mark.
    watermark: Option<EventTime>,
}

struct Standing {
    through: EventTime,
    roster: Vec<u32>,
    offset: u64,
}

impl Marks {
    pub(crate) fn take(&mut self, offset: u64, mark: &Mark) {
        let standing = self.standing.entry(mark.source).or_insert(Standing {
            through: EventTime::MIN,
            roster: Vec::new(),
            offset,
        });
        if mark.through >= standing.through {
            standing.through = mark.through;
            standing.offset = offset;
            standing.roster.clear();
        }
        for source in mark.roster.iter() {
            if !standing.roster.contains(source) {
                standing.roster.push(*source);
            }
        }
        self.refresh();
    }

    /// Strikes `source` from every mark that stands before this entry; a later mark may name it again.
    pub(crate) fn remove(&mut self, source: u32) {
        self.standing.remove(&source);
        for standing in self.standing.values_mut() {
            standing.roster.retain(|named| *named != source);
        }
        self.refresh();
    }

    pub(crate) fn watermark(&self) -> Option<EventTime> {
        self.watermark
    }

    /// The furthest any source vouches for.
    pub(crate) fn furthest(&self) -> Option<EventTime> {
        self.standing.values().map(|standing| standing.through).max()
    }

    /// The source that holds the watermark back: one without a mark, else the one with the least `through`.
    pub(crate) fn slowest(&self) -> Option<u32> {
        let named = self.standing.values().flat_map(|standing| standing.roster.iter().copied());
        let unmarked = named.filter(|source| !self.standing.contains_key(source)).min();
        unmarked
            .or_else(|| self.standing.iter().min_by_key(|(_, standing)| standing.through).map(|(source, _)| *source))
    }

    /// The oldest log entry that must be read again to know all this.
    pub(crate) fn first_offset(&self) -> Option<u64> {
        self.standing.values().map(|standing| standing.offset).min()
    }

    fn refresh(&mut self) {
        let marked = |source: &u32| self.standing.contains_key(source);
        let complete = self.standing.values().all(|standing| standing.roster.iter().all(marked));
        let least = self.standing.values().map(|standing| standing.through).min();
        self.watermark = least.filter(|_| complete);
    }
}

/// The other end: what the reader of one source knows, and the marks it writes.
#[derive(Clone, Debug)]
pub struct SourceClock {
    source: u32,
    lateness: i64,
    greatest: EventTime,
    below: u64,
}

impl SourceClock {
    pub fn new(source: u32, lateness_seconds: u32) -> SourceClock {
        let lateness = i64::from(lateness_seconds) * MICROS_PER_SECOND;
        SourceClock { source, lateness, greatest: EventTime::MIN, below: 0 }
    }

    /// A record of this source was written to the log.
    pub fn observe(&mut self, position: Position, time: EventTime) {
        self.greatest = self.greatest.max(time);
        self.below = self.below.max(position.offset + 1);
    }

    /// `None` before the first record: nothing is known of the source's time.
    pub fn mark(&self, roster: &Arc<[u32]>) -> Option<Mark> {
        let read = self.greatest > EventTime::MIN;
        read.then(|| self.mark_through(EventTime(self.greatest.0.saturating_sub(self.lateness)), roster))
    }

    /// The source is read to its end and holds nobody up any more.
    pub fn last_mark(&self, roster: &Arc<[u32]>) -> Mark {
        self.mark_through(EventTime::MAX, roster)
    }

    fn mark_through(&self, through: EventTime, roster: &Arc<[u32]>) -> Mark {
        Mark { source: self.source, roster: roster.clone(), through, below: self.below }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(source: u32, roster: &[u32], through: i64) -> Mark {
        Mark { source, roster: roster.into(), through: EventTime(through), below: 0 }
    }

    #[test]
    fn nothing_is_complete_before_every_named_source_has_a_mark() {
        let mut marks = Marks::default();
        marks.take(3, &mark(1, &[1, 2], 100));
        assert_eq!(marks.watermark(), None);
        assert_eq!(marks.slowest(), Some(2));
        marks.take(4, &mark(2, &[2], 40));
        assert_eq!(marks.watermark(), Some(EventTime(40)));
        assert_eq!((marks.slowest(), marks.furthest()), (Some(2), Some(EventTime(100))));
    }

    #[test]
    fn an_older_mark_takes_nothing_back_but_its_roster_counts() {
        let mut marks = Marks::default();
        marks.take(3, &mark(1, &[1], 100));
        marks.take(4, &mark(1, &[1, 7], 60));
        assert_eq!(marks.watermark(), None, "source 7 was announced and has said nothing");
        assert_eq!(marks.first_offset(), Some(3));
        marks.take(5, &mark(7, &[1, 7], 90));
        assert_eq!(marks.watermark(), Some(EventTime(90)));
    }

    #[test]
    fn a_removed_source_holds_nothing_up() {
        let mut marks = Marks::default();
        marks.take(1, &mark(1, &[1, 2], 100));
        marks.take(2, &mark(2, &[1, 2], 10));
        marks.remove(2);
        assert_eq!(marks.watermark(), Some(EventTime(100)));
        marks.take(3, &mark(1, &[1, 2], 110));
        assert_eq!(marks.watermark(), None, "a router that has not heard of it names it once more");
        marks.take(4, &mark(1, &[1], 120));
        assert_eq!(marks.watermark(), Some(EventTime(120)));
    }

    #[test]
    fn a_source_vouches_for_its_greatest_time_less_its_lateness() {
        let roster: Arc<[u32]> = Arc::new([4]);
        let mut clock = SourceClock::new(4, 70);
        assert_eq!(clock.mark(&roster), None);
        clock.observe(Position { source: 4, offset: 8 }, EventTime(100 * MICROS_PER_SECOND));
        clock.observe(Position { source: 4, offset: 9 }, EventTime(50 * MICROS_PER_SECOND));
        let mark = clock.mark(&roster).unwrap();
        assert_eq!((mark.through, mark.below), (EventTime(30 * MICROS_PER_SECOND), 10));
        assert_eq!(clock.last_mark(&roster).through, EventTime::MAX);
    }
}
