//! `vedette incidents`: what is known of incidents, in a store or through the API.
//!
//! * [`times`]: how long it takes to find a compromise, and to isolate its device
//! * [`page`]: how they are shown

mod page;
pub mod times;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use datasets::scorecard::load::Stored;
use fleet::{Action, Finding, Incident};
use responders::api::client::{Client, DEFAULT_URL, Failed};
use responders::api::views::{IncidentFilter, Incidents, LARGEST_PAGE, StatsFilter};
use responders::rights::Moment;

use super::connection::{Rights, client, instant, say_json, show};
use crate::cli::StoreArg;
use crate::config::Misuse;
use crate::show::names::unknown;
use crate::show::{command, open, say};

#[derive(Subcommand)]
pub enum IncidentsCommand {
    /// One line per incident, latest first.
    List(ListArgs),
    /// One incident: what was found, and what was done about it.
    Show(ShowArgs),
    /// Time to detect, and to isolate: median and 95th percentile.
    Stats(StatsArgs),
}

/// Where incidents are looked up.
#[derive(Args, Clone, Debug)]
pub struct Place {
    /// The folder a replay wrote (`--out` there), or the embedded store of `vedette run`
    #[arg(long, value_name = "DIR", conflicts_with = "url")]
    pub store: Option<PathBuf>,
    /// Without `--store`: where the API of `vedette run` answers
    #[arg(long, value_name = "URL", help_heading = "API", default_value = DEFAULT_URL)]
    pub url: String,
    #[command(flatten)]
    pub rights: Rights,
}

#[derive(Args, Clone)]
pub struct ListArgs {
    /// Only those that go on
    #[arg(long)]
    pub open: bool,
    /// Only about this device
    #[arg(long, value_name = "ID")]
    pub device: Option<String>,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: u32,
    #[command(flatten)]
    pub place: Place,
}

#[derive(Args, Clone)]
pub struct ShowArgs {
    /// The incident's id; with `--store` the beginning of it is enough
    #[arg(value_name = "ID")]
    pub id: String,
    #[command(flatten)]
    pub place: Place,
}

#[derive(Args, Clone)]
pub struct StatsArgs {
    /// Only incidents that opened at or after this time (2026-01-31T12:00:00Z)
    #[arg(long, value_name = "TIME", value_parser = instant)]
    pub since: Option<Moment>,
    /// Only incidents that opened before this time
    #[arg(long, value_name = "TIME", value_parser = instant)]
    pub until: Option<Moment>,
    #[command(flatten)]
    pub place: Place,
}

impl Place {
    /// Where [`Place::client`] gives none.
    fn open(&self) -> anyhow::Result<Stored> {
        open(&StoreArg { store: self.store.clone().unwrap_or_default() })
    }

    fn client(&self) -> Option<anyhow::Result<Client>> {
        self.store.is_none().then(|| client(&self.url, &self.rights))
    }
}

pub fn run(command: &IncidentsCommand) -> anyhow::Result<()> {
    match command {
        IncidentsCommand::List(args) => list(args),
        IncidentsCommand::Show(args) => show_one(args),
        IncidentsCommand::Stats(args) => stats(args),
    }
}

fn list(args: &ListArgs) -> anyhow::Result<()> {
    let json = args.place.rights.json;
    if let Some(client) = args.place.client() {
        let filter = IncidentFilter {
            open: args.open.then_some(true),
            device: args.device.clone(),
            site: None,
            limit: None,
            cursor: None,
        };
        return show(all(&client?, filter, args.limit), json, page::of_api);
    }
    let stored = args.place.open()?;
    let mut incidents = stored.store.rows::<Incident>()?;
    if let Some(id) = &args.device {
        let findings = stored.store.rows::<Finding>()?;
        let concerned = |incident: &Incident| {
            let concerns = |finding: &Finding| crate::show::findings::concerns(finding, id);
            findings.iter().any(|finding| finding.incident_id == incident.incident_id && concerns(finding))
        };
        incidents.retain(|incident| incident.device_id == *id || concerned(incident));
    }
    incidents.retain(|incident| !args.open || incident.closed_at.is_none());
    incidents.sort_by(|a, b| (b.opened_at, &b.incident_id).cmp(&(a.opened_at, &a.incident_id)));
    let more = incidents.len() > args.limit as usize;
    incidents.truncate(args.limit as usize);
    if json { say_json(&incidents) } else { say(&page::of_store(&incidents, more)) }
}

/// Page by page, until there are `limit` of them.
fn all(client: &Client, mut filter: IncidentFilter, limit: u32) -> Result<Incidents, Failed> {
    let mut incidents = Vec::new();
    loop {
        let left = limit.saturating_sub(u32::try_from(incidents.len()).unwrap_or(u32::MAX));
        filter.limit = Some(left.min(LARGEST_PAGE));
        let page = client.incidents(&filter)?;
        let is_empty = page.incidents.is_empty();
        incidents.extend(page.incidents);
        filter.cursor = page.next;
        if filter.cursor.is_none() || is_empty || incidents.len() >= limit as usize {
            return Ok(Incidents { incidents, next: filter.cursor });
        }
    }
}

fn show_one(args: &ShowArgs) -> anyhow::Result<()> {
    let json = args.place.rights.json;
    if let Some(client) = args.place.client() {
        return show(client?.incident(&args.id), json, page::detail);
    }
    let stored = args.place.open()?;
    let incidents = stored.store.rows::<Incident>()?;
    let with_id: Vec<&Incident> = incidents.iter().filter(|it| it.incident_id.starts_with(&args.id)).collect();
    let remedy = format!("see `{}`", command("incidents list", &stored.dir));
    let incident = match with_id[..] {
        [incident] => incident,
        [] => {
            let names = incidents.iter().map(|incident| incident.incident_id.as_str());
            return Err(unknown("incident", &args.id, names, &remedy));
        }
        _ => {
            let many = with_id.len();
            return Err(
                Misuse(format!("{many} incidents begin with `{}`; give more of the id, {remedy}", args.id)).into()
            );
        }
    };
    let mut findings = stored.store.rows::<Finding>()?;
    findings.retain(|finding| finding.incident_id == incident.incident_id);
    let mut actions = fleet::action::latest(&stored.store.rows::<Action>()?);
    actions.retain(|action| action.incident_id == incident.incident_id);
    if json {
        let all = serde_json::json!({ "incident": incident, "findings": findings, "actions": actions });
        return say_json(&all);
    }
    say(&page::full(incident, &mut findings, &mut actions, &stored.dir))
}

fn stats(args: &StatsArgs) -> anyhow::Result<()> {
    let json = args.place.rights.json;
    if let Some(client) = args.place.client() {
        let filter = StatsFilter { since: args.since, until: args.until };
        return show(client?.incident_stats(&filter), json, page::stats);
    }
    let stored = args.place.open()?;
    let mut incidents = stored.store.rows::<Incident>()?;
    incidents.retain(|incident| {
        args.since.is_none_or(|since| incident.opened_at >= since.0)
            && args.until.is_none_or(|until| incident.opened_at < until.0)
    });
    let mut actions = stored.store.rows::<Action>()?;
    let is_ours = |action: &Action| incidents.iter().any(|incident| incident.incident_id == action.incident_id);
    if args.since.is_some() || args.until.is_some() {
        actions.retain(is_ours);
    }
    let times = times::times(&actions, &incidents);
    if json { say_json(&times.spreads()) } else { say(&times.table()) }
}
