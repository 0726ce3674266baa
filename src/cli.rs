//! The commands and what they take. Bodies live in the files named after them.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

#[cfg(feature = "kafka")]
use crate::live;
use crate::respond::commands::{actions, audit, evidence, incidents, mode, playbooks, tokens, verdicts};
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
    /// Incidents of a store or of a running service: `list`, `show ID`, and `stats`: times to detect and to isolate.
    #[command(subcommand)]
    Incidents(incidents::IncidentsCommand),
    /// What is proposed and in force in a running service: `list`, `show`, `approve`, `deny`, `release`, `extend`.
    #[command(subcommand)]
    Actions(actions::ActionsCommand),
    /// How much a running service does without being asked: `show`, `observe`, `approve`, `auto`; `stop` and `resume`.
    #[command(subcommand)]
    Mode(mode::ModeCommand),
    /// What people say that an incident was: `give` and `list`.
    #[command(subcommand)]
    Verdicts(verdicts::VerdictsCommand),
    /// Who may use the API of a running service: `create`, `list`, `revoke`.
    #[command(subcommand)]
    Tokens(tokens::TokensCommand),
    /// Playbooks: `check` them, `test` them on history before anything is switched on, `export` and `import` CACAO.
    #[command(subcommand)]
    Playbooks(playbooks::PlaybooksCommand),
    /// The journal of all that was decided and done: `verify` that it is what was written.
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Bundle all about one incident into one signed file, or `verify` such a file. No payloads, no secrets.
    Evidence(evidence::EvidenceArgs),
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
        Command::Evidence(args) => evidence::run(&args),
        Command::Actions(command) => actions::run(&command),
        Command::Mode(command) => mode::run(&command),
        Command::Verdicts(command) => verdicts::run(&command),
        Command::Tokens(command) => tokens::run(&command),
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

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parsed(line: &str) -> Result<Cli, String> {
        let words = std::iter::once("vedette").chain(line.split(' '));
        Cli::try_parse_from(words).map_err(|error| error.to_string())
    }

    #[test]
    fn the_arguments_contradict_each_other_nowhere() {
        Cli::command().debug_assert();
    }

    #[test]
    fn what_people_say_to_a_running_service() {
        for line in [
            "actions list --state proposed --site north --limit 3 --json",
            "actions show a1 --url https://vedette.example.org:9465 --ca ca.pem --token-file token",
            "actions approve a1 a2 --note seen",
            "actions release a1",
            "actions extend a1 --for 4h",
            "actions extend a1 --until 2026-01-31T12:00:00Z",
            "mode show",
            "mode auto --gateway edge",
            "mode observe --playbook compromise --note quiet",
            "mode stop --note storm",
            "mode resume",
            "incidents list --url http://127.0.0.1:9465 --open",
            "incidents show i1 --store out",
            "incidents stats --store out",
            "verdicts give true --incident i1",
            "verdicts give benign-change --finding f1 --scope device_type --expires 30d --preview",
            "verdicts list --device lamp-1",
            "tokens create --name anna --role responder --expires 90d --file tokens.toml",
            "tokens list --file tokens.toml",
            "tokens revoke 3f9a0c1d --file tokens.toml",
            "evidence i1 --out bundle.zip --store out --key key",
            "evidence i1 --out bundle.zip --config vedette.toml --whole-journal",
            "evidence verify bundle.zip",
        ] {
            assert_eq!(parsed(line).err(), None, "{line}");
        }
    }

    #[test]
    fn what_is_missing_or_contradicts_is_told() {
        for (line, told) in [
            ("actions list --state open", "`open` is no state"),
            ("actions approve", "<ID>"),
            ("actions extend a1", "--for"),
            ("actions extend a1 --for 4h --until 2026-01-31T12:00:00Z", "cannot be used with"),
            ("mode auto --gateway edge --playbook p", "cannot be used with"),
            ("incidents list --store out --url http://127.0.0.1:1", "cannot be used with"),
            ("verdicts give true", "--incident"),
            ("verdicts give yes --incident i1", "`yes` is no verdict"),
            ("verdicts give false --incident i1 --scope device", "--expires"),
            ("tokens create --name anna --role root --file f", "`root` is no role"),
            ("evidence i1 --store out", "--out"),
            ("evidence i1 --out bundle.zip", "--store"),
            ("evidence i1 --out bundle.zip --store out --config c", "cannot be used with"),
        ] {
            let error = parsed(line).err().unwrap_or_default();
            assert!(error.contains(told), "{line}: {error}");
        }
        let verify = parsed("evidence verify bundle.zip --key 00").map(|cli| cli.command);
        let Ok(Command::Evidence(evidence::EvidenceArgs { command: Some(_), .. })) = verify else {
            panic!("`evidence verify` is a command of its own");
        };
    }
}
