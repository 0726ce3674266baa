//! From a budget to a line.
//!
//! Evidence is in natural logarithm units of rate, so on normal device-days its tail should fall like `e^-E`. Nominal
//! tails lie, so the learning days are judged with the finished baselines, as if they were new: the greatest evidence of
//! each device-day, after the peers' part was taken out, gives the envelope `P(evidence >= E) <= e^(a - E)`, pooled over
//! all types. A budget of B false findings per 1,000 device-days is then kept by the line `a + 1 + ln(1000 / B)`; the 1
//! allows judged days to be e times stranger than learned ones.

use std::collections::BTreeMap;

use fleet::{DeviceKey, EventTime};
use rustc_hash::FxHashSet;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

/// Judged days are stranger than learned ones, in natural logarithm units.
const NOVELTY: f64 = 1.0;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// Device-days judged.
    pub device_days: u32,
    /// Envelope of the silences' surprise, which is not a rate by itself.
    pub silence: f64,
    /// Envelope of the evidence: `a` above.
    pub evidence: f64,
    /// By device type: how far slow drift ([`crate::detectors::drift`]) got on learning days.
    pub drift: BTreeMap<SmolStr, f64>,
}

impl Calibration {
    /// Evidence at which a finding leaves.
    pub fn line(&self, budget: f64) -> f64 {
        self.evidence + NOVELTY + (1000.0 / budget).ln()
    }

    /// The most that the probability of as much evidence on a normal device-day can be.
    pub fn p_value(&self, evidence: f64) -> f64 {
        (self.evidence + NOVELTY - evidence).exp().min(1.0)
    }

    /// A budget so small that the history can say nothing about it: one false finding in all of it is more.
    pub fn bears(&self, budget: f64) -> bool {
        f64::from(self.device_days) * budget / 1000.0 >= 1.0
    }
}

/// The greatest of the learning days may be attacks and set no envelope; the bulk carries it anyway.
const TRIMMED_SHARE: f64 = 0.05;
/// Bounds of what learning days can teach: they are judged by tables that they made themselves, a few of them hold too few
/// silences, and some hold attacks that were not recognised.
const SILENCE_BOUNDS: (f64, f64) = (3.5, 6.0);
const EVIDENCE_BOUNDS: (f64, f64) = (0.3, 1.5);

impl Calibration {
    pub fn set_silence(&mut self, maxima: &DailyMaxima) {
        let (least, most) = SILENCE_BOUNDS;
        self.silence = maxima.envelope(f64::from(self.device_days)).clamp(least, most);
    }

    /// The greatest of a type's device-days, its greatest 5 % left out.
    pub fn set_drift(&mut self, maxima: &BTreeMap<SmolStr, DailyMaxima>) {
        for (device_type, maxima) in maxima {
            let mut sorted: Vec<f64> = maxima.0.values().copied().filter(|value| *value >= 0.0).collect();
            sorted.sort_unstable_by(|a, b| b.total_cmp(a));
            let trimmed = (TRIMMED_SHARE * sorted.len() as f64) as usize;
            if let Some(greatest) = sorted.get(trimmed) {
                self.drift.insert(device_type.clone(), *greatest);
            }
        }
    }

    pub fn set_evidence(&mut self, maxima: &DailyMaxima) {
        let (least, most) = EVIDENCE_BOUNDS;
        self.evidence = maxima.envelope(f64::from(self.device_days)).clamp(least, most);
    }
}

/// Least `a >= 0` such that, for every s, the share of device-days with a value of at least s is at most `e^(a - s)`; the
/// greatest 5 % are not asked.
pub fn envelope(values: impl IntoIterator<Item = f64>, device_days: f64) -> f64 {
    let mut sorted: Vec<f64> = values.into_iter().filter(|value| *value > 0.0).collect();
    sorted.sort_unstable_by(|a, b| b.total_cmp(a));
    let mut least = 0.0f64;
    let trimmed = (TRIMMED_SHARE * device_days) as usize;
    for (rank, value) in sorted.iter().enumerate().skip(trimmed) {
        least = least.max(value + ((rank + 1) as f64 / device_days).ln());
    }
    least
}

/// The greatest value of each device-day.
#[derive(Default)]
pub struct DailyMaxima(BTreeMap<(DeviceKey, i64), f64>);

impl DailyMaxima {
    pub fn note(&mut self, device: DeviceKey, at: EventTime, value: f64) {
        let greatest = self.0.entry((device, at.day())).or_insert(0.0);
        if *greatest >= 0.0 {
            *greatest = greatest.max(value);
        }
    }

    /// The device-day counts as one without anything.
    pub fn strike(&mut self, device: DeviceKey, at: EventTime) {
        self.0.insert((device, at.day()), f64::NEG_INFINITY);
    }

    /// The same for all of `days` of which anything was noted.
    pub fn strike_days(&mut self, days: &FxHashSet<(DeviceKey, i64)>) {
        for (day, greatest) in &mut self.0 {
            if days.contains(day) {
                *greatest = f64::NEG_INFINITY;
            }
        }
    }

    /// `other` is of other devices.
    pub fn extend(&mut self, other: DailyMaxima) {
        self.0.extend(other.0);
    }

    fn envelope(&self, device_days: f64) -> f64 {
        envelope(self.0.values().copied(), device_days)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_envelope_bounds_every_tail() {
        let values: Vec<f64> = (0..100).map(|rank| 6.0 - f64::from(rank) / 20.0).collect();
        let a = envelope(values.clone(), 200.0);
        for value in values.iter().skip(10) {
            let share = values.iter().filter(|other| *other >= value).count() as f64 / 200.0;
            assert!(share <= (a - value).exp() + 1e-9, "{value}");
        }
        assert_eq!(envelope([], 200.0), 0.0);
        assert_eq!(envelope([50.0, 40.0], 200.0), 0.0, "a few extreme days set nothing");
    }

    #[test]
    fn a_day_that_is_not_normal_sets_no_line() {
        let mut maxima = DailyMaxima::default();
        let day = |device: u32, day: i64| (DeviceKey(device), EventTime(day * 86_400_000_000));
        for device in 0..10 {
            let (device, at) = day(device, 3);
            maxima.note(device, at, if device.0 < 2 { 9.0 } else { 1.0 });
        }
        let loud = maxima.envelope(10.0);
        maxima.strike_days(&[(DeviceKey(0), 3), (DeviceKey(1), 3), (DeviceKey(9), 4)].into_iter().collect());
        assert!(maxima.envelope(10.0) < loud - 3.0);
        let mut calibration = Calibration::default();
        calibration.set_drift(&[("camera".into(), maxima)].into());
        assert_eq!(calibration.drift["camera"], 1.0);
    }

    #[test]
    fn a_smaller_budget_is_a_higher_line() {
        let calibration = Calibration { device_days: 228, evidence: 0.6, ..Calibration::default() };
        assert!(calibration.line(10.0) > calibration.line(20.0));
        assert!((calibration.p_value(calibration.line(20.0)) - 0.02).abs() < 1e-9);
        assert!(calibration.bears(10.0) && !calibration.bears(1.0));
    }
}
