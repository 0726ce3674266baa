//! Facts wait here for the tick in which they come into force.
//!
//! A fact with a time comes into force in the first tick that ends after it, one without a time in the next tick. A
//! waiting fact holds `low` back, but for one that a memory holds ([`WaitingFact`]): its time may be far away. Of facts read again
//! after a resume, those that already came into force are told by their time alone, because the tick of every `Resume` was
//! closed after everything below its `frontier` was read.
//!
//! A router announces a device when it first meets it, which need not be the device's earliest reading: readings are
//! disordered, and other routers met it too. A tick with a window of a device therefore gives the announcement that still
//! waits, and gives it again in its time. So the first announcement of a device comes with its first window, in whatever
//! order routers met it.

use fleet::{DeviceKey, EventTime, Fact, Resume, Versions, Window};

use super::memory::WaitingFact;

pub(crate) struct Facts {
    waiting: Vec<Waiting>,
    pub(crate) versions: Versions,
    resumed_at: Resume,
    /// Facts that waited then came with a memory, and may stand in what is read again, too.
    recalled: bool,
}

struct Waiting {
    from: EventTime,
    offset: u64,
    fact: Fact,
}

impl Facts {
    pub(crate) fn new(at: Resume) -> Facts {
        Facts { waiting: Vec::new(), versions: at.versions, resumed_at: at, recalled: false }
    }

    pub(crate) fn recalled(at: Resume, waiting: &[WaitingFact]) -> Facts {
        let waiting = waiting.iter().map(|it| Waiting { from: it.from, offset: it.offset, fact: it.fact() });
        Facts { waiting: waiting.collect(), recalled: true, ..Facts::new(at) }
    }

    pub(crate) fn take(&mut self, offset: u64, fact: Fact) {
        let from = match &fact {
            Fact::Device { from, .. }
            | Fact::Baseline { from, .. }
            | Fact::Left { from, .. }
            | Fact::Restricted { from, .. }
            | Fact::Freed { from, .. } => *from,
            Fact::RetiredSpoke { at, .. } => *at,
            Fact::SourceRemoved { .. } => EventTime::MIN,
        };
        let read_again = offset < self.resumed_at.frontier;
        let is_known = self.recalled && WaitingFact::of(offset, &fact).is_some();
        if read_again && (is_known || from < self.resumed_at.closed_through) {
            return;
        }
        self.waiting.push(Waiting { from, offset, fact });
    }

    /// The facts that hold for the tick ending at `end` and did not before, in order of their time, then of the log; last
    /// the announcements that wait for later, of devices that have one of `windows` (ordered by device).
    pub(crate) fn come_into_force(&mut self, end: EventTime, windows: &[Window]) -> Vec<Fact> {
        if self.waiting.is_empty() {
            return Vec::new();
        }
        let (mut due, waiting): (Vec<Waiting>, Vec<Waiting>) =
            std::mem::take(&mut self.waiting).into_iter().partition(|waiting| waiting.from < end);
        self.waiting = waiting;
        due.sort_by_key(|due| (due.from, due.offset));
        for due in &due {
            if let Fact::Baseline { version, .. } = due.fact {
                self.versions.baseline = version;
            }
        }
        let spoke = |device: DeviceKey| windows.binary_search_by_key(&device, |window| window.device).is_ok();
        let early = self.waiting.iter().filter(|waiting| match &waiting.fact {
            Fact::Device { device, .. } => spoke(device.key),
            _ => false,
        });
        due.into_iter().map(|due| due.fact).chain(early.map(|waiting| waiting.fact.clone())).collect()
    }

    /// Log offsets of the first fact that waits, and of the first that no memory holds.
    pub(crate) fn first_offsets(&self) -> (Option<u64>, Option<u64>) {
        let offset = |waiting: &Waiting| waiting.offset;
        let in_no_memory = |waiting: &&Waiting| WaitingFact::of(waiting.offset, &waiting.fact).is_none();
        (self.waiting.iter().map(offset).min(), self.waiting.iter().filter(in_no_memory).map(offset).min())
    }

    /// Those of entries below `frontier` that wait, and that a memory holds.
    pub(crate) fn remembered(&self, frontier: u64) -> Vec<WaitingFact> {
        let below = self.waiting.iter().filter(|waiting| waiting.offset < frontier);
        below.filter_map(|waiting| WaitingFact::of(waiting.offset, &waiting.fact)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fleet::DeviceKey;

    #[test]
    fn a_baseline_holds_for_ticks_that_end_after_it() {
        let mut facts = Facts::new(Resume::START);
        facts.take(1, Fact::Baseline { version: 3, from: EventTime(120) });
        facts.take(2, Fact::Left { device: DeviceKey(1), from: EventTime(10) });
        assert_eq!(facts.come_into_force(EventTime(60), &[]).len(), 1);
        assert_eq!(facts.first_offsets(), (Some(1), None));
        assert!(facts.come_into_force(EventTime(120), &[]).is_empty());
        assert_eq!(facts.versions.baseline, 0);
        assert_eq!(facts.come_into_force(EventTime(180), &[]).len(), 1);
        assert_eq!((facts.versions.baseline, facts.first_offsets()), (3, (None, None)));
    }

    #[test]
    fn of_two_baselines_the_one_that_holds_later_wins() {
        let mut facts = Facts::new(Resume::START);
        facts.take(1, Fact::Baseline { version: 5, from: EventTime(50) });
        facts.take(2, Fact::Baseline { version: 4, from: EventTime(40) });
        facts.come_into_force(EventTime(60), &[]);
        assert_eq!(facts.versions.baseline, 5);
    }

    #[test]
    fn read_again_only_what_still_waited_waits() {
        let at = Resume { low: 1, closed_through: EventTime(60), frontier: 9, versions: Versions::default() };
        let mut facts = Facts::new(at);
        facts.take(1, Fact::SourceRemoved { source: 1 });
        facts.take(2, Fact::Baseline { version: 1, from: EventTime(59) });
        facts.take(3, Fact::Baseline { version: 2, from: EventTime(60) });
        facts.take(9, Fact::SourceRemoved { source: 2 });
        assert_eq!(facts.come_into_force(EventTime(120), &[]).len(), 2);
    }

    #[test]
    fn a_restriction_holds_for_ticks_that_end_after_it_and_at_once_when_it_is_late() {
        let lamp = DeviceKey(1);
        let (restricted, freed) = (
            Fact::Restricted { device: lamp, from: EventTime(70) },
            Fact::Freed { device: lamp, from: EventTime(130) },
        );
        let mut facts = Facts::new(Resume::START);
        facts.take(1, restricted.clone());
        facts.take(2, freed.clone());
        assert_eq!(facts.first_offsets(), (Some(1), None), "a memory holds them");
        assert!(facts.come_into_force(EventTime(60), &[]).is_empty());
        assert_eq!(facts.come_into_force(EventTime(120), &[]), std::slice::from_ref(&restricted));
        assert_eq!(facts.come_into_force(EventTime(180), &[]), [freed]);
        facts.take(3, restricted.clone());
        assert_eq!(facts.come_into_force(EventTime(600), &[]), [restricted]);
    }

    #[test]
    fn a_baseline_of_a_memory_is_not_taken_twice() {
        let at = Resume { low: 1, closed_through: EventTime(60), frontier: 9, versions: Versions::default() };
        let mut first = Facts::new(Resume::START);
        first.take(4, Fact::Baseline { version: 2, from: EventTime(90) });
        first.take(9, Fact::Baseline { version: 3, from: EventTime(80) });
        let mut facts = Facts::recalled(at, &first.remembered(at.frontier));
        facts.take(4, Fact::Baseline { version: 2, from: EventTime(90) });
        facts.take(9, Fact::Baseline { version: 3, from: EventTime(80) });
        assert_eq!(facts.come_into_force(EventTime(120), &[]).len(), 2);
        assert_eq!(facts.versions.baseline, 2);
    }
}
