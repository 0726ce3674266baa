//! Incidents as the API shows them: those of which the journal knows, because something was done, or kept back. Others are in
//! the store alone.

use std::collections::{BTreeMap, BTreeSet};

use fleet::EventTime;
use responders::api::command::Verdict;
use responders::api::views::{IncidentFilter, IncidentView};
use responders::book::Action;
use responders::journal::entry::KeptBack;
use responders::rights::Moment;

use super::view::Shown;

/// What the journal has about one incident: never nothing.
#[derive(Default)]
pub struct Case<'s> {
    /// In the order in which they were proposed.
    pub actions: Vec<&'s Action>,
    pub kept_back: Vec<&'s KeptBack>,
}

/// By incident.
pub fn cases(shown: &Shown) -> BTreeMap<&str, Case<'_>> {
    let mut cases: BTreeMap<&str, Case<'_>> = BTreeMap::new();
    for action in shown.book.actions() {
        cases.entry(&action.proposal.incident_id).or_default().actions.push(action);
    }
    for kept in shown.book.all_kept_back() {
        cases.entry(&kept.incident_id).or_default().kept_back.push(kept);
    }
    for case in cases.values_mut() {
        case.actions.sort_by_key(|action| action.proposed_at);
        case.kept_back.sort_by_key(|kept| kept.found_at);
    }
    cases
}

impl Case<'_> {
    pub fn fits(&self, filter: &IncidentFilter) -> bool {
        let same = |wanted: &Option<String>, is: &str| wanted.as_deref().is_none_or(|wanted| wanted == is);
        let of_device = self.devices().any(|device| same(&filter.device, device));
        let of_site = self.actions.iter().map(|action| &action.proposal.site);
        let mut of_site = of_site.chain(self.kept_back.iter().map(|kept| &kept.site));
        of_device && of_site.any(|site| same(&filter.site, site))
    }

    fn devices(&self) -> impl Iterator<Item = &str> {
        let acted = self.actions.iter().map(|action| action.proposal.device_id.as_str());
        acted.chain(self.kept_back.iter().map(|kept| kept.device_id.as_str()))
    }

    pub fn finding_ids(&self) -> BTreeSet<&str> {
        let acted = self.actions.iter().map(|action| action.proposal.finding_id.as_str());
        acted.chain(self.kept_back.iter().map(|kept| kept.finding_id.as_str())).collect()
    }

    pub fn explanation(&self) -> String {
        match (self.actions.last(), self.kept_back.last()) {
            (Some(action), _) => action.proposal.why.clone(),
            (None, Some(kept)) => {
                let (entry, word) = (kept.verdict_entry, &kept.verdict);
                format!("kept back: the verdict in the journal's entry {entry}, by {}, is {word}", kept.given_by)
            }
            (None, None) => String::new(),
        }
    }

    /// Nothing where there is nothing about it.
    pub fn view(&self, shown: &Shown) -> Option<IncidentView> {
        let first = self.first()?;
        let severities = self.actions.iter().map(|action| action.proposal.severity);
        let severities = severities.chain(self.kept_back.iter().map(|kept| kept.severity));
        let isolated =
            self.actions.iter().find(|action| action.proposal.level.restricts() && action.verified_at.is_some());
        let mut verdicts = shown.book.verdicts().iter().map(|given| &given.verdict).rev();
        let verdict =
            verdicts.find(|verdict| verdict.incident_id == first.incident_id && verdict.finding_id.is_empty());
        Some(IncidentView {
            incident_id: first.incident_id.to_owned(),
            device_id: first.device_id.to_owned(),
            device_type: first.device_type.to_owned(),
            site: Some(first.site.to_owned()).filter(|site| !site.is_empty()),
            kind: first.kind,
            severity: severities.max().unwrap_or(fleet::Severity::Info),
            opened_at: Moment(first.found_at),
            closed_at: None,
            findings: u32::try_from(self.finding_ids().len()).unwrap_or(u32::MAX),
            kept_back: u32::try_from(self.kept_back.len()).unwrap_or(u32::MAX),
            seconds_to_detect: Some(first.found_at.seconds_since(first.first_window)),
            seconds_to_isolate: isolated
                .and_then(|action| action.verified_at.map(|at| at.seconds_since(action.proposed_at))),
            verdict: verdict.and_then(|verdict| word(&verdict.verdict)),
        })
    }

    fn first(&self) -> Option<First<'_>> {
        let acted = self.actions.first().map(|action| {
            let proposal = &action.proposal;
            First {
                incident_id: &proposal.incident_id,
                device_id: &proposal.device_id,
                device_type: &proposal.device_type,
                site: &proposal.site,
                kind: proposal.kind,
                first_window: proposal.first_window,
                found_at: proposal.found_at,
            }
        });
        let kept_back = self.kept_back.first().map(|kept| First {
            incident_id: &kept.incident_id,
            device_id: &kept.device_id,
            device_type: &kept.device_type,
            site: &kept.site,
            kind: kept.finding_kind,
            first_window: kept.first_window,
            found_at: kept.found_at,
        });
        acted.into_iter().chain(kept_back).min_by_key(|first| first.found_at)
    }
}

struct First<'s> {
    incident_id: &'s str,
    device_id: &'s str,
    device_type: &'s str,
    site: &'s str,
    kind: fleet::FindingKind,
    first_window: EventTime,
    found_at: EventTime,
}

/// As the API knows it.
pub fn word(verdict: &str) -> Option<Verdict> {
    serde_json::from_value(serde_json::Value::from(verdict)).ok()
}
