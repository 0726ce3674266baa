//! Learns a version of the baselines from stored windows, calibrates it, stores it, and puts it on the lanes' shelf.

use std::sync::Arc;

use anyhow::Context;
use baseline::Period;
use detect::Version;
use fleet::{Confidence, Device, DeviceKey, EventTime, MICROS_PER_SECOND};
use rustc_hash::FxHashMap;
use smol_str::SmolStr;
use store::{BaselineRow, ParquetStore, Store};

use crate::config::Config;
use crate::lane::Shelf;

/// Windows before this many days before the end of learning are history.
const LEARN_DAYS: i64 = 28;

/// `None` when no window of a known type is stored yet: judging then goes on by peers and rules.
pub fn learn_version(
    store: &ParquetStore,
    devices: &[Arc<Device>],
    until: EventTime,
    number: u32,
    config: &Config,
    shelf: &Shelf,
) -> anyhow::Result<Option<Version>> {
    let keys: FxHashMap<&str, DeviceKey> = devices.iter().map(|device| (device.id.as_str(), device.key)).collect();
    let since = until.plus_seconds(-LEARN_DAYS * 86_400);
    let mut windows = store
        .windows(since..until, |id| keys.get(id).copied())
        .context("the windows to learn from cannot be read back")?;
    windows.sort_by_key(|window| (window.end, window.device));
    let first = windows.first().map_or(since, |window| window.start);
    let by_key = |key: DeviceKey| devices.get(key.0 as usize).map(AsRef::as_ref);
    let period = Period { since: EventTime(first.0.saturating_sub(1)), until };
    let baselines = match baseline::learn(&windows, &by_key, &|_| None, &period, number, &config.baseline) {
        Ok(baselines) => baselines,
        Err(baseline::Error::NothingToLearn { .. }) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let width = i64::from(config.ingest.window_seconds) * MICROS_PER_SECOND;
    let (version, prepared) = detect::train(baselines, windows, devices, width, &config.detect)?;
    store.write_baselines(number, &rows(&version)?)?;
    shelf.put(Arc::new(prepared));
    Ok(Some(version))
}

/// The version of these rows, as [`rows`] wrote them.
pub fn version(number: u32, rows: &[BaselineRow]) -> anyhow::Result<Version> {
    let mut types = Vec::new();
    let mut calibration = None;
    for row in rows {
        let wrong = || format!("baseline version {number} of `{}` cannot be read", row.device_type);
        if row.device_type.is_empty() {
            calibration = Some(serde_json::from_str(&row.body).with_context(wrong)?);
        } else {
            types.push(serde_json::from_str(&row.body).with_context(wrong)?);
        }
    }
    let calibration = calibration.with_context(|| format!("baseline version {number} has no calibration"))?;
    let from = rows.first().map_or(EventTime::MIN, |row| row.from_time);
    Ok(Version::of_stored(number, from, types, calibration))
}

/// One row a type, and one of no type for what is pooled.
fn rows(version: &Version) -> anyhow::Result<Vec<BaselineRow>> {
    let mut rows = Vec::new();
    for learned in &version.baselines.types {
        rows.push(BaselineRow {
            version: version.baselines.version,
            device_type: learned.device_type.clone(),
            segment: learned.segment.clone(),
            from_time: version.baselines.from,
            confidence: learned.confidence,
            devices: learned.devices,
            windows: learned.windows,
            days: learned.days,
            body: serde_json::to_string(learned)?,
        });
    }
    rows.push(BaselineRow {
        version: version.baselines.version,
        device_type: SmolStr::default(),
        segment: SmolStr::default(),
        from_time: version.baselines.from,
        confidence: Confidence::Ready,
        devices: rows.iter().map(|row| row.devices).sum(),
        windows: rows.iter().map(|row| row.windows).sum(),
        days: rows.iter().map(|row| row.days).max().unwrap_or(0),
        body: serde_json::to_string(&version.calibration)?,
    });
    Ok(rows)
}
