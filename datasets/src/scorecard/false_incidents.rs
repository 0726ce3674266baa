//! False incidents: device findings in the judged part that no labelled incident of that device covers, joined while less
//! than 3 hours apart, one for every 24 hours begun.
//!
//! What was emitted stays counted, also when a group finding absorbs it later: the responder has been woken.

use fleet::EventTime;
use serde::Serialize;
use smol_str::SmolStr;

use super::incidents::Alarm;
use super::poisson;
use super::run::{Episode, RunInfo};

const JOIN_SECONDS: f64 = 3.0 * 3600.0;
const COUNTED_ANEW_SECONDS: f64 = 24.0 * 3600.0;

/// Findings of one device without cause, joined.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FalseIncident {
    pub device_id: SmolStr,
    #[serde(serialize_with = "super::as_text")]
    pub start: EventTime,
    #[serde(serialize_with = "super::as_text")]
    pub end: EventTime,
    pub findings: u64,
    /// How many false incidents it counts as: one for every 24 hours begun.
    pub counted: u64,
    /// Those of its findings, in order of appearance; only for the run's own findings.
    pub detectors: Vec<SmolStr>,
}

impl FalseIncident {
    fn of(alarm: &Alarm) -> FalseIncident {
        let (start, end) = (alarm.start(), alarm.window_end);
        FalseIncident { device_id: alarm.device_id.clone(), start, end, findings: 1, counted: 1, detectors: Vec::new() }
    }

    fn takes(&self, alarm: &Alarm) -> bool {
        self.device_id == alarm.device_id && alarm.start().seconds_since(self.end) < JOIN_SECONDS
    }
}

/// Whether a finding is in the judged part and nothing labelled explains it.
pub fn is_false(alarm: &Alarm, run: &RunInfo, incidents: &[&Episode]) -> bool {
    run.is_judged(alarm.start(), alarm.window_end) && !incidents.iter().any(|incident| incident.covers(alarm))
}

/// Joins findings, which are in any order; ordered by device and time.
pub fn join<'a>(alarms: impl IntoIterator<Item = &'a Alarm>) -> Vec<FalseIncident> {
    let mut alarms: Vec<&Alarm> = alarms.into_iter().collect();
    alarms.sort_by(|a, b| (&a.device_id, a.start(), a.window_end).cmp(&(&b.device_id, b.start(), b.window_end)));
    let mut joined: Vec<FalseIncident> = Vec::new();
    for alarm in alarms {
        match joined.last_mut().filter(|last| last.takes(alarm)) {
            Some(last) => {
                last.end = last.end.max(alarm.window_end);
                last.findings += 1;
            }
            None => joined.push(FalseIncident::of(alarm)),
        }
    }
    for incident in &mut joined {
        let days_begun = (incident.end.seconds_since(incident.start) / COUNTED_ANEW_SECONDS).ceil();
        incident.counted = (days_begun as u64).max(1);
    }
    joined
}

pub fn count(incidents: &[FalseIncident]) -> u64 {
    incidents.iter().map(|incident| incident.counted).sum()
}

/// A count over device-days, as a rate per 1,000 of them with its exact 95 % bounds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Rate {
    pub per_1000_device_days: f64,
    pub lower: f64,
    pub upper: f64,
}

/// `None` without device-days.
pub fn rate(count: u64, device_days: f64) -> Option<Rate> {
    if device_days <= 0.0 {
        return None;
    }
    let scale = 1000.0 / device_days;
    let (lower, upper) = poisson::bounds(count);
    Some(Rate { per_1000_device_days: count as f64 * scale, lower: lower * scale, upper: upper * scale })
}
