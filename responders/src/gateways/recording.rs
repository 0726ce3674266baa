//! A gateway that reaches nobody: it keeps a list of whom it was told to restrict. Replays and tests of playbooks act
//! through it, so that a policy can be tried on history in mode `auto`.

use std::collections::BTreeMap;
use std::time::Duration;

use fleet::Level;
use smol_str::SmolStr;

use super::{Ability, About, Applied, Failure, Found, Gateway, Order, Permit, Repeat, Undone, Witness};

pub struct Recording {
    about: About,
    /// By action: what was ordered.
    held: BTreeMap<String, Order>,
}

impl Recording {
    pub const NAME: &'static str = "recording";

    /// In the place of the gateway of that name, which gives these levels.
    pub fn standing_for(name: &SmolStr, levels: &[Level]) -> Recording {
        let mut recording = Recording::new();
        recording.about.name = name.clone();
        recording.about.abilities.retain(|ability| levels.contains(&ability.level));
        recording
    }

    pub fn new() -> Recording {
        let ability = |level| Ability {
            level,
            keys: Vec::new(),
            cuts_sessions: true,
            ends_by_itself: false,
            can_be_undone: true,
            repeat: Repeat::Harmless,
            witness: Witness::Traffic,
        };
        let levels = Level::ALL.iter().copied().filter(|level| level.restricts());
        let about = About {
            name: Recording::NAME.into(),
            product: Recording::NAME.into(),
            abilities: levels.map(ability).collect(),
            time_limit: Duration::from_secs(1),
            own: Vec::new(),
        };
        Recording { about, held: BTreeMap::new() }
    }
}

impl Default for Recording {
    fn default() -> Recording {
        Recording::new()
    }
}

impl Gateway for Recording {
    fn about(&self) -> &About {
        &self.about
    }

    fn apply(&mut self, _: &Permit, order: &Order) -> Result<Applied, Failure> {
        let before = self.held.insert(order.action_id.clone(), order.clone());
        Ok(Applied { receipt: None, already: before.is_some() })
    }

    fn read_back(&mut self, _: &Permit, order: &Order) -> Result<Found, Failure> {
        Ok(if self.held.contains_key(&order.action_id) { Found::InForce } else { Found::Absent })
    }

    fn undo(&mut self, _: &Permit, order: &Order) -> Result<Undone, Failure> {
        Ok(if self.held.remove(&order.action_id).is_some() { Undone::Done } else { Undone::Already })
    }

    fn probe(&mut self, _: &Permit) -> Result<(), Failure> {
        Ok(())
    }
}
