//! The journal's entries as rows of the table `actions`: the store mirrors the journal and is never asked for state.

use std::collections::{BTreeMap, BTreeSet};

use fleet::{Action, EventTime, State};
use responders::journal::entry::{Body, Command, Entry, Noted, Proposal};
use smol_str::SmolStr;
use store::VerdictRow;

/// What entries say of actions that were proposed before.
#[derive(Default)]
pub struct Mirror {
    /// Proposals, and what they have come to.
    known: BTreeMap<String, Known>,
    /// Findings of incidents that led to an action, or that a verdict kept back.
    findings: BTreeMap<String, BTreeSet<String>>,
}

struct Known {
    proposal: Proposal,
    state: State,
    gateway: SmolStr,
    until: Option<EventTime>,
}

impl Mirror {
    /// Entries have to come in their order; what is no action's gives no row.
    pub fn row(&mut self, entry: &Entry) -> Option<Action> {
        match &entry.body {
            Body::Proposed(proposal) => {
                let findings = self.findings.entry(proposal.incident_id.clone()).or_default();
                findings.insert(proposal.finding_id.clone());
                let known = Known {
                    proposal: proposal.as_ref().clone(),
                    state: State::Proposed,
                    gateway: proposal.gateways.first().cloned().unwrap_or_default(),
                    until: None,
                };
                let row = known.row(entry, "", "policy", &proposal.why);
                self.known.insert(proposal.action_id.clone(), known);
                Some(row)
            }
            Body::Moved(moved) => {
                let known = self.known.get_mut(&moved.action_id)?;
                known.state = moved.to;
                if let Some(gateway) = &moved.gateway {
                    known.gateway.clone_from(gateway);
                }
                known.until = moved.until.or(known.until);
                let row = known.row(entry, "", &moved.by, &moved.reason);
                if moved.to.is_final() && !matches!(moved.to, State::Failed) {
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
                    Noted::Talking { seen, .. } => ("talking", "loop", seen.clone()),
                    Noted::Extended { until, by } => {
                        known.until = Some(*until);
                        ("extended", by.as_str(), format!("until {until}"))
                    }
                    Noted::Agreed { by } => ("agreed", by.as_str(), "one of those who have to agree".to_owned()),
                    Noted::Undone { reason } => ("undone", "loop", reason.clone()),
                    Noted::Late { .. } => ("late", "loop", "a call to apply it ended after it had gone on".to_owned()),
                };
                Some(known.row(entry, name, by, &words))
            }
            Body::KeptBack(kept) => {
                self.findings.entry(kept.incident_id.clone()).or_default().insert(kept.finding_id.clone());
                None
            }
            Body::Began(_) | Body::Ended(_) | Body::Commanded(_) | Body::Called(_) | Body::Signed(_) => None,
        }
    }
}

impl Mirror {
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
            Some(findings) => findings.clone(),
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
