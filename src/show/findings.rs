//! `findings list` and `findings show ID`: everything there is to say about a finding, its records' places included.

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use datasets::scorecard::incidents::Alarm;
use datasets::scorecard::load::Stored;
use datasets::scorecard::run::RunInfo;
use datasets::scorecard::text::{Table, counted, listed, listed_briefly, moment, wrap};
use fleet::{Action, Finding, FindingKind, Incident, Reason, Scope};

use store::VerdictRow;

use super::names::unknown;
use super::{command, open, say, word};
use crate::cli::StoreArg;
use crate::config::Misuse;

#[derive(Subcommand)]
pub enum FindingsCommand {
    /// One line per finding, in the order they were emitted.
    List(ListArgs),
    /// One finding with its reasons, records, incident and decisions.
    Show(ShowArgs),
}

#[derive(Args)]
pub struct ListArgs {
    #[command(flatten)]
    store: StoreArg,
    /// Only findings about this device, group findings included
    #[arg(long, value_name = "ID")]
    device: Option<String>,
    /// Only this kind: compromise, anomaly, fault, change, outage, unknown_device, retired_device, posture
    #[arg(long, value_parser = kind)]
    kind: Option<FindingKind>,
}

#[derive(Args)]
pub struct ShowArgs {
    /// The finding's id, or the beginning of it
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    store: StoreArg,
}

fn kind(name: &str) -> Result<FindingKind, String> {
    let names = || FindingKind::ALL.iter().map(|kind| kind.name());
    FindingKind::from_name(name).ok_or_else(|| format!("`{name}` is no kind, expected {}", listed(names())))
}

pub fn findings(command: &FindingsCommand) -> anyhow::Result<()> {
    match command {
        FindingsCommand::List(args) => {
            let stored = open(&args.store)?;
            let mut findings = stored.store.rows::<Finding>()?;
            findings.retain(|finding| args.kind.is_none_or(|kind| finding.kind == kind));
            if let Some(id) = &args.device {
                super::devices::find(&stored, id)?;
                findings.retain(|finding| concerns(finding, id));
            }
            let verdicts = stored.store.rows::<VerdictRow>()?;
            say(&list_judged(&mut findings, &said(&verdicts)))
        }
        FindingsCommand::Show(args) => {
            let stored = open(&args.store)?;
            say(&show_finding(&stored, &args.id)?)
        }
    }
}

pub fn concerns(finding: &Finding, device_id: &str) -> bool {
    finding.device_id == device_id || finding.devices.iter().any(|id| id == device_id)
}

/// The last verdict of each finding.
fn said(verdicts: &[VerdictRow]) -> BTreeMap<&str, &VerdictRow> {
    let mut ordered: Vec<&VerdictRow> = verdicts.iter().collect();
    ordered.sort_by_key(|verdict| verdict.given_at);
    ordered.into_iter().map(|verdict| (verdict.finding_id.as_str(), verdict)).collect()
}

fn judged(verdict: &VerdictRow) -> String {
    let note = if verdict.note.is_empty() { String::new() } else { format!(": {}", verdict.note) };
    format!("{} by {}, {} UTC{note}", verdict.verdict, verdict.author, moment(verdict.given_at))
}

/// Sorts them by emission.
pub fn list(findings: &mut [Finding]) -> String {
    list_judged(findings, &BTreeMap::new())
}

/// The same with what people said of them, where they said anything.
fn list_judged(findings: &mut [Finding], said: &BTreeMap<&str, &VerdictRow>) -> String {
    findings.sort_by(|a, b| (a.emitted_at, &a.finding_id).cmp(&(b.emitted_at, &b.finding_id)));
    let mut columns = vec!["!finding", "!emitted (UTC)", "!severity", "kind", "about", "technique", "detectors"];
    if !said.is_empty() {
        columns.push("verdict");
    }
    let mut table = Table::new(&columns);
    for finding in findings.iter() {
        let verdict = said.get(finding.finding_id.as_str()).map_or("", |verdict| verdict.verdict.as_str());
        table.row([
            finding.finding_id.clone(),
            moment(finding.emitted_at),
            finding.severity.to_string(),
            finding.kind.to_string(),
            about(finding),
            finding.technique.to_string(),
            finding.detectors.join(" "),
            verdict.to_owned(),
        ]);
    }
    if table.is_empty() { "no findings\n".to_string() } else { table.render() }
}

/// The device, or how many of what.
pub fn about(finding: &Finding) -> String {
    match finding.scope {
        Scope::Device => finding.device_id.to_string(),
        Scope::Fleet => format!("{} of {}", counted(finding.devices.len() as u64, "device"), finding.device_type),
        Scope::Site => format!("{} of a site", counted(finding.devices.len() as u64, "device")),
    }
}

/// The finding whose id begins with `id`, in full.
///
/// # Errors
/// No such finding, or several; a table that cannot be read.
pub fn show_finding(stored: &Stored, id: &str) -> anyhow::Result<String> {
    let findings = stored.store.rows::<Finding>()?;
    let with_id: Vec<&Finding> = findings.iter().filter(|finding| finding.finding_id.starts_with(id)).collect();
    let remedy = format!("see `{}`", command("findings list", &stored.dir));
    let finding = match with_id[..] {
        [finding] => finding,
        [] => return Err(unknown("finding", id, findings.iter().map(|finding| &finding.finding_id[..]), &remedy)),
        _ => {
            let count = with_id.len();
            return Err(Misuse(format!("{count} findings begin with `{id}`; give more of the id, {remedy}")).into());
        }
    };
    render(finding, stored)
}

/// A finding in full, with its incident and the decisions it led to.
///
/// # Errors
/// A table that cannot be read.
pub fn render(finding: &Finding, stored: &Stored) -> anyhow::Result<String> {
    let incidents = stored.store.rows::<Incident>()?;
    let incident = incidents.iter().find(|incident| incident.incident_id == finding.incident_id);
    let mut actions = fleet::action::latest(&stored.store.rows::<Action>()?);
    actions.retain(|action| action.finding_id == finding.finding_id);
    let mut out = page(finding, incident, &actions, &stored.run);
    if let Some(verdict) = said(&stored.store.rows::<VerdictRow>()?).get(finding.finding_id.as_str()) {
        out += &format!("\nWhat was said of it\n{}", wrap(&judged(verdict), "  "));
    }
    if finding.scope == Scope::Device {
        out += &format!(
            "\nIts timeline: {}\n",
            command(&format!("devices show {}", word(&finding.device_id)), &stored.dir)
        );
    }
    Ok(out)
}

/// Everything about one finding; `actions` are those it led to.
pub fn page(finding: &Finding, incident: Option<&Incident>, actions: &[Action], run: &RunInfo) -> String {
    let mut out = format!("Finding {}: {}, {}\n\n", finding.finding_id, finding.kind, finding.severity);
    out += &wrap(&finding.explanation, "  ");
    out.push('\n');
    let device_type = if finding.device_type.is_empty() { "of no known type" } else { &finding.device_type };
    out += &fact("about", &format!("{}, {device_type}", about(finding)));
    if finding.scope != Scope::Device {
        out += &fact("devices", &named(finding));
    }
    out += &fact("emitted", &format!("{} UTC", moment(finding.emitted_at)));
    out += &fact("windows", &format!("{} to {} UTC", moment(finding.window_start), moment(finding.window_end)));
    // Rules of posture, unknown devices and groups are held to no line and no baseline.
    if finding.line > 0.0 {
        let held = format!("{:.1} against a line of {:.1}", finding.score, finding.line);
        out += &fact("evidence", &format!("{held}; as much on {} of normal device-days", share(finding.p_value)));
    }
    if finding.baseline_version > 0 {
        let learned = format!("version {}, {} for this type", finding.baseline_version, finding.confidence);
        out += &fact("baselines", &learned);
    }
    out += &fact("detectors", &listed(finding.detectors.iter().map(|name| name.as_str())));
    if !finding.technique.is_empty() {
        out += &fact("technique", &format!("ATT&CK {}", finding.technique));
    }
    if let Some(incident) = incident {
        let closed = incident.closed_at.map_or("still open".to_string(), |time| format!("closed {}", moment(time)));
        out += &fact(
            "incident",
            &format!(
                "{}: {} since {}, {closed}, {}, {}",
                incident.incident_id,
                counted(u64::from(incident.findings), "finding"),
                moment(incident.opened_at),
                incident.kind,
                incident.severity
            ),
        );
    }
    for label in labels(finding, run) {
        out += &fact("labelled", &label);
    }
    out += "\nReasons, strongest first\n";
    for (index, reason) in finding.reasons.iter().enumerate() {
        out += &render_reason(index + 1, reason, run);
    }
    if finding.reasons.is_empty() {
        out += "  none was kept\n";
    }
    out += "\nWhat was done\n";
    for action in actions {
        let decision = action.outcome();
        out += &wrap(
            &format!(
                "{} {}, {} mode: {decision}, because {}",
                action.level, action.device_id, action.mode, action.reason
            ),
            "  ",
        );
    }
    if actions.is_empty() {
        out += "  nothing was decided about this finding itself\n";
    }
    out
}

fn named(finding: &Finding) -> String {
    listed_briefly(finding.devices.iter().map(|id| id.as_str()))
}

/// What the data set's labels say of it.
fn labels(finding: &Finding, run: &RunInfo) -> Vec<String> {
    let Some(alarm) = Alarm::of(finding) else {
        return Vec::new();
    };
    let episodes = run.episodes.iter().filter(|episode| episode.covers(&alarm));
    let says = episodes.map(|episode| match episode.incident {
        true => format!("incident `{}`", episode.name),
        false => format!("benign change `{}`", episode.name),
    });
    let says: Vec<String> = says.collect();
    if says.is_empty() && !run.episodes.is_empty() { vec!["nothing: a false finding".to_string()] } else { says }
}

fn render_reason(number: usize, reason: &Reason, run: &RunInfo) -> String {
    let technique = reason.technique.as_ref().map_or(String::new(), |technique| format!(", ATT&CK {technique}"));
    let mut out = wrap(
        &format!("{number}. {}: {} (evidence {:.1}{technique})", reason.detector, reason.subject, reason.evidence),
        "  ",
    );
    let mut line = |name: &str, text: &str| out += &wrap(&format!("{name} {text}"), "     ");
    line("seen:", &reason.observed);
    if let Some(expected) = &reason.expected_type {
        line("its type:", expected);
    }
    if let Some(expected) = &reason.expected_device {
        line("the device itself:", expected);
    }
    if let Some(peers) = &reason.peers_now {
        line("its peers now:", peers);
    }
    match (reason.first_seen_type, reason.first_seen_device) {
        (Some(true), _) => line("first seen:", "now, for the whole type"),
        (_, Some(true)) => line("first seen:", "now, for this device; its type knows it"),
        (Some(false), _) | (_, Some(false)) => line("first seen:", "before"),
        (None, None) => {}
    }
    if let Some((first, last)) = reason.records {
        let (first, last) = (run.place_of(first), run.place_of(last));
        line("records:", &if first == last { first } else { format!("{first} to {last}") });
    }
    out
}

fn fact(name: &str, text: &str) -> String {
    let lines = wrap(text, "             ");
    format!("  {name:<10} {}", lines.trim_start())
}

/// `1 in 5,000`, or `none` where it is immeasurably rare.
fn share(p_value: f64) -> String {
    if p_value >= 0.1 {
        return format!("{:.0} %", p_value * 100.0);
    }
    if p_value <= 1e-9 {
        return "less than 1 in 1,000,000,000".to_string();
    }
    format!("1 in {}", datasets::scorecard::text::grouped((1.0 / p_value).round() as u64))
}
