//! What the standard's JSON schemas ask of a document, as far as we write such things.

use serde_json::{Map, Value};
use uuid::Uuid;

const PLAYBOOK: [&str; 18] = [
    "type",
    "spec_version",
    "id",
    "name",
    "description",
    "playbook_types",
    "playbook_activities",
    "created_by",
    "created",
    "modified",
    "priority",
    "impact",
    "playbook_variables",
    "workflow_start",
    "workflow",
    "playbook_extensions",
    "agent_definitions",
    "target_definitions",
];
const REQUIRED: [&str; 9] =
    ["type", "spec_version", "id", "name", "created_by", "created", "modified", "workflow_start", "workflow"];
const STEP: [&str; 9] =
    ["type", "name", "description", "delay", "timeout", "on_completion", "on_success", "on_failure", "step_extensions"];
const TYPES: [&str; 8] =
    ["attack", "detection", "engagement", "investigation", "mitigation", "notification", "prevention", "remediation"];
const ACTIVITIES: [&str; 22] = [
    "compose-content",
    "deliver-content",
    "identify-audience",
    "identify-channel",
    "scan-system",
    "match-indicator",
    "analyze-collected-data",
    "identify-indicators",
    "scan-vulnerabilities",
    "configure-systems",
    "restrict-access",
    "disconnect-system",
    "eliminate-risk",
    "revert-system",
    "restore-data",
    "restore-capabilities",
    "map-network",
    "identify-steps",
    "step-sequence",
    "prepare-engagement",
    "execute-operation",
    "analyze-engagement-results",
];
const VARIABLES: [&str; 15] = [
    "bool",
    "dictionary",
    "float",
    "hexstring",
    "integer",
    "ipv4-addr",
    "ipv6-addr",
    "long",
    "mac-addr",
    "hash",
    "md5-hash",
    "sha256-hash",
    "string",
    "uri",
    "uuid",
];

struct Faults(Vec<String>);

impl Faults {
    fn unless(&mut self, holds: bool, fault: impl Into<String>) {
        if !holds {
            self.0.push(fault.into());
        }
    }

    fn only(&mut self, place: &str, object: &Map<String, Value>, known: &[&str]) {
        for key in object.keys() {
            self.unless(known.contains(&key.as_str()), format!("{place} has `{key}`"));
        }
    }
}

pub fn faults(document: &Value) -> Vec<String> {
    let mut faults = Faults(Vec::new());
    let Some(playbook) = document.as_object() else { return vec!["no object".to_owned()] };
    let known: Vec<&str> = PLAYBOOK.into_iter().chain(["extension_definitions"]).collect();
    faults.only("the playbook", playbook, &known);
    for key in REQUIRED {
        faults.unless(playbook.contains_key(key), format!("`{key}` is missing"));
    }
    faults.unless(document["type"] == "playbook" && document["spec_version"] == "cacao-2.0", "type or version");
    faults.unless(is_id(&document["id"], "playbook"), "id");
    faults.unless(is_id(&document["created_by"], "identity"), "created_by");
    for key in ["created", "modified"] {
        let time = document[key].as_str().unwrap_or_default();
        // Milliseconds: exactly three digits.
        let shape: String = time.chars().map(|it| if it.is_ascii_digit() { '0' } else { it }).collect();
        faults.unless(shape == "0000-00-00T00:00:00.000Z", format!("{key} `{time}`"));
    }
    for (key, known) in [("playbook_types", &TYPES[..]), ("playbook_activities", &ACTIVITIES[..])] {
        let words = document[key].as_array().cloned().unwrap_or_default();
        faults.unless(!words.is_empty(), format!("`{key}` is empty"));
        for word in words {
            faults.unless(known.iter().any(|known| word == *known), format!("{key} {word}"));
        }
    }
    for key in ["priority", "impact"] {
        faults.unless(document[key].as_u64().is_some_and(|number| number <= 100), key);
    }
    variables(document, &mut faults);
    definitions(document, &mut faults);
    workflow(document, &mut faults);
    faults.0
}

fn is_id(value: &Value, kind: &str) -> bool {
    let Some((before, uuid)) = value.as_str().and_then(|id| id.split_once("--")) else { return false };
    before == kind && Uuid::parse_str(uuid).is_ok_and(|uuid| (1..=5).contains(&uuid.get_version_num()))
}

fn variables(document: &Value, faults: &mut Faults) {
    for (name, variable) in document["playbook_variables"].as_object().into_iter().flatten() {
        let inner = name.strip_prefix("__").and_then(|name| name.strip_suffix("__")).unwrap_or_default();
        let good = inner.starts_with(|it: char| it.is_ascii_alphabetic())
            && inner.chars().all(|it| it.is_ascii_alphanumeric() || it == '_' || it == '-');
        faults.unless(good, format!("variable `{name}`"));
        faults.unless(VARIABLES.iter().any(|kind| variable["type"] == *kind), format!("type of variable `{name}`"));
    }
    let text = document.to_string();
    for (at, _) in text.match_indices("__:value") {
        let name = text[..at].rsplit_once("__").map_or("", |(_, name)| name);
        let declared = document["playbook_variables"].get(format!("__{name}__")).is_some();
        faults.unless(declared, format!("`{name}` is not declared"));
    }
}

fn definitions(document: &Value, faults: &mut Faults) {
    for key in ["agent_definitions", "target_definitions"] {
        for (id, agent) in document[key].as_object().into_iter().flatten() {
            let kind = agent["type"].as_str().unwrap_or_default();
            faults.unless(
                ["group", "http-api"].contains(&kind) && is_id(&id.as_str().into(), kind),
                format!("agent `{id}`"),
            );
            faults.unless(agent["name"].is_string(), format!("name of agent `{id}`"));
            let keys: &[&str] = if kind == "group" { &["type", "name"] } else { &["type", "name", "address"] };
            agent.as_object().into_iter().for_each(|agent| faults.only(id, agent, keys));
        }
        faults.unless(document.get(key).is_none_or(|it| it.as_object().is_some_and(|it| !it.is_empty())), key);
    }
    for (id, definition) in document["extension_definitions"].as_object().into_iter().flatten() {
        faults.unless(is_id(&id.as_str().into(), "extension-definition"), format!("extension `{id}`"));
        faults.unless(definition["type"] == "extension-definition", "type of extension");
        for key in ["name", "schema", "version"] {
            faults.unless(definition[key].is_string(), format!("extension lacks `{key}`"));
        }
        faults.unless(is_id(&definition["created_by"], "identity"), "creator of extension");
    }
    extension(document, &document["playbook_extensions"], faults);
}

/// Defined, and its keys are at least three of a-z, 0-9 and underscores.
fn extension(document: &Value, used: &Value, faults: &mut Faults) {
    for (id, keys) in used.as_object().into_iter().flatten() {
        faults.unless(document["extension_definitions"].get(id).is_some(), format!("extension `{id}` is not defined"));
        for key in keys.as_object().into_iter().flatten().map(|(key, _)| key) {
            let good =
                key.len() >= 3 && key.bytes().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'_');
            faults.unless(good, format!("key `{key}` of an extension"));
        }
    }
}

fn workflow(document: &Value, faults: &mut Faults) {
    let Some(steps) = document["workflow"].as_object() else { return };
    let is_step = |id: &Value| id.as_str().is_some_and(|id| steps.contains_key(id));
    faults
        .unless(is_id(&document["workflow_start"], "start") && is_step(&document["workflow_start"]), "workflow_start");
    let mut ends = Vec::new();
    for (id, step) in steps {
        let kind = step["type"].as_str().unwrap_or_default();
        faults.unless(is_id(&id.as_str().into(), kind), format!("`{id}` is of type `{kind}`"));
        let has = |key: &str| step.get(key).is_some();
        let links = (has("on_completion"), has("on_success"), has("on_failure"));
        let (own, good): (&[&str], bool) = match kind {
            "start" => (&[], links == (true, false, false)),
            "end" => (&[], links == (false, false, false)),
            "action" => (
                &["commands", "agent", "targets", "in_args", "out_args"],
                matches!(links, (true, false, false) | (false, true, _)),
            ),
            "if-condition" => {
                ends.extend([step["on_true"].clone(), step["on_false"].clone()]);
                faults.unless(step["condition"].is_string(), format!("condition of `{id}`"));
                (&["condition", "on_true", "on_false"], matches!(links, (true, false, false) | (false, true, _)))
            }
            _ => (&[], false),
        };
        faults.unless(good, format!("what follows `{id}`"));
        let known: Vec<&str> = STEP.into_iter().chain(own.iter().copied()).collect();
        step.as_object().into_iter().for_each(|step| faults.only(id, step, &known));
        for key in ["on_completion", "on_success", "on_failure", "on_true", "on_false"] {
            faults.unless(!has(key) || is_step(&step[key]), format!("`{key}` of `{id}`"));
        }
        for key in ["delay", "timeout"] {
            faults.unless(!has(key) || step[key].as_u64().is_some_and(|it| it > 0), format!("`{key}` of `{id}`"));
        }
        extension(document, &step["step_extensions"], faults);
        if kind == "action" {
            action(document, id, step, faults);
        }
    }
    faults.unless(ends.first() != ends.last(), "both branches are one");
}

fn action(document: &Value, id: &str, step: &Value, faults: &mut Faults) {
    let agent = step["agent"].as_str().unwrap_or_default();
    faults.unless(document["agent_definitions"].get(agent).is_some(), format!("agent of `{id}`"));
    for target in step["targets"].as_array().into_iter().flatten() {
        let defined = target.as_str().is_some_and(|target| document["target_definitions"].get(target).is_some());
        faults.unless(defined, format!("target of `{id}`"));
    }
    for key in ["in_args", "out_args"] {
        for name in step[key].as_array().into_iter().flatten() {
            let declared = name.as_str().is_some_and(|name| document["playbook_variables"].get(name).is_some());
            faults.unless(declared, format!("`{key}` of `{id}` names {name}"));
        }
    }
    let commands = step["commands"].as_array().cloned().unwrap_or_default();
    faults.unless(!commands.is_empty(), format!("`{id}` has no commands"));
    for command in commands {
        let activity = &command["playbook_activity"];
        let listed = document["playbook_activities"].as_array().is_some_and(|all| all.contains(activity));
        faults.unless(listed, format!("activity {activity} of `{id}` is not the playbook's"));
        let line = command["command"].as_str().unwrap_or_default();
        let keys: &[&str] = match command["type"].as_str().unwrap_or_default() {
            "manual" => {
                faults.unless(!line.is_empty(), format!("`{id}` asks for nothing"));
                &["type", "command", "playbook_activity"]
            }
            "http-api" => {
                let words: Vec<&str> = line.split(' ').collect();
                let good =
                    words.len() == 3 && words[0] == "POST" && words[1].starts_with('/') && words[2] == "HTTP/1.1";
                faults.unless(good, format!("start line `{line}`"));
                let lists = command["headers"].as_object().is_some_and(|it| it.values().all(Value::is_array));
                faults.unless(lists, format!("headers of `{id}`"));
                &["type", "command", "headers", "content", "playbook_activity"]
            }
            _ => &[],
        };
        command.as_object().into_iter().for_each(|command| faults.only(id, command, keys));
    }
}
