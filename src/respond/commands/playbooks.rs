//! `vedette playbooks`: check them, try them on history, and exchange them as CACAO.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, Subcommand};
use datasets::scorecard::load::Stored;
use datasets::scorecard::text::{Table, listed, moment};
use fleet::{EventTime, Mode};
use responders::playbook::cacao;

use super::history::{Answered, answer};
use crate::config::{Config, Misuse};
use crate::demo::temporary_folder;
use crate::replay::{self, ReplayArgs, mode};
use crate::respond::gateways;
use crate::respond::playbooks as compiled;
use crate::show::{say, word};

#[derive(Subcommand)]
pub enum PlaybooksCommand {
    /// Say what is wrong with playbooks: each mistake with its line, and what is probably not meant.
    Check(CheckArgs),
    /// What they would have done: over the findings of a store, or a data set that is replayed first.
    Test(TestArgs),
    /// Write playbooks as CACAO 2.0, and say what that standard has no word for.
    Export(ExportArgs),
    /// Read a CACAO 2.0 playbook, write it as ours, and say what of it does not map.
    Import(ImportArgs),
}

#[derive(Args, Clone)]
pub struct CheckArgs {
    /// The folder [default: the shipped ones]
    #[arg(value_name = "DIR")]
    pub folder: Option<PathBuf>,
    /// Configuration: whether its gateways can give what the playbooks ask for is checked too
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

#[derive(Args, Clone)]
pub struct TestArgs {
    /// The folder [default: the shipped ones]
    #[arg(value_name = "DIR")]
    pub folder: Option<PathBuf>,
    /// A data set, such as datasets/demo.toml: replayed first, into a folder that is removed afterwards
    #[arg(long, value_name = "FILE", conflicts_with = "store", required_unless_present = "store")]
    pub dataset: Option<PathBuf>,
    /// Folder with the files the data set names; else beside the TOML file
    #[arg(long, value_name = "DIR", requires = "dataset")]
    pub path: Option<PathBuf>,
    /// History: the folder a replay wrote (`--out` there), or the embedded store of `vedette run`
    #[arg(long, value_name = "DIR")]
    pub store: Option<PathBuf>,
    /// As if everything were in this mode; nobody is reached
    #[arg(long, value_name = "MODE", value_parser = mode, default_value = "auto")]
    pub mode: Mode,
    /// Playbooks to compare with, such as those before a change
    #[arg(long, value_name = "DIR")]
    pub against: Option<PathBuf>,
    /// Configuration: caps, never-list
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

#[derive(Args, Clone)]
pub struct ExportArgs {
    /// The folder [default: the shipped ones]
    #[arg(value_name = "DIR")]
    pub folder: Option<PathBuf>,
    /// Where the JSON files go, one a playbook
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}

#[derive(Args, Clone)]
pub struct ImportArgs {
    /// The CACAO playbook, JSON
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Where to write ours [default: standard output]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

pub fn run(command: &PlaybooksCommand) -> anyhow::Result<()> {
    match command {
        PlaybooksCommand::Check(args) => check(args),
        PlaybooksCommand::Test(args) => test(args),
        PlaybooksCommand::Export(args) => export(args),
        PlaybooksCommand::Import(args) => import(args),
    }
}

fn check(args: &CheckArgs) -> anyhow::Result<()> {
    let config = Config::load(args.config.as_deref())?;
    let folder = args.folder.as_deref().or(config.responders.playbooks.as_deref());
    let playbooks = compiled::load(folder)?;
    let mut table = Table::new(&["playbook", "mode", "priority", "steps", "title"]);
    for playbook in playbooks.iter() {
        let steps = playbook.steps.iter().map(|step| step.level.name());
        let (mode, priority) = (playbook.mode.to_string(), playbook.priority.to_string());
        table.row([playbook.id.to_string(), mode, priority, listed(steps), playbook.title.clone()]);
    }
    let mut out = table.render();
    for warning in compiled::all(folder)?.warnings() {
        out += &format!("warning: {warning}\n");
    }
    if !config.gateways.is_empty() {
        let (_, posts) = gateways::open(&config)?;
        gateways::wanting(&playbooks, &posts).iter().for_each(|what| out += &format!("warning: {what}\n"));
    }
    if args.config.is_some() {
        let untold = gateways::untold(&playbooks, &config.responders.tell);
        untold.iter().for_each(|what| out += &format!("warning: {what}\n"));
    }
    say(&out)
}

fn test(args: &TestArgs) -> anyhow::Result<()> {
    let config = Config::load(args.config.as_deref())?;
    let folder = args.folder.as_deref().or(config.responders.playbooks.as_deref());
    // Wrong playbooks are told of before a replay that takes minutes.
    let playbooks = compiled::load(folder)?.in_mode(args.mode);
    let against = args.against.as_deref().map(|folder| compiled::load(Some(folder))).transpose()?;
    let of_replay = temporary_folder()?;
    let stored = match (&args.store, &args.dataset) {
        (Some(store), _) => Stored::open(store)?,
        (None, Some(dataset)) => replayed(dataset, args, of_replay.path())?,
        (None, None) => return Err(Misuse("name a --store or a --dataset to test on".to_owned()).into()),
    };
    let responders = responders::Config { mode: args.mode, ..config.responders };
    let config = Config { responders, ..config };
    let answered = answer(&stored, playbooks, &config)?;
    let mut out = told(&answered, args.mode);
    if let Some(against) = against {
        let before = answer(&stored, against.in_mode(args.mode), &config)?;
        out += &difference(&before, &answered);
    }
    say(&out)
}

fn replayed(dataset: &Path, args: &TestArgs, out: &Path) -> anyhow::Result<Stored> {
    let replay = ReplayArgs {
        dataset: dataset.to_owned(),
        path: args.path.clone(),
        out: out.join("store"),
        config: args.config.clone(),
        budget: None,
        seed: None,
        lanes: None,
        playbooks: None,
        mode: None,
        quiet: true,
    };
    replay::run(&replay)?;
    Ok(Stored::open(&replay.out)?)
}

fn told(answered: &Answered, mode: Mode) -> String {
    let mut table =
        Table::new(&["!found (UTC)", "!device", "!level", "!playbook", "!outcome", "of an incident", "!reason"]);
    for done in &answered.done {
        let incident = match done.is_incident {
            Some(true) => "yes",
            Some(false) => "no",
            None => "-",
        };
        table.row([
            moment(done.at),
            done.device_id.to_string(),
            done.level.to_string(),
            done.playbook.to_string(),
            done.outcome.clone(),
            incident.to_owned(),
            done.reason.clone(),
        ]);
    }
    let mut out = table.render();
    out += &format!("\n{} findings, {} actions in mode {mode}\n", answered.findings, answered.done.len());
    let (incident, benign, all) =
        (answered.restricted(Some(true)), answered.restricted(Some(false)), answered.restricted(None));
    if answered.is_labelled {
        out += &format!("restricted: {} devices in a labelled incident of theirs\n", incident.len());
        out += &match benign.len() {
            0 => "restricted: no benign device\n".to_owned(),
            many => format!("restricted: {many} BENIGN devices: {}\n", listed(benign.into_iter())),
        };
    } else {
        out += &format!("restricted: {} devices (nothing is labelled here)\n", all.len());
    }
    let mut levels: BTreeMap<&str, usize> = BTreeMap::new();
    for done in &answered.done {
        *levels.entry(done.level.name()).or_default() += 1;
    }
    for (level, many) in levels {
        out += &format!("  {many} x {level}\n");
    }
    out
}

fn difference(before: &Answered, now: &Answered) -> String {
    let line = |sign: char, done: &super::history::Done| {
        let lasts = done.lasts.map(|lasts| format!(" for {lasts}")).unwrap_or_default();
        let (at, device, level, playbook) = (moment(done.at), &done.device_id, done.level, &done.playbook);
        format!("{sign} {at} {device} {level}{lasts} ({playbook}): {}\n", done.outcome)
    };
    let gone = before.done.iter().filter(|done| !now.done.contains(done)).map(|done| line('-', done));
    let new = now.done.iter().filter(|done| !before.done.contains(done)).map(|done| line('+', done));
    let changes: String = gone.chain(new).collect();
    let changes = if changes.is_empty() { "none\n".to_owned() } else { changes };
    format!("\nDifference (-: before, +: now)\n{changes}")
}

fn export(args: &ExportArgs) -> anyhow::Result<()> {
    std::fs::create_dir_all(&args.out).with_context(|| format!("`{}` cannot be made", args.out.display()))?;
    let mut told = String::new();
    for playbook in &compiled::all(args.folder.as_deref())? {
        let exported = cacao::export(playbook, now())?;
        let path = args.out.join(format!("{}.json", playbook.id));
        store::write_file(&path, &serde_json::to_vec_pretty(&exported.json)?)?;
        told += &format!("{}\n", path.display());
        exported.not_mapped.iter().for_each(|what| told += &format!("  not mapped: {what}\n"));
    }
    say(&told)
}

#[expect(clippy::disallowed_methods, reason = "when it was written, for whoever has an older one")]
fn now() -> EventTime {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    EventTime(i64::try_from(since.as_micros()).unwrap_or(0))
}

fn import(args: &ImportArgs) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(&args.file)
        .map_err(|error| Misuse(format!("`{}` cannot be read: {error}", args.file.display())))?;
    let imported = cacao::import(&text).map_err(|error| Misuse(format!("`{}`: {error}", args.file.display())))?;
    for what in &imported.not_mapped {
        eprintln!("not mapped: {what}");
    }
    if imported.playbook.mode != Mode::Observe {
        eprintln!("note: it arrives in mode {}: change that where it is somebody else's", imported.playbook.mode);
    }
    let toml = imported.playbook.to_toml()?;
    match &args.out {
        Some(path) if path.exists() => {
            Err(Misuse(format!("`{}` exists, and an import replaces nothing; name another file", path.display()))
                .into())
        }
        Some(path) => {
            store::write_file(path, toml.as_bytes())?;
            eprintln!("written; check it with `vedette playbooks check {}`", word(&folder_of(path)));
            Ok(())
        }
        None => say(&toml),
    }
}

fn folder_of(path: &Path) -> String {
    path.parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .map_or_else(|| ".".to_owned(), |it| it.display().to_string())
}
