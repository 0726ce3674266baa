//! A message of the findings topic: what a lane found in a step, and that its ticks are closed. JSON, so that others can
//! read it.

use std::collections::BTreeMap;

use fleet::{EventTime, Finding};
use ingest::log::DeviceRecord;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;
use store::DeviceNames;

use crate::lane::Judged;

const VERSION: u32 = 1;

#[derive(Debug, Serialize, Deserialize)]
pub struct StepMessage {
    pub version: u32,
    pub lane: usize,
    /// Ends of the first and the last tick of the step, microseconds since 1970.
    pub first_tick: EventTime,
    pub through: EventTime,
    pub findings: Vec<Finding>,
    /// Whom the findings name.
    pub devices: Vec<DeviceRecord>,
}

impl StepMessage {
    pub fn new(judged: &Judged, names: &DeviceNames) -> StepMessage {
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
        StepMessage {
            version: VERSION,
            lane: judged.outcome.lane,
            first_tick: judged.first_tick,
            through: judged.last_tick,
            findings,
            devices: devices.into_values().collect(),
        }
    }

    pub fn encode(&self) -> anyhow::Result<Vec<u8>> {
        Ok(serde_json::to_vec(self)?)
    }

    /// # Errors
    /// Not ours, or of another version.
    pub fn decode(bytes: &[u8]) -> anyhow::Result<StepMessage> {
        let message: StepMessage = serde_json::from_slice(bytes)?;
        anyhow::ensure!(
            message.version == VERSION,
            "version `{}` of the findings log, expected `{VERSION}`; run the same release in all roles",
            message.version
        );
        Ok(message)
    }
}
