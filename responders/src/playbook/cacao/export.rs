//! To CACAO. Whoever runs it elsewhere has no guard-rails of ours: nothing runs unless `__applies__` is given as true, and
//! what restricts a device waits for a person wherever the playbook is not in mode `auto`.

use chrono::{DateTime, SecondsFormat};
use fleet::{EventTime, Level, Mode};
use serde_json::{Map, Value, json};

use super::words::{self, activity, impact, task};
use super::{NotMapped, extension_id, stable_uuid};
use crate::error::Error;
use crate::playbook::{Approval, OnFailure, Playbook, Step};

pub struct Exported {
    pub json: Value,
    /// What other systems will not do, though the playbook says it.
    pub not_mapped: Vec<NotMapped>,
}

/// `at` is when the playbook was written: other systems take the later one of two with the same id.
///
/// # Errors
/// A time that no calendar has.
pub fn export(playbook: &Playbook, at: EventTime) -> Result<Exported, Error> {
    let instant = DateTime::from_timestamp_micros(at.0)
        .ok_or_else(|| Error::Wrong(format!("`{}` us is no time of any calendar, expected one in our era", at.0)))?;
    let time = instant.to_rfc3339_opts(SecondsFormat::Millis, true);
    let mut writer = Writer { playbook, workflow: Map::new(), agents: Map::new(), not_mapped: Vec::new() };
    let start = writer.workflow();
    let mut activities: Vec<&str> = playbook.steps.iter().map(|step| activity(step.level)).collect();
    activities.extend(writer.has_approval().then_some(words::ASK));
    activities.extend(playbook.steps.iter().any(|step| step.ttl.is_some()).then_some(words::RESTORE));
    activities.sort_unstable();
    activities.dedup();
    let kind = if playbook.restricts() { "mitigation" } else { "notification" };
    let gravest = playbook.steps.iter().map(|step| impact(step.level)).max().unwrap_or(1);
    let identity = format!("identity--{}", stable_uuid("identity"));
    let mut json = json!({
        "type": "playbook",
        "spec_version": "cacao-2.0",
        "id": format!("playbook--{}", stable_uuid(&format!("playbook {}", playbook.id))),
        "name": playbook.title,
        "created_by": identity,
        "created": time,
        "modified": time,
        "playbook_types": [kind],
        "playbook_activities": activities,
        // Ours grows with the urgency, the standard's falls.
        "priority": 101 - u16::from(playbook.priority),
        "impact": gravest,
        "playbook_variables": writer.variables(),
        "workflow_start": start,
        "workflow": writer.workflow,
        "playbook_extensions": { extension_id(): of_playbook(playbook) },
        "extension_definitions": { extension_id(): {
            "type": "extension-definition",
            "name": "Vedette playbook",
            "description": "Condition, limits, approval and escalation of a Vedette playbook",
            "created_by": identity,
            "schema": "The keys of a Vedette playbook file, as `Write a playbook` of its documentation has them",
            "version": "1.0.0",
        } },
    });
    if !playbook.description.is_empty() {
        json["description"] = json!(playbook.description);
    }
    json["agent_definitions"] = Value::Object(writer.agents.clone());
    let targets: Map<String, Value> = writer
        .agents
        .iter()
        .filter(|(id, _)| id.starts_with("http-api--"))
        .map(|(id, it)| (id.clone(), it.clone()))
        .collect();
    if !targets.is_empty() {
        json["target_definitions"] = Value::Object(targets);
    }
    Ok(Exported { json, not_mapped: writer.not_mapped })
}

/// What the standard has no word for; as a file has it, but for the id, whose key would be too short.
fn of_playbook(playbook: &Playbook) -> Value {
    let mut ours = serde_json::to_value(playbook).unwrap_or_default();
    if let Value::Object(keys) = &mut ours {
        for native in ["id", "title", "description", "priority", "step"] {
            keys.remove(native);
        }
        keys.insert("playbook_id".to_owned(), json!(playbook.id));
    }
    ours
}

struct Writer<'p> {
    playbook: &'p Playbook,
    workflow: Map<String, Value>,
    agents: Map<String, Value>,
    not_mapped: Vec<NotMapped>,
}

impl Writer<'_> {
    /// The id of its start.
    fn workflow(&mut self) -> String {
        let playbook = self.playbook;
        let (start, guard, end) =
            (self.id("start", "start"), self.id("if-condition", "applies"), self.id("end", "end"));
        let (done, not_done) = (self.id("end", "done"), self.id("end", "not for this device"));
        self.add(&start, json!({ "type": "start", "on_completion": guard }));
        let first = self.chain(&done);
        self.add(
            &guard,
            json!({
                "type": "if-condition",
                "name": "Does it apply?",
                "description": format!("SQL over the finding and its device: {}", playbook.when.trim()),
                "condition": "__applies__:value = true",
                "on_true": first,
                "on_false": not_done,
                "on_completion": end,
            }),
        );
        for end in [end, done, not_done] {
            self.add(&end, json!({ "type": "end" }));
        }
        let what = format!("`when`: {}", playbook.when.trim());
        let why = "conditions of the standard do not read findings; whoever runs it gives `__applies__`";
        self.report(&format!("/workflow/{guard}/condition"), &what, why);
        let limits = [
            ("where", !playbook.only.is_empty()),
            ("except", !playbook.except.is_empty()),
            ("hours", playbook.hours.is_some()),
        ];
        for (key, _) in limits.into_iter().filter(|(_, said)| *said) {
            let pointer = format!("/playbook_extensions/{}/{key}", extension_id());
            self.report(&pointer, &format!("`{key}`"), "the standard has no word for it; it is part of `__applies__`");
        }
        start
    }

    /// Steps, then what takes them back in the order of their ends; the id of the first.
    fn chain(&mut self, done: &str) -> String {
        let playbook = self.playbook;
        let mut lasting: Vec<&Step> = playbook.steps.iter().filter(|step| step.ttl.is_some()).collect();
        lasting.sort_by_key(|step| step.ttl);
        let ids: Vec<String> = playbook.steps.iter().map(|step| self.id("action", step.level.name())).collect();
        let entries: Vec<String> = playbook
            .steps
            .iter()
            .zip(&ids)
            .map(|(step, id)| if self.asks(step.level) { self.approval_id(step) } else { id.clone() })
            .collect();
        let restores: Vec<String> =
            lasting.iter().map(|step| self.id("action", &format!("restore {}", step.level))).collect();
        let after_steps = restores.first().cloned().unwrap_or_else(|| done.to_owned());
        for (index, step) in playbook.steps.iter().enumerate() {
            let next = entries.get(index + 1).unwrap_or(&after_steps).clone();
            if self.asks(step.level) {
                self.approval(step, &ids[index], &next);
            }
            // What was done before is taken back also when the chain stops here.
            self.step(step, &ids[index], &next, &after_steps);
        }
        let mut waited = 0;
        for (index, step) in lasting.iter().enumerate() {
            let ttl = step.ttl.map_or(0, |ttl| u64::from(ttl.seconds()));
            let next = restores.get(index + 1).map_or(done, String::as_str).to_owned();
            self.restore(step, &restores[index], &next, ttl - waited);
            waited = ttl;
        }
        entries.first().cloned().unwrap_or(after_steps)
    }

    /// Elsewhere a playbook that only observes here must not act by itself either.
    fn asks(&self, level: Level) -> bool {
        level.restricts() && (self.playbook.mode != Mode::Auto || self.playbook.needs_approval(level))
    }

    fn has_approval(&self) -> bool {
        self.playbook.steps.iter().any(|step| self.asks(step.level))
    }

    fn approval_id(&self, step: &Step) -> String {
        self.id("action", &format!("approve {}", step.level))
    }

    fn approval(&mut self, step: &Step, yes: &str, no: &str) {
        let Approval { ask, within, four_eyes, .. } = &self.playbook.approval;
        let id = self.approval_id(step);
        let whom = if ask.is_empty() { "whoever may approve".to_owned() } else { ask.join(", ") };
        let agent = self.group(&whom);
        let two = if *four_eyes { " Two people have to say yes." } else { "" };
        let command = format!("May device __device_id__:value come under `{}`? No answer means no.{two}", step.level);
        let step = json!({
            "type": "action",
            "name": format!("Ask before {}", step.level),
            "timeout": u64::from(within.seconds()) * 1000,
            "commands": [{ "type": "manual", "command": command, "playbook_activity": words::ASK }],
            "agent": agent,
            "in_args": ["__device_id__"],
            "on_success": yes,
            "on_failure": no,
            "step_extensions": { extension_id(): { "asks_for": step.level } },
        });
        self.add(&id, step);
    }

    fn step(&mut self, step: &Step, id: &str, next: &str, stopped: &str) {
        let level = step.level;
        let mut ours = serde_json::to_value(step).unwrap_or_default();
        if let Value::Object(keys) = &mut ours {
            keys.remove("ttl");
        }
        let mut json = json!({
            "type": "action",
            "name": level.name(),
            "step_extensions": { extension_id(): ours },
        });
        if level == Level::Quarantine {
            let request = json!({
                "action": "deny",
                "target": { "ipv4_net": "__device_ip__:value" },
                "args": { "response_requested": "complete", "slpf": { "drop_process": "none", "direction": "both" } },
                "actuator": { "slpf": {} },
            });
            self.openc2(step, &mut json, &request.to_string(), activity(level));
            json["in_args"] = json!(["__device_ip__"]);
            json["out_args"] = json!(["__rule_number__"]);
        } else {
            json["agent"] = json!(self.group("whoever is on duty"));
            json["commands"] =
                json!([{ "type": "manual", "command": task(level), "playbook_activity": activity(level) }]);
            json["in_args"] = json!(["__device_id__"]);
            if level.restricts() {
                let why = "no command of the standard does this for every product: a person is asked to do it";
                self.report(&format!("/workflow/{id}/commands/0"), &format!("level `{level}`"), why);
            }
        }
        if step.then == OnFailure::Stop && next != stopped {
            json["on_success"] = json!(next);
            json["on_failure"] = json!(stopped);
        } else {
            json["on_completion"] = json!(next);
        }
        let said = [("escalate", step.escalate.is_some()), ("still_talking", step.still_talking.is_some())];
        for (key, _) in said.into_iter().filter(|(_, said)| *said) {
            let pointer = format!("/workflow/{id}/step_extensions/{}/{key}", extension_id());
            self.report(&pointer, &format!("`{key}` of `{level}`"), "other systems neither count nor read telemetry");
        }
        self.add(id, json);
    }

    /// `delay` is what is left of the time to live when the step before is over, in seconds.
    fn restore(&mut self, step: &Step, id: &str, next: &str, delay: u64) {
        let level = step.level;
        let mut json = json!({
            "type": "action",
            "name": format!("Take back {level}"),
            "on_completion": next,
            "step_extensions": { extension_id(): { "takes_back": level } },
        });
        if delay > 0 {
            json["delay"] = json!(delay * 1000);
        }
        if level == Level::Quarantine {
            // The number is one only when its value stands there: no quotes around it.
            let request = r#"{"action":"delete","target":{"slpf:rule_number":__rule_number__:value},"args":{"response_requested":"complete"},"actuator":{"slpf":{}}}"#;
            self.openc2(step, &mut json, request, words::RESTORE);
            json["in_args"] = json!(["__rule_number__"]);
        } else {
            json["agent"] = json!(self.group("whoever is on duty"));
            let command = format!("Take back what was done to device __device_id__:value by `{level}`.");
            json["commands"] = json!([{ "type": "manual", "command": command, "playbook_activity": words::RESTORE }]);
            json["in_args"] = json!(["__device_id__"]);
        }
        self.add(id, json);
    }

    /// The standard's own command for it has its content in base64, where no variable is found: plain HTTP says the same.
    fn openc2(&mut self, step: &Step, json: &mut Value, request: &str, activity: &str) {
        let gateway = if step.is_auto() { "OpenC2 packet filter" } else { step.gateway.as_str() };
        let agent = self.id("http-api", &format!("gateway {gateway}"));
        let address = json!({ "url": ["__gateway_url__:value"] });
        self.agents.insert(agent.clone(), json!({ "type": "http-api", "name": gateway, "address": address }));
        json["commands"] = json!([{
            "type": "http-api",
            "command": words::OPENC2_LINE,
            "headers": { "Content-Type": [words::OPENC2_TYPE], "Accept": [words::OPENC2_TYPE] },
            "content": format!(r#"{{"headers":{{"from":"vedette"}},"body":{{"openc2":{{"request":{request}}}}}}}"#),
            "playbook_activity": activity,
        }]);
        json["targets"] = json!([agent]);
        json["agent"] = json!(agent);
    }

    fn group(&mut self, name: &str) -> String {
        let id = self.id("group", name);
        self.agents.insert(id.clone(), json!({ "type": "group", "name": name }));
        id
    }

    fn variables(&self) -> Value {
        let mut variables = json!({
            "__applies__": {
                "type": "bool",
                "description": "the finding that started it meets the condition and the limits of the playbook",
                "external": true,
            },
            "__device_id__": { "type": "string", "description": "the device, as the inventory calls it", "external": true },
        });
        if self.playbook.steps.iter().any(|step| step.level == Level::Quarantine) {
            variables["__device_ip__"] =
                json!({ "type": "ipv4-addr", "description": "its address at this moment", "external": true });
            variables["__gateway_url__"] =
                json!({ "type": "uri", "description": "the packet filter", "external": true });
            variables["__rule_number__"] = json!({ "type": "integer", "description": "as the packet filter answered" });
        }
        variables
    }

    fn id(&self, kind: &str, name: &str) -> String {
        format!("{kind}--{}", stable_uuid(&format!("{kind} {name} of {}", self.playbook.id)))
    }

    fn add(&mut self, id: &str, step: Value) {
        self.workflow.insert(id.to_owned(), step);
    }

    fn report(&mut self, pointer: &str, what: &str, why: &str) {
        self.not_mapped.push(NotMapped { pointer: pointer.to_owned(), what: what.to_owned(), why: why.to_owned() });
    }
}
