//! What the HTTP API is answered from: the journal as it is followed here; and how a command comes to the process that acts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use fleet::id::stable_id;
use fleet::{Action, EventTime, Mode, State};
use responders::api::command::{Command, CommandOutcome};
use responders::api::views::{
    ActionDetail, ActionFilter, ActionView, Actions, GatewayHealth, Health, IncidentDetail, IncidentFilter,
    IncidentStats, IncidentView, Incidents, JournalHead, LARGEST_PAGE, ModeView, PAGE, PlaybookView, Playbooks,
    StatsFilter, Transition, VerdictFilter, VerdictView, Verdicts,
};
use responders::api::{Asked, Call, Desk, Refusal};
use responders::book;
use responders::journal::entry::{self as journal, Called, ModeOf, Request};
use responders::rights::Moment;
use smol_str::SmolStr;
use store::Home;

use super::cases::{cases, look_whether_open, stats};
use super::commands::Sent;
use super::verdicts;
use super::view::{Shown, View};
use crate::config::Config;
use crate::live::judge::publisher::Publisher;
use crate::live::metrics::responding;
use crate::live::now_millis;
use crate::respond::playbooks::CompiledPlaybooks;

/// How long whoever acts may take to obey a command.
const DEADLINE_SECONDS: i64 = 60;
/// How long the API waits for what comes of it.
const PATIENCE: Duration = Duration::from_secs(8);

pub struct LiveDesk {
    pub config: Arc<Config>,
    pub view: View,
    pub store: Arc<dyn Home>,
    pub publisher: Publisher,
    pub playbooks: CompiledPlaybooks,
}

impl LiveDesk {
    fn send(&self, sent: &Sent, until: Instant) -> Result<(), Refusal> {
        let away =
            |problem: String| Refusal::unavailable(problem, "Kafka does not take it; try again when brokers answer");
        let text = serde_json::to_vec(sent).map_err(|error| away(error.to_string()))?;
        match self.publisher.publish(&text, None, &|| Instant::now() < until) {
            Ok(true) => Ok(()),
            Ok(false) => Err(away("no broker took the command in time".to_owned())),
            Err(error) => Err(away(format!("{error:#}"))),
        }
    }

    /// As the journal has it, and the action it is about.
    fn translate(&self, command: &Command, now: EventTime) -> Result<(journal::Command, Option<String>), Refusal> {
        use journal::Command as Ours;
        Ok(match command {
            Command::Approve { action_id, .. } => {
                (Ours::Approve { action_id: action_id.clone() }, Some(action_id.clone()))
            }
            Command::Deny { action_id, note } => {
                (Ours::Deny { action_id: action_id.clone(), reason: words(note, "denied") }, Some(action_id.clone()))
            }
            Command::Release { action_id, note } => (
                Ours::Release { action_id: action_id.clone(), reason: words(note, "released") },
                Some(action_id.clone()),
            ),
            Command::Extend { action_id, until, .. } => {
                (Ours::Extend { action_id: action_id.clone(), until: until.0 }, Some(action_id.clone()))
            }
            Command::SetMode(request) => {
                let of = match (&request.gateway, &request.playbook) {
                    (Some(gateway), None) => ModeOf::Gateway(gateway.into()),
                    (None, Some(playbook)) => ModeOf::Playbook(playbook.into()),
                    (None, None) => ModeOf::All,
                    (Some(_), Some(_)) => {
                        return Err(Refusal::wrong(
                            "both a gateway and a playbook are named",
                            "name one of them, or none",
                        ));
                    }
                };
                (Ours::Mode { of, mode: request.mode }, None)
            }
            Command::Stop { note } => (Ours::Stop { on: true, reason: words(note, "stopped") }, None),
            Command::Resume { note } => (Ours::Stop { on: false, reason: words(note, "resumed") }, None),
            Command::Verdict(request) => {
                let verdict = verdicts::resolved(request, &self.view, &*self.store, now)?;
                (Ours::Verdict(Box::new(verdict)), None)
            }
        })
    }
}

impl Desk for LiveDesk {
    fn actions(&self, filter: &ActionFilter) -> Result<Actions, Refusal> {
        let shown = self.view.look();
        let fits = |action: &&book::Action| {
            let proposal = &action.proposal;
            let same = |wanted: &Option<String>, is: &str| wanted.as_deref().is_none_or(|wanted| wanted == is);
            filter.state.is_none_or(|state| state == action.state)
                && same(&filter.device, &proposal.device_id)
                && same(&filter.incident, &proposal.incident_id)
                && same(&filter.site, &proposal.site)
        };
        let mut found: Vec<&book::Action> = shown.book.actions().filter(fits).collect();
        found.sort_by_key(|action| std::cmp::Reverse(action.seq));
        let (page, next) = page(&found, filter.limit, filter.cursor.as_deref(), |action| (action.seq, ""))?;
        Ok(Actions { actions: page.into_iter().map(view_of).collect(), next })
    }

    fn action(&self, action_id: &str) -> Result<ActionDetail, Refusal> {
        let shown = self.view.look();
        let action = shown.book.action(action_id).ok_or_else(|| unknown("action", action_id))?;
        let history = shown.history.get(action_id).map_or(&[][..], Vec::as_slice);
        Ok(ActionDetail { action: view_of(action), history: history.iter().map(transition).collect() })
    }

    fn incidents(&self, filter: &IncidentFilter) -> Result<Incidents, Refusal> {
        // The journal is followed while the store is asked.
        let mut found: Vec<IncidentView> = {
            let shown = self.view.look();
            let cases = cases(&shown.book).into_values().filter(|case| case.fits(filter));
            cases.filter_map(|case| case.view(&shown.book)).collect()
        };
        if let Some(open) = filter.open {
            look_whether_open(&mut found, &*self.store).map_err(|error| {
                let remedy = "ask without `open`; which incidents go on the store knows";
                Refusal::unavailable(format!("the store cannot be read: {error}"), remedy)
            })?;
            found.retain(|incident| incident.open == Some(open));
        }
        found.sort_by(|a, b| (b.opened_at.0, &b.incident_id).cmp(&(a.opened_at.0, &a.incident_id)));
        let found: Vec<&IncidentView> = found.iter().collect();
        let (page, next) = page(&found, filter.limit, filter.cursor.as_deref(), place)?;
        let mut incidents: Vec<IncidentView> = page.into_iter().cloned().collect();
        if filter.open.is_none()
            && let Err(error) = look_whether_open(&mut incidents, &*self.store)
        {
            tracing::debug!(%error, "whether incidents go on is not shown");
        }
        Ok(Incidents { incidents, next })
    }

    fn incident(&self, incident_id: &str) -> Result<IncidentDetail, Refusal> {
        let mut detail = {
            let shown = self.view.look();
            let case = cases(&shown.book).remove(incident_id).unwrap_or_default();
            IncidentDetail {
                incident: case.view(&shown.book).ok_or_else(|| unknown("incident", incident_id))?,
                explanation: case.explanation(),
                finding_ids: case.finding_ids().into_iter().map(str::to_owned).collect(),
                actions: case.actions.into_iter().map(view_of).collect(),
            }
        };
        if let Err(error) = look_whether_open(std::slice::from_mut(&mut detail.incident), &*self.store) {
            tracing::debug!(%error, "whether an incident goes on is not shown");
        }
        Ok(detail)
    }

    fn incident_stats(&self, filter: &StatsFilter) -> Result<IncidentStats, Refusal> {
        Ok(stats(&self.view.look().book, filter))
    }

    fn verdicts(&self, filter: &VerdictFilter) -> Result<Verdicts, Refusal> {
        let found = verdicts::listed(&self.view.look(), filter)?;
        let found: Vec<&(u64, VerdictView)> = found.iter().collect();
        let (page, next) = page(&found, filter.limit, filter.cursor.as_deref(), |(entry, _)| (*entry, ""))?;
        Ok(Verdicts { verdicts: page.into_iter().map(|(_, verdict)| verdict.clone()).collect(), next })
    }

    fn playbooks(&self) -> Result<Playbooks, Refusal> {
        let shown = self.view.look();
        let playbooks = self.playbooks.iter().map(|playbook| PlaybookView {
            id: playbook.id.to_string(),
            title: playbook.title.clone(),
            mode: shown.book.mode(&ModeOf::Playbook(playbook.id.clone())).unwrap_or(playbook.mode),
            version: playbook.version(),
        });
        Ok(Playbooks { playbooks: playbooks.collect() })
    }

    fn mode(&self) -> Result<ModeView, Refusal> {
        let shown = self.view.look();
        let set = |of: ModeOf, configured: Mode| shown.book.mode(&of).unwrap_or(configured);
        let gateways = self.config.gateways.iter();
        let gateways =
            gateways.map(|(name, gateway)| (name.to_string(), set(ModeOf::Gateway(name.clone()), gateway.mode)));
        let playbooks = self.playbooks.iter();
        let playbooks = playbooks
            .map(|playbook| (playbook.id.to_string(), set(ModeOf::Playbook(playbook.id.clone()), playbook.mode)));
        let by_file = self.config.responders.stop_file.as_ref().filter(|path| path.try_exists().unwrap_or(true));
        let by_file = by_file.map(|path| format!("the file `{}`", path.display()));
        let stopped_by = shown.book.stopped().map(str::to_owned).or(by_file);
        Ok(ModeView {
            global: set(ModeOf::All, self.config.responders.mode),
            gateways: gateways.collect(),
            playbooks: playbooks.collect(),
            stopped: stopped_by.is_some(),
            stopped_by,
        })
    }

    fn health(&self) -> Result<Health, Refusal> {
        Ok(health(&self.view.look(), self.config.gateways.keys(), responding::gateways().as_ref()))
    }

    fn command(&self, asked: &Asked, command: &Command) -> Result<CommandOutcome, Refusal> {
        let caller = &asked.caller;
        let issued_at = EventTime(now_millis().saturating_mul(1_000));
        if let Command::Verdict(request) = command
            && request.preview
        {
            let preview = verdicts::previewed(request, &self.view, &*self.store, issued_at)?;
            let message = "a preview: nothing was taken down".to_owned();
            return Ok(CommandOutcome { message, preview: Some(preview), ..CommandOutcome::default() });
        }
        let (translated, about) = self.translate(command, issued_at)?;
        // A key that comes again with another command is another command.
        let command_id = match &asked.idempotency_key {
            Some(key) => stable_id(&["command", &caller.name, key, &words_of(&translated)]),
            None => random_id()?,
        };
        let known = self.view.look().commands.contains_key(&command_id);
        let deadline = issued_at.plus_seconds(DEADLINE_SECONDS);
        let open = |problem: &str| not_known_yet(problem, deadline, asked.idempotency_key.as_deref());
        let until = Instant::now() + PATIENCE;
        if !known {
            let by = caller.name.as_str().into();
            let note = note_of(command);
            let request =
                Request { command_id: command_id.clone(), by, issued_at, deadline, note, command: translated };
            // What waits for a broker may come there yet.
            self.send(&Sent::Command(request), until).map_err(|refusal| open(&refusal.message))?;
        }
        let seen = |shown: &Shown| {
            let entry = *shown.commands.get(&command_id)?;
            Some((entry, shown.book.outcome(&command_id).cloned().flatten()))
        };
        let left = until.saturating_duration_since(Instant::now());
        let Some((entry, refused)) = self.view.wait(left, seen) else {
            return Err(open("nobody has obeyed it yet; does `vedette run` with the role act work?"));
        };
        if let Some(refused) = refused {
            return Err(Refusal::conflict(refused, "look at the action's history"));
        }
        let shown = self.view.look();
        let action = about.and_then(|id| shown.book.action(&id));
        let missing = action.map_or(0, approvals_missing);
        let message = match action {
            Some(action) if missing > 0 => format!("taken down; {missing} more have to approve `{}`", action.id()),
            Some(action) => format!("taken down; the action is {}", action.state),
            None => "taken down".to_owned(),
        };
        let state = action.map(|action| action.state);
        Ok(CommandOutcome {
            entry: Some(entry),
            message,
            state,
            approvals_missing: missing,
            repeated: known,
            preview: None,
        })
    }

    fn record_call(&self, call: &Call) -> Result<(), Refusal> {
        let by = call.caller.as_ref().map_or("", |caller| caller.name.as_str());
        self.send(
            &Sent::Call(Called {
                by: by.into(),
                claimed: call.claimed.clone(),
                peer: call.peer.to_string(),
                method: call.method.as_str().into(),
                route: call.route.clone(),
                subject: call.subject.clone(),
                status: call.status,
                unrecorded: call.unrecorded,
                offset: None,
            }),
            Instant::now() + PATIENCE,
        )
    }
}

/// Neither yes nor no: whoever takes over may still obey it.
fn not_known_yet(problem: &str, deadline: EventTime, key: Option<&str>) -> Refusal {
    let problem = format!("what comes of it is not known yet, it may be carried out until {deadline}: {problem}");
    let remedy = match key {
        Some(key) => format!(
            "ask again with the same `Idempotency-Key`, `{key}`: it is carried out once, and what came of it is told"
        ),
        None => "look at what it is about before asking again; with an `Idempotency-Key` it would be carried out once"
            .to_owned(),
    };
    Refusal { retry_after: Some(PATIENCE.as_secs()), ..Refusal::unavailable(problem, remedy) }
}

/// What a command asks for; until when is counted anew in each try, and what a verdict is about is looked up anew.
fn words_of(command: &journal::Command) -> String {
    match command {
        journal::Command::Extend { action_id, .. } => format!("extend {action_id}"),
        journal::Command::Verdict(verdict) => {
            let of = verdict.reach.as_ref().map(|reach| &reach.of);
            format!("verdict {} {} {} {of:?}", verdict.verdict, verdict.incident_id, verdict.finding_id)
        }
        other => serde_json::to_string(other).unwrap_or_default(),
    }
}

/// Of those that have no reason of their own in the journal.
fn note_of(command: &Command) -> String {
    match command {
        Command::Approve { note, .. } | Command::Extend { note, .. } => note.clone(),
        Command::SetMode(request) => request.note.clone(),
        _ => String::new(),
    }
}

fn words(note: &str, otherwise: &str) -> String {
    if note.is_empty() { otherwise.to_owned() } else { note.to_owned() }
}

fn random_id() -> Result<String, Refusal> {
    let mut random = [0u8; 16];
    getrandom::fill(&mut random)
        .map_err(|error| Refusal::unavailable(format!("there is no randomness: {error}"), "try again"))?;
    Ok(random.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn unknown(what: &str, id: &str) -> Refusal {
    let remedy =
        format!("`vedette {what}s list` has them; of what ended more than 14 days ago the store has all of it");
    Refusal::not_found(format!("no {what} `{id}` is known"), remedy)
}

/// What follows `cursor` in an order from the greatest key down, a number and an id; and the next cursor.
fn page<'i, T>(
    all: &[&'i T],
    limit: Option<u32>,
    cursor: Option<&'i str>,
    key: impl Fn(&T) -> (u64, &str),
) -> Result<(Vec<&'i T>, Option<String>), Refusal> {
    let read = |cursor: &'i str| {
        let (number, id) = cursor.split_once('.').unwrap_or((cursor, ""));
        let wrong = |_| Refusal::wrong(format!("the cursor `{cursor}` is none"), "take `next` of the page before");
        Ok((number.parse().map_err(wrong)?, id))
    };
    let below: Option<(u64, &str)> = cursor.map(read).transpose()?;
    let limit = limit.unwrap_or(PAGE).clamp(1, LARGEST_PAGE) as usize;
    let mut rest = all.iter().copied().filter(|item| below.is_none_or(|below| key(item) < below));
    let page: Vec<&T> = rest.by_ref().take(limit).collect();
    let next = rest.next().and(page.last()).map(|last| match key(last) {
        (number, "") => number.to_string(),
        (number, id) => format!("{number}.{id}"),
    });
    Ok((page, next))
}

/// Of those of one instant the id decides.
fn place(incident: &IncidentView) -> (u64, &str) {
    (u64::try_from(incident.opened_at.0.0).unwrap_or(0), &incident.incident_id)
}

fn approvals_missing(action: &book::Action) -> u32 {
    if action.state != State::Proposed || action.proposal.mode != Mode::Approve {
        return 0;
    }
    u32::from(action.proposal.approvals).saturating_sub(u32::try_from(action.agreed.len()).unwrap_or(u32::MAX))
}

fn view_of(action: &book::Action) -> ActionView {
    let proposal = &action.proposal;
    let named = |name: &SmolStr| Some(name.to_string()).filter(|name| !name.is_empty());
    ActionView {
        action_id: proposal.action_id.clone(),
        incident_id: proposal.incident_id.clone(),
        finding_id: proposal.finding_id.clone(),
        device_id: proposal.device_id.to_string(),
        device_type: proposal.device_type.to_string(),
        site: named(&proposal.site),
        level: proposal.level,
        mode: proposal.mode,
        state: action.state,
        gateway: named(&action.gateway),
        playbook: named(&proposal.playbook),
        reason: action.reason.clone(),
        decided_at: Moment(proposal.found_at),
        changed_at: Moment(action.since),
        until: action.until.map(Moment),
        answer_by: proposal.answer_by.filter(|_| action.state == State::Proposed).map(Moment),
        approved_by: action.agreed.iter().map(ToString::to_string).collect(),
        approvals_missing: approvals_missing(action),
    }
}

fn transition(row: &Action) -> Transition {
    let reason = if row.note.is_empty() { row.reason.clone() } else { format!("{}: {}", row.note, row.reason) };
    let by = Some(row.by.to_string()).filter(|by| !by.is_empty());
    Transition { entry: row.seq, at: Moment(row.at), state: row.state, by, reason }
}

/// `loads`: calls that wait for each gateway, and whether it is left alone; where this process acts.
fn health<'g>(
    shown: &Shown,
    gateways: impl Iterator<Item = &'g SmolStr>,
    loads: Option<&BTreeMap<SmolStr, (usize, bool)>>,
) -> Health {
    let chain = &shown.book.chain;
    let head = (chain.seq > 0).then(|| JournalHead {
        entry: chain.seq,
        hash: chain.head.to_string(),
        at: Moment(chain.at),
        signed: shown.signed,
    });
    let of = |name: &SmolStr| {
        let load = loads.and_then(|loads| loads.get(name));
        let of_it = shown.book.open().filter(|action| action.gateway == *name && action.failure.is_some());
        GatewayHealth {
            name: name.to_string(),
            left_alone: load.map(|(_, is_left_alone)| *is_left_alone),
            queued: load.map(|(waiting, _)| *waiting as u64),
            last_failure: of_it.max_by_key(|action| action.seq).and_then(|action| action.failure.clone()),
        }
    };
    let configured: BTreeSet<&SmolStr> = gateways.collect();
    let at_gateway = shown.book.open().filter(|action| action.state.is_at_gateway());
    let holders: BTreeSet<&SmolStr> = at_gateway.map(|action| &action.gateway).collect();
    let gone = holders.difference(&configured).map(|name| GatewayHealth {
        name: name.to_string(),
        left_alone: None,
        queued: None,
        last_failure: Some("it holds devices and is not configured: nobody can be asked".to_owned()),
    });
    let gateways = configured.iter().map(|name| of(name)).chain(gone).collect();
    let waits = |action: &&book::Action| action.state == State::Proposed && action.proposal.mode == Mode::Approve;
    Health {
        owner: shown.owner.clone(),
        journal: head,
        gateways,
        waiting: shown.book.open().filter(waits).count() as u64,
    }
}

#[cfg(test)]
mod tests {
    use fleet::Level;
    use responders::journal::Entry;
    use responders::journal::entry::{Body, Move, Note, Noted};

    use super::*;
    use crate::respond::rows::proposed;

    #[test]
    fn what_gateways_have_in_hand_is_told_where_it_is_known() {
        let mut shown = Shown::default();
        let applying = Move { gateway: Some("edge".into()), ..Move::new("a", State::Applying, "policy", "x") };
        let what =
            Noted::Attempt { failure: "no answer".to_owned(), attempts: 9, next_at: EventTime(9), was_sent: true };
        let bodies = [
            proposed("a", Level::Quarantine, Mode::Auto, EventTime(1)),
            Body::Moved(Box::new(applying)),
            Body::Noted(Note { action_id: "a".to_owned(), what }),
            proposed("b", Level::Quarantine, Mode::Approve, EventTime(2)),
            proposed("c", Level::Quarantine, Mode::Observe, EventTime(3)),
        ];
        for (seq, body) in (1..).zip(bodies) {
            shown.book.fold(&Entry { seq, at: EventTime(5), previous: "".into(), body, hash: "".into() });
        }
        shown.owner = Some("act-1 4711".to_owned());
        let names = [SmolStr::new("edge"), SmolStr::new("broker")];
        let elsewhere = health(&shown, names.iter(), None);
        assert_eq!((elsewhere.owner.as_deref(), elsewhere.waiting), (Some("act-1 4711"), 1));
        assert_eq!(elsewhere.gateways[1].last_failure.as_deref(), Some("no answer"));
        assert_eq!((elsewhere.gateways[1].left_alone, elsewhere.gateways[1].queued), (None, None));
        let loads = BTreeMap::from([(names[0].clone(), (3, true)), (names[1].clone(), (0, false))]);
        let here = health(&shown, names.iter(), Some(&loads)).gateways;
        let here: BTreeMap<&str, &GatewayHealth> =
            here.iter().map(|gateway| (gateway.name.as_str(), gateway)).collect();
        let here = ["edge", "broker"].map(|name| here[name]);
        assert_eq!((here[0].left_alone, here[0].queued), (Some(true), Some(3)));
        assert_eq!((here[1].left_alone, here[1].queued, &here[1].last_failure), (Some(false), Some(0), &None));
    }

    #[test]
    fn a_gateway_that_holds_somebody_and_is_not_configured_is_told() {
        let mut shown = Shown::default();
        let applying = Move { gateway: Some("gone".into()), ..Move::new("a", State::Applying, "policy", "x") };
        let bodies = [proposed("a", Level::Quarantine, Mode::Auto, EventTime(1)), Body::Moved(Box::new(applying))];
        for (seq, body) in (1..).zip(bodies) {
            shown.book.fold(&Entry { seq, at: EventTime(5), previous: "".into(), body, hash: "".into() });
        }
        let told = health(&shown, [SmolStr::new("edge")].iter(), None).gateways;
        assert_eq!(told.iter().map(|gateway| gateway.name.as_str()).collect::<Vec<_>>(), ["edge", "gone"]);
        assert!(told[1].last_failure.as_ref().is_some_and(|words| words.contains("not configured")));
    }

    #[test]
    fn pages_lose_nothing_of_one_instant() {
        let all = [(9, "z"), (7, "c"), (7, "b"), (7, "a"), (3, "a")];
        let all: Vec<&(u64, &str)> = all.iter().collect();
        for limit in 1..=6 {
            let (mut found, mut cursor): (Vec<(u64, &str)>, Option<String>) = (Vec::new(), None);
            loop {
                let (items, next) = page(&all, Some(limit), cursor.as_deref(), |item| *item).unwrap();
                found.extend(items.into_iter().copied());
                cursor = next;
                if cursor.is_none() {
                    break;
                }
            }
            assert_eq!(found.iter().collect::<Vec<_>>(), all, "{limit} a page");
        }
        for wrong in ["x", "", "7x.a"] {
            assert_eq!(page(&all, None, Some(wrong), |item| *item).unwrap_err().status, 400, "{wrong}");
        }
    }

    #[test]
    fn what_is_not_known_yet_is_no_refusal() {
        let deadline = EventTime::parse("2026-03-02T08:01:00Z").unwrap();
        let refusal = not_known_yet("nobody has obeyed it yet", deadline, Some("k-1"));
        assert_eq!(refusal.status, 503);
        assert!(refusal.message.contains("may be carried out until 2026-03-02T08:01:00Z"), "{}", refusal.message);
        assert!(refusal.remedy.contains("`k-1`"), "{}", refusal.remedy);
        let without = not_known_yet("nobody has obeyed it yet", deadline, None);
        assert!(without.remedy.contains("before asking again"), "{}", without.remedy);
    }
}
