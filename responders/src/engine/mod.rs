//! The loop's head: what is to be done next, given the book, the time and what came in. It reaches nothing and knows no
//! clock; who runs it ([`crate::respond`]) writes down what it says before anything is sent, and tells it what came of it.
//!
//! * [`find`]: a finding, and what playbooks say of it, becomes a proposal
//! * [`suppress`]: what a verdict keeps back
//! * [`guard`]: what forbids it
//! * [`due`]: what time brings: deadlines, releases, calls to make
//! * [`done`]: what came of a call
//! * [`late`]: what comes through although it was let go
//! * [`command`]: what people ask for
//! * [`sight`]: what telemetry says of a restricted device
//! * [`further`]: what is done where it kept talking
//! * [`step`]: what waits for the step before it
//! * [`time`]: a clock that is set back

pub mod command;
pub mod done;
pub mod due;
pub mod find;
mod further;
pub mod guard;
mod late;
pub mod sight;
mod step;
pub mod suppress;
pub mod time;

use std::collections::BTreeMap;

use fleet::{EventTime, MICROS_PER_SECOND, Mode, State};
use smol_str::SmolStr;

use crate::book::{Action, Book};
use crate::config::Config;
use crate::gateways::{Ability, About, Key};
use crate::journal::entry::ModeOf;

/// What the inventory, and what was learned of addresses, says of a device at this moment.
pub trait Directory {
    /// What the device is known by, and of each name why it must not be used: it is several devices', or has moved to
    /// another one since then.
    fn names(&self, device: &str, since: EventTime) -> BTreeMap<Key, Result<SmolStr, String>>;

    /// Addresses it has beside the one in [`Directory::names`], newest first, and those that it had since then and lost, each
    /// with why it must not be used.
    fn addresses(&self, _device: &str, _since: EventTime) -> Vec<(SmolStr, Result<(), String>)> {
        Vec::new()
    }

    /// Gateways the inventory names for it; none: any that can.
    fn gateways(&self, device: &str) -> Vec<SmolStr>;

    fn device(&self, id: &str) -> Option<std::sync::Arc<fleet::Device>>;

    /// Whether this very machine has the name, as far as that is known.
    fn is_ours(&self, _key: Key, _name: &str) -> bool {
        false
    }

    /// Active devices: of a type, of a site, all.
    fn of_type(&self, device_type: &str) -> u32;
    fn of_site(&self, site: &str) -> u32;
    fn all(&self) -> u32;
}

/// One gateway as the engine knows it.
#[derive(Clone, Debug)]
pub struct Post {
    pub about: About,
    pub mode: Mode,
    /// Sites it stands for; none: all.
    pub sites: Vec<SmolStr>,
}

pub struct Engine {
    pub config: Config,
    pub posts: Vec<Post>,
    pub book: Book,
    /// Nothing is applied, by command or by file.
    pub is_stopped: bool,
    /// How far the loop's time is ahead of the clock, microseconds: what others wrote down went by the clock.
    pub ahead: i64,
    /// Calls that were sent and not answered yet, by action.
    calling: BTreeMap<String, Asked>,
    /// Actions whose gateway could not say what it holds, when it was last asked.
    unreadable: BTreeMap<String, EventTime>,
    /// When what is in force was last read back, in this life.
    checked: BTreeMap<String, EventTime>,
    /// When looking at what was let go failed, in this life.
    vain: BTreeMap<String, EventTime>,
    /// By action: windows seen since it was applied, without and with a sign of the device.
    sightings: BTreeMap<String, sight::Seen>,
}

/// How an action stood when a call about it was sent.
#[derive(Clone, Copy, Debug)]
struct Asked {
    state: State,
    until: Option<EventTime>,
}

impl Engine {
    pub fn new(config: Config, posts: Vec<Post>) -> Engine {
        Engine {
            config,
            posts,
            book: Book::default(),
            is_stopped: false,
            ahead: 0,
            calling: BTreeMap::new(),
            unreadable: BTreeMap::new(),
            checked: BTreeMap::new(),
            vain: BTreeMap::new(),
            sightings: BTreeMap::new(),
        }
    }

    fn post(&self, name: &str) -> Option<&Post> {
        self.posts.iter().find(|post| post.about.name == name)
    }

    /// What the action's gateway can do of it, as it is configured now.
    fn ability(&self, action: &Action) -> Option<&Ability> {
        self.post(&action.gateway).and_then(|post| post.about.ability(action.proposal.level))
    }

    /// An ended session leaves nothing that could be taken back.
    fn leaves_nothing(&self, action: &Action) -> bool {
        self.ability(action).is_some_and(|ability| !ability.can_be_undone)
    }

    /// The least of what everything, the gateway and the playbook are allowed.
    fn mode(&self, playbook: &str, playbooks_own: Mode, gateway: &str) -> Mode {
        let set = |of: ModeOf, configured: Mode| self.book.mode(&of).unwrap_or(configured);
        let of_gateway = self.post(gateway).map_or(Mode::Auto, |post| post.mode);
        set(ModeOf::All, self.config.mode)
            .min(set(ModeOf::Playbook(playbook.into()), playbooks_own))
            .min(set(ModeOf::Gateway(gateway.into()), of_gateway))
    }

    /// What holds for an action at this moment; a mode that was loosened since does not reach back to what was proposed in
    /// a stricter one.
    pub fn mode_of(&self, action: &Action) -> Mode {
        self.mode_through(action, &action.gateway)
    }

    fn mode_through(&self, action: &Action, gateway: &str) -> Mode {
        let proposal = &action.proposal;
        proposal.mode.min(self.mode(&proposal.playbook, Mode::Auto, gateway))
    }
}

pub(crate) fn seconds(seconds: u32) -> i64 {
    i64::from(seconds) * MICROS_PER_SECOND
}
