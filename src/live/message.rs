//! Messages of the findings topic: what a lane found in a step, and that its ticks are closed. JSON, so that others can
//! read them.

use std::collections::BTreeMap;

use fleet::{EventTime, Finding};
use ingest::log::DeviceRecord;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;
use store::DeviceNames;

use crate::lane::Judged;

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
        let mut contents = vec![(Vec::new(), Vec::new())];
        let mut bytes = 0;
        for device in devices.into_values() {
            cut(&mut contents, &mut bytes, serde_json::to_vec(&device)?.len()).1.push(device);
        }
        for finding in findings {
            cut(&mut contents, &mut bytes, serde_json::to_vec(&finding)?.len()).0.push(finding);
        }
        let parts = contents.len();
        let message = |(part, (findings, devices))| {
            let (lane, first_tick, through) = (judged.outcome.lane, judged.first_tick, judged.last_tick);
            let message = StepMessage { version: VERSION, lane, first_tick, through, part, parts, findings, devices };
            Ok(serde_json::to_vec(&message)?)
        };
        contents.into_iter().enumerate().map(message).collect()
    }

    /// `None`: none of ours.
    ///
    /// # Errors
    /// Of another version: what it found must not be passed over.
    pub fn decode(bytes: &[u8]) -> anyhow::Result<Option<StepMessage>> {
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
            #[serde(rename = "through")]
            _through: EventTime,
        }
        let Ok(Versioned { version, .. }) = serde_json::from_slice(bytes) else { return Ok(None) };
        anyhow::ensure!(
            version == VERSION,
            "version `{version}` of the findings log, expected `{VERSION}`; run the same release in all roles"
        );
        Ok(serde_json::from_slice(bytes).ok())
    }
}

type Content = (Vec<Finding>, Vec<DeviceRecord>);

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

/// Steps of which not all parts have come.
#[derive(Default)]
pub struct Parts(BTreeMap<(usize, EventTime), BTreeMap<usize, StepMessage>>);

impl Parts {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The whole step, once its last part has come. A lane that begins again sends the same parts once more.
    pub fn join(&mut self, message: StepMessage) -> Option<StepMessage> {
        let (lane, through, parts) = (message.lane, message.through, message.parts);
        if parts > 1 {
            let here = self.0.entry((lane, through)).or_default();
            here.insert(message.part, message);
            if here.len() < parts {
                return None;
            }
            let mut all = std::mem::take(here).into_values();
            let mut whole = all.next()?;
            for part in all {
                whole.findings.extend(part.findings);
                whole.devices.extend(part.devices);
            }
            self.forget(lane, through);
            return Some(whole);
        }
        self.forget(lane, through);
        Some(message)
    }

    fn forget(&mut self, lane: usize, through: EventTime) {
        self.0.retain(|(of, tick), _| *of != lane || *tick > through);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(part: usize, parts: usize, through: i64) -> StepMessage {
        let (first_tick, through) = (EventTime(0), EventTime(through));
        let (findings, devices) = (Vec::new(), Vec::new());
        StepMessage { version: VERSION, lane: 0, first_tick, through, part, parts, findings, devices }
    }

    #[test]
    fn a_step_is_whole_once_whatever_comes_twice_or_stays_away() {
        let mut parts = Parts::default();
        assert!(parts.join(part(0, 1, 60)).is_some() && parts.is_empty());
        assert!(parts.join(part(0, 3, 120)).is_none());
        assert!(parts.join(part(1, 3, 120)).is_none());
        // The lane's owner died; the next one begins with the first part.
        assert!(parts.join(part(0, 3, 120)).is_none() && parts.join(part(1, 3, 120)).is_none());
        assert!(parts.join(part(2, 3, 120)).is_some() && parts.is_empty());
        assert!(parts.join(part(0, 2, 180)).is_none());
        assert!(
            parts.join(part(0, 1, 240)).is_some() && parts.is_empty(),
            "what a later step leaves behind is dropped"
        );
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
