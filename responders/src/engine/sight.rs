//! What telemetry says of a device that is restricted: it went quiet, or it kept talking. Where a gateway says that it is
//! done, this is the only other witness, and the only one that works for all of them.

use fleet::{EventTime, Level, State};

use super::find::action_id;
use super::{Engine, seconds};
use crate::book::Action;
use crate::gateways::Key;
use crate::journal::entry::{Body, Move, Note, Noted, Proposal};

/// One window of a restricted device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    pub device_id: smol_str::SmolStr,
    pub window_start: EventTime,
    pub window_end: EventTime,
    /// What it said to its broker.
    pub messages: u64,
    /// Flows, and bytes that came back to it: a scan that nobody answers is no talk.
    pub flows: u64,
    pub bytes_in: u64,
}

/// Windows in a row, since it was applied.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    through: Option<EventTime>,
    quiet: u32,
    talking: u32,
}

/// Connections take a moment to die, and clocks differ: windows that began earlier after the act say nothing.
const SETTLING_SECONDS: u32 = 5;

impl Engine {
    pub fn sight(&mut self, sighting: &Sighting) -> Vec<Body> {
        let ids: Vec<String> = self
            .book
            .of_device(&sighting.device_id)
            .filter(|action| {
                matches!(action.state, State::Applied | State::Verified) && action.proposal.level.silences()
            })
            .map(|action| action.id().to_owned())
            .collect();
        let mut bodies = Vec::new();
        for id in ids {
            bodies.extend(self.see(&id, sighting));
        }
        bodies
    }

    fn see(&mut self, id: &str, sighting: &Sighting) -> Vec<Body> {
        let Some(action) = self.book.action(id) else { return Vec::new() };
        let Some(applied) = action.applied_at else { return Vec::new() };
        if sighting.window_start < applied.plus_micros(seconds(SETTLING_SECONDS)) {
            return Vec::new();
        }
        let is_talking = self.is_talk(action, sighting);
        let seen = self.sightings.entry(id.to_owned()).or_default();
        if seen.through.is_some_and(|through| sighting.window_end <= through) {
            return Vec::new();
        }
        seen.through = Some(sighting.window_end);
        (seen.quiet, seen.talking) = if is_talking { (0, seen.talking + 1) } else { (seen.quiet + 1, 0) };
        let (seen, enough) = (*seen, self.config.quiet_windows);
        let Some(action) = self.book.action(id) else { return Vec::new() };
        let note = |what| Body::Noted(Note { action_id: id.to_owned(), what });
        if seen.quiet == enough && action.quiet_at.is_none() {
            return vec![note(Noted::Quiet { windows: seen.quiet, through: sighting.window_end })];
        }
        if seen.talking == enough && !action.is_talking {
            let words = format!("{} messages and {} flows in its last window", sighting.messages, sighting.flows);
            let mut bodies =
                vec![note(Noted::Talking { windows: seen.talking, through: sighting.window_end, seen: words })];
            bodies.extend(self.go_further(sighting.window_end, action));
            return bodies;
        }
        Vec::new()
    }

    /// A broker is asked about messages, whoever is in the network about flows as well.
    fn is_talk(&self, action: &Action, sighting: &Sighting) -> bool {
        let ability = self.post(&action.gateway).and_then(|post| post.about.ability(action.proposal.level));
        let is_broker = ability.is_some_and(|ability| {
            ability.keys.iter().any(|key| matches!(key, Key::ClientId | Key::Username | Key::Thing | Key::Certificate))
        });
        let came_through = sighting.flows > 0 && sighting.bytes_in > 0;
        sighting.messages > 0 || (!is_broker && came_through)
    }

    /// What the playbook says is to be done then.
    fn go_further(&self, at: EventTime, action: &Action) -> Vec<Body> {
        let before = &action.proposal;
        let Some(level) = before.if_still_talking.filter(|level| *level != before.level) else { return Vec::new() };
        let id = action_id(&before.device_id, &before.incident_id, level);
        if self.book.action(&id).is_some() {
            return Vec::new();
        }
        let can = |post: &&super::Post| post.about.ability(level).is_some();
        let gateways = if level.restricts() {
            self.posts.iter().filter(can).map(|post| post.about.name.clone()).collect()
        } else {
            Vec::new()
        };
        let proposal = Proposal {
            action_id: id.clone(),
            level,
            gateways,
            why: format!("it kept talking after {} through `{}`", before.level, action.gateway),
            found_at: at,
            if_still_talking: None,
            ..before.clone()
        };
        let can_be_done = !level.restricts() || !proposal.gateways.is_empty();
        let is_free = proposal.mode == fleet::Mode::Auto;
        let mut bodies = vec![Body::Proposed(Box::new(proposal))];
        let mut go = |to, reason: String| bodies.push(Body::Moved(Box::new(Move::new(&id, to, "policy", reason))));
        match level {
            _ if !can_be_done => go(State::Refused, format!("no gateway can give the level {level}")),
            Level::Observe | Level::Notify | Level::Ticket => go(State::Approved, "nobody is restricted".to_owned()),
            _ if is_free => go(State::Approved, "mode auto".to_owned()),
            _ => {}
        }
        bodies
    }
}
