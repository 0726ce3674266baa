//! The rows of the tables, and their way into Arrow batches and back.
//!
//! * [`Row`]: a row of a small table: findings, incidents, actions, evidence, devices, baselines, verdicts, rejected
//! * [`Step`]: what a lane closed, in one piece: windows with their contacts, and evidence
//! * [`DeviceNames`]: what the device keys of a step mean

mod columns;
mod evidence;
mod findings;
mod inventory;
mod notes;
pub(crate) mod restore;
mod windows;

use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use fleet::{Device, DeviceKey, EventTime, Window};

use crate::dictionary::Table;
use crate::error::Error;

pub use evidence::EvidenceRow;
pub use inventory::{ANNOUNCED, BaselineRow, DeviceRow};
pub use notes::{RejectedRow, VerdictRow};
pub use windows::{contact_batch, window_batch};

/// A row of a table that is written by the dozen.
pub trait Row: Sized {
    const TABLE: Table;

    /// One batch with the table's columns, text as `Utf8`.
    fn encode(rows: &[Self]) -> Result<RecordBatch, Error>;

    /// Appends the rows of a batch as read from a file.
    ///
    /// # Errors
    /// A column that is missing or of another type, a name that no enum knows.
    fn decode(batch: &RecordBatch, rows: &mut Vec<Self>) -> Result<(), Error>;
}

/// A run of whole ticks of one lane.
#[derive(Clone, Copy)]
pub struct Step<'a> {
    pub lane: u32,
    /// Ends of the first and of the last tick.
    pub first_tick: EventTime,
    pub last_tick: EventTime,
    pub devices: &'a DeviceNames,
    pub windows: &'a [ScoredWindow],
    pub evidence: &'a [EvidenceRow],
}

#[derive(Clone, Debug, PartialEq)]
pub struct ScoredWindow {
    pub window: Window,
    /// Natural logarithm units.
    pub score: f32,
    pub p_value: f32,
    /// Added up over windows, after this one.
    pub evidence: f32,
    pub line: f32,
}

/// What device keys mean; keys are dense, so this is a plain table.
#[derive(Clone, Debug, Default)]
pub struct DeviceNames(Vec<Option<Arc<Device>>>);

impl DeviceNames {
    pub fn new(devices: &[Arc<Device>]) -> DeviceNames {
        let mut names = DeviceNames::default();
        for device in devices {
            names.insert(device.clone());
        }
        names
    }

    pub fn insert(&mut self, device: Arc<Device>) {
        let index = device.key.0 as usize;
        if index >= self.0.len() {
            self.0.resize(index + 1, None);
        }
        self.0[index] = Some(device);
    }

    pub fn iter(&self) -> impl Iterator<Item = &Device> {
        self.0.iter().flatten().map(AsRef::as_ref)
    }

    pub fn get(&self, key: DeviceKey) -> Option<&Device> {
        self.0.get(key.0 as usize)?.as_deref()
    }
}
