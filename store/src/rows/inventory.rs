//! Devices as last known, and baselines by version.

use arrow::datatypes::{UInt32Type, UInt64Type};
use arrow::record_batch::RecordBatch;
use fleet::device::Standing;
use fleet::{Confidence, Criticality, Device, EventTime};
use smol_str::SmolStr;

use super::Row;
use super::columns::{Columns, batch, optional_time, text, time, u32s, u64s};
use crate::dictionary::Table;
use crate::error::Error;

#[derive(Clone, Debug, PartialEq)]
pub struct DeviceRow {
    pub device_id: SmolStr,
    pub device_type: SmolStr,
    pub site: SmolStr,
    pub segment: SmolStr,
    pub owner: SmolStr,
    pub criticality: Criticality,
    pub firmware: SmolStr,
    pub protocol: SmolStr,
    pub purpose: SmolStr,
    pub standing: Standing,
    /// `None`: never heard.
    pub first_seen: Option<EventTime>,
    pub last_seen: Option<EventTime>,
}

impl DeviceRow {
    pub fn new(device: &Device, first_seen: Option<EventTime>, last_seen: Option<EventTime>) -> DeviceRow {
        DeviceRow {
            device_id: device.id.clone(),
            device_type: device.device_type.clone(),
            site: device.site.clone(),
            segment: device.segment.clone(),
            owner: device.owner.clone(),
            criticality: device.criticality,
            firmware: device.firmware.clone(),
            protocol: device.protocol.clone(),
            purpose: device.purpose.clone(),
            standing: device.standing,
            first_seen,
            last_seen,
        }
    }
}

fn criticality_name(criticality: Criticality) -> &'static str {
    match criticality {
        Criticality::Low => "low",
        Criticality::Medium => "medium",
        Criticality::High => "high",
        Criticality::Critical => "critical",
    }
}

fn standing_name(standing: Standing) -> &'static str {
    match standing {
        Standing::Active => "active",
        Standing::Retired => "retired",
        Standing::Unknown => "unknown",
        Standing::Shared => "shared",
    }
}

fn standing_from_name(name: &str) -> Option<Standing> {
    [Standing::Active, Standing::Retired, Standing::Unknown, Standing::Shared]
        .into_iter()
        .find(|standing| standing_name(*standing) == name)
}

impl Row for DeviceRow {
    const TABLE: Table = Table::Devices;

    fn encode(rows: &[DeviceRow]) -> Result<RecordBatch, Error> {
        batch(
            Table::Devices,
            vec![
                text(rows.iter().map(|row| &row.device_id)),
                text(rows.iter().map(|row| &row.device_type)),
                text(rows.iter().map(|row| &row.site)),
                text(rows.iter().map(|row| &row.segment)),
                text(rows.iter().map(|row| &row.owner)),
                text(rows.iter().map(|row| criticality_name(row.criticality))),
                text(rows.iter().map(|row| &row.firmware)),
                text(rows.iter().map(|row| &row.protocol)),
                text(rows.iter().map(|row| &row.purpose)),
                text(rows.iter().map(|row| standing_name(row.standing))),
                optional_time(rows.iter().map(|row| row.first_seen)),
                optional_time(rows.iter().map(|row| row.last_seen)),
            ],
        )
    }

    fn decode(batch: &RecordBatch, rows: &mut Vec<DeviceRow>) -> Result<(), Error> {
        let columns = Columns { table: Table::Devices, batch };
        let (device_id, device_type) = (columns.text("device_id")?, columns.text("device_type")?);
        let (site, segment, owner) = (columns.text("site")?, columns.text("segment")?, columns.text("owner")?);
        let (criticality, firmware) = (columns.text("criticality")?, columns.text("firmware")?);
        let (protocol, purpose) = (columns.text("protocol")?, columns.text("purpose")?);
        let standing = columns.text("standing")?;
        let (first_seen, last_seen) = (columns.optional_time("first_seen")?, columns.optional_time("last_seen")?);
        for row in 0..batch.num_rows() {
            rows.push(DeviceRow {
                device_id: device_id(row).into(),
                device_type: device_type(row).into(),
                site: site(row).into(),
                segment: segment(row).into(),
                owner: owner(row).into(),
                criticality: columns.named(criticality(row), |name| name.parse().ok())?,
                firmware: firmware(row).into(),
                protocol: protocol(row).into(),
                purpose: purpose(row).into(),
                standing: columns.named(standing(row), standing_from_name)?,
                first_seen: first_seen(row),
                last_seen: last_seen(row),
            });
        }
        Ok(())
    }
}

/// One baseline of one version; the baseline itself is `body`, which this room does not look into.
#[derive(Clone, Debug, PartialEq)]
pub struct BaselineRow {
    pub version: u32,
    pub device_type: SmolStr,
    pub segment: SmolStr,
    /// Event time until which it was learned; of an announcement, from which it holds.
    pub from_time: EventTime,
    pub confidence: Confidence,
    pub devices: u32,
    pub windows: u64,
    pub days: u32,
    /// JSON.
    pub body: String,
}

/// In the column `segment` of a row that says since when a version is in force, instead of what is normal.
pub const ANNOUNCED: &str = "announced";

impl BaselineRow {
    pub fn is_announcement(&self) -> bool {
        self.device_type.is_empty() && self.segment == ANNOUNCED
    }

    /// Whether two versions are one and the same, whatever the order of their rows; announcements are no part of them.
    pub fn are_the_same(some: &[BaselineRow], others: &[BaselineRow]) -> bool {
        let in_order = |rows: &[BaselineRow]| {
            let mut rows: Vec<BaselineRow> = rows.iter().filter(|row| !row.is_announcement()).cloned().collect();
            rows.sort_by(|a, b| (&a.device_type, &a.segment).cmp(&(&b.device_type, &b.segment)));
            rows
        };
        in_order(some) == in_order(others)
    }
}

impl Row for BaselineRow {
    const TABLE: Table = Table::Baselines;

    fn encode(rows: &[BaselineRow]) -> Result<RecordBatch, Error> {
        batch(
            Table::Baselines,
            vec![
                u32s(rows.iter().map(|row| row.version)),
                text(rows.iter().map(|row| &row.device_type)),
                text(rows.iter().map(|row| &row.segment)),
                time(rows.iter().map(|row| row.from_time)),
                text(rows.iter().map(|row| row.confidence.name())),
                u32s(rows.iter().map(|row| row.devices)),
                u64s(rows.iter().map(|row| row.windows)),
                u32s(rows.iter().map(|row| row.days)),
                text(rows.iter().map(|row| &row.body)),
            ],
        )
    }

    fn decode(batch: &RecordBatch, rows: &mut Vec<BaselineRow>) -> Result<(), Error> {
        let columns = Columns { table: Table::Baselines, batch };
        let version = columns.number::<UInt32Type>("version")?;
        let (device_type, segment) = (columns.text("device_type")?, columns.text("segment")?);
        let (from_time, confidence) = (columns.time("from_time")?, columns.text("confidence")?);
        let (devices, days) = (columns.number::<UInt32Type>("devices")?, columns.number::<UInt32Type>("days")?);
        let windows = columns.number::<UInt64Type>("windows")?;
        let body = columns.text("body")?;
        for row in 0..batch.num_rows() {
            rows.push(BaselineRow {
                version: version(row),
                device_type: device_type(row).into(),
                segment: segment(row).into(),
                from_time: from_time(row),
                confidence: columns.named(confidence(row), Confidence::from_name)?,
                devices: devices(row),
                windows: windows(row),
                days: days(row),
                body: body(row).to_owned(),
            });
        }
        Ok(())
    }
}
