//! `vedette topics`: what Kafka must have, and making what is missing.

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use ingest::kafka::topics::{self, Wanted, admin, create_missing, describe};
use ingest::log::Message;
use responders::gateways::config::GatewayConfig;

use crate::config::{Config, Misuse};
use crate::live::route::outbox::tell_lanes;

#[derive(Subcommand)]
pub enum TopicsCommand {
    /// Every topic the configuration names, and whether it is there.
    List(ConfigArg),
    /// Make the missing topics: our own, and raw ones with --raw-partitions.
    Create(CreateArgs),
    /// Tell all lanes that a raw topic is no more, so that windows do not wait for it.
    Remove(RemoveArgs),
}

#[derive(Args, Clone)]
pub struct RemoveArgs {
    /// The raw topic; take it out of the configuration first, and start `route` again
    #[arg(value_name = "TOPIC")]
    pub topic: String,
    #[command(flatten)]
    pub config: ConfigArg,
}

#[derive(Args, Clone)]
pub struct ConfigArg {
    /// Configuration (docs/configuration.md has every key and its default)
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
}

#[derive(Args, Clone)]
pub struct CreateArgs {
    #[command(flatten)]
    pub config: ConfigArg,
    /// Make missing raw topics too, with so many partitions; they are usually their producers' to make
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
    pub raw_partitions: Option<i32>,
}

/// Purposes of a gateway's topics: we only write the one, and only read the other.
pub const CALLS: &str = "calls";
pub const ANSWERS: &str = "answers";

/// Of a SIEM: we only write it.
pub const EVENTS: &str = "events";

/// Every topic that the configuration names, those of gateways and SIEMs too.
pub fn wanted(config: &Config) -> Vec<Wanted> {
    let topic = |name, purpose| Wanted { name, purpose, partitions: 1, ours: true };
    let of_gateways = config.gateways.values().filter_map(GatewayConfig::topics);
    let of_gateways = of_gateways.flat_map(|of| [topic(of.calls, CALLS), topic(of.answers, ANSWERS)]);
    let of_siems: BTreeSet<&String> = config.responders.tell.topics().collect();
    let of_siems = of_siems.into_iter().map(|name| topic(name.clone(), EVENTS));
    topics::wanted(&config.source.kafka).into_iter().chain(of_gateways).chain(of_siems).collect()
}

pub fn run(command: &TopicsCommand) -> anyhow::Result<()> {
    match command {
        TopicsCommand::List(args) => list(&Config::load(Some(&args.config))?),
        TopicsCommand::Create(args) => {
            let config = Config::load(Some(&args.config.config))?;
            let kafka = &config.source.kafka;
            let to_make: Vec<Wanted> = wanted(&config)
                .into_iter()
                .filter_map(|topic| match (topic.ours, args.raw_partitions) {
                    (true, _) => Some(topic),
                    (false, Some(partitions)) => Some(Wanted { partitions, ..topic }),
                    (false, None) => None,
                })
                .collect();
            let made = create_missing(kafka, &to_make)?;
            for name in &made {
                println!("made {name}");
            }
            list(&config)
        }
        TopicsCommand::Remove(args) => remove(&args.topic, &Config::load(Some(&args.config.config))?),
    }
}

/// A router that still reads the topic would name it again with its next mark.
fn remove(topic: &str, config: &Config) -> anyhow::Result<()> {
    if config.source.kafka.topics.iter().any(|raw| raw.name == topic) {
        let problem = format!(
            "`{topic}` is under [[source.kafka.topics]] of the configuration; take it out there, start `route` again, and \
             then remove it"
        );
        return Err(Misuse(problem).into());
    }
    tell_lanes(&config.source.kafka, &Message::TopicRemoved(topic.into()))?;
    println!("no lane waits for `{topic}` any more");
    Ok(())
}

fn list(config: &Config) -> anyhow::Result<()> {
    let kafka = &config.source.kafka;
    let wanted = wanted(config);
    let names: Vec<&str> = wanted.iter().map(|topic| topic.name.as_str()).collect();
    let there = describe(admin(kafka)?.inner(), &names)?;
    println!("{:<32} {:<14} {:>10}  state", "topic", "purpose", "partitions");
    for topic in &wanted {
        let found = there.iter().find(|found| found.name == topic.name);
        let (partitions, state) = match found {
            Some(found) => match found.problem {
                None => (found.partitions.len().to_string(), "there".to_owned()),
                Some(problem) => ("-".to_owned(), problem.to_string()),
            },
            None => ("-".to_owned(), "no answer".to_owned()),
        };
        println!("{:<32} {:<14} {:>10}  {state}", topic.name, topic.purpose, partitions);
    }
    Ok(())
}
