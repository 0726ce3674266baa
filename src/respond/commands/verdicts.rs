//! `vedette verdicts`: what people say that an incident was, through the API.

use std::io::{BufRead, IsTerminal};

use clap::{Args, Subcommand};
use datasets::scorecard::text::{Table, counted, listed_briefly, minute, moment};
use responders::api::command::{CommandOutcome, Verdict, VerdictPreview, VerdictRequest, VerdictScope};
use responders::api::views::{VerdictFilter, VerdictView, Verdicts};
use responders::playbook::Period;
use responders::rights::Moment;
use serde::de::DeserializeOwned;

use super::connection::{ApiArgs, instant, now, outcome, show};
use crate::config::Misuse;

#[derive(Subcommand)]
pub enum VerdictsCommand {
    /// Say what an incident, or one finding of it, was. One that reaches beyond its incident says first what it would have kept
    /// back of the last 30 days, and asks; with `--preview` that is all.
    Give(GiveArgs),
    /// What was said, latest first.
    List(ListArgs),
}

#[derive(Args, Clone)]
pub struct GiveArgs {
    /// true: it was what it was taken for; false: it was nothing; benign_change: something new and harmless, which may be
    /// learned; fault: something is broken
    #[arg(value_name = "VERDICT", value_parser = verdict)]
    pub verdict: Verdict,
    /// The incident, as `vedette incidents list` names it
    #[arg(long, value_name = "ID", conflicts_with = "finding", required_unless_present = "finding")]
    pub incident: Option<String>,
    /// One finding of it, as `vedette findings list` names it
    #[arg(long, value_name = "ID")]
    pub finding: Option<String>,
    /// How far it reaches: incident, or the same reasons on the device, on its device_type, on its site
    #[arg(long, default_value = "incident", value_parser = scope)]
    pub scope: VerdictScope,
    /// Until when it holds for what comes: 90d from now, or an instant; every scope but `incident` needs it
    #[arg(long, value_name = "TIME", value_parser = until, required_if_eq_any = [
        ("scope", "device"), ("scope", "device_type"), ("scope", "device-type"), ("scope", "site"),
    ])]
    pub expires: Option<Until>,
    /// Why, for the journal; no secrets
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub note: String,
    /// Only say what it would have changed on history
    #[arg(long)]
    pub preview: bool,
    /// Give it without asking, whatever the preview says
    #[arg(long, conflicts_with = "preview")]
    pub yes: bool,
    #[command(flatten)]
    pub api: ApiArgs,
}

#[derive(Args, Clone)]
pub struct ListArgs {
    /// Only about this incident
    #[arg(long, value_name = "ID")]
    pub incident: Option<String>,
    /// Only about this device
    #[arg(long, value_name = "ID")]
    pub device: Option<String>,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=500))]
    pub limit: u32,
    #[command(flatten)]
    pub api: ApiArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    In(Period),
    At(Moment),
}

fn until(text: &str) -> Result<Until, String> {
    if let Ok(period) = text.parse() {
        return Ok(Until::In(period));
    }
    instant(text).map(Until::At).map_err(|_| {
        format!("`{text}` is neither a length of time such as `30d` (at most 90d) nor an instant such as 2026-01-31T12:00:00Z")
    })
}

fn verdict(text: &str) -> Result<Verdict, String> {
    named(text, "verdict", "true, false, benign_change or fault")
}

fn scope(text: &str) -> Result<VerdictScope, String> {
    named(text, "scope", "incident, device, device_type or site")
}

/// As the API names it; a hyphen is as good as an underscore.
fn named<T: DeserializeOwned>(text: &str, what: &str, expected: &str) -> Result<T, String> {
    let name = serde_json::Value::String(text.replace('-', "_"));
    serde_json::from_value(name).map_err(|_| format!("`{text}` is no {what}, expected {expected}"))
}

pub fn run(command: &VerdictsCommand) -> anyhow::Result<()> {
    match command {
        VerdictsCommand::Give(args) => {
            let what = args.incident.as_ref().or(args.finding.as_ref()).cloned().unwrap_or_default();
            let (client, request, json) = (args.api.client()?, request(args), args.api.rights.json);
            if args.preview || !keeps_back(args) {
                return show(client.give_verdict(&request), json, |answer| given(&what, answer));
            }
            let preview = client.give_verdict(&VerdictRequest { preview: true, ..request.clone() })?.preview;
            if let Some(preview) = &preview {
                eprint!("{}", would(preview));
            }
            if !args.yes {
                agreed()?;
            }
            let answer = client.give_verdict(&request)?;
            // For programs, both in one.
            show(Ok(CommandOutcome { preview, ..answer }), json, |answer| outcome(&what, answer))
        }
        VerdictsCommand::List(args) => {
            let filter = VerdictFilter {
                incident: args.incident.clone(),
                device: args.device.clone(),
                limit: Some(args.limit),
                cursor: None,
            };
            show(args.api.client()?.verdicts(&filter), args.api.rights.json, list)
        }
    }
}

fn request(args: &GiveArgs) -> VerdictRequest {
    VerdictRequest {
        incident: args.incident.clone(),
        finding: args.finding.clone(),
        verdict: args.verdict,
        scope: args.scope,
        expires: args.expires.map(|expires| match expires {
            Until::At(at) => at,
            Until::In(period) => Moment(now().plus_seconds(i64::from(period.seconds()))),
        }),
        note: args.note.clone(),
        preview: args.preview,
    }
}

/// Whether nobody is told of the like any more.
fn keeps_back(args: &GiveArgs) -> bool {
    args.scope != VerdictScope::Incident && args.verdict != Verdict::True
}

/// A yes at the terminal.
fn agreed() -> anyhow::Result<()> {
    let mut answer = String::new();
    let is_asked = std::io::stdin().is_terminal();
    if is_asked {
        eprint!("Give it? [y/N] ");
        std::io::stdin().lock().read_line(&mut answer)?;
    }
    if matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes") {
        return Ok(());
    }
    let why = if is_asked { "it was not given" } else { "it was not given: nobody is here to be asked" };
    Err(Misuse(format!("{why}; look at what it would have kept back, and add `--yes`")).into())
}

fn given(what: &str, answer: &CommandOutcome) -> String {
    let Some(preview) = &answer.preview else { return outcome(what, answer) };
    would(preview) + "nothing was taken down\n"
}

fn would(preview: &VerdictPreview) -> String {
    let mut out = format!(
        "from {} to {} UTC it would have kept back {} of {} on {}\n",
        moment(preview.since.0),
        moment(preview.until.0),
        counted(preview.findings, "finding"),
        counted(preview.incidents, "incident"),
        counted(preview.devices, "device"),
    );
    if !preview.hides_true_incidents.is_empty() {
        let ids = listed_briefly(preview.hides_true_incidents.iter().map(String::as_str));
        out += &format!("LOOK AT THESE FIRST: somebody called them true, and it would have hidden them: {ids}\n");
    }
    out
}

fn list(verdicts: &Verdicts) -> String {
    if verdicts.verdicts.is_empty() {
        return "no verdicts\n".to_owned();
    }
    let mut table = Table::new(&[
        "!incident",
        "!at (UTC)",
        "!device",
        "verdict",
        "scope",
        "!expires (UTC)",
        ">kept back",
        "by",
        "note",
    ]);
    for verdict in &verdicts.verdicts {
        table.row([
            verdict.incident_id.clone(),
            minute(verdict.at.0),
            verdict.device_id.clone(),
            verdict.verdict.to_string(),
            reached(verdict),
            verdict.expires.map_or_else(|| "-".to_owned(), |at| minute(at.0)),
            verdict.kept_back.to_string(),
            verdict.by.clone(),
            verdict.note.clone(),
        ]);
    }
    let more = if verdicts.next.is_some() { "there are more; `--limit` says how many are shown\n" } else { "" };
    table.render() + more
}

/// The device is in a column of its own.
fn reached(verdict: &VerdictView) -> String {
    match (&verdict.applies_to, verdict.scope) {
        (Some(name), VerdictScope::DeviceType | VerdictScope::Site) => format!("{} {name}", reach(verdict.scope)),
        _ => reach(verdict.scope).to_owned(),
    }
}

fn reach(scope: VerdictScope) -> &'static str {
    match scope {
        VerdictScope::Incident => "incident",
        VerdictScope::Device => "device",
        VerdictScope::DeviceType => "device_type",
        VerdictScope::Site => "site",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fleet::EventTime;

    #[test]
    fn words_as_people_write_them() {
        assert_eq!(verdict("benign-change").unwrap(), Verdict::BenignChange);
        assert_eq!(verdict("true").unwrap(), Verdict::True);
        for name in ["incident", "device", "device_type", "site"] {
            assert_eq!(reach(scope(name).unwrap()), name);
        }
        assert!(verdict("yes").unwrap_err().contains("`yes`"));
        assert_eq!(until("30d").unwrap(), Until::In(Period::days(30)));
        assert!(matches!(until("2026-01-31T12:00:00Z").unwrap(), Until::At(_)));
        assert!(until("soon").unwrap_err().contains("`soon`"));
    }

    #[test]
    fn a_list_says_whom_it_reaches_to_and_what_it_kept_back() {
        let view = VerdictView {
            incident_id: "i1".into(),
            finding_id: None,
            device_id: "lamp-1".into(),
            verdict: Verdict::BenignChange,
            scope: VerdictScope::Site,
            applies_to: Some("north".into()),
            kept_back: 17,
            note: String::new(),
            by: "anna".into(),
            at: Moment(EventTime(0)),
            expires: None,
        };
        let text = list(&Verdicts { verdicts: vec![view], next: None });
        assert!(text.contains("site north") && text.contains("17"), "{text}");
    }

    #[test]
    fn a_preview_says_what_it_would_hide() {
        let preview = VerdictPreview {
            since: Moment(EventTime(0)),
            until: Moment(EventTime(86_400_000_000)),
            findings: 12,
            incidents: 3,
            devices: 1,
            hides_true_incidents: vec!["i7".into()],
        };
        let text = given("i1", &CommandOutcome { preview: Some(preview), ..CommandOutcome::default() });
        for part in ["12 findings of 3 incidents on 1 device", "nothing was taken down", "i7"] {
            assert!(text.contains(part), "no `{part}` in {text}");
        }
    }
}
