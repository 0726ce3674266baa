//! Titles and texts for people.

use fleet::{Finding, Incident, Mode, Scope, Severity, State};

use super::super::change::Change;
use super::super::ocsf::{FindingName, Verdict};
use super::super::outgoing::Kind;

/// A group's explanation may name thousands.
const LONGEST: usize = 1500;

pub(super) fn opened(finding: &Finding) -> (String, String) {
    (FindingName::of(finding).title, bounded(&finding.explanation))
}

pub(super) fn raised(finding: &Finding, before: Severity) -> (String, String) {
    (format!("Now {}, was {before}", lower_first(&FindingName::of(finding).title)), bounded(&finding.explanation))
}

pub(super) fn worse(incident: &Incident, before: Severity) -> (String, String) {
    let title = format!("Now {}, was {before}: {}", incident.severity, name(incident));
    (title, format!("{} findings since {}.", incident.findings, incident.opened_at))
}

pub(super) fn closed(incident: &Incident) -> (String, String) {
    let title = format!("Closed: {}", name(incident));
    let text = format!(
        "Nothing more since {}. {} findings, the first in the window of {}.",
        incident.last_window, incident.findings, incident.first_window
    );
    (title, text)
}

pub(super) fn judged(incident: &Incident, verdict: Verdict, by: &str) -> (String, String) {
    let title = format!("Judged {}: {}", verdict.name(), name(incident));
    let by = if by.is_empty() { "nobody named" } else { by };
    (title, format!("Verdict `{}` by {by}.", verdict.name()))
}

pub(super) fn changed(change: &Change) -> (String, String) {
    let device_type = if change.device_type.is_empty() { "unknown type" } else { change.device_type.as_str() };
    let whom = format!("{} of {} ({device_type})", change.level, change.device_id);
    let state = match (change.from, change.to, change.mode) {
        _ if change.is_talking() => "is in force, says the gateway, and the device keeps talking",
        (_, State::Proposed, Mode::Observe) => "would be done",
        (_, State::Proposed, _) => "waits for approval",
        (_, State::Approved, _) => "is approved",
        (Some(State::Verified), State::Applying, _) => "was undone by somebody else and is done again",
        (_, State::Applying, _) => "is being done",
        (_, State::Applied, _) => "is done, not yet verified",
        (_, State::Verified, _) => "holds",
        (_, State::Releasing, _) => "is being taken back",
        (_, State::Released, _) => "is taken back",
        (_, State::Denied, _) => "was denied",
        (_, State::Refused, _) => "was refused by a guard-rail",
        (Some(State::Releasing), State::Failed, _) => "could not be taken back",
        (_, State::Failed, _) => "failed",
        (_, State::Expired, _) => "expired: nobody answered in time",
    };
    let mut text = bounded(&change.reason);
    let about = [("gateway", &change.gateway), ("playbook", &change.playbook), ("by", &change.by)];
    for (what, value) in about.into_iter().filter(|(_, value)| !value.is_empty()) {
        text.push_str(&format!("\n{what}: {value}"));
    }
    if let Some(until) = change.expires_at.filter(|_| !change.is_undoing()) {
        text.push_str(&format!("\nuntil: {until}"));
    }
    text.push_str(&format!("\naction: {}", change.action_id));
    let title = match change.kind() {
        Kind::Notify => format!("playbook `{}` tells of {} ({device_type})", change.playbook, change.device_id),
        Kind::Ticket => format!("playbook `{}`: look after {} ({device_type})", change.playbook, change.device_id),
        _ => format!("{whom} {state}"),
    };
    (title, text)
}

fn name(incident: &Incident) -> String {
    let device_type = if incident.device_type.is_empty() { "unknown type" } else { incident.device_type.as_str() };
    let kind = incident.kind.name().replace('_', " ");
    match incident.scope {
        Scope::Device => format!("{} {kind} of {} ({device_type})", incident.severity, incident.device_id),
        Scope::Fleet => format!("{} {kind} among {device_type}", incident.severity),
        Scope::Site => format!("{} {kind} at a site", incident.severity),
    }
}

fn lower_first(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}

fn bounded(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}...", &text[..at]),
        None => text.to_owned(),
    }
}
