//! Remediation Activity (class 7001): where an action is.

use fleet::id::stable_id;
use fleet::{Device, Level, Mode, Severity, State};
use serde_json::{Value, json};

use super::Reporter;
use super::parts::{self, LINE, LONG, REMEDIATION, cut, millis, without_nothing};
use crate::tell::{Change, Names};

/// A defensive technique, by its D3FEND id; tactics of D3FEND are OCSF's activities.
struct Countermeasure {
    activity: i64,
    tactic: &'static str,
    id: &'static str,
    name: &'static str,
}

const fn counter(activity: i64, tactic: &'static str, id: &'static str, name: &'static str) -> Countermeasure {
    Countermeasure { activity, tactic, id, name }
}

/// `None` for levels a device does not notice: OCSF has no activity for them.
fn countermeasure(level: Level, undoing: bool) -> Option<Countermeasure> {
    if undoing {
        return match level {
            Level::Observe | Level::Notify | Level::Ticket => None,
            Level::Disable => Some(counter(3, "Restore", "D3-ULA", "Unlock Account")),
            Level::RotateCredentials | Level::ReEnrol => Some(counter(3, "Restore", "D3-RIC", "Reissue Credential")),
            Level::Throttle
            | Level::TerminateSession
            | Level::BlockInternet
            | Level::BlockPeers
            | Level::Quarantine => Some(counter(3, "Restore", "D3-RNA", "Restore Network Access")),
        };
    }
    match level {
        Level::Observe | Level::Notify | Level::Ticket => None,
        Level::Throttle => Some(counter(1, "Isolate", "D3-NTF", "Network Traffic Filtering")),
        Level::BlockInternet => Some(counter(1, "Isolate", "D3-OTF", "Outbound Traffic Filtering")),
        Level::BlockPeers => Some(counter(1, "Isolate", "D3-BDI", "Broadcast Domain Isolation")),
        Level::Quarantine => Some(counter(1, "Isolate", "D3-NI", "Network Isolation")),
        Level::TerminateSession => Some(counter(2, "Evict", "D3-ST", "Session Termination")),
        Level::Disable => Some(counter(2, "Evict", "D3-AL", "Account Locking")),
        Level::ReEnrol => Some(counter(2, "Evict", "D3-CR", "Credential Revocation")),
        Level::RotateCredentials => Some(counter(4, "Harden", "D3-CRO", "Credential Rotation")),
    }
}

/// Success is what was read back: that a gateway took it is half of it, as is what telemetry contradicts; what was only said or
/// decided is neither.
fn status(change: &Change) -> (i64, String) {
    match change.to {
        _ if change.is_talking() => (4, "Partial".to_owned()),
        State::Verified | State::Released => (1, "Success".to_owned()),
        State::Failed => (2, "Failure".to_owned()),
        State::Applied => (4, "Partial".to_owned()),
        State::Proposed if change.mode == Mode::Observe => (99, "Would act".to_owned()),
        state => (99, state.name()[..1].to_ascii_uppercase() + &state.name()[1..]),
    }
}

/// `severity` is the incident's.
pub fn remediation(
    reporter: &Reporter,
    change: &Change,
    severity: Severity,
    device: Option<&Device>,
    names: &Names,
) -> Value {
    let counter = countermeasure(change.level, change.is_undoing());
    let (activity, activity_name) =
        counter.as_ref().map_or((99, change.level.name()), |counter| (counter.activity, counter.tactic));
    let command = format!("{}:{}", change.action_id, change.transition());
    let uid = stable_id(&["remediation", &command, &change.seq.to_string()]);
    let (status_id, status) = status(change);
    let talks = if change.is_talking() { ", and the device keeps talking" } else { "" };
    let what = format!("{} of {} is {}{talks}", change.level, change.device_id, change.to);
    let mut event = parts::event(REMEDIATION, activity, activity_name, change.at, severity);
    event["metadata"] = parts::metadata(reporter, &uid, &change.incident_id, change.at, &["host"]);
    event["message"] = cut(&format!("{what}: {}", change.reason), LINE).into();
    event["command_uid"] = command.into();
    event["countermeasures"] = counter
        .into_iter()
        .map(|it| json!({ "d3f_tactic": { "name": it.tactic }, "d3f_technique": { "uid": it.id, "name": it.name } }))
        .collect();
    event["remediation"] = json!({ "desc": what });
    event["status_id"] = status_id.into();
    event["status"] = status.into();
    event["status_detail"] = cut(&change.reason, LONG).into();
    event["device"] = parts::device(&change.device_id, &change.device_type, device, names);
    event["observables"] = parts::observables(&change.device_id, names).into();
    event["unmapped"] = json!({
        "seq": change.seq,
        "action_id": change.action_id,
        "incident_id": change.incident_id,
        "finding_id": change.finding_id,
        "level": change.level,
        "from": change.from,
        "to": change.to,
        "gateway": change.gateway,
        "playbook": change.playbook,
        "mode": change.mode,
        "by": change.by,
        "expires_at": change.expires_at.map(millis),
    });
    without_nothing(event)
}
