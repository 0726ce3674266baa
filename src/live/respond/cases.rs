//! Incidents as the API shows them: those of which the journal knows, because something was done, or kept back. Others are in
//! the store alone.

use std::collections::{BTreeMap, BTreeSet};

use fleet::{EventTime, Incident, Scope, Severity};
use responders::api::command::Verdict;
use responders::api::views::{IncidentFilter, IncidentStats, IncidentView, Spread, StatsFilter};
use responders::book::{Action, Book};
use responders::journal::entry::KeptBack;
use responders::rights::Moment;
use store::Home;

use crate::respond::commands::incidents::times::percentile;

/// What the journal has about one incident: never nothing.
#[derive(Default)]
pub struct Case<'s> {
    /// In the order in which they were proposed.
    pub actions: Vec<&'s Action>,
    pub kept_back: Vec<&'s KeptBack>,
}

/// By incident.
pub fn cases(book: &Book) -> BTreeMap<&str, Case<'_>> {
    let mut cases: BTreeMap<&str, Case<'_>> = BTreeMap::new();
    for action in book.actions() {
        cases.entry(&action.proposal.incident_id).or_default().actions.push(action);
    }
    for kept in book.all_kept_back() {
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

    fn severity(&self) -> Severity {
        let severities = self.actions.iter().map(|action| action.proposal.severity);
        severities.chain(self.kept_back.iter().map(|kept| kept.severity)).max().unwrap_or(Severity::Info)
    }

    fn count(&self) -> u32 {
        u32::try_from(self.finding_ids().len()).unwrap_or(u32::MAX)
    }

    /// As far as the journal knows it; nothing where there is nothing about it.
    pub fn incident(&self) -> Option<Incident> {
        let first = self.first()?;
        let last = self.actions.iter().map(|action| action.proposal.found_at);
        let last = last.chain(self.kept_back.iter().map(|kept| kept.found_at)).max();
        Some(Incident {
            incident_id: first.incident_id.to_owned(),
            scope: if first.device_id.is_empty() { Scope::Fleet } else { Scope::Device },
            device_id: first.device_id.into(),
            device_type: first.device_type.into(),
            kind: first.kind,
            severity: self.severity(),
            opened_at: first.found_at,
            closed_at: None,
            first_window: first.first_window,
            last_window: last.unwrap_or(first.found_at),
            findings: self.count(),
        })
    }

    /// Nothing where there is nothing about it. Whether it goes on is [the store's](look_whether_open) to say.
    pub fn view(&self, book: &Book) -> Option<IncidentView> {
        let first = self.first()?;
        let isolated =
            self.actions.iter().find(|action| action.proposal.level.restricts() && action.verified_at.is_some());
        let mut verdicts = book.verdicts().iter().map(|given| &given.verdict).rev();
        let verdict =
            verdicts.find(|verdict| verdict.incident_id == first.incident_id && verdict.finding_id.is_empty());
        Some(IncidentView {
            incident_id: first.incident_id.to_owned(),
            device_id: first.device_id.to_owned(),
            device_type: first.device_type.to_owned(),
            site: Some(first.site.to_owned()).filter(|site| !site.is_empty()),
            kind: first.kind,
            severity: self.severity(),
            opened_at: Moment(first.found_at),
            open: None,
            closed_at: None,
            findings: self.count(),
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

/// One that the store does not have yet has just begun.
///
/// # Errors
/// The store does not answer; then nothing is changed.
pub fn look_whether_open(incidents: &mut [IncidentView], store: &dyn Home) -> Result<(), store::Error> {
    let ids = incidents.iter().map(|incident| incident.incident_id.as_str()).collect();
    let closed = |incident: Incident| Some((incident.incident_id, incident.closed_at?));
    let closed: BTreeMap<String, EventTime> = store.read_incidents(&ids)?.into_iter().filter_map(closed).collect();
    for incident in incidents {
        incident.closed_at = closed.get(&incident.incident_id).copied().map(Moment);
        incident.open = Some(incident.closed_at.is_none());
    }
    Ok(())
}

/// Of actions that restrict devices, or would.
pub fn stats(book: &Book, filter: &StatsFilter) -> IncidentStats {
    let is_within = |action: &&Action| {
        let at = action.proposal.found_at;
        filter.since.is_none_or(|since| at >= since.0) && filter.until.is_none_or(|until| at < until.0)
    };
    let restricting: Vec<&Action> =
        book.actions().filter(|action| action.proposal.level.restricts()).filter(is_within).collect();
    let incidents = |which: &dyn Fn(&Action) -> bool| {
        let those = restricting.iter().filter(|action| which(action));
        those.map(|action| action.proposal.incident_id.as_str()).collect::<BTreeSet<_>>().len() as u64
    };
    let spread = |of: &dyn Fn(&Action) -> Option<f64>| {
        let values: Vec<f64> = restricting.iter().filter_map(|action| of(action)).collect();
        Spread { count: values.len() as u64, p50: percentile(&values, 50.0), p95: percentile(&values, 95.0) }
    };
    let since_proposed = |at: Option<EventTime>, action: &Action| at.map(|at| at.seconds_since(action.proposed_at));
    IncidentStats {
        incidents: incidents(&|_| true),
        isolated: incidents(&|action| action.verified_at.is_some()),
        detect: spread(&|action| Some(action.proposal.found_at.seconds_since(action.proposal.first_window))),
        decide: spread(&|action| action.approved_at.map(|at| at.seconds_since(action.proposal.found_at))),
        apply: spread(&|action| since_proposed(action.applied_at, action)),
        isolate: spread(&|action| since_proposed(action.verified_at, action)),
        quiet: spread(&|action| since_proposed(action.quiet_at, action)),
    }
}

/// As the API knows it.
pub fn word(verdict: &str) -> Option<Verdict> {
    serde_json::from_value(serde_json::Value::from(verdict)).ok()
}

#[cfg(test)]
mod tests {
    use fleet::{Level, Mode, State};
    use responders::journal::Entry;
    use responders::journal::entry::{Body, Move, Note, Noted, Proposal};
    use store::{Config, ParquetStore, Store};

    use super::*;
    use crate::respond::rows::{Mirror, proposed};

    fn second(second: i64) -> EventTime {
        EventTime(0).plus_seconds(second)
    }

    /// Of the incident `i`: found at 90 s from a window that began at 30 s.
    fn proposal(id: &str, mode: Mode) -> Body {
        let Body::Proposed(proposal) = proposed(id, Level::Quarantine, mode, second(90)) else { unreachable!() };
        Body::Proposed(Box::new(Proposal { incident_id: "i".to_owned(), first_window: second(30), ..*proposal }))
    }

    /// A person takes a minute; it is repaired once. Another action of the incident is refused.
    fn journal() -> Vec<Entry> {
        let moved = |id: &str, to| Body::Moved(Box::new(Move::new(id, to, "loop", "x")));
        let quiet = Noted::Quiet { windows: 3, through: second(300) };
        let entries = [
            (100, proposal("a", Mode::Approve)),
            (101, proposal("b", Mode::Auto)),
            (102, moved("b", State::Refused)),
            (160, moved("a", State::Approved)),
            (161, moved("a", State::Applying)),
            (163, moved("a", State::Applied)),
            (167, moved("a", State::Verified)),
            (200, moved("a", State::Applying)),
            (201, moved("a", State::Applied)),
            (202, moved("a", State::Verified)),
            (300, Body::Noted(Note { action_id: "a".to_owned(), what: quiet })),
        ];
        let entry = |(seq, (at, body))| Entry { seq, at: second(at), previous: "".into(), body, hash: "".into() };
        (1..).zip(entries).map(entry).collect()
    }

    fn book() -> Book {
        let mut book = Book::default();
        journal().iter().for_each(|entry| book.fold(entry));
        book
    }

    #[test]
    fn times_go_from_and_to_what_their_names_say() {
        let book = book();
        let told = stats(&book, &StatsFilter::default());
        let one = |value| Spread { count: 1, p50: Some(value), p95: Some(value) };
        assert_eq!((told.incidents, told.isolated), (1, 1), "two actions are one incident");
        assert_eq!(told.detect, Spread { count: 2, ..one(60.0) }, "the window's begin, the finding");
        assert_eq!(told.decide, one(70.0), "the finding, the approval");
        assert_eq!((told.apply, told.isolate, told.quiet), (one(63.0), one(67.0), one(200.0)), "from the proposal on");
        let later = stats(&book, &StatsFilter { since: Some(Moment(second(91))), until: None });
        assert_eq!(later, IncidentStats::default());
    }

    /// From the table `actions`, which mirrors the journal.
    #[test]
    fn a_store_has_the_same_times() {
        let book = book();
        let told = stats(&book, &StatsFilter::default());
        let mut mirror = Mirror::default();
        let rows: Vec<fleet::Action> = journal().iter().filter_map(|entry| mirror.row(entry)).collect();
        let incident = cases(&book)["i"].incident().unwrap();
        let spreads = crate::respond::commands::incidents::times::times(&rows, &[incident]).spreads();
        let stored = [
            ("detect", told.detect),
            ("decide", told.decide),
            ("apply", told.apply),
            ("isolate", told.isolate),
            ("quiet", told.quiet),
        ];
        assert_eq!(spreads, stored.into());
    }

    #[test]
    fn the_store_says_which_incidents_have_ended() {
        let book = book();
        let folder = tempfile::tempdir().unwrap();
        let store = ParquetStore::create(&folder.path().join("store"), Config::default()).unwrap();
        let incident = cases(&book)["i"].incident().unwrap();
        let shown = |store: &ParquetStore| {
            let mut views = [cases(&book)["i"].view(&book).unwrap()];
            assert_eq!((views[0].open, views[0].closed_at), (None, None), "the journal does not say");
            look_whether_open(&mut views, store).unwrap();
            (views[0].open, views[0].closed_at)
        };
        assert_eq!(shown(&store), (Some(true), None), "not stored yet");
        store.write_incidents(std::slice::from_ref(&incident)).unwrap();
        assert_eq!(shown(&store), (Some(true), None));
        store.write_incidents(&[Incident { closed_at: Some(second(900)), ..incident }]).unwrap();
        assert_eq!(shown(&store), (Some(false), Some(Moment(second(900)))));
    }
}
