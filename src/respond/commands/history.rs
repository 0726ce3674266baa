//! History answered again: the findings of a store, through the same loop, with other playbooks or another mode.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use datasets::scorecard::load::Stored;
use datasets::scorecard::run::{Episode, RunInfo};
use fleet::{Action, Cohort, Device, DeviceKey, EventTime, Finding, Level, Profile, State};
use responders::playbook::Period;
use smol_str::SmolStr;
use store::DeviceRow;

use crate::config::Config;
use crate::demo::temporary_folder;
use crate::respond::playbooks::CompiledPlaybooks;
use crate::respond::replay::ReplayResponder;

/// What was done, or would have been, to one device.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Done {
    pub at: EventTime,
    pub device_id: SmolStr,
    pub level: Level,
    pub playbook: SmolStr,
    pub outcome: String,
    pub reason: String,
    /// Whether a labelled incident of the device explains it; `None`: nothing is labelled.
    pub is_incident: Option<bool>,
    /// More than words.
    pub restricts: bool,
    /// How long it would have held.
    pub lasts: Option<Period>,
}

pub struct Answered {
    pub findings: usize,
    /// Whether it is known what was an incident.
    pub is_labelled: bool,
    pub done: Vec<Done>,
}

impl Answered {
    /// Devices that were restricted, of labelled incidents or not.
    pub fn restricted(&self, is_incident: Option<bool>) -> BTreeSet<&str> {
        let counts = |done: &&Done| done.restricts && done.is_incident == is_incident;
        self.done.iter().filter(counts).map(|done| done.device_id.as_str()).collect()
    }
}

pub fn answer(stored: &Stored, playbooks: CompiledPlaybooks, config: &Config) -> anyhow::Result<Answered> {
    let mut findings = stored.store.rows::<Finding>()?;
    findings.sort_by(|a, b| (a.emitted_at, &a.finding_id).cmp(&(b.emitted_at, &b.finding_id)));
    let devices: Vec<Arc<Device>> = stored.store.rows::<DeviceRow>()?.iter().map(device).collect();
    let folder = temporary_folder()?;
    let mut responder = ReplayResponder::new(config, playbooks, &devices, folder.path())?;
    devices.iter().for_each(|device| responder.meet(Arc::clone(device)));
    let rows = responder.answer(&findings)?;
    let is_labelled = stored.run.episodes.iter().any(|episode| episode.incident);
    Ok(Answered { findings: findings.len(), is_labelled, done: done(&rows, &stored.run) })
}

/// The first time of each action, and what it came to.
fn done(rows: &[Action], run: &RunInfo) -> Vec<Done> {
    let incidents: Vec<&Episode> = run.episodes.iter().filter(|episode| episode.incident).collect();
    let mut furthest: BTreeMap<&str, &Action> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.note.is_empty()) {
        // What came later by itself, such as its release, takes nothing back.
        let is_after = matches!(row.state, State::Releasing | State::Released);
        if !is_after || !furthest.contains_key(row.action_id.as_str()) {
            furthest.insert(&row.action_id, row);
        }
    }
    let mut done: Vec<Done> = furthest
        .into_values()
        .map(|row| Done {
            at: row.decided_at,
            device_id: row.device_id.clone(),
            level: row.level,
            playbook: row.playbook.clone(),
            outcome: row.outcome().to_owned(),
            reason: row.reason.clone(),
            is_incident: (!incidents.is_empty()).then(|| {
                let explains = |episode: &&Episode| {
                    episode.strikes(&row.device_id) && (episode.start..=episode.deadline()).contains(&row.decided_at)
                };
                incidents.iter().any(explains)
            }),
            restricts: row.level.restricts() && row.was_meant(),
            lasts: row.until.and_then(|until| Period::from_seconds(until.seconds_since(row.decided_at).round() as u64)),
        })
        .collect();
    done.sort();
    done
}

/// As far as the store knows it.
fn device(row: &DeviceRow) -> Arc<Device> {
    let cohort = Cohort { device_type: row.device_type.clone(), segment: row.segment.clone(), shard: 0 };
    let profile = Profile {
        device_type: row.device_type.clone(),
        site: row.site.clone(),
        segment: row.segment.clone(),
        owner: row.owner.clone(),
        firmware: row.firmware.clone(),
        protocol: row.protocol.clone(),
        purpose: row.purpose.clone(),
        cohort,
    };
    Arc::new(Device {
        key: DeviceKey(0),
        id: row.device_id.clone(),
        criticality: row.criticality,
        standing: row.standing,
        profile: Arc::new(profile),
    })
}
