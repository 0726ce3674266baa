//! What a device type is known to talk to, and how often its devices do something else.

use std::collections::{BTreeMap, BTreeSet};

use fleet::{Direction, Place};
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::behaviour::{Behaviour, Usual};
use crate::keys::{Application, ContactClass, ContactKey};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Destinations {
    /// Applications that more than a rare share of device-days uses, whatever the destination.
    pub applications: Vec<ApplicationUse>,
    /// Destinations that more than a rare share of device-days uses; most used first.
    pub known: Vec<DestinationUse>,
    /// How many others were seen: counted in `episodes`, not named.
    pub rare: u64,
    /// Known destinations beyond `max_destinations`, forgotten.
    pub forgotten: u64,
    /// Device-days on which a rare destination of the class was treated so. Attack shapes are left out.
    pub episodes: Vec<EpisodeCount>,
    /// Per hour of the day (24, UTC): share of ten-minute slots in which a device originated something.
    pub activity: Vec<f32>,
    /// The same over all hours, per device.
    pub device_activity: BTreeMap<SmolStr, f32>,
    /// Everything of these kinds that was ever seen, rare or not: topics, commands, peer device types, countries.
    pub vocabulary: Vocabulary,
}

/// Small closed worlds, in which a first sighting is news by itself. Bounded at [`Vocabulary::MAX`] words each.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Vocabulary {
    pub topics: BTreeSet<SmolStr>,
    pub commands: BTreeSet<SmolStr>,
    /// `service` of device-to-device traffic.
    pub peer_services: BTreeSet<SmolStr>,
    pub countries: BTreeSet<SmolStr>,
}

impl Vocabulary {
    pub const MAX: usize = 1024;
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ApplicationUse {
    pub direction: Direction,
    pub place: Place,
    pub application: Application,
    /// Share of device-days.
    pub share: f32,
    /// Median bytes sent in a window with it.
    pub usual_bytes_out: f32,
    /// A device's greatest such window, median over devices.
    pub peak_bytes_out: f32,
}

impl ApplicationUse {
    pub fn usual(&self) -> Usual {
        Usual { bytes_out: self.usual_bytes_out, peak_bytes_out: self.peak_bytes_out }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DestinationUse {
    pub key: ContactKey,
    /// Share of device-days.
    pub share: f32,
    pub devices: u32,
    pub days: u32,
    /// Share of the device-days on which it refused or did not answer most flows.
    pub refused_share: f32,
    /// Of each device with enough windows.
    pub habits: BTreeMap<SmolStr, Habit>,
}

/// How much a device usually sends to a destination, and for how long it ever sent more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Habit {
    /// Median bytes in a window.
    pub bytes_out: f32,
    /// Most windows in a row, on one day, with several times that.
    pub longest_run: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpisodeCount {
    pub class: ContactClass,
    pub behaviour: Behaviour,
    pub device_days: u32,
    /// Distinct devices.
    pub devices: u32,
}

/// Where to find a key's entry in `applications` and `known`, for looking up while judging.
#[derive(Debug, Default)]
pub struct DestinationIndex {
    applications: FxHashMap<(Direction, Place, Application), usize>,
    known: FxHashMap<ContactKey, usize>,
}

impl Destinations {
    pub fn index(&self) -> DestinationIndex {
        let mut index = DestinationIndex::default();
        for (position, usage) in self.applications.iter().enumerate() {
            index.applications.insert((usage.direction, usage.place, usage.application), position);
        }
        for (position, usage) in self.known.iter().enumerate() {
            index.known.insert(usage.key.clone(), position);
        }
        index
    }
}

impl DestinationIndex {
    /// Position in [`Destinations::applications`]; `None` when the type does not use the application regularly.
    pub fn application(&self, key: &ContactKey) -> Option<usize> {
        self.applications.get(&(key.direction, key.place, key.application)).copied()
    }

    /// Position in [`Destinations::known`].
    pub fn known(&self, key: &ContactKey) -> Option<usize> {
        self.known.get(key).copied()
    }
}
