//! How rarely a normal device shows a behaviour at a rare destination, per device-day.
//!
//! Counts of one type are far too few (a type's learning days show a handful of rare contacts), so rates are pooled over
//! all types and shrunk: a prior weighs `PRIOR_DAYS` device-days against the pool, the pool `POOL_DAYS` against the type.

use std::collections::BTreeMap;

use baseline::{Baselines, Behaviour, ContactClass, TypeBaseline};

/// Device-days a prior weighs against the pooled counts.
const PRIOR_DAYS: f64 = 2.0;
/// Device-days the pooled rate weighs against a type's own.
const POOL_DAYS: f64 = 30.0;
/// No single piece of evidence weighs more. It lies above the line of any budget a history can bear, so that one certain
/// episode suffices.
pub const MAX_WEIGHT: f64 = 8.0;
/// What learning cannot count, because it leaves such shapes out.
pub const ATTACK_WEIGHT: f64 = 8.5;
/// Where a mild behaviour is common, the graver one that grows from it is not rarer than this share of it.
const STEP: f64 = 0.1;
/// What fewer devices than this, or than this share of all, show in learning stays uncounted: one infected device must
/// not make its own behaviour normal.
const LEAST_DEVICES: f64 = 3.0;
const LEAST_SHARE_OF_POOL: f64 = 0.15;

/// The same for one type: three quarters of a small one; of a large one a quarter and four, so that what a good part of
/// it does on some days is no news. A worm that holds more than that while learning lasts is therefore taken for normal,
/// but for its attack shapes, which nobody learns.
fn least_of_type(devices: f64) -> f64 {
    (0.75 * devices).min(0.25 * devices + 4.0).max(LEAST_DEVICES)
}

#[derive(Clone, Copy, Default)]
struct Count {
    device_days: f64,
    devices: f64,
}

pub struct Rates {
    device_days: f64,
    devices: f64,
    counts: BTreeMap<(ContactClass, Behaviour), Count>,
}

impl Rates {
    pub fn pooled(baselines: &Baselines) -> Rates {
        let mut rates = Rates { device_days: 0.0, devices: 0.0, counts: BTreeMap::new() };
        for learned in &baselines.types {
            rates.device_days += f64::from(learned.device_days);
            rates.devices += f64::from(learned.devices);
            for count in &learned.destinations.episodes {
                let sum = rates.counts.entry((count.class, count.behaviour)).or_default();
                sum.device_days += f64::from(count.device_days);
                sum.devices += f64::from(count.devices);
            }
        }
        rates
    }

    /// `-ln` of the rate per device-day, at most [`MAX_WEIGHT`]. No type: the pool's.
    pub fn weight(&self, learned: Option<&TypeBaseline>, class: ContactClass, behaviour: Behaviour) -> f64 {
        // Learning leaves these shapes out, so it cannot count them.
        if behaviour.is_attack() && behaviour != Behaviour::Upload {
            return ATTACK_WEIGHT;
        }
        (-self.rate(learned, class, behaviour).min(1.0).ln()).min(MAX_WEIGHT)
    }

    fn rate(&self, learned: Option<&TypeBaseline>, class: ContactClass, behaviour: Behaviour) -> f64 {
        let pooled = self.counts.get(&(class, behaviour)).copied().unwrap_or_default();
        let believed = pooled.devices >= LEAST_DEVICES.max(LEAST_SHARE_OF_POOL * self.devices);
        let pooled_days = if believed { pooled.device_days } else { 0.0 };
        let pooled_rate = (pooled_days + PRIOR_DAYS * prior(behaviour)) / (self.device_days + PRIOR_DAYS);
        let own =
            learned.map_or((0.0, 0.0), |learned| (own_days(learned, class, behaviour), f64::from(learned.device_days)));
        let rate = (own.0 + POOL_DAYS * pooled_rate) / (own.1 + POOL_DAYS);
        milder(behaviour).map_or(rate, |milder| rate.max(STEP * self.rate(learned, class, milder)))
    }
}

/// Device-days of the type with the behaviour, if enough of its devices show it.
fn own_days(learned: &TypeBaseline, class: ContactClass, behaviour: Behaviour) -> f64 {
    let counts = &learned.destinations.episodes;
    let Some(own) = counts.iter().find(|count| count.class == class && count.behaviour == behaviour) else {
        return 0.0;
    };
    if f64::from(own.devices) >= least_of_type(f64::from(learned.devices)) { f64::from(own.device_days) } else { 0.0 }
}

/// What a behaviour grows from.
fn milder(behaviour: Behaviour) -> Option<Behaviour> {
    match behaviour {
        Behaviour::Recur | Behaviour::Upload | Behaviour::Download => Some(Behaviour::Touch),
        Behaviour::Stay => Some(Behaviour::Recur),
        Behaviour::LongStay => Some(Behaviour::Stay),
        Behaviour::Touch | Behaviour::Refused | Behaviour::Guessing | Behaviour::FanOut => None,
    }
}

/// Rates per device-day assumed before anything was counted.
fn prior(behaviour: Behaviour) -> f64 {
    match behaviour {
        Behaviour::Touch => 0.02,
        Behaviour::Recur | Behaviour::Stay | Behaviour::Download => 0.01,
        Behaviour::LongStay | Behaviour::Upload => 0.005,
        Behaviour::Refused | Behaviour::FanOut | Behaviour::Guessing => 0.0002,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_many_of_a_type_make_a_behaviour_normal() {
        let share = |devices: f64| least_of_type(devices) / devices;
        assert_eq!((least_of_type(1.0), least_of_type(4.0)), (3.0, 3.0), "one or two devices make nothing normal");
        assert_eq!(share(8.0), 0.75);
        assert_eq!(least_of_type(32.0), 12.0);
        assert!(share(340.0) < 0.27 && share(340.0) > 0.25);
    }
}
