//! How a lane begins: on its own thread, because the store is asked for what the lane remembers, and may take its time. What
//! is polled meanwhile waits for the lane as always.

use std::sync::Arc;

use anyhow::Context;
use fleet::EventTime;
use store::Home;

use crate::config::Config;
use crate::lane::Shelf;
use crate::live::judge::lane::{Begin, LiveLane};
use crate::live::judge::lease::Lease;
use crate::live::judge::position::LanePosition;
use crate::rules::CompiledRules;

pub struct Beginning {
    pub lane: i32,
    /// Offset of the first entry it is given.
    pub from: u64,
    /// `None`: nothing was ever committed for this lane.
    pub position: Option<LanePosition>,
    /// Retention has deleted nothing yet.
    pub log_is_whole: bool,
    /// There is nothing to read yet.
    pub is_level: bool,
    pub store: Arc<dyn Home>,
    pub shelf: Shelf,
    pub rules: Arc<CompiledRules>,
    pub config: Arc<Config>,
}

impl Beginning {
    pub fn begin(self, lease: &Lease) -> anyhow::Result<LiveLane> {
        let memory = self.memory().context("it cannot begin")?;
        let begin = Begin { lane: self.lane, position: self.position, memory };
        let begun = LiveLane::begin(&self.config, begin, &self.shelf, &self.rules).context("it cannot begin")?;
        let closed_through = self.position.unwrap_or(LanePosition::START).step.closed_through;
        tracing::info!(lane = self.lane, from = self.from, %closed_through, "lane begins");
        lease.note_begun(self.is_level, Some(closed_through).filter(|through| *through > EventTime::MIN));
        Ok(begun)
    }

    fn memory(&self) -> anyhow::Result<Option<Vec<u8>>> {
        let lane = self.lane.to_string();
        // Somebody may have stored, and gone before the first commit: while the log has its beginning, all of it is done
        // again under the same names.
        if self.position.is_none() && !self.log_is_whole && self.store.newest_memory(&lane)?.is_some() {
            anyhow::bail!(
                "the store has rows of lane {lane}, and the group `{}-judge` has no commit for it; \
                 was the group deleted? Begin with an empty store, or restore the group's offsets together with their \
                 metadata",
                self.config.source.kafka.group
            );
        }
        let Some(tick) = self.position.and_then(|position| position.memory) else { return Ok(None) };
        let memory = self.store.read_memory(&lane, tick)?.with_context(|| {
            format!(
                "what lane {lane} remembers at {tick} was committed and is not in the store; \
                 was the store changed or emptied? Restore it, or begin anew with another group and store"
            )
        })?;
        Ok(Some(memory))
    }
}
