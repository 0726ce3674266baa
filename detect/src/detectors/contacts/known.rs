//! Known destinations: the device is where it always is, but sends much more for much longer, or is refused.

use std::collections::VecDeque;

use baseline::ContactKey;
use baseline::DestinationUse;
use baseline::keys::Folded;
use baseline::learn_destinations::run_threshold;
use baseline::render::number;
use fleet::memory::sorted;
use fleet::{EventTime, Place};
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use super::{RECENT_SECONDS, Seen, words};
use crate::evidence::{Bearing, Evidence, Group};
use crate::rates::MAX_WEIGHT;

/// Windows that a run must exceed the longest ever learned by. Only how long a run lasts tells ten times the data of a
/// small talker from its busy minutes.
const RUN_BEYOND: u32 = 4;
const REFUSED: u32 = 3;
/// A destination that refused on more of its device-days than this is simply like that.
const HABITUALLY_REFUSED: f32 = 0.05;
const REFUSED_WEIGHT: f64 = 3.0;

#[derive(Default, Serialize, Deserialize)]
pub(crate) struct KnownContacts {
    #[serde(serialize_with = "sorted::map")]
    runs: FxHashMap<ContactKey, u32>,
    #[serde(serialize_with = "sorted::map")]
    refusals: FxHashMap<ContactKey, VecDeque<(EventTime, u32, u32)>>,
}

impl KnownContacts {
    /// Gives how strange this part of the window is.
    pub fn judge(
        &mut self,
        seen: &Seen<'_>,
        part: &Folded<'_>,
        known: &DestinationUse,
        out: &mut Vec<Evidence>,
    ) -> f64 {
        let long_run = self.long_run(seen, part, known);
        let refused = self.refused(seen, part, known);
        let score = long_run.iter().chain(&refused).map(|evidence| evidence.weight).fold(0.0, f64::max);
        out.extend(long_run);
        out.extend(refused);
        score
    }

    fn long_run(&mut self, seen: &Seen<'_>, part: &Folded<'_>, known: &DestinationUse) -> Option<Evidence> {
        let habit = known.habits.get(seen.device_id)?;
        if part.key.place == Place::Group {
            return None;
        }
        if part.bytes_out as f32 <= run_threshold(habit.bytes_out) {
            self.runs.remove(&part.key);
            return None;
        }
        let run = self.runs.entry(part.key.clone()).or_insert(0);
        *run += 1;
        if *run < habit.longest_run + RUN_BEYOND {
            return None;
        }
        Some(Evidence {
            weight: MAX_WEIGHT,
            shape: "volume",
            detector: "volume",
            subject: format!("bytes_out {} {}", part.key.application, part.key.target).into(),
            bearing: Bearing::Novelty,
            group: Some(Group { lasting: false, ..Group::change("volume", false) }),
            observed: format!(
                "{run} windows in a row above {} bytes, now {}",
                number(run_threshold(habit.bytes_out)),
                part.bytes_out
            ),
            expected_type: None,
            expected_device: Some(format!(
                "about {} bytes a window, at most {} windows in a row above {}",
                number(habit.bytes_out),
                habit.longest_run,
                number(run_threshold(habit.bytes_out)),
            )),
            first_seen_type: Some(false),
            first_seen_device: Some(false),
            technique: if part.key.place == Place::External { "T1041" } else { "T1498.001" },
            ..words::blank(seen, part)
        })
    }

    fn refused(&mut self, seen: &Seen<'_>, part: &Folded<'_>, known: &DestinationUse) -> Option<Evidence> {
        if part.refused == 0 && !self.refusals.contains_key(&part.key) {
            return None;
        }
        let now = seen.window.end;
        let oldest = now.plus_seconds(-RECENT_SECONDS);
        let recent = self.refusals.entry(part.key.clone()).or_default();
        recent.push_back((now, part.flows, part.refused));
        while recent.front().is_some_and(|(at, _, _)| *at <= oldest) {
            recent.pop_front();
        }
        let flows: u32 = recent.iter().map(|(_, flows, _)| flows).sum();
        let refused: u32 = recent.iter().map(|(_, _, refused)| refused).sum();
        if refused == 0 {
            self.refusals.remove(&part.key);
            return None;
        }
        if part.refused == 0 || refused < REFUSED || 2 * refused <= flows || known.refused_share >= HABITUALLY_REFUSED {
            return None;
        }
        Some(Evidence {
            weight: REFUSED_WEIGHT,
            shape: "service_lost",
            subject: "service_lost".into(),
            bearing: Bearing::Fault,
            group: Some(Group::outage("service lost")),
            observed: format!(
                "{refused} of {flows} flows to {} {} failed in 10 minutes",
                part.key.application, part.key.target
            ),
            expected_type: Some(format!("refused on {:.0} % of device-days", known.refused_share * 100.0)),
            first_seen_type: Some(false),
            first_seen_device: Some(false),
            technique: "T0826",
            ..words::blank(seen, part)
        })
    }
}
