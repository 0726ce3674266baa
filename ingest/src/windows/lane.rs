//! One lane: the only owner of its log's open windows, and a pure function of that log.
//!
//! Nothing here depends on when it runs or what ran before it: the state after an entry follows from the log between
//! [`Resume::low`] and that entry, and from a [`LaneMemory`] (or, where nothing is sent again, from the stored windows, for
//! how long a device was silent). Whatever changes results must keep that so; `tests/resume.rs` stops a lane after every
//! tick and demands the same ticks.

use fleet::{Batch, DeviceKey, Entry, EventTime, Fact, MICROS_PER_SECOND, Resume, Tick};

use super::facts::Facts;
use super::marks::Marks;
use super::memory::{LaneMemory, Seen};
use super::open::OpenWindows;
use crate::Config;

/// After a longer stretch of event time with nothing open, no empty ticks are given for it: captures of one archive may
/// lie years apart.
pub const LONGEST_EMPTY_STRETCH: i64 = 24 * 3600 * MICROS_PER_SECOND;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LaneCounters {
    /// Readings in windows.
    pub accepted: u64,
    /// Readings whose window had closed; dropped.
    pub late: u64,
    /// Readings sent again by a router; dropped.
    pub duplicates: u64,
    /// Ticks closed before every source vouched for them, because too many windows were open.
    pub forced: u64,
    /// The source that was not waited for when `forced` last rose.
    pub not_waited_for: Option<u32>,
}

pub struct Lane {
    width: i64,
    max_open: usize,
    ordered_sources: bool,
    resumed_at: Resume,
    /// Came with the last tick.
    committed: Resume,
    /// From where the log is read again by whoever has the memory of then.
    low_of_memory: u64,
    /// Reading again what lies below the resumed frontier: nothing is counted, nothing closes.
    catching_up: bool,
    closed_through: EventTime,
    frontier: u64,
    marks: Marks,
    facts: Facts,
    open: OpenWindows,
    seen: Seen,
    counters: LaneCounters,
}

impl Lane {
    pub fn new(config: &Config) -> Lane {
        Lane::resume(config, Resume::START)
    }

    /// Goes on from what was committed with a tick. The log is to be pushed again from `at.low`.
    pub fn resume(config: &Config, at: Resume) -> Lane {
        let width = i64::from(config.window_seconds.max(1)) * MICROS_PER_SECOND;
        Lane {
            width,
            max_open: config.max_open_windows.max(1),
            ordered_sources: false,
            resumed_at: at,
            committed: at,
            low_of_memory: at.low,
            catching_up: at.frontier > 0,
            closed_through: at.closed_through,
            frontier: at.frontier,
            marks: Marks::default(),
            facts: Facts::new(at),
            open: OpenWindows::new(width),
            seen: Seen::default(),
            counters: LaneCounters::default(),
        }
    }

    /// Goes on from what another lane remembered; the log is to be pushed again from `memory.at.low`, and gives the ticks
    /// after `memory.at.closed_through`. A memory may be older than what was committed since: then ticks that were stored
    /// already come again, the same as they were, and the caller passes over those up to the `closed_through` it
    /// committed.
    pub fn recalled(config: &Config, memory: &LaneMemory) -> Lane {
        let mut lane = Lane::resume(config, memory.at);
        lane.recall(memory.heard.iter().copied());
        let facts = Facts::recalled(memory.at, &memory.waiting);
        Lane { seen: Seen::recalled(&memory.seen), facts, ..lane }
    }

    /// The state after the last tick, however many entries were pushed since; to be stored, or at least used, together
    /// with nothing but its own [`LaneMemory::at`].
    pub fn memory(&self) -> LaneMemory {
        LaneMemory {
            at: Resume { low: self.low_of_memory, ..self.committed },
            heard: self.open.heard(),
            seen: self.seen.before(self.low_of_memory),
            waiting: self.facts.remembered(self.committed.frontier),
        }
    }

    /// For logs in which the positions of a source ascend but for what a router sends again after a crash (Kafka):
    /// a position not greater than the last is dropped. Leave it off when each source is read once, in any order
    /// (files sorted by event time).
    pub fn with_ordered_sources(mut self) -> Lane {
        self.ordered_sources = true;
        self
    }

    /// Tells a resumed lane of stored windows, at least each device's last, up to `closed_through`: how long a device was
    /// silent is counted from there.
    pub fn recall(&mut self, windows: impl IntoIterator<Item = (DeviceKey, EventTime)>) {
        for (device, end) in windows {
            self.open.recall(device, end);
        }
    }

    /// Takes the log's entry at `offset`. Appends the ticks it closes, in order, each with the position to resume from
    /// once everything about it is durable. Offsets ascend, not necessarily by one. What one call appends was closed by one
    /// entry, unless a lane was resumed in the middle of such ticks: the others of them then come with the first entry
    /// at or after the frontier.
    pub fn push(&mut self, offset: u64, entry: Entry, out: &mut Vec<(Tick, Resume)>) {
        if offset >= self.resumed_at.frontier {
            self.catch_up(out);
        }
        match entry {
            Entry::Batch(batch) => self.take_batch(offset, &batch),
            Entry::Mark(mark) => {
                self.marks.take(offset, &mark);
                if self.ordered_sources {
                    self.seen.mark(offset, mark.source, mark.below);
                }
            }
            Entry::Fact(fact) => {
                if let Fact::SourceRemoved { source } = fact {
                    self.marks.remove(source);
                }
                self.facts.take(offset, fact);
            }
        }
        self.frontier = self.frontier.max(offset.saturating_add(1));
        if !self.catching_up {
            self.close(self.marks.watermark(), out);
        }
    }

    /// All sources have ended: closes what is open.
    pub fn finish(&mut self, out: &mut Vec<(Tick, Resume)>) {
        self.catch_up(out);
        if let Some(last) = self.open.last_end() {
            self.close(Some(last), out);
        }
    }

    pub fn counters(&self) -> &LaneCounters {
        &self.counters
    }

    /// Everything ending at or before this is finished.
    pub fn closed_through(&self) -> EventTime {
        self.closed_through
    }

    /// What was committed stood in the middle of what one entry closed: the rest of it comes first.
    fn catch_up(&mut self, out: &mut Vec<(Tick, Resume)>) {
        if self.catching_up {
            self.catching_up = false;
            self.close(self.marks.watermark(), out);
        }
    }

    fn take_batch(&mut self, offset: u64, batch: &Batch) {
        let (mut new, closed_through) = (0, self.closed_through);
        let Lane { open, seen, ordered_sources, .. } = self;
        let to_add =
            batch.iter().filter(|routed| !*ordered_sources || seen.is_new(offset, routed)).inspect(|_| new += 1);
        let accepted = open.add(offset, to_add, closed_through);
        if offset >= self.resumed_at.frontier {
            self.counters.accepted += accepted;
            self.counters.late += new - accepted;
            self.counters.duplicates += batch.rows.len() as u64 - new;
        }
    }

    fn close(&mut self, watermark: Option<EventTime>, out: &mut Vec<(Tick, Resume)>) {
        while let Some(end) = self.next_end(watermark) {
            self.closed_through = end;
            let windows = self.open.close(end);
            let facts = self.facts.come_into_force(end, &windows);
            let tick = Tick { end, windows, facts, baseline_version: self.facts.versions.baseline };
            self.commit();
            self.seen.forget_below(self.low_of_memory);
            out.push((tick, self.committed));
        }
    }

    /// The end of the next tick to close, if one may. Depends on nothing but the marks, the open windows and
    /// `closed_through`, so that it goes on alike after a stop between any two ticks.
    fn next_end(&mut self, watermark: Option<EventTime>) -> Option<EventTime> {
        let first = self.open.first_end();
        let vouched = watermark.map_or(EventTime::MIN, |time| floor(time, self.width));
        let forced = first.filter(|first| *first > vouched && self.too_many_open());
        let through = forced.unwrap_or(vouched);
        if through == EventTime::MIN {
            return None;
        }
        let target = first.map_or(through, |first| first.min(through));
        let opens_here = first == Some(target);
        if self.closed_through == EventTime::MIN || target.minus(self.closed_through) > LONGEST_EMPTY_STRETCH {
            self.closed_through = if opens_here { EventTime(target.0.saturating_sub(self.width)) } else { target };
        }
        let end = EventTime(self.closed_through.0.saturating_add(self.width));
        if end > through {
            return None;
        }
        if forced == Some(end) {
            self.counters.forced += 1;
            self.counters.not_waited_for = self.marks.slowest();
        }
        Some(end)
    }

    /// More windows are open than allowed, among those that some source vouches for: the slowest source is not waited for
    /// any longer. Windows nobody vouches for are few, and no reason to drop what is in time.
    fn too_many_open(&self) -> bool {
        self.marks.furthest().is_some_and(|furthest| self.open.ending_by(furthest) > self.max_open)
    }

    fn commit(&mut self) {
        let (fact, not_remembered) = self.facts.first_offsets();
        let standing = [self.open.first_offset(), self.marks.first_offset()];
        let low = |fact| standing.into_iter().chain([fact]).flatten().min().unwrap_or(self.frontier);
        let (low, low_of_memory) = (low(fact), low(not_remembered));
        let Lane { closed_through, frontier, .. } = *self;
        self.committed = Resume { low, closed_through, frontier, versions: self.facts.versions };
        self.low_of_memory = low_of_memory;
    }
}

/// The last window end at or before `time`.
fn floor(time: EventTime, width: i64) -> EventTime {
    EventTime(time.0.div_euclid(width).saturating_mul(width))
}
