//! Versions of the baselines while running: which one is in force is a fact in every lane's log.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use fleet::EventTime;
use ingest::kafka::topics::{admin, describe};
use ingest::log::{LoggedFact, Message, encode};
use store::{BaselineRow, ParquetStore, Store};

use crate::config::{Config, Misuse};
use crate::live::route::outbox::Outbox;
use crate::live::{now_millis, open_store};

#[derive(Args)]
pub struct PinArgs {
    /// The version, as `vedette baselines list` shows it
    #[arg(value_name = "VERSION")]
    pub version: u32,
    /// Configuration (docs/configuration.md has every key and its default)
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Copy the version from this embedded store first, such as the --out of a replay
    #[arg(long, value_name = "DIR")]
    pub copy_from: Option<PathBuf>,
    /// Event time from which it holds, RFC 3339 [default: now]
    #[arg(long, value_name = "TIME")]
    pub from: Option<String>,
}

pub fn pin(args: &PinArgs) -> anyhow::Result<()> {
    let config = Config::load(Some(&args.config))?;
    let from = match &args.from {
        None => EventTime(now_millis().saturating_mul(1_000)),
        Some(text) => EventTime::parse(text)
            .ok_or_else(|| Misuse(format!("`--from {text}` is no time, expected one such as 2026-01-31T12:00:00Z")))?,
    };
    if let Some(folder) = &args.copy_from {
        let rows = rows_of(&ParquetStore::open(folder)?, args.version)?;
        anyhow::ensure!(!rows.is_empty(), "`{}` has no baseline version {}", folder.display(), args.version);
        open_store(&config)?.write_baselines(args.version, &rows)?;
    }
    announce(&config, &LoggedFact::Baseline { version: args.version, from })?;
    println!("baseline version {} holds from {from}", args.version);
    Ok(())
}

fn rows_of(store: &dyn Store, version: u32) -> anyhow::Result<Vec<BaselineRow>> {
    Ok(store.read_baselines()?.into_iter().filter(|row| row.version == version).collect())
}

pub fn announce(config: &Config, fact: &LoggedFact) -> anyhow::Result<()> {
    tell_lanes(config, &Message::Fact(fact.clone()))
}

/// Writes an entry to every lane's log.
pub fn tell_lanes(config: &Config, message: &Message) -> anyhow::Result<()> {
    let kafka = &config.source.kafka;
    let described = describe(admin(kafka)?.inner(), &[&kafka.readings])?;
    let topic = described
        .first()
        .filter(|topic| topic.problem.is_none())
        .with_context(|| format!("topic `{}` is not there; make it with `vedette topics create`", kafka.readings))?;
    let outbox = Outbox::new(kafka)?;
    let message = encode(message);
    for lane in &topic.partitions {
        outbox.send(&kafka.readings, Some(*lane), &message, None, None, || Ok(()))?;
    }
    outbox.flush(Duration::from_secs(30))
}
