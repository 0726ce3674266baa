//! What all events have in common.

use fleet::device::Standing;
use fleet::{Device, EventTime, Severity};
use serde_json::{Map, Value, json};

use super::{Reporter, VERSION};
use crate::gateways::Key;
use crate::tell::Names;

/// Characters of a paragraph; of a line.
pub(super) const LONG: usize = 4000;
pub(super) const LINE: usize = 250;

pub(super) struct Class {
    pub category: i64,
    pub category_name: &'static str,
    pub uid: i64,
    pub name: &'static str,
}

pub(super) const BASE: Class = Class { category: 0, category_name: "Uncategorized", uid: 0, name: "Base Event" };
pub(super) const DETECTION: Class =
    Class { category: 2, category_name: "Findings", uid: 2004, name: "Detection Finding" };
pub(super) const INCIDENT: Class =
    Class { category: 2, category_name: "Findings", uid: 2005, name: "Incident Finding" };
pub(super) const REMEDIATION: Class =
    Class { category: 7, category_name: "Remediation", uid: 7001, name: "Remediation Activity" };

pub(super) fn event(class: Class, activity: i64, activity_name: &str, at: EventTime, severity: Severity) -> Value {
    json!({
        "activity_id": activity,
        "activity_name": activity_name,
        "category_uid": class.category,
        "category_name": class.category_name,
        "class_uid": class.uid,
        "class_name": class.name,
        "type_uid": class.uid * 100 + activity,
        "type_name": format!("{}: {activity_name}", class.name),
        "time": millis(at),
        "severity_id": severity_id(severity),
        "severity": severity_name(severity),
    })
}

pub(super) fn metadata(
    reporter: &Reporter,
    uid: &str,
    incident_id: &str,
    original: EventTime,
    profiles: &[&str],
) -> Value {
    json!({
        "version": VERSION,
        "product": { "name": "Vedette", "vendor_name": "Vedette", "version": env!("CARGO_PKG_VERSION") },
        "uid": uid,
        "correlation_uid": incident_id,
        "tenant_uid": reporter.tenant,
        "log_name": "vedette",
        "original_time": original.to_string(),
        "profiles": profiles,
    })
}

/// OCSF's `timestamp_t`: milliseconds since 1970.
pub(super) fn millis(at: EventTime) -> i64 {
    at.0.div_euclid(1000)
}

pub(super) fn severity_id(severity: Severity) -> i64 {
    match severity {
        Severity::Info => 1,
        Severity::Low => 2,
        Severity::Medium => 3,
        Severity::High => 4,
        Severity::Critical => 5,
    }
}

fn severity_name(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "Informational",
        Severity::Low => "Low",
        Severity::Medium => "Medium",
        Severity::High => "High",
        Severity::Critical => "Critical",
    }
}

/// `device_type` where the inventory is not at hand.
pub(super) fn device(id: &str, device_type: &str, device: Option<&Device>, names: &Names) -> Value {
    let mut groups = vec![json!({ "name": device_type, "type": "device type" })];
    let mut known = json!({});
    if let Some(device) = device {
        groups.push(json!({ "name": device.site, "type": "site" }));
        known = json!({
            "zone": device.segment,
            "owner": { "name": device.owner },
            "desc": device.purpose,
            "is_managed": device.is_known(),
            "is_trusted": device.standing == Standing::Active,
        });
    }
    groups.retain(|group| group["name"] != "");
    let mut parts = json!({
        "uid": id,
        "type_id": 7,
        "type": "IOT",
        "name": names.get(&Key::Thing).or(names.get(&Key::ClientId)),
        "ip": names.get(&Key::Ip),
        "mac": names.get(&Key::Mac),
        "groups": groups,
    });
    if let (Some(parts), Value::Object(known)) = (parts.as_object_mut(), known) {
        parts.extend(known);
    }
    parts
}

/// What a SIEM pivots on. OCSF 1.5: 2 IP Address, 3 MAC Address, 10 Resource UID.
pub(super) fn observables(id: &str, names: &Names) -> Vec<Value> {
    let mut observables = Vec::new();
    if !id.is_empty() {
        observables.push(json!({ "name": "device.uid", "type_id": 10, "type": "Resource UID", "value": id }));
    }
    if let Some(ip) = names.get(&Key::Ip) {
        observables.push(json!({ "name": "device.ip", "type_id": 2, "type": "IP Address", "value": ip }));
    }
    if let Some(mac) = names.get(&Key::Mac) {
        observables.push(json!({ "name": "device.mac", "type_id": 3, "type": "MAC Address", "value": mac }));
    }
    observables
}

/// At most so many characters, none of which controls a terminal.
pub(super) fn cut(text: &str, most: usize) -> String {
    let readable = |letter: char| if letter.is_control() && letter != '\n' { ' ' } else { letter };
    let mut letters = text.chars().map(readable);
    let mut cut: String = letters.by_ref().take(most).collect();
    if letters.next().is_some() {
        cut.push_str("...");
    }
    cut
}

/// OCSF leaves out what is not known: nulls, empty texts, lists and objects go, from within.
pub(super) fn without_nothing(value: Value) -> Value {
    match value {
        Value::Object(fields) => Value::Object(
            fields
                .into_iter()
                .map(|(name, value)| (name, without_nothing(value)))
                .filter(|(_, value)| !is_nothing(value))
                .collect::<Map<_, _>>(),
        ),
        Value::Array(values) => {
            Value::Array(values.into_iter().map(without_nothing).filter(|value| !is_nothing(value)).collect())
        }
        value => value,
    }
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(values) => values.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}
