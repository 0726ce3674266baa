//! `devices show ID`: one device's timeline: windows, evidence against the line, findings, near misses, decisions.

use clap::{Args, Subcommand};
use datasets::scorecard::load::Stored;
use datasets::scorecard::text::{Table, counted, duration, listed, moment};
use fleet::{Action, EventTime, Finding};
use store::{DeviceRow, EvidenceRow};

use super::findings::{self, concerns};
use super::names::unknown;
use super::timeline::{self, near_miss_table, near_misses};
use super::{command, open, say};
use crate::cli::StoreArg;
use crate::config::Misuse;

const ROWS: usize = 48;

#[derive(Subcommand)]
pub enum DevicesCommand {
    /// What happened to a device: evidence against the line, findings, near misses, decisions.
    Show(ShowArgs),
}

#[derive(Args)]
pub struct ShowArgs {
    /// The device, as the inventory calls it
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    store: StoreArg,
    /// Begin here instead of where judging began (2026-01-31T12:00:00Z)
    #[arg(long, value_name = "TIME", value_parser = instant)]
    from: Option<EventTime>,
    /// End here instead of where the data end
    #[arg(long, value_name = "TIME", value_parser = instant)]
    until: Option<EventTime>,
}

fn instant(text: &str) -> Result<EventTime, String> {
    EventTime::parse(text).ok_or_else(|| format!("`{text}` is no instant, expected as 2026-01-31T12:00:00Z"))
}

pub fn devices(command: &DevicesCommand) -> anyhow::Result<()> {
    let DevicesCommand::Show(args) = command;
    let stored = open(&args.store)?;
    let from = args.from.unwrap_or(stored.run.learn_until);
    let until = args.until.unwrap_or(EventTime::MAX);
    if from >= until {
        return Err(Misuse(format!("`{from}` is not before `{until}`; give --from and --until in order")).into());
    }
    say(&show(&stored, &args.id, from, until)?)
}

/// # Errors
/// A device that the store does not know; a table that cannot be read.
pub fn find(stored: &Stored, id: &str) -> anyhow::Result<DeviceRow> {
    let mut rows = stored.store.rows::<DeviceRow>()?;
    match rows.iter().position(|row| row.device_id == id) {
        Some(place) => Ok(rows.swap_remove(place)),
        None => {
            let all = command("query \"select device_id, device_type from devices\"", &stored.dir);
            let remedy = format!("see `{all}`");
            Err(unknown("device", id, rows.iter().map(|row| row.device_id.as_str()), &remedy))
        }
    }
}

fn show(stored: &Stored, id: &str, from: EventTime, until: EventTime) -> anyhow::Result<String> {
    let device = find(stored, id)?;
    let points = timeline::points(stored, id, from, until)?;
    let evidence: Vec<EvidenceRow> = stored.store.evidence(id, from..until)?;
    let mut findings = stored.store.rows::<Finding>()?;
    findings.retain(|finding| concerns(finding, id) && finding.emitted_at >= from && finding.window_start < until);
    let mut actions = fleet::action::latest(&stored.store.rows::<Action>()?);
    actions.retain(|action| action.device_id == id && action.decided_at >= from && action.decided_at < until);

    let mut out = heading(&device);
    if let (Some(first), Some(last)) = (points.first(), points.last()) {
        let gaps = points.windows(2).map(|pair| pair[1].start.seconds_since(pair[0].end));
        out += &format!(
            "{} to {} UTC: {} in which it was heard, the longest gap {}\n\n",
            moment(first.start),
            moment(last.end),
            counted(points.len() as u64, "window"),
            duration(gaps.fold(0.0, f64::max))
        );
    }
    let all: Vec<&Finding> = findings.iter().collect();
    out += &timeline::render(&points, &evidence, &all, ROWS);
    let near = near_misses(&points, &evidence, &all);
    out += &format!("\nFindings: {}\n", findings.len());
    if !findings.is_empty() {
        out += &findings::list(&mut findings);
    }
    out += &format!("\nNear misses, at half of the line or more: {}\n", near.len());
    if !near.is_empty() {
        out += &near_miss_table(&near);
    }
    out += &format!("\nDecisions: {}\n", actions.len());
    if !actions.is_empty() {
        out += &decisions(&mut actions);
    }
    Ok(out)
}

fn heading(device: &DeviceRow) -> String {
    let facts = [
        ("type", device.device_type.as_str()),
        ("site", device.site.as_str()),
        ("segment", device.segment.as_str()),
        ("owner", device.owner.as_str()),
        ("firmware", device.firmware.as_str()),
        ("protocol", device.protocol.as_str()),
        ("purpose", device.purpose.as_str()),
    ];
    let known: Vec<String> =
        facts.iter().filter(|(_, value)| !value.is_empty()).map(|(name, value)| format!("{name} {value}")).collect();
    let standing = format!("{:?}", device.standing).to_lowercase();
    let heard = match (device.first_seen, device.last_seen) {
        (Some(first), Some(last)) => format!("heard from {} to {} UTC", moment(first), moment(last)),
        _ => "never heard".to_string(),
    };
    let facts = if known.is_empty() { "nothing".to_string() } else { listed(known.iter().map(String::as_str)) };
    format!("{} ({standing}): {facts}\n{heard}\n", device.device_id)
}

/// Sorts them by time.
pub fn decisions(actions: &mut [Action]) -> String {
    actions.sort_by(|a, b| (a.decided_at, &a.action_id).cmp(&(b.decided_at, &b.action_id)));
    let mut table = Table::new(&["!decided (UTC)", "device", "level", "decision", "reason"]);
    for action in actions.iter() {
        table.row([
            moment(action.decided_at),
            action.device_id.to_string(),
            action.level.to_string(),
            action.outcome().to_owned(),
            action.reason.clone(),
        ]);
    }
    table.render()
}
