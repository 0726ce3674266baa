//! The topics there are, those that are missing, and making them.

use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::{Client, ClientContext, DefaultClientContext};
use rdkafka::config::FromClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;

use super::client::{Purpose, failed, settings};
use super::config::KafkaConfig;
use super::native::{Described, describe_topics};
use crate::error::Error;

const PATIENCE: Duration = Duration::from_secs(10);

/// A topic that ought to be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub name: String,
    pub purpose: &'static str,
    pub partitions: i32,
    /// Ours to make; raw topics are their producers'.
    pub ours: bool,
}

/// Every topic that the configuration names.
pub fn wanted(config: &KafkaConfig) -> Vec<Wanted> {
    let topic = |name: &str, purpose, partitions, ours| Wanted { name: name.to_owned(), purpose, partitions, ours };
    let mut all = vec![
        topic(&config.readings, "readings", i32::from(config.readings_partitions), true),
        topic(&config.cohorts, "cohorts", 1, true),
        topic(&config.identities, "identities", 1, true),
        topic(&config.findings, "findings", 1, true),
        topic(&config.journal, "journal", 1, true),
        topic(&config.commands, "commands", 1, true),
    ];
    if !config.dead_letter.is_empty() {
        all.push(topic(&config.dead_letter, "dead letters", 1, true));
    }
    all.extend(config.topics.iter().map(|raw| raw_topic(&raw.name, 1)));
    all
}

/// A raw topic is its producers' to make, unless somebody asks for it.
pub fn raw_topic(name: &str, partitions: i32) -> Wanted {
    Wanted { name: name.to_owned(), purpose: "raw records", partitions, ours: false }
}

/// # Errors
/// No broker answered; a topic's own problem is in its description.
pub fn describe<C: ClientContext>(client: &Client<C>, names: &[&str]) -> Result<Vec<Described>, Error> {
    describe_within(client, names, PATIENCE)
}

pub fn describe_within<C: ClientContext>(
    client: &Client<C>,
    names: &[&str],
    patience: Duration,
) -> Result<Vec<Described>, Error> {
    describe_topics(client, names, patience)
        .map_err(|code| failed("asking the brokers for topics", &KafkaError::AdminOp(code)))
}

pub fn admin(config: &KafkaConfig) -> Result<AdminClient<DefaultClientContext>, Error> {
    AdminClient::from_config(&settings(config, Purpose::Admin)?)
        .map_err(|error| failed("making an admin client", &error))
}

/// Makes those that are missing; gives the names of what was made.
pub fn create_missing(config: &KafkaConfig, wanted: &[Wanted]) -> Result<Vec<String>, Error> {
    let admin = admin(config)?;
    let names: Vec<&str> = wanted.iter().map(|topic| topic.name.as_str()).collect();
    let there = describe(admin.inner(), &names)?;
    let missing = |topic: &&Wanted| {
        let problem = there.iter().find(|described| described.name == topic.name).and_then(|found| found.problem);
        problem == Some(RDKafkaErrorCode::UnknownTopicOrPartition)
    };
    let to_make: Vec<&Wanted> = wanted.iter().filter(missing).collect();
    if to_make.is_empty() {
        return Ok(Vec::new());
    }
    let topics: Vec<NewTopic<'_>> = to_make
        .iter()
        .map(|topic| {
            let new =
                NewTopic::new(&topic.name, topic.partitions, TopicReplication::Fixed(config.replication_factor.into()));
            match topic.purpose {
                // Marks vouch by the broker's clock; see ARCHITECTURE.md.
                "readings" => new.set("message.timestamp.type", "LogAppendTime").set("max.message.bytes", "4194304"),
                // The first record of a cohort holds for as long as the readings topic is there.
                "cohorts" => new.set("cleanup.policy", "delete").set("retention.ms", "-1").set("retention.bytes", "-1"),
                "identities" => new.set("cleanup.policy", "compact").set("segment.bytes", "16777216"),
                // It is the audit trail as well.
                "journal" => new.set("cleanup.policy", "delete").set("retention.ms", "-1").set("retention.bytes", "-1"),
                "findings" => new.set("retention.ms", "-1").set("max.message.bytes", "16777216"),
                _ => new,
            }
        })
        .collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| Error::Kafka {
        doing: "making topics".to_owned(),
        problem: error.to_string(),
        retry: false,
    })?;
    let made = runtime
        .block_on(admin.create_topics(&topics, &AdminOptions::new().operation_timeout(Some(PATIENCE))))
        .map_err(|error| failed("making topics", &error))?;
    let mut names = Vec::new();
    for result in made {
        match result {
            Ok(name) => names.push(name),
            // Somebody else was faster.
            Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((name, code)) => return Err(failed(format!("making topic `{name}`"), &KafkaError::AdminOp(code))),
        }
    }
    Ok(names)
}
