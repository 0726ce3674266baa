//! What a lane saw of a device that an action of ours restricts: whether it went quiet, or kept talking.

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::feature::Feature;
use crate::time::EventTime;
use crate::window::Window;

/// One window of event time of one restricted device; all counts are 0 when it was silent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sighting {
    pub device_id: SmolStr,
    pub window_start: EventTime,
    pub window_end: EventTime,
    /// Broker messages the device published, refused ones included.
    pub messages: u32,
    /// Flow records it took part in, unanswered ones included.
    pub flows: u32,
    /// Payload to and from it, bytes.
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub failed_sign_ins: u32,
    /// Broker sessions begun.
    pub connects: u32,
}

impl Sighting {
    pub fn silent(device_id: SmolStr, window_start: EventTime, window_end: EventTime) -> Sighting {
        Sighting {
            device_id,
            window_start,
            window_end,
            messages: 0,
            flows: 0,
            bytes_in: 0,
            bytes_out: 0,
            failed_sign_ins: 0,
            connects: 0,
        }
    }

    /// Of what the device's window counted.
    pub fn of(device_id: SmolStr, window: &Window) -> Sighting {
        // Features are never negative here, and a cast stops at the greatest number.
        let count = |feature| window.get(feature) as u32;
        let bytes = |feature| window.get(feature) as u64;
        Sighting {
            messages: count(Feature::Messages),
            flows: count(Feature::Flows),
            bytes_in: bytes(Feature::BytesIn),
            bytes_out: bytes(Feature::BytesOut),
            failed_sign_ins: count(Feature::SignInFailures),
            connects: count(Feature::Connects),
            ..Sighting::silent(device_id, window.start, window.end)
        }
    }

    /// Neither heard nor tried: what a quarantine is to look like.
    pub fn is_silent(&self) -> bool {
        *self == Sighting::silent(self.device_id.clone(), self.window_start, self.window_end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::DeviceKey;
    use crate::feature::FEATURES;
    use crate::reading::Position;

    #[test]
    fn a_sighting_says_what_its_window_counted() {
        let mut features = [0.0; FEATURES];
        features[Feature::Flows.index()] = 3.0;
        features[Feature::BytesOut.index()] = 1e12;
        features[Feature::SignInFailures.index()] = 4.0;
        let window = Window {
            device: DeviceKey(1),
            start: EventTime(60),
            end: EventTime(120),
            features,
            contacts: Vec::new(),
            details: None,
            first_record: Position::default(),
            last_record: Position::default(),
            records: 7,
            malicious: 0,
        };
        let sighting = Sighting::of("lamp".into(), &window);
        assert_eq!((sighting.flows, sighting.failed_sign_ins, sighting.connects), (3, 4, 0));
        assert!((sighting.bytes_out as f64 / 1e12 - 1.0).abs() < 1e-6);
        assert!(!sighting.is_silent());
        assert!(Sighting::silent("lamp".into(), EventTime(60), EventTime(120)).is_silent());
    }
}
