use std::collections::BTreeSet;

use fleet::{EventTime, Level, Mode};
use serde_json::{Value, json};

use super::*;
use crate::playbook::{OnFailure, Period, Playbook, shipped};

mod validator;

const TIME: &str = "2026-01-01T00:00:00Z";

fn exported(playbook: &Playbook) -> Exported {
    export(playbook, EventTime::parse(TIME).unwrap()).unwrap()
}

fn full() -> Playbook {
    let text = r#"
        id = "full"
        title = "Everything at once"
        description = "Two lines\nof it"
        mode = "auto"
        priority = 77
        when = "kind = 'compromise' and device_id <> 'a''b'"
        [where]
        sites = ["north"]
        criticality = ["low", "medium"]
        [except]
        roles = ["vulnerability scanner"]
        [hours]
        zone = "Asia/Kathmandu"
        production = ["Sun-Fri 09:00-17:00"]
        apply = "outside"
        [approval]
        ask = ["soc", "shift"]
        within = "20m"
        levels = ["disable", "rotate-credentials"]
        four_eyes = true
        [[step]]
        level = "notify"
        then = "notify"
        [[step]]
        level = "quarantine"
        gateway = "core"
        ttl = "4h"
        then = "stop"
        escalate = { after = 2, within = "2d", level = "disable", ttl = "1d" }
        still_talking = { level = "disable" }
        [[step]]
        level = "block-internet"
        ttl = "30m"
        [[step]]
        level = "rotate-credentials"
        then = "stop"
    "#;
    Playbook::parse(text, "full.toml").unwrap()
}

#[test]
fn every_export_is_valid_and_comes_back_as_it_was() {
    let shipped = shipped().unwrap();
    for playbook in shipped.iter().chain([&full()]) {
        let exported = exported(playbook);
        assert_eq!(validator::faults(&exported.json), [] as [String; 0], "{}", playbook.id);
        let imported = import(&exported.json.to_string()).unwrap();
        assert_eq!(imported.not_mapped, [], "{}", playbook.id);
        assert_eq!(imported.playbook.version(), playbook.version(), "{}", playbook.id);
        for lost in &exported.not_mapped {
            assert!(exported.json.pointer(&lost.pointer).is_some(), "{lost}");
        }
    }
}

#[test]
fn the_validator_finds_what_the_schemas_forbid() {
    let json = exported(&full()).json;
    let action = |json: &mut Value| {
        let steps = json["workflow"].as_object_mut().unwrap();
        let id = steps.iter().find(|(_, step)| step["name"] == "quarantine").map(|(id, _)| id.clone()).unwrap();
        steps.get_mut(&id).unwrap().as_object_mut().unwrap().to_owned()
    };
    let changes: [fn(&mut serde_json::Map<String, Value>); 9] = [
        |step| drop(step.insert("on_completion".to_owned(), json!("end--1"))),
        |step| drop(step.remove("on_success")),
        |step| drop(step.remove("agent")),
        |step| drop(step.insert("agent".to_owned(), json!("group--1"))),
        |step| drop(step.insert("commands".to_owned(), json!([]))),
        |step| drop(step.insert("delay".to_owned(), json!(0))),
        |step| drop(step.insert("colour".to_owned(), json!("red"))),
        |step| drop(step.insert("out_args".to_owned(), json!(["__undeclared__"]))),
        |step| step["commands"][0]["command"] = json!("POST post HTTP1.1"),
    ];
    for (index, change) in changes.into_iter().enumerate() {
        let mut json = json.clone();
        let mut step = action(&mut json);
        change(&mut step);
        let steps = json["workflow"].as_object_mut().unwrap();
        let place = steps.values_mut().find(|step| step["name"] == "quarantine").unwrap();
        *place = Value::Object(step);
        assert_ne!(validator::faults(&json), [] as [String; 0], "change {index}");
    }
    for (pointer, value) in [
        ("/id", json!("playbook--1")),
        ("/created", json!("2026-01-01T00:00:00Z")),
        ("/priority", json!(101)),
        ("/playbook_activities", json!(["disconnect-system"])),
        ("/playbook_variables", json!({})),
        ("/workflow_start", json!("end--1")),
        ("/extension_definitions", json!({})),
    ] {
        let mut json = json.clone();
        *json.pointer_mut(pointer).unwrap() = value;
        assert_ne!(validator::faults(&json), [] as [String; 0], "{pointer}");
    }
}

#[test]
fn an_export_is_the_same_every_time() {
    assert_eq!(exported(&full()).json, exported(&full()).json);
    let mut other = full();
    other.id = "other".into();
    let ids = |playbook: &Playbook| {
        exported(playbook).json["workflow"].as_object().unwrap().keys().cloned().collect::<BTreeSet<String>>()
    };
    assert!(ids(&full()).is_disjoint(&ids(&other)));
}

/// The names of the steps that run, from the guard on, when every answer is `answer`.
fn run(json: &Value, answer: bool) -> Vec<(String, u64)> {
    let workflow = json["workflow"].as_object().unwrap();
    let guard = workflow.values().find(|step| step["type"] == "if-condition").unwrap();
    let mut at = guard["on_true"].as_str().unwrap();
    let mut names = Vec::new();
    while workflow[at]["type"] != "end" {
        let step = &workflow[at];
        names.push((step["name"].as_str().unwrap().to_owned(), step["delay"].as_u64().unwrap_or(0)));
        let asks = step["name"].as_str().unwrap().starts_with("Ask");
        let key = if asks && !answer { "on_failure" } else { "on_success" };
        at = step.get(key).or(step.get("on_completion")).unwrap().as_str().unwrap();
    }
    names
}

#[test]
fn others_run_the_steps_in_order_and_take_each_back_at_its_end() {
    let names = |answer| {
        let all = run(&exported(&full()).json, answer);
        all.into_iter().map(|(name, delay)| format!("{name} {}", delay / 60_000)).collect::<Vec<_>>()
    };
    let restores = ["Take back block-internet 30", "Take back quarantine 210"];
    let before = ["notify 0", "quarantine 0", "block-internet 0", "Ask before rotate-credentials 0"];
    assert_eq!(names(true), [&before[..], &["rotate-credentials 0"], &restores].concat());
    assert_eq!(names(false), [&before[..], &restores].concat(), "no means no");
}

#[test]
fn what_only_observes_here_asks_elsewhere() {
    let mut playbook = full();
    playbook.mode = Mode::Observe;
    let restricting = run(&exported(&playbook).json, false);
    let restricts = |(name, _): &(String, u64)| Level::from_name(name).is_some_and(Level::restricts);
    assert!(!restricting.iter().any(restricts), "{restricting:?}");
}

#[test]
fn what_others_will_not_do_is_said() {
    let lost: Vec<String> = exported(&full()).not_mapped.iter().map(|lost| lost.what.clone()).collect();
    for what in [
        "`when`",
        "`where`",
        "`except`",
        "`hours`",
        "`escalate` of `quarantine`",
        "`still_talking` of `quarantine`",
        "level `block-internet`",
        "level `rotate-credentials`",
    ] {
        assert!(lost.iter().any(|lost| lost.starts_with(what)), "{what} is not in {lost:?}");
    }
    assert!(!lost.iter().any(|lost| lost.contains("level `quarantine`")), "OpenC2 does it");
}

/// The example of the standard's notes on banning an MQTT client, with the given command.
fn foreign(command: &Value, keys: &Value) -> String {
    let mut document = json!({
        "type": "playbook", "spec_version": "cacao-2.0", "id": "playbook--6f1c2b1e-6d7a-4b8e-9c2f-0d1e2f3a4b5c",
        "name": "Quarantine MQTT device!", "created_by": "identity--96abab60-238a-44ff-8962-5806aa60cbce",
        "created": TIME, "modified": TIME, "playbook_types": ["mitigation"], "playbook_activities": ["disconnect-system"],
        "impact": 30, "playbook_variables": { "__client_id__": { "type": "string", "external": true } },
        "workflow_start": "start--33333333-3333-4333-8333-333333333333",
        "workflow": {
            "start--33333333-3333-4333-8333-333333333333":
                { "type": "start", "on_completion": "action--44444444-4444-4444-8444-444444444444" },
            "action--44444444-4444-4444-8444-444444444444": {
                "type": "action", "name": "ban client", "timeout": 10000, "commands": [command],
                "agent": "http-api--11111111-1111-4111-8111-111111111111",
                "on_success": "end--55555555-5555-4555-8555-555555555555",
                "on_failure": "end--66666666-6666-4666-8666-666666666666" },
            "end--55555555-5555-4555-8555-555555555555": { "type": "end" },
            "end--66666666-6666-4666-8666-666666666666": { "type": "end" },
        },
    });
    let keys = keys.as_object().unwrap();
    document.as_object_mut().unwrap().extend(keys.iter().map(|(key, value)| (key.clone(), value.clone())));
    document.to_string()
}

fn why<'i>(imported: &'i Imported, pointer: &str) -> &'i str {
    let lost = imported.not_mapped.iter().find(|lost| lost.pointer == pointer);
    lost.map_or_else(|| panic!("nothing is said of {pointer}: {:?}", imported.not_mapped), |lost| lost.why.as_str())
}

const ACTION: &str = "/workflow/action--44444444-4444-4444-8444-444444444444";

#[test]
fn the_standards_example_becomes_a_quarantine_that_waits_for_its_condition() {
    let command = json!({
        "type": "http-api", "command": "POST /api/v5/banned HTTP/1.1",
        "headers": { "Content-Type": ["application/json"] }, "content": "{\"as\":\"clientid\",\"who\":\"__client_id__:value\"}"
    });
    let imported = import(&foreign(&command, &json!({ "priority": 3, "valid_until": TIME }))).unwrap();
    let playbook = &imported.playbook;
    assert_eq!((playbook.id.as_str(), playbook.title.as_str()), ("quarantine-mqtt-device", "Quarantine MQTT device!"));
    assert_eq!((playbook.mode, playbook.priority, playbook.when.as_str()), (Mode::Observe, 98, "false"));
    let [step] = playbook.steps.as_slice() else { panic!("{:?}", playbook.steps) };
    assert_eq!((step.level, step.ttl, step.then), (Level::Quarantine, Some(Period::hours(4)), OnFailure::NextGateway));
    assert!(why(&imported, ACTION).contains("4h"));
    assert!(why(&imported, &format!("{ACTION}/commands/0")).contains("`quarantine`"));
    for pointer in ["/workflow", "/created_by", "/valid_until", "/playbook_variables", &format!("{ACTION}/timeout")] {
        assert!(!why(&imported, pointer).is_empty());
    }
    let again = Playbook::parse(&playbook.to_toml().unwrap(), "again.toml").unwrap();
    assert_eq!(again.version(), playbook.version());
}

#[test]
fn commands_as_soarca_writes_them() {
    let request = r#"{"body":{"openc2":{"request":{"action":"deny","target":{"ipv4_connection":{}}}}}}"#;
    let content = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, request);
    let openc2 = json!({ "type": "openc2", "command": "POST post HTTP1.1", "content_b64": content });
    let imported = import(&foreign(&openc2, &json!({}))).unwrap();
    assert_eq!(imported.playbook.steps[0].level, Level::Quarantine);

    let nothing = import(&foreign(&json!({ "type": "http-api", "command": "GET get HTTP1.1" }), &json!({})));
    let Err(error) = nothing else { panic!("a GET restricts nobody") };
    assert!(error.to_string().contains("no step of it maps"), "{error}");
}

#[test]
fn steps_that_nobody_comes_to_are_told() {
    let action = |activity: &str| json!({ "type": "action", "commands": [{ "type": "bash", "command": "x", "playbook_activity": activity }] });
    let workflow = json!({
        "start--1": { "type": "start", "on_completion": "action--cut" },
        "action--cut": { "type": "action", "commands": [{ "type": "manual", "command": "x", "playbook_activity": "restrict-access" }],
            "on_success": "end--1", "on_failure": "action--call" },
        "action--call": action("notify"), "action--orphan": action("notify"), "end--1": { "type": "end" },
    });
    let keys = json!({ "workflow_start": "start--1", "workflow": workflow });
    let imported = import(&foreign(&json!({}), &keys)).unwrap();
    assert!(imported.playbook.steps[0].level.restricts(), "a person who cuts it off is no question");
    for id in ["action--call", "action--orphan"] {
        assert!(why(&imported, &format!("/workflow/{id}")).contains("after a failure"));
    }
    let only = json!({ "workflow_start": "start--1", "workflow": { "start--1": { "type": "start", "on_completion": "end--1" },
        "end--1": { "type": "end" }, "action--orphan": action("notify") } });
    let Err(error) = import(&foreign(&json!({}), &only)) else { panic!("nothing is left of it") };
    assert!(error.to_string().contains("/workflow/action--orphan"), "{error}");
}

#[test]
fn a_question_and_an_end_are_understood_without_our_words() {
    let workflow = json!({
        "start--1": { "type": "start", "on_completion": "action--ask" },
        "action--ask": { "type": "action", "timeout": 600_000, "commands": [{ "type": "manual", "command": "isolate?" }],
            "on_success": "action--cut", "on_failure": "end--1" },
        "action--cut": { "type": "action", "commands": [{ "type": "bash", "command": "x", "playbook_activity": "restrict-access" }],
            "on_success": "action--tell", "on_failure": "end--1" },
        "action--tell": { "type": "action", "commands": [{ "type": "manual", "command": "tell" }], "on_completion": "parallel--1" },
        "parallel--1": { "type": "parallel", "next_steps": ["action--free", "while-condition--1"], "on_completion": "end--1" },
        "action--free": { "type": "action", "delay": 7_200_000,
            "commands": [{ "type": "http-api", "command": "x", "playbook_activity": "restore-capabilities" }],
            "on_completion": "action--cut" },
        "while-condition--1": { "type": "while-condition", "condition": "x", "on_true": "action--never", "on_completion": "nowhere" },
        "end--1": { "type": "end" },
    });
    let keys = json!({ "workflow": workflow, "workflow_start": "start--1", "revoked": false });
    let imported = import(&foreign(&json!({}), &keys)).unwrap();
    let playbook = &imported.playbook;
    assert_eq!((playbook.mode, playbook.approval.within), (Mode::Approve, Period::minutes(10)));
    let steps: Vec<_> = playbook.steps.iter().map(|step| (step.level, step.ttl, step.then)).collect();
    assert_eq!(
        steps,
        [
            (Level::BlockInternet, Some(Period::hours(2)), OnFailure::Stop),
            (Level::Notify, None, OnFailure::NextGateway)
        ]
    );
    assert!(why(&imported, "/workflow/while-condition--1").contains("left out"));
    assert!(why(&imported, "/workflow/nowhere").contains("not there"));
}

#[test]
fn what_is_no_playbook_to_import() {
    let command = json!({ "type": "manual", "command": "look" });
    for (text, word) in [
        ("{".to_owned(), "no JSON"),
        ("[]".to_owned(), "expected `playbook`"),
        (foreign(&command, &json!({ "spec_version": "1.1" })), "`1.1`"),
        (foreign(&command, &json!({ "revoked": true })), "revoked"),
        (foreign(&command, &json!({ "workflow": [] })), "no `workflow`"),
        (foreign(&command, &json!({ "workflow_start": "start--9" })), "`start--9`"),
    ] {
        let Err(error) = import(&text) else { panic!("{word}") };
        assert!(error.to_string().contains(word), "{error}");
    }
}

#[test]
fn changes_others_make_to_an_export_are_taken() {
    let mut json = exported(&full()).json;
    json["priority"] = json!(1);
    for step in json["workflow"].as_object_mut().unwrap().values_mut() {
        if step["name"] == "Take back block-internet" {
            step["delay"] = json!(3_600_000);
        }
        if step["name"] == "Ask before rotate-credentials" {
            step["timeout"] = json!(300_000);
        }
    }
    let playbook = import(&json.to_string()).unwrap().playbook;
    assert_eq!((playbook.priority, playbook.approval.within), (100, Period::minutes(5)));
    let ttls: Vec<_> = playbook.steps.iter().filter_map(|step| step.ttl).collect();
    assert_eq!(ttls, [Period::minutes(270), Period::hours(1)], "what waits behind it ends later too");
}

#[test]
fn lengths_of_time_that_cannot_be_are_replaced_and_told() {
    let command = json!({ "type": "http-api", "command": "PUT /x HTTP/1.1" });
    let mut document: Value = serde_json::from_str(&foreign(&command, &json!({}))).unwrap();
    let steps = document["workflow"].as_object_mut().unwrap();
    let cut = ACTION.trim_start_matches("/workflow/");
    steps[cut]["on_success"] = json!("action--free");
    steps["start--33333333-3333-4333-8333-333333333333"]["on_completion"] = json!("action--ask");
    let manual = json!([{ "type": "manual", "command": "may it?" }]);
    let ask = json!({ "type": "action", "timeout": 2 * 86_400_000_u64, "commands": manual, "on_success": cut, "on_failure": "end--1" });
    let free = json!([{ "type": "bash", "command": "x", "playbook_activity": "revert-system" }]);
    let free = json!({ "type": "action", "delay": 40 * 86_400_000_u64, "commands": free });
    steps.insert("action--ask".to_owned(), ask);
    steps.insert("action--free".to_owned(), free);
    let imported = import(&document.to_string()).unwrap();
    assert_eq!(imported.playbook.approval.within, Period::minutes(15));
    assert_eq!(imported.playbook.steps[0].ttl, Some(Period::hours(4)));
    assert!(why(&imported, "/workflow/action--ask/timeout").contains("1s to 1d"));
    assert!(why(&imported, ACTION).contains("40d is out of bounds"));
}

#[test]
fn endless_delays_end_nothing() {
    let mut json = exported(&full()).json;
    for step in json["workflow"].as_object_mut().unwrap().values_mut().filter(|step| step.get("delay").is_some()) {
        step["delay"] = json!(u64::MAX);
    }
    let imported = import(&json.to_string()).unwrap();
    let ttls: Vec<_> = imported.playbook.steps.iter().filter_map(|step| step.ttl).collect();
    assert_eq!(ttls, [Period::hours(4), Period::hours(4)]);
    assert_eq!(imported.not_mapped.len(), 4, "{:?}", imported.not_mapped);
}

#[test]
fn of_several_restrictions_that_a_playbook_speaks_of_the_mildest_is_taken() {
    let command = json!({ "type": "http-api", "command": "PUT /x HTTP/1.1" });
    let activities = json!({ "playbook_activities": ["disconnect-system", "deliver-content", "restrict-access"] });
    let playbook = import(&foreign(&command, &activities)).unwrap().playbook;
    assert_eq!(playbook.steps[0].level, Level::BlockInternet);
    let nothing = import(&foreign(&command, &json!({ "playbook_activities": ["deliver-content"] })));
    assert!(nothing.is_err());
}
