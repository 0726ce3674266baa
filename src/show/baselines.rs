//! `baselines list`, `baselines show TYPE` and `baselines diff A B`.

use std::path::PathBuf;

use baseline::TypeBaseline;
use clap::{Args, Subcommand};
use datasets::scorecard::text::{Table, grouped, moment};
use detect::Version;
use fleet::EventTime;
use store::BaselineRow;

use super::names::unknown;
use super::{compare, open, say};
use crate::cli::StoreArg;
use crate::config::Misuse;
#[cfg(feature = "kafka")]
use crate::live::commands::baselines as commands;
use crate::trainer;
use crate::trainer::record::{Announcement, announcements};

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
            say(&format!("{}{}", list(&rows), versions.map_or_else(String::new, |text| format!("\n{text}"))))
        }
        BaselinesCommand::Show(args) => say(&show(&rows(&args.place)?.0, &args.device_type, args.version)?),
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

/// Without the rows of no type: what is pooled over all of them, and announcements.
fn of_types(rows: &[BaselineRow]) -> Vec<&BaselineRow> {
    rows.iter().filter(|row| !row.device_type.is_empty()).collect()
}

/// As it was last announced; a replay announces nothing.
fn holds_from(version: u32, told: &[Announcement]) -> Option<String> {
    let last = told.iter().rfind(|announcement| announcement.version == version)?;
    Some(if last.from > EventTime(0) { moment(last.from) } else { "the beginning".to_owned() })
}

fn list(rows: &[BaselineRow]) -> String {
    let told = announcements(rows);
    let mut rows = of_types(rows);
    if rows.is_empty() {
        return "no baselines: nothing was learned\n".to_string();
    }
    rows.sort_by_key(|row| (row.version, &row.device_type, &row.segment));
    let mut headings = vec![
        ">version",
        "device type",
        "segment",
        ">devices",
        ">windows",
        ">days",
        "confidence",
        "!learned until (UTC)",
    ];
    if !told.is_empty() {
        headings.push("!holds from (UTC)");
    }
    let mut table = Table::new(&headings);
    for row in rows {
        // The last one is dropped where there is no such column.
        table.row([
            row.version.to_string(),
            row.device_type.to_string(),
            if row.segment.is_empty() { "all".to_string() } else { row.segment.to_string() },
            row.devices.to_string(),
            grouped(row.windows),
            row.days.to_string(),
            row.confidence.to_string(),
            moment(row.from_time),
            holds_from(row.version, &told).unwrap_or_default(),
        ]);
    }
    table.render()
}

/// All segments of the type, in one version.
fn show(rows: &[BaselineRow], device_type: &str, version: Option<u32>) -> anyhow::Result<String> {
    let mut of_type = of_types(rows);
    of_type.retain(|row| row.device_type == device_type);
    let Some(latest) = of_type.iter().map(|row| row.version).max() else {
        let types = of_types(rows).into_iter().map(|row| row.device_type.as_str());
        return Err(unknown("baseline of type", device_type, types, "see `vedette baselines list`"));
    };
    let wanted = version.unwrap_or(latest);
    of_type.retain(|row| row.version == wanted);
    if of_type.is_empty() {
        return Err(Misuse(format!("type `{device_type}` has no version `{wanted}`, expected 1 to {latest}")).into());
    }
    of_type.sort_by_key(|row| &row.segment);
    let holds =
        holds_from(wanted, &announcements(rows)).map_or_else(String::new, |from| format!("; holds from {from}"));
    let mut out = String::new();
    for row in of_type {
        let learned: TypeBaseline = serde_json::from_str(&row.body)
            .map_err(|source| baseline::Error::Unreadable { version: row.version, source })?;
        out += &format!("version {wanted}, learned until {}{holds} (UTC)\n", moment(row.from_time));
        out += &baseline::render::show(&learned);
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use fleet::Confidence;
    use store::ANNOUNCED;

    fn row(version: u32, device_type: &str, segment: &str, from: i64, body: &str) -> BaselineRow {
        BaselineRow {
            version,
            device_type: device_type.into(),
            segment: segment.into(),
            from_time: EventTime(from * 1_000_000),
            confidence: Confidence::Ready,
            devices: 3,
            windows: 4_000,
            days: 2,
            body: body.into(),
        }
    }

    #[test]
    fn the_list_tells_apart_until_when_a_version_was_learned_and_from_when_it_holds() {
        let learned = [row(2, "led", "", 120, ""), row(1, "led", "lab", 60, ""), row(1, "", "", 60, "")];
        let of_a_replay = list(&learned);
        let lines: Vec<&str> = of_a_replay.lines().collect();
        assert_eq!(lines.len(), 3, "{of_a_replay}");
        assert!(lines[0].ends_with("learned until (UTC)"), "{of_a_replay}");
        assert!(lines[1].contains(" lab ") && lines[1].ends_with("1970-01-01 00:01:00"), "{of_a_replay}");
        assert!(lines[2].contains(" all ") && lines[2].ends_with("1970-01-01 00:02:00"), "{of_a_replay}");

        // Twice: the later word counts, whatever time it names.
        let announced = |at: i64, from| row(2, "", ANNOUNCED, from, &format!(r#"{{"at":{at},"by":"pin"}}"#));
        let told = [&learned[..], &[announced(9, 180), announced(8, 240)]].concat();
        let running = list(&told);
        let lines: Vec<&str> = running.lines().collect();
        assert!(lines[0].ends_with("learned until (UTC)  holds from (UTC)"), "{running}");
        assert!(lines[1].ends_with("1970-01-01 00:01:00"), "the first was never announced:\n{running}");
        assert!(lines[2].ends_with("1970-01-01 00:02:00  1970-01-01 00:03:00"), "{running}");
        let pinned = announcements(&[row(1, "", ANNOUNCED, 0, r#"{"at":1,"by":"pin"}"#)]);
        assert_eq!(holds_from(1, &pinned).as_deref(), Some("the beginning"));
        assert_eq!(list(&[]), "no baselines: nothing was learned\n");
    }
}
