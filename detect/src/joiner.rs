//! All lanes' findings in the order of event time: what strikes a whole site becomes one finding, what is about one device
//! and episode becomes one incident.
//!
//! A finding is released when no lane can give an earlier one any more, so the result does not depend on how lanes run. An
//! incident is forgotten when no finding that could be of it can come any more: memory follows what goes on, not what was.

use std::collections::{BTreeMap, BTreeSet};

use fleet::id::stable_id;
use fleet::memory::{Format, sorted};
use fleet::{EventTime, Finding, FindingKind, Incident, MICROS_PER_SECOND, Scope};
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::config::Config;
use crate::error::Error;

const FORMAT: Format = Format { of: "joiner", version: 2 };

/// Outages of several types are one of the site when they begin within this time; so long single ones wait.
const SITE_HOLD_SECONDS: i64 = 600;
/// Findings further apart than this are separate incidents.
const INCIDENT_GAP: i64 = 3 * 3600 * MICROS_PER_SECOND;
const DAY_SECONDS: i64 = 86_400;
/// A finding's windows begin at most so long before the tick that carried it over the line: no window is longer than a day,
/// and what evidence adds up over is shorter.
const REACH_SECONDS: i64 = DAY_SECONDS;

#[derive(Serialize, Deserialize)]
pub struct Joiner {
    /// Configured.
    #[serde(skip)]
    lateness_seconds: i64,
    #[serde(skip)]
    hold_seconds: i64,
    /// Each lane has closed every tick up to here.
    closed: Vec<EventTime>,
    waiting: Vec<Finding>,
    outages: Vec<Finding>,
    /// Of every device that was ever met: as many as there are devices.
    #[serde(serialize_with = "sorted::map")]
    sites: FxHashMap<SmolStr, SmolStr>,
    /// Findings that are told once, until when they may be said again: for ever of an unknown device, or a type and rule, so
    /// as many as there are of those; for a day of a retired device.
    once: BTreeMap<String, EventTime>,
    /// By subject: the latest incident that may still go on.
    incidents: BTreeMap<SmolStr, Incident>,
    /// By id, since it was last asked. Nothing, while the joiner is saved.
    #[serde(skip)]
    changed: BTreeMap<String, Incident>,
}

impl Joiner {
    pub fn new(config: &Config, lanes: usize) -> Joiner {
        Joiner {
            lateness_seconds: i64::from(config.lateness_seconds),
            hold_seconds: i64::from(config.hold_seconds),
            closed: vec![EventTime::MIN; lanes],
            waiting: Vec::new(),
            outages: Vec::new(),
            sites: FxHashMap::default(),
            once: BTreeMap::new(),
            incidents: BTreeMap::new(),
            changed: BTreeMap::new(),
        }
    }

    /// Ask for [`Joiner::changed_incidents`] before: they are not remembered.
    pub fn memory(&self) -> Vec<u8> {
        FORMAT.save(self)
    }

    /// Takes the place of everything remembered so far. With an error nothing has changed.
    pub fn recall(&mut self, memory: &[u8]) -> Result<(), Error> {
        let recalled: Joiner = FORMAT.load(memory)?;
        let (remembered, configured) = (recalled.closed.len(), self.closed.len());
        if remembered != configured {
            return Err(Error::OtherLanes { remembered, configured });
        }
        let (lateness_seconds, hold_seconds) = (self.lateness_seconds, self.hold_seconds);
        *self = Joiner { lateness_seconds, hold_seconds, ..recalled };
        Ok(())
    }

    /// Where a device stands; needed before a finding names it.
    pub fn locate(&mut self, device_id: SmolStr, site: SmolStr) {
        self.sites.insert(device_id, site);
    }

    /// Lane `lane` has closed every tick up to `through`, and this is what they gave.
    pub fn push(&mut self, lane: usize, through: EventTime, findings: Vec<Finding>) {
        self.closed[lane] = self.closed[lane].max(through);
        for finding in findings {
            if !self.once.contains_key(&finding.finding_id) {
                self.waiting.push(finding);
            }
        }
    }

    /// Findings that can leave, in order, each with its incident.
    pub fn advance(&mut self) -> Vec<Finding> {
        self.release(self.closed_by_all().plus_seconds(self.lateness_seconds))
    }

    /// No lane will give more.
    pub fn finish(&mut self) -> Vec<Finding> {
        self.release(EventTime::MAX)
    }

    /// Incidents that changed since this was last asked, in their latest state: those that may still go on are open.
    pub fn changed_incidents(&mut self) -> Vec<Incident> {
        std::mem::take(&mut self.changed).into_values().collect()
    }

    fn closed_by_all(&self) -> EventTime {
        self.closed.iter().min().copied().unwrap_or(EventTime::MAX)
    }

    fn release(&mut self, until: EventTime) -> Vec<Finding> {
        // What several lanes tell of at the same time is told as by the first of their devices, however they share them.
        self.waiting.sort_by(|a, b| {
            (a.emitted_at, &a.finding_id, a.devices.first()).cmp(&(b.emitted_at, &b.finding_id, b.devices.first()))
        });
        let ready = self.waiting.partition_point(|finding| finding.emitted_at <= until);
        let mut released = Vec::new();
        for finding in self.waiting.drain(..ready).collect::<Vec<_>>() {
            if let Some(until) = told_once_until(&finding)
                && self.once.insert(finding.finding_id.clone(), until).is_some()
            {
                continue;
            }
            self.settle_outages(finding.emitted_at, &mut released);
            if finding.kind == FindingKind::Outage && finding.scope == Scope::Fleet {
                self.outages.push(finding);
            } else {
                released.push(finding);
            }
        }
        self.settle_outages(until, &mut released);
        released.sort_by(|a, b| (a.emitted_at, &a.finding_id).cmp(&(b.emitted_at, &b.finding_id)));
        for finding in &mut released {
            self.join_incident(finding);
        }
        self.close_incidents();
        released
    }

    /// Outages whose wait is over: alone, or as one of the site.
    fn settle_outages(&mut self, now: EventTime, released: &mut Vec<Finding>) {
        while let Some(first) = self.outages.first() {
            let due = first.emitted_at.plus_seconds(SITE_HOLD_SECONDS);
            if due > now {
                return;
            }
            let site = self.site_of(first);
            let (same, other): (Vec<Finding>, Vec<Finding>) =
                std::mem::take(&mut self.outages).into_iter().partition(|outage| self.site_of(outage) == site);
            self.outages = other;
            let types: BTreeSet<&SmolStr> = same.iter().map(|outage| &outage.device_type).collect();
            if types.len() > 1 {
                released.push(site_outage(&site, &same, due));
                continue;
            }
            for mut outage in same {
                outage.emitted_at = due.max(outage.emitted_at);
                released.push(outage);
            }
        }
    }

    fn site_of(&self, finding: &Finding) -> SmolStr {
        finding.devices.first().and_then(|device| self.sites.get(device)).cloned().unwrap_or_default()
    }

    fn join_incident(&mut self, finding: &mut Finding) {
        let class = match finding.kind {
            kind if kind.is_budgeted() => "device",
            kind => kind.name(),
        };
        let subject = match finding.scope {
            Scope::Device => finding.device_id.clone(),
            Scope::Fleet if finding.kind == FindingKind::Posture => SmolStr::new(&finding.finding_id),
            Scope::Fleet => finding.device_type.clone(),
            Scope::Site => self.site_of(finding),
        };
        let name = SmolStr::new(format!("{} {class} {subject}", finding.scope));
        if let Some(incident) = self.incidents.get_mut(&name)
            && finding.window_start.minus(incident.last_window) <= INCIDENT_GAP
        {
            finding.incident_id = incident.incident_id.clone();
            incident.last_window = incident.last_window.max(finding.window_end);
            incident.severity = incident.severity.max(finding.severity);
            // Kinds are ordered from the gravest.
            incident.kind = incident.kind.min(finding.kind);
            incident.findings += 1;
            incident.closed_at = None;
            self.changed.insert(incident.incident_id.clone(), incident.clone());
            return;
        }
        finding.incident_id = stable_id(&["incident", &name, &finding.window_end.0.to_string()]);
        let incident = Incident {
            incident_id: finding.incident_id.clone(),
            scope: finding.scope,
            device_id: finding.device_id.clone(),
            device_type: finding.device_type.clone(),
            kind: finding.kind,
            severity: finding.severity,
            opened_at: finding.emitted_at,
            closed_at: None,
            first_window: finding.window_start,
            last_window: finding.window_end,
            findings: 1,
        };
        self.changed.insert(finding.incident_id.clone(), incident.clone());
        if let Some(mut before) = self.incidents.insert(name, incident) {
            before.closed_at = Some(end_of(&before));
            self.changed.insert(before.incident_id.clone(), before);
        }
    }

    /// Closes incidents that were quiet for long enough, and forgets what nothing can come of any more. A lane that is behind
    /// may open one again, so the furthest lane closes, and the last one forgets.
    fn close_incidents(&mut self) {
        let latest = self.closed.iter().max().copied().unwrap_or(EventTime::MIN);
        for incident in self.incidents.values_mut().filter(|incident| incident.closed_at.is_none()) {
            let end = end_of(incident);
            if end <= latest {
                incident.closed_at = Some(end);
                self.changed.insert(incident.incident_id.clone(), incident.clone());
            }
        }
        // No window of a finding that is still to come begins earlier.
        let to_come = self.closed_by_all().plus_seconds(-(self.hold_seconds + REACH_SECONDS));
        let here = self.waiting.iter().chain(&self.outages).map(|finding| finding.window_start);
        let earliest = here.fold(to_come, EventTime::min);
        self.incidents.retain(|_, incident| end_of(incident) >= earliest);
        self.once.retain(|_, until| *until >= earliest);
    }
}

/// When it is over, if nothing more comes.
fn end_of(incident: &Incident) -> EventTime {
    EventTime(incident.last_window.0.saturating_add(INCIDENT_GAP))
}

/// However often lanes say it.
fn told_once_until(finding: &Finding) -> Option<EventTime> {
    match finding.kind {
        FindingKind::Posture | FindingKind::UnknownDevice => Some(EventTime::MAX),
        // Its id has the day.
        FindingKind::RetiredDevice => Some(finding.window_end.plus_seconds(DAY_SECONDS)),
        _ => None,
    }
}

fn site_outage(site: &SmolStr, outages: &[Finding], at: EventTime) -> Finding {
    let mut finding = outages[0].clone();
    let mut devices: Vec<SmolStr> = outages.iter().flat_map(|outage| outage.devices.iter().cloned()).collect();
    devices.sort_unstable();
    devices.dedup();
    let types: BTreeSet<&str> = outages.iter().map(|outage| outage.device_type.as_str()).collect();
    let slot = outages[0].window_end.0.div_euclid(3600 * MICROS_PER_SECOND).to_string();
    finding.finding_id = stable_id(&["site", site, "outage", &slot]);
    finding.scope = Scope::Site;
    finding.device_type = SmolStr::default();
    finding.emitted_at = at;
    finding.window_end = outages.iter().map(|outage| outage.window_end).max().unwrap_or(finding.window_end);
    finding.explanation = format!(
        "{} devices of {} types at site {site} went quiet or lost their service within ten minutes: an outage of the site, \
         and no device of it is accused for it. Types: {}.",
        devices.len(),
        types.len(),
        types.into_iter().collect::<Vec<_>>().join(", "),
    );
    finding.devices = devices;
    finding
}
