//! `baselines list`, `baselines show TYPE` and `baselines diff A B`.

use std::path::PathBuf;

use baseline::TypeBaseline;
use clap::{Args, Subcommand};
use datasets::scorecard::text::{Table, grouped, moment};
use detect::Version;
use store::BaselineRow;

use super::names::unknown;
use super::{compare, open, say};
use crate::cli::StoreArg;
use crate::config::Misuse;
#[cfg(feature = "kafka")]
use crate::live::commands::baselines as commands;
use crate::trainer;

#[derive(Subcommand)]
pub enum BaselinesCommand {
    /// One line per version and type.
    List(ListArgs),
    /// What is normal for a type: expected ranges, destinations, how sure it is, what was left out of training.
    Show(ShowArgs),
    /// What moved from one version to another, type by type, the furthest first.
    Diff(DiffArgs),
    /// Learn a version from the windows stored, check it against the one in force, and put it in force.
    #[cfg(feature = "kafka")]
    Train(commands::TrainArgs),
    /// Put a version in force in a running system, from an event time on.
    #[cfg(feature = "kafka")]
    Pin(commands::PinArgs),
    /// Put the version in force that was so before the present one.
    #[cfg(feature = "kafka")]
    Rollback(commands::RollbackArgs),
}

/// Whose baselines: a replay's, or a running system's.
#[derive(Args)]
#[group(required = true, multiple = false)]
pub struct Place {
    /// The folder a replay wrote (`--out` there)
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
    /// The configuration of a running system
    #[cfg(feature = "kafka")]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Args)]
pub struct ListArgs {
    #[command(flatten)]
    place: Place,
}

#[derive(Args)]
pub struct ShowArgs {
    /// The device type
    #[arg(value_name = "TYPE")]
    device_type: String,
    #[command(flatten)]
    place: Place,
    /// An earlier version; the latest when not given
    #[arg(long)]
    version: Option<u32>,
}

#[derive(Args)]
pub struct DiffArgs {
    /// The earlier version
    #[arg(value_name = "A")]
    before: u32,
    /// The later one
    #[arg(value_name = "B")]
    after: u32,
    #[command(flatten)]
    place: Place,
}

pub fn baselines(command: &BaselinesCommand) -> anyhow::Result<()> {
    match command {
        BaselinesCommand::List(args) => {
            let (rows, versions) = rows(&args.place)?;
            say(&format!("{}{}", list(of_types(rows)), versions.map_or_else(String::new, |text| format!("\n{text}"))))
        }
        BaselinesCommand::Show(args) => say(&show(of_types(rows(&args.place)?.0), &args.device_type, args.version)?),
        BaselinesCommand::Diff(args) => {
            let (rows, _) = rows(&args.place)?;
            say(&compare::page(&known(args.before, &rows)?, &known(args.after, &rows)?))
        }
        #[cfg(feature = "kafka")]
        BaselinesCommand::Train(args) => commands::train(args),
        #[cfg(feature = "kafka")]
        BaselinesCommand::Pin(args) => commands::pin(args),
        #[cfg(feature = "kafka")]
        BaselinesCommand::Rollback(args) => commands::rollback(args),
    }
}

/// Every row, and of a running system where its versions stand.
fn rows(place: &Place) -> anyhow::Result<(Vec<BaselineRow>, Option<String>)> {
    #[cfg(feature = "kafka")]
    if let Some(config) = &place.config {
        let (rows, versions) = commands::of_system(config)?;
        return Ok((rows, Some(versions)));
    }
    let Some(store) = place.store.clone() else {
        return Err(Misuse("whose baselines? name a folder with `--store`".to_owned()).into());
    };
    Ok((open(&StoreArg { store })?.store.rows::<BaselineRow>()?, None))
}

fn known(version: u32, rows: &[BaselineRow]) -> anyhow::Result<Version> {
    if rows.iter().any(|row| row.version == version && !row.is_announcement()) {
        return trainer::version(version, rows);
    }
    let newest = rows.iter().map(|row| row.version).max().unwrap_or(0);
    Err(Misuse(format!("there is no baseline version `{version}`, expected 1 to {newest}")).into())
}

/// Without the rows of no type, which hold what is pooled over all of them.
fn of_types(mut rows: Vec<BaselineRow>) -> Vec<BaselineRow> {
    rows.retain(|row| !row.device_type.is_empty());
    rows
}

fn list(mut rows: Vec<BaselineRow>) -> String {
    rows.sort_by(|a, b| (a.version, &a.device_type, &a.segment).cmp(&(b.version, &b.device_type, &b.segment)));
    let mut table = Table::new(&[
        ">version",
        "device type",
        "segment",
        "!holds from (UTC)",
        ">devices",
        ">windows",
        ">days",
        "confidence",
    ]);
    for row in &rows {
        table.row([
            row.version.to_string(),
            row.device_type.to_string(),
            if row.segment.is_empty() { "all".to_string() } else { row.segment.to_string() },
            moment(row.from_time),
            row.devices.to_string(),
            grouped(row.windows),
            row.days.to_string(),
            row.confidence.to_string(),
        ]);
    }
    if table.is_empty() { "no baselines: nothing was learned\n".to_string() } else { table.render() }
}

/// All segments of the type, in one version.
fn show(rows: Vec<BaselineRow>, device_type: &str, version: Option<u32>) -> anyhow::Result<String> {
    let mut of_type: Vec<BaselineRow> = rows.iter().filter(|row| row.device_type == device_type).cloned().collect();
    let Some(latest) = of_type.iter().map(|row| row.version).max() else {
        let types = rows.iter().map(|row| row.device_type.as_str());
        return Err(unknown("baseline of type", device_type, types, "see `vedette baselines list`"));
    };
    let wanted = version.unwrap_or(latest);
    of_type.retain(|row| row.version == wanted);
    if of_type.is_empty() {
        return Err(Misuse(format!("type `{device_type}` has no version `{wanted}`, expected 1 to {latest}")).into());
    }
    of_type.sort_by(|a, b| a.segment.cmp(&b.segment));
    let mut out = String::new();
    for row in &of_type {
        let learned: TypeBaseline = serde_json::from_str(&row.body)
            .map_err(|source| baseline::Error::Unreadable { version: row.version, source })?;
        out += &format!("version {}, holds from {} UTC\n", row.version, moment(row.from_time));
        out += &baseline::render::show(&learned);
    }
    Ok(out)
}
