//! What came of a call.

use fleet::{EventTime, State};
use smol_str::SmolStr;

use super::due::{Call, pause};
use super::{Directory, Engine};
use crate::book::Action;
use crate::gateways::{Applied, Failure, FailureKind, Found, Undone};
use crate::journal::entry::{Body, Move, Note, Noted};

#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    pub action_id: String,
    pub call: Call,
    pub said: Said,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Said {
    Applied(Applied),
    Found(Found),
    Undone(Undone),
    Failed(Failure),
}

/// A gateway that says that it is done, and it is not, is asked so often.
const BELIEVED: u32 = 5;

impl Engine {
    pub fn done(&mut self, now: EventTime, answer: Answer, directory: &dyn Directory) -> Vec<Body> {
        self.calling.remove(&answer.action_id);
        let Some(action) = self.book.action(&answer.action_id) else { return Vec::new() };
        let fits = matches!(
            (answer.call, action.state),
            (Call::Apply, State::Applying)
                | (Call::ReadBack, State::Applied | State::Verified | State::Releasing)
                | (Call::Undo, State::Releasing)
        );
        // It went on meanwhile, for somebody released it: what the call did is found when it is undone.
        if !fits {
            return Vec::new();
        }
        match answer.said {
            Said::Applied(applied) => {
                let reason = if applied.already { "the gateway held it already" } else { "the gateway took it" };
                let mut moved = Move::new(action.id(), State::Applied, "loop", reason);
                moved.receipt = applied.receipt;
                vec![Body::Moved(Box::new(moved))]
            }
            Said::Found(found) => {
                self.checked.insert(answer.action_id.clone(), now);
                let Some(action) = self.book.action(&answer.action_id) else { return Vec::new() };
                self.found(now, action, found)
            }
            Said::Undone(undone) => {
                let reason = match undone {
                    Undone::Done => "the gateway took it back".to_owned(),
                    Undone::Already => "it was gone already".to_owned(),
                    Undone::Foreign { by } => {
                        return vec![moved(
                            action,
                            State::Released,
                            format!("{by} restricts it now, which is not ours to take back"),
                        )];
                    }
                };
                vec![noted(action, Noted::Undone { reason })]
            }
            Said::Failed(failure) => self.failed(now, action, &failure, directory),
        }
    }

    fn found(&self, now: EventTime, action: &Action, found: Found) -> Vec<Body> {
        match (action.state, found) {
            (State::Applied, Found::InForce) => {
                vec![moved(action, State::Verified, "read back from the gateway".to_owned())]
            }
            (State::Verified, Found::InForce) => Vec::new(),
            (State::Applied, Found::Absent) if action.attempts >= BELIEVED => {
                let reason = "the gateway says that it is done, and does not hold it".to_owned();
                vec![moved(action, State::Failed, reason)]
            }
            (State::Applied, Found::Absent) => {
                // Some need a moment; then it is applied again.
                let attempts = action.attempts + 1;
                if attempts.is_multiple_of(2) {
                    return vec![moved(
                        action,
                        State::Applying,
                        "it was taken, and is not in force: once more".to_owned(),
                    )];
                }
                let failure = Failure::unreachable("it was taken, and is not in force");
                vec![self.attempt(now, action, &failure)]
            }
            (State::Verified, Found::Absent) if action.repairs >= self.config.repairs => {
                let reason = format!("somebody undid it {} times: left to people", action.repairs + 1);
                vec![moved(action, State::Releasing, reason)]
            }
            (State::Verified, Found::Absent) => {
                vec![moved(action, State::Applying, "somebody else undid it: repaired".to_owned())]
            }
            (State::Applied | State::Verified, Found::Foreign { by }) => {
                vec![moved(action, State::Releasing, format!("{by} restricts it; ours is given up"))]
            }
            (State::Releasing, Found::InForce) => {
                let failure = Failure::unreachable("the gateway says that it was taken back, and still holds it");
                vec![self.attempt(now, action, &failure)]
            }
            (State::Releasing, Found::Absent) => vec![moved(action, State::Released, action.reason.clone())],
            (State::Releasing, Found::Foreign { by }) => {
                vec![moved(action, State::Released, format!("{}; {by} still restricts it", action.reason))]
            }
            _ => Vec::new(),
        }
    }

    fn failed(&self, now: EventTime, action: &Action, failure: &Failure, directory: &dyn Directory) -> Vec<Body> {
        if failure.retry() || failure.kind == FailureKind::Unauthorised || action.state != State::Applying {
            return vec![self.attempt(now, action, failure)];
        }
        let mut rest = action.proposal.gateways.iter().skip_while(|name| **name != action.gateway).skip(1);
        let next = rest.find_map(|name| self.identity(action, name, directory).ok().map(|names| (name, names)));
        match next {
            Some((gateway, names)) => {
                let reason = format!("`{}`: {failure}", action.gateway);
                vec![noted(action, Noted::Rerouted { gateway: gateway.clone(), names, reason })]
            }
            None => vec![moved(action, State::Failed, failure.to_string())],
        }
    }

    fn attempt(&self, now: EventTime, action: &Action, failure: &Failure) -> Body {
        let attempts = action.attempts + 1;
        let next_at = now.plus_micros(pause(action.id(), attempts, failure.kind, failure.retry_after));
        noted(action, Noted::Attempt { failure: failure.to_string(), attempts, next_at })
    }
}

fn moved(action: &Action, to: State, reason: String) -> Body {
    Body::Moved(Box::new(Move::new(action.id(), to, "loop", reason)))
}

fn noted(action: &Action, what: Noted) -> Body {
    Body::Noted(Note { action_id: SmolStr::from(action.id()).into(), what })
}
