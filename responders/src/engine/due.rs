//! What time brings: deadlines that pass, releases that are due, calls to make.

use fleet::{EventTime, Mode, State};

use super::{Directory, Engine, seconds};
use crate::book::Action;
use crate::gateways::{FailureKind, Order};
use crate::journal::entry::{Body, Move};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    Apply,
    ReadBack,
    Undo,
}

/// A call to a gateway, to be made once what led to it is written down.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    pub gateway: smol_str::SmolStr,
    pub call: Call,
    /// What holds for the action now: nothing is applied in a dry run.
    pub mode: Mode,
    pub order: Order,
}

/// After so long without being able to read back, or to undo, a try follows only so often, seconds.
const SLOWEST: u32 = 300;

impl Engine {
    /// Transitions that are due; they are written down before any of [`Engine::jobs`] is sent.
    pub fn due(&mut self, now: EventTime, directory: &dyn Directory) -> Vec<Body> {
        self.book.forget(now);
        let open: Vec<String> = self.book.open().map(|action| action.id().to_owned()).collect();
        let mut bodies = Vec::new();
        for id in open {
            if let Some(action) = self.book.action(&id) {
                bodies.extend(self.next_move(now, action, directory).map(|moved| Body::Moved(Box::new(moved))));
            }
        }
        bodies
    }

    fn next_move(&self, now: EventTime, action: &Action, directory: &dyn Directory) -> Option<Move> {
        let to = |state, by: &str, reason: String| Some(Move::new(action.id(), state, by, reason));
        match action.state {
            State::Proposed => {
                let answer_by = action.proposal.answer_by?;
                (now > answer_by).then(|| Move::new(action.id(), State::Expired, "policy", "nobody answered in time"))
            }
            State::Approved if !action.proposal.level.restricts() => None,
            State::Approved => self.begin(now, action, directory),
            State::Applying | State::Applied | State::Verified => {
                if let Some(reason) = self.has_to_end(now, action, directory) {
                    return to(State::Releasing, "policy", reason);
                }
                let is_stuck =
                    action.state == State::Applying && now.minus(action.since) > seconds(self.config.give_up_seconds);
                if is_stuck {
                    let failure = action.failure.as_deref().unwrap_or("the gateway did not answer");
                    return to(State::Failed, "loop", format!("given up: {failure}"));
                }
                None
            }
            // What is not known to be gone is tried for ever: nobody stays cut off because a gateway was away.
            _ => None,
        }
    }

    fn begin(&self, now: EventTime, action: &Action, directory: &dyn Directory) -> Option<Move> {
        if now.minus(action.since) > seconds(self.config.give_up_seconds) {
            return Some(Move::new(action.id(), State::Expired, "policy", "it could not begin in time"));
        }
        if self.is_stopped || self.mode_of(action) == Mode::Observe {
            return None;
        }
        let mut objections = Vec::new();
        for gateway in &action.proposal.gateways {
            match self.identity(action, gateway, directory) {
                Ok(names) => {
                    let mut moved = Move::new(action.id(), State::Applying, "loop", format!("through `{gateway}`"));
                    moved.gateway = Some(gateway.clone());
                    moved.names = names;
                    moved.until =
                        action.until.or_else(|| action.proposal.ttl_seconds.map(|ttl| now.plus_micros(seconds(ttl))));
                    return Some(moved);
                }
                Err(objection) => objections.push(objection),
            }
        }
        objections.dedup();
        Some(Move::new(action.id(), State::Refused, "policy", objections.join("; ")))
    }

    fn has_to_end(&self, now: EventTime, action: &Action, directory: &dyn Directory) -> Option<String> {
        if action.until.is_some_and(|until| now >= until) {
            return Some("its time is over".to_owned());
        }
        let device = directory.device(&action.proposal.device_id)?;
        self.never(&device)
    }

    /// Calls to make now. What is sent is not sent again before it is answered.
    pub fn jobs(&mut self, now: EventTime) -> Vec<Job> {
        let mut jobs = Vec::new();
        let mut sent = Vec::new();
        for action in self.book.open() {
            if self.calling.contains(action.id()) || action.next_at.is_some_and(|at| now < at) {
                continue;
            }
            let call = match action.state {
                State::Applying if !self.is_stopped => Call::Apply,
                State::Applied => Call::ReadBack,
                State::Verified if self.is_recheck_due(now, action) => Call::ReadBack,
                State::Releasing if action.is_undone => Call::ReadBack,
                State::Releasing => Call::Undo,
                _ => continue,
            };
            sent.push(action.id().to_owned());
            let (gateway, mode) = (action.gateway.clone(), self.mode_of(action));
            jobs.push(Job { gateway, call, mode, order: action.order() });
        }
        self.calling.extend(sent);
        jobs
    }

    fn is_recheck_due(&self, now: EventTime, action: &Action) -> bool {
        let checked = self.checked.get(action.id()).copied();
        checked.is_none_or(|at| now.minus(at) >= seconds(self.config.recheck_seconds))
    }

    /// It could not be sent: it is due again at once.
    pub fn unsent(&mut self, action_id: &str) {
        self.calling.remove(action_id);
    }

    /// When something is due next, without anything coming in; `None`: nothing.
    pub fn next(&self, now: EventTime) -> Option<EventTime> {
        let of = |action: &Action| {
            let recheck = (action.state == State::Verified).then(|| {
                let checked = self.checked.get(action.id()).copied().unwrap_or(now);
                checked.plus_micros(seconds(self.config.recheck_seconds))
            });
            let next = [action.next_at, action.until, action.proposal.answer_by, recheck];
            next.into_iter().flatten().filter(|at| *at > now).min()
        };
        self.book.open().filter_map(of).min()
    }
}

/// How long to wait before the try after this many: doubled each time up to five minutes, and spread by the action's id so
/// that a storm does not come back as one. A gateway that asked for a time gets it.
pub(super) fn pause(action_id: &str, attempts: u32, kind: FailureKind, asked: Option<std::time::Duration>) -> i64 {
    let doubled = 1u32.checked_shl(attempts.saturating_sub(1)).unwrap_or(u32::MAX).min(SLOWEST);
    // Who is not let in will not be for having tried twice.
    let base = if kind == FailureKind::Unauthorised { doubled.max(60) } else { doubled };
    let spread = fleet::id::stable_hash(&["pause", action_id, &attempts.to_string()]) % 1_000;
    let micros = seconds(base) / 2 + seconds(base) / 1_000 * i64::try_from(spread).unwrap_or(0) / 2;
    let asked = asked.map_or(0, |asked| i64::try_from(asked.as_micros()).unwrap_or(i64::MAX));
    micros.max(asked)
}
