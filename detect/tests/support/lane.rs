//! All of detection for one lane, tick by tick; and another process that goes on with it.

use std::sync::Arc;

use detect::rules::columns::{ColumnMemory, Columns, NUMBERS};
use detect::rules::{Rule, RuleHit};
use detect::{Config, Joiner, Judge, Judgement, Prepared, RuleSet};
use fleet::{Device, EventTime, Fact, Finding, Incident, Tick, Window};

use super::MINUTE;

pub struct Lane {
    config: Config,
    /// The versions there are, beside that of nothing learned.
    versions: Vec<Arc<Prepared>>,
    pub judge: Judge,
    pub joiner: Joiner,
    columns: ColumnMemory,
    rules: BehaviourRules,
}

/// What a tick gave.
#[derive(Debug)]
pub struct Step {
    pub columns: Vec<Columns>,
    pub judgement: Judgement,
    /// Of the facts and of the judgement.
    pub findings: Vec<Finding>,
    /// What left the joiner.
    pub released: Vec<Finding>,
    /// Those that changed.
    pub incidents: Vec<Incident>,
}

/// What a lane's stages remember.
#[derive(Debug, PartialEq)]
pub struct Memories {
    pub judge: Vec<u8>,
    pub joiner: Vec<u8>,
    pub columns: Vec<u8>,
}

impl Lane {
    pub fn new(config: &Config, versions: Vec<Prepared>) -> Lane {
        Lane::with(config, versions.into_iter().map(Arc::new).collect())
    }

    fn with(config: &Config, versions: Vec<Arc<Prepared>>) -> Lane {
        Lane {
            config: config.clone(),
            versions,
            judge: Judge::new(config, MINUTE, EventTime::MIN),
            joiner: Joiner::new(config, 1),
            columns: ColumnMemory::default(),
            rules: BehaviourRules::shipped(),
        }
    }

    fn version(&self, version: u32) -> Arc<Prepared> {
        let found = self.versions.iter().find(|prepared| prepared.version == version);
        found.map_or_else(|| Arc::new(Prepared::nothing_learned()), Arc::clone)
    }

    pub fn tick(&mut self, tick: &Tick) -> Step {
        if tick.baseline_version != self.judge.version() {
            self.judge.use_version(self.version(tick.baseline_version));
        }
        for fact in &tick.facts {
            if let Fact::Device { device, .. } = fact {
                self.joiner.locate(device.id.clone(), device.site.clone());
            }
        }
        let mut findings = self.judge.take_facts(tick);
        let prepared = self.judge.prepared();
        let learned = |device: &Device| prepared.of(&device.device_type, &device.segment).map(|it| &it.learned);
        let columns = self.columns.rows(tick, self.judge.roster(), learned);
        let hits = self.rules.hits(tick, &columns, &self.judge);
        let mut judgement = self.judge.judge(tick, &hits);
        findings.append(&mut judgement.findings);
        self.joiner.push(0, tick.end, findings.clone());
        let released = self.joiner.advance();
        Step { columns, judgement, findings, released, incidents: self.joiner.changed_incidents() }
    }

    pub fn memories(&self) -> Memories {
        Memories { judge: self.judge.memory(), joiner: self.joiner.memory(), columns: self.columns.memory() }
    }

    /// Another process, that knows the configuration and the stored versions.
    pub fn recalled(&self, memories: &Memories) -> Lane {
        let mut lane = Lane::with(&self.config, self.versions.clone());
        lane.judge.recall(&memories.judge, self.version(self.judge.version())).unwrap();
        lane.joiner.recall(&memories.joiner).unwrap();
        lane.columns = ColumnMemory::recall(&memories.columns).unwrap();
        lane
    }
}

/// The behaviour rules that injections trigger, with their predicates told in Rust: here is no SQL engine. That the SQL
/// says the same is tested where there is one.
struct BehaviourRules(Vec<(Rule, Matches)>);

/// A window and its columns by name.
type Matches = fn(&Window, &dyn Fn(&str) -> f64) -> bool;

impl BehaviourRules {
    fn shipped() -> BehaviourRules {
        let rules = RuleSet::shipped().unwrap().rules;
        let rule = |id: &str| rules.iter().find(|rule| rule.id == id).unwrap().clone();
        BehaviourRules(vec![
            (rule("command-never-used"), |_, column| column("new_commands") > 0.0 && column("known_type") == 1.0),
            (rule("topic-never-used"), |_, column| column("new_topics") > 0.0 && column("known_type") == 1.0),
            (rule("token-reused"), |_, column| column("token_reused") == 1.0),
            (rule("firmware-downgraded"), |_, column| column("firmware_downgraded") == 1.0),
            (rule("sign-in-guessing"), |window, _| window.get(fleet::Feature::SignInFailures) >= 5.0),
        ])
    }

    fn hits(&self, tick: &Tick, columns: &[Columns], judge: &Judge) -> Vec<RuleHit> {
        let mut hits = Vec::new();
        for (index, (window, row)) in tick.windows.iter().zip(columns).enumerate() {
            let column = |name: &str| row.numbers[NUMBERS.iter().position(|(it, _)| *it == name).unwrap()];
            let Some(device) = judge.roster().device(window.device).filter(|device| device.is_known()) else {
                continue;
            };
            for (rule, matches) in &self.0 {
                if matches(window, &column) {
                    hits.push(rule.hit(index, window, device));
                }
            }
        }
        hits
    }
}
