//! The standard's words for ours: activities, and how far each goes.

use fleet::Level;

/// Of the vocabulary `playbook-activity-type-ov`.
pub(super) const TELL: &str = "deliver-content";
pub(super) const ASK: &str = "identify-audience";
pub(super) const RESTORE: &str = "restore-capabilities";

/// Start line of an OpenC2 command over HTTP.
pub(super) const OPENC2_LINE: &str = "POST /.well-known/openc2 HTTP/1.1";
pub(super) const OPENC2_TYPE: &str = "application/openc2+json;version=1.0";

pub(super) fn activity(level: Level) -> &'static str {
    match level {
        Level::Observe => "analyze-collected-data",
        Level::Notify => TELL,
        Level::Ticket => "compose-content",
        Level::Throttle | Level::BlockInternet | Level::BlockPeers => "restrict-access",
        Level::TerminateSession | Level::Quarantine | Level::Disable => "disconnect-system",
        Level::RotateCredentials | Level::ReEnrol => "configure-systems",
    }
}

/// The mildest of ours that does what the activity says; `None` where several very different ones would.
pub(super) fn level(activity: &str) -> Option<Level> {
    match activity {
        "analyze-collected-data" | "match-indicator" | "identify-indicators" => Some(Level::Observe),
        TELL | "identify-channel" | ASK => Some(Level::Notify),
        "compose-content" => Some(Level::Ticket),
        "restrict-access" => Some(Level::BlockInternet),
        "disconnect-system" => Some(Level::Quarantine),
        _ => None,
    }
}

/// Whether the activity takes something back.
pub(super) fn restores(activity: &str) -> bool {
    matches!(activity, RESTORE | "revert-system")
}

/// `impact` of the standard: 1 (nobody notices) to 100.
pub(super) fn impact(level: Level) -> u8 {
    match level {
        Level::Observe | Level::Notify | Level::Ticket => 1,
        Level::Throttle | Level::TerminateSession => 20,
        Level::BlockInternet | Level::BlockPeers => 30,
        Level::Quarantine => 50,
        Level::Disable | Level::RotateCredentials | Level::ReEnrol => 70,
    }
}

/// What a person would be asked to do.
pub(super) fn task(level: Level) -> &'static str {
    match level {
        Level::Observe => "Look at device __device_id__:value and leave it as it is.",
        Level::Notify => "Tell whoever is on duty of device __device_id__:value.",
        Level::Ticket => "Open a ticket for device __device_id__:value.",
        Level::Throttle => "Limit the bandwidth of device __device_id__:value.",
        Level::TerminateSession => "End the present session of device __device_id__:value; it may come back.",
        Level::BlockInternet => "Block device __device_id__:value from and to the internet.",
        Level::BlockPeers => "Block device __device_id__:value from and to devices like it.",
        Level::Quarantine => "Isolate device __device_id__:value from the network.",
        Level::Disable => "Switch off the identity of device __device_id__:value where it signs in.",
        Level::RotateCredentials => "Replace the secret that device __device_id__:value signs in with.",
        Level::ReEnrol => "Make device __device_id__:value enrol again.",
    }
}
