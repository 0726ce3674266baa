//! Learns a version of the baselines from stored windows, calibrates it, and makes rows of it. A replay learns once, between
//! its two parts; a running system now and then ([`crate::live`]).

pub mod record;

use std::sync::Arc;

use anyhow::Context;
use baseline::Period;
use detect::train::{LeftOut, NotNormal, Restriction};
use detect::{Prepared, Version};
use fleet::{Confidence, Device, DeviceKey, EventTime, MICROS_PER_SECOND, Window};
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;
use store::{BaselineRow, ParquetStore, Store};

use self::record::{Training, pooled};
use crate::config::Config;
use crate::lane::Shelf;

/// Windows before this many days before the end of learning are history.
const LEARN_DAYS: u32 = 28;

/// How a running system learns; the section `[trainer]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainerConfig {
    /// A new version whenever event time has passed a multiple of so many hours; 0: only when asked for.
    pub every_hours: u32,
    /// From the windows of so many days.
    pub learn_days: u32,
    /// The first version waits for so many days of windows.
    pub min_days: u32,
    /// With more windows than this, whole devices of each type are left out by chance: what fits into memory.
    pub max_windows: u64,
    /// A change that a group has kept up for so many days is normal.
    pub adopt_days: u32,
    /// The last so many hours learned from are judged by the version in force and by the new one.
    pub check_hours: u32,
    /// It is held back when it finds more than so many times as much, or as little, ...
    pub hold_back_factor: f64,
    /// ... and so many findings more, or less.
    pub hold_back_findings: u64,
    /// Cores it may take from judging.
    pub threads: usize,
}

impl Default for TrainerConfig {
    fn default() -> TrainerConfig {
        TrainerConfig {
            every_hours: 0,
            learn_days: LEARN_DAYS,
            min_days: 2,
            max_windows: 2_000_000,
            adopt_days: 7,
            check_hours: 24,
            hold_back_factor: 2.0,
            hold_back_findings: 5,
            threads: 1,
        }
    }
}

impl TrainerConfig {
    /// # Errors
    /// Names the setting that is out of its range.
    pub fn check(&self) -> anyhow::Result<()> {
        for (name, value) in [
            ("learn_days", u64::from(self.learn_days)),
            ("max_windows", self.max_windows),
            ("check_hours", u64::from(self.check_hours)),
            ("hold_back_findings", self.hold_back_findings),
            ("threads", self.threads as u64),
        ] {
            anyhow::ensure!(value >= 1, "setting `trainer.{name}` is `{value}`, expected at least 1");
        }
        let factor = self.hold_back_factor;
        anyhow::ensure!(
            factor.is_finite() && factor >= 1.0,
            "setting `trainer.hold_back_factor` is `{factor}`, expected at least 1"
        );
        Ok(())
    }
}

/// What a version is learned from.
pub struct Lesson<'a> {
    /// In any order.
    pub windows: Vec<Window>,
    /// By key.
    pub devices: &'a [Arc<Device>],
    pub since: EventTime,
    pub until: EventTime,
    pub number: u32,
    /// Why a window is not normal, whatever its shape.
    pub not_normal: &'a dyn Fn(&Window) -> Option<&'static str>,
    /// When actions restricted devices: they were silent then, or failed, on our account.
    pub restrictions: &'a [Restriction],
}

/// `None` when there is no window of a known type: judging then goes on by peers and rules.
pub fn learn(lesson: Lesson<'_>, config: &Config) -> anyhow::Result<Option<(Version, Prepared)>> {
    let Lesson { mut windows, devices, since, until, number, not_normal, restrictions } = lesson;
    windows.sort_by_key(|window| (window.end, window.device));
    let first = windows.first().map_or(since, |window| window.start);
    let by_key = |key: DeviceKey| devices.get(key.0 as usize).map(AsRef::as_ref);
    let period = Period { since: EventTime(first.0.saturating_sub(1)), until };
    let baselines = match baseline::learn(&windows, &by_key, not_normal, &period, number, &config.baseline) {
        Ok(baselines) => baselines,
        Err(baseline::Error::NothingToLearn { .. }) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let unheard: NotNormal = windows
        .iter()
        .filter(|window| not_normal(window).is_some())
        .map(|window| (window.device, window.start.day()))
        .collect();
    let width = i64::from(config.ingest.window_seconds) * MICROS_PER_SECOND;
    let left_out = LeftOut { days: unheard, restrictions: restrictions.to_vec() };
    Ok(Some(detect::train::train_without(&left_out, baselines, windows, devices, width, &config.detect)?))
}

/// In a replay: learns from all that is stored, stores the version, and puts it on the lanes' shelf.
pub fn learn_version(
    store: &ParquetStore,
    devices: &[Arc<Device>],
    until: EventTime,
    number: u32,
    config: &Config,
    shelf: &Shelf,
) -> anyhow::Result<Option<Version>> {
    let keys: FxHashMap<&str, DeviceKey> = devices.iter().map(|device| (device.id.as_str(), device.key)).collect();
    let since = until.plus_seconds(-i64::from(LEARN_DAYS) * 86_400);
    let windows = store
        .windows(since..until, |id| keys.get(id).copied())
        .context("the windows to learn from cannot be read back")?;
    let lesson = Lesson { windows, devices, since, until, number, not_normal: &|_| None, restrictions: &[] };
    let Some((version, prepared)) = learn(lesson, config)? else { return Ok(None) };
    store.write_baselines(number, &rows(&version, None)?)?;
    shelf.put(Arc::new(prepared));
    Ok(Some(version))
}

/// The version of these rows, as [`rows`] wrote them.
pub fn version(number: u32, rows: &[BaselineRow]) -> anyhow::Result<Version> {
    let mut types = Vec::new();
    let mut calibration = None;
    let of_version = || rows.iter().filter(|row| row.version == number && !row.is_announcement());
    for row in of_version() {
        let wrong = || format!("baseline version {number} of `{}` cannot be read", row.device_type);
        if row.device_type.is_empty() {
            calibration = Some(serde_json::from_str(&row.body).with_context(wrong)?);
        } else {
            types.push(serde_json::from_str(&row.body).with_context(wrong)?);
        }
    }
    let calibration = calibration.with_context(|| format!("baseline version {number} has no calibration"))?;
    let from = of_version().next().map_or(EventTime::MIN, |row| row.from_time);
    Ok(Version::of_stored(number, from, types, calibration))
}

/// One row a type, and one of no type for what is pooled.
pub fn rows(version: &Version, training: Option<&Training>) -> anyhow::Result<Vec<BaselineRow>> {
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
        body: pooled(&version.calibration, training)?,
    });
    Ok(rows)
}
