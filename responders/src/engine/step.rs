//! Steps of a playbook that stops where one of them fails: those that follow wait until that one holds.

use fleet::{Level, State};

use super::Engine;
use crate::book::Action;

impl Engine {
    /// Whether the step before it is done. Nothing waits for more than a gateway's word: that a device went quiet takes
    /// minutes.
    ///
    /// # Errors
    /// It came to nothing, so this is not done either.
    pub(super) fn may_follow(&self, action: &Action) -> Result<bool, String> {
        action
            .proposal
            .after
            .as_deref()
            .map_or(Ok(true), |before| self.is_done(before, action.proposal.level.restricts()))
    }

    /// `restricts`: words about what would be done are said in a dry run too.
    pub(super) fn is_done(&self, before: &str, restricts: bool) -> Result<bool, String> {
        let Some(before) = self.book.action(before) else {
            return Err("the step before it is not known any more".to_owned());
        };
        let level = before.proposal.level;
        if before.is_dry() {
            let stops = || format!("the step before it, {level}, would only be done: its playbook stops there");
            return if restricts { Err(stops()) } else { Ok(true) };
        }
        let is_all_it_can_say = before.state == State::Applied && self.unreadable.contains_key(before.id());
        if before.verified_at.is_some() || is_all_it_can_say {
            return Ok(true);
        }
        if before.state.is_final() {
            return Err(stops_at(level, before.state));
        }
        Ok(false)
    }
}

pub(super) fn stops_at(level: Level, state: State) -> String {
    format!("the step before it, {level}, is {state}: its playbook stops there")
}
