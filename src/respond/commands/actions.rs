//! `vedette actions`: what is proposed and in force, and people's word on it, through the API.

use clap::{Args, Subcommand};
use datasets::scorecard::text::{Table, listed, moment, wrap};
use fleet::State;
use responders::api::client::{Client, Failed};
use responders::api::command::ExtendRequest;
use responders::api::views::{ActionDetail, ActionFilter, ActionView, Actions, LARGEST_PAGE};
use responders::playbook::Period;
use responders::rights::Moment;

use super::connection::{ApiArgs, each, instant, outcome, show};

#[derive(Subcommand)]
pub enum ActionsCommand {
    /// What was decided, latest first: proposed, in force, released, refused.
    List(ListArgs),
    /// One action: what it is about, where it stands, and everything that happened to it.
    Show(ShowArgs),
    /// Let proposed actions go on. The guard-rails still hold: what they refuse is refused.
    Approve(IdArgs),
    /// Say no to proposed actions. No answer in time means no as well.
    Deny(IdArgs),
    /// Take back what is in force, now. The device is on probation afterwards.
    Release(IdArgs),
    /// Move the end of what is in force, later or earlier.
    Extend(ExtendArgs),
}

#[derive(Args, Clone)]
pub struct ListArgs {
    /// Only in this state: proposed, approved, applying, applied, verified, releasing, released, denied, refused, failed,
    /// expired
    #[arg(long, value_parser = state)]
    pub state: Option<State>,
    /// Only about this device
    #[arg(long, value_name = "ID")]
    pub device: Option<String>,
    /// Only about this incident
    #[arg(long, value_name = "ID")]
    pub incident: Option<String>,
    /// Only at this site
    #[arg(long)]
    pub site: Option<String>,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: u32,
    #[command(flatten)]
    pub api: ApiArgs,
}

#[derive(Args, Clone)]
pub struct ShowArgs {
    /// The action, as `vedette actions list` names it
    #[arg(value_name = "ID")]
    pub id: String,
    #[command(flatten)]
    pub api: ApiArgs,
}

#[derive(Args, Clone)]
pub struct IdArgs {
    /// The actions, as `vedette actions list` names them
    #[arg(value_name = "ID", required = true)]
    pub ids: Vec<String>,
    /// Why, for the journal; no secrets
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub note: String,
    #[command(flatten)]
    pub api: ApiArgs,
}

#[derive(Args, Clone)]
pub struct ExtendArgs {
    /// The action, as `vedette actions list` names it
    #[arg(value_name = "ID")]
    pub id: String,
    /// The new end, counted from now: 90s, 15m, 4h, 2d
    #[arg(long = "for", value_name = "TIME", conflicts_with = "until", required_unless_present = "until")]
    pub period: Option<Period>,
    /// The new end (2026-01-31T12:00:00Z)
    #[arg(long, value_name = "TIME", value_parser = instant)]
    pub until: Option<Moment>,
    /// Why, for the journal; no secrets
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub note: String,
    #[command(flatten)]
    pub api: ApiArgs,
}

fn state(name: &str) -> Result<State, String> {
    let names = || State::ALL.iter().map(|state| state.name());
    State::from_name(name).ok_or_else(|| format!("`{name}` is no state, expected {}", listed(names())))
}

pub fn run(command: &ActionsCommand) -> anyhow::Result<()> {
    match command {
        ActionsCommand::List(args) => {
            let filter = ActionFilter {
                state: args.state,
                device: args.device.clone(),
                incident: args.incident.clone(),
                site: args.site.clone(),
                limit: None,
                cursor: None,
            };
            show(all(&args.api.client()?, filter, args.limit), args.api.rights.json, list)
        }
        ActionsCommand::Show(args) => show(args.api.client()?.action(&args.id), args.api.rights.json, page),
        ActionsCommand::Approve(args) => word(args, Client::approve),
        ActionsCommand::Deny(args) => word(args, Client::deny),
        ActionsCommand::Release(args) => word(args, Client::release),
        ActionsCommand::Extend(args) => {
            let request = ExtendRequest {
                until: args.until,
                for_seconds: args.period.map(Period::seconds),
                note: args.note.clone(),
            };
            let answer = args.api.client()?.extend(&args.id, &request);
            show(answer, args.api.rights.json, |answer| outcome(&args.id, answer))
        }
    }
}

type Word = fn(&Client, &str, &str) -> Result<responders::api::command::CommandOutcome, Failed>;

fn word(args: &IdArgs, say: Word) -> anyhow::Result<()> {
    let client = args.api.client()?;
    each(&args.ids, args.api.rights.json, |id| say(&client, id, &args.note))
}

/// Page by page, until there are `limit` of them.
fn all(client: &Client, mut filter: ActionFilter, limit: u32) -> Result<Actions, Failed> {
    let mut actions = Vec::new();
    loop {
        let left = limit.saturating_sub(u32::try_from(actions.len()).unwrap_or(u32::MAX));
        filter.limit = Some(left.min(LARGEST_PAGE));
        let page = client.actions(&filter)?;
        let is_empty = page.actions.is_empty();
        actions.extend(page.actions);
        filter.cursor = page.next;
        if filter.cursor.is_none() || is_empty || actions.len() >= limit as usize {
            return Ok(Actions { actions, next: filter.cursor });
        }
    }
}

/// A page of them, and whether there are more.
pub fn list(actions: &Actions) -> String {
    if actions.actions.is_empty() {
        return "no actions\n".to_owned();
    }
    let mut table = Table::new(&["!action", "!changed (UTC)", "!state", "level", "!device", "gateway", "why"]);
    for action in &actions.actions {
        table.row([
            action.action_id.clone(),
            moment(action.changed_at.0),
            state_of(action),
            action.level.to_string(),
            action.device_id.clone(),
            action.gateway.clone().unwrap_or_else(|| "-".to_owned()),
            action.reason.clone(),
        ]);
    }
    let mut out = table.render();
    if actions.next.is_some() {
        out += "there are more; `--limit` says how many are shown\n";
    }
    out
}

/// In a dry run nothing comes after a proposal.
fn state_of(action: &ActionView) -> String {
    let would = action.state == State::Proposed && action.mode == fleet::Mode::Observe;
    if would { "would act".to_owned() } else { action.state.to_string() }
}

fn page(detail: &ActionDetail) -> String {
    let action = &detail.action;
    let mut out = format!("Action {}: {}, {}\n\n", action.action_id, action.level, state_of(action));
    let mut fact = |name: &str, text: &str| {
        let lines = wrap(text, "             ");
        out += &format!("  {name:<10} {}", lines.trim_start());
    };
    let site = action.site.as_ref().map_or_else(String::new, |site| format!(", at {site}"));
    let device_type = if action.device_type.is_empty() { "of no known type" } else { &action.device_type };
    fact("device", &format!("{}, {device_type}{site}", action.device_id));
    fact("incident", &format!("{}, finding {}", action.incident_id, action.finding_id));
    fact("because", &action.reason);
    fact("mode", action.mode.name());
    if let Some(playbook) = &action.playbook {
        fact("playbook", playbook);
    }
    if let Some(gateway) = &action.gateway {
        fact("gateway", gateway);
    }
    fact("decided", &format!("{} UTC", moment(action.decided_at.0)));
    if let Some(until) = action.until {
        fact("ends", &format!("{} UTC, by itself", moment(until.0)));
    }
    if !action.approved_by.is_empty() {
        fact("approved", &format!("by {}", listed(action.approved_by.iter().map(String::as_str))));
    }
    if action.approvals_missing > 0 {
        fact("waits for", &format!("{} to approve it", people(action.approvals_missing)));
    }
    if let Some(by) = action.answer_by {
        fact("answer by", &format!("{} UTC; no answer means no", moment(by.0)));
    }
    out += "\nWhat happened\n";
    let mut table = Table::new(&[">entry", "!at (UTC)", "!state", "by", "why"]);
    for step in &detail.history {
        table.row([
            step.entry.to_string(),
            moment(step.at.0),
            step.state.to_string(),
            step.by.clone().unwrap_or_else(|| "-".to_owned()),
            step.reason.clone(),
        ]);
    }
    out + &table.render()
}

fn people(count: u32) -> String {
    if count == 1 { "one person".to_owned() } else { format!("{count} different people") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fleet::{EventTime, Level, Mode};
    use responders::api::views::Transition;

    pub fn action() -> ActionView {
        ActionView {
            action_id: "a1".into(),
            incident_id: "i1".into(),
            finding_id: "f1".into(),
            device_id: "lamp-1".into(),
            device_type: "lamp".into(),
            site: Some("north".into()),
            level: Level::Quarantine,
            mode: Mode::Approve,
            state: State::Proposed,
            gateway: Some("edge".into()),
            playbook: Some("compromise".into()),
            reason: "the kind is compromise".into(),
            decided_at: Moment(EventTime(0)),
            changed_at: Moment(EventTime(60_000_000)),
            until: None,
            answer_by: Some(Moment(EventTime(900_000_000))),
            approved_by: vec!["anna".into()],
            approvals_missing: 1,
        }
    }

    #[test]
    fn a_list_says_what_would_be_done_and_whether_there_is_more() {
        let dry = ActionView { mode: Mode::Observe, ..action() };
        let text = list(&Actions { actions: vec![action(), dry], next: Some("c".into()) });
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[1].contains("proposed") && lines[1].contains("1970-01-01 00:01:00"), "{text}");
        assert!(lines[2].contains("would act") && lines[3].contains("--limit"), "{text}");
        assert_eq!(list(&Actions::default()), "no actions\n");
    }

    #[test]
    fn one_action_with_what_it_waits_for_and_what_happened() {
        let step = Transition {
            entry: 7,
            at: Moment(EventTime(0)),
            state: State::Proposed,
            by: None,
            reason: "policy says so".into(),
        };
        let text = page(&ActionDetail { action: action(), history: vec![step] });
        for part in [
            "Action a1: quarantine, proposed",
            "lamp-1, lamp, at north",
            "i1, finding f1",
            "by anna",
            "one person to approve it",
            "1970-01-01 00:15:00 UTC; no answer means no",
            "policy says so",
        ] {
            assert!(text.contains(part), "no `{part}` in\n{text}");
        }
        assert!(text.lines().all(|line| line.chars().count() <= 110), "{text}");
    }

    #[test]
    fn a_state_that_is_none_is_told_with_those_that_are() {
        let words = state("open").unwrap_err();
        assert!(words.contains("`open`") && words.contains("proposed") && words.contains("expired"), "{words}");
    }
}
