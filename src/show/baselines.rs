//! `baselines list` and `baselines show TYPE`.

use baseline::TypeBaseline;
use clap::{Args, Subcommand};
use datasets::scorecard::load::Stored;
use datasets::scorecard::text::{Table, grouped, moment};
use store::BaselineRow;

use super::names::unknown;
use super::{open, say};
use crate::cli::StoreArg;
use crate::config::Misuse;

#[derive(Subcommand)]
pub enum BaselinesCommand {
    /// One line per version and type.
    List(ListArgs),
    /// What is normal for a type: expected ranges, destinations, how sure it is, what was left out of training.
    Show(ShowArgs),
    /// Put a version in force in a running system, from an event time on.
    #[cfg(feature = "kafka")]
    Pin(crate::live::commands::baselines::PinArgs),
}

#[derive(Args)]
pub struct ListArgs {
    #[command(flatten)]
    store: StoreArg,
}

#[derive(Args)]
pub struct ShowArgs {
    /// The device type
    #[arg(value_name = "TYPE")]
    device_type: String,
    #[command(flatten)]
    store: StoreArg,
    /// An earlier version; the latest when not given
    #[arg(long)]
    version: Option<u32>,
}

pub fn baselines(command: &BaselinesCommand) -> anyhow::Result<()> {
    match command {
        BaselinesCommand::List(args) => say(&list(of_types(&open(&args.store)?)?)),
        BaselinesCommand::Show(args) => {
            let rows = of_types(&open(&args.store)?)?;
            say(&show(rows, &args.device_type, args.version)?)
        }
        #[cfg(feature = "kafka")]
        BaselinesCommand::Pin(args) => crate::live::commands::baselines::pin(args),
    }
}

/// Without the row of no type, which holds what is pooled over all of them.
fn of_types(stored: &Stored) -> anyhow::Result<Vec<BaselineRow>> {
    let mut rows = stored.store.rows::<BaselineRow>()?;
    rows.retain(|row| !row.device_type.is_empty());
    Ok(rows)
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
