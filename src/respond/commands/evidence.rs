//! `vedette evidence`: all about one incident in one signed file, and whether such a file is what was made.

use std::fs::File;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use clap::{ArgGroup, Args, Subcommand};
use datasets::scorecard::load::Stored;
use datasets::scorecard::text::{counted, grouped};
use responders::evidence::excerpt::{Excerpt, Excerpted};
use responders::evidence::{bundle, check};
use responders::journal::sign::Signer;
use responders::rights::Moment;

use super::connection::now;
#[cfg(feature = "kafka")]
use crate::config::Config;
use crate::config::Misuse;
use crate::respond::evidence::{Shelves, gather, ids_like};
use crate::respond::replay::JOURNAL;
use crate::show::names::unknown;
use crate::show::{pasted, program, say};

#[derive(Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    group(ArgGroup::new("where").required(true).args(["store", "config"]))
)]
pub struct EvidenceArgs {
    #[command(subcommand)]
    pub command: Option<EvidenceCommand>,
    /// The incident's id, or the beginning of it
    #[arg(value_name = "INCIDENT", required = true)]
    pub incident: Option<String>,
    /// Where the bundle goes, such as bundle.zip
    #[arg(long, value_name = "FILE", required = true)]
    pub out: Option<PathBuf>,
    /// The folder a replay wrote (`--out` there)
    #[arg(long, value_name = "DIR")]
    pub store: Option<PathBuf>,
    /// Configuration of a service: its store, its journal, its signing key
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Key that signs the bundle (Ed25519, PKCS #8), made where there is none [default: `signing_key` of the configuration's
    /// `[responders]`]
    #[arg(long, value_name = "FILE")]
    pub key: Option<PathBuf>,
    /// Folder of playbooks, for their texts [default: the configuration's, or the shipped ones]
    #[arg(long, value_name = "DIR")]
    pub playbooks: Option<PathBuf>,
    /// The whole journal too, which `vedette audit verify --file` reads; it names other devices
    #[arg(long)]
    pub whole_journal: bool,
}

#[derive(Subcommand)]
pub enum EvidenceCommand {
    /// Check a bundle: the hash of every file, the signature, and the journal's entries. Says which file was changed.
    Verify(VerifyArgs),
}

#[derive(Args, Clone)]
pub struct VerifyArgs {
    /// The bundle
    #[arg(value_name = "FILE")]
    pub bundle: PathBuf,
    /// Public key that has to have signed it, 64 hexadecimal digits; without it a bundle that somebody signed anew looks right
    #[arg(long, value_name = "KEY")]
    pub key: Option<String>,
}

pub fn run(args: &EvidenceArgs) -> anyhow::Result<()> {
    if let Some(EvidenceCommand::Verify(args)) = &args.command {
        return verify(args);
    }
    let (Some(incident), Some(out)) = (&args.incident, &args.out) else {
        return Err(Misuse("name the incident, and the file to write with `--out`".to_owned()).into());
    };
    if out.exists() {
        return Err(
            Misuse(format!("`{}` exists, and evidence replaces nothing; name another file", out.display())).into()
        );
    }
    match (&args.store, &args.config) {
        (Some(store), _) => of_store(args, incident, store, out),
        (None, Some(config)) => of_service(args, incident, config, out),
        (None, None) => Err(Misuse("whose incident? name a folder with `--store`, or a `--config`".to_owned()).into()),
    }
}

fn of_store(args: &EvidenceArgs, begin: &str, store: &Path, out: &Path) -> anyhow::Result<()> {
    let stored = Stored::open(store)?;
    let (these, all) = ids_like(&stored.store, begin)?;
    let id = one(begin, &these, &all, "--store", store)?;
    let path = store.join(JOURNAL);
    let journal = if path.exists() {
        Some(Excerpt::of_file(&path, id, args.whole_journal).map_err(anyhow::Error::msg)?)
    } else {
        eprintln!("note: there is no journal in `{}`; of a service, name its `--config`", store.display());
        None
    };
    let shelves = Shelves { rows: &stored.store, run: &stored.run, journal, playbooks: args.playbooks.as_deref() };
    write(&shelves, id, args.key.as_deref(), out)
}

#[cfg(feature = "kafka")]
fn of_service(args: &EvidenceArgs, begin: &str, path: &Path, out: &Path) -> anyhow::Result<()> {
    let config = Config::load(Some(path))?;
    let home = crate::live::look_into(&config)?;
    let rows: &dyn store::Excerpts = home.as_ref();
    let (these, all) = ids_like(rows, begin)?;
    let id = one(begin, &these, &all, "--config", path)?;
    let mut excerpt = Excerpt::new(id, args.whole_journal);
    let mut chain = responders::journal::Chain::default();
    crate::live::read_journal_lines(&config.source.kafka, &mut chain, |entry, line| excerpt.take(entry, line))?;
    let run = crate::live::run_info(&config)?;
    let folder = args.playbooks.as_deref().or(config.responders.playbooks.as_deref());
    let shelves = Shelves { rows, run: &run, journal: Some(excerpt.finish()), playbooks: folder };
    write(&shelves, id, args.key.as_deref().or(config.responders.signing_key.as_deref()), out)
}

#[cfg(not(feature = "kafka"))]
fn of_service(_: &EvidenceArgs, _: &str, _: &Path, _: &Path) -> anyhow::Result<()> {
    Err(Misuse("this build has no Kafka; name a `--store`".to_owned()).into())
}

/// The only incident that is meant.
fn one<'i>(begin: &str, these: &'i [String], all: &[String], option: &str, place: &Path) -> anyhow::Result<&'i str> {
    match these {
        [id] => Ok(id),
        [] => {
            let list = program(&format!("incidents list --store {}", pasted(place)));
            let remedy =
                if option == "--store" { format!("see `{list}`") } else { "see `vedette incidents list`".to_owned() };
            Err(unknown("incident", begin, all.iter().map(String::as_str), &remedy))
        }
        many => {
            let problem =
                format!("{} incidents begin with `{begin}`; give more of the id, such as `{}`", many.len(), many[0]);
            Err(Misuse(problem).into())
        }
    }
}

fn write(shelves: &Shelves<'_>, id: &str, key: Option<&Path>, out: &Path) -> anyhow::Result<()> {
    let parts = gather(shelves, id)?;
    let signer = key.map(signer).transpose()?;
    let mut packed = Cursor::new(Vec::new());
    let manifest = bundle::write(&mut packed, id, Moment(now()), &parts, signer.as_ref())?;
    let packed = packed.into_inner();
    store::write_file(out, &packed)?;
    let size = grouped(packed.len() as u64);
    let mut told =
        format!("{}: incident {id}, {}, {size} bytes\n", out.display(), counted(manifest.files.len() as u64, "file"));
    match &signer {
        Some(signer) => told += &format!("signed by {}\n", signer.public_key()),
        None => eprintln!("note: it is not signed; name a `--key FILE`, or `signing_key` under [responders]"),
    }
    if let Some(journal) = &shelves.journal {
        told += &covered(journal);
    }
    say(&told)
}

/// What is told of the journal: whether somebody has vouched for its entries.
fn covered(journal: &Excerpted) -> String {
    let entries = format!("journal entries: {}", journal.lines.lines().count());
    match journal.head.as_ref().map(|head| head.covered_by) {
        Some(Some(entry)) => format!("{entries}, covered by the signature in entry {entry}\n"),
        Some(None) => format!("{entries}, not covered by a signature of the journal yet\n"),
        None => "the journal is empty\n".to_owned(),
    }
}

fn signer(path: &Path) -> anyhow::Result<Signer> {
    let is_new = !path.exists();
    let signer = Signer::open(path).map_err(|error| Misuse(error.to_string()))?;
    if is_new {
        eprintln!("note: the key `{}` was made; keep it, and give its public part to whoever checks", path.display());
    }
    Ok(signer)
}

fn verify(args: &VerifyArgs) -> anyhow::Result<()> {
    let file = File::open(&args.bundle)
        .map_err(|error| Misuse(format!("`{}` cannot be read: {error}", args.bundle.display())))?;
    let checked = check::check(std::io::BufReader::new(file), args.key.as_deref())
        .map_err(|error| Misuse(format!("`{}`: {error}", args.bundle.display())))?;
    let manifest = &checked.manifest;
    if !checked.problems.is_empty() {
        let problems = checked.problems.join("\n  ");
        anyhow::bail!("the bundle `{}` is not what was made:\n  {problems}", args.bundle.display());
    }
    let signed = match (&checked.signed_by, &args.key) {
        (Some(key), Some(_)) => format!("signed by {key}, as was asked for"),
        (Some(key), None) => format!("signed by {key}; whose key that is, is not said here: name it with `--key`"),
        (None, _) => "NOT signed: whoever had it could have made it anew".to_owned(),
    };
    say(&format!(
        "the bundle is what was made: incident {}, {}, vedette {}, {}, journal entries: {}\n{signed}\n",
        manifest.incident_id,
        manifest.made_at,
        manifest.vedette,
        counted(manifest.files.len() as u64, "file"),
        checked.entries
    ))
}
