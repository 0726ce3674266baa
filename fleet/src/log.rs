//! What a lane reads and gives.
//!
//! A lane is a pure function of its log. The log holds batches of readings, marks (how far a source's event time is
//! complete) and facts (everything else that changes results). It gives ticks, and after each tick a [`Resume`]: the
//! few dozen bytes from which another process goes on and gives the same ticks.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::device::{Device, DeviceKey};
use crate::reading::{Owner, Reading, Routed};
use crate::time::EventTime;
use crate::window::Window;

#[derive(Clone, Debug, PartialEq)]
pub enum Entry {
    Batch(Batch),
    Mark(Mark),
    Fact(Fact),
}

/// Readings of a lane: the rows that are its own of what a source gave. Lanes of one process share `readings`, which are
/// large and would have to be copied from stage to stage.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    pub readings: Arc<Vec<Reading>>,
    /// In the order of the source; a flow between two devices stands here twice, the originator first.
    pub rows: Vec<(u32, Owner)>,
}

impl Batch {
    pub fn iter(&self) -> impl Iterator<Item = Routed<'_>> {
        self.rows.iter().map(|(row, owner)| Routed { owner: *owner, reading: &self.readings[*row as usize] })
    }
}

impl FromIterator<(Owner, Reading)> for Batch {
    fn from_iter<I: IntoIterator<Item = (Owner, Reading)>>(owned: I) -> Batch {
        let (owners, readings): (Vec<Owner>, Vec<Reading>) = owned.into_iter().unzip();
        Batch { readings: Arc::new(readings), rows: (0..).zip(owners).collect() }
    }
}

/// "Source `source` is complete up to event time `through`, and all its records below `below` stand before this entry."
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mark {
    pub source: u32,
    /// Every source the log may carry; nothing closes before each of them has a mark.
    #[serde(serialize_with = "roster_as_slice", deserialize_with = "roster_from_slice")]
    pub roster: Arc<[u32]>,
    pub through: EventTime,
    pub below: u64,
}

fn roster_as_slice<S: Serializer>(roster: &Arc<[u32]>, out: S) -> Result<S::Ok, S::Error> {
    roster.as_ref().serialize(out)
}

fn roster_from_slice<'de, D: Deserializer<'de>>(input: D) -> Result<Arc<[u32]>, D::Error> {
    Vec::deserialize(input).map(Arc::from)
}

/// What else changes results; holds from event time `from`.
#[derive(Clone, Debug, PartialEq)]
pub enum Fact {
    /// Announces what a device key means; stands before the key's first reading. An unknown device is announced by each
    /// router that meets it, so it may come several times; `from` is the event time at which that router met it (the same
    /// in every run), `EventTime::MIN` for what was known before.
    Device { device: Arc<Device>, from: EventTime },
    /// The device left this lane's cohort (re-assigned or retired): stop expecting it.
    Left { device: DeviceKey, from: EventTime },
    /// The baselines in force.
    Baseline { version: u32, from: EventTime },
    /// A source that is no more leaves the roster.
    SourceRemoved { source: u32 },
    /// A retired device spoke.
    RetiredSpoke { device: DeviceKey, at: EventTime },
    /// An action of ours restricts the device: what it does, or leaves undone, is our doing from then on.
    Restricted { device: DeviceKey, from: EventTime },
    /// Nothing of ours restricts it any more.
    Freed { device: DeviceKey, from: EventTime },
}

/// All windows of a lane that end together; may be empty.
#[derive(Clone, Debug, PartialEq)]
pub struct Tick {
    pub end: EventTime,
    /// Ordered by device key.
    pub windows: Vec<Window>,
    /// Facts that came into force since the previous tick. A device is announced at the latest with its first window.
    pub facts: Vec<Fact>,
    pub baseline_version: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Versions {
    pub baseline: u32,
    pub inventory: u32,
}

/// Where to go on: committed with every step, as the log offset and an ASCII string.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resume {
    /// First log offset to read again: the least of the open windows' first offsets and the sources' standing marks.
    pub low: u64,
    /// Every window ending at or before this is finished.
    pub closed_through: EventTime,
    /// Log offset read so far: below it nothing counts as late again and nothing closes.
    pub frontier: u64,
    pub versions: Versions,
}

impl Resume {
    pub const START: Resume = Resume {
        low: 0,
        closed_through: EventTime::MIN,
        frontier: 0,
        versions: Versions { baseline: 0, inventory: 0 },
    };
}

/// The commit's metadata: everything but `low`, which is the committed offset itself.
impl fmt::Display for Resume {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Versions { baseline, inventory } = self.versions;
        write!(
            out,
            "v1 low={} closed={} frontier={} baseline={baseline} inventory={inventory}",
            self.low, self.closed_through.0, self.frontier
        )
    }
}

impl FromStr for Resume {
    type Err = String;

    fn from_str(text: &str) -> Result<Resume, String> {
        let bad = || {
            format!("`{text}` is not a resume position, expected `v1 low=N closed=N frontier=N baseline=N inventory=N`")
        };
        let mut words = text.split(' ');
        if words.next() != Some("v1") {
            return Err(bad());
        }
        let mut resume = Resume::START;
        let mut seen = 0;
        for word in words {
            let (name, value) = word.split_once('=').ok_or_else(bad)?;
            match name {
                "low" => resume.low = value.parse().map_err(|_| bad())?,
                "closed" => resume.closed_through = EventTime(value.parse().map_err(|_| bad())?),
                "frontier" => resume.frontier = value.parse().map_err(|_| bad())?,
                "baseline" => resume.versions.baseline = value.parse().map_err(|_| bad())?,
                "inventory" => resume.versions.inventory = value.parse().map_err(|_| bad())?,
                _ => return Err(bad()),
            }
            seen += 1;
        }
        if seen == 5 { Ok(resume) } else { Err(bad()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_survives_its_text() {
        let resume = Resume {
            low: 17,
            closed_through: EventTime(1_772_755_200_000_000),
            frontier: 99,
            versions: Versions { baseline: 3, inventory: 1 },
        };
        let text = resume.to_string();
        assert!(text.is_ascii() && text.len() < 4096);
        assert_eq!(text.parse(), Ok(resume));
        assert!("v2 low=1".parse::<Resume>().is_err());
        assert!("v1 low=1".parse::<Resume>().is_err());
    }
}
