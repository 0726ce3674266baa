//! The score card: what a replay found, how fast, what it cried out for nothing, and whom it would have quarantined.
//!
//! Computed from the *stored* tables and `run.json` alone ([`load`]), so that anyone can recompute it; the counting itself
//! ([`ScoreCard::compute`]) is pure.
//!
//! * [`run`]: what a replay remembers of itself, labels included
//! * [`incidents`]: which labelled incidents were found
//! * [`false_incidents`]: findings without cause, joined and counted; their rate and its [`poisson`] bounds
//! * [`benign`]: benign changes, and what would have been quarantined
//! * [`curve`]: what other budgets would have given
//! * [`load`]: from the stored tables
//! * [`render`], [`text`]: for a person

pub mod benign;
pub mod curve;
pub mod false_incidents;
pub mod incidents;
pub mod load;
pub mod poisson;
pub mod render;
pub mod run;
#[cfg(test)]
mod tests;
pub mod text;

use std::collections::{BTreeMap, BTreeSet};

use fleet::device::Standing;
use fleet::{Action, EventTime, Finding, FindingKind};
use serde::{Serialize, Serializer};
use smol_str::SmolStr;

use crate::table::ranking::{average_precision, roc_auc};
use benign::{BenignChange, Quarantined};
use curve::{CurveInput, CurvePoint};
use false_incidents::{FalseIncident, Rate};
use incidents::{Alarm, first_alarms, quantile, seconds_to_detect};
use run::{Episode, RunInfo};

/// What the score card is computed from; the order of rows does not matter.
#[derive(Clone, Debug)]
pub struct Inputs {
    pub run: RunInfo,
    pub findings: Vec<Finding>,
    pub actions: Vec<Action>,
    pub devices: Vec<JudgedDevice>,
    /// Windows of the judged part.
    pub windows: Vec<JudgedWindow>,
    pub curve: CurveInput,
}

#[derive(Clone, Debug, PartialEq)]
pub struct JudgedDevice {
    pub id: SmolStr,
    /// Empty for an unknown device.
    pub device_type: SmolStr,
    pub standing: Standing,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct JudgedWindow {
    pub score: f32,
    /// It holds a record that the data set labels malicious.
    pub malicious: bool,
}

/// One labelled incident and what was said about it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct IncidentResult {
    pub name: String,
    /// One id, or a list of them when the incident strikes several devices at once.
    #[serde(serialize_with = "one_or_many")]
    pub device_id: Vec<String>,
    #[serde(serialize_with = "as_text")]
    pub start: EventTime,
    #[serde(serialize_with = "as_text")]
    pub end: EventTime,
    pub detected: bool,
    #[serde(serialize_with = "as_text_or_null")]
    pub first_finding_at: Option<EventTime>,
    /// From the incident's start; `null`: missed.
    pub seconds_to_detect: Option<f64>,
    pub findings: u64,
    /// Those of its findings, in order of appearance.
    pub detectors: Vec<SmolStr>,
}

/// Over all incidents, a miss counting as infinite; `null`: a miss has weight in it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct TimeToDetect {
    pub p50: Option<f64>,
    pub p95: Option<f64>,
}

/// Types with as many devices each.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CohortSize {
    /// Devices of each type; 0: devices the inventory does not know, whose days do not count when it knows others.
    pub size: u64,
    pub types: Vec<SmolStr>,
    pub incidents_detected: u64,
    pub incidents_total: u64,
    pub false_incidents: u64,
    pub device_days: f64,
}

/// Field order is the order in `scorecard.json`. Times are RFC 3339, UTC; durations seconds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ScoreCard {
    pub dataset: String,
    pub title: String,
    pub semi_synthetic: bool,
    pub seed: u64,
    pub version: String,
    pub baseline_version: u32,
    pub budget: f64,
    /// Of the inventory, retired ones left out; all there are when none is of the inventory.
    pub devices: u64,
    pub device_days_judged: f64,
    pub readings: u64,
    pub rejected: u64,
    pub rejected_by_reason: BTreeMap<String, u64>,
    pub late: u64,
    /// Wall-clock time: with `readings_per_second` all that differs between two runs of the same.
    pub seconds: f64,
    pub readings_per_second: Option<f64>,
    pub incidents: Vec<IncidentResult>,
    pub incidents_detected: u64,
    pub incidents_total: u64,
    pub seconds_to_detect: TimeToDetect,
    pub false_incidents: u64,
    pub false_incidents_per_1000_device_days: Option<f64>,
    /// The same with its exact 95 % Poisson bounds.
    pub false_incident_rate: Option<Rate>,
    /// Each of them.
    pub false_incident_list: Vec<FalseIncident>,
    pub benign_changes: Vec<BenignChange>,
    /// Devices reported as not in the inventory.
    pub unknown_devices: BTreeSet<SmolStr>,
    pub would_quarantine: Quarantined,
    pub operating_curve: Vec<CurvePoint>,
    pub by_cohort_size: Vec<CohortSize>,
    /// How well the windows' scores rank those that hold a malicious reading; `null` without windows of both kinds.
    pub window_roc_auc: Option<f64>,
    pub window_average_precision: Option<f64>,
}

impl ScoreCard {
    pub fn compute(inputs: &Inputs) -> ScoreCard {
        let run = &inputs.run;
        let (incidents, changes): (Vec<&Episode>, Vec<&Episode>) = run
            .episodes
            .iter()
            .filter(|episode| run.is_judged(episode.start, episode.end))
            .partition(|episode| episode.incident);
        let alarms: Vec<Alarm> = inputs.findings.iter().filter_map(Alarm::of).collect();
        let first = first_alarms(&incidents, &alarms);
        let seconds = seconds_to_detect(&incidents, &first);
        let false_alarms: Vec<&Alarm> =
            alarms.iter().filter(|alarm| false_incidents::is_false(alarm, run, &incidents)).collect();
        let mut false_incident_list = false_incidents::join(false_alarms.iter().copied());
        for incident in &mut false_incident_list {
            incident.detectors = detectors(&own_findings(&inputs.findings, |alarm| {
                alarm.device_id == incident.device_id
                    && alarm.start() >= incident.start
                    && alarm.window_end <= incident.end
                    && false_incidents::is_false(alarm, run, &incidents)
            }));
        }
        let false_incidents = false_incidents::count(&false_incident_list);

        let watched = watched(&inputs.devices);
        let device_days: f64 = watched.iter().map(|device| run.days_watched(&device.id)).sum();
        let rate = false_incidents::rate(false_incidents, device_days);
        let scores: Vec<f64> = inputs.windows.iter().map(|window| f64::from(window.score)).collect();
        let malicious: Vec<bool> = inputs.windows.iter().map(|window| window.malicious).collect();
        let unknown = inputs.findings.iter().filter(|finding| finding.kind == FindingKind::UnknownDevice);

        let mut card = ScoreCard {
            dataset: run.dataset.clone(),
            title: run.title.clone(),
            semi_synthetic: run.semi_synthetic,
            seed: run.seed,
            version: run.version.clone(),
            baseline_version: run.baseline_version,
            budget: run.budget,
            devices: watched.len() as u64,
            device_days_judged: device_days,
            readings: run.readings,
            rejected: run.rejected.values().sum(),
            rejected_by_reason: run.rejected.clone(),
            late: run.late,
            seconds: run.seconds,
            readings_per_second: (run.seconds > 0.0).then(|| run.readings as f64 / run.seconds),
            incidents: incidents.iter().map(|incident| result(incident, &inputs.findings)).collect(),
            incidents_detected: first.iter().flatten().count() as u64,
            incidents_total: incidents.len() as u64,
            seconds_to_detect: TimeToDetect { p50: quantile(&seconds, 0.5), p95: quantile(&seconds, 0.95) },
            false_incidents,
            false_incidents_per_1000_device_days: rate.map(|rate| rate.per_1000_device_days),
            false_incident_rate: rate,
            false_incident_list,
            benign_changes: changes
                .iter()
                .map(|change| benign::change(change, &false_alarms, &inputs.findings, &inputs.actions, &incidents))
                .collect(),
            unknown_devices: unknown.map(|finding| finding.device_id.clone()).collect(),
            would_quarantine: benign::quarantined(&inputs.actions, &incidents, run.learn_until),
            operating_curve: curve::operating_curve(&inputs.curve, run, &incidents, device_days),
            by_cohort_size: Vec::new(),
            window_roc_auc: roc_auc(&scores, &malicious),
            window_average_precision: average_precision(&scores, &malicious),
        };
        card.by_cohort_size = by_cohort_size(&card, &watched, run);
        card
    }
}

/// Those whose days count. Unknown ones do not: any forged address would dilute the rate of false incidents, which are
/// counted against all devices.
fn watched(devices: &[JudgedDevice]) -> Vec<&JudgedDevice> {
    let known = |device: &&JudgedDevice| matches!(device.standing, Standing::Active | Standing::Shared);
    let known: Vec<&JudgedDevice> = devices.iter().filter(known).collect();
    if known.is_empty() {
        devices.iter().filter(|device| device.standing != Standing::Retired).collect()
    } else {
        known
    }
}

/// What the findings say about one incident.
fn result(incident: &Episode, findings: &[Finding]) -> IncidentResult {
    let own = own_findings(findings, |alarm| incident.covers(alarm));
    let first_finding_at = own.first().map(|finding| finding.emitted_at);
    IncidentResult {
        name: incident.name.clone(),
        device_id: incident.device_ids.clone(),
        start: incident.start,
        end: incident.end,
        detected: first_finding_at.is_some(),
        first_finding_at,
        seconds_to_detect: first_finding_at.map(|first| first.seconds_since(incident.start)),
        findings: own.len() as u64,
        detectors: detectors(&own),
    }
}

/// Device findings that `is_own` holds for, by emission.
fn own_findings(findings: &[Finding], is_own: impl Fn(&Alarm) -> bool) -> Vec<&Finding> {
    let mut own: Vec<&Finding> =
        findings.iter().filter(|finding| Alarm::of(finding).is_some_and(|alarm| is_own(&alarm))).collect();
    own.sort_by(|a, b| (a.emitted_at, &a.finding_id).cmp(&(b.emitted_at, &b.finding_id)));
    own
}

/// In order of appearance.
fn detectors(findings: &[&Finding]) -> Vec<SmolStr> {
    let mut detectors: Vec<SmolStr> = Vec::new();
    for detector in findings.iter().flat_map(|finding| &finding.detectors) {
        if !detectors.contains(detector) {
            detectors.push(detector.clone());
        }
    }
    detectors
}

/// Types grouped by how many devices they have, as peers are what small cohorts lack. Every device-day, incident and false
/// incident is in one row; an incident of several devices is in the row of its first one.
fn by_cohort_size(card: &ScoreCard, watched: &[&JudgedDevice], run: &RunInfo) -> Vec<CohortSize> {
    let type_of: BTreeMap<&str, &SmolStr> =
        watched.iter().map(|device| (device.id.as_str(), &device.device_type)).collect();
    let mut of_type: BTreeMap<&SmolStr, (u64, f64)> = BTreeMap::new();
    for device in watched {
        let (devices, days) = of_type.entry(&device.device_type).or_default();
        *devices += 1;
        *days += run.days_watched(&device.id);
    }
    let size_of = |device_id: &str| match type_of.get(device_id) {
        Some(device_type) if !device_type.is_empty() => of_type[device_type].0,
        _ => 0,
    };
    let mut sizes: BTreeMap<u64, CohortSize> = BTreeMap::new();
    let empty = |size| CohortSize {
        size,
        types: Vec::new(),
        incidents_detected: 0,
        incidents_total: 0,
        false_incidents: 0,
        device_days: 0.0,
    };
    for (device_type, (devices, days)) in &of_type {
        let size = if device_type.is_empty() { 0 } else { *devices };
        let row = sizes.entry(size).or_insert_with(|| empty(size));
        row.types.extend((!device_type.is_empty()).then(|| (*device_type).clone()));
        row.device_days += days;
    }
    for incident in &card.incidents {
        let size = size_of(incident.device_id.first().map_or("", String::as_str));
        let row = sizes.entry(size).or_insert_with(|| empty(size));
        row.incidents_total += 1;
        row.incidents_detected += u64::from(incident.detected);
    }
    for incident in &card.false_incident_list {
        let size = size_of(&incident.device_id);
        sizes.entry(size).or_insert_with(|| empty(size)).false_incidents += incident.counted;
    }
    sizes.into_values().collect()
}

fn as_text<S: Serializer>(time: &EventTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(time)
}

fn as_text_or_null<S: Serializer>(time: &Option<EventTime>, serializer: S) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => serializer.collect_str(time),
        None => serializer.serialize_none(),
    }
}

fn one_or_many<S: Serializer>(ids: &[String], serializer: S) -> Result<S::Ok, S::Error> {
    match ids {
        [id] => serializer.serialize_str(id),
        ids => ids.serialize(serializer),
    }
}
