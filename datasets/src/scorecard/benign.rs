//! What was said and would have been done about labelled benign changes, and what would have been quarantined at all.

use std::collections::BTreeSet;

use fleet::{Action, EventTime, Finding, FindingKind, Scope};
use serde::Serialize;
use smol_str::SmolStr;

use super::false_incidents::{count, join};
use super::incidents::Alarm;
use super::run::Episode;

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BenignChange {
    pub name: String,
    /// False incidents of its devices during the change.
    pub device_incidents: u64,
    /// Findings of a group that has a device of the change in it, during the change.
    pub fleet_findings: u64,
    /// Incidents these belong to.
    pub fleet_incidents: u64,
    /// Devices that would have been quarantined during the change, and not for an incident of their own.
    pub would_quarantine: u64,
}

/// `false_alarms`: findings that nothing labelled explains.
pub fn change(
    episode: &Episode,
    false_alarms: &[&Alarm],
    findings: &[Finding],
    actions: &[Action],
    incidents: &[&Episode],
) -> BenignChange {
    let alarms = false_alarms.iter().copied().filter(|alarm| episode.covers(alarm));
    let group_findings: Vec<&Finding> = findings.iter().filter(|finding| is_about(finding, episode)).collect();
    let group_incidents: BTreeSet<&str> = group_findings.iter().map(|finding| finding.incident_id.as_str()).collect();
    let quarantined: BTreeSet<&str> = actions
        .iter()
        .filter(|action| would_quarantine(action) && is_within(action, episode))
        .filter(|action| !incidents.iter().any(|incident| is_within(action, incident)))
        .map(|action| action.device_id.as_str())
        .collect();
    BenignChange {
        name: episode.name.clone(),
        device_incidents: count(&join(alarms)),
        fleet_findings: group_findings.len() as u64,
        fleet_incidents: group_incidents.len() as u64,
        would_quarantine: quarantined.len() as u64,
    }
}

fn is_about(finding: &Finding, episode: &Episode) -> bool {
    finding.scope != Scope::Device
        && finding.kind != FindingKind::Posture
        && episode.overlaps(finding.window_start, finding.window_end)
        && finding.emitted_at > episode.start
        && finding.devices.iter().any(|device| episode.strikes(device))
}

fn would_quarantine(action: &Action) -> bool {
    action.was_meant() && action.level.restricts()
}

/// Decided from the start of the device's episode to the end of its grace.
fn is_within(action: &Action, episode: &Episode) -> bool {
    episode.strikes(&action.device_id) && (episode.start..=episode.deadline()).contains(&action.decided_at)
}

/// Devices that would have been quarantined in the judged part.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Quarantined {
    /// Devices for which it was decided within a labelled incident of theirs, or its grace.
    pub incident_devices: u64,
    /// Devices for which it was decided outside of one: also those that have an incident at another time.
    pub benign_devices: u64,
    /// Of `incident_devices`, those for which it was decided before the incident had ended.
    pub before_its_end: u64,
    pub incident_device_ids: BTreeSet<SmolStr>,
    pub benign_device_ids: BTreeSet<SmolStr>,
}

pub fn quarantined(actions: &[Action], incidents: &[&Episode], judged_from: EventTime) -> Quarantined {
    let mut devices = Quarantined::default();
    let mut in_time = BTreeSet::new();
    for action in actions.iter().filter(|action| would_quarantine(action) && action.decided_at >= judged_from) {
        let own: Vec<_> = incidents.iter().filter(|incident| is_within(action, incident)).collect();
        let ids = if own.is_empty() { &mut devices.benign_device_ids } else { &mut devices.incident_device_ids };
        ids.insert(action.device_id.clone());
        if own.iter().any(|incident| action.decided_at <= incident.end) {
            in_time.insert(&action.device_id);
        }
    }
    devices.incident_devices = devices.incident_device_ids.len() as u64;
    devices.benign_devices = devices.benign_device_ids.len() as u64;
    devices.before_its_end = in_time.len() as u64;
    devices
}
