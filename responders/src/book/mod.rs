//! What the journal says when it is read from its beginning: every action as it stands, modes, the stop.
//!
//! Nothing else is state: after a restart, and wherever the journal is looked at, folding it gives the same book.

mod action;

use std::collections::BTreeMap;

use fleet::{EventTime, Level, Mode, Severity, State};
use smol_str::SmolStr;

pub use self::action::{Action, LOOP};
use crate::journal::chain::Chain;
use crate::journal::entry::{Body, Command, Commanded, Entry, KeptBack, ModeOf, Verdict};
use crate::journal::verdict::TRUE;

/// Actions that nothing comes of any more, and what verdicts kept back, are forgotten after this long, microseconds: ids of later
/// incidents are others.
pub const REMEMBERED: i64 = 14 * 86_400 * fleet::MICROS_PER_SECOND;
/// Commands that came twice are known for as long.
const COMMANDS: usize = 4_096;

/// A verdict that was taken down.
#[derive(Clone, Debug, PartialEq)]
pub struct Given {
    /// Number of its entry.
    pub seq: u64,
    pub at: EventTime,
    pub by: SmolStr,
    pub verdict: Verdict,
    /// The gravest of what was done, or would have been, about its incident before.
    pub known: Option<Severity>,
}

#[derive(Clone, Debug, Default)]
pub struct Book {
    pub chain: Chain,
    actions: BTreeMap<String, Action>,
    modes: BTreeMap<ModeOf, Mode>,
    /// Why, while it holds.
    stopped: Option<String>,
    /// By id: what came of it.
    commands: BTreeMap<String, Option<String>>,
    command_order: std::collections::VecDeque<String>,
    /// Offset in the log of commands below which all were taken.
    commands_through: u64,
    verdicts: Vec<Given>,
    /// By finding, with the time of its entry.
    kept_back: BTreeMap<String, (EventTime, KeptBack)>,
    /// Entries since the last signature.
    unsigned: u64,
}

impl Book {
    pub fn fold(&mut self, entry: &Entry) {
        self.chain.follow(entry);
        self.unsigned += 1;
        match &entry.body {
            Body::Ended(_) => {}
            Body::Began(_) => self.actions.values_mut().for_each(|action| action.inherit(entry.at)),
            Body::Called(called) => {
                let beyond = called.offset.map_or(0, |offset| offset + 1);
                self.commands_through = self.commands_through.max(beyond);
            }
            Body::Proposed(proposal) => {
                let mut action = Action::new(proposal.as_ref().clone(), entry.seq, entry.at);
                if let Some(before) = self.actions.get(&proposal.action_id) {
                    action.succeed(before);
                }
                self.actions.insert(proposal.action_id.clone(), action);
            }
            Body::Moved(moved) => {
                if let Some(action) = self.actions.get_mut(&moved.action_id) {
                    action.go(moved, entry.seq, entry.at);
                }
            }
            Body::Noted(note) => {
                if let Some(action) = self.actions.get_mut(&note.action_id) {
                    action.note(&note.what, entry.at);
                }
            }
            Body::KeptBack(kept) => {
                self.kept_back.insert(kept.finding_id.clone(), (entry.at, kept.as_ref().clone()));
            }
            Body::Commanded(commanded) => self.obey(commanded, entry.seq, entry.at),
            Body::Signed(_) => self.unsigned = 0,
        }
    }

    fn obey(&mut self, commanded: &Commanded, seq: u64, at: EventTime) {
        if let Some(offset) = commanded.offset {
            self.commands_through = self.commands_through.max(offset + 1);
        }
        self.commands.insert(commanded.command_id.clone(), commanded.refused.clone());
        self.command_order.push_back(commanded.command_id.clone());
        if self.command_order.len() > COMMANDS
            && let Some(oldest) = self.command_order.pop_front()
        {
            self.commands.remove(&oldest);
        }
        if commanded.refused.is_some() {
            return;
        }
        match &commanded.command {
            Command::Mode { of, mode } => {
                self.modes.insert(of.clone(), *mode);
            }
            Command::Stop { on, reason } => self.stopped = on.then(|| reason.clone()),
            Command::Verdict(verdict) => {
                let (by, verdict) = (commanded.by.clone(), verdict.as_ref().clone());
                let is_of_it = |action: &&Action| {
                    // Whether those were forgotten already depends on when the process began.
                    let is_known = !action.is_over() || at.minus(action.since) < REMEMBERED;
                    is_known && action.proposal.incident_id == verdict.incident_id
                };
                let known = self.actions.values().filter(is_of_it).map(|action| action.proposal.severity).max();
                self.verdicts.push(Given { seq, at, by, verdict, known });
            }
            // What they do to an action is an entry of its own.
            Command::Approve { .. } | Command::Deny { .. } | Command::Release { .. } | Command::Extend { .. } => {}
        }
    }

    pub fn action(&self, id: &str) -> Option<&Action> {
        self.actions.get(id)
    }

    /// In the order of their ids.
    pub fn actions(&self) -> impl Iterator<Item = &Action> {
        self.actions.values()
    }

    /// Those of which something may come by itself, or that stand at a gateway.
    pub fn open(&self) -> impl Iterator<Item = &Action> {
        self.actions.values().filter(|action| !action.is_over())
    }

    pub fn of_device<'b>(&'b self, device: &'b str) -> impl Iterator<Item = &'b Action> {
        self.actions.values().filter(move |action| action.proposal.device_id == device)
    }

    /// The mode a command set, which holds in place of the configured one.
    pub fn mode(&self, of: &ModeOf) -> Option<Mode> {
        self.modes.get(of).copied()
    }

    pub fn stopped(&self) -> Option<&str> {
        self.stopped.as_deref()
    }

    /// What came of a command: nothing known, obeyed, or why not.
    pub fn outcome(&self, command_id: &str) -> Option<&Option<String>> {
        self.commands.get(command_id)
    }

    pub fn commands_through(&self) -> u64 {
        self.commands_through
    }

    /// In the order in which they were given.
    pub fn verdicts(&self) -> &[Given] {
        &self.verdicts
    }

    /// The last word on an incident as a whole; that one finding of it was true is one too.
    pub fn last_word(&self, incident_id: &str) -> Option<&Given> {
        self.verdicts.iter().rev().find(|Given { verdict, .. }| {
            verdict.incident_id == incident_id && (verdict.finding_id.is_empty() || verdict.verdict == TRUE)
        })
    }

    pub fn kept_back(&self, finding_id: &str) -> Option<&KeptBack> {
        self.kept_back.get(finding_id).map(|(_, kept)| kept)
    }

    /// Findings that verdicts kept back, in the order of their ids.
    pub fn all_kept_back(&self) -> impl Iterator<Item = &KeptBack> {
        self.kept_back.values().map(|(_, kept)| kept)
    }

    /// Whether verdicts kept back every finding of an incident that has so many.
    pub fn is_kept_back(&self, incident_id: &str, findings: u32) -> bool {
        let kept = self.all_kept_back().filter(|kept| kept.incident_id == incident_id).count();
        kept > 0 && kept >= findings as usize
    }

    /// Whether a verdict kept back any finding of an incident.
    pub fn is_partly_kept_back(&self, incident_id: &str) -> bool {
        self.all_kept_back().any(|kept| kept.incident_id == incident_id)
    }

    /// Entries since the last signature.
    pub fn unsigned(&self) -> u64 {
        self.unsigned
    }

    /// What nothing hangs on any more.
    pub fn forget(&mut self, now: EventTime) {
        self.actions.retain(|_, action| !action.is_over() || now.minus(action.since) < REMEMBERED);
        self.kept_back.retain(|_, (at, _)| now.minus(*at) < REMEMBERED);
    }

    /// Restricting actions of the device, other than of this incident, whose findings came within so many microseconds before
    /// this one.
    pub fn repeats(&self, device: &str, incident: &str, found_at: EventTime, within: i64) -> u32 {
        let counts = |action: &&Action| {
            action.proposal.incident_id != incident
                && action.proposal.level.restricts()
                && action.was_meant()
                && (0..=within).contains(&found_at.minus(action.proposal.found_at))
        };
        self.of_device(device).filter(counts).count() as u32
    }

    /// Whether the device had been released then, less than so many microseconds before.
    pub fn is_on_probation(&self, device: &str, now: EventTime, probation: i64) -> bool {
        self.of_device(device).any(|action| action.let_go_at.is_some_and(|at| (0..probation).contains(&now.minus(at))))
    }

    /// Whether somebody is held to this level already, or to one that is more than it.
    pub fn holds(&self, device: &str, level: Level) -> bool {
        self.of_device(device).any(|action| holds(action, level))
    }

    /// Whether somebody is held to it, or is about to be.
    pub fn will_hold(&self, device: &str, level: Level) -> bool {
        let waits = |action: &Action| {
            let is_pending = matches!(action.state, State::Proposed | State::Approved) && !action.is_over();
            is_pending && covers(action.proposal.level, level)
        };
        self.of_device(device).any(|action| holds(action, level) || waits(action))
    }

    /// Whether the device was meant to be silent at any time since then, by us.
    pub fn was_silenced(&self, device: &str, since: EventTime) -> bool {
        self.of_device(device)
            .filter(|action| action.proposal.level.silences())
            .any(|action| action.state.is_at_gateway() || action.let_go_at.is_some_and(|at| at >= since))
    }
}

fn holds(action: &Action, level: Level) -> bool {
    let stands = matches!(action.state, State::Applying | State::Applied | State::Verified);
    stands && covers(action.proposal.level, level)
}

/// Levels are not nested: who may not talk to its peers may still reach the internet, and an ended session holds nobody.
pub(crate) fn covers(held: Level, wanted: Level) -> bool {
    let is_less = matches!(wanted, Level::Throttle | Level::BlockInternet | Level::BlockPeers | Level::Quarantine);
    held.restricts() && (held == wanted || (held.silences() && is_less))
}
