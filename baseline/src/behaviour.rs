//! What a device can do at a destination, as far as totals show it; the unit that rates are counted in.

use fleet::{EventTime, MICROS_PER_SECOND};
use serde::{Deserialize, Serialize};

/// Ten-minute slots: how long something lasts is counted in them.
pub const SLOT_SECONDS: i64 = 600;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Behaviour {
    /// Any exchange at all.
    Touch,
    /// In 3 windows.
    Recur,
    /// In 3 slots of ten minutes.
    Stay,
    /// In 12 of them.
    LongStay,
    /// Took much and gave little.
    Download,
    /// Gave much and took little.
    Upload,
    /// Tried, and was refused or not answered.
    Refused,
    /// Tried an administration service again and again.
    Guessing,
    /// Tried many hosts or ports.
    FanOut,
}

impl Behaviour {
    pub const ALL: [Behaviour; 9] = [
        Behaviour::Touch,
        Behaviour::Recur,
        Behaviour::Stay,
        Behaviour::LongStay,
        Behaviour::Download,
        Behaviour::Upload,
        Behaviour::Refused,
        Behaviour::Guessing,
        Behaviour::FanOut,
    ];

    /// Shapes that no fleet-wide change excuses.
    pub fn is_attack(self) -> bool {
        matches!(self, Behaviour::Upload | Behaviour::Refused | Behaviour::Guessing | Behaviour::FanOut)
    }

    pub fn name(self) -> &'static str {
        match self {
            Behaviour::Touch => "touch",
            Behaviour::Recur => "recur",
            Behaviour::Stay => "stay",
            Behaviour::LongStay => "long_stay",
            Behaviour::Download => "download",
            Behaviour::Upload => "upload",
            Behaviour::Refused => "refused",
            Behaviour::Guessing => "guessing",
            Behaviour::FanOut => "fan_out",
        }
    }
}

/// What was exchanged with one destination, over an episode or a device-day.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Exchange {
    pub flows: u32,
    pub refused: u32,
    pub bytes_out: u64,
    pub bytes_in: u64,
    /// Windows and ten-minute slots in which there was any.
    pub windows: u32,
    pub slots: u32,
    /// Number of the latest of those slots since the epoch.
    last_slot: i64,
}

/// Bytes below which nobody is said to upload or download.
pub const BULK_BYTES: u64 = 20_000;
/// How many times one direction must exceed the other.
pub const ONE_SIDED: u64 = 3;
/// How many times a known application's usual bytes a window count as unusual.
pub const UNUSUAL: f64 = 5.0;
/// Usual bytes count as no less than this: nobody is accused over a handful.
pub const FLOOR_BYTES: f32 = 32.0;
pub const RECUR_WINDOWS: u32 = 3;
pub const STAY_SLOTS: u32 = 3;
pub const LONG_STAY_SLOTS: u32 = 12;
pub const REFUSED_FLOWS: u32 = 3;
/// Administration flows on a device-day that nobody learns from.
pub const ADMINISTRATION_FLOWS: u32 = 15;

/// What an application usually sends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Usual {
    /// Median bytes in a window.
    pub bytes_out: f32,
    /// A device's greatest window, median over devices.
    pub peak_bytes_out: f32,
}

impl Exchange {
    /// Adds one window's exchange; windows come in the order of time.
    pub fn add(&mut self, flows: u32, refused: u32, bytes_out: u64, bytes_in: u64, window_start: EventTime) {
        let slot = window_start.0.div_euclid(SLOT_SECONDS * MICROS_PER_SECOND);
        if self.windows == 0 || slot != self.last_slot {
            self.slots += 1;
            self.last_slot = slot;
        }
        self.windows += 1;
        self.flows += flows;
        self.refused += refused;
        self.bytes_out += bytes_out;
        self.bytes_in += bytes_in;
    }

    pub fn is_upload(&self, usual: Option<Usual>) -> bool {
        self.bytes_out > BULK_BYTES && self.bytes_out > ONE_SIDED * self.bytes_in && !self.is_usual(usual)
    }

    pub fn is_download(&self) -> bool {
        self.bytes_in > BULK_BYTES && self.bytes_in > ONE_SIDED * self.bytes_out
    }

    pub fn is_refused(&self) -> bool {
        self.refused >= REFUSED_FLOWS && 2 * self.refused > self.flows
    }

    /// Within [`UNUSUAL`] times what the application sends in as many windows; never, when the type does not use it.
    pub fn is_usual(&self, usual: Option<Usual>) -> bool {
        usual.is_some_and(|usual| {
            let a_window = UNUSUAL * f64::from(usual.bytes_out.max(FLOOR_BYTES));
            self.bytes_out as f64 <= a_window * f64::from(self.windows) + f64::from(usual.peak_bytes_out)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_counted_once() {
        let mut exchange = Exchange::default();
        for minute in [0, 1, 9, 10, 25, 26] {
            exchange.add(1, 0, 10, 10, EventTime(0).plus_seconds(minute * 60));
        }
        assert_eq!((exchange.windows, exchange.slots), (6, 3));
    }

    #[test]
    fn one_sided_means_much_and_little() {
        let exchange = Exchange { bytes_out: 100_000, bytes_in: 2_000, windows: 10, ..Exchange::default() };
        assert!(exchange.is_upload(None) && !exchange.is_download());
        let usual = Usual { bytes_out: 9_000.0, peak_bytes_out: 9_000.0 };
        assert!(!exchange.is_upload(Some(usual)), "usual for the application");
        assert!(!Exchange { bytes_out: 19_000, ..exchange }.is_upload(None), "too little to speak of");
        assert!(!Exchange { bytes_in: 60_000, ..exchange }.is_upload(None), "both ways");
    }

    #[test]
    fn refused_is_most_of_at_least_three() {
        let refused = |refused, flows| Exchange { refused, flows, ..Exchange::default() }.is_refused();
        assert!(refused(3, 3) && refused(6, 10));
        assert!(!refused(2, 2) && !refused(5, 10));
    }
}
