//! The journal's entries as rows of the table `actions`: the store mirrors the journal and is never asked for state.

use std::collections::{BTreeMap, BTreeSet};

use fleet::{Action, EventTime, Mode, State};
use responders::book::REMEMBERED;
use responders::journal::entry::{Body, Command, Entry, Noted, Proposal};
use smol_str::SmolStr;
use store::VerdictRow;

/// Entries between two looks at what ended long ago.
const FORGETS_EVERY: u64 = 256;

/// The note of a device that is restricted and talks all the same.
pub const TALKING: &str = "talking";

/// What entries say of actions that were proposed before.
#[derive(Default)]
pub struct Mirror {
    /// Proposals, and what they have come to.
    known: BTreeMap<String, Known>,
    /// Findings of incidents that led to an action, or that a verdict kept back, and when the last of them did.
    findings: BTreeMap<String, (EventTime, BTreeSet<String>)>,
}

struct Known {
    proposal: Proposal,
    state: State,
    /// Of its last entry.
    at: EventTime,
    gateway: SmolStr,
    until: Option<EventTime>,
}

impl Mirror {
    /// Entries have to come in their order; what is no action's gives no row.
    pub fn row(&mut self, entry: &Entry) -> Option<Action> {
        if entry.seq.is_multiple_of(FORGETS_EVERY) {
            self.forget(entry.at);
        }
        match &entry.body {
            Body::Proposed(proposal) => {
                let (last, findings) = self.findings.entry(proposal.incident_id.clone()).or_default();
                *last = entry.at;
                findings.insert(proposal.finding_id.clone());
                let known = Known {
                    proposal: proposal.as_ref().clone(),
                    state: State::Proposed,
                    at: entry.at,
                    gateway: proposal.gateways.first().cloned().unwrap_or_default(),
                    until: None,
                };
                let row = known.row(entry, "", "policy", &proposal.why);
                self.known.insert(proposal.action_id.clone(), known);
                Some(row)
            }
            Body::Moved(moved) => {
                let known = self.known.get_mut(&moved.action_id)?;
                (known.state, known.at) = (moved.to, entry.at);
                if let Some(gateway) = &moved.gateway {
                    known.gateway.clone_from(gateway);
                }
                known.until = moved.until.or(known.until);
                let row = known.row(entry, "", &moved.by, &moved.reason);
                // What was let go, or could not be, may have to be taken back once more.
                if moved.to.is_final() && !moved.to.may_become(State::Releasing) {
                    self.known.remove(&moved.action_id);
                }
                Some(row)
            }
            Body::Noted(note) => {
                let known = self.known.get_mut(&note.action_id)?;
                let (name, by, words) = match &note.what {
                    Noted::Attempt { failure, attempts, .. } => ("attempt", "loop", format!("{attempts}: {failure}")),
                    Noted::Rerouted { gateway, reason, .. } => {
                        known.gateway.clone_from(gateway);
                        ("rerouted", "loop", reason.clone())
                    }
                    Noted::Quiet { windows, .. } => ("quiet", "loop", format!("no sign of it in {windows} windows")),
                    Noted::Talking { seen, .. } => (TALKING, "loop", seen.clone()),
                    Noted::Extended { until, by } => {
                        known.until = Some(*until);
                        ("extended", by.as_str(), format!("until {until}"))
                    }
                    Noted::Agreed { by } => ("agreed", by.as_str(), "one of those who have to agree".to_owned()),
                    Noted::Undone { reason, .. } => ("undone", "loop", reason.clone()),
                    Noted::Late { .. } => (
                        "late",
                        "loop",
                        "what a call to apply it gave is kept, though it failed in part or the action had gone on"
                            .to_owned(),
                    ),
                };
                Some(known.row(entry, name, by, &words))
            }
            Body::KeptBack(kept) => {
                let (last, findings) = self.findings.entry(kept.incident_id.clone()).or_default();
                *last = entry.at;
                findings.insert(kept.finding_id.clone());
                None
            }
            Body::Began(_) | Body::Ended(_) | Body::Commanded(_) | Body::Called(_) | Body::Signed(_) => None,
        }
    }
}

impl Mirror {
    /// What the book forgets too: of what ended so long ago nothing is asked or moved any more.
    fn forget(&mut self, now: EventTime) {
        let is_late = |at: EventTime| now.minus(at) < REMEMBERED;
        self.known.retain(|_, known| !known.is_over() || is_late(known.at));
        let open: BTreeSet<&str> = self.known.values().map(|known| known.proposal.incident_id.as_str()).collect();
        self.findings.retain(|incident, (last, _)| is_late(*last) || open.contains(incident.as_str()));
    }

    #[cfg(test)]
    pub fn size(&self) -> usize {
        self.known.len().max(self.findings.len())
    }

    /// Of a verdict that was taken down: a row for each finding that it is about. What it keeps back later is judged by it too.
    pub fn verdicts(&self, entry: &Entry) -> Vec<VerdictRow> {
        if let Body::KeptBack(kept) = &entry.body {
            return vec![VerdictRow {
                finding_id: kept.finding_id.clone(),
                verdict: kept.verdict.clone(),
                author: kept.given_by.clone(),
                given_at: entry.at,
                note: format!("kept back by the verdict in the journal's entry {}", kept.verdict_entry),
            }];
        }
        let Body::Commanded(commanded) = &entry.body else { return Vec::new() };
        let (Command::Verdict(verdict), None) = (&commanded.command, &commanded.refused) else { return Vec::new() };
        let findings = match self.findings.get(&verdict.incident_id) {
            _ if !verdict.finding_id.is_empty() => BTreeSet::from([verdict.finding_id.clone()]),
            Some((_, findings)) => findings.clone(),
            None => BTreeSet::new(),
        };
        let row = |finding_id| VerdictRow {
            finding_id,
            verdict: verdict.verdict.clone(),
            author: commanded.by.clone(),
            given_at: entry.at,
            note: verdict.note.clone(),
        };
        findings.into_iter().map(row).collect()
    }
}

impl Known {
    /// As of an action in the book.
    fn is_over(&self) -> bool {
        let is_dry = self.state == State::Proposed && self.proposal.mode == Mode::Observe;
        let is_said = self.state == State::Approved && !self.proposal.level.restricts();
        self.state.is_final() || is_dry || is_said
    }

    fn row(&self, entry: &Entry, note: &str, by: &str, reason: &str) -> Action {
        let proposal = &self.proposal;
        Action {
            action_id: proposal.action_id.clone(),
            seq: entry.seq,
            at: entry.at,
            state: self.state,
            note: note.into(),
            incident_id: proposal.incident_id.clone(),
            finding_id: proposal.finding_id.clone(),
            device_id: proposal.device_id.clone(),
            device_type: proposal.device_type.clone(),
            level: proposal.level,
            mode: proposal.mode,
            gateway: self.gateway.clone(),
            playbook: proposal.playbook.clone(),
            by: by.into(),
            reason: reason.to_owned(),
            decided_at: proposal.found_at,
            until: self.until,
        }
    }
}

/// An action of an incident, a finding and a device of its own, all of this name.
#[cfg(test)]
pub(crate) fn proposed(id: &str, level: fleet::Level, mode: Mode, at: EventTime) -> Body {
    Body::Proposed(Box::new(Proposal {
        action_id: id.to_owned(),
        incident_id: id.to_owned(),
        finding_id: id.to_owned(),
        device_id: id.into(),
        device_type: "lamp".into(),
        site: "".into(),
        segment: "".into(),
        kind: fleet::FindingKind::Anomaly,
        severity: fleet::Severity::High,
        level,
        gateways: Vec::new(),
        playbook: "".into(),
        playbook_version: "".into(),
        mode,
        ttl_seconds: None,
        answer_by: None,
        approvals: 1,
        ask_for: Vec::new(),
        after: None,
        if_still_talking: None,
        talking_ttl_seconds: None,
        why: "x".to_owned(),
        first_window: at,
        found_at: at,
    }))
}

#[cfg(test)]
mod tests {
    use fleet::Level;
    use responders::journal::entry::{Commanded, Move, Verdict};

    use super::*;

    #[test]
    fn what_ended_two_weeks_ago_is_forgotten_and_what_is_open_is_not() {
        let (mut mirror, mut seq) = (Mirror::default(), 0);
        let mut row = |day: i64, body| {
            seq += 1;
            let at = EventTime(0).plus_seconds(day * 86_400);
            mirror.row(&Entry { seq, at, previous: "".into(), body, hash: "".into() })
        };
        let moved = |id: &str, to| Body::Moved(Box::new(Move::new(id, to, "loop", "x")));
        for (id, mode) in [("failed", Mode::Auto), ("held", Mode::Auto), ("dry", Mode::Observe)] {
            assert!(row(0, proposed(id, Level::Quarantine, mode, EventTime(0))).is_some());
        }
        row(0, moved("failed", State::Failed));
        row(0, moved("held", State::Verified));
        assert!(row(13, moved("failed", State::Releasing)).is_some(), "somebody wants to be sure");
        row(13, moved("failed", State::Failed));
        for _ in 0..FORGETS_EVERY {
            row(26, moved("none", State::Released));
        }
        assert!(row(26, moved("dry", State::Refused)).is_none());
        assert!(row(26, moved("failed", State::Releasing)).is_some(), "13 days are no two weeks");
        row(26, moved("failed", State::Failed));
        for _ in 0..FORGETS_EVERY {
            row(41, moved("none", State::Released));
        }
        assert!(row(41, moved("failed", State::Releasing)).is_none());
        assert!(row(41, moved("held", State::Releasing)).is_some(), "it stands at a gateway");
        let verdicts = |incident: &str| {
            let verdict = Verdict {
                incident_id: incident.to_owned(),
                finding_id: String::new(),
                verdict: "false".into(),
                note: String::new(),
                reach: None,
            };
            let (command_id, by, command) = ("c".to_owned(), "alice".into(), Command::Verdict(Box::new(verdict)));
            let body = Body::Commanded(Box::new(Commanded {
                command_id,
                by,
                command,
                note: String::new(),
                refused: None,
                offset: None,
            }));
            let at = EventTime(0);
            mirror.verdicts(&Entry { seq: 9, at, previous: "".into(), body, hash: "".into() }).len()
        };
        assert_eq!((verdicts("held"), verdicts("failed"), verdicts("dry")), (1, 0, 0));
    }
}
