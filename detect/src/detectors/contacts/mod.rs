//! Contact episodes: a device at a destination its type does not know.
//!
//! This carries most of the detection. Totals of a window drown one strange conversation in all the usual ones; an
//! episode (device x rare destination) does not, is scored by its worst behaviour so far, and counts once, however long
//! it goes on. What is rare is asked of the type ("by at most 15 % of its device-days"), how telling a behaviour is, of
//! all types together ([`crate::rates`]).

mod episode;
mod exchange;
mod known;
mod words;

use std::collections::VecDeque;

use baseline::keys::{Folded, fold};
use baseline::{Category, ContactClass, ContactKey};
use fleet::memory::sorted;
use fleet::{DeviceKey, Direction, EventTime, Place, Window};
use rustc_hash::{FxHashMap, FxHashSet};
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use self::episode::Episode;
use crate::detectors::{Detector, Forgotten, Scene, Sightings, Subject};
use crate::evidence::{Bearing, Evidence};
use crate::prepared::PreparedType;
use crate::rates::MAX_WEIGHT;
use baseline::Behaviour;

/// Windows over which refusals, guesses and new hosts are counted.
pub(crate) const RECENT_SECONDS: i64 = 600;
/// Distinct internal destinations outside the type's habits within [`RECENT_SECONDS`] that make a scan.
const SCAN_DESTINATIONS: usize = 4;
/// An episode without contact for so long is over.
const DAY_SECONDS: f64 = 86_400.0;
/// Of a type that nobody learned: a destination that this share of a device's peers use as well is the type's own.
const PEERS_SHARE: f64 = 0.25;
/// Two infected devices of a small type must not excuse each other.
const LEAST_PEERS: usize = 2;

#[derive(Default, Serialize, Deserialize)]
pub struct Contacts {
    #[serde(serialize_with = "sorted::map")]
    devices: FxHashMap<DeviceKey, Box<DeviceContacts>>,
    #[serde(serialize_with = "sorted::map")]
    young: FxHashMap<(SmolStr, SmolStr), YoungType>,
}

/// What is remembered of one device; nothing, until it first does something rare.
#[derive(Default, Serialize, Deserialize)]
struct DeviceContacts {
    #[serde(serialize_with = "sorted::map")]
    episodes: FxHashMap<ContactKey, Episode>,
    /// When a known destination of an application was last used: what a replaced address is told by.
    #[serde(serialize_with = "sorted::map")]
    last_known_use: FxHashMap<(Direction, Place, baseline::Application), EventTime>,
    known: known::KnownContacts,
    /// Rare internal destinations called of late.
    fan_out: VecDeque<(EventTime, ContactKey)>,
}

/// What is remembered of a type without a baseline: since when it is seen, and which of its devices use what.
#[derive(Serialize, Deserialize)]
struct YoungType {
    since: EventTime,
    #[serde(serialize_with = "sorted::map")]
    users: FxHashMap<ContactKey, Users>,
}

#[derive(Serialize, Deserialize)]
enum Users {
    /// Too few so far.
    Few(#[serde(serialize_with = "sorted::set")] FxHashSet<DeviceKey>),
    /// Enough for good: it need not be known any more who.
    Enough,
}

/// Destinations remembered of a young type; beyond it nothing more becomes known.
const MAX_YOUNG_DESTINATIONS: usize = 10_000;

impl Detector for Contacts {
    fn name(&self) -> &'static str {
        "contacts"
    }

    fn observe(&mut self, scene: &Scene<'_>, sightings: &mut Sightings) {
        self.forget(scene);
        let mut folded = Vec::new();
        for Subject { index, window, device, prepared, .. } in scene.subjects() {
            if !device.is_known() || window.contacts.is_empty() {
                continue;
            }
            fold(&window.contacts, |key| prepared.is_some_and(|it| it.index.application(key).is_some()), &mut folded);
            let memory = self.devices.entry(window.device).or_default();
            let mut seen = Seen { scene, window, prepared, device_id: &device.id, type_since: EventTime::MIN };
            for part in &folded {
                // An action of ours cut the other side off: that it does not answer is no fault here.
                if part.refused > 0 && part.contact.peer.is_some_and(|peer| scene.roster.is_masked(peer)) {
                    continue;
                }
                if !prepared.is_some_and(PreparedType::is_seasoned) {
                    let young = self
                        .young
                        .entry((device.device_type.clone(), device.segment.clone()))
                        .or_insert_with(|| YoungType { since: window.end, users: FxHashMap::default() });
                    seen.type_since = young.since;
                    let peers = scene.roster.cohort(device).len().saturating_sub(1);
                    if young.is_common(part, window.device, peers) {
                        continue;
                    }
                }
                let score = memory.judge(&seen, part, sightings);
                sightings.score(index, score);
            }
        }
    }
}

impl Contacts {
    /// Once a day, whoever did nothing worth remembering since the day before.
    fn forget(&mut self, scene: &Scene<'_>) {
        let now = scene.tick.end;
        if now.day() == EventTime(now.0 - scene.width).day() {
            return;
        }
        self.devices.retain(|_, memory| memory.is_worth_keeping(now));
    }
}

/// One window and what is known of its device's type.
pub(crate) struct Seen<'a> {
    pub scene: &'a Scene<'a>,
    pub window: &'a Window,
    pub prepared: Option<&'a PreparedType>,
    pub device_id: &'a str,
    /// Of a type without a baseline.
    pub type_since: EventTime,
}

impl YoungType {
    /// Whether enough peers use it too; administration never becomes known so.
    fn is_common(&mut self, part: &Folded<'_>, device: DeviceKey, peers: usize) -> bool {
        if self.users.len() >= MAX_YOUNG_DESTINATIONS && !self.users.contains_key(&part.key) {
            return false;
        }
        if part.category == Category::Administration {
            return false;
        }
        let known = self.users.entry(part.key.clone()).or_insert_with(|| Users::Few(FxHashSet::default()));
        let Users::Few(users) = known else { return true };
        users.insert(device);
        let needed = ((PEERS_SHARE * peers as f64).ceil() as usize).max(LEAST_PEERS);
        let enough = users.len() > needed;
        if enough {
            *known = Users::Enough;
        }
        enough
    }
}

impl DeviceContacts {
    fn is_worth_keeping(&mut self, now: EventTime) -> bool {
        self.episodes.retain(|_, episode| now.seconds_since(episode.last) <= DAY_SECONDS);
        self.last_known_use.retain(|_, last| now.seconds_since(*last) <= DAY_SECONDS);
        !(self.episodes.is_empty() && self.last_known_use.is_empty())
    }

    /// Gives how strange this part of the window is.
    fn judge(&mut self, seen: &Seen<'_>, part: &Folded<'_>, out: &mut Sightings) -> f64 {
        let now = seen.window.end;
        let application = (part.key.direction, part.key.place, part.key.application);
        if let Some(prepared) = seen.prepared
            && let Some(known) = prepared.index.known(&part.key)
        {
            self.last_known_use.insert(application, now);
            return self.known.judge(seen, part, &prepared.learned.destinations.known[known], &mut out.evidence);
        }
        if part.key.place == Place::Group {
            return 0.0;
        }
        // The device used a known address of the application within the day before, and none since.
        let last_known_use = self.last_known_use.get(&application).copied();
        let substituted = |since: EventTime| {
            last_known_use.is_some_and(|last| last < since && since.seconds_since(last) < DAY_SECONDS)
        };
        if self.episodes.get(&part.key).is_some_and(|episode| now.seconds_since(episode.last) > DAY_SECONDS) {
            self.episodes.remove(&part.key);
        }
        if !self.episodes.contains_key(&part.key) && self.episodes.len() >= seen.scene.config.max_episodes_per_device {
            let last = forget_oldest(&mut self.episodes);
            // One that was over would have been forgotten at the end of the day.
            if last.is_some_and(|last| now.seconds_since(last) <= DAY_SECONDS) {
                out.forgotten.add(Forgotten { destinations: 1, device: Some(seen.window.device) });
            }
        }
        let episode = self
            .episodes
            .entry(part.key.clone())
            .or_insert_with(|| Episode::begin(now, seen.prepared.is_some_and(PreparedType::is_seasoned)));
        let verdict = episode.judge(seen, part, substituted);
        let mut score = verdict.weight;
        let improved = episode.improve(seen, part, &verdict);
        let beacon = episode.beacon(seen, part, &verdict);
        let (fanning_out, scan) = self.watch_fan_out(seen, part);
        if fanning_out {
            score = MAX_WEIGHT;
        }
        // The scan is told once, not host by host.
        out.evidence.extend(improved.filter(|evidence| evidence.attack || !fanning_out));
        out.evidence.extend(beacon);
        out.evidence.extend(scan);
        score
    }

    /// Whether this contact belongs to a scan, and the evidence when it has just become one.
    fn watch_fan_out(&mut self, seen: &Seen<'_>, part: &Folded<'_>) -> (bool, Option<Evidence>) {
        if part.key.place != Place::Internal || part.key.direction == Direction::Inbound {
            return (false, None);
        }
        let now = seen.window.end;
        let oldest = now.plus_seconds(-RECENT_SECONDS);
        let before = self.recent_fan_out(oldest);
        self.fan_out.push_back((now, part.key.clone()));
        let after = self.recent_fan_out(oldest);
        if after < SCAN_DESTINATIONS || before >= SCAN_DESTINATIONS {
            return (after >= SCAN_DESTINATIONS, None);
        }
        let scan = Evidence {
            weight: MAX_WEIGHT,
            shape: Behaviour::FanOut.name(),
            subject: "internal_fan_out".into(),
            attack: true,
            bearing: Bearing::Compromise,
            group: None,
            observed: format!("{after} internal destinations in 10 minutes that the type does not use"),
            expected_type: Some(format!("fewer than {SCAN_DESTINATIONS}")),
            technique: "T1046",
            first_seen_type: None,
            ..words::blank(seen, part)
        };
        (true, Some(scan))
    }

    /// Distinct rare internal destinations called after `oldest`.
    fn recent_fan_out(&mut self, oldest: EventTime) -> usize {
        while self.fan_out.front().is_some_and(|(at, _)| *at <= oldest) {
            self.fan_out.pop_front();
        }
        let mut keys: Vec<&ContactKey> = self.fan_out.iter().map(|(_, key)| key).collect();
        keys.sort_unstable();
        keys.dedup();
        keys.len()
    }
}

/// Gives when it was last met.
fn forget_oldest(episodes: &mut FxHashMap<ContactKey, Episode>) -> Option<EventTime> {
    let oldest =
        episodes.iter().min_by_key(|(key, episode)| (episode.last, (*key).clone())).map(|(key, _)| key.clone());
    Some(episodes.remove(&oldest?)?.last)
}

pub(crate) fn class_of(part: &Folded<'_>) -> ContactClass {
    ContactClass { direction: part.key.direction, place: part.key.place, category: part.category }
}

/// Infrastructure is chatty and harmless: no stay of it says much.
pub(crate) fn is_infrastructure(category: Category) -> bool {
    matches!(category, Category::Infrastructure | Category::Icmp)
}
