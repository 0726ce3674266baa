//! What comes through although it was let go. A process that is killed leaves calls behind of which nobody knows whether they
//! reach the gateway, and when; one that does so after the release would hold a device that nobody holds. So what ended
//! with such a call is read back for a while, and taken back once more where it stands.

use std::collections::BTreeMap;

use fleet::{EventTime, State};
use smol_str::SmolStr;

use super::Engine;
use super::done::{Answer, Said};
use super::due::{Call, Job};
use crate::book::{Action, LOOP};
use crate::gateways::{Found, Key};
use crate::journal::entry::{Body, Move, Note, Noted};

/// At once: what is in force comes first.
const LOOKS: usize = 8;

impl Engine {
    /// Calls that look at what ended, as many as may be made now.
    pub(super) fn looks(&self, now: EventTime) -> Vec<Job> {
        let under_way = self.calling.values().filter(|asked| asked.state.is_final()).count();
        let due = self.book.actions().filter(|action| self.is_look_due(now, action));
        due.take(LOOKS.saturating_sub(under_way)).map(|action| self.job(now, action, Call::ReadBack)).collect()
    }

    /// Every so often, and once after nothing can come through any more; where nobody has looked in this life at once, however
    /// long ago it was.
    fn is_look_due(&self, now: EventTime, action: &Action) -> bool {
        let Some(until) = action.in_doubt_until() else { return false };
        let id = action.id();
        if self.leaves_nothing(action) || self.calling.contains_key(id) || self.post(&action.gateway).is_none() {
            return false;
        }
        let is_old = |at: &EventTime| self.is_old(now, *at);
        let is_due = self.checked.get(id).is_none_or(|at| *at < until && is_old(at));
        is_due && self.vain.get(id).is_none_or(is_old) && !self.is_anothers(action)
    }

    /// A call that was not taken is another time's; a look that was not leaves its place to others.
    pub fn not_taken(&mut self, now: EventTime, action_id: &str) {
        self.free(action_id);
        if self.book.action(action_id).is_some_and(|action| action.state.is_final()) {
            self.vain.insert(action_id.to_owned(), now);
        }
    }

    /// Where another action of ours holds the device there, or whoever has its name or address now, or is about to, what is
    /// read may be that one's.
    fn is_anothers(&self, action: &Action) -> bool {
        let is_there = |other: &&Action| other.gateway == action.gateway && other.state.is_at_gateway();
        let mut others = self.book.open().filter(is_there);
        others
            .any(|other| other.id() != action.id() && self.is_same_there(other, action, &action.names, &action.further))
    }

    /// Whether a gateway could take what it holds of one action for another's: some know a name or an address alone, whosever
    /// it was. `names` and `further` are those of `action` there.
    pub(super) fn is_same_there(
        &self,
        other: &Action,
        action: &Action,
        names: &BTreeMap<Key, SmolStr>,
        further: &[SmolStr],
    ) -> bool {
        if other.proposal.device_id == action.proposal.device_id {
            return true;
        }
        let keys = self.ability(other).map(|ability| ability.keys.as_slice());
        let is_one = |one: &SmolStr, name: &SmolStr| one.eq_ignore_ascii_case(name);
        keys.unwrap_or(&Key::ALL).iter().any(|key| {
            let beside = |further: &[SmolStr]| if *key == Key::Ip { further.to_vec() } else { Vec::new() };
            let its: Vec<SmolStr> = names.get(key).cloned().into_iter().chain(beside(further)).collect();
            let mut the_others = other.names.get(key).cloned().into_iter().chain(beside(&other.further));
            the_others.any(|name| its.iter().any(|one| is_one(one, &name)))
        })
    }

    /// What such a look found.
    pub(super) fn looked(&mut self, now: EventTime, answer: &Answer) -> Vec<Body> {
        let id = &answer.action_id;
        let Said::Found(found) = &answer.said else {
            self.vain.insert(id.clone(), now);
            return Vec::new();
        };
        let Some(action) = self.book.action(id) else { return Vec::new() };
        if self.is_anothers(action) {
            // It came there while this was looked at, which says nothing then.
            self.vain.insert(id.clone(), now);
            return Vec::new();
        }
        let is_last = action.in_doubt_until().is_some_and(|until| now >= until);
        self.checked.insert(id.clone(), now);
        self.vain.remove(id);
        // For one of its addresses is enough.
        if !matches!(found, Found::InForce | Found::Partly) {
            let reason = match found {
                Found::Unknown => "the gateway cannot say whether anything of it came through; nothing can any more",
                _ => "nothing of it came through, and nothing can any more",
            };
            let what = Noted::Undone { reason: reason.to_owned(), is_refused: false };
            return is_last.then(|| Body::Noted(Note { action_id: id.clone(), what })).into_iter().collect();
        }
        let reason = "a call to apply it came through after it was let go";
        let mut moved = Move::new(id, State::Releasing, LOOP, reason);
        moved.gave_up = action.state == State::Failed;
        vec![Body::Moved(Box::new(moved))]
    }
}
