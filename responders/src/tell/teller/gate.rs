//! What one sink is told: its filter, its rate limit, and the digest of what the limit held back.
//!
//! While a digest is gathered everything goes into it, so that a flood is a few messages and one digest a minute, and not
//! a trickle of single ones in between.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fleet::{EventTime, FindingKind, MICROS_PER_SECOND, Severity};
use serde::{Deserialize, Serialize};
use serde_json::json;
use smol_str::SmolStr;

use super::super::config::Only;
use super::super::ocsf::{self, Reporter};
use super::super::outgoing::{Kind, Outgoing};

const MINUTE: i64 = 60 * MICROS_PER_SECOND;
/// What one message costs: a bucket gains as many of these a microsecond as messages are allowed a minute.
const COST: i64 = MINUTE;
const WORST: usize = 5;
/// Device types and incidents that are told apart; more of them are still counted as messages.
const MOST: usize = 10_000;

pub(super) struct Gate {
    pub name: SmolStr,
    only: Only,
    /// Whether `min_severity` was asked for, and is no default.
    has_own_severity: bool,
    pub past: Past,
}

/// What later decisions hang on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Past {
    /// What has been used of the bucket, in [`COST`]s, and when that was.
    used: i64,
    since: EventTime,
    held: Option<Held>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Held {
    since: EventTime,
    messages: u32,
    /// Of the first message, which makes the digest's own.
    first_key: String,
    kinds: BTreeMap<Kind, u32>,
    incidents: BTreeSet<String>,
    /// Incidents of each device type.
    types: BTreeMap<SmolStr, u32>,
    /// The gravest, earlier ones first.
    worst: Vec<(Severity, String)>,
}

impl Gate {
    pub fn new(name: SmolStr, only: Only, has_own_severity: bool) -> Gate {
        Gate { name, only, has_own_severity, past: Past::default() }
    }

    fn wants(&self, message: &Outgoing) -> bool {
        let wants_kind = match (&self.only.kinds, message.finding_kind) {
            (Some(kinds), Some(kind)) => kinds.contains(&kind),
            _ => true,
        };
        // What a playbook asks for is graver than it looks, but where people said how grave things have to be.
        let is_asked = matches!(message.kind, Kind::Notify | Kind::Ticket) && !self.has_own_severity;
        wants_kind
            && (is_asked || self.only.min_severity.is_none_or(|least| message.severity >= least))
            && self.only.events.as_ref().is_none_or(|events| events.contains(&message.kind))
    }

    /// Whether people were told of this one's incident, when that opened or since; machines are told of every step as well.
    pub fn was_told(&self, opened_as: (Severity, FindingKind), message: &Outgoing) -> bool {
        let wants =
            |kind, severity, finding_kind| self.wants(&Outgoing { kind, severity, finding_kind, ..message.clone() });
        let opened = wants(Kind::Opened, opened_as.0, Some(opened_as.1));
        let is_raised = message.severity > opened_as.0 || message.finding_kind != Some(opened_as.1);
        let raised = is_raised && wants(Kind::Raised, message.severity, message.finding_kind);
        !wants(Kind::Step, Severity::Critical, message.finding_kind) && (opened || raised)
    }

    /// Whether it is sent now; what is wanted and not sent now is in the next digest.
    pub fn offer(&mut self, message: &Arc<Outgoing>, now: EventTime) -> bool {
        if !self.wants(message) {
            return false;
        }
        let Some(per_minute) = self.only.per_minute.filter(|limit| *limit > 0) else { return true };
        let per_minute = i64::from(per_minute);
        // Where a clock is put back nothing is gained, and it goes on from there.
        let gained = now.minus(self.past.since).clamp(0, MINUTE).saturating_mul(per_minute);
        self.past.used = (self.past.used - gained).max(0);
        self.past.since = now;
        if self.past.held.is_none() && self.past.used + COST <= per_minute * COST {
            self.past.used += COST;
            return true;
        }
        self.past
            .held
            .get_or_insert_with(|| Held { since: now, first_key: message.key.clone(), ..Held::default() })
            .add(message);
        false
    }

    /// The digest, when its minute is over.
    pub fn due(&mut self, reporter: &Reporter, now: EventTime) -> Option<Outgoing> {
        let gathered = now.minus(self.past.held.as_ref()?.since);
        if (0..MINUTE).contains(&gathered) {
            return None;
        }
        let held = self.past.held.take()?;
        Some(held.digest(reporter, &self.name, now))
    }
}

impl Held {
    fn add(&mut self, message: &Outgoing) {
        self.messages = self.messages.saturating_add(1);
        *self.kinds.entry(message.kind).or_default() += 1;
        let is_new = !message.incident_id.is_empty()
            && self.incidents.len() < MOST
            && self.incidents.insert(message.incident_id.clone());
        if is_new && (self.types.len() < MOST || self.types.contains_key(&message.device_type)) {
            *self.types.entry(message.device_type.clone()).or_default() += 1;
        }
        let place = self.worst.partition_point(|(severity, _)| *severity >= message.severity);
        if place < WORST && !self.worst.iter().any(|(_, title)| *title == message.title) {
            self.worst.insert(place, (message.severity, message.title.clone()));
            self.worst.truncate(WORST);
        }
    }

    fn digest(self, reporter: &Reporter, sink: &str, now: EventTime) -> Outgoing {
        let severity = self.worst.first().map_or(Severity::Info, |(severity, _)| *severity);
        let mut types: Vec<(&SmolStr, &u32)> = self.types.iter().collect();
        types.sort_by_key(|(name, count)| (std::cmp::Reverse(**count), (*name).clone()));
        let others = types.len().saturating_sub(WORST);
        let mut by_type: Vec<String> = types
            .iter()
            .take(WORST)
            .map(|(name, count)| format!("{count} {}", if name.is_empty() { "of unknown type" } else { name.as_str() }))
            .collect();
        if others > 0 {
            by_type.push(format!("{others} other types"));
        }
        let title = match self.incidents.len() {
            0 => format!("{} messages held back", self.messages),
            1 => format!("{} messages about 1 incident: {}", self.messages, by_type.join(", ")),
            incidents => format!("{incidents} incidents: {}", by_type.join(", ")),
        };
        let by_kind: Vec<String> = self.kinds.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        let mut text = format!(
            "{} messages since {} came faster than `{sink}` may be told and are told as one ({}). Worst:",
            self.messages,
            self.since,
            by_kind.join(", "),
        );
        for (_, title) in &self.worst {
            text.push_str("\n- ");
            text.push_str(title);
        }
        let counts = json!({
            "sink": sink,
            "messages": self.messages,
            "incidents": self.incidents.len(),
            "by_event": self.kinds.iter().map(|(kind, count)| (kind.name(), count)).collect::<BTreeMap<_, _>>(),
            "by_device_type": types.iter().take(100).map(|(name, count)| (name.as_str(), **count)).collect::<BTreeMap<_, _>>(),
            "incident_ids": self.incidents.iter().take(100).collect::<Vec<_>>(),
        });
        let event = ocsf::note(reporter, "Digest", &[sink, &self.first_key], now, severity, &title, counts);
        Outgoing {
            key: ocsf::uid(&event),
            at: now,
            kind: Kind::Digest,
            severity,
            finding_kind: None,
            incident_id: String::new(),
            device_id: SmolStr::default(),
            device_type: SmolStr::default(),
            title,
            text,
            event,
        }
    }
}
