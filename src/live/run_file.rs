//! `run.json` of the embedded store: what `findings`, `devices` and `baselines` must know besides its tables.

use std::time::Duration;

use anyhow::Context;
use datasets::scorecard::load::RUN_FILE;
use datasets::scorecard::run::{RawTopic, RunInfo, RunState};
use fleet::EventTime;
use ingest::kafka::topics::{admin, describe_within};

use crate::config::Config;

/// Brokers that do not answer hold nobody up.
const PATIENCE: Duration = Duration::from_secs(3);

/// Written at every start; topics of earlier starts stay, their records are still in the tables.
///
/// # Errors
/// A file of that name that is not ours; a disk that takes nothing.
pub fn note(config: &Config) -> anyhow::Result<()> {
    let info = known(config)?;
    Ok(store::write_file(&config.store.path.join(RUN_FILE), &serde_json::to_vec_pretty(&info)?)?)
}

/// What the file says, and what brokers say now; with ClickHouse there is no such file.
///
/// # Errors
/// A file of that name that is not ours.
pub fn known(config: &Config) -> anyhow::Result<RunInfo> {
    let path = config.store.path.join(RUN_FILE);
    let earlier = match std::fs::read(&path) {
        Ok(text) if !config.store.clickhouse.is_used() => {
            Some(serde_json::from_slice::<RunInfo>(&text).with_context(|| {
                format!("`{}` was not written by vedette; move it away, it is made again", path.display())
            })?)
        }
        _ => None,
    };
    let mut info = earlier.unwrap_or_else(|| fresh(config));
    info.state = RunState::Live;
    for topic in topics(config) {
        if !info.topics.contains(&topic) {
            info.topics.push(topic);
        }
    }
    Ok(info)
}

fn fresh(config: &Config) -> RunInfo {
    RunInfo {
        dataset: "live".to_owned(),
        title: "a running service".to_owned(),
        semi_synthetic: false,
        seed: config.detect.seed,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        baseline_version: 0,
        budget: config.detect.budget,
        learn_until: config.run.judge_from.unwrap_or_default(),
        end: EventTime::MAX,
        days_watched: None,
        episodes: Vec::new(),
        sources: Vec::new(),
        topics: Vec::new(),
        readings: 0,
        rejected: Default::default(),
        late: 0,
        seconds: 0.0,
        state: RunState::Live,
    }
}

/// Those that are there; without them records are named by number.
fn topics(config: &Config) -> Vec<RawTopic> {
    let kafka = &config.source.kafka;
    let names: Vec<&str> = kafka.topics.iter().map(|topic| topic.name.as_str()).collect();
    let described = admin(kafka).and_then(|admin| describe_within(admin.inner(), &names, PATIENCE));
    let there = described.unwrap_or_default().into_iter().filter(|topic| topic.problem.is_none());
    there.map(|topic| RawTopic { name: topic.name, id: topic.id }).collect()
}
