//! The judge of a lane: ticks in, scores, evidence and findings out. Pure: what it says depends on its ticks alone.

use std::collections::BTreeMap;
use std::sync::Arc;

use fleet::device::Standing;
use fleet::{Device, DeviceKey, EventTime, Fact, Finding, FindingKind, Sighting, Tick};
use smol_str::SmolStr;

use crate::account::{Account, Groups, Shared};
use crate::calibration::DailyMaxima;
use crate::config::Config;
use crate::detectors::{self, Detector, Forgotten, Scene, Sightings};
use crate::evidence::Evidence;
use crate::explain;
use crate::prepared::Prepared;
use crate::roster::Roster;
use crate::rules::RuleHit;

mod memory;

/// How often drained books are closed.
const FORGET_EVERY_TICKS: u32 = 60;

pub struct Judge {
    config: Config,
    width: i64,
    judge_from: EventTime,
    prepared: Arc<Prepared>,
    roster: Roster,
    detectors: Vec<Box<dyn Detector>>,
    groups: Groups,
    /// The operator's budget first, those of the operating curve after it.
    accounts: Vec<Account>,
    /// Changes wait as long as findings do: what looks like one may turn out to be a worm.
    changes: Vec<(EventTime, Vec<DeviceKey>, Finding)>,
    ticks: u32,
    recording: Option<Recording>,
}

/// What calibration listens to.
#[derive(Default)]
pub struct Recording {
    pub silence: DailyMaxima,
    /// By device type.
    pub drift: BTreeMap<SmolStr, DailyMaxima>,
    pub evidence: DailyMaxima,
}

impl Recording {
    /// Of other devices' lanes.
    pub fn merged(mut self, other: Recording) -> Recording {
        self.silence.extend(other.silence);
        self.evidence.extend(other.evidence);
        for (device_type, maxima) in other.drift {
            self.drift.entry(device_type).or_default().extend(maxima);
        }
        self
    }

    /// Device-days that count as without anything.
    pub fn forget(&mut self, days: &crate::train::NotNormal) {
        self.silence.strike_days(days);
        self.evidence.strike_days(days);
        self.drift.values_mut().for_each(|maxima| maxima.strike_days(days));
    }
}

/// What a tick gave.
#[derive(Debug, Default, PartialEq)]
pub struct Judgement {
    /// One per window of the tick.
    pub windows: Vec<WindowScore>,
    pub evidence: Vec<ToldEvidence>,
    pub findings: Vec<Finding>,
    /// What other budgets would have found.
    pub curve: Vec<CurveFinding>,
    pub forgotten: Forgotten,
    /// One per device that an action of ours restricts, or did until lately: what was seen of it.
    pub sightings: Vec<Sighting>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct WindowScore {
    pub score: f32,
    pub p_value: f32,
    /// Held against the device after this tick, and the line it is held to.
    pub evidence: f32,
    pub line: f32,
}

/// A piece of evidence, with what it added up to.
#[derive(Debug, PartialEq)]
pub struct ToldEvidence {
    pub evidence: Evidence,
    pub total: f64,
    pub line: f64,
}

#[derive(Clone, Debug, PartialEq)]
pub struct CurveFinding {
    /// Index in [`Config::curve_budgets`].
    pub budget: usize,
    pub device: DeviceKey,
    pub emitted_at: EventTime,
    pub window_start: EventTime,
    pub window_end: EventTime,
}

impl Judge {
    /// `width` of a window in microseconds; nothing is judged in windows that end at or before `judge_from`.
    pub fn new(config: &Config, width: i64, judge_from: EventTime) -> Judge {
        let mut judge = Judge {
            config: config.clone(),
            width,
            judge_from,
            prepared: Arc::new(Prepared::nothing_learned()),
            roster: Roster::default(),
            detectors: detectors::all(),
            groups: Groups::default(),
            accounts: Vec::new(),
            changes: Vec::new(),
            ticks: 0,
            recording: None,
        };
        judge.open_accounts();
        judge
    }

    /// Judges without ever crossing a line, and listens.
    pub fn recording(config: &Config, width: i64, prepared: Arc<Prepared>, detectors: Vec<Box<dyn Detector>>) -> Judge {
        let mut judge = Judge::new(config, width, EventTime::MIN);
        judge.prepared = prepared;
        judge.detectors = detectors;
        judge.accounts = vec![Account::new(f64::INFINITY)];
        judge.recording = Some(Recording::default());
        judge
    }

    pub fn into_recording(self) -> Recording {
        self.recording.unwrap_or_default()
    }

    pub fn version(&self) -> u32 {
        self.prepared.version
    }

    /// Another version of the baselines is in force from the next tick on. With the first one, judging begins afresh.
    pub fn use_version(&mut self, prepared: Arc<Prepared>) {
        if self.prepared.version == 0 {
            self.detectors = detectors::all();
        }
        self.prepared = prepared;
        self.open_accounts();
    }

    fn open_accounts(&mut self) {
        let calibration = &self.prepared.calibration;
        let budgets = std::iter::once(&self.config.budget).chain(&self.config.curve_budgets);
        let lines: Vec<f64> = budgets.map(|budget| calibration.line(*budget)).collect();
        if self.accounts.len() != lines.len() {
            self.accounts = lines.iter().map(|line| Account::new(*line)).collect();
        }
        for (account, line) in self.accounts.iter_mut().zip(lines) {
            account.line = line;
        }
    }

    /// Width of a window, microseconds.
    pub fn width(&self) -> i64 {
        self.width
    }

    pub fn roster(&self) -> &Roster {
        &self.roster
    }

    pub fn prepared(&self) -> &Prepared {
        &self.prepared
    }

    /// Takes in what a tick says about who is in the lane. Call it before [`Judge::judge`] on the same tick.
    pub fn take_facts(&mut self, tick: &Tick) -> Vec<Finding> {
        let mut findings = Vec::new();
        self.roster.take_restrictions(tick, self.width, &self.config);
        for fact in &tick.facts {
            match fact {
                // Announced by each router that meets it.
                Fact::Device { device, .. } if self.roster.device(device.key) == Some(device) => {}
                Fact::Device { device, .. } => {
                    self.roster.join(device);
                    if device.standing == Standing::Unknown {
                        let kind = FindingKind::UnknownDevice;
                        findings.push(explain::standing_finding(device, kind, tick.end, self.width, &self.config));
                    }
                }
                Fact::Left { device, .. } => {
                    self.roster.leave(*device);
                    self.accounts.iter_mut().for_each(|account| account.leave(*device));
                }
                Fact::RetiredSpoke { device, .. } => {
                    if let Some(device) = self.roster.device(*device)
                        && !self.roster.is_masked(device.key)
                    {
                        let kind = FindingKind::RetiredDevice;
                        findings.push(explain::standing_finding(device, kind, tick.end, self.width, &self.config));
                    }
                }
                Fact::Baseline { .. } | Fact::SourceRemoved { .. } | Fact::Restricted { .. } | Fact::Freed { .. } => {}
            }
        }
        findings
    }

    /// Ticks come in the order of time; `hits` are the policy rules' matches in this tick's windows.
    pub fn judge(&mut self, tick: &Tick, hits: &[RuleHit]) -> Judgement {
        let mut judgement = Judgement { sightings: self.sightings(tick), ..Judgement::default() };
        if tick.end <= self.judge_from {
            judgement.windows = vec![WindowScore { p_value: 1.0, ..WindowScore::default() }; tick.windows.len()];
            return judgement;
        }
        let mut sightings = Sightings::for_windows(tick.windows.len());
        let calibrating = self.recording.is_some();
        let scene = Scene::new(tick, &self.roster, &self.prepared, &self.config, self.width, calibrating);
        for detector in &mut self.detectors {
            detector.observe(&scene, &mut sightings);
        }
        judgement.forgotten = sightings.forgotten;
        for hit in hits.iter().filter(|hit| !self.roster.is_masked(hit.evidence.device)) {
            sightings.score(hit.window, hit.evidence.weight);
            sightings.evidence.push(hit.evidence.clone());
        }
        if let Some(recording) = &mut self.recording {
            for (device, surprise) in &sightings.silences {
                recording.silence.note(*device, EventTime(tick.end.0 - 1), *surprise);
            }
            for (device, drift) in &sightings.drifts {
                let Some(member) = self.roster.device(*device) else { continue };
                let of_type = recording.drift.entry(member.device_type.clone()).or_default();
                of_type.note(*device, EventTime(tick.end.0 - 1), *drift);
            }
        }
        for together in std::mem::take(&mut sightings.together) {
            if self.groups.goes_on(together.cohort, together.group.outage, tick.end) && self.recording.is_none() {
                let members = self.members(&together.devices);
                let finding = explain::group_finding(
                    members,
                    &together.group,
                    None,
                    tick.end,
                    &self.prepared,
                    self.width,
                    &self.config,
                );
                judgement.findings.push(finding);
            }
        }
        self.enter(tick, sightings.evidence, &mut judgement);
        self.close(tick, &mut judgement);
        self.score_windows(tick, &sightings.window_scores, &mut judgement);
        judgement
    }

    fn sightings(&self, tick: &Tick) -> Vec<Sighting> {
        let start = EventTime(tick.end.0.saturating_sub(self.width));
        let sighting = |device: &Arc<Device>| {
            let id = device.id.clone();
            match tick.windows.binary_search_by_key(&device.key, |window| window.device) {
                Ok(place) => Sighting::of(id, &tick.windows[place]),
                Err(_) => Sighting::silent(id, start, tick.end),
            }
        };
        self.roster.masked().map(sighting).collect()
    }

    /// Enters evidence into the books, unless the cohort shares it.
    fn enter(&mut self, tick: &Tick, evidence: Vec<Evidence>, judgement: &mut Judgement) {
        let half_life = self.config.half_life();
        for piece in evidence {
            if piece.attack
                && let Some(recording) = &mut self.recording
            {
                recording.evidence.strike(piece.device, EventTime(tick.end.0 - 1));
            }
            match self.groups.weigh(&piece, tick.end, &self.roster, &self.config) {
                Shared::Own => {
                    for account in &mut self.accounts {
                        account.add(piece.clone(), tick.end);
                    }
                    let line = self.accounts[0].line * self.roster.share_of_line(piece.device, &self.config);
                    let total = self.accounts[0].total(piece.device, tick.end, half_life);
                    judgement.evidence.push(ToldEvidence { evidence: piece, total, line });
                }
                Shared::Group { devices, opened } => {
                    let Some(group) = &piece.group else { continue };
                    for account in &mut self.accounts {
                        account.excuse(devices.iter().copied(), group);
                    }
                    if opened && self.recording.is_none() {
                        let finding = explain::group_finding(
                            self.members(&devices),
                            group,
                            Some(&piece),
                            tick.end,
                            &self.prepared,
                            self.width,
                            &self.config,
                        );
                        if group.outage {
                            judgement.findings.push(finding);
                        } else {
                            let due = tick.end.plus_seconds(i64::from(self.config.hold_seconds));
                            self.changes.push((due, devices, finding));
                        }
                    }
                }
            }
        }
    }

    fn members(&self, keys: &[DeviceKey]) -> Vec<&Device> {
        keys.iter().filter_map(|key| self.roster.device(*key)).map(AsRef::as_ref).collect()
    }

    /// Changes whose wait is over, unless attacks explain them.
    fn release_changes(&mut self, now: EventTime, judgement: &mut Judgement) {
        for (due, devices, finding) in std::mem::take(&mut self.changes) {
            if due > now {
                self.changes.push((due, devices, finding));
                continue;
            }
            let member = devices.first().and_then(|key| self.roster.device(*key));
            let cohort = member.map(|device| (device.device_type.clone(), device.segment.clone())).unwrap_or_default();
            if !self.groups.is_withdrawn(&devices, cohort, now, &self.config) {
                judgement.findings.push(finding);
            }
        }
    }

    fn close(&mut self, tick: &Tick, judgement: &mut Judgement) {
        self.release_changes(tick.end, judgement);
        let half_life = self.config.half_life();
        if let Some(recording) = &mut self.recording {
            for device in self.accounts[0].touched() {
                let total = self.accounts[0].total(device, tick.end, half_life);
                recording.evidence.note(device, EventTime(tick.end.0 - 1), total);
            }
        }
        for (index, account) in self.accounts.iter_mut().enumerate() {
            for crossing in account.close(tick.end, &self.roster, &self.config) {
                let Some(device) = self.roster.device(crossing.device) else { continue };
                let finding = explain::device_finding(&crossing, device, &self.prepared, self.width, &self.config);
                if index == 0 {
                    judgement.findings.push(finding);
                    continue;
                }
                judgement.curve.push(CurveFinding {
                    budget: index - 1,
                    device: crossing.device,
                    emitted_at: finding.emitted_at,
                    window_start: finding.window_start,
                    window_end: finding.window_end,
                });
            }
        }
        self.ticks += 1;
        if self.ticks.is_multiple_of(FORGET_EVERY_TICKS) {
            for account in &mut self.accounts {
                account.forget_drained(tick.end, half_life);
            }
            self.groups.forget(tick.end, &self.config);
        }
    }

    fn score_windows(&mut self, tick: &Tick, scores: &[f32], judgement: &mut Judgement) {
        let half_life = self.config.half_life();
        let book = &mut self.accounts[0];
        for (window, score) in tick.windows.iter().zip(scores) {
            judgement.windows.push(WindowScore {
                score: *score,
                p_value: (-score).exp(),
                evidence: book.total(window.device, tick.end, half_life) as f32,
                line: if book.line.is_finite() {
                    (book.line * self.roster.share_of_line(window.device, &self.config)) as f32
                } else {
                    0.0
                },
            });
        }
    }
}
