//! Learns one version of the baselines from stored windows.

use std::collections::{BTreeMap, BTreeSet};

use fleet::{Confidence, Device, DeviceKey, EventTime, FEATURES, Feature, Window};
use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use rayon::prelude::*;
use rustc_hash::{FxHashMap, FxHashSet};
use smol_str::SmolStr;

use crate::config::Config;
use crate::error::Error;
use crate::exclude::reason_to_leave_out;
use crate::learn_destinations::learn_destinations;
use crate::model::{Baselines, FeatureBaseline, TypeBaseline};
use crate::robust::{Robust, log_scale, select_quantile};
use crate::still::longest_still_run;

/// Finds the inventory's entry of a device key.
pub type DeviceLookup<'a> = &'a (dyn Fn(DeviceKey) -> Option<&'a Device> + Sync);

/// What the windows of one version are taken from.
pub struct Period {
    pub since: EventTime,
    pub until: EventTime,
}

/// `windows` are ordered by end; those that end after `period.until` are ignored. `excluded` says of a window that it
/// belongs to a finding or incident, and of which kind.
pub fn learn<'a>(
    windows: &[Window],
    devices: DeviceLookup<'a>,
    excluded: &dyn Fn(&Window) -> Option<&'static str>,
    period: &Period,
    version: u32,
    config: &Config,
) -> Result<Baselines, Error> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    let mut group_of_type: BTreeMap<(SmolStr, SmolStr), usize> = BTreeMap::new();
    let mut group_of: FxHashMap<DeviceKey, usize> = FxHashMap::default();
    for window in windows {
        if window.end <= period.since || window.end > period.until {
            continue;
        }
        let Some(device) = devices(window.device) else { continue };
        let group = *group_of.entry(window.device).or_insert_with(|| {
            let next = groups.len();
            let of_type = (device.device_type.clone(), device.segment.clone());
            *group_of_type.entry(of_type).or_insert_with(|| {
                groups.push(Group::default());
                next
            })
        });
        let group = &mut groups[group];
        match reason_to_leave_out(window, device, config).or_else(|| excluded(window)) {
            Some(reason) => *group.left_out.entry(SmolStr::new_static(reason)).or_default() += 1,
            None => group.windows.push(window),
        }
    }
    let groups = group_of_type.into_iter().map(|(of_type, group)| (of_type, std::mem::take(&mut groups[group])));
    let types = groups.filter(|((device_type, _), group)| !device_type.is_empty() && !group.windows.is_empty());
    let types = learn_types(types.collect(), devices, config);
    if types.is_empty() {
        return Err(Error::NothingToLearn { since: period.since.to_string(), until: period.until.to_string() });
    }
    Ok(Baselines { version, from: period.until, learned_since: period.since, learned_until: period.until, types })
}

/// Types are learned side by side: none knows of another.
fn learn_types(
    groups: Vec<((SmolStr, SmolStr), Group<'_>)>,
    devices: DeviceLookup<'_>,
    config: &Config,
) -> Vec<TypeBaseline> {
    let learn =
        |((device_type, segment), group): (_, Group<'_>)| learn_type(device_type, segment, &group, devices, config);
    groups.into_par_iter().map(learn).collect()
}

#[derive(Default)]
struct Group<'w> {
    windows: Vec<&'w Window>,
    left_out: BTreeMap<SmolStr, u64>,
}

fn learn_type<'a>(
    device_type: SmolStr,
    segment: SmolStr,
    group: &Group<'_>,
    devices: DeviceLookup<'a>,
    config: &Config,
) -> TypeBaseline {
    let name = |key: DeviceKey| devices(key).map_or_else(SmolStr::default, |device| device.id.clone());
    let mut device_days: FxHashSet<(DeviceKey, i64)> = FxHashSet::default();
    let mut days: BTreeSet<i64> = BTreeSet::new();
    let mut by_device: BTreeMap<DeviceKey, Vec<&Window>> = BTreeMap::new();
    for window in &group.windows {
        device_days.insert((window.device, window.start.day()));
        days.insert(window.start.day());
        by_device.entry(window.device).or_default().push(window);
    }
    let seen = Seen { windows: group.windows.len() as u64, devices: by_device.len() as u32, days: days.len() as u32 };
    let starts: Vec<EventTime> = group.windows.iter().map(|window| window.start).collect();
    let features: Vec<FeatureBaseline> = Feature::ALL
        .iter()
        .zip(columns(&group.windows))
        .map(|(feature, values)| learn_feature(*feature, values, &starts, &seen, config))
        .collect();
    let device_offsets =
        by_device.iter().map(|(key, own)| (name(*key), offsets(own, &features, config.device_prior_windows))).collect();
    TypeBaseline {
        confidence: seen.confidence(config),
        devices: seen.devices,
        windows: seen.windows,
        days: seen.days,
        device_days: device_days.len() as u32,
        left_out: group.left_out.clone(),
        features,
        destinations: learn_destinations(&group.windows, &name, config),
        longest_still_run: longest_still_run(by_device.values().map(Vec::as_slice)),
        device_offsets,
        sample: sample(&group.windows, &device_type, config),
        device_type,
        segment,
    }
}

struct Seen {
    windows: u64,
    devices: u32,
    days: u32,
}

impl Seen {
    fn confidence(&self, config: &Config) -> Confidence {
        if self.windows < config.min_windows {
            return Confidence::Learning;
        }
        if self.devices < config.min_devices || self.days < config.min_days {
            return Confidence::Provisional;
        }
        Confidence::Ready
    }
}

/// The values of each feature, in the order of the windows: the windows themselves are gone through once.
fn columns(windows: &[&Window]) -> Vec<Vec<f32>> {
    let mut columns: Vec<Vec<f32>> = (0..FEATURES).map(|_| Vec::with_capacity(windows.len())).collect();
    for window in windows {
        for (column, value) in columns.iter_mut().zip(window.features) {
            column.push(value);
        }
    }
    columns
}

/// `values` and `starts` of the same windows.
fn learn_feature(
    feature: Feature,
    mut values: Vec<f32>,
    starts: &[EventTime],
    seen: &Seen,
    config: &Config,
) -> FeatureBaseline {
    let robust = Robust::fit(&mut values.clone()).unwrap_or_default();
    let season = if seen.days >= 2 && robust.q005 != robust.q995 {
        let hours = if seen.days >= 7 * config.min_weeks { 168 } else { 24 };
        values.iter_mut().for_each(|value| *value = log_scale(*value) - robust.location);
        season(&values, starts, hours, config)
    } else {
        Vec::new()
    };
    FeatureBaseline { name: SmolStr::new_static(feature.name()), confidence: seen.confidence(config), robust, season }
}

/// Shift of each hour's median, shrunk towards 0 by how little was seen of that hour.
fn season(shifts: &[f32], starts: &[EventTime], hours: usize, config: &Config) -> Vec<f32> {
    let mut by_hour: Vec<Vec<f32>> = vec![Vec::new(); hours];
    for (shift, start) in shifts.iter().zip(starts) {
        let hour = if hours == 24 { start.hour() } else { start.hour_of_week() };
        by_hour[hour].push(*shift);
    }
    by_hour.iter_mut().map(|shifts| shrunk_median(shifts, config.device_prior_windows)).collect()
}

fn offsets(own: &[&Window], features: &[FeatureBaseline], prior: f32) -> Vec<f32> {
    let mut offsets = Vec::with_capacity(FEATURES);
    for feature in Feature::ALL {
        let Robust { location, q005, q995, .. } = features[feature.index()].robust;
        if q005 == q995 {
            offsets.push(0.0);
            continue;
        }
        let mut shifts: Vec<f32> = own.iter().map(|window| log_scale(window.get(*feature)) - location).collect();
        offsets.push(shrunk_median(&mut shifts, prior));
    }
    offsets
}

fn shrunk_median(shifts: &mut [f32], prior: f32) -> f32 {
    if shifts.is_empty() {
        return 0.0;
    }
    let seen = shifts.len() as f32;
    select_quantile(shifts, 0.5) * seen / (seen + prior)
}

/// Reservoir sampling (Vitter 1985, algorithm R), seeded by type so that the order of types does not matter.
fn sample(windows: &[&Window], device_type: &str, config: &Config) -> Vec<Vec<f32>> {
    let seed = config.seed ^ fleet::id::stable_hash(&[device_type]);
    let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
    let mut rows: Vec<&Window> = Vec::with_capacity(config.sample_rows);
    for (index, window) in windows.iter().enumerate() {
        if rows.len() < config.sample_rows {
            rows.push(window);
            continue;
        }
        let slot = random.gen_range(0..=index);
        if slot < rows.len() {
            rows[slot] = window;
        }
    }
    rows.iter().map(|window| window.features.to_vec()).collect()
}
