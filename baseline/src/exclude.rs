//! What never trains. Learning defends itself: the first training may already hold an attack, so windows of an attack's
//! shape are left out whoever they come from; so are windows that belong to incidents, and devices we cannot vouch for.

use fleet::device::Standing;
use fleet::{Device, Feature, Window};

use crate::config::Config;

/// Why a window does not train; `None` when it may.
pub fn reason_to_leave_out(window: &Window, device: &Device, config: &Config) -> Option<&'static str> {
    match device.standing {
        Standing::Active => {}
        Standing::Unknown => return Some("unknown device"),
        Standing::Retired => return Some("retired device"),
        Standing::Shared => return Some("shared identity"),
    }
    if device.device_type.is_empty() {
        return Some("no device type");
    }
    if window.get(Feature::FailedFlows) >= config.attack_failed_flows && window.get(Feature::FailedShare) > 0.5 {
        return Some("burst of refused flows");
    }
    if window.get(Feature::InternalFanOut) >= config.attack_fan_out {
        return Some("fan-out to internal hosts");
    }
    if window.get(Feature::SignInFailures) >= config.attack_sign_in_failures {
        return Some("guessing of credentials");
    }
    None
}
