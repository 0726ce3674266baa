//! What time brings: deadlines that pass, releases that are due, calls to make.

use std::time::Duration;

use fleet::{EventTime, Mode, State};
use smol_str::SmolStr;

use super::done::ended;
use super::guard::{Begun, Counts};
use super::{Asked, Directory, Engine, seconds};
use crate::book::{Action, LOOP};
use crate::gateways::{FailureKind, Key, Order, addresses};
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
    pub gateway: SmolStr,
    pub call: Call,
    /// What holds for the action now: nothing is applied in a dry run.
    pub mode: Mode,
    pub order: Order,
}

/// After so long without being able to read back, or to undo, a try follows only so often, seconds.
const SLOWEST: u32 = 300;
/// Nor is it left alone for longer because it asked for that, seconds.
const LONGEST_ASKED: u32 = 3_600;

impl Engine {
    /// Transitions that are due; they are written down before any of [`Engine::jobs`] is sent.
    pub fn due(&mut self, now: EventTime, directory: &dyn Directory) -> Vec<Body> {
        self.book.forget(now);
        let book = &self.book;
        let is_open = |id: &String| book.action(id).is_some_and(|action| !action.is_over());
        let is_watched =
            |id: &String| is_open(id) || book.action(id).is_some_and(|action| action.in_doubt_until().is_some());
        self.checked.retain(|id, _| is_watched(id));
        self.vain.retain(|id, _| is_watched(id));
        self.unreadable.retain(|id, _| is_open(id));
        self.sightings.retain(|id, _| is_open(id));
        let mut bodies = Vec::new();
        let mut begun: Vec<Begun<'_>> = Vec::new();
        for action in self.book.open() {
            let moved = match action.state {
                State::Approved => self.begin(now, action, &begun, directory),
                _ => self.next_move(now, action, directory),
            };
            match moved {
                Some(moved) => {
                    if moved.to == State::Applying && action.state == State::Approved {
                        let gateway = moved.gateway.clone().unwrap_or_default();
                        begun.push(Begun { proposal: &action.proposal, gateway });
                    }
                    bodies.push(Body::Moved(Box::new(moved)));
                }
                None => {
                    let further = self.go_further(now, action, directory);
                    // Two actions of an incident may lead to the same one.
                    if proposed(&further).is_some_and(|id| !bodies.chunks(1).any(|body| proposed(body) == Some(id))) {
                        bodies.extend(further);
                    }
                }
            }
        }
        bodies
    }

    fn next_move(&self, now: EventTime, action: &Action, directory: &dyn Directory) -> Option<Move> {
        let to = |state, by: &str, reason: String| Some(Move::new(action.id(), state, by, reason));
        match action.state {
            State::Proposed => match (action.proposal.answer_by, self.may_follow(action)) {
                (_, Err(stopped)) => to(State::Refused, "policy", stopped),
                (Some(answer_by), _) if now > answer_by => {
                    to(State::Expired, "policy", "nobody answered in time".to_owned())
                }
                (Some(_), _) | (None, Ok(false)) => None,
                (None, Ok(true)) if action.proposal.after.is_some() => {
                    to(State::Approved, "policy", "the step before it is done".to_owned())
                }
                // What follows at once is in the same write, of which a torn one keeps the beginning.
                (None, Ok(true)) => to(State::Refused, LOOP, "what was decided of it was not written down".to_owned()),
            },
            State::Applying | State::Applied | State::Verified => {
                if action.until.is_some_and(|until| now >= until) {
                    return to(State::Releasing, "policy", "its time is over".to_owned());
                }
                if let Some(reason) = self.unbinds(action, directory) {
                    return Some(self.end(action, State::Refused, "policy", reason));
                }
                match action.state {
                    State::Applying => self.cannot_go_on(now, action, directory),
                    State::Verified if self.leaves_nothing(action) => {
                        to(State::Releasing, LOOP, "it is done, and leaves nothing to take back".to_owned())
                    }
                    State::Verified => self.reach_further(action, directory),
                    State::Applied if self.unreadable.contains_key(action.id()) => {
                        self.reach_further(action, directory)
                    }
                    _ => None,
                }
            }
            State::Releasing if self.leaves_nothing(action) && !self.calling.contains_key(action.id()) => {
                to(ended(action), LOOP, action.reason.clone())
            }
            // What is not known to be gone is tried for ever: nobody stays cut off because a gateway was away.
            _ => None,
        }
    }

    /// An address that it has since, and is not held by.
    fn reach_further(&self, action: &Action, directory: &dyn Directory) -> Option<Move> {
        let goes_by_address = self.ability(action)?.keys.contains(&Key::Ip);
        if !goes_by_address || self.is_stopped || self.may_act(action, &action.gateway).is_err() {
            return None;
        }
        let (names, further) = self.identity(action, &action.gateway, directory).ok()?;
        let is_held = |address: &SmolStr| {
            let held = action.names.get(&Key::Ip).into_iter().chain(&action.further);
            held.into_iter().any(|held| held.eq_ignore_ascii_case(address))
        };
        let all = names.get(&Key::Ip).into_iter().chain(&further).filter(|address| !is_held(address));
        let room = (addresses::MOST - 1).saturating_sub(action.further.len());
        let more: Vec<SmolStr> = all.take(room).cloned().collect();
        let first = more.first()?;
        let mut others = self.book.open().filter(|other| {
            let is_there = other.gateway == action.gateway && other.state.is_at_gateway();
            is_there && other.proposal.device_id != action.proposal.device_id
        });
        if others.any(|other| self.is_same_there(other, action, &names, &more)) {
            // Two hands at one entry.
            return None;
        }
        let mut moved =
            Move::new(action.id(), State::Applying, "policy", format!("it has `{first}` as well: the gateway is told"));
        (moved.names, moved.further) = (action.names.clone(), [action.further.clone(), more].concat());
        Some(moved)
    }

    /// Every try asks anew who it is, and whether it may be.
    fn cannot_go_on(&self, now: EventTime, action: &Action, directory: &dyn Directory) -> Option<Move> {
        if let Err(objection) = self.may_act(action, &action.gateway) {
            return Some(self.end(action, State::Refused, "policy", objection));
        }
        if let Err(objection) = self.identity(action, &action.gateway, directory) {
            return Some(self.end(action, State::Refused, "policy", objection));
        }
        if now.minus(action.since) > seconds(self.config.give_up_seconds) {
            // That one more address cannot be reached frees no other.
            if let Some(held) = addresses::held(action.receipt.as_ref()).filter(|_| action.verified_at.is_some()) {
                let mut moved = Move::new(action.id(), State::Applied, LOOP, "given up for some of its addresses");
                (moved.names, moved.further) = (action.names.clone(), held);
                return Some(moved);
            }
            let failure = action.failure.as_deref().unwrap_or("the gateway did not answer");
            return Some(self.end(action, State::Failed, LOOP, format!("given up: {failure}")));
        }
        None
    }

    /// What cannot go on; where the gateway may hold something of it, that is taken back first.
    pub(super) fn end(&self, action: &Action, to: State, by: &str, reason: String) -> Move {
        if !action.may_hold() && !self.calling.contains_key(action.id()) {
            return Move::new(action.id(), to, by, reason);
        }
        let mut moved = Move::new(action.id(), State::Releasing, by, reason);
        moved.gave_up = action.verified_at.is_none() && (to == State::Failed || !action.was_applied());
        moved
    }

    /// Whether the mode that holds for it through this gateway lets it be applied.
    pub(super) fn may_act(&self, action: &Action, gateway: &str) -> Result<(), String> {
        match self.mode_through(action, gateway) {
            Mode::Observe => Err(format!("the mode is observe now, nothing is done through `{gateway}`")),
            Mode::Approve
                if action.agreed.len() < usize::from(action.proposal.approvals) && action.verified_at.is_none() =>
            {
                Err(format!("the mode is approve now, nobody approved it through `{gateway}`"))
            }
            Mode::Approve | Mode::Auto => Ok(()),
        }
    }

    /// `begun`: what begins before it in the same write, which caps count.
    fn begin(&self, now: EventTime, action: &Action, begun: &[Begun<'_>], directory: &dyn Directory) -> Option<Move> {
        let patience = match self.config.max_age_seconds {
            0 => self.config.give_up_seconds,
            age => age.min(self.config.give_up_seconds),
        };
        if now.minus(action.since) > seconds(patience) {
            return Some(Move::new(action.id(), State::Expired, "policy", "it could not begin in time"));
        }
        if self.is_stopped {
            return None;
        }
        let refused = |reason: String| Some(Move::new(action.id(), State::Refused, "policy", reason));
        match self.may_follow(action) {
            Ok(true) => {}
            Ok(false) => return None,
            Err(stopped) => return refused(stopped),
        }
        let proposal = &action.proposal;
        if begun.iter().any(|other| other.proposal.device_id == proposal.device_id) {
            // Whether that one holds it already is in the book by the next round.
            return None;
        }
        if self.book.holds(&proposal.device_id, proposal.level) {
            return refused(format!("another action holds `{}` to it already", proposal.device_id));
        }
        let mut objections = Vec::new();
        for gateway in &proposal.gateways {
            let free = self.may_act(action, gateway).and_then(|()| self.identity(action, gateway, directory));
            let (names, further) =
                free.as_ref().map_or((&action.names, [].as_slice()), |(names, further)| (names, further));
            let mut others = self.book.open().filter(|other| {
                let is_there = other.gateway == *gateway && other.state.is_at_gateway();
                is_there && self.is_same_there(other, action, names, further)
            });
            if others.any(|other| self.is_let_go(now, other, directory)) {
                // Two hands at one entry: what is taken back now could be this one's.
                return None;
            }
            let free =
                free.and_then(|known| match self.cap(now, proposal, Some(gateway), Counts::Begun(begun), directory) {
                    Some(objection) => Err(objection),
                    None => Ok(known),
                });
            match free {
                Ok(known) => {
                    let mut moved = Move::new(action.id(), State::Applying, LOOP, format!("through `{gateway}`"));
                    moved.gateway = Some(gateway.clone());
                    (moved.names, moved.further) = known;
                    moved.until = proposal.ttl_seconds.map(|ttl| now.plus_micros(seconds(ttl)));
                    return Some(moved);
                }
                Err(objection) => objections.push(objection),
            }
        }
        objections.dedup();
        refused(objections.join("; "))
    }

    /// Whether it is taken back, or will be as soon as that is written down.
    fn is_let_go(&self, now: EventTime, action: &Action, directory: &dyn Directory) -> bool {
        let is_leaving = || self.next_move(now, action, directory).is_some_and(|moved| moved.to == State::Releasing);
        action.state == State::Releasing || is_leaving()
    }

    /// Calls to make now. What is sent is not sent again before it is answered.
    pub fn jobs(&mut self, now: EventTime) -> Vec<Job> {
        let mut jobs = Vec::new();
        for action in self.book.open() {
            if self.calling.contains_key(action.id()) || action.next_at.is_some_and(|at| now < at) {
                continue;
            }
            let call = match action.state {
                State::Applying if !self.is_stopped => Call::Apply,
                State::Applied if self.unreadable.get(action.id()).is_some_and(|at| !self.is_old(now, *at)) => continue,
                State::Applied => Call::ReadBack,
                State::Verified if self.is_recheck_due(now, action) => Call::ReadBack,
                State::Releasing if self.leaves_nothing(action) => continue,
                State::Releasing if action.is_undone && !self.is_settled(now, action) => continue,
                State::Releasing if action.is_undone => Call::ReadBack,
                State::Releasing => Call::Undo,
                _ => continue,
            };
            jobs.push(self.job(now, action, call));
        }
        jobs.extend(self.looks(now));
        for job in &jobs {
            if let Some(action) = self.book.action(&job.order.action_id) {
                let asked = Asked { state: action.state, until: action.until };
                self.calling.insert(job.order.action_id.clone(), asked);
            }
        }
        jobs
    }

    pub(super) fn job(&self, now: EventTime, action: &Action, call: Call) -> Job {
        let mut order = action.order();
        order.until = order.until.map(|until| self.by_the_clock(now, until));
        Job { gateway: action.gateway.clone(), call, mode: self.mode_of(action), order }
    }

    /// Gateways go by the clock. While it is behind, the loop's time goes on at three quarters of its pace.
    fn by_the_clock(&self, now: EventTime, until: EventTime) -> EventTime {
        let slower = (until.minus(now).max(0) / 3).min(self.ahead);
        until.plus_micros(slower - self.ahead)
    }

    /// Whether a call that was left without an answer cannot come through any more: what is read before says nothing.
    fn is_settled(&self, now: EventTime, action: &Action) -> bool {
        let limit = self.post(&action.gateway).map_or(Duration::ZERO, |post| post.about.time_limit);
        let limit = i64::try_from(limit.as_micros()).unwrap_or(i64::MAX);
        action.unanswered.is_none_or(|at| now >= at.plus_micros(limit))
    }

    fn is_recheck_due(&self, now: EventTime, action: &Action) -> bool {
        self.checked.get(action.id()).is_none_or(|at| self.is_old(now, *at))
    }

    /// Whether what was read then is to be read again.
    pub(super) fn is_old(&self, now: EventTime, read_at: EventTime) -> bool {
        now.minus(read_at) >= seconds(self.config.recheck_seconds)
    }

    /// What came of its call is written down, or it could not be sent: the next one may be.
    pub fn free(&mut self, action_id: &str) {
        self.calling.remove(action_id);
    }

    pub fn is_calling(&self) -> bool {
        !self.calling.is_empty()
    }
}

/// Id of the action that the first of these proposes.
fn proposed(bodies: &[Body]) -> Option<&str> {
    match bodies.first() {
        Some(Body::Proposed(proposal)) => Some(&proposal.action_id),
        _ => None,
    }
}

/// How long to wait before the try after this many: doubled each time up to five minutes, and spread by the action's id so
/// that a storm does not come back as one. A gateway that asked for a time gets it, an hour at most: nobody stays cut off for a
/// week because it said so.
pub(super) fn pause(action_id: &str, attempts: u32, kind: FailureKind, asked: Option<Duration>) -> i64 {
    let doubled = 1u32.checked_shl(attempts.saturating_sub(1)).unwrap_or(u32::MAX).min(SLOWEST);
    // Who is not let in will not be for having tried twice.
    let base = if kind == FailureKind::Unauthorised { doubled.max(60) } else { doubled };
    let spread = fleet::id::stable_hash(&["pause", action_id, &attempts.to_string()]) % 1_000;
    let micros = seconds(base) / 2 + seconds(base) / 1_000 * i64::try_from(spread).unwrap_or(0) / 2;
    let asked =
        asked.map_or(0, |asked| i64::try_from(asked.as_micros()).unwrap_or(i64::MAX).min(seconds(LONGEST_ASKED)));
    micros.max(asked)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use fleet::Device;

    use super::*;
    use crate::Config;

    fn seconds_after(attempts: u32, kind: FailureKind, asked: Option<Duration>) -> f64 {
        pause("0123456789abcdef", attempts, kind, asked) as f64 / 1e6
    }

    #[test]
    fn pauses_double_up_to_five_minutes_and_keep_to_half_of_that_at_least() {
        for attempts in 1..200 {
            let doubled = 2f64.powi(attempts - 1).min(300.0);
            let paused = seconds_after(u32::try_from(attempts).unwrap(), FailureKind::Unreachable, None);
            assert!(paused >= doubled / 2.0 && paused < doubled, "{paused} s after {attempts} attempts");
        }
        assert!(seconds_after(u32::MAX, FailureKind::Unreachable, None) >= 150.0);
        assert!(seconds_after(0, FailureKind::Unreachable, None) >= 0.5);
        assert!(seconds_after(1, FailureKind::Unauthorised, None) >= 30.0);
    }

    #[test]
    fn who_asks_for_a_time_gets_it_and_never_less_than_the_pause() {
        assert_eq!(seconds_after(1, FailureKind::Busy, Some(Duration::from_secs(3_600))), 3_600.0);
        assert!(seconds_after(9, FailureKind::Busy, Some(Duration::from_secs(1))) >= 128.0);
        for asked in [Duration::from_secs(604_800), Duration::MAX] {
            assert_eq!(seconds_after(1, FailureKind::Busy, Some(asked)), 3_600.0, "an hour at most");
        }
    }

    /// Knows nobody.
    struct Nobody;

    impl Directory for Nobody {
        fn names(&self, _: &str, _: EventTime) -> BTreeMap<Key, Result<SmolStr, String>> {
            BTreeMap::new()
        }

        fn gateways(&self, _: &str) -> Vec<SmolStr> {
            Vec::new()
        }

        fn device(&self, _: &str) -> Option<Arc<Device>> {
            None
        }

        fn of_type(&self, _: &str) -> u32 {
            0
        }

        fn of_site(&self, _: &str) -> u32 {
            0
        }

        fn all(&self) -> u32 {
            0
        }
    }

    #[test]
    fn of_what_is_over_nothing_is_kept() {
        let mut engine = Engine::new(Config::default(), Vec::new());
        for kept in [&mut engine.unreadable, &mut engine.checked, &mut engine.vain] {
            kept.insert("an action of long ago".to_owned(), EventTime(0));
        }
        assert!(engine.due(EventTime(1), &Nobody).is_empty());
        assert!(engine.unreadable.is_empty() && engine.checked.is_empty() && engine.vain.is_empty());
    }

    #[test]
    fn a_storm_does_not_come_back_as_one() {
        let all: std::collections::BTreeSet<i64> =
            (0..100).map(|number| pause(&format!("{number:016x}"), 9, FailureKind::Unreachable, None)).collect();
        assert!(all.len() > 80, "{} of 100 come at different times", all.len());
        let (first, last) = (all.first().unwrap(), all.last().unwrap());
        assert!(last - first > seconds(60), "they are spread over {} s", (last - first) / seconds(1));
    }
}
