//! Guessing of credentials, slower than one window shows: sign-ins that failed within ten minutes. When both sides are
//! devices of ours, each has windows of its own, and each is told of.

use std::collections::VecDeque;

use fleet::memory::sorted;
use fleet::{Contact, DeviceKey, EventTime, Feature, Position, Service, Window};
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use crate::detectors::contacts::RECENT_SECONDS;
use crate::detectors::{Detector, Scene, Sightings, Subject};
use crate::evidence::{Bearing, Evidence};
use crate::rates::MAX_WEIGHT;
use crate::roster::Roster;

/// Failed sign-ins within [`RECENT_SECONDS`], and more than half of all.
const FAILED: u32 = 5;
/// A type that fails habitually must fail this many times as much.
const BEYOND_HABIT: f32 = 2.0;

#[derive(Default, Serialize, Deserialize)]
pub struct SignIn {
    /// Of devices with a failed sign-in of late.
    #[serde(serialize_with = "sorted::map")]
    devices: FxHashMap<DeviceKey, VecDeque<Attempts>>,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
struct Attempts {
    at: EventTime,
    failed: u32,
    all: u32,
    records: (Position, Position),
}

impl Detector for SignIn {
    fn name(&self) -> &'static str {
        "sign_in"
    }

    fn observe(&mut self, scene: &Scene<'_>, sightings: &mut Sightings) {
        for Subject { index, window, prepared, .. } in scene.subjects().filter(|it| it.device.is_known()) {
            if window.get(Feature::SignInFailures) == 0.0 && !self.devices.contains_key(&window.device) {
                continue;
            }
            let Some(now) = attempts(window, scene.roster) else { continue };
            let recent = self.devices.entry(window.device).or_default();
            let oldest = window.end.plus_seconds(-RECENT_SECONDS);
            recent.retain(|attempts| attempts.at > oldest);
            let habit = prepared.map_or(0.0, |it| it.learned.feature(Feature::SignInFailures).robust.q95);
            let windows = (RECENT_SECONDS * fleet::MICROS_PER_SECOND / scene.width.max(1)) as f32;
            let needed = FAILED.max((BEYOND_HABIT * windows * habit) as u32);
            let before = is_guessing(recent, needed);
            recent.push_back(now);
            if recent.iter().all(|attempts| attempts.failed == 0) {
                self.devices.remove(&window.device);
                continue;
            }
            if !is_guessing(recent, needed) {
                continue;
            }
            sightings.score(index, MAX_WEIGHT);
            if !before {
                sightings.evidence.push(guessing(window.device, recent, needed));
            }
        }
    }
}

/// Those of masked devices left out: a ban must not be held against whoever enforces it.
fn attempts(window: &Window, roster: &Roster) -> Option<Attempts> {
    let counts = |contact: &&Contact| {
        contact.service.0 == Service::SIGN_IN && !contact.peer.is_some_and(|peer| roster.is_masked(peer))
    };
    let mut sum: Option<Attempts> = None;
    for contact in window.contacts.iter().filter(counts) {
        let attempts = sum.get_or_insert(Attempts {
            at: window.end,
            failed: 0,
            all: 0,
            records: (contact.first_record, contact.last_record),
        });
        attempts.failed += contact.refused;
        attempts.all += contact.flows;
        attempts.records.1 = attempts.records.1.max(contact.last_record);
    }
    sum
}

fn sums(recent: &VecDeque<Attempts>) -> (u32, u32) {
    recent.iter().fold((0, 0), |(failed, all), it| (failed + it.failed, all + it.all))
}

fn is_guessing(recent: &VecDeque<Attempts>, needed: u32) -> bool {
    let (failed, all) = sums(recent);
    failed >= needed && 2 * failed > all
}

fn guessing(device: DeviceKey, recent: &VecDeque<Attempts>, needed: u32) -> Evidence {
    let (failed, all) = sums(recent);
    Evidence {
        device,
        detector: "sign_in",
        subject: Feature::SignInFailures.name().into(),
        shape: "guessing",
        weight: MAX_WEIGHT,
        bearing: Bearing::Compromise,
        attack: true,
        strong: false,
        group: None,
        observed: format!("{failed} of {all} sign-ins failed in 10 minutes"),
        expected_type: Some(format!("fewer than {needed}")),
        expected_device: None,
        peers_now: None,
        first_seen_type: None,
        first_seen_device: None,
        technique: "T1110.001",
        records: recent.front().zip(recent.back()).map(|(first, last)| (first.records.0, last.records.1)),
    }
}
