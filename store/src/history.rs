//! What a trainer asks back: windows as they were closed, who was heard, and when devices were not themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use fleet::{Action, DeviceKey, EventTime, Finding, FindingKind, Incident, Level, Scope, State, Window};
use smol_str::SmolStr;

use crate::error::Error;
use crate::parquet::ParquetStore;
use crate::rows::{DeviceRow, VerdictRow};

/// What a device id means to whoever asks; windows of ids without a key are left out.
pub type Keys<'k> = dyn Fn(&str) -> Option<DeviceKey> + Sync + 'k;

/// A device's windows in a stretch of event time, counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    pub device_id: SmolStr,
    pub windows: u64,
    /// Start of the first one.
    pub first: EventTime,
}

/// A stretch of event time in which a device was not itself: a finding's windows, and the incident's they belong to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Spell {
    pub device_id: SmolStr,
    pub kind: FindingKind,
    pub from: EventTime,
    pub until: EventTime,
}

/// A stretch of time in which actions restricted a device.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Restriction {
    pub device_id: SmolStr,
    pub from: EventTime,
    /// `None`: one of them still does.
    pub until: Option<EventTime>,
}

/// What a row of `actions` says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    pub action_id: String,
    /// Ascends within an action.
    pub seq: u64,
    pub device_id: SmolStr,
    pub level: Level,
    pub state: State,
    pub at: EventTime,
}

/// From when an action was first applied until it was released, or failed to be what it was to be; one that could not be
/// taken back still restricts. Stretches of one device that touch are one. Ordered.
pub fn restrictions(mut transitions: Vec<Transition>) -> Vec<Restriction> {
    transitions.retain(|transition| transition.level.restricts());
    transitions.sort_by(|a, b| (&a.action_id, a.seq).cmp(&(&b.action_id, b.seq)));
    let mut each: Vec<Restriction> = Vec::new();
    for of_action in transitions.chunk_by(|a, b| a.action_id == b.action_id) {
        let Some(first) = of_action.iter().position(|transition| transition.state == State::Applied) else { continue };
        let Transition { device_id, at: from, .. } = of_action[first].clone();
        let ends = |pair: &&[Transition]| match pair[1].state {
            State::Released => true,
            State::Failed => pair[0].state != State::Releasing,
            _ => false,
        };
        let until = of_action[first..].windows(2).find(ends).map(|pair| pair[1].at.max(from));
        each.push(Restriction { device_id, from, until });
    }
    each.sort_unstable();
    let mut restrictions: Vec<Restriction> = Vec::new();
    for next in each {
        match restrictions.last_mut() {
            Some(last) if last.device_id == next.device_id && last.until.is_none_or(|until| next.from <= until) => {
                last.until = last.until.zip(next.until).map(|(one, other)| one.max(other));
            }
            _ => restrictions.push(next),
        }
    }
    restrictions
}

/// What was noted while the state stayed is none.
pub(crate) fn transitions(rows: Vec<Action>) -> Vec<Transition> {
    let changes = rows.into_iter().filter(|row| row.note.is_empty());
    changes
        .map(|row| Transition {
            action_id: row.action_id,
            seq: row.seq,
            device_id: row.device_id,
            level: row.level,
            state: row.state,
            at: row.at,
        })
        .collect()
}

/// Kinds of findings whose windows are not normal. What is told of unknown and retired devices and of posture is about who
/// a device is, not about how it behaved.
pub(crate) const NOT_NORMAL: [FindingKind; 5] =
    [FindingKind::Compromise, FindingKind::Anomaly, FindingKind::Fault, FindingKind::Outage, FindingKind::Change];

/// Verdicts after which a finding's windows are normal nevertheless.
pub(crate) const NORMAL_VERDICTS: [&str; 2] = ["false", "benign_change"];

pub trait History: Send + Sync {
    /// Windows that start in `range`, with contacts, ordered by start, then device key; without scores.
    fn read_windows(&self, range: Range<EventTime>, keys: &Keys<'_>) -> Result<Vec<Window>, Error>;

    /// Who has windows that start in `range`; ordered by id.
    fn heard(&self, range: Range<EventTime>) -> Result<Vec<Heard>, Error>;

    /// Spells that touch `range`, ordered. A change that ended at or before `adopted` is none any more: what a group has
    /// kept up for so long is how it is now. Nor is a finding that a person called false, or a benign change.
    fn spells(&self, range: Range<EventTime>, adopted: EventTime) -> Result<Vec<Spell>, Error>;

    /// Findings told in `range`, in the order in which they were.
    fn read_findings(&self, range: Range<EventTime>) -> Result<Vec<Finding>, Error>;

    /// When actions restricted devices, by the journal's clock.
    fn read_restrictions(&self) -> Result<Vec<Restriction>, Error>;

    fn read_devices(&self) -> Result<Vec<DeviceRow>, Error>;

    /// Those of `ids` that are there, as they are now, in the order of their ids.
    fn read_incidents(&self, ids: &BTreeSet<&str>) -> Result<Vec<Incident>, Error>;
}

impl History for ParquetStore {
    fn read_windows(&self, range: Range<EventTime>, keys: &Keys<'_>) -> Result<Vec<Window>, Error> {
        self.windows(range, keys)
    }

    fn heard(&self, range: Range<EventTime>) -> Result<Vec<Heard>, Error> {
        let mut heard: BTreeMap<SmolStr, (u64, EventTime)> = BTreeMap::new();
        self.for_each_start(&range, |device_id, start| {
            if let Some((windows, first)) = heard.get_mut(device_id) {
                *windows += 1;
                *first = start.min(*first);
            } else {
                heard.insert(device_id.into(), (1, start));
            }
        })?;
        Ok(heard.into_iter().map(|(device_id, (windows, first))| Heard { device_id, windows, first }).collect())
    }

    fn spells(&self, range: Range<EventTime>, adopted: EventTime) -> Result<Vec<Spell>, Error> {
        Ok(spells(&self.rows()?, &self.rows()?, &self.rows()?, &range, adopted))
    }

    fn read_findings(&self, range: Range<EventTime>) -> Result<Vec<Finding>, Error> {
        let mut findings = self.findings(&range)?;
        findings.sort_by(|a, b| (a.emitted_at, &a.finding_id).cmp(&(b.emitted_at, &b.finding_id)));
        Ok(findings)
    }

    fn read_restrictions(&self) -> Result<Vec<Restriction>, Error> {
        Ok(restrictions(transitions(self.rows()?)))
    }

    fn read_devices(&self) -> Result<Vec<DeviceRow>, Error> {
        // Each lane writes its own; of a device that moved, the one who heard it last knows it.
        let mut latest: BTreeMap<SmolStr, DeviceRow> = BTreeMap::new();
        for row in self.rows::<DeviceRow>()? {
            let known = latest.get(&row.device_id).map(|known| known.last_seen);
            if known.is_none_or(|last_seen| last_seen <= row.last_seen) {
                latest.insert(row.device_id.clone(), row);
            }
        }
        Ok(latest.into_values().collect())
    }

    fn read_incidents(&self, ids: &BTreeSet<&str>) -> Result<Vec<Incident>, Error> {
        let mut incidents: Vec<Incident> = self.rows()?;
        incidents.retain(|incident| ids.contains(incident.incident_id.as_str()));
        incidents.sort_by(|a, b| a.incident_id.cmp(&b.incident_id));
        Ok(incidents)
    }
}

/// The same as the question to ClickHouse, on rows.
pub(crate) fn spells(
    findings: &[Finding],
    incidents: &[Incident],
    verdicts: &[VerdictRow],
    range: &Range<EventTime>,
    adopted: EventTime,
) -> Vec<Spell> {
    let incidents: BTreeMap<&str, &Incident> =
        incidents.iter().map(|incident| (incident.incident_id.as_str(), incident)).collect();
    let mut said: BTreeMap<&str, &VerdictRow> = BTreeMap::new();
    for verdict in verdicts {
        let latest = said.entry(&verdict.finding_id).or_insert(verdict);
        if verdict.given_at >= latest.given_at {
            *latest = verdict;
        }
    }
    let mut spells = Vec::new();
    for finding in findings {
        let normal = said.get(finding.finding_id.as_str()).map(|verdict| verdict.verdict.as_str());
        let is_normal = normal.is_some_and(|verdict| NORMAL_VERDICTS.contains(&verdict))
            || !NOT_NORMAL.contains(&finding.kind)
            || (finding.kind == FindingKind::Change && finding.window_end <= adopted);
        if is_normal {
            continue;
        }
        let (mut from, mut until) = (finding.window_start, finding.window_end);
        if finding.kind != FindingKind::Change
            && let Some(incident) = incidents.get(finding.incident_id.as_str())
        {
            (from, until) = (from.min(incident.first_window), until.max(incident.last_window));
        }
        if from >= range.end || until <= range.start {
            continue;
        }
        let whose = if finding.scope == Scope::Device {
            std::slice::from_ref(&finding.device_id)
        } else {
            finding.devices.as_slice()
        };
        let of_device = |device_id: &SmolStr| Spell { device_id: device_id.clone(), kind: finding.kind, from, until };
        spells.extend(whose.iter().map(of_device));
    }
    spells.sort_unstable();
    spells.dedup();
    spells
}
