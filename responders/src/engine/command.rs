//! What people ask for: obeyed or refused, and written down either way.

use fleet::{EventTime, Mode, State};

use super::Engine;
use crate::book::Action;
use crate::journal::entry::{Body, Command, Commanded, Move, Note, Noted, Request};
use crate::journal::verdict::CLEAR;

impl Engine {
    /// Nothing, if it came before. `offset`: where it stood in the log of commands.
    pub fn command(&self, now: EventTime, request: &Request, offset: Option<u64>) -> Vec<Body> {
        let was_taken = offset.is_some_and(|offset| offset < self.book.commands_through());
        if was_taken || self.book.outcome(&request.command_id).is_some() {
            return Vec::new();
        }
        let judged = if now.plus_micros(-self.ahead) > request.deadline {
            Err(format!("it came after its deadline, {}", request.deadline))
        } else {
            self.obey(now, request)
        };
        let (refused, follows) = match judged {
            Ok(follows) => (None, follows),
            Err(refused) => (Some(refused), Vec::new()),
        };
        let commanded = Commanded {
            command_id: request.command_id.clone(),
            by: request.by.clone(),
            command: request.command.clone(),
            note: request.note.clone(),
            refused,
            offset,
        };
        // Last: where a torn write keeps only the beginning, the command is not known and comes again.
        let mut bodies = follows;
        bodies.push(Body::Commanded(Box::new(commanded)));
        bodies
    }

    fn obey(&self, now: EventTime, request: &Request) -> Result<Vec<Body>, String> {
        let by = request.by.as_str();
        match &request.command {
            Command::Approve { action_id } => self.approve(now, self.known(action_id)?, request),
            Command::Deny { action_id, reason } => {
                let action = self.known(action_id)?;
                if !action.state.may_become(State::Denied) || action.is_dry() {
                    return Err(format!("the action is {}, there is nothing to deny", action.state));
                }
                Ok(vec![moved(action, State::Denied, by, reason)])
            }
            Command::Release { action_id, reason } => {
                let action = self.known(action_id)?;
                match action.state {
                    State::Applying | State::Applied | State::Verified => {}
                    // It may stand there all the same: somebody wants to be sure.
                    State::Failed if !action.names.is_empty() => {}
                    State::Proposed | State::Approved if !action.is_over() => {
                        return Ok(vec![moved(action, State::Denied, by, reason)]);
                    }
                    State::Releasing | State::Released => return Ok(Vec::new()),
                    state => return Err(format!("the action is {state}, there is nothing to release")),
                }
                Ok(vec![moved(action, State::Releasing, by, reason)])
            }
            Command::Extend { action_id, until } => {
                let action = self.known(action_id)?;
                if !matches!(action.state, State::Applying | State::Applied | State::Verified) {
                    return Err(format!("the action is {}, there is nothing to extend", action.state));
                }
                if *until <= now {
                    return Err(format!("`{until}` is past; release it, or name a later time"));
                }
                self.extend(action, *until, by)
            }
            Command::Mode { .. } | Command::Stop { .. } => Ok(Vec::new()),
            Command::Verdict(verdict) => {
                // What was no attack holds nobody.
                let is_clear = CLEAR.contains(&verdict.verdict.as_str());
                let by_the_clock = now.plus_micros(-self.ahead);
                if let Some(objection) = verdict.reach.as_ref().and_then(|reach| reach.objection(by_the_clock))
                    && is_clear
                {
                    return Err(objection);
                }
                let is_of_it = |action: &&Action| {
                    let of_finding = verdict.finding_id.is_empty() || action.proposal.finding_id == verdict.finding_id;
                    action.proposal.incident_id == verdict.incident_id && of_finding
                };
                let reason = format!("the verdict is {}", verdict.verdict);
                let end = |action: &Action| match action.state {
                    State::Proposed | State::Approved => Some(moved(action, State::Denied, by, &reason)),
                    State::Applying | State::Applied | State::Verified => {
                        Some(moved(action, State::Releasing, by, &reason))
                    }
                    _ => None,
                };
                Ok(self.book.open().filter(|_| is_clear).filter(is_of_it).filter_map(end).collect())
            }
        }
    }

    fn known(&self, action_id: &str) -> Result<&Action, String> {
        self.book
            .action(action_id)
            .ok_or_else(|| format!("no action `{action_id}` is known; `vedette actions list` has them"))
    }

    fn approve(&self, now: EventTime, action: &Action, request: &Request) -> Result<Vec<Body>, String> {
        let proposal = &action.proposal;
        let was_heard = action.agreed.contains(&request.by) && !action.is_over();
        if was_heard && action.state != State::Proposed {
            return Ok(Vec::new());
        }
        if action.state != State::Proposed {
            return Err(format!("the action is {}, nobody waits for an answer", action.state));
        }
        if proposal.mode == Mode::Observe {
            return Err("it was proposed in mode observe, which nothing comes of; a finding after the mode was changed may be approved".to_owned());
        }
        // The clock of who asked may be wrong, and the way here may have been long: the later of the two counts.
        if let Some(answer_by) = proposal.answer_by.filter(|by| now.max(request.issued_at) > *by) {
            return Err(format!("the answer had to come by {answer_by}"));
        }
        let (mut bodies, mut agreed) = (Vec::new(), action.agreed.len());
        if !action.agreed.contains(&request.by) {
            let what = Noted::Agreed { by: request.by.clone() };
            bodies.push(Body::Noted(Note { action_id: proposal.action_id.clone(), what }));
            agreed += 1;
        } else if agreed < usize::from(proposal.approvals) {
            return Err(format!("`{}` has approved it already; it takes {} people", request.by, proposal.approvals));
        }
        if agreed >= usize::from(proposal.approvals) {
            bodies.push(moved(action, State::Approved, &request.by, "approved"));
        }
        Ok(bodies)
    }

    /// Gateways that end it by themselves have to be told.
    fn extend(&self, action: &Action, until: EventTime, by: &str) -> Result<Vec<Body>, String> {
        let is_told = self.ability(action).is_some_and(|ability| ability.ends_by_itself);
        if is_told && (self.is_stopped || self.mode_of(action) == Mode::Observe) {
            return Err(
                "the gateway ends it by itself and cannot be told now: responding is stopped, or its mode is observe"
                    .to_owned(),
            );
        }
        let extended = Noted::Extended { until, by: by.into() };
        let mut bodies = vec![Body::Noted(Note { action_id: action.id().to_owned(), what: extended })];
        if is_told && action.state != State::Applying {
            bodies.push(moved(action, State::Applying, by, "extended: the gateway is told"));
        }
        Ok(bodies)
    }
}

fn moved(action: &Action, to: State, by: &str, reason: &str) -> Body {
    Body::Moved(Box::new(Move::new(action.id(), to, by, reason)))
}
