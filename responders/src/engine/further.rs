//! A device that kept talking although it was restricted: what its playbook says is to be done then.
//!
//! It follows from the book alone, so it is done as well where the process ended in between; and it passes the same
//! guard-rails as what a finding leads to.

use fleet::{EventTime, Mode, State};

use super::find::action_id;
use super::{Directory, Engine, seconds};
use crate::book::Action;
use crate::journal::entry::{Body, Move, Proposal};
use crate::playbook::lasts;

/// For people to answer where nobody was to be asked at first.
const ANSWER_SECONDS: u32 = 3_600;

impl Engine {
    pub(super) fn go_further(&self, now: EventTime, action: &Action, directory: &dyn Directory) -> Vec<Body> {
        let before = &action.proposal;
        let stands = matches!(action.state, State::Applied | State::Verified);
        let Some(level) = before.if_still_talking.filter(|level| *level != before.level) else { return Vec::new() };
        let id = action_id(&before.device_id, &before.incident_id, level);
        if !stands || !action.is_talking || self.book.action(&id).is_some() {
            return Vec::new();
        }
        if level.restricts() && self.book.will_hold(&before.device_id, level) {
            return Vec::new();
        }
        let device = directory.device(&before.device_id);
        let gateways = self.gateways(level, None, &before.device_id, device.as_deref(), directory);
        let mode = self.mode_to_propose(level, &before.playbook, before.mode, &before.ask_for, gateways.first());
        let had = before.answer_by.map(|by| by.minus(action.proposed_at)).filter(|had| *had > 0);
        let proposal = Proposal {
            action_id: id.clone(),
            level,
            gateways,
            mode,
            answer_by: (mode == Mode::Approve).then(|| now.plus_micros(had.unwrap_or(seconds(ANSWER_SECONDS)))),
            approvals: self.approvals(level, before.approvals),
            why: format!("it kept talking after {} through `{}`", before.level, action.gateway),
            found_at: now.plus_micros(-self.ahead),
            ttl_seconds: before.talking_ttl_seconds.or(before.ttl_seconds).filter(|_| lasts(level)),
            if_still_talking: None,
            talking_ttl_seconds: None,
            after: None,
            ..before.clone()
        };
        let objection =
            if level.restricts() { self.device_objection(now, &proposal, device.as_deref(), directory) } else { None };
        let decided = match (objection, mode) {
            (Some(objection), _) => Some((State::Refused, objection)),
            (None, Mode::Auto) if !level.restricts() => Some((State::Approved, "nobody is restricted".to_owned())),
            (None, Mode::Auto) => Some((State::Approved, "mode auto".to_owned())),
            (None, Mode::Approve | Mode::Observe) => None,
        };
        let decided = decided.map(|(to, reason)| Body::Moved(Box::new(Move::new(&id, to, "policy", reason))));
        std::iter::once(Body::Proposed(Box::new(proposal))).chain(decided).collect()
    }
}
