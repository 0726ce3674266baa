//! `vedette run`: the three roles as a service, joined by Kafka topics.
//!
//! * [`route`]: raw topics to the readings log
//! * [`judge`]: the readings log to windows and findings
//! * [`act`]: findings to incidents and actions; [`message`]: what it reads
//! * [`respond`]: what is done about findings, beside `act`
//! * [`trainer`]: new baselines from what is stored
//! * [`commands`]: `feed`, `check`, `topics`, `baselines train`, `pin` and `rollback`
//! * [`admin`], [`status`], [`metrics`], [`trace`]: what the outside may ask, and is told
//! * [`run_file`]: what whoever looks at the embedded store must know; [`tidy`]: its many files become few
//! * [`assignment`], [`retry`], [`logs`], [`stop`]: what the roles share

mod act;
mod admin;
mod assignment;
pub mod commands;
mod judge;
mod logs;
mod message;
mod metrics;
mod respond;
mod retry;
mod route;
mod run_file;
mod status;
mod stop;
mod tidy;
mod trace;
pub mod trainer;

pub use self::respond::over_topics;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, anyhow};
use clap::{Args, ValueEnum};
use detect::Prepared;
use ingest::kafka::config::KafkaConfig;
use ingest::kafka::native::Described;
#[cfg(feature = "clickhouse")]
use ingest::kafka::topics::admin;
use ingest::kafka::topics::describe;
use rdkafka::client::{Client, ClientContext};
#[cfg(feature = "clickhouse")]
use store::ClickHouseStore;
use store::{Home, ParquetStore, Store};

use self::judge::JudgeParts;
use self::retry::Pause;
use self::status::Status;
use self::stop::Stop;
use crate::config::{Config, Misuse};
use crate::lane::Shelf;
use crate::telemetry::Telemetry;

/// A role that ran for so long has recovered from whatever ended it before.
const LONG_ENOUGH: Duration = Duration::from_secs(60);
/// Problems of a role, each told once until it has recovered.
const MOST_SAID: usize = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Role {
    /// Raw topics to the readings log.
    Route,
    /// The readings log to windows, evidence and findings.
    Judge,
    /// Findings to incidents and actions.
    Act,
}

impl Role {
    fn name(self) -> &'static str {
        match self {
            Role::Route => "route",
            Role::Judge => "judge",
            Role::Act => "act",
        }
    }
}

#[derive(Args, Clone)]
pub struct RunArgs {
    /// Configuration (docs/configuration.md has every key and its default)
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Which roles this process has
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Role::Route, Role::Judge, Role::Act])]
    pub roles: Vec<Role>,
}

pub fn run(args: &RunArgs) -> anyhow::Result<()> {
    let config = configured(&args.config)?;
    let telemetry = Telemetry::start(&config.telemetry)?;
    if args.roles.contains(&Role::Act) {
        respond::check(&config)?;
    }
    let stop = Stop::default();
    stop.on_signals()?;
    let store: Option<Arc<dyn Home>> = match args.roles.as_slice() {
        [Role::Route] => None,
        _ => match wait_for_store(&config, &stop)? {
            Some(store) => Some(store),
            None => return Ok(()),
        },
    };
    let status = Status::default();
    args.roles.iter().for_each(|role| status.left(*role));
    metrics::begin(&config, &status);
    if let Some(store) = &store {
        let store: Arc<dyn Store> = Arc::clone(store) as Arc<dyn Store>;
        status.watch(&store, &stop);
    }
    tracing::info!(roles = ?args.roles, brokers = config.source.kafka.brokers, "vedette runs");
    let mut failure = None;
    std::thread::scope(|scope| {
        let mut roles = Vec::new();
        let (of_admin, stop_of_admin) = (&config.run, &stop);
        let asked = admin::Asked::new(of_admin, status.clone(), telemetry.registry());
        let admin = move || {
            let served = admin::serve(of_admin, asked, stop_of_admin);
            if served.is_err() {
                stop_of_admin.ask();
            }
            served
        };
        roles.push((
            "admin".to_owned(),
            std::thread::Builder::new().name("admin".to_owned()).spawn_scoped(scope, admin),
        ));
        if let Some(store) = store.as_ref().filter(|_| args.roles.contains(&Role::Act) && config.api.is_some()) {
            let (shared, store, stop) = (Arc::new(config.clone()), Arc::clone(store), &stop);
            let api = move || {
                let served = respond::serve(&shared, store, stop);
                if served.is_err() {
                    stop.ask();
                }
                served
            };
            roles.push(("api".to_owned(), std::thread::Builder::new().name("api".to_owned()).spawn_scoped(scope, api)));
        }
        for role in &args.roles {
            let (config, stop, status, store) = (&config, &stop, status.clone(), store.clone());
            let name = role.name().to_owned();
            let started = std::thread::Builder::new().name(name.clone()).spawn_scoped(scope, move || {
                let done = again_and_again(role.name(), stop, || {
                    let done = match (role, &store) {
                        (Role::Route, _) => route::run(config, status.clone(), stop),
                        (Role::Judge, Some(store)) => {
                            let parts = JudgeParts {
                                shelf: shelf(store, config),
                                store: Arc::clone(store),
                                status: status.clone(),
                            };
                            judge::run(config, parts, stop)
                        }
                        (Role::Act, Some(store)) => {
                            let store: Arc<dyn Store> = Arc::clone(store) as Arc<dyn Store>;
                            act::run(config, &store, &status, stop)
                        }
                        (_, None) => Err(anyhow!("there is no store")),
                    };
                    status.left(*role);
                    done
                });
                // One role that cannot go on ends the process: whoever supervises it starts all of it again.
                stop.ask();
                done
            });
            roles.push((name, started));
        }
        for (name, started) in roles {
            let ended = match started.map(|role| role.join()) {
                Ok(Ok(done)) => done,
                Ok(Err(_)) => Err(anyhow!("it panicked; this is a defect of vedette, please report it")),
                Err(error) => Err(error.into()),
            };
            if let Err(error) = ended {
                failure.get_or_insert(error.context(format!("role {name}")));
            }
        }
    });
    failure.map_or(Ok(()), Err)
}

/// Runs a role until it is done. What may pass by itself, such as brokers that do not answer, ends a role but not the
/// process: it begins again from what it committed.
fn again_and_again(role: &str, stop: &Stop, mut work: impl FnMut() -> anyhow::Result<()>) -> anyhow::Result<()> {
    let mut pause = Pause::default();
    // Brokers that go away are told of in other words by turns; of what somebody has to mend, the last word counts.
    let mut said: Vec<String> = Vec::new();
    loop {
        let began = Instant::now();
        let (error, passes) = match work() {
            Err(error) if stop.is_asked() => {
                let problem = format!("{error:#}");
                tracing::warn!(role, problem, "stopped before everything was done; the rest is done at the next start");
                return Ok(());
            }
            Err(error) if may_pass(&error) => (error, true),
            // Meanwhile the other roles go on.
            Err(error) if must_be_mended(&error) => (error, false),
            done => return done,
        };
        if began.elapsed() > LONG_ENOUGH {
            (pause, said) = (Pause::default(), Vec::new());
        }
        let problem = format!("{error:#}");
        let is_told = if passes { said.contains(&problem) } else { said.first() == Some(&problem) };
        if !is_told {
            if passes {
                tracing::warn!(role, problem, "the role begins again from what it committed");
            } else {
                tracing::error!(role, problem, "the role stands still; it begins again in a while");
            }
            said.truncate(MOST_SAID - 1);
            said.insert(0, problem);
        }
        if !pause.wait(&|| !stop.is_asked()) {
            return Ok(());
        }
    }
}

/// What a role cannot do its work without, until somebody mends it.
#[derive(Debug)]
pub struct StandsStill(pub String);

impl fmt::Display for StandsStill {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl std::error::Error for StandsStill {}

fn must_be_mended(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| cause.is::<store::Error>() || cause.is::<StandsStill>())
}

fn may_pass(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.downcast_ref::<ingest::Error>().is_some_and(ingest::Error::retry)
            || cause.downcast_ref::<store::Error>().is_some_and(store::Error::retry)
    })
}

/// What is found is told after the lateness of the latest source, as in a replay after that of its data set.
fn configured(path: &Path) -> anyhow::Result<Config> {
    let mut config = Config::load(Some(path))?;
    if let Some(lateness) = config.source.kafka.topics.iter().map(|topic| topic.lateness_seconds).max() {
        config.ingest.lateness_seconds = lateness;
        config.detect.lateness_seconds = lateness;
    }
    Ok(config)
}

/// For commands that look at a running system's baselines, or add to them.
fn open_beside(config: &Config) -> anyhow::Result<Arc<dyn Home>> {
    if config.store.clickhouse.is_used() {
        return clickhouse(config);
    }
    Ok(Arc::new(ParquetStore::beside(&config.store.path, config.store.clone())?))
}

/// A server that is away is waited for, as while running; a store that cannot be used ends the start. `None`: asked to stop.
fn wait_for_store(config: &Config, stop: &Stop) -> anyhow::Result<Option<Arc<dyn Home>>> {
    let mut pause = Pause::default();
    let mut said: Option<Instant> = None;
    loop {
        let error = match open_store(config, stop) {
            Err(error) if config.store.clickhouse.is_used() && may_pass(&error) => error,
            opened => return opened.map(Some),
        };
        if said.is_none_or(|at| at.elapsed() >= LONG_ENOUGH) {
            tracing::warn!(error = format!("{error:#}"), "cannot open the store; trying until it works");
            said = Some(Instant::now());
        }
        if !pause.wait(&|| !stop.is_asked()) {
            return Ok(None);
        }
    }
}

fn open_store(config: &Config, stop: &Stop) -> anyhow::Result<Arc<dyn Home>> {
    if config.store.clickhouse.is_used() {
        return clickhouse(config);
    }
    let store = Arc::new(ParquetStore::create(&config.store.path, config.store.clone())?);
    run_file::note(config)?;
    tidy::start(config, &store, stop)?;
    Ok(store)
}

#[cfg(feature = "clickhouse")]
fn clickhouse(config: &Config) -> anyhow::Result<Arc<dyn Home>> {
    let kafka = &config.source.kafka;
    let readings = readings_topic(admin(kafka)?.inner(), kafka)?;
    let tell = |what: &str| tracing::warn!("{what}");
    Ok(Arc::new(ClickHouseStore::open(&config.store.clickhouse, &readings.id, &tell)?))
}

/// The journal in Kafka, from its beginning to its present end.
///
/// # Errors
/// Brokers do not answer; it is broken, where.
pub fn read_journal(
    kafka: &KafkaConfig,
    chain: &mut responders::journal::Chain,
    mut each: impl FnMut(&responders::journal::Entry),
) -> anyhow::Result<()> {
    read_journal_lines(kafka, chain, |entry, _| each(entry))
}

/// The same, each entry with its line.
///
/// # Errors
/// As [`read_journal`].
pub fn read_journal_lines(
    kafka: &KafkaConfig,
    chain: &mut responders::journal::Chain,
    each: impl FnMut(&responders::journal::Entry, &str),
) -> anyhow::Result<()> {
    let consumer = respond::journal::reader(kafka)?;
    respond::journal::read_lines(kafka, &consumer, chain, each).map(|_| ())
}

/// A service's store, for commands that only look.
///
/// # Errors
/// It is not there, or nobody answers.
pub fn look_into(config: &Config) -> anyhow::Result<Arc<dyn Home>> {
    if config.store.clickhouse.is_used() {
        return clickhouse(config);
    }
    Ok(Arc::new(ParquetStore::open(&config.store.path)?))
}

/// What positions in a service's store mean.
///
/// # Errors
/// The store's file about it is not ours.
pub fn run_info(config: &Config) -> anyhow::Result<datasets::scorecard::run::RunInfo> {
    run_file::known(config)
}

/// The readings log, as the brokers have it: each of its partitions is a lane.
fn readings_topic<C: ClientContext>(client: &Client<C>, kafka: &KafkaConfig) -> anyhow::Result<Described> {
    our_topic(client, &kafka.readings)
}

fn our_topic<C: ClientContext>(client: &Client<C>, name: &str) -> anyhow::Result<Described> {
    let described = describe(client, &[name])?.into_iter().next();
    described
        .filter(|topic| topic.problem.is_none() && !topic.partitions.is_empty())
        .with_context(|| format!("topic `{name}` is not there; make it with `vedette topics create`"))
}

#[cfg(not(feature = "clickhouse"))]
fn clickhouse(config: &Config) -> anyhow::Result<Arc<dyn Home>> {
    Err(anyhow!("`{}` is to be the store, and this build is without ClickHouse", config.store.clickhouse.url))
}

/// `vedette migrate`
pub fn migrate(args: &commands::topics::ConfigArg) -> anyhow::Result<()> {
    let config = Config::load(Some(&args.config))?;
    if !config.store.clickhouse.is_used() {
        return Err(
            Misuse("there is no `url` under [store.clickhouse]; the embedded store needs no migration".into()).into()
        );
    }
    #[cfg(feature = "clickhouse")]
    {
        let applied = ClickHouseStore::migrate(&config.store.clickhouse, &|what| eprintln!("note: {what}"))?;
        applied.iter().for_each(|name| println!("applied {name}"));
        println!("the tables of `{}` are as this release needs them", config.store.clickhouse.database());
    }
    Ok(())
}

/// Versions that others learned are loaded from the store.
fn shelf(store: &Arc<dyn Home>, config: &Config) -> Shelf {
    let (store, detect) = (Arc::clone(store), config.detect.clone());
    Shelf::loading(Arc::new(move |number| {
        let rows = trainer::rows_of(&store.read_baselines()?, number);
        if rows.is_empty() {
            return Ok(None);
        }
        let prepared: Prepared = detect::prepare(&crate::trainer::version(number, &rows)?, &detect)?;
        Ok(Some(Arc::new(prepared)))
    }))
}

/// For delays and traces; what is found never depends on it.
#[expect(clippy::disallowed_methods, reason = "it measures the service, not event time")]
fn now() -> SystemTime {
    SystemTime::now()
}

fn now_millis() -> i64 {
    now().duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
