//! Whether an event is what OCSF 1.5 says of its class: required fields, types, numbers that follow from each other,
//! enumerations, and what must be there at least. The lists are those of the project's reference of standards.

use serde_json::Value;

/// What a field has to be.
#[derive(Clone, Copy)]
enum Is {
    Text,
    Flag,
    Whole,
    /// Milliseconds since 1970, between 2000 and 2100: seconds and microseconds are neither.
    Time,
    OneOf(&'static [i64]),
    Free,
    Object(&'static [Field]),
    List(&'static [Field]),
    Texts,
}

/// Name, whether it is required, what it is. Fields that are not in a list are mistakes.
type Field = (&'static str, bool, Is);

const SEVERITY: &[i64] = &[0, 1, 2, 3, 4, 5, 6, 99];
const VERDICT: &[i64] = &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 99];
const LEVELS: &[i64] = &[0, 1, 2, 3, 99];

const ENTITY: &[Field] = &[("uid", false, Is::Text), ("name", false, Is::Text)];
const ATTACK: &[Field] = &[
    ("version", false, Is::Text),
    ("tactic", false, Is::Object(ENTITY)),
    ("technique", false, Is::Object(ENTITY)),
    ("sub_technique", false, Is::Object(ENTITY)),
];
const PRODUCT: &[Field] = &[("name", false, Is::Text), ("vendor_name", false, Is::Text), ("version", false, Is::Text)];
const METADATA: &[Field] = &[
    ("version", true, Is::Text),
    ("product", true, Is::Object(PRODUCT)),
    ("uid", false, Is::Text),
    ("correlation_uid", false, Is::Text),
    ("tenant_uid", false, Is::Text),
    ("log_name", false, Is::Text),
    ("original_time", false, Is::Text),
    ("profiles", false, Is::Texts),
];
const ANALYTIC: &[Field] = &[
    ("type_id", true, Is::OneOf(&[0, 1, 2, 3, 4, 5, 99])),
    ("type", false, Is::Text),
    ("name", false, Is::Text),
    ("version", false, Is::Text),
];
const FINDING_INFO: &[Field] = &[
    ("uid", true, Is::Text),
    ("title", false, Is::Text),
    ("desc", false, Is::Text),
    ("types", false, Is::Texts),
    ("analytic", false, Is::Object(ANALYTIC)),
    ("related_analytics", false, Is::List(ANALYTIC)),
    ("attacks", false, Is::List(ATTACK)),
    ("created_time", false, Is::Time),
    ("first_seen_time", false, Is::Time),
    ("last_seen_time", false, Is::Time),
    ("product", false, Is::Object(PRODUCT)),
];
const GROUP: &[Field] = &[("name", true, Is::Text), ("type", false, Is::Text)];
const DEVICE: &[Field] = &[
    ("type_id", true, Is::OneOf(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 99])),
    ("type", false, Is::Text),
    ("uid", false, Is::Text),
    ("name", false, Is::Text),
    ("ip", false, Is::Text),
    ("mac", false, Is::Text),
    ("zone", false, Is::Text),
    ("desc", false, Is::Text),
    ("owner", false, Is::Object(ENTITY)),
    ("groups", false, Is::List(GROUP)),
    ("is_managed", false, Is::Flag),
    ("is_trusted", false, Is::Flag),
];
const ENDPOINT: &[Field] = &[("ip", true, Is::Text)];
const EVIDENCE: &[Field] = &[
    ("name", false, Is::Text),
    ("data", false, Is::Free),
    ("src_endpoint", false, Is::Object(ENDPOINT)),
    ("dst_endpoint", false, Is::Object(ENDPOINT)),
    ("verdict_id", false, Is::OneOf(VERDICT)),
];
const TARGET: &[Field] = &[("name", true, Is::Text), ("type", true, Is::Text)];
const OBSERVATION: &[Field] = &[("value", true, Is::Text), ("count", false, Is::Whole)];
const OBSERVED: &[Field] = &[
    ("observation_parameter", true, Is::Text),
    ("observation_type", false, Is::Text),
    ("observations", true, Is::List(OBSERVATION)),
    ("observed_pattern", false, Is::Text),
];
const ANALYSIS: &[Field] = &[
    ("analysis_targets", true, Is::List(TARGET)),
    ("anomalies", true, Is::List(OBSERVED)),
    ("baselines", false, Is::List(OBSERVED)),
];
const OBSERVABLE: &[Field] = &[
    ("name", true, Is::Text),
    ("type_id", true, Is::OneOf(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 99])),
    ("type", false, Is::Text),
    ("value", false, Is::Text),
];
const RESOURCE: &[Field] = &[("uid", false, Is::Text), ("name", false, Is::Text), ("type", false, Is::Text)];
const COUNTERMEASURE: &[Field] = &[
    ("d3f_tactic", false, Is::Object(ENTITY)),
    ("d3f_technique", false, Is::Object(ENTITY)),
    ("version", false, Is::Text),
];
const REMEDIATION: &[Field] = &[("desc", true, Is::Text)];

const BASE: &[Field] = &[
    ("activity_name", false, Is::Text),
    ("category_uid", true, Is::Whole),
    ("category_name", false, Is::Text),
    ("class_uid", true, Is::Whole),
    ("class_name", false, Is::Text),
    ("type_uid", true, Is::Whole),
    ("type_name", false, Is::Text),
    ("time", true, Is::Time),
    ("severity_id", true, Is::OneOf(SEVERITY)),
    ("severity", false, Is::Text),
    ("metadata", true, Is::Object(METADATA)),
    ("message", false, Is::Text),
    ("status", false, Is::Text),
    ("status_detail", false, Is::Text),
    ("start_time", false, Is::Time),
    ("end_time", false, Is::Time),
    ("count", false, Is::Whole),
    ("observables", false, Is::List(OBSERVABLE)),
    ("unmapped", false, Is::Free),
    ("device", false, Is::Object(DEVICE)),
];
const BASE_EVENT: &[Field] = &[("activity_id", true, Is::OneOf(&[0, 99]))];
const DETECTION: &[Field] = &[
    ("activity_id", true, Is::OneOf(&[0, 1, 2, 3, 99])),
    ("finding_info", true, Is::Object(FINDING_INFO)),
    ("status_id", false, Is::OneOf(&[0, 1, 2, 3, 4, 5, 6, 99])),
    ("confidence_id", false, Is::OneOf(LEVELS)),
    ("confidence", false, Is::Text),
    ("is_alert", false, Is::Flag),
    ("evidences", false, Is::List(EVIDENCE)),
    ("anomaly_analyses", false, Is::List(ANALYSIS)),
    ("resources", false, Is::List(RESOURCE)),
];
const INCIDENT: &[Field] = &[
    ("activity_id", true, Is::OneOf(&[0, 1, 2, 3, 99])),
    ("finding_info_list", true, Is::List(FINDING_INFO)),
    ("status_id", true, Is::OneOf(&[0, 1, 2, 3, 4, 5, 99])),
    ("assignee", false, Is::Object(ENTITY)),
    ("assignee_group", false, Is::Object(ENTITY)),
    ("desc", false, Is::Text),
    ("attacks", false, Is::List(ATTACK)),
    ("impact_id", false, Is::OneOf(&[0, 1, 2, 3, 4, 99])),
    ("priority_id", false, Is::OneOf(&[0, 1, 2, 3, 4, 99])),
    ("verdict_id", false, Is::OneOf(VERDICT)),
    ("verdict", false, Is::Text),
    ("confidence_id", false, Is::OneOf(LEVELS)),
    ("is_suspected_breach", false, Is::Flag),
];
const ACTIVITY: &[Field] = &[
    ("activity_id", true, Is::OneOf(&[0, 1, 2, 3, 4, 99])),
    ("command_uid", true, Is::Text),
    ("countermeasures", false, Is::List(COUNTERMEASURE)),
    ("remediation", false, Is::Object(REMEDIATION)),
    ("status_id", false, Is::OneOf(&[0, 1, 2, 3, 4, 5, 6, 99])),
];

/// Of which fields at least one must be there, by the field that holds the object.
const AT_LEAST_ONE: &[(&str, &[&str])] = &[
    ("product", &["name", "uid"]),
    ("analytic", &["name", "uid"]),
    ("related_analytics", &["name", "uid"]),
    ("attacks", &["tactic", "technique", "sub_technique"]),
    ("tactic", &["name", "uid"]),
    ("technique", &["name", "uid"]),
    ("sub_technique", &["name", "uid"]),
    ("countermeasures", &["d3f_tactic", "d3f_technique"]),
    ("d3f_tactic", &["name", "uid"]),
    ("d3f_technique", &["name", "uid"]),
    ("evidences", &["data", "src_endpoint", "dst_endpoint"]),
    ("device", &["ip", "uid", "name"]),
    ("resources", &["name", "uid"]),
    ("assignee_group", &["name", "uid"]),
    ("owner", &["name", "uid"]),
];

/// Everything that is wrong with it; nothing for a valid event.
pub fn faults(event: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    let number = |name: &str| event[name].as_i64().unwrap_or(-1);
    let (category, class) = match number("class_uid") {
        0 => (0, BASE_EVENT),
        2004 => (2, DETECTION),
        2005 => (2, INCIDENT),
        7001 => (7, ACTIVITY),
        other => return vec![format!("class_uid is {other}")],
    };
    object("", event, &[BASE, class].concat(), &mut faults);
    if number("category_uid") != category {
        faults.push(format!("category_uid is {}, expected {category}", number("category_uid")));
    }
    if number("type_uid") != number("class_uid") * 100 + number("activity_id") {
        faults.push(format!("type_uid is {}", number("type_uid")));
    }
    if event["metadata"]["version"] != "1.5.0" {
        faults.push("metadata.version is another".to_owned());
    }
    if class.len() == INCIDENT.len() && event.get("assignee").or(event.get("assignee_group")).is_none() {
        faults.push("neither assignee nor assignee_group".to_owned());
    }
    let profiles = event["metadata"]["profiles"].as_array().cloned().unwrap_or_default();
    if event.get("device").is_some() && !profiles.contains(&"host".into()) {
        faults.push("a device without the profile `host`".to_owned());
    }
    if event["start_time"].as_i64() > event["end_time"].as_i64() && event.get("end_time").is_some() {
        faults.push("start_time is after end_time".to_owned());
    }
    faults
}

fn object(path: &str, value: &Value, fields: &[Field], faults: &mut Vec<String>) {
    let Some(found) = value.as_object() else {
        faults.push(format!("{path} is no object"));
        return;
    };
    for (name, required, is) in fields {
        match found.get(*name) {
            None if *required => faults.push(format!("{path}.{name} is missing")),
            None => {}
            Some(value) => field(&format!("{path}.{name}"), name, value, *is, faults),
        }
    }
    for name in found.keys().filter(|name| !fields.iter().any(|(field, ..)| field == name)) {
        faults.push(format!("{path}.{name} is no attribute"));
    }
}

fn field(path: &str, name: &str, value: &Value, is: Is, faults: &mut Vec<String>) {
    let right = match is {
        Is::Text => value.as_str().is_some_and(|text| !text.is_empty()),
        Is::Flag => value.is_boolean(),
        Is::Whole => value.is_i64() || value.is_u64(),
        Is::Time => value.as_i64().is_some_and(|ms| (946_684_800_000..4_102_444_800_000).contains(&ms)),
        Is::OneOf(allowed) => value.as_i64().is_some_and(|id| allowed.contains(&id)),
        Is::Free => value.is_object(),
        Is::Texts => value.as_array().is_some_and(|texts| texts.iter().all(Value::is_string)),
        Is::Object(fields) => {
            object(path, value, fields, faults);
            at_least_one(path, name, value, faults);
            true
        }
        Is::List(fields) => {
            let items = value.as_array().cloned().unwrap_or_default();
            for (number, item) in items.iter().enumerate() {
                object(&format!("{path}[{number}]"), item, fields, faults);
                at_least_one(&format!("{path}[{number}]"), name, item, faults);
            }
            !items.is_empty()
        }
    };
    if !right {
        faults.push(format!("{path} is {value}"));
    }
}

fn at_least_one(path: &str, name: &str, value: &Value, faults: &mut Vec<String>) {
    let Some((_, needed)) = AT_LEAST_ONE.iter().find(|(field, _)| *field == name) else { return };
    if !needed.iter().any(|field| value.get(*field).is_some()) {
        faults.push(format!("{path} has none of {needed:?}"));
    }
}
