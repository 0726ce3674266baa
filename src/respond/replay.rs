//! Responding in a replay: the same loop, with the time of the findings for a clock, a journal beside the store, and a
//! gateway that records.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use fleet::device::Standing;
use fleet::{Action, Device, EventTime, Finding, Level, Mode};
use responders::engine::{Directory, Engine, Post};
use responders::gateways::recording::Recording;
use responders::gateways::{Gateway, Key};
use responders::journal::file::FileJournal;
use responders::respond::Responding;
use responders::send::{Alone, Gate, Sender};
use rustc_hash::FxHashMap;
use smol_str::SmolStr;

use super::gateways;
use super::playbooks::CompiledPlaybooks;
use super::rows::Mirror;
use crate::config::Config;

/// Beside the store's tables.
pub const JOURNAL: &str = "journal.jsonl";

pub struct ReplayResponder {
    responding: Responding,
    playbooks: CompiledPlaybooks,
    directory: Met,
    mirror: Mirror,
}

/// Devices as findings name them.
pub struct Met {
    devices: FxHashMap<SmolStr, Arc<Device>>,
    types: BTreeMap<SmolStr, u32>,
    sites: BTreeMap<SmolStr, u32>,
    all: u32,
}

impl Met {
    /// Shares are of active devices.
    pub fn new(inventory: &[Arc<Device>]) -> Met {
        let mut met = Met { devices: FxHashMap::default(), types: BTreeMap::new(), sites: BTreeMap::new(), all: 0 };
        for device in inventory.iter().filter(|device| device.standing == Standing::Active) {
            *met.types.entry(device.device_type.clone()).or_default() += 1;
            *met.sites.entry(device.site.clone()).or_default() += 1;
            met.all += 1;
        }
        met
    }
}

impl Directory for Met {
    /// The gateway that records asks for none.
    fn names(&self, _: &str, _: EventTime) -> BTreeMap<Key, Result<SmolStr, String>> {
        BTreeMap::new()
    }

    fn gateways(&self, _: &str) -> Vec<SmolStr> {
        Vec::new()
    }

    fn device(&self, id: &str) -> Option<Arc<Device>> {
        self.devices.get(id).cloned()
    }

    fn of_type(&self, device_type: &str) -> u32 {
        self.types.get(device_type).copied().unwrap_or(0)
    }

    fn of_site(&self, site: &str) -> u32 {
        self.sites.get(site).copied().unwrap_or(0)
    }

    fn all(&self) -> u32 {
        self.all
    }
}

/// In the place of the configured gateways, each for what it can give; where none is, of one that can do all, by whatever name a
/// playbook asks for it.
fn recorders(config: &Config, playbooks: &CompiledPlaybooks) -> Vec<Recording> {
    match gateways::open(config) {
        Ok((_, posts)) if !posts.is_empty() => {
            let levels = |post: &Post| post.about.abilities.iter().map(|ability| ability.level).collect::<Vec<_>>();
            return posts.iter().map(|post| Recording::standing_for(&post.about.name, &levels(post))).collect();
        }
        Ok(_) => {}
        Err(error) => eprintln!("note: what the gateways can do is not looked at: {error:#}"),
    }
    let named = playbooks.iter().flat_map(|playbook| &playbook.steps).filter(|step| !step.is_auto());
    let named: BTreeSet<&SmolStr> = named.map(|step| &step.gateway).collect();
    let all = named.into_iter().map(|name| Recording::standing_for(name, Level::ALL));
    std::iter::once(Recording::new()).chain(all).collect()
}

impl ReplayResponder {
    /// `folder`: where the journal goes.
    pub fn new(
        config: &Config,
        playbooks: CompiledPlaybooks,
        inventory: &[Arc<Device>],
        folder: &Path,
    ) -> anyhow::Result<ReplayResponder> {
        let recorders = recorders(config, &playbooks);
        let sites = |name: &SmolStr| config.gateways.get(name).map_or_else(Vec::new, |gateway| gateway.sites.clone());
        let post = |recorder: &Recording| {
            let about = recorder.about().clone();
            Post { sites: sites(&about.name), about, mode: Mode::Auto }
        };
        let posts = recorders.iter().map(post).collect();
        let gateways = recorders.into_iter().map(|recorder| Box::new(recorder) as Box<dyn Gateway>).collect();
        // Findings have the time of the replay, so none of them is old.
        let config = responders::Config { max_age_seconds: 0, stop_file: None, ..config.responders.clone() };
        let engine = Engine::new(config, posts);
        let journal = FileJournal::start_over(&folder.join(JOURNAL))?;
        let gate = Arc::new(Gate::new(Box::new(Alone), None));
        let sender = Sender::here(gateways, gate);
        let responding = Responding::begin(engine, Box::new(journal), sender, None, None)?;
        Ok(ReplayResponder { responding, playbooks, directory: Met::new(inventory), mirror: Mirror::default() })
    }

    pub fn meet(&mut self, device: Arc<Device>) {
        self.directory.devices.insert(device.id.clone(), device);
    }

    /// In the order in which they are told; gives what was written about actions.
    pub fn answer(&mut self, findings: &[Finding]) -> anyhow::Result<Vec<Action>> {
        for finding in findings {
            let now = finding.emitted_at;
            self.responding.turn(now, Duration::ZERO, &self.directory)?;
            let device = self.directory.device(&finding.device_id);
            let (book, config) = (self.responding.book(), &self.responding.engine().config);
            let plans = self.playbooks.plans(now, finding, device.as_deref(), book, config)?;
            self.responding.find(now, finding, device.as_deref(), &plans, &self.directory)?;
            self.responding.turn(now, Duration::ZERO, &self.directory)?;
        }
        let written = self.responding.take_written();
        Ok(written.iter().filter_map(|entry| self.mirror.row(entry)).collect())
    }
}
