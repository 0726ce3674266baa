//! Events of the Open Cybersecurity Schema Framework, version 1.5.0: what SIEMs read without a parser of ours.
//!
//! Pure: the same input gives the same event, its `metadata.uid` included, so that whoever receives it twice drops one.
//! Which fields of ours are which of theirs is a table in `docs/telling.md`.

mod attack;
mod detection;
mod incident;
mod parts;
mod remediation;

use fleet::id::stable_id;
use fleet::{EventTime, Severity};
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use attack::attack;
pub use detection::detection;
pub use incident::{Activity, Case, FindingName, Status, Verdict, incident};
pub use remediation::remediation;

pub const VERSION: &str = "1.5.0";

/// Who says it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Reporter {
    /// Whose fleet it is (`metadata.tenant_uid`); empty: left out.
    pub tenant: String,
    /// Who looks after incidents whose device has no owner (`assignee_group`).
    pub team: String,
}

impl Default for Reporter {
    fn default() -> Reporter {
        Reporter { tenant: String::new(), team: "security operations".to_owned() }
    }
}

/// Something to be said that is no finding, incident or action: a digest, messages that were lost. OCSF's base event.
/// `unmapped` is for machines; `parts` make the event's uid.
pub fn note(
    reporter: &Reporter,
    activity: &str,
    parts: &[&str],
    at: EventTime,
    severity: Severity,
    message: &str,
    unmapped: Value,
) -> Value {
    let uid = stable_id(&[&["note", activity], parts].concat());
    let mut event = parts::event(parts::BASE, 99, activity, at, severity);
    event["metadata"] = parts::metadata(reporter, &uid, "", at, &[]);
    event["message"] = parts::cut(message, parts::LONG).into();
    event["unmapped"] = unmapped;
    parts::without_nothing(event)
}

/// The event's own id, which copies share.
pub(super) fn uid(event: &Value) -> String {
    event["metadata"]["uid"].as_str().unwrap_or_default().to_owned()
}

/// What makes an event smaller without making it wrong, the most dispensable first; `false` when nothing is left to drop.
pub fn shrink(event: &mut Value) -> bool {
    const SHORT: usize = 200;
    const DISPENSABLE: [&str; 8] =
        ["anomaly_analyses", "evidences", "unmapped", "observables", "resources", "attacks", "desc", "status_detail"];
    let Some(fields) = event.as_object_mut() else { return false };
    if let Some(field) = DISPENSABLE.iter().find(|field| fields.contains_key(**field)) {
        fields.remove(*field);
        return true;
    }
    let message = fields.get("message").and_then(Value::as_str).unwrap_or_default();
    if message.chars().count() > SHORT + 3 {
        let short = parts::cut(message, SHORT);
        fields.insert("message".to_owned(), short.into());
        return true;
    }
    fields.get_mut("finding_info").and_then(Value::as_object_mut).is_some_and(|info| info.remove("desc").is_some())
}
