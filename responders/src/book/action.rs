//! One action, as its entries say it stands.

use std::collections::BTreeMap;

use fleet::{EventTime, Mode, State};
use smol_str::SmolStr;

use crate::gateways::{Key, Order};
use crate::journal::entry::{Move, Noted, Proposal};

#[derive(Clone, Debug, PartialEq)]
pub struct Action {
    pub proposal: Proposal,
    pub state: State,
    /// When it came to this state.
    pub since: EventTime,
    pub proposed_at: EventTime,
    pub approved_at: Option<EventTime>,
    /// The first times of each: times are told of the first try.
    pub applied_at: Option<EventTime>,
    pub verified_at: Option<EventTime>,
    pub quiet_at: Option<EventTime>,
    pub released_at: Option<EventTime>,
    /// Last words on it.
    pub reason: String,
    pub by: SmolStr,
    /// Through whom it is, or was, applied; empty before.
    pub gateway: SmolStr,
    pub names: BTreeMap<Key, SmolStr>,
    pub receipt: Option<serde_json::Value>,
    /// When it is released by itself.
    pub until: Option<EventTime>,
    /// Calls that failed since it came to this state, and when the next one is due.
    pub attempts: u32,
    pub next_at: Option<EventTime>,
    pub failure: Option<String>,
    /// Who agreed so far.
    pub agreed: Vec<SmolStr>,
    /// How often it had to be applied again because it was gone.
    pub repairs: u32,
    pub is_talking: bool,
    /// While releasing: the gateway says that it is done.
    pub is_undone: bool,
    /// Last entry about it.
    pub seq: u64,
}

impl Action {
    pub fn new(proposal: Proposal, seq: u64, at: EventTime) -> Action {
        Action {
            state: State::Proposed,
            since: at,
            proposed_at: at,
            approved_at: None,
            applied_at: None,
            verified_at: None,
            quiet_at: None,
            released_at: None,
            reason: proposal.why.clone(),
            by: SmolStr::default(),
            gateway: proposal.gateways.first().cloned().unwrap_or_default(),
            names: BTreeMap::new(),
            receipt: None,
            until: None,
            attempts: 0,
            next_at: None,
            failure: None,
            agreed: Vec::new(),
            repairs: 0,
            is_talking: false,
            is_undone: false,
            seq,
            proposal,
        }
    }

    pub fn go(&mut self, moved: &Move, seq: u64, at: EventTime) {
        if self.state == State::Verified && moved.to == State::Applying {
            self.repairs += 1;
        }
        (self.state, self.since, self.seq) = (moved.to, at, seq);
        self.reason.clone_from(&moved.reason);
        self.by.clone_from(&moved.by);
        if let Some(gateway) = &moved.gateway {
            self.gateway.clone_from(gateway);
        }
        if !moved.names.is_empty() {
            self.names.clone_from(&moved.names);
        }
        if let Some(until) = moved.until {
            self.until = Some(until);
        }
        if moved.receipt.is_some() {
            self.receipt.clone_from(&moved.receipt);
        }
        (self.attempts, self.next_at, self.is_undone) = (0, None, false);
        match moved.to {
            State::Approved => self.approved_at = Some(at),
            State::Applied => self.applied_at = self.applied_at.or(Some(at)),
            State::Verified => {
                self.verified_at = self.verified_at.or(Some(at));
                self.failure = None;
            }
            State::Released => self.released_at = Some(at),
            _ => {}
        }
    }

    pub fn note(&mut self, what: &Noted, at: EventTime) {
        match what {
            Noted::Attempt { failure, attempts, next_at } => {
                self.failure = Some(failure.clone());
                (self.attempts, self.next_at) = (*attempts, Some(*next_at));
            }
            Noted::Rerouted { gateway, names, reason } => {
                self.gateway.clone_from(gateway);
                self.names.clone_from(names);
                self.failure = Some(reason.clone());
                (self.attempts, self.next_at, self.receipt) = (0, None, None);
            }
            Noted::Quiet { .. } => {
                self.quiet_at = self.quiet_at.or(Some(at));
                self.is_talking = false;
            }
            Noted::Talking { .. } => self.is_talking = true,
            Noted::Extended { until, .. } => self.until = Some(*until),
            Noted::Agreed { by } => self.agreed.push(by.clone()),
            Noted::Undone { .. } => {
                self.is_undone = true;
                (self.attempts, self.next_at) = (0, None);
            }
        }
    }

    pub fn id(&self) -> &str {
        &self.proposal.action_id
    }

    /// Whether it was more than words: approved, or what would have been done in a dry run.
    pub fn was_meant(&self) -> bool {
        !matches!(self.state, State::Denied | State::Refused | State::Expired)
    }

    pub fn was_applied(&self) -> bool {
        self.applied_at.is_some()
    }

    /// A dry run goes no further than its proposal.
    pub fn is_dry(&self) -> bool {
        self.state == State::Proposed && self.proposal.mode == Mode::Observe
    }

    /// Whether nothing comes of it any more.
    pub fn is_over(&self, now: EventTime) -> bool {
        self.state.is_final() || (self.is_dry() && now.minus(self.since) > 0)
    }

    /// What the gateway is asked for.
    pub fn order(&self) -> Order {
        let note: String = format!("vedette {} {}", self.proposal.incident_id, self.proposal.playbook);
        Order {
            action_id: self.proposal.action_id.clone(),
            incident_id: self.proposal.incident_id.clone(),
            device_id: self.proposal.device_id.clone(),
            level: self.proposal.level,
            names: self.names.clone(),
            until: self.until,
            note: note.chars().filter(char::is_ascii).take(128).collect(),
            receipt: self.receipt.clone(),
        }
    }
}
