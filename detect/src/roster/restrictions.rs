//! Devices that an action of ours restricts, and for a grace after it: what they do, and what they leave undone, is our
//! doing, so it is held against nobody. Once let go they are on probation for a while.
//!
//! A device is blind to us as long as it stands here, so doubts end it: whatever frees a device does so, however the clock
//! of who tells it moved, and what restricts it from before it was freed is an old story told again.

use std::collections::BTreeMap;

use fleet::{DeviceKey, EventTime, Fact, Tick};
use serde::{Deserialize, Serialize};

use crate::config::Config;

#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Restrictions {
    devices: BTreeMap<DeviceKey, Restriction>,
    /// Until when those that were let go are on probation.
    probation: BTreeMap<DeviceKey, EventTime>,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
struct Restriction {
    from: EventTime,
    freed: Option<EventTime>,
}

impl Restrictions {
    /// Takes in what the tick says, and forgets whose grace, or probation, was over before its windows began; `width` of a
    /// window in microseconds.
    pub fn take(&mut self, tick: &Tick, width: i64, config: &Config) {
        for fact in &tick.facts {
            match *fact {
                Fact::Restricted { device, from } => self.restrict(device, from),
                Fact::Freed { device, from } => {
                    self.free(device, from);
                    let until = self.probation.entry(device).or_insert(from);
                    *until = from.plus_seconds(i64::from(config.probation_seconds)).max(*until);
                }
                _ => {}
            }
        }
        let start = EventTime(tick.end.0.saturating_sub(width));
        let is_over = |freed: EventTime| freed.plus_seconds(i64::from(config.release_grace_seconds)) <= start;
        self.devices.retain(|_, restriction| !restriction.freed.is_some_and(is_over));
        self.probation.retain(|_, until| *until > start);
    }

    fn restrict(&mut self, device: DeviceKey, from: EventTime) {
        let open = Restriction { from, freed: None };
        let present = self.devices.entry(device).or_insert(open);
        if present.freed.is_some_and(|freed| freed <= from) {
            *present = open;
        }
    }

    fn free(&mut self, device: DeviceKey, from: EventTime) {
        // Whoever was never told of the restriction may still meet the return.
        let present = self.devices.entry(device).or_insert(Restriction { from, freed: None });
        present.freed.get_or_insert(from.max(present.from));
    }

    /// In the present tick.
    pub fn holds(&self, device: DeviceKey) -> bool {
        self.devices.contains_key(&device)
    }

    /// Whether it was let go lately.
    pub fn is_on_probation(&self, device: DeviceKey) -> bool {
        self.probation.contains_key(&device)
    }

    pub fn is_empty(&self) -> bool {
        self.devices.is_empty()
    }

    /// In the order of their keys.
    pub fn devices(&self) -> impl Iterator<Item = DeviceKey> {
        self.devices.keys().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAMP: DeviceKey = DeviceKey(1);
    const WIDTH: i64 = 60 * fleet::MICROS_PER_SECOND;

    fn at(minute: i64) -> EventTime {
        EventTime(minute * WIDTH)
    }

    /// Whether the lamp is masked in each of the windows that end with these minutes; facts come with the first.
    fn masked(facts: &[Fact], ends: std::ops::RangeInclusive<i64>) -> Vec<bool> {
        let mut restrictions = Restrictions::default();
        let mut facts = facts.to_vec();
        let tick =
            |end| Tick { end: at(end), windows: Vec::new(), facts: std::mem::take(&mut facts), baseline_version: 0 };
        let mut masked = Vec::new();
        for tick in ends.map(tick) {
            restrictions.take(&tick, WIDTH, &Config { release_grace_seconds: 120, ..Config::default() });
            masked.push(restrictions.holds(LAMP));
        }
        masked
    }

    fn restricted(minute: i64) -> Fact {
        Fact::Restricted { device: LAMP, from: at(minute) }
    }

    fn freed(minute: i64) -> Fact {
        Fact::Freed { device: LAMP, from: at(minute) }
    }

    #[test]
    fn the_grace_ends_with_the_last_window_that_it_touches() {
        let ended = [true, true, true, false];
        assert_eq!(masked(&[restricted(4), freed(5)], 5..=8), ended);
        assert_eq!(masked(&[freed(5)], 5..=8), ended, "the restriction stood before the log's beginning");
        assert_eq!(masked(&[restricted(4), freed(5), freed(9)], 5..=8), ended, "told again with another time");
        assert_eq!(masked(&[restricted(4), restricted(6)], 7..=20), [true; 14]);
        assert_eq!(masked(&[restricted(4), freed(5), restricted(5)], 6..=20), [true; 15], "and at once again");
    }

    #[test]
    fn a_clock_that_moved_back_leaves_nobody_masked_for_good() {
        assert_eq!(masked(&[restricted(90), freed(30)], 91..=94), [true, true, false, false]);
        assert_eq!(masked(&[restricted(4), freed(5), restricted(4)], 5..=8), [true, true, true, false]);
    }
}
