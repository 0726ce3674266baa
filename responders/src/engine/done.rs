//! What came of a call.

use fleet::{EventTime, State};
use smol_str::SmolStr;

use super::due::{Call, pause};
use super::guard::Counts;
use super::{Asked, Directory, Engine};
use crate::book::{Action, LOOP};
use crate::gateways::{Applied, Failure, FailureKind, Found, Undone, addresses};
use crate::journal::entry::{Body, Move, Note, Noted};

#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    pub action_id: String,
    pub call: Call,
    pub said: Said,
    /// Nothing was sent otherwise: the gateway knows nothing of it.
    pub was_sent: bool,
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
    /// The same when it is asked again, until [`Engine::free`] says that it is written down.
    pub fn done(&mut self, now: EventTime, answer: Answer, directory: &dyn Directory) -> Vec<Body> {
        let Some(asked) = self.calling.get(&answer.action_id).copied() else { return Vec::new() };
        let Some(action) = self.book.action(&answer.action_id) else { return Vec::new() };
        // It went on meanwhile, for somebody released it: what the call did is found when it is undone.
        if asked.state != action.state {
            return match answer.said {
                Said::Applied(Applied { receipt: Some(receipt), .. }) if action.state == State::Releasing => {
                    // For an address that failed it may come through still.
                    let failed = addresses::left_over(Some(&receipt)).map(|_| Noted::Late { receipt: None });
                    let given = Noted::Late { receipt: Some(receipt) };
                    std::iter::once(given).chain(failed).map(|what| noted(action, what)).collect()
                }
                Said::Failed(failure)
                    if answer.call == Call::Apply && answer.was_sent && failure.kind != FailureKind::Refused =>
                {
                    vec![noted(action, Noted::Late { receipt: None })]
                }
                _ => Vec::new(),
            };
        }
        if action.state.is_final() {
            return self.looked(now, &answer);
        }
        match answer.said {
            Said::Applied(applied) => self.applied(now, action, applied, asked),
            Said::Found(found) => {
                self.checked.insert(answer.action_id.clone(), now);
                if found == Found::Unknown {
                    self.unreadable.insert(answer.action_id.clone(), now);
                } else {
                    self.unreadable.remove(&answer.action_id);
                }
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
                            ended(action),
                            format!("{by} restricts it now, which is not ours to take back"),
                        )];
                    }
                };
                vec![noted(action, Noted::Undone { reason, is_refused: false })]
            }
            Said::Failed(failure) => self.failed(now, action, &failure, answer.was_sent, directory),
        }
    }

    fn applied(&self, now: EventTime, action: &Action, applied: Applied, asked: Asked) -> Vec<Body> {
        if let Some(failure) = addresses::left_over(applied.receipt.as_ref()) {
            // What was given for the others is kept, whatever comes of the next try.
            let kept = noted(action, Noted::Late { receipt: applied.receipt });
            return vec![kept, self.attempt(now, action, &failure, true)];
        }
        let mut reason = if applied.already { "the gateway held it already" } else { "the gateway took it" }.to_owned();
        if let Some(left) = addresses::left_out(applied.receipt.as_ref()) {
            reason.push_str(&format!(", but not for {left}"));
        }
        let mut took = Move::new(action.id(), State::Applied, LOOP, reason);
        took.receipt = applied.receipt;
        let mut bodies = vec![Body::Moved(Box::new(took))];
        let is_told = self.ability(action).is_some_and(|ability| ability.ends_by_itself);
        if asked.until != action.until && is_told && self.may_act(action, &action.gateway).is_ok() {
            let again = Move::new(action.id(), State::Applying, "policy", "extended meanwhile: the gateway is told");
            bodies.push(Body::Moved(Box::new(again)));
        }
        bodies
    }

    fn found(&self, now: EventTime, action: &Action, found: Found) -> Vec<Body> {
        // One way out is enough to get out, and one that is closed still holds.
        let found = match (found, action.state) {
            (Found::Partly, State::Releasing) => Found::InForce,
            (Found::Partly, _) => Found::Absent,
            (found, _) => found,
        };
        match (action.state, found) {
            (State::Applied, Found::InForce) => {
                vec![moved(action, State::Verified, "read back from the gateway".to_owned())]
            }
            (State::Verified, Found::InForce) => Vec::new(),
            (State::Applied, Found::Absent) if action.attempts == 0 => {
                // Some need a moment; then it is applied again.
                vec![self.attempt(now, action, &Failure::unreachable("it was taken, and is not in force"), true)]
            }
            (State::Applied, Found::Absent) if action.disbelieved + 1 >= BELIEVED => {
                let reason = "the gateway says that it is done, and does not hold it".to_owned();
                vec![Body::Moved(Box::new(self.end(action, State::Failed, LOOP, reason)))]
            }
            (State::Applied, Found::Absent) => {
                vec![self.again(action, "it was taken, and is not in force: once more")]
            }
            (State::Verified, Found::Absent) if action.repairs >= self.config.repairs => {
                let reason = format!("somebody undid it {} times: left to people", action.repairs + 1);
                vec![moved(action, State::Releasing, reason)]
            }
            (State::Verified, Found::Absent) => vec![self.again(action, "somebody else undid it: repaired")],
            (State::Applied | State::Verified, Found::Foreign { by }) => {
                vec![moved(action, State::Releasing, format!("{by} restricts it; ours is given up"))]
            }
            // Nobody stays cut off because a gateway would not, and cannot say so.
            (State::Releasing, Found::Unknown) if action.is_kept && self.may_last(now, action) => {
                let failure = Failure::refused("the gateway does not take it back, and cannot say what it holds");
                vec![self.attempt(now, action, &failure, true)]
            }
            // Only telemetry tells.
            (State::Releasing, Found::Unknown) => {
                vec![moved(action, ended(action), format!("{}; the gateway cannot say what it holds", action.reason))]
            }
            (State::Releasing, Found::InForce) => {
                let failure = Failure::unreachable("the gateway says that it was taken back, and still holds it");
                vec![self.attempt(now, action, &failure, true)]
            }
            (State::Releasing, Found::Absent) => vec![moved(action, ended(action), action.reason.clone())],
            (State::Releasing, Found::Foreign { by }) => {
                vec![moved(action, ended(action), format!("{}; {by} still restricts it", action.reason))]
            }
            _ => Vec::new(),
        }
    }

    /// Whether what was taken may still stand: it has no end of its own, or not come to it.
    fn may_last(&self, now: EventTime, action: &Action) -> bool {
        let ends_by_itself = self.ability(action).is_some_and(|ability| ability.ends_by_itself);
        action.was_applied() && !(ends_by_itself && action.until.is_some_and(|until| now >= until))
    }

    fn failed(
        &self,
        now: EventTime,
        action: &Action,
        failure: &Failure,
        was_sent: bool,
        directory: &dyn Directory,
    ) -> Vec<Body> {
        // Whom it does not know any more it cannot let go: whether it holds anything is read.
        if action.state == State::Releasing && !action.is_undone && failure.kind == FailureKind::Refused {
            let reason = format!("it does not take it back: {failure}");
            return vec![noted(action, Noted::Undone { reason, is_refused: true })];
        }
        if failure.retry() || failure.kind == FailureKind::Unauthorised || action.state != State::Applying {
            return vec![self.attempt(now, action, failure, was_sent)];
        }
        // What may stand there is not left behind for another gateway.
        if action.may_hold() {
            return vec![Body::Moved(Box::new(self.end(action, State::Failed, LOOP, failure.to_string())))];
        }
        let mut rest = action.proposal.gateways.iter().skip_while(|name| **name != action.gateway).skip(1);
        let next = rest.find_map(|name| {
            let known = self.may_act(action, name).and_then(|()| self.identity(action, name, directory));
            known
                .ok()
                .filter(|_| self.cap(now, &action.proposal, Some(name), Counts::Begun(&[]), directory).is_none())
                .map(|known| (name, known))
        });
        match next {
            Some((gateway, (names, further))) => {
                let reason = format!("`{}`: {failure}", action.gateway);
                vec![noted(action, Noted::Rerouted { gateway: gateway.clone(), names, further, reason })]
            }
            None => vec![moved(action, State::Failed, failure.to_string())],
        }
    }

    /// Applied once more, where the mode still lets it.
    fn again(&self, action: &Action, reason: &str) -> Body {
        match self.may_act(action, &action.gateway) {
            Ok(()) => moved(action, State::Applying, reason.to_owned()),
            Err(objection) => Body::Moved(Box::new(self.end(action, State::Refused, LOOP, objection))),
        }
    }

    fn attempt(&self, now: EventTime, action: &Action, failure: &Failure, was_sent: bool) -> Body {
        let attempts = action.attempts + 1;
        let next_at =
            now.plus_micros(pause(action.id(), attempts + action.disbelieved, failure.kind, failure.retry_after));
        noted(action, Noted::Attempt { failure: failure.to_string(), attempts, next_at, was_sent })
    }
}

fn moved(action: &Action, to: State, reason: String) -> Body {
    Body::Moved(Box::new(Move::new(action.id(), to, LOOP, reason)))
}

/// How it ends once nothing of it is left.
pub(super) fn ended(action: &Action) -> State {
    if action.gave_up { State::Failed } else { State::Released }
}

fn noted(action: &Action, what: Noted) -> Body {
    Body::Noted(Note { action_id: SmolStr::from(action.id()).into(), what })
}
