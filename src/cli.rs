//! The commands and what they take. Bodies live in the files named after them.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

#[cfg(feature = "kafka")]
use crate::live;
use crate::respond::commands::{audit, incidents, playbooks};
use crate::show::diff;
use crate::{demo, evaluate, explain_miss, replay, show};

/// Learns the habits of IoT devices from telemetry and flow records, notices the break, and says what to do.
///
/// Start with `vedette demo`: it simulates a fleet, replays it, and ends with a score card and commands to go on with.
#[derive(Parser)]
#[command(name = "vedette", version, arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

impl Cli {
    /// Whoever runs a service reads its log.
    pub fn is_service(&self) -> bool {
        #[cfg(feature = "kafka")]
        return matches!(self.command, Command::Run(_));
        #[cfg(not(feature = "kafka"))]
        false
    }
}

#[derive(Subcommand)]
pub enum Command {
    /// Simulate a fleet of some 200 devices, replay it through the same code as any data, and show what was found.
    Demo(demo::DemoArgs),
    /// Replay a data set: learn, judge, store, and (where there are labels) score.
    Replay(replay::ReplayArgs),
    /// Run as a service: raw topics in Kafka to findings, as configured. Ends on SIGTERM, after what is in hand.
    #[cfg(feature = "kafka")]
    Run(live::RunArgs),
    /// Say what is wrong with a configuration and what it names, before anything runs.
    #[cfg(feature = "kafka")]
    Check(live::commands::check::CheckArgs),
    /// Feed a data set into a raw topic, keyed by device, at any speed.
    #[cfg(feature = "kafka")]
    Feed(live::commands::feed::FeedArgs),
    /// Make or bring up to date the tables in ClickHouse, once, under a lock.
    #[cfg(feature = "kafka")]
    Migrate(live::commands::topics::ConfigArg),
    /// The topics that `run` needs: `list`, or `create` what is missing.
    #[cfg(feature = "kafka")]
    #[command(subcommand)]
    Topics(live::commands::topics::TopicsCommand),
    /// Findings of a store: `list`, or `show ID` with every reason and record.
    #[command(subcommand)]
    Findings(show::FindingsCommand),
    /// Baselines of a store: `list`, or `show TYPE` as a person reads it.
    #[command(subcommand)]
    Baselines(show::BaselinesCommand),
    /// Times to detect and to isolate, of a store.
    #[command(subcommand)]
    Incidents(incidents::IncidentsCommand),
    /// Playbooks: `check` them, `test` them on history before anything is switched on, `export` and `import` CACAO.
    #[command(subcommand)]
    Playbooks(playbooks::PlaybooksCommand),
    /// The journal of all that was decided and done: `verify` that it is what was written.
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// A device's timeline: windows, evidence against the line, findings, near misses.
    #[command(subcommand)]
    Devices(show::DevicesCommand),
    /// Why a labelled incident was not found, or late.
    ExplainMiss(explain_miss::ExplainMissArgs),
    /// What another setting or version changed: findings, incidents and actions of two stores side by side.
    Diff(diff::DiffArgs),
    /// SQL over a store's tables (see docs/tables.md).
    Query(show::QueryArgs),
    /// Measure a detector on labelled data that is no fleet.
    #[command(subcommand)]
    Evaluate(EvaluateCommand),
    /// What this build is made of.
    Version,
}

#[derive(Subcommand)]
pub enum EvaluateCommand {
    /// A labelled feature table (CSV, `label` 0 or 1) against a detector: ROC-AUC and average precision.
    Table(evaluate::TableArgs),
}

#[derive(Args, Clone)]
pub struct StoreArg {
    /// The folder a replay wrote (`--out` there).
    #[arg(long, value_name = "DIR")]
    pub store: PathBuf,
}

pub fn run(arguments: Cli) -> anyhow::Result<()> {
    match arguments.command {
        Command::Demo(args) => demo::run(&args),
        Command::Replay(args) => replay::run(&args).map(|_| ()),
        #[cfg(feature = "kafka")]
        Command::Run(args) => live::run(&args),
        #[cfg(feature = "kafka")]
        Command::Check(args) => live::commands::check::run(&args),
        #[cfg(feature = "kafka")]
        Command::Feed(args) => live::commands::feed::run(&args),
        #[cfg(feature = "kafka")]
        Command::Migrate(args) => live::migrate(&args),
        #[cfg(feature = "kafka")]
        Command::Topics(command) => live::commands::topics::run(&command),
        Command::Findings(command) => show::findings(&command),
        Command::Baselines(command) => show::baselines(&command),
        Command::Incidents(command) => incidents::run(&command),
        Command::Playbooks(command) => playbooks::run(&command),
        Command::Audit(command) => audit::run(&command),
        Command::Devices(command) => show::devices(&command),
        Command::ExplainMiss(args) => explain_miss::run(&args),
        Command::Diff(args) => diff::run(&args),
        Command::Query(args) => show::query(&args),
        Command::Evaluate(EvaluateCommand::Table(args)) => evaluate::run(&args),
        Command::Version => {
            println!("vedette {}", env!("CARGO_PKG_VERSION"));
            #[cfg(feature = "kafka")]
            println!("librdkafka {}", ingest::kafka::librdkafka_version());
            #[cfg(not(feature = "kafka"))]
            println!("built without Kafka");
            Ok(())
        }
    }
}
