//! What comes through although it was let go. A process that is killed leaves calls behind of which nobody knows whether they
//! reach the gateway, and when; one that does so after the release would hold a device that nobody holds. So what ended
//! with such a call is read back for a while, and taken back once more where it stands.

use fleet::{EventTime, State};

use super::done::{Answer, Said};
use super::due::{Call, Job};
use super::{Engine, seconds};
use crate::book::{Action, LOOP};
use crate::gateways::Found;
use crate::journal::entry::{Body, Move};

/// At once: what is in force comes first.
const LOOKS: usize = 8;

impl Engine {
    /// Calls that look at what ended, as many as may be made now.
    pub(super) fn looks(&self, now: EventTime) -> Vec<Job> {
        let under_way = self.calling.values().filter(|asked| asked.state.is_final()).count();
        let due = self.book.actions().filter(|action| self.is_look_due(now, action));
        let job = |action: &Action| Job {
            gateway: action.gateway.clone(),
            call: Call::ReadBack,
            mode: self.mode_of(action),
            order: action.order(),
        };
        due.take(LOOKS.saturating_sub(under_way)).map(job).collect()
    }

    /// Every so often, and once after nothing can come through any more; where nobody has looked in this life at once, however
    /// long ago it was.
    fn is_look_due(&self, now: EventTime, action: &Action) -> bool {
        let Some(until) = action.in_doubt_until() else { return false };
        let id = action.id();
        let is_silent = self.unreadable.contains(id) || self.leaves_nothing(action);
        if is_silent || self.calling.contains_key(id) || self.post(&action.gateway).is_none() {
            return false;
        }
        let is_old = |at: &EventTime| now.minus(*at) >= seconds(self.config.recheck_seconds);
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

    /// Where another action of ours holds the device there, or is about to, what is read may be that one's.
    fn is_anothers(&self, action: &Action) -> bool {
        let is_there = |other: &Action| other.gateway == action.gateway && other.state.is_at_gateway();
        self.book.of_device(&action.proposal.device_id).any(|other| other.id() != action.id() && is_there(other))
    }

    /// What such a look found.
    pub(super) fn looked(&mut self, now: EventTime, answer: &Answer) -> Vec<Body> {
        let id = &answer.action_id;
        let Said::Found(found) = &answer.said else {
            self.vain.insert(id.clone(), now);
            return Vec::new();
        };
        self.checked.insert(id.clone(), now);
        self.vain.remove(id);
        if *found == Found::Unknown {
            self.unreadable.insert(id.clone());
        }
        let Some(action) = self.book.action(id) else { return Vec::new() };
        if *found != Found::InForce || self.is_anothers(action) {
            return Vec::new();
        }
        let reason = "a call to apply it came through after it was let go";
        let mut moved = Move::new(id, State::Releasing, LOOP, reason);
        moved.gave_up = action.state == State::Failed;
        vec![Body::Moved(Box::new(moved))]
    }
}
