//! The operating curve: what each budget would have given, so that the false incidents asked for and those got stand side
//! by side.
//!
//! The stage that joins findings writes, for each budget, what it would have emitted (`OUT/curve.json`); it is counted
//! here by the same rules as the run's own findings.

use serde::{Deserialize, Serialize};

use super::false_incidents::{self, count, is_false, join};
use super::incidents::{Alarm, first_alarms, quantile, seconds_to_detect};
use super::run::{Episode, RunInfo};

/// Budgets of the curve, false incidents per 1,000 device-days.
pub const BUDGETS: [f64; 5] = [10.0, 20.0, 50.0, 100.0, 200.0];
/// Budgets below the least of [`BUDGETS`] are shown on this many device-days or more: a budget of 1 on a hundred
/// device-days asks for a tenth of an incident.
const DEVICE_DAYS_FOR_SMALL_BUDGETS: f64 = 10_000.0;

/// `OUT/curve.json`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CurveInput(pub Vec<CurveInputPoint>);

/// The device findings that one budget would have given.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CurveInputPoint {
    pub budget: f64,
    /// Evidence, natural logarithm units, from which a finding would have been emitted.
    pub line: f64,
    pub findings: Vec<Alarm>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CurvePoint {
    /// Asked: false incidents per 1,000 device-days.
    pub budget: f64,
    pub incidents_detected: u64,
    /// Got; `null` without device-days.
    pub false_incidents_per_1000_device_days: Option<f64>,
    /// `null` when half of the incidents or more are missed.
    pub seconds_to_detect_p50: Option<f64>,
    pub line: f64,
    pub incidents_total: u64,
    pub false_incidents: u64,
    /// Exact 95 % Poisson bounds of what was got.
    pub lower: Option<f64>,
    pub upper: Option<f64>,
}

/// Ordered by budget.
pub fn operating_curve(input: &CurveInput, run: &RunInfo, incidents: &[&Episode], device_days: f64) -> Vec<CurvePoint> {
    let smallest = if device_days < DEVICE_DAYS_FOR_SMALL_BUDGETS { BUDGETS[0] } else { 0.0 };
    let mut curve: Vec<CurvePoint> = input
        .0
        .iter()
        .filter(|point| point.budget >= smallest)
        .map(|point| judge(point, run, incidents, device_days))
        .collect();
    curve.sort_by(|a, b| a.budget.total_cmp(&b.budget));
    curve
}

fn judge(point: &CurveInputPoint, run: &RunInfo, incidents: &[&Episode], device_days: f64) -> CurvePoint {
    let first = first_alarms(incidents, &point.findings);
    let false_alarms = point.findings.iter().filter(|alarm| is_false(alarm, run, incidents));
    let false_incidents = count(&join(false_alarms));
    let rate = false_incidents::rate(false_incidents, device_days);
    CurvePoint {
        budget: point.budget,
        incidents_detected: first.iter().flatten().count() as u64,
        false_incidents_per_1000_device_days: rate.map(|rate| rate.per_1000_device_days),
        seconds_to_detect_p50: quantile(&seconds_to_detect(incidents, &first), 0.5),
        line: point.line,
        incidents_total: incidents.len() as u64,
        false_incidents,
        lower: rate.map(|rate| rate.lower),
        upper: rate.map(|rate| rate.upper),
    }
}
