//! What telemetry says of a device that is restricted: it went quiet, or it kept talking. Where a gateway says that it is
//! done, this is the only other witness, and the only one that works for all of them.

use fleet::{EventTime, Sighting, State};

use super::{Engine, seconds};
use crate::book::Action;
use crate::gateways::Witness;
use crate::journal::entry::{Body, Note, Noted};

/// Windows in a row, since it was last applied.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    since: Option<EventTime>,
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
        let Some(held_since) = action.held_since else { return Vec::new() };
        if sighting.window_start.plus_micros(self.ahead) < held_since.plus_micros(seconds(SETTLING_SECONDS)) {
            return Vec::new();
        }
        let (is_talking, was_talking, was_quiet) =
            (self.is_talk(action, sighting), action.is_talking, action.quiet_at.is_some());
        let seen = self.sightings.entry(id.to_owned()).or_default();
        if seen.since != Some(held_since) {
            *seen = Seen { since: Some(held_since), ..Seen::default() };
        }
        if seen.through.is_some_and(|through| sighting.window_end <= through) {
            return Vec::new();
        }
        seen.through = Some(sighting.window_end);
        (seen.quiet, seen.talking) = if is_talking { (0, seen.talking + 1) } else { (seen.quiet + 1, 0) };
        let enough = self.config.quiet_windows;
        let note = |what| vec![Body::Noted(Note { action_id: id.to_owned(), what })];
        // At least: the journal may not have taken it the first time.
        if seen.quiet >= enough && (was_talking || !was_quiet) {
            return note(Noted::Quiet { windows: seen.quiet, through: sighting.window_end });
        }
        if seen.talking >= enough && !was_talking {
            let words = format!("{} messages and {} flows in its last window", sighting.messages, sighting.flows);
            return note(Noted::Talking { windows: seen.talking, through: sighting.window_end, seen: words });
        }
        Vec::new()
    }

    /// A broker is asked about messages, whoever is in the network about flows as well; a scan that nobody answers is no talk, nor
    /// is what others send to a device that says nothing.
    fn is_talk(&self, action: &Action, sighting: &Sighting) -> bool {
        let is_brokers = self.ability(action).is_some_and(|ability| ability.witness == Witness::Messages);
        let came_through = sighting.flows > 0 && sighting.bytes_in > 0 && sighting.bytes_out > 0;
        sighting.messages > 0 || (!is_brokers && came_through)
    }
}
