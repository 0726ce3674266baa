//! Versions of the baselines while running: learning one on request, putting one in force, going back, and where things
//! stand. Which version is in force is a fact in every lane's log.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use datasets::scorecard::text::{Table, grouped, moment, wrap};
use fleet::{EventTime, MICROS_PER_SECOND, Resume};
use store::{BaselineRow, Home, ParquetStore, Store};

use crate::config::{Config, Misuse};
use crate::live::open_beside;
use crate::live::trainer::announce::{announce, before_present, present};
use crate::live::trainer::positions::Positions;
use crate::live::trainer::{Trained, WithoutRoom, rows_of, train as learn};
use crate::show::say;
use crate::trainer::record::{Announcement, By, Training, announcements, training};

/// For `act` to have stored what was found.
/// `act` commits every `memory_seconds`, and then takes as long at most.
const ACT_COMMITS: Duration = Duration::from_secs(15);
/// A wait that is longer is told of.
const SAY_SO: Duration = Duration::from_secs(2);

#[derive(Args)]
pub struct PinArgs {
    /// The version, as `vedette baselines list` shows it; also one that was held back
    #[arg(value_name = "VERSION")]
    pub version: u32,
    /// Configuration (docs/configuration.md has every key and its default)
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Copy the version from this embedded store first, such as the --out of a replay
    #[arg(long, value_name = "DIR")]
    pub copy_from: Option<PathBuf>,
    /// Event time from which it holds, RFC 3339 [default: a window that no lane has closed yet]
    #[arg(long, value_name = "TIME")]
    pub from: Option<String>,
}

#[derive(Args)]
pub struct RollbackArgs {
    /// Configuration (docs/configuration.md has every key and its default)
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
}

#[derive(Args)]
pub struct TrainArgs {
    /// Configuration (docs/configuration.md has every key and its default)
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Learn from windows since this event time, RFC 3339 [default: `trainer.learn_days` before the end]
    #[arg(long, value_name = "TIME")]
    pub from: Option<String>,
    /// Learn from windows until this event time [default: what every lane has stored]
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// Only store it: `pin` puts it in force
    #[arg(long)]
    pub no_announce: bool,
}

pub fn pin(args: &PinArgs) -> anyhow::Result<()> {
    let config = Config::load(Some(&args.config))?;
    let from = args.from.as_deref().map(|text| time("--from", text)).transpose()?;
    let home = open_beside(&config)?;
    if let Some(folder) = &args.copy_from {
        let rows = rows_of(&ParquetStore::open(folder)?.read_baselines()?, args.version);
        anyhow::ensure!(!rows.is_empty(), "`{}` has no baseline version {}", folder.display(), args.version);
        home.write_baselines(args.version, &rows)?;
    }
    put_in_force(&config, home.as_ref(), args.version, from, "pin")
}

pub fn rollback(args: &RollbackArgs) -> anyhow::Result<()> {
    let config = Config::load(Some(&args.config))?;
    let home = open_beside(&config)?;
    let Some(version) = before_present(&home.read_baselines()?) else {
        let problem = "there is no version before the present one; see `vedette baselines list --config`";
        return Err(Misuse(problem.to_owned()).into());
    };
    put_in_force(&config, home.as_ref(), version, None, "rollback")
}

fn put_in_force(
    config: &Config,
    home: &dyn Home,
    version: u32,
    from: Option<EventTime>,
    by: &str,
) -> anyhow::Result<()> {
    let stored = home.read_baselines()?;
    if rows_of(&stored, version).is_empty() {
        let newest = stored.iter().map(|row| row.version).max().unwrap_or(0);
        let expected = match newest {
            0 => "none is stored yet".to_owned(),
            newest => format!("expected 1 to {newest}"),
        };
        return Err(Misuse(format!("there is no baseline version `{version}`, {expected}")).into());
    }
    let from = announce(config, home, version, from, by)?;
    println!("baseline version {version} {}", holds(from));
    Ok(())
}

fn holds(from: EventTime) -> String {
    if from == EventTime::MIN { "holds from the beginning".to_owned() } else { format!("holds from {from}") }
}

pub fn train(args: &TrainArgs) -> anyhow::Result<()> {
    let config = Config::load(Some(&args.config))?;
    let home = open_beside(&config)?;
    let positions = Positions::new(&config.source.kafka)?;
    let Some(closed) = positions.closed()? else {
        anyhow::bail!("not every lane has stored windows yet: there is nothing to learn from; does `vedette run` run?");
    };
    let width = i64::from(config.ingest.window_seconds) * MICROS_PER_SECOND;
    let until = match &args.until {
        // What lanes found later is told once its hold is over.
        None => closed.plus_seconds(-i64::from(config.detect.hold_seconds)),
        Some(text) => time("--until", text)?,
    };
    let until = EventTime(until.0.div_euclid(width) * width);
    if until > closed {
        let problem = format!("lanes have stored windows up to {closed} only; wait, or name an earlier `--until`");
        return Err(Misuse(problem).into());
    }
    let since = match &args.from {
        None => until.plus_seconds(-i64::from(config.trainer.learn_days) * 86_400),
        Some(text) => time("--from", text)?,
    };
    if since >= until {
        return Err(Misuse(format!("`--from {since}` is not before the end, {until}")).into());
    }
    wait_for_act(&positions, Duration::from_secs(u64::from(config.run.memory_seconds)) + ACT_COMMITS)?;
    let Some(trained) = learn(&config, home.as_ref(), since..until, By::Command)? else {
        anyhow::bail!("there is no window of a known device type between {since} and {until}");
    };
    say(&told(&trained))?;
    if trained.training.held_back.is_none() && !args.no_announce {
        let from = announce(&config, home.as_ref(), trained.version, None, "train")?;
        println!("it {}", holds(from));
    }
    Ok(())
}

/// What was found and is not stored yet would be learned from.
fn wait_for_act(positions: &Positions, patience: Duration) -> anyhow::Result<()> {
    let published = positions.published()?;
    let began = std::time::Instant::now();
    let mut said = false;
    loop {
        let waiting = published.saturating_sub(positions.acted_on()?);
        if waiting == 0 {
            return Ok(());
        }
        if !said && began.elapsed() >= SAY_SO {
            said = true;
            eprintln!("waiting up to {} s until `act` has stored {waiting} messages of findings", patience.as_secs());
        }
        if began.elapsed() >= patience {
            eprintln!(
                "note: `act` has {waiting} messages still to commit; what they found, if it is not stored yet, is learned \
                 from as if it were normal"
            );
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(250));
    }
}

fn told(trained: &Trained) -> String {
    let Trained { version, types, windows, forgotten, training } = trained;
    let mut text = format!(
        "baseline version {version}: {types} types from {} windows of {} devices, {} to {}\n",
        grouped(*windows),
        training.devices,
        moment(training.since),
        moment(training.until)
    );
    if training.devices < training.of_devices {
        text += &format!(
            "by chance {} of {} devices were learned from: `trainer.max_windows`\n",
            training.devices, training.of_devices
        );
    }
    if let Some(WithoutRoom { destinations, device_type }) = forgotten {
        text += &format!(
            "{} known destinations were forgotten, most of type {device_type}: `baseline.max_destinations`\n",
            grouped(*destinations)
        );
    }
    if training.not_normal > 0 {
        text += &format!("{} windows in findings and incidents were left out\n", grouped(training.not_normal));
    }
    if let Some(checked) = &training.checked {
        text += &format!(
            "judged again, {} to {}: {} findings by version {}, {} by this one\n",
            moment(checked.since),
            moment(checked.until),
            checked.before,
            checked.against,
            checked.after
        );
    }
    if let Some(reason) = &training.held_back {
        let remedy = format!("see `vedette baselines diff`; `vedette baselines pin {version}` puts it in force");
        text += &wrap(&format!("held back: {reason}; {remedy}"), "");
    }
    text
}

fn time(option: &str, text: &str) -> anyhow::Result<EventTime> {
    let problem = || Misuse(format!("`{option} {text}` is no time, expected one such as 2026-01-31T12:00:00Z"));
    Ok(EventTime::parse(text).ok_or_else(problem)?)
}

/// Every row of a running system's baselines, and where each version stands, for `list`.
pub fn of_system(path: &std::path::Path) -> anyhow::Result<(Vec<BaselineRow>, String)> {
    let config = Config::load(Some(path))?;
    let home: std::sync::Arc<dyn Home> = if config.store.clickhouse.is_used() {
        open_beside(&config)?
    } else {
        std::sync::Arc::new(ParquetStore::open(&config.store.path)?)
    };
    let rows = home.read_baselines()?;
    let lanes = Positions::new(&config.source.kafka)?.lanes()?;
    let text = versions(&rows, &lanes);
    Ok((rows, text))
}

fn versions(rows: &[BaselineRow], lanes: &[Option<Resume>]) -> String {
    let told = announcements(rows);
    let mut pooled: Vec<&BaselineRow> =
        rows.iter().filter(|row| row.device_type.is_empty() && !row.is_announcement()).collect();
    pooled.sort_by_key(|row| row.version);
    let mut table = Table::new(&[">version", "!learned until (UTC)", ">windows", ">days", "by", "state"]);
    let mut notes = String::new();
    for row in pooled {
        let record = training(row);
        let by = match record.as_ref().map(|record| record.by) {
            None => "replay",
            Some(By::Schedule) => "schedule",
            Some(By::Command) => "command",
        };
        table.row([
            row.version.to_string(),
            moment(row.from_time),
            grouped(row.windows),
            row.days.to_string(),
            by.to_owned(),
            state(row.version, record.as_ref(), &told, lanes),
        ]);
        if let Some(reason) = record.and_then(|record| record.held_back) {
            notes += &wrap(&format!("version {} was held back: {reason}", row.version), "");
        }
    }
    if table.is_empty() {
        return "no baselines: nothing was learned\n".to_owned();
    }
    let judging = lanes.iter().flatten().any(|lane| lane.versions.baseline > 0);
    if !judging && present(rows).is_none() {
        notes += "no version is in force: `vedette baselines pin VERSION`\n";
    }
    format!("{}{notes}", table.render())
}

fn state(version: u32, record: Option<&Training>, told: &[Announcement], lanes: &[Option<Resume>]) -> String {
    let by = lanes.iter().flatten().filter(|lane| lane.versions.baseline == version).count();
    let last = told.last().filter(|last| last.version == version);
    let since = told.iter().rev().find(|announcement| announcement.version == version);
    let mut state = match by {
        0 => String::new(),
        by if by == lanes.len() => "in force".to_owned(),
        by => format!("in force in {by} of {} lanes", lanes.len()),
    };
    match (by, last, since) {
        (0, Some(last), _) => state = format!("announced, holds from {}", moment(last.from)),
        (1.., _, Some(since)) if since.from > EventTime(0) => state += &format!(" since {}", moment(since.from)),
        (0, None, Some(_)) => state = "was announced".to_owned(),
        (0, None, None) if record.is_some_and(|record| record.held_back.is_some()) => state = "held back".to_owned(),
        _ => {}
    }
    state
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_of_a_version_is_what_lanes_and_announcements_say() {
        let lane = |baseline| {
            let versions = fleet::Versions { baseline, inventory: 0 };
            Some(Resume { low: 0, closed_through: EventTime(5), frontier: 1, versions })
        };
        let announced = |version, from| Announcement { version, from: EventTime(from), at: EventTime(1) };
        let told = [announced(1, 1), announced(2, 60_000_000), announced(3, 120_000_000)];
        let lanes = [lane(2), lane(2)];
        assert_eq!(state(1, None, &told, &lanes), "was announced");
        assert_eq!(state(2, None, &told, &lanes), "in force since 1970-01-01 00:01:00");
        assert_eq!(state(3, None, &told, &lanes), "announced, holds from 1970-01-01 00:02:00");
        assert_eq!(state(4, None, &told, &lanes), "");
        assert_eq!(state(2, None, &[], &[lane(2), None]), "in force in 1 of 2 lanes");
    }
}
