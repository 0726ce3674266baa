//! Messages of the findings topic: what a lane found in a step, and that its ticks are closed. JSON, so that others can
//! read them.

use std::collections::BTreeMap;
use std::fmt;

use fleet::{EventTime, Finding, Sighting};
use ingest::log::DeviceRecord;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;
use store::DeviceNames;

use crate::lane::Judged;
use crate::live::logs::EachMinute;

const VERSION: u32 = 2;
/// Of one message, about: brokers refuse large ones.
const MOST_BYTES: usize = 512 << 10;

#[derive(Debug, Serialize, Deserialize)]
pub struct StepMessage {
    pub version: u32,
    pub lane: usize,
    /// Ends of the first and the last tick of the step, microseconds since 1970.
    pub first_tick: EventTime,
    pub through: EventTime,
    /// A step with many findings comes in so many messages, counted from 0.
    pub part: usize,
    pub parts: usize,
    pub findings: Vec<Finding>,
    /// Whom the findings name.
    pub devices: Vec<DeviceRecord>,
    /// What was seen of devices that an action restricts, a window each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sightings: Vec<Sighting>,
}

impl StepMessage {
    /// One message, or as many as it takes; the same step is always cut alike.
    pub fn of(judged: &Judged, names: &DeviceNames) -> anyhow::Result<Vec<Vec<u8>>> {
        let findings = judged.outcome.findings.clone();
        let mut devices: BTreeMap<SmolStr, DeviceRecord> = BTreeMap::new();
        if !findings.is_empty() {
            let by_id: BTreeMap<&str, &fleet::Device> =
                names.iter().map(|device| (device.id.as_str(), device)).collect();
            for id in findings.iter().flat_map(|finding| finding.devices.iter().chain([&finding.device_id])) {
                if let Some(device) = by_id.get(id.as_str()) {
                    devices.insert(id.clone(), DeviceRecord::from(*device));
                }
            }
        }
        let mut contents = vec![Content::default()];
        let mut bytes = 0;
        for device in devices.into_values() {
            cut(&mut contents, &mut bytes, serde_json::to_vec(&device)?.len()).devices.push(device);
        }
        for finding in findings {
            cut(&mut contents, &mut bytes, serde_json::to_vec(&finding)?.len()).findings.push(finding);
        }
        for sighting in &judged.outcome.sightings {
            let bytes_more = serde_json::to_vec(sighting)?.len();
            cut(&mut contents, &mut bytes, bytes_more).sightings.push(sighting.clone());
        }
        let parts = contents.len();
        let message = |(part, content): (usize, Content)| {
            let Content { findings, devices, sightings } = content;
            Ok(serde_json::to_vec(&StepMessage {
                version: VERSION,
                lane: judged.outcome.lane,
                first_tick: judged.first_tick,
                through: judged.last_tick,
                part,
                parts,
                findings,
                devices,
                sightings,
            })?)
        };
        contents.into_iter().enumerate().map(message).collect()
    }

    /// Of one of so many lanes, or whose it is.
    ///
    /// # Errors
    /// Of another version: what it found must not be passed over.
    pub fn decode(bytes: &[u8], lanes: usize) -> anyhow::Result<Result<StepMessage, Foreign>> {
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
            #[serde(rename = "through")]
            _through: EventTime,
        }
        let Ok(Versioned { version, .. }) = serde_json::from_slice(bytes) else {
            return Ok(Err(Foreign::Nonsense));
        };
        anyhow::ensure!(
            version == VERSION,
            "version `{version}` of the findings log, expected `{VERSION}`; run the same release in all roles"
        );
        Ok(match serde_json::from_slice::<StepMessage>(bytes) {
            Ok(message) if message.lane < lanes => Ok(message),
            Ok(message) => Err(Foreign::Beyond { lane: message.lane, lanes }),
            Err(_) => Err(Foreign::Nonsense),
        })
    }
}

/// Why a message is passed over.
#[derive(Debug, PartialEq, Eq)]
pub enum Foreign {
    Nonsense,
    Beyond { lane: usize, lanes: usize },
}

impl fmt::Display for Foreign {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Foreign::Nonsense => {
                out.write_str("it is no step of a lane; find out who else writes to the findings topic, and stop it")
            }
            Foreign::Beyond { lane, lanes } => write!(
                out,
                "it is of lane {lane}, and the readings topic had {lanes} partitions when act began. Their number must not \
                 change: what else belongs to a lane would be in two. Name a new `readings` topic, and another `group`, under \
                 [source.kafka], make it with `vedette topics create`, and begin with an empty store"
            ),
        }
    }
}

/// Of one message.
#[derive(Default)]
struct Content {
    findings: Vec<Finding>,
    devices: Vec<DeviceRecord>,
    sightings: Vec<Sighting>,
}

/// Where the next thing goes, which has so many bytes.
fn cut<'c>(contents: &'c mut Vec<Content>, bytes: &mut usize, more: usize) -> &'c mut Content {
    if *bytes > 0 && *bytes + more > MOST_BYTES {
        contents.push(Content::default());
        *bytes = 0;
    }
    *bytes += more;
    let last = contents.len() - 1;
    &mut contents[last]
}

/// By lane: the parts that have come of a step that is not whole. A lane publishes its steps one after the other, and the parts
/// of a step too: with the first part of any, what is left of another will never be whole.
#[derive(Default)]
pub struct Parts {
    begun: BTreeMap<usize, Vec<StepMessage>>,
    said: EachMinute,
}

impl Parts {
    pub fn is_empty(&self) -> bool {
        self.begun.is_empty()
    }

    /// The whole step, once its last part has come. A lane that begins again sends the same parts once more.
    pub fn join(&mut self, message: StepMessage) -> Option<StepMessage> {
        let (lane, part, parts) = (message.lane, message.part, message.parts);
        let mut here = self.begun.remove(&lane).unwrap_or_default();
        let is_of_it = here.first().is_some_and(|first| (first.through, first.parts) == (message.through, parts));
        if part == 0 {
            if !is_of_it {
                self.pass_over(&here);
            }
            here = vec![message];
        } else if is_of_it && part == here.len() {
            here.push(message);
        } else {
            if !is_of_it || part > here.len() {
                self.pass_over(std::slice::from_ref(&message));
            }
            if !here.is_empty() {
                self.begun.insert(lane, here);
            }
            return None;
        }
        if here.len() < parts {
            self.begun.insert(lane, here);
            return None;
        }
        let mut all = here.into_iter();
        let mut whole = all.next()?;
        for part in all {
            whole.findings.extend(part.findings);
            whole.devices.extend(part.devices);
            whole.sightings.extend(part.sightings);
        }
        Some(whole)
    }

    fn pass_over(&mut self, parts: &[StepMessage]) {
        if let Some(first) = parts.first()
            && self.said.is_due()
        {
            tracing::error!(
                lane = first.lane,
                through = %first.through,
                parts = first.parts,
                came = parts.len(),
                "passing over parts of a step whose other parts never came; find out who else writes to the findings topic"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(part: usize, parts: usize, through: i64) -> StepMessage {
        let (first_tick, through) = (EventTime(0), EventTime(through));
        let (findings, devices, sightings) = (Vec::new(), Vec::new(), Vec::new());
        StepMessage { version: VERSION, lane: 0, first_tick, through, part, parts, findings, devices, sightings }
    }

    #[test]
    fn a_step_is_whole_once_whatever_comes_twice_or_stays_away() {
        let mut parts = Parts::default();
        assert!(parts.join(part(0, 1, 60)).is_some() && parts.is_empty());
        assert!(parts.join(part(0, 3, 120)).is_none());
        assert!(parts.join(part(1, 3, 120)).is_none());
        // The lane's owner died; the next one begins with the first part.
        assert!(parts.join(part(0, 3, 120)).is_none() && parts.join(part(1, 3, 120)).is_none());
        // The one before was not dead yet.
        assert!(parts.join(part(1, 3, 120)).is_none());
        assert!(parts.join(part(2, 3, 120)).is_some() && parts.is_empty());
        assert!(parts.join(part(0, 2, 180)).is_none());
        assert!(
            parts.join(part(0, 1, 240)).is_some() && parts.is_empty(),
            "what a later step leaves behind is dropped"
        );
    }

    #[test]
    fn parts_that_nobody_completes_hold_nothing_up() {
        let mut parts = Parts::default();
        assert!(parts.join(part(2, 5, i64::MAX)).is_none() && parts.is_empty(), "its beginning never came");
        assert!(parts.join(part(0, 2, i64::MAX)).is_none() && !parts.is_empty());
        assert!(parts.join(part(1, 2, 300)).is_none(), "a part of another step");
        assert!(parts.join(part(0, 1, 300)).is_some() && parts.is_empty(), "of an earlier one, too");
        assert!(parts.join(part(0, 3, 360)).is_none() && parts.join(part(0, 2, 420)).is_none());
        assert!(parts.join(part(1, 2, 420)).is_some() && parts.is_empty(), "the first part of a later one is enough");
    }

    #[test]
    fn what_was_seen_of_restricted_devices_comes_with_the_step() {
        let seen = |part_of: usize, minute: i64| {
            let sighting = Sighting::silent("lamp".into(), EventTime(minute), EventTime(minute + 1));
            StepMessage { sightings: vec![sighting], ..part(part_of, 2, 60) }
        };
        let sent = serde_json::to_vec(&seen(0, 3)).unwrap();
        let first = StepMessage::decode(&sent, 1).unwrap().unwrap();
        let mut parts = Parts::default();
        assert!(parts.join(first).is_none());
        let whole = parts.join(seen(1, 4)).unwrap();
        let starts: Vec<i64> = whole.sightings.iter().map(|sighting| sighting.window_start.0).collect();
        assert_eq!(starts, [3, 4]);
        let nobody = serde_json::to_string(&part(0, 1, 60)).unwrap();
        assert!(!nobody.contains("sightings"), "as a release without restrictions wrote it: {nobody}");
        assert!(StepMessage::decode(nobody.as_bytes(), 1).unwrap().unwrap().sightings.is_empty());
    }

    #[test]
    fn strangers_are_told_apart() {
        let decode = |message: &StepMessage| StepMessage::decode(&serde_json::to_vec(message).unwrap(), 2).unwrap();
        assert_eq!(decode(&StepMessage { lane: 1, ..part(0, 1, 60) }).unwrap().lane, 1);
        let beyond = decode(&StepMessage { lane: 2, ..part(0, 1, 60) }).unwrap_err();
        assert_eq!(beyond, Foreign::Beyond { lane: 2, lanes: 2 });
        let words = beyond.to_string();
        assert!(words.contains("lane 2") && words.contains("vedette topics create"), "{words}");
        assert_eq!(StepMessage::decode(b"{}", 2).unwrap().unwrap_err(), Foreign::Nonsense);
        let newer = StepMessage { version: VERSION + 1, ..part(0, 1, 60) };
        assert!(StepMessage::decode(&serde_json::to_vec(&newer).unwrap(), 2).is_err());
    }

    #[test]
    fn contents_are_cut_before_they_are_too_large() {
        let (mut contents, mut bytes) = (vec![Content::default()], 0);
        let sizes = [MOST_BYTES / 2, MOST_BYTES / 2, 1, 3 * MOST_BYTES, 1];
        let cuts: Vec<usize> = sizes
            .iter()
            .map(|size| {
                cut(&mut contents, &mut bytes, *size);
                contents.len()
            })
            .collect();
        assert_eq!(cuts, [1, 1, 2, 3, 4], "and one that is too large for itself goes alone");
    }
}
