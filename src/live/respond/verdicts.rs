//! What people say of incidents, as the journal takes it down: what it reaches to, from the findings it is about, and what it
//! would have kept back of those of the last days.

use std::collections::BTreeMap;

use fleet::{EventTime, Finding, Scope};
use responders::api::Refusal;
use responders::api::command::{Verdict as Word, VerdictPreview, VerdictRequest, VerdictScope};
use responders::api::views::{VerdictFilter, VerdictView};
use responders::engine::suppress::{called_true, preview, site_of};
use responders::journal::entry::{Reach, ReachOf, Verdict};
use responders::rights::Moment;
use smol_str::SmolStr;
use store::{DeviceRow, Home};

use super::cases::word;
use super::view::{Shown, View};

/// How far history is looked back upon.
const DAYS: i64 = 30;

/// Findings of the last days, and where devices are.
struct Past {
    since: EventTime,
    until: EventTime,
    findings: Vec<Finding>,
    sites: BTreeMap<SmolStr, SmolStr>,
}

impl Past {
    fn read(store: &dyn Home, now: EventTime) -> Result<Past, Refusal> {
        let unread = |error: store::Error| {
            let remedy = "what a verdict reaches to is taken from the store's findings; try again when it answers, or give it with \
                          the scope `incident`";
            Refusal::unavailable(format!("the store cannot be read: {error}"), remedy)
        };
        let since = now.plus_seconds(-DAYS * 86_400);
        let findings = store.read_findings(since..EventTime::MAX).map_err(unread)?;
        let devices: Vec<DeviceRow> = store.read_devices().map_err(unread)?;
        let began = devices.iter().filter_map(|device| device.first_seen).min();
        let sites = devices.into_iter().map(|device| (device.device_id, device.site)).collect();
        Ok(Past { since: since.max(began.unwrap_or(since)).min(now), until: now, findings, sites })
    }

    fn site(&self, finding: &Finding) -> SmolStr {
        site_of(finding, |device| self.sites.get(device).cloned())
    }

    /// What the request is about.
    fn about(&self, request: &VerdictRequest) -> Vec<&Finding> {
        let is_it = |finding: &&Finding| match (&request.incident, &request.finding) {
            (Some(incident), _) => finding.incident_id == *incident,
            (None, finding_id) => finding_id.as_ref() == Some(&finding.finding_id),
        };
        self.findings.iter().filter(is_it).collect()
    }

    fn whose(&self, scope: VerdictScope, findings: &[&Finding]) -> Result<ReachOf, Refusal> {
        let one = |of: &dyn Fn(&Finding) -> SmolStr, what: &str, remedy: &str| {
            let mut names = findings.iter().map(|finding| of(finding));
            let first = names.next().unwrap_or_default();
            if first.is_empty() || names.any(|name| name != first) {
                return Err(Refusal::conflict(format!("it is not about one {what}"), remedy));
            }
            Ok(first)
        };
        let device = |finding: &Finding| {
            if finding.scope == Scope::Device { finding.device_id.clone() } else { SmolStr::default() }
        };
        Ok(match scope {
            VerdictScope::Incident | VerdictScope::Device => {
                ReachOf::Device(one(&device, "device", "use the scope `device_type`, `site` or `incident`")?)
            }
            VerdictScope::DeviceType => ReachOf::DeviceType(one(
                &|finding| finding.device_type.clone(),
                "type of devices",
                "use the scope `device`, `site` or `incident`",
            )?),
            VerdictScope::Site => ReachOf::Site(one(
                &|finding| self.site(finding),
                "site that the inventory names",
                "use the scope `device`, `device_type` or `incident`",
            )?),
        })
    }

    fn verdict(&self, request: &VerdictRequest) -> Result<Verdict, Refusal> {
        let findings = self.about(request);
        let Some(first) = findings.first() else {
            let id = request.incident.as_ref().or(request.finding.as_ref()).cloned().unwrap_or_default();
            return Err(Refusal::not_found(
                format!("the store has no finding of `{id}` in the last {DAYS} days"),
                "`vedette incidents list` and `vedette findings list` have the ids; what was just found takes some seconds",
            ));
        };
        let reach = match (request.scope, request.expires) {
            (VerdictScope::Incident, _) => None,
            (_, None) => {
                return Err(Refusal::wrong("it reaches beyond its incident without `expires`", "say until when"));
            }
            (scope, Some(expires)) => {
                let of = self.whose(scope, &findings)?;
                let reach = Reach::about(of, &findings, expires.0);
                let reach = reach.map_err(|problem| Refusal::conflict(problem, "look at the incident"))?;
                // `true` keeps nothing back.
                if request.verdict != Word::True
                    && let Some(objection) = reach.objection(self.until)
                {
                    return Err(Refusal::conflict(objection, "`vedette findings show ID` has the reasons"));
                }
                Some(reach)
            }
        };
        Ok(taken(request, first.incident_id.clone(), reach))
    }
}

fn taken(request: &VerdictRequest, incident_id: String, reach: Option<Reach>) -> Verdict {
    Verdict {
        incident_id,
        finding_id: request.finding.clone().unwrap_or_default(),
        verdict: request.verdict.to_string().into(),
        note: request.note.clone(),
        reach,
    }
}

/// The request with everything it is about. Of one that is about its incident alone the store is not asked as long as the
/// journal knows the incident.
///
/// # Errors
/// The store does not answer, or knows nothing of it; it cannot reach so far.
pub fn resolved(request: &VerdictRequest, view: &View, store: &dyn Home, now: EventTime) -> Result<Verdict, Refusal> {
    if request.scope == VerdictScope::Incident {
        let incident = match (&request.incident, &request.finding) {
            (Some(incident), _) => Some(incident.clone()).filter(|id| is_known(&view.look(), id)),
            (None, Some(finding)) => incident_of(&view.look(), finding),
            (None, None) => None,
        };
        if let Some(incident) = incident {
            return Ok(taken(request, incident, None));
        }
    }
    Past::read(store, now)?.verdict(request)
}

fn is_known(shown: &Shown, incident_id: &str) -> bool {
    let book = &shown.book;
    book.actions().any(|action| action.proposal.incident_id == incident_id) || book.is_partly_kept_back(incident_id)
}

fn incident_of(shown: &Shown, finding_id: &str) -> Option<String> {
    let acted = shown.book.actions().find(|action| action.proposal.finding_id == finding_id);
    let kept_back = || shown.book.kept_back(finding_id).map(|kept| kept.incident_id.clone());
    acted.map(|action| action.proposal.incident_id.clone()).or_else(kept_back)
}

/// What the verdict would have kept back, had it been known all the time; nothing is kept of the question.
///
/// # Errors
/// As [`resolved`].
pub fn previewed(
    request: &VerdictRequest,
    view: &View,
    store: &dyn Home,
    now: EventTime,
) -> Result<VerdictPreview, Refusal> {
    let past = Past::read(store, now)?;
    let would = preview(&past.verdict(request)?, &past.findings, |finding| past.site(finding));
    let shown = view.look();
    let called = called_true(shown.book.verdicts());
    let hidden = would.incidents.iter().filter(|incident| called.contains(incident.as_str()));
    Ok(VerdictPreview {
        since: Moment(past.since),
        until: Moment(past.until),
        findings: would.findings,
        incidents: would.incidents.len() as u64,
        devices: would.devices.len() as u64,
        hides_true_incidents: hidden.cloned().collect(),
    })
}

/// Latest first, each with the number of its entry.
///
/// # Errors
/// A word in the journal that is no verdict.
pub fn listed(shown: &Shown, filter: &VerdictFilter) -> Result<Vec<(u64, VerdictView)>, Refusal> {
    let mut found = Vec::new();
    for given in shown.book.verdicts().iter().rev() {
        let verdict = &given.verdict;
        let acted = shown.book.actions().find(|action| action.proposal.incident_id == verdict.incident_id);
        let mut kept_back = shown.book.all_kept_back();
        let device_id = match (acted, verdict.reach.as_ref().map(|reach| &reach.of)) {
            (Some(action), _) => action.proposal.device_id.to_string(),
            (None, Some(ReachOf::Device(id))) => id.to_string(),
            (None, _) => {
                let kept = kept_back.find(|kept| kept.incident_id == verdict.incident_id);
                kept.map(|kept| kept.device_id.to_string()).unwrap_or_default()
            }
        };
        let is_wanted = filter.incident.as_ref().is_none_or(|id| *id == verdict.incident_id)
            && filter.device.as_ref().is_none_or(|id| *id == device_id);
        if !is_wanted {
            continue;
        }
        let Some(said) = word(&verdict.verdict) else {
            let problem = format!("the journal's entry {} has the verdict `{}`", given.seq, verdict.verdict);
            return Err(Refusal::new(500, problem, "look at the journal: who wrote it?"));
        };
        let kept_back = shown.book.all_kept_back().filter(|kept| kept.verdict_entry == given.seq).count();
        found.push((
            given.seq,
            VerdictView {
                incident_id: verdict.incident_id.clone(),
                finding_id: Some(verdict.finding_id.clone()).filter(|id| !id.is_empty()),
                device_id,
                verdict: said,
                scope: match verdict.reach.as_ref().map(|reach| &reach.of) {
                    None => VerdictScope::Incident,
                    Some(ReachOf::Device(_)) => VerdictScope::Device,
                    Some(ReachOf::DeviceType(_)) => VerdictScope::DeviceType,
                    Some(ReachOf::Site(_)) => VerdictScope::Site,
                },
                applies_to: verdict.reach.as_ref().map(|reach| reach.of.name().to_string()),
                kept_back: u32::try_from(kept_back).unwrap_or(u32::MAX),
                note: verdict.note.clone(),
                by: given.by.to_string(),
                at: Moment(given.at),
                expires: verdict.reach.as_ref().map(|reach| Moment(reach.expires)),
            },
        ));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use fleet::{Confidence, FindingKind, Reason, Severity};
    use store::{Config, ParquetStore, Store};

    use super::*;

    const NOW: EventTime = EventTime(100 * 86_400 * fleet::MICROS_PER_SECOND);

    fn finding(device: &str, incident: &str, days_ago: i64, technique: &str) -> Finding {
        let at = NOW.plus_seconds(-days_ago * 86_400);
        Finding {
            finding_id: format!("f-{incident}"),
            incident_id: incident.to_owned(),
            scope: Scope::Device,
            device_id: device.into(),
            devices: vec![device.into()],
            device_type: "lamp".into(),
            kind: FindingKind::Compromise,
            severity: Severity::Medium,
            confidence: Confidence::Ready,
            score: 6.0,
            line: 5.0,
            p_value: 0.01,
            detectors: vec!["contacts".into()],
            technique: technique.into(),
            emitted_at: at,
            window_start: at.plus_seconds(-60),
            window_end: at,
            baseline_version: 1,
            reasons: vec![Reason {
                detector: "contacts".into(),
                subject: "tls to updates.example".into(),
                observed: "contacted".to_owned(),
                expected_type: None,
                expected_device: None,
                peers_now: None,
                first_seen_type: None,
                first_seen_device: None,
                technique: Some(technique.into()),
                evidence: 6.0,
                records: None,
            }],
            explanation: String::new(),
        }
    }

    fn asked(incident: &str, scope: VerdictScope) -> VerdictRequest {
        VerdictRequest {
            incident: Some(incident.to_owned()),
            finding: None,
            verdict: Word::False,
            scope,
            expires: Some(Moment(NOW.plus_seconds(86_400))),
            note: String::new(),
            preview: true,
        }
    }

    #[test]
    fn history_says_what_a_verdict_is_about_and_what_it_would_keep_back() {
        let folder = tempfile::tempdir().unwrap();
        let store = ParquetStore::create(folder.path(), Config::default()).unwrap();
        let view = View::default();
        let missing = previewed(&asked("a", VerdictScope::Device), &view, &store, NOW).unwrap_err();
        assert_eq!(missing.status, 404);
        let findings = [
            finding("lamp-1", "a", 1, "T1071.001"),
            finding("lamp-1", "b", 2, "T1071.001"),
            finding("lamp-2", "c", 3, "T1071.001"),
            finding("lamp-3", "upload", 4, "T1041"),
            finding("lamp-1", "long ago", 40, "T1071.001"),
        ];
        store.write_findings("all", &findings).unwrap();
        let preview = |scope| previewed(&asked("a", scope), &view, &store, NOW).unwrap();
        let counted = |preview: &VerdictPreview| (preview.findings, preview.incidents, preview.devices);
        assert_eq!(counted(&preview(VerdictScope::Device)), (2, 2, 1));
        assert_eq!(counted(&preview(VerdictScope::DeviceType)), (3, 3, 2));
        assert_eq!(counted(&preview(VerdictScope::Incident)), (0, 0, 0));
        assert_eq!(preview(VerdictScope::Device).since.0, NOW.plus_seconds(-DAYS * 86_400));
        let refused = |incident, scope| resolved(&asked(incident, scope), &view, &store, NOW).unwrap_err();
        assert!(refused("upload", VerdictScope::DeviceType).message.contains("one device at most"));
        assert_eq!(refused("a", VerdictScope::Site).status, 409, "no inventory names its site");
        assert_eq!(refused("long ago", VerdictScope::Device).status, 404);

        let by_finding =
            VerdictRequest { incident: None, finding: Some("f-b".to_owned()), ..asked("", VerdictScope::Device) };
        let verdict = resolved(&by_finding, &view, &store, NOW).unwrap();
        assert_eq!((verdict.incident_id.as_str(), verdict.finding_id.as_str()), ("b", "f-b"));
        assert_eq!(verdict.reach.unwrap().of, ReachOf::Device("lamp-1".into()));
        let own = resolved(&asked("a", VerdictScope::Incident), &view, &store, NOW).unwrap();
        assert_eq!((own.incident_id.as_str(), own.reach), ("a", None));
        assert_eq!(refused("unheard of", VerdictScope::Incident).status, 404, "mistyped");
    }
}
