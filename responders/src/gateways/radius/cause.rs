//! Error-Cause (RFC 5176, section 3.5): why a device would not.

use crate::gateways::{Failure, FailureKind};

/// "Session Context Not Found": there is no such session any more.
pub(super) const SESSION_NOT_FOUND: u32 = 503;
/// "Resources Unavailable".
const RESOURCES_UNAVAILABLE: u32 = 506;

pub(super) fn failure(cause: Option<u32>) -> Failure {
    let message = match cause {
        Some(number) => format!("refused with Error-Cause {number}: {}", meaning(number)),
        None => "refused without an Error-Cause; look at the device's own log".to_owned(),
    };
    match cause {
        Some(RESOURCES_UNAVAILABLE) => Failure::busy(message, None),
        Some(SESSION_NOT_FOUND) => Failure::new(FailureKind::Conflict, message),
        _ => Failure::refused(message),
    }
}

/// What is to be changed is not there now, and may be back.
pub(super) fn no_session() -> Failure {
    failure(Some(SESSION_NOT_FOUND))
}

fn meaning(number: u32) -> &'static str {
    match number {
        401 => "an attribute is not supported; leave out filter_id, vlan or a key",
        402 => "an attribute is missing; add nas_ip_address, nas_identifier or a key",
        403 => "it is another device than nas_ip_address or nas_identifier say",
        404 => "the request is not valid",
        405 => "the service is not supported",
        406 => "the extension is not supported",
        407 => "an attribute's value is not valid; is the filter or VLAN there?",
        501 => "administratively prohibited; allow it at the device",
        502 => "the proxy does not know where to send it",
        503 => "there is no such session: the device is not connected, or keys and mac_form do not fit",
        504 => "the session cannot be ended",
        505 => "a proxy on the way failed",
        506 => "it has no resources left for now",
        507 => "it has asked the RADIUS server first, which this does not wait for",
        508 => "the names fit several sessions, and it changes one only; add a key",
        _ => "see RFC 5176, section 3.5",
    }
}
