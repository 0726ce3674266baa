//! OpenC2's commands and responses as JSON, as the language 1.0, SLPF 1.0 and the transfer over HTTPS have them.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::gateways::{Failure, FailureKind};
use crate::rest::{Answer, shortened};

pub(super) const CONTENT_TYPE: &str = "application/openc2+json;version=1.0";

pub(super) fn command(action: &str, target: Value, args: Value, asset_id: Option<&str>) -> Value {
    let actuator = asset_id.map_or_else(|| json!({}), |asset_id| json!({"asset_id": asset_id}));
    json!({"action": action, "target": target, "args": args, "actuator": {"slpf": actuator}})
}

/// The same for the same.
pub(super) fn id(action_id: &str, request: &str, at: u64) -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("vedette openc2\n{action_id}\n{request}\n{at}").as_bytes())
}

#[derive(Debug)]
pub(super) struct Response {
    pub status: u16,
    text: String,
    results: Value,
}

/// The response is in the body, its status too; older consumers send it without an envelope. A body that is none is the
/// word of something in between.
pub(super) fn response(answer: &Answer) -> Result<Response, Failure> {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let inner = &body["body"]["openc2"]["response"];
    let response = if inner.is_object() { inner } else { &body };
    let Some(status) = response["status"].as_u64().and_then(|status| u16::try_from(status).ok()) else {
        if answer.is_success() {
            let text = answer.text();
            return Err(Failure::refused(format!("`{text}` is no OpenC2 response; is the URL the right one?")));
        }
        return Err(answer.failure(&answer.text()));
    };
    if answer.status == 429 {
        return Err(answer.failure(&answer.text()));
    }
    let text = shortened(response["status_text"].as_str().unwrap_or_default());
    Ok(Response { status, text, results: response["results"].clone() })
}

impl Response {
    /// SLPF says 501 in one place and 500 in another.
    pub fn in_use(&self) -> bool {
        matches!(self.status, 500 | 501) && self.text.to_ascii_lowercase().contains("in use")
    }

    /// Of a deletion: there is no such rule.
    pub fn missing(&self) -> bool {
        let text = self.text.to_ascii_lowercase();
        self.status == 404
            || (self.status >= 400 && ["not found", "not exist", "no such"].iter().any(|word| text.contains(word)))
    }

    pub fn must_be_done(&self) -> Result<(), Failure> {
        let message = format!("OpenC2 status {}: {}", self.status, self.text);
        Err(match self.status {
            200 => return Ok(()),
            // Asked for a complete response, it gave an interim one: the next try finds the rule.
            102 => Failure::busy(message, None),
            401 | 403 => Failure::new(FailureKind::Unauthorised, message),
            500 | 503 => Failure::unreachable(message),
            501 => Failure::refused(format!("{message}; the consumer does not support this")),
            _ => Failure::refused(message),
        })
    }

    pub fn rule_number(&self) -> Option<u64> {
        let number = self.results["slpf"]["rule_number"].as_u64();
        number.or_else(|| self.results["slpf:rule_number"].as_u64())
    }

    pub fn must_offer(&self, action: &str, target: &str) -> Result<(), Failure> {
        // Within SLPF's own pairs the name may stand without its prefix.
        let short = target.rsplit(':').next().unwrap_or(target);
        let offers = |pairs: &Value| {
            let targets = pairs[action].as_array().into_iter().flatten();
            targets.filter_map(Value::as_str).any(|one| one == target || one == short)
        };
        if offers(&self.results["pairs"]) || offers(&self.results["slpf"]["pairs"]) {
            return Ok(());
        }
        Err(Failure::refused(format!("the consumer does not offer `{action} {target}`: it is no packet filter for us")))
    }
}
