//! One action, as its entries say it stands.

use std::collections::BTreeMap;

use fleet::{EventTime, Mode, State};
use smol_str::SmolStr;

use crate::gateways::{Key, Order};
use crate::journal::entry::{Move, Noted, Proposal};

/// Who moves what nobody asked for.
pub const LOOP: &str = "loop";

/// A call to apply that nobody knows the end of may come through for so long, microseconds: a session of the group and a
/// request's time limit are a minute or two each at most, and a gateway that queues, or a network that was away, takes a while
/// more.
const COMES_THROUGH: i64 = 5 * 60 * fleet::MICROS_PER_SECOND;

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
    /// Addresses it is held by beside the one in `names`.
    pub further: Vec<SmolStr>,
    pub receipt: Option<serde_json::Value>,
    /// When it is released by itself.
    pub until: Option<EventTime>,
    /// Calls that failed since it came to this state, and when the next one is due.
    pub attempts: u32,
    pub next_at: Option<EventTime>,
    pub failure: Option<String>,
    /// Who agreed so far.
    pub agreed: Vec<SmolStr>,
    /// How often it had to be applied again because it was gone, and because it was taken and never in force.
    pub repairs: u32,
    pub disbelieved: u32,
    /// When it was last sent for the first time: caps count it from there.
    pub began_at: Option<EventTime>,
    /// Since the gateway last took it.
    pub held_since: Option<EventTime>,
    /// When a call to apply it was last left without an answer: it may come through still.
    pub unanswered: Option<EventTime>,
    /// While releasing: it ends as failed.
    pub gave_up: bool,
    /// When the device was let go last, by this action or by the one of the same id before it.
    pub let_go_at: Option<EventTime>,
    pub is_talking: bool,
    /// While releasing: the gateway says that it is done, or that it will not.
    pub is_undone: bool,
    pub is_kept: bool,
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
            further: Vec::new(),
            receipt: None,
            until: None,
            attempts: 0,
            next_at: None,
            failure: None,
            agreed: Vec::new(),
            repairs: 0,
            disbelieved: 0,
            began_at: None,
            held_since: None,
            unanswered: None,
            gave_up: false,
            let_go_at: None,
            is_talking: false,
            is_undone: false,
            is_kept: false,
            seq,
            proposal,
        }
    }

    pub fn go(&mut self, moved: &Move, seq: u64, at: EventTime) {
        match (self.state, moved.to) {
            (State::Approved, State::Applying) => self.began_at = Some(at),
            (State::Verified, State::Applying) if moved.by == LOOP => self.repairs += 1,
            (State::Applied, State::Applying) if moved.by == LOOP => self.disbelieved += 1,
            _ => {}
        }
        (self.state, self.since, self.seq) = (moved.to, at, seq);
        self.reason.clone_from(&moved.reason);
        self.by.clone_from(&moved.by);
        if let Some(gateway) = &moved.gateway {
            self.gateway.clone_from(gateway);
        }
        if !moved.names.is_empty() {
            self.names.clone_from(&moved.names);
            self.further.clone_from(&moved.further);
        }
        if let Some(until) = moved.until {
            self.until = Some(until);
        }
        if moved.receipt.is_some() {
            self.receipt.clone_from(&moved.receipt);
        }
        (self.attempts, self.next_at, self.is_undone, self.is_kept) = (0, None, false, false);
        match moved.to {
            State::Approved => self.approved_at = Some(at),
            State::Applied => {
                self.applied_at = self.applied_at.or(Some(at));
                self.held_since = Some(at);
            }
            State::Verified => {
                self.verified_at = self.verified_at.or(Some(at));
                (self.failure, self.disbelieved) = (None, 0);
            }
            State::Releasing => self.gave_up = moved.gave_up,
            State::Released => {
                self.released_at = Some(at);
                if self.was_applied() {
                    self.let_go_at = Some(at);
                }
            }
            _ => {}
        }
    }

    pub fn note(&mut self, what: &Noted, at: EventTime) {
        match what {
            Noted::Attempt { failure, attempts, next_at, was_sent } => {
                self.failure = Some(failure.clone());
                (self.attempts, self.next_at) = (*attempts, Some(*next_at));
                if self.state == State::Applying && *was_sent {
                    self.unanswered = Some(at);
                }
                // Whether it was taken back after all is asked anew.
                self.is_undone = false;
            }
            Noted::Rerouted { gateway, names, further, reason } => {
                self.gateway.clone_from(gateway);
                self.names.clone_from(names);
                self.further.clone_from(further);
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
            Noted::Undone { .. } if self.state.is_final() => self.unanswered = None,
            // Tries are counted on: a gateway that says so and does not is asked less and less often.
            Noted::Undone { is_refused, .. } => {
                (self.is_undone, self.is_kept, self.next_at) = (true, *is_refused, None);
            }
            Noted::Late { receipt: None } => self.unanswered = Some(at),
            Noted::Late { receipt } => self.receipt.clone_from(receipt),
        }
    }

    pub fn id(&self) -> &str {
        &self.proposal.action_id
    }

    /// Another process writes from here on: what came of a call of the one before, nobody knows.
    pub fn inherit(&mut self, at: EventTime) {
        if matches!(self.state, State::Applying | State::Releasing) {
            self.unanswered = Some(at);
        }
    }

    /// Of the action of the same id before it: what caps and probation go by.
    pub fn succeed(&mut self, before: &Action) {
        (self.began_at, self.let_go_at) = (before.began_at, before.let_go_at);
    }

    /// Whether a gateway may hold something of it.
    pub fn may_hold(&self) -> bool {
        self.was_applied() || self.unanswered.is_some()
    }

    /// It ended, and a call to apply it may come through all the same: until then it is looked at.
    pub fn in_doubt_until(&self) -> Option<EventTime> {
        let has_ended = matches!(self.state, State::Released | State::Failed);
        self.unanswered.filter(|_| has_ended).map(|at| at.plus_micros(COMES_THROUGH))
    }

    /// Whether it was more than words: approved, or what would have been done in a dry run.
    pub fn was_meant(&self) -> bool {
        !matches!(self.state, State::Denied | State::Refused | State::Expired)
    }

    /// When people said no to it, or nobody yes, or the device was let go.
    pub fn settled_at(&self) -> Option<EventTime> {
        let is_no = matches!(self.state, State::Denied | State::Expired);
        self.let_go_at.max(is_no.then_some(self.since))
    }

    pub fn was_applied(&self) -> bool {
        self.applied_at.is_some()
    }

    /// A dry run goes no further than its proposal.
    pub fn is_dry(&self) -> bool {
        self.state == State::Proposed && self.proposal.mode == Mode::Observe
    }

    /// Whether nothing comes of it any more: it ended, it was a dry run, or it was words, which are said.
    pub fn is_over(&self) -> bool {
        self.state.is_final() || self.is_dry() || (self.state == State::Approved && !self.proposal.level.restricts())
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
            further: self.further.clone(),
            until: self.until,
            note: note.chars().filter(char::is_ascii).take(128).collect(),
            receipt: self.receipt.clone(),
        }
    }
}
