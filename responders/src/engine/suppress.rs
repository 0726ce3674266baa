//! What a person's verdict keeps back: the same reasons again, on the same device, on its type or at its site, until the
//! verdict ends or somebody calls such a finding true. The finding stays in the store; nobody is told of it, and nothing is
//! done about it but to write down which verdict said so.
//!
//! A preview on history goes through the same function.

use std::collections::BTreeSet;
use std::slice;

use fleet::{EventTime, Finding, Scope};
use smol_str::SmolStr;

use super::{Directory, Engine};
use crate::book::Given;
use crate::journal::verdict::{CLEAR, KeptBack, TRUE, Verdict};

/// The verdict that keeps the finding back; they come in the order in which they were given. `site`: where all the finding's
/// devices are, or nothing.
pub fn keeps_back<'v>(verdicts: &'v [Given], now: EventTime, finding: &Finding, site: &str) -> Option<&'v Given> {
    for given in verdicts.iter().rev() {
        let verdict = &given.verdict;
        let reach = verdict.reach.as_ref().filter(|reach| reach.is_of(finding, site));
        if verdict.verdict == TRUE {
            // What somebody called an attack is hidden by nothing that was said before, however long ago.
            let is_its_own = !verdict.incident_id.is_empty() && verdict.incident_id == finding.incident_id;
            if is_its_own || reach.is_some_and(|reach| reach.touches(finding)) {
                return None;
            }
            continue;
        }
        let is_clear = CLEAR.contains(&verdict.verdict.as_str());
        if is_clear && reach.is_some_and(|reach| now < reach.expires && reach.covers(finding)) {
            return Some(given);
        }
    }
    None
}

/// What a verdict would have kept back of what was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WouldKeep {
    pub findings: u64,
    pub incidents: BTreeSet<String>,
    pub devices: BTreeSet<SmolStr>,
}

/// As if it had been known before the first of these findings. `site_of`: as `site` of [`keeps_back`].
pub fn preview(verdict: &Verdict, findings: &[Finding], site_of: impl Fn(&Finding) -> SmolStr) -> WouldKeep {
    let given = Given { seq: 0, at: EventTime::MIN, by: SmolStr::default(), verdict: verdict.clone(), known: None };
    let mut would = WouldKeep::default();
    for finding in findings {
        if keeps_back(slice::from_ref(&given), EventTime::MIN, finding, &site_of(finding)).is_some() {
            would.findings += 1;
            would.incidents.insert(finding.incident_id.clone());
            would.devices.extend(finding.devices.iter().cloned());
        }
    }
    would
}

/// Incidents of which the last word is that they were true.
pub fn called_true(verdicts: &[Given]) -> BTreeSet<&str> {
    let mut called = BTreeSet::new();
    for Given { verdict, .. } in verdicts {
        if verdict.verdict == TRUE {
            called.insert(verdict.incident_id.as_str());
        } else if verdict.finding_id.is_empty() {
            called.remove(verdict.incident_id.as_str());
        }
    }
    called
}

/// The one site of all the finding's devices, or nothing.
pub fn site_of(finding: &Finding, site: impl Fn(&str) -> Option<SmolStr>) -> SmolStr {
    if finding.scope == Scope::Device {
        return site(&finding.device_id).unwrap_or_default();
    }
    let mut sites = finding.devices.iter().map(|device| site(device));
    let first = sites.next().flatten().unwrap_or_default();
    if sites.all(|other| other.as_ref() == Some(&first)) { first } else { SmolStr::default() }
}

impl Engine {
    /// Whether a verdict keeps the finding back, or did when it came before.
    pub fn keeps_back(&self, now: EventTime, finding: &Finding, directory: &dyn Directory) -> Option<KeptBack> {
        if let Some(kept) = self.book.kept_back(&finding.finding_id) {
            return Some(kept.clone());
        }
        let led_to = self.book.of_device(&finding.device_id);
        if led_to.map(|action| &action.proposal.finding_id).any(|id| *id == finding.finding_id) {
            return None;
        }
        let site = site_of(finding, |device| Some(directory.device(device)?.site.clone()));
        let by_the_clock = now.plus_micros(-self.ahead);
        let given = keeps_back(self.book.verdicts(), by_the_clock, finding, &site)?;
        Some(KeptBack {
            finding_id: finding.finding_id.clone(),
            incident_id: finding.incident_id.clone(),
            device_id: finding.device_id.clone(),
            device_type: finding.device_type.clone(),
            site,
            finding_kind: finding.kind,
            severity: finding.severity,
            first_window: finding.window_start,
            found_at: finding.emitted_at,
            verdict_entry: given.seq,
            verdict: given.verdict.verdict.clone(),
            given_by: given.by.clone(),
        })
    }
}
