//! `vedette demo`: a simulated fleet written as files, then replayed through the same code as any user's data.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use datasets::DataSet;
use datasets::scorecard::load::Stored;
use datasets::simulate::{DemoOptions, is_demo, write_demo};
use fleet::{Finding, FindingKind, Scope};
use tempfile::TempDir;

use crate::config::Misuse;
use crate::replay::{self, ReplayArgs};
use crate::show;

#[derive(Args, Clone)]
pub struct DemoArgs {
    /// Folder for the simulated data (DIR/data) and the store (DIR/store)
    #[arg(long, value_name = "DIR", default_value = "out-demo")]
    pub out: PathBuf,
    /// Seed of the simulated fleet
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// A fleet of so many devices in which nothing is wrong, learned for three days and judged for four: how often each
    /// budget alarms nevertheless (2600: 10,400 device-days, some minutes)
    #[arg(long, value_name = "DEVICES", value_parser = clap::value_parser!(u32).range(20..=100_000))]
    pub benign: Option<u32>,
}

pub fn run(args: &DemoArgs) -> anyhow::Result<()> {
    let data = args.out.join("data");
    let store = args.out.join("store");
    eprintln!("simulating a fleet into `{}`", data.display());
    let options = match args.benign {
        Some(devices) => DemoOptions::benign(args.seed, devices as usize, 3, 4),
        None => DemoOptions { seed: args.seed, ..DemoOptions::default() },
    };
    let files = write_demo(&data, &options)
        .with_context(|| format!("the demo's data cannot be written to `{}`; choose another --out", data.display()))?;
    eprintln!(
        "{} devices, {} records ({} of them unreadable, as in life); replaying",
        files.devices, files.lines, files.broken
    );
    replay::run(&ReplayArgs {
        dataset: files.descriptor,
        path: None,
        out: store.clone(),
        config: None,
        budget: None,
        seed: None,
        lanes: None,
        playbooks: None,
        mode: None,
        quiet: false,
    })?;
    if args.benign.is_some() {
        return Ok(());
    }
    let stored = Stored::open(&store)?;
    let findings = stored.store.rows::<Finding>()?;
    let Some(finding) = worth_telling(&findings) else {
        anyhow::bail!("the demo found nothing; this is a defect of vedette, please report it");
    };
    println!("\nOne finding in full\n");
    print!("{}", show::findings::show_finding(&stored, &finding.finding_id)?);
    println!("\nGo on from here\n");
    for rest in [
        "findings list",
        &format!("devices show {}", show::word(&finding.device_id)),
        &format!("baselines show {}", show::word(&finding.device_type)),
        "query \"select device_type, count(*) from findings group by 1\"",
    ] {
        println!("  {}", show::command(rest, &store));
    }
    let (dataset, other) = (show::pasted(&data.join("demo.toml")), show::pasted(&args.out.join("store-100")));
    println!("  {}", show::program(&format!("replay {dataset} --budget 100 --out {other}")));
    println!("\nThis fleet is simulated: its figures show what vedette does, not how well it does it.");
    Ok(())
}

/// A data set, and the folder that its files are in when they had to be made: those of the shipped `demo.toml` are nowhere
/// before somebody simulates them.
pub fn open(descriptor: &Path, data: Option<&Path>) -> anyhow::Result<(DataSet, Option<TempDir>)> {
    match DataSet::load(descriptor, data) {
        Err(datasets::Error::MissingFile { .. }) if data.is_none() && is_demo(descriptor) => {
            eprintln!("simulating the fleet of `{}`", descriptor.display());
            let folder = temporary_folder()?;
            let files = write_demo(folder.path(), &DemoOptions::default())?;
            Ok((DataSet::load(&files.descriptor, None)?, Some(folder)))
        }
        loaded => Ok((loaded.map_err(|error| Misuse(error.to_string()))?, None)),
    }
}

/// Removed when it is dropped.
pub fn temporary_folder() -> anyhow::Result<tempfile::TempDir> {
    tempfile::Builder::new().prefix("vedette-").tempdir().context("a temporary folder cannot be made; is there space?")
}

/// The gravest finding about a device; of those the one with most reasons.
fn worth_telling(findings: &[Finding]) -> Option<&Finding> {
    findings
        .iter()
        .filter(|finding| finding.scope == Scope::Device && finding.kind == FindingKind::Compromise)
        .max_by_key(|finding| (finding.severity, finding.reasons.len(), std::cmp::Reverse(&finding.finding_id)))
}
