//! What a lane remembers beyond its [`Resume`]: small, but not to be had from the log between `low` and the frontier.

use std::collections::{BTreeMap, VecDeque};

use fleet::{DeviceKey, EventTime, Fact, Resume, Role, Routed};
use serde::{Deserialize, Serialize};

/// The state of a lane after its last tick, for [`Lane::recalled`](super::Lane::recalled). Two lanes that gave the same
/// ticks from the same log give equal ones, and equal bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LaneMemory {
    /// The position that came with the last tick. `at.low` is from where the log is to be read again: later than it came,
    /// where only `waiting` held it back.
    pub at: Resume,
    /// The end of each device's last closed window with readings, ordered by device.
    pub(crate) heard: Vec<(DeviceKey, EventTime)>,
    /// As of `at.low`: what stands after it is read again, and must not be taken for sent again.
    pub(crate) seen: Vec<(u32, Place)>,
    /// Those that wait for their time, which may be weeks away, in the order of the log.
    pub(crate) waiting: Vec<WaitingFact>,
}

/// What was told by the log's entry at `offset`, and is not yet in force.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct WaitingFact {
    pub offset: u64,
    pub from: EventTime,
    pub what: Awaited,
}

/// Facts whose time may be far away: a version is announced ahead, and who restricts devices goes by another clock.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Awaited {
    Baseline(u32),
    Restricted(DeviceKey),
    Freed(DeviceKey),
}

impl WaitingFact {
    /// `None`: this one waits in the log.
    pub fn of(offset: u64, fact: &Fact) -> Option<WaitingFact> {
        let (what, from) = match *fact {
            Fact::Baseline { version, from } => (Awaited::Baseline(version), from),
            Fact::Restricted { device, from } => (Awaited::Restricted(device), from),
            Fact::Freed { device, from } => (Awaited::Freed(device), from),
            _ => return None,
        };
        Some(WaitingFact { offset, from, what })
    }

    pub fn fact(&self) -> Fact {
        let from = self.from;
        match self.what {
            Awaited::Baseline(version) => Fact::Baseline { version, from },
            Awaited::Restricted(device) => Fact::Restricted { device, from },
            Awaited::Freed(device) => Fact::Freed { device, from },
        }
    }
}

/// Position of a record, and whether in the responder's role: of a flow between two devices the originator's reading
/// stands first.
pub(crate) type Place = (u64, bool);

/// The greatest place of each source, for sources whose places ascend but for what is sent again; and what it was before
/// each log entry from the resume position on, so that a lane can say what it knew there.
#[derive(Default)]
pub(crate) struct Seen {
    sources: BTreeMap<u32, Greatest>,
    history: VecDeque<Before>,
}

struct Greatest {
    place: Place,
    /// Log offset of the entry that moved it last; `None` before the first entry.
    entry: Option<u64>,
}

struct Before {
    entry: u64,
    source: u32,
    place: Option<Place>,
}

impl Seen {
    pub(crate) fn recalled(seen: &[(u32, Place)]) -> Seen {
        let sources = seen.iter().map(|&(source, place)| (source, Greatest { place, entry: None })).collect();
        Seen { sources, history: VecDeque::new() }
    }

    /// Whether the reading, of the log entry at `entry`, comes for the first time.
    pub(crate) fn is_new(&mut self, entry: u64, routed: &Routed<'_>) -> bool {
        let position = routed.reading.position;
        self.advance(entry, position.source, (position.offset, routed.owner.role == Role::Responder))
    }

    /// All records of `source` below `below` stand before `entry`.
    pub(crate) fn mark(&mut self, entry: u64, source: u32, below: u64) {
        if let Some(last) = below.checked_sub(1) {
            self.advance(entry, source, (last, true));
        }
    }

    fn advance(&mut self, entry: u64, source: u32, place: Place) -> bool {
        let before = match self.sources.get_mut(&source) {
            Some(greatest) if greatest.place >= place => return false,
            Some(greatest) if greatest.entry == Some(entry) => {
                greatest.place = place;
                return true;
            }
            Some(greatest) => {
                greatest.entry = Some(entry);
                Some(std::mem::replace(&mut greatest.place, place))
            }
            None => {
                self.sources.insert(source, Greatest { place, entry: Some(entry) });
                None
            }
        };
        self.history.push_back(Before { entry, source, place: before });
        true
    }

    /// What was known before the entry at `low` is not asked for below it any more.
    pub(crate) fn forget_below(&mut self, low: u64) {
        while self.history.front().is_some_and(|before| before.entry < low) {
            self.history.pop_front();
        }
    }

    /// What was seen before the entry at `low`, ordered by source.
    pub(crate) fn before(&self, low: u64) -> Vec<(u32, Place)> {
        let mut places: BTreeMap<u32, Place> =
            self.sources.iter().map(|(source, greatest)| (*source, greatest.place)).collect();
        for before in self.history.iter().rev().take_while(|before| before.entry >= low) {
            match before.place {
                Some(place) => _ = places.insert(before.source, place),
                None => _ = places.remove(&before.source),
            }
        }
        places.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_what_it_knew_before_any_entry_not_forgotten() {
        let mut seen = Seen::recalled(&[(1, (7, true))]);
        assert!(!seen.advance(10, 1, (7, false)));
        assert!(seen.advance(10, 1, (8, false)) && seen.advance(10, 1, (8, true)) && seen.advance(10, 2, (0, false)));
        seen.mark(11, 1, 20);
        seen.mark(12, 1, 0);
        assert!(!seen.advance(12, 1, (19, true)) && seen.advance(12, 1, (20, false)));
        assert_eq!(seen.before(10), [(1, (7, true))]);
        assert_eq!(seen.before(11), [(1, (8, true)), (2, (0, false))]);
        seen.forget_below(12);
        assert_eq!(seen.history.len(), 1);
        assert_eq!(seen.before(12), [(1, (19, true)), (2, (0, false))]);
        assert_eq!(seen.before(13), [(1, (20, false)), (2, (0, false))]);
    }
}
