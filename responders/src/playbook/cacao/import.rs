//! From CACAO: what maps becomes a playbook in mode `observe` that matches nothing until somebody writes its condition; our
//! own exports come back as they were. Whatever is not understood is left out and listed, and never guessed to be harsher.

use std::collections::BTreeSet;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use fleet::Level;
use serde_json::{Map, Value, json};

use super::words;
use super::{NotMapped, escaped, extension_id};
use crate::error::Error;
use crate::playbook::step::lasts;
use crate::playbook::{Approval, OnFailure, Period, Playbook, Step, parse};

pub struct Imported {
    pub playbook: Playbook,
    pub not_mapped: Vec<NotMapped>,
}

/// More than anybody reads.
const MOST_STEPS: usize = 1000;
/// Where a restriction comes without an end.
const TTL: Period = Period::hours(4);
/// What we write ourselves around what is ours, and read elsewhere or not at all.
const GENERATED: [&str; 10] = [
    "created_by",
    "created",
    "modified",
    "playbook_types",
    "playbook_activities",
    "impact",
    "playbook_variables",
    "agent_definitions",
    "target_definitions",
    "extension_definitions",
];
const READ: [&str; 10] = [
    "type",
    "spec_version",
    "id",
    "name",
    "description",
    "priority",
    "workflow_start",
    "workflow",
    "playbook_extensions",
    "revoked",
];

/// `text` is the JSON document.
///
/// # Errors
/// It is no CACAO 2.0 playbook, is revoked, has no workflow that begins, or no step of it maps.
pub fn import(text: &str) -> Result<Imported, Error> {
    let wrong = |problem: String| Error::Wrong(format!("CACAO playbook: {problem}"));
    let document: Value = serde_json::from_str(text).map_err(|error| wrong(format!("no JSON: {error}")))?;
    let said = |key: &str| document.get(key).and_then(Value::as_str).unwrap_or_default();
    if !said("type").starts_with("playbook") || said("spec_version") != "cacao-2.0" {
        let (kind, version) = (said("type"), said("spec_version"));
        return Err(wrong(format!("type `{kind}` of version `{version}`, expected `playbook` of `cacao-2.0`")));
    }
    if document.get("revoked").and_then(Value::as_bool) == Some(true) {
        return Err(wrong("its author revoked it; ask for another".to_owned()));
    }
    let workflow = document.get("workflow").and_then(Value::as_object);
    let workflow = workflow.ok_or_else(|| wrong("it has no `workflow`, expected a map of steps".to_owned()))?;
    if workflow.len() > MOST_STEPS {
        return Err(wrong(format!("`{}` steps, expected at most {MOST_STEPS}", workflow.len())));
    }
    let usual = usual(&document);
    let mut reader = Reader {
        usual,
        workflow,
        seen: BTreeSet::new(),
        found: Vec::new(),
        waited: 0,
        asks: None,
        not_mapped: Vec::new(),
    };
    let start = said("workflow_start");
    if !workflow.contains_key(start) {
        return Err(wrong(format!("`workflow_start` is `{start}`, which is no step of the workflow")));
    }
    reader.walk(start);
    reader.report_unseen();
    let ours = document.get("playbook_extensions").and_then(|all| all.get(extension_id())).and_then(Value::as_object);
    let mut not_mapped = unread(&document, ours.is_some());
    let Reader { found, asks, not_mapped: of_workflow, .. } = reader;
    not_mapped.extend(of_workflow);
    let steps = end_all(found, &mut not_mapped);
    if steps.is_empty() {
        let mut words = "no step of it maps to anything Vedette does; write the playbook by hand".to_owned();
        not_mapped.iter().for_each(|what| words.push_str(&format!("\n  {what}")));
        return Err(wrong(words));
    }
    let mut keys = ours.cloned().unwrap_or_default();
    let id = keys.remove("playbook_id").and_then(|id| id.as_str().map(str::to_owned));
    keys.insert("id".to_owned(), json!(id.unwrap_or_else(|| slug(said("name"), said("id")))));
    keys.insert("title".to_owned(), json!(if said("name").trim().is_empty() { said("id") } else { said("name") }));
    keys.insert("description".to_owned(), json!(said("description")));
    keys.insert("priority".to_owned(), json!(priority(&document, &mut not_mapped)));
    keys.insert("step".to_owned(), serde_json::to_value(steps).unwrap_or_default());
    if ours.is_none() {
        keys.insert("when".to_owned(), json!("false"));
        let what = "which findings it is for".to_owned();
        let why =
            "the standard does not say it; `when` is `false`, so that nothing happens until you write it".to_owned();
        not_mapped.push(NotMapped { pointer: "/workflow".to_owned(), what, why });
    }
    if let Some((within, pointer)) = asks {
        let approval = keys.entry("approval").or_insert_with(|| json!({}));
        if parse::ANSWER.contains(&within) {
            approval["within"] = json!(within);
        } else {
            let (first, last) = (parse::ANSWER.start(), parse::ANSWER.end());
            let why = format!("expected {first} to {last}; it is {} now", Approval::default().within);
            not_mapped.push(NotMapped { pointer, what: format!("an answer within {within}"), why });
        }
        if ours.is_none() {
            keys.insert("mode".to_owned(), json!("approve"));
        }
    }
    let playbook: Playbook = serde_json::from_value(Value::Object(keys)).map_err(|error| wrong(error.to_string()))?;
    parse::check_alone(&playbook)?;
    Ok(Imported { playbook, not_mapped })
}

/// What a request does of which nobody says it: the mildest restriction that the playbook as a whole speaks of.
fn usual(document: &Value) -> Option<Level> {
    let activities = document.get("playbook_activities").and_then(Value::as_array)?;
    let levels = activities.iter().filter_map(|activity| words::level(activity.as_str()?));
    levels.filter(|level| level.restricts()).min()
}

/// Keys of the document that nothing comes of.
fn unread(document: &Value, ours: bool) -> Vec<NotMapped> {
    let keys = document.as_object().into_iter().flatten().map(|(key, _)| key.as_str());
    let lost = keys.filter(|key| !(READ.contains(key) || ours && GENERATED.contains(key)));
    let mut lost: Vec<NotMapped> = lost
        .map(|key| NotMapped {
            pointer: format!("/{}", escaped(key)),
            what: format!("`{key}`"),
            why: why_lost(key).to_owned(),
        })
        .collect();
    let extensions = document.get("playbook_extensions").and_then(Value::as_object);
    for key in extensions.into_iter().flatten().map(|(key, _)| key).filter(|key| **key != extension_id()) {
        let pointer = format!("/playbook_extensions/{}", escaped(key));
        lost.push(NotMapped { pointer, what: "an extension".to_owned(), why: "it is not Vedette's".to_owned() });
    }
    lost
}

fn why_lost(key: &str) -> &'static str {
    match key {
        "created_by" | "created" | "modified" | "derived_from" | "related_to" | "external_references" | "labels" => {
            "playbooks here are files: keep origin and versions where you keep the files"
        }
        "valid_from" | "valid_until" => "playbooks hold while they are there; remove the file when it is over",
        "signatures" => "signatures are not checked here: check them before",
        "agent_definitions" | "target_definitions" | "authentication_info_definitions" => {
            "gateways and their secrets are said in the configuration"
        }
        "playbook_variables" => "the device and its addresses are looked up when an action is sent",
        "workflow_exception" => "what follows a failure is said step by step",
        "markings" | "data_marking_definitions" => "markings are not kept: mind whom you show the file",
        _ => "nothing here goes by it",
    }
}

fn priority(document: &Value, not_mapped: &mut Vec<NotMapped>) -> u64 {
    const MIDDLE: u64 = 50;
    match document.get("priority") {
        None => MIDDLE,
        Some(said) => match said.as_u64() {
            Some(0) => MIDDLE,
            Some(number @ 1..=100) => 101 - number,
            _ => {
                let pointer = "/priority".to_owned();
                let what = format!("priority `{said}`");
                not_mapped.push(NotMapped { pointer, what, why: "expected 0 to 100; it is 50 now".to_owned() });
                MIDDLE
            }
        },
    }
}

/// An id of ours from a title.
fn slug(name: &str, id: &str) -> String {
    let mut slug = String::new();
    for word in name.split(|it: char| !it.is_ascii_alphanumeric()).filter(|word| !word.is_empty()) {
        if slug.len() + word.len() >= 60 {
            break;
        }
        let hyphen = if slug.is_empty() { "" } else { "-" };
        slug.push_str(&format!("{hyphen}{}", word.to_ascii_lowercase()));
    }
    if slug.is_empty() {
        slug = id.trim_start_matches("playbook--").to_ascii_lowercase();
    }
    if slug.starts_with(|first: char| first.is_ascii_lowercase()) { slug } else { format!("playbook-{slug}") }
}

/// A step, and where it was found.
struct Found {
    step: Step,
    pointer: String,
}

struct Reader<'d> {
    usual: Option<Level>,
    workflow: &'d Map<String, Value>,
    seen: BTreeSet<&'d str>,
    found: Vec<Found>,
    /// Delays so far of the steps that take something back, in milliseconds.
    waited: u64,
    /// A person is asked, and has so long to answer; where it is said.
    asks: Option<(Period, String)>,
    not_mapped: Vec<NotMapped>,
}

impl<'d> Reader<'d> {
    /// Follows the workflow from a step to an end.
    fn walk(&mut self, from: &'d str) {
        let mut next = Some(from);
        while let Some(id) = next {
            let Some(step) = self.workflow.get(id) else {
                self.report(id, "", "a step", "it is referred to and not there".to_owned());
                return;
            };
            if !self.seen.insert(id) {
                return;
            }
            let kind = text(step, "type");
            match kind {
                "start" | "end" => {}
                "action" => self.action(id, step),
                "if-condition" if text(step, "condition") == "__applies__:value = true" => {
                    if let Some(branch) = step.get("on_true").and_then(Value::as_str) {
                        self.walk(branch);
                    }
                }
                "parallel" => {
                    let why = "steps are taken one after another here; the order is that of the list".to_owned();
                    self.report(id, "/next_steps", "steps at the same time", why);
                    for branch in step.get("next_steps").and_then(Value::as_array).into_iter().flatten() {
                        branch.as_str().into_iter().for_each(|branch| self.walk(branch));
                    }
                }
                "if-condition" | "while-condition" | "switch-condition" => {
                    let why = "conditions over variables have no counterpart; what hangs on it was left out, write it as a \
                               playbook of its own";
                    self.report(id, "", &format!("a step of type `{kind}`"), why.to_owned());
                }
                "playbook-action" => {
                    let why = "playbooks do not call each other here; import the other one too".to_owned();
                    self.report(id, "", "a call of another playbook", why);
                }
                _ => self.report(id, "/type", &format!("a step of type `{kind}`"), "no such type is known".to_owned()),
            }
            next = ["on_success", "on_completion"].iter().find_map(|key| step.get(key)?.as_str());
        }
    }

    fn report_unseen(&mut self) {
        for (id, step) in self.workflow {
            if !self.seen.contains(id.as_str()) && text(step, "type") != "end" {
                let why =
                    "it is come to after a failure, behind a condition, or not at all; it was left out".to_owned();
                self.report(id, "", &format!("a step of type `{}`", text(step, "type")), why);
            }
        }
    }

    fn action(&mut self, id: &'d str, step: &'d Value) {
        let ours = step.get("step_extensions").and_then(|all| all.get(extension_id()));
        if let Some(ours) = ours {
            if ours.get("asks_for").is_some() {
                self.question(id, step);
            } else if let Some(level) = ours.get("takes_back").and_then(Value::as_str).and_then(Level::from_name) {
                self.restore(id, step, Some(level));
            } else {
                match serde_json::from_value::<Step>(ours.clone()) {
                    Ok(read) => self.found(id, Step { then: on_failure(step, read.then), ..read }),
                    Err(error) => self.report(id, "/step_extensions", "what Vedette said of it", error.to_string()),
                }
            }
            return;
        }
        for key in ["timeout", "in_args", "out_args", "step_variables", "owner", "step_extensions"] {
            if step.get(key).is_some() && !(key == "timeout" && is_question(step)) {
                let why =
                    "gateways have their own time limits and names; people and groups are in [approval]".to_owned();
                self.report(id, &format!("/{key}"), &format!("`{key}`"), why);
            }
        }
        self.foreign(id, step);
    }

    /// An action of somebody else's: what kind of thing it does, from the most telling word on.
    fn foreign(&mut self, id: &'d str, step: &'d Value) {
        if is_question(step) {
            self.question(id, step);
            return;
        }
        let commands = step.get("commands").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        for (index, command) in commands.iter().enumerate() {
            let pointer = format!("/commands/{index}");
            let kind = text(command, "type");
            let activity = text(command, "playbook_activity");
            let openc2 = openc2_action(command);
            if words::restores(activity) || matches!(openc2.as_deref(), Some("allow" | "delete" | "restore")) {
                self.restore(id, step, None);
                continue;
            }
            let denies = matches!(openc2.as_deref(), Some("deny" | "contain")).then_some(Level::Quarantine);
            let notice = (kind == "manual").then_some(Level::Notify);
            let usual = self.usual.filter(|_| activity.is_empty() && changes_something(command));
            let Some(level) = words::level(activity).or(denies).or(notice).or(usual) else {
                let line = text(command, "command");
                let why =
                    "nothing says how far it goes: give the command a `playbook_activity`, or write the step by hand";
                self.report(id, &pointer, &format!("a command of type `{kind}`: `{line}`"), why.to_owned());
                continue;
            };
            let why = match kind {
                "manual" => format!("people are told by `{level}`; the words to them are not kept"),
                _ => format!("it became `{level}` through whichever gateway can; the request itself is the gateway's"),
            };
            self.report(id, &pointer, &format!("a command of type `{kind}`"), why);
            self.found(id, Step { then: on_failure(step, OnFailure::NextGateway), ..Step::new(level, None) });
        }
    }

    /// The first one says how long an answer may take.
    fn question(&mut self, id: &str, step: &Value) {
        let within = timeout(step).unwrap_or(Approval::default().within);
        self.asks.get_or_insert((within, format!("/workflow/{}/timeout", escaped(id))));
    }

    fn found(&mut self, id: &str, step: Step) {
        if self.found.iter().any(|before| before.step.level == step.level) {
            let why = "a step of the same level comes before; one is enough".to_owned();
            self.report(id, "", &format!("a second `{}`", step.level), why);
            return;
        }
        self.found.push(Found { step, pointer: format!("/workflow/{}", escaped(id)) });
    }

    /// The end of what was begun: of `level`, or of all that have none yet.
    fn restore(&mut self, id: &'d str, step: &Value, level: Option<Level>) {
        let delay = step.get("delay").and_then(Value::as_u64).unwrap_or(0);
        self.waited = self.waited.saturating_add(delay);
        let ttl = Period::from_seconds(self.waited / 1000);
        let waiting = |found: &&mut Found| {
            level.is_none_or(|level| found.step.level == level) && lasts(found.step.level) && found.step.ttl.is_none()
        };
        let begun: Vec<&mut Found> = self.found.iter_mut().filter(waiting).collect();
        match ttl {
            Some(ttl) if !begun.is_empty() => begun.into_iter().for_each(|found| found.step.ttl = Some(ttl)),
            _ => {
                let why = "without a delay, or without anything before it that lasts, it ends nothing".to_owned();
                self.report(id, "/delay", "a step that takes something back", why);
            }
        }
    }

    fn report(&mut self, id: &str, inner: &str, what: &str, why: String) {
        let pointer = format!("/workflow/{}{inner}", escaped(id));
        self.not_mapped.push(NotMapped { pointer, what: what.to_owned(), why });
    }
}

/// What lasts gets an end.
fn end_all(found: Vec<Found>, not_mapped: &mut Vec<NotMapped>) -> Vec<Step> {
    let mut steps = Vec::new();
    for Found { mut step, pointer } in found {
        if lasts(step.level) && !step.ttl.is_some_and(|ttl| parse::TTL.contains(&ttl)) {
            let said = step.ttl.map_or("none is said".to_owned(), |ttl| format!("{ttl} is out of bounds"));
            let what = format!("the end of `{}`", step.level);
            not_mapped.push(NotMapped { pointer, what, why: format!("{said}; it is {TTL} now") });
            step.ttl = Some(TTL);
        }
        steps.push(step);
    }
    steps
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn timeout(step: &Value) -> Option<Period> {
    Period::from_seconds(step.get("timeout")?.as_u64()? / 1000)
}

/// A person is asked, and a no leads elsewhere.
fn is_question(step: &Value) -> bool {
    let commands = step.get("commands").and_then(Value::as_array);
    let asks = |command: &Value| {
        let acts = words::level(text(command, "playbook_activity")).is_some_and(Level::restricts);
        text(command, "type") == "manual" && !acts
    };
    let manual = commands.is_some_and(|all| all.len() == 1 && all.iter().all(asks));
    let branches = !text(step, "on_failure").is_empty() && text(step, "on_failure") != text(step, "on_success");
    manual && branches
}

/// A request that is neither for reading nor for deleting.
fn changes_something(command: &Value) -> bool {
    let line = text(command, "command");
    text(command, "type") == "http-api" && ["POST ", "PUT ", "PATCH "].iter().any(|method| line.starts_with(method))
}

/// A failure that leads elsewhere than to what would follow anyhow stops the rest.
fn on_failure(step: &Value, otherwise: OnFailure) -> OnFailure {
    let (success, failure) = (text(step, "on_success"), text(step, "on_failure"));
    let stops = !failure.is_empty() && failure != success && !success.starts_with("end--");
    if stops { OnFailure::Stop } else { otherwise }
}

/// What an OpenC2 command asks for, however it is wrapped.
fn openc2_action(command: &Value) -> Option<String> {
    let said = text(command, "content");
    let content = if said.is_empty() {
        String::from_utf8(BASE64_STANDARD.decode(text(command, "content_b64")).ok()?).ok()?
    } else {
        said.to_owned()
    };
    let message: Value = serde_json::from_str(&content).ok()?;
    let request = message.pointer("/body/openc2/request").unwrap_or(&message);
    request.get("target")?;
    Some(request.get("action")?.as_str()?.to_owned())
}
