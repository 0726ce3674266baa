//! A journal, read by somebody who knows the rules and nothing of the engine.

use std::collections::{BTreeMap, BTreeSet};

use fleet::{EventTime, MICROS_PER_SECOND, Mode, State};
use responders::journal::entry::{Body, Command, Entry, ModeOf, Noted, Proposal};

use super::CAP;

#[derive(Default)]
pub struct Told {
    pub verified: usize,
    pub released: usize,
    pub failed: usize,
}

struct Case {
    proposal: Proposal,
    state: State,
    agreed: BTreeSet<String>,
    was_verified: bool,
}

pub fn audit(entries: &[Entry], configured: Mode, seed: u64) -> Told {
    let mut told = Told::default();
    let mut cases: BTreeMap<String, Case> = BTreeMap::new();
    let (mut mode, mut is_stopped) = (configured, false);
    let mut begun: Vec<(EventTime, String)> = Vec::new();
    for entry in entries {
        let at = format!("seed {seed}, entry {} at {}", entry.seq, entry.at);
        match &entry.body {
            Body::Proposed(proposal) => {
                let before = cases.get(&proposal.action_id);
                assert!(
                    before.is_none_or(|case| matches!(case.state, State::Refused | State::Released | State::Failed)),
                    "{at}: proposed while it is open"
                );
                let case = Case {
                    proposal: proposal.as_ref().clone(),
                    state: State::Proposed,
                    agreed: BTreeSet::new(),
                    was_verified: false,
                };
                cases.insert(proposal.action_id.clone(), case);
            }
            Body::Moved(moved) => {
                let others: Vec<(String, State, String)> = cases
                    .values()
                    .map(|case| (case.proposal.device_id.to_string(), case.state, case.proposal.action_id.clone()))
                    .collect();
                let case =
                    cases.get_mut(&moved.action_id).unwrap_or_else(|| panic!("{at}: moved before it was proposed"));
                assert!(case.state.may_become(moved.to), "{at}: from {} to {}", case.state, moved.to);
                if moved.to == State::Applying && !case.was_verified {
                    let least = case.proposal.mode.min(mode);
                    assert_ne!(least, Mode::Observe, "{at}: applied in mode observe");
                    let has_agreed = case.agreed.len() >= usize::from(case.proposal.approvals);
                    assert!(least == Mode::Auto || has_agreed, "{at}: applied without approval");
                }
                if case.state == State::Approved && moved.to == State::Applying {
                    assert!(!is_stopped, "{at}: begun while stopped");
                    assert!(moved.until.is_some() && !moved.names.is_empty(), "{at}");
                    let device = case.proposal.device_id.to_string();
                    begun.push((entry.at, device.clone()));
                    let day = 86_400 * MICROS_PER_SECOND;
                    let standing =
                        others.iter().filter(|(_, state, _)| state.is_at_gateway()).map(|(device, ..)| device.clone());
                    let recent =
                        begun.iter().filter(|(then, _)| entry.at.minus(*then) < day).map(|(_, device)| device.clone());
                    let devices: BTreeSet<String> = standing.chain(recent).collect();
                    assert!(devices.len() <= CAP, "{at}: {} devices in a day, the cap is {CAP}", devices.len());
                }
                case.state = moved.to;
                case.was_verified |= moved.to == State::Verified;
                match moved.to {
                    State::Verified => told.verified += 1,
                    State::Released => told.released += 1,
                    State::Failed => told.failed += 1,
                    _ => {}
                }
            }
            Body::Noted(note) => {
                let case =
                    cases.get_mut(&note.action_id).unwrap_or_else(|| panic!("{at}: noted before it was proposed"));
                if let Noted::Agreed { by } = &note.what {
                    assert_eq!(case.state, State::Proposed, "{at}");
                    assert!(case.proposal.answer_by.is_some_and(|by| entry.at <= by), "{at}: agreed too late");
                    assert!(case.agreed.insert(by.to_string()), "{at}: one person twice");
                }
            }
            Body::Commanded(commanded) if commanded.refused.is_none() => match &commanded.command {
                Command::Mode { of: ModeOf::All, mode: set } => mode = *set,
                Command::Stop { on, .. } => is_stopped = *on,
                _ => {}
            },
            Body::KeptBack(kept) => panic!("{at}: no verdict reaches so far, and `{}` was kept back", kept.finding_id),
            Body::Commanded(_) | Body::Began(_) | Body::Ended(_) | Body::Called(_) | Body::Signed(_) => {}
        }
    }
    told
}
