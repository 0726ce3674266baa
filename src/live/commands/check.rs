//! `vedette check`: what is wrong, and what to do about it, before anything runs.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use clap::Args;
use ingest::Inventory;
use ingest::kafka::client::{Purpose, create};
use ingest::kafka::committed::committed;
use ingest::kafka::config::KafkaConfig;
use ingest::kafka::native::Described;
use ingest::kafka::topics::{Wanted, describe_within};
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseProducer, Producer};
use rdkafka::types::RDKafkaErrorCode;
use responders::send::probe;
use store::ParquetStore;

use super::strangers::{Strangers, strangers};
use super::topics::{ANSWERS, CALLS, EVENTS, wanted};
use crate::config::{Config, Misuse};
use crate::live::route::partitions::Quiet;
use crate::respond::{gateways, playbooks};

const PATIENCE: Duration = Duration::from_secs(8);
const PAUSE: Duration = Duration::from_millis(200);

#[derive(Args, Clone)]
pub struct CheckArgs {
    /// Configuration (docs/configuration.md has every key and its default)
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
}

/// One thing looked at.
enum Found {
    Fine(String),
    /// Nothing is wrong with it, and it may go wrong.
    Doubtful {
        what: String,
        remedy: &'static str,
    },
    Wrong {
        what: String,
        remedy: String,
    },
}

pub fn run(args: &CheckArgs) -> anyhow::Result<()> {
    let config = Config::load(Some(&args.config))?;
    println!("ok     configuration `{}`", args.config.display());
    let (of_inventory, inventory) = inventory(&config);
    let mut found = vec![of_inventory, store(&config)];
    found.extend(inventory.iter().flat_map(|inventory| unknown(&config, inventory)));
    found.extend(responding(&config));
    found.extend(kafka(&config));
    let mut wrong = 0;
    for thing in &found {
        match thing {
            Found::Fine(what) => println!("ok     {what}"),
            Found::Doubtful { what, remedy } => println!("look   {what}\n       {remedy}"),
            Found::Wrong { what, remedy } => {
                wrong += 1;
                println!("WRONG  {what}\n       {remedy}");
            }
        }
    }
    if wrong > 0 {
        return Err(Misuse(format!("{wrong} of {} things are wrong", found.len() + 1)).into());
    }
    println!("all is well: `vedette run --config {}`", args.config.display());
    Ok(())
}

fn wrong(what: impl Into<String>, remedy: impl Into<String>) -> Found {
    Found::Wrong { what: what.into(), remedy: remedy.into() }
}

fn inventory(config: &Config) -> (Found, Option<Inventory>) {
    let Some(path) = &config.source.inventory else {
        let found = wrong(
            "there is no inventory: every device would be unknown, and none is judged by its type",
            "name a CSV file under [source] inventory (docs/inventory.md)",
        );
        return (found, None);
    };
    let read = std::fs::File::open(path).map_err(|error| error.to_string());
    let parsed =
        read.and_then(|file| Inventory::from_csv(file, &path.display().to_string()).map_err(|error| error.to_string()));
    match parsed {
        Ok(inventory) => {
            let devices = inventory.devices().len();
            (Found::Fine(format!("inventory `{}`: {devices} devices", path.display())), Some(inventory))
        }
        Err(error) => {
            let what = format!("inventory `{}`: {error}", path.display());
            (wrong(what, "correct the file, or [source] inventory"), None)
        }
    }
}

fn unknown(config: &Config, inventory: &Inventory) -> Vec<Found> {
    let folder = config.responders.playbooks.as_deref();
    let own = folder.and_then(|folder| playbooks::all(Some(folder)).ok());
    let found = |Strangers { what, remedy }| Found::Doubtful { what, remedy };
    strangers(config, inventory, own.as_ref()).into_iter().map(found).collect()
}

/// Playbooks, and each gateway as it answers now.
fn responding(config: &Config) -> Vec<Found> {
    let playbooks = match playbooks::load(config.responders.playbooks.as_deref()) {
        Ok(playbooks) => playbooks,
        Err(error) => return vec![wrong(format!("playbooks:\n{error:#}"), "correct them (docs/playbooks.md)")],
    };
    let mut found =
        vec![Found::Fine(format!("{} playbooks, mode {}", playbooks.iter().count(), config.responders.mode))];
    let (opened, posts) = match gateways::open(config) {
        Ok(opened) => opened,
        Err(error) => {
            found.push(wrong(format!("{error:#}"), "correct it under [gateways] (docs/gateways.md)"));
            return found;
        }
    };
    if !posts.is_empty() {
        let remedy = "change the playbook, or add a gateway that can";
        let wanting = gateways::wanting(&playbooks, &posts).into_iter();
        found.extend(wanting.map(|what| Found::Doubtful { what, remedy }));
    }
    found.push(match crate::live::respond::around(config) {
        Ok(()) => Found::Fine("who is told, the API's tokens, the signing key".to_owned()),
        Err(error) => wrong(format!("{error:#}"), "correct it under [[responders.tell]], [api] or `signing_key`"),
    });
    found.extend(
        gateways::untold(&playbooks, &config.responders.tell).into_iter().map(|what| Found::Doubtful {
            what,
            remedy: "name who is told (docs/telling.md), or change the playbooks",
        }),
    );
    found.extend(gateways::uncut(&posts).into_iter().map(|what| Found::Doubtful {
        what,
        remedy: "cut sessions by a further step, `terminate-session`, where a gateway can (docs/playbooks.md)",
    }));
    found.extend(gateways::unguarded(&posts).into_iter().map(|name| Found::Doubtful {
        what: format!("gateway `{name}` goes by addresses, and would cut off its own if a device were taken for it"),
        remedy: "name its management addresses under its `own` (docs/gateways.md)",
    }));
    for mut gateway in opened {
        let name = gateway.about().name.clone();
        found.push(match probe(gateway.as_mut()) {
            Ok(()) => Found::Fine(format!("gateway `{name}`")),
            Err(failure) => {
                wrong(format!("gateway `{name}`: {failure}"), "is it up, and are address and secrets right?")
            }
        });
    }
    found
}

fn store(config: &Config) -> Found {
    if config.store.clickhouse.is_used() {
        return clickhouse(config);
    }
    let path = &config.store.path;
    match ParquetStore::create(path, config.store.clone()) {
        Ok(_) => Found::Fine(format!("embedded store `{}`", path.display())),
        Err(error) => wrong(format!("embedded store: {error}"), "correct [store] path"),
    }
}

#[cfg(feature = "clickhouse")]
fn clickhouse(config: &Config) -> Found {
    let settings = &config.store.clickhouse;
    match store::ClickHouseStore::look(settings) {
        Ok((version, has_database)) => {
            // A name that is mistyped is seen here, or nowhere: it would be made.
            let made = if has_database { "" } else { ", which is not there yet and is made at the start" };
            let database = settings.database();
            Found::Fine(format!("ClickHouse {version} at `{}`, database `{database}`{made}", settings.url))
        }
        Err(error @ store::Error::NoDatabase { .. }) => wrong(
            error.to_string(),
            "if the name is right, run `vedette migrate`, or set migrate = true under [store.clickhouse]",
        ),
        Err(error) => wrong(error.to_string(), clickhouse_remedy(&error.to_string())),
    }
}

#[cfg(not(feature = "clickhouse"))]
fn clickhouse(config: &Config) -> Found {
    wrong(
        format!("`{}` is to be the store, and this build is without ClickHouse", config.store.clickhouse.url),
        "build with the feature `clickhouse`, or leave [store.clickhouse] url out",
    )
}

#[cfg(feature = "clickhouse")]
fn clickhouse_remedy(problem: &str) -> &'static str {
    match problem {
        text if text.contains("Code: 516") || text.contains("Code: 193") || text.contains("Code: 194") => {
            "correct [store.clickhouse] user and password (a file or an environment variable)"
        }
        text if text.contains("Code: 497") => "grant the user what store/migrations/users.sql says",
        text if text.contains("migration") => "run `vedette migrate`, or set migrate = true under [store.clickhouse]",
        _ => "is the server up, and [store.clickhouse] url its HTTP interface (port 8123, or 8443 with https)?",
    }
}

const GRANT: &str = "grant the user Describe and Read on raw topics, Describe, Read and Write on our own; of a gateway's, \
                     Describe and Write on its calls, Describe and Read on its answers";

/// Hears what librdkafka has to say about brokers.
#[derive(Clone, Default)]
struct Listening(Arc<Mutex<Vec<(RDKafkaErrorCode, String)>>>);

impl ClientContext for Listening {
    fn error(&self, error: KafkaError, reason: &str) {
        if let Some(code) = error.rdkafka_error_code() {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push((code, reason.to_owned()));
        }
    }

    fn log(&self, _: RDKafkaLogLevel, _: &str, _: &str) {}
}

impl ConsumerContext for Listening {}

fn kafka(config: &Config) -> Vec<Found> {
    let kafka = &config.source.kafka;
    let heard = Listening::default();
    // An admin client would never be told why brokers cannot be reached: a consumer that is polled is.
    let client: BaseConsumer<Listening> = match create(kafka, Purpose::Watcher, heard.clone()) {
        Ok(client) => client,
        Err(error) => {
            return vec![wrong(error.to_string(), "correct [source.kafka.properties] or [source.kafka.secrets]")];
        }
    };
    let wanted = wanted(config);
    let names: Vec<&str> = wanted.iter().map(|topic| topic.name.as_str()).collect();
    let answered = AtomicBool::new(false);
    let described = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !answered.load(Ordering::Relaxed) {
                let _told_to_the_context = client.poll(PAUSE);
            }
        });
        let described = describe_within(client.client(), &names, PATIENCE);
        answered.store(true, Ordering::Relaxed);
        described
    });
    let described = match described {
        Ok(described) => described,
        Err(error) => return vec![no_answer(&kafka.brokers, &heard, &error.to_string())],
    };
    let mut found = vec![Found::Fine(format!("brokers `{}`", kafka.brokers))];
    if kafka.topics.is_empty() {
        found.push(wrong("there is no raw topic to read", "name one under [[source.kafka.topics]]"));
    }
    for topic in &wanted {
        let there = described.iter().find(|found| found.name == topic.name);
        found.push(state_of(topic, there, &kafka.findings));
    }
    found.extend(groups(kafka));
    found.push(transactions(kafka));
    found
}

/// All at once: where the user may not ask, there is no answer.
fn groups(kafka: &KafkaConfig) -> Vec<Found> {
    std::thread::scope(|scope| {
        let asked = ["route", "judge", "act", "respond"].map(|role| scope.spawn(move || group(kafka, role)));
        asked.map(|asked| asked.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))).into()
    })
}

/// Whether the user may be a member of the role's group.
fn group(kafka: &KafkaConfig, role: &'static str) -> Found {
    let name = format!("{}-{role}", kafka.group);
    let began = Instant::now();
    let ask = |consumer: BaseConsumer<Listening>| {
        loop {
            match committed(&consumer, &kafka.findings, 0) {
                // A group's coordinator is made when it is first asked for.
                Err(error) if error.retry() && began.elapsed() < PATIENCE => std::thread::sleep(PAUSE),
                asked => return asked,
            }
        }
    };
    match create(kafka, Purpose::Member { role }, Listening::default()).and_then(ask) {
        Ok(_) => Found::Fine(format!("group `{name}`")),
        Err(error) => wrong(
            format!("group `{name}`: {error}"),
            "grant the user Read on the groups that begin with [source.kafka] group",
        ),
    }
}

/// Whether the user may keep the journal, which is written in transactions; nobody's are fenced by this name.
fn transactions(kafka: &KafkaConfig) -> Found {
    let of = format!("transactional ids that begin with `{}`", kafka.group);
    let asked = create(kafka, Purpose::Owner { role: "check" }, Quiet)
        .map_err(|error| error.to_string())
        .and_then(|owner: BaseProducer<Quiet>| owner.init_transactions(PATIENCE).map_err(|error| error.to_string()));
    match asked {
        Ok(()) => Found::Fine(of),
        Err(error) => wrong(
            format!("{of}: {error}"),
            "grant the user Describe and Write on the transactional ids that begin with [source.kafka] group",
        ),
    }
}

fn no_answer(brokers: &str, heard: &Listening, error: &str) -> Found {
    let heard = heard.0.lock().unwrap_or_else(PoisonError::into_inner);
    let said = |code| heard.iter().find(|(of, _)| *of == code).map(|(_, reason)| reason.as_str());
    if let Some(reason) = said(RDKafkaErrorCode::Authentication) {
        return wrong(
            format!("brokers `{brokers}` refuse the user: {reason}"),
            "correct `sasl.username` under [source.kafka.properties] and `sasl.password` under [source.kafka.secrets]",
        );
    }
    if let Some(reason) = said(RDKafkaErrorCode::SSL) {
        return wrong(
            format!("brokers `{brokers}`, TLS: {reason}"),
            "correct `security.protocol` and `ssl.ca.location` under [source.kafka.properties]",
        );
    }
    if let Some(reason) = said(RDKafkaErrorCode::Resolve) {
        return wrong(format!("brokers `{brokers}`: {reason}"), "correct the host in [source.kafka] brokers");
    }
    if let Some(reason) = said(RDKafkaErrorCode::BrokerTransportFailure) {
        return wrong(
            format!("brokers `{brokers}`: {reason}"),
            "is the broker up, its port right, and `security.protocol` what that port speaks?",
        );
    }
    wrong(
        format!("brokers `{brokers}`: {error}"),
        "is [source.kafka] brokers right, and `security.protocol` what that port speaks?",
    )
}

fn state_of(topic: &Wanted, there: Option<&Described>, findings: &str) -> Found {
    let Wanted { name, purpose, ours, .. } = topic;
    let Some(there) = there else {
        return wrong(format!("topic `{name}` ({purpose}): no answer"), "ask again");
    };
    let (reads, writes) = (![CALLS, EVENTS].contains(purpose), *ours && *purpose != ANSWERS);
    match there.problem {
        None if *name == findings && there.partitions.len() != 1 => wrong(
            format!("topic `{name}` ({purpose}) has {} partitions", there.partitions.len()),
            "it must have one: findings are counted together; delete it and run `vedette topics create`",
        ),
        None if (reads && !there.may.read) || (writes && !there.may.write) => wrong(
            format!(
                "topic `{name}` ({purpose}) may be looked at by this user, and not {}",
                match (reads, writes) {
                    (true, true) => "read and written",
                    (false, true) => "written",
                    _ => "read",
                }
            ),
            GRANT,
        ),
        None => Found::Fine(format!("topic `{name}` ({purpose}), {} partitions", there.partitions.len())),
        Some(RDKafkaErrorCode::UnknownTopicOrPartition) if *ours => {
            wrong(format!("topic `{name}` ({purpose}) is missing"), "make it with `vedette topics create`")
        }
        Some(RDKafkaErrorCode::UnknownTopicOrPartition) => wrong(
            format!("topic `{name}` ({purpose}) is missing"),
            "start its producer, make it with `vedette topics create --raw-partitions N`, or correct [[source.kafka.topics]]",
        ),
        Some(RDKafkaErrorCode::TopicAuthorizationFailed) => {
            wrong(format!("topic `{name}` ({purpose}) may not be looked at by this user"), GRANT)
        }
        Some(problem) => wrong(format!("topic `{name}` ({purpose}): {problem}"), "see the broker's log"),
    }
}
