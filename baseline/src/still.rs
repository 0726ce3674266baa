//! Values that stand still, and for how long they do so normally: what a stuck sensor is told by.

use fleet::{Feature, Window};

/// A device's values stood still in a run of more than this share of all windows that reported one: they always do.
const ALWAYS_STILL: f64 = 0.5;

/// A run of windows in which one device reports one and the same value. Windows without a value neither end nor lengthen
/// it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StillRun {
    value: f32,
    /// 0 while the values of a window differ among themselves.
    pub windows: u32,
}

impl Default for StillRun {
    fn default() -> StillRun {
        StillRun { value: f32::NAN, windows: 0 }
    }
}

impl StillRun {
    /// Takes in a device's next window; `false` when it reports no value.
    pub fn add(&mut self, window: &Window) -> bool {
        let spread = window.get(Feature::ValueSpread);
        if spread < 0.0 {
            return false;
        }
        let value = window.get(Feature::ValueMean);
        self.windows = match spread == 0.0 {
            true if value == self.value => self.windows + 1,
            true => 1,
            false => 0,
        };
        self.value = value;
        true
    }

    pub fn value(&self) -> f32 {
        self.value
    }
}

/// Over devices, each with its windows in the order of time. See [`crate::TypeBaseline::longest_still_run`].
pub(crate) fn longest_still_run<'w>(by_device: impl Iterator<Item = &'w [&'w Window]>) -> Option<u32> {
    let mut longest = None;
    for windows in by_device {
        let mut run = StillRun::default();
        let (mut reports, mut greatest) = (0u32, 0);
        for window in windows {
            reports += u32::from(run.add(window));
            greatest = greatest.max(run.windows);
        }
        if reports == 0 {
            continue;
        }
        if f64::from(greatest) > ALWAYS_STILL * f64::from(reports) {
            return None;
        }
        longest = longest.max(Some(greatest));
    }
    longest
}

#[cfg(test)]
mod tests {
    use super::*;
    use fleet::{DeviceKey, EventTime, FEATURES, Position};

    fn window(minute: i64, value: f32, spread: f32) -> Window {
        let mut features = [0.0; FEATURES];
        features[Feature::ValueMean.index()] = value;
        features[Feature::ValueSpread.index()] = spread;
        let start = EventTime(0).plus_seconds(minute * 60);
        Window {
            device: DeviceKey(0),
            start,
            end: start.plus_seconds(60),
            features,
            contacts: Vec::new(),
            details: None,
            first_record: Position::default(),
            last_record: Position::default(),
            records: 1,
            malicious: 0,
        }
    }

    fn longest(windows: &[Window]) -> Option<u32> {
        let windows: Vec<&Window> = windows.iter().collect();
        longest_still_run([windows.as_slice()].into_iter())
    }

    #[test]
    fn the_longest_run_is_of_one_value() {
        let mut windows: Vec<Window> = (0..40).map(|minute| window(minute, minute as f32, 0.0)).collect();
        windows.extend((40..45).map(|minute| window(minute, 7.0, 0.0)));
        windows.push(window(45, 0.0, -1.0));
        windows.push(window(46, 7.0, 0.0));
        windows.push(window(47, 7.0, 0.5));
        assert_eq!(longest(&windows), Some(6), "a window without a value does not end it, one that moves does");
    }

    #[test]
    fn what_always_stands_still_says_nothing() {
        let still: Vec<Window> = (0..40).map(|minute| window(minute, 7.0, 0.0)).collect();
        assert_eq!(longest(&still), None);
        let mute: Vec<Window> = (0..40).map(|minute| window(minute, 0.0, -1.0)).collect();
        assert_eq!(longest(&mute), None);
    }
}
