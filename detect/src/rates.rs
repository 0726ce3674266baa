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
/// No single piece of evidence weighs more: one device-day in a thousand, which is as much as any history here can tell.
pub const MAX_WEIGHT: f64 = 6.9;

pub struct Rates {
    device_days: f64,
    counts: BTreeMap<(ContactClass, Behaviour), f64>,
}

impl Rates {
    pub fn pooled(baselines: &Baselines) -> Rates {
        let mut counts: BTreeMap<(ContactClass, Behaviour), f64> = BTreeMap::new();
        let mut device_days = 0.0;
        for learned in &baselines.types {
            device_days += f64::from(learned.device_days);
            for count in &learned.destinations.episodes {
                *counts.entry((count.class, count.behaviour)).or_default() += f64::from(count.device_days);
            }
        }
        Rates { device_days, counts }
    }

    pub fn device_days(&self) -> f64 {
        self.device_days
    }

    /// `-ln` of the rate per device-day, at most [`MAX_WEIGHT`]. `None` for the type when it has no baseline.
    pub fn weight(&self, learned: Option<&TypeBaseline>, class: ContactClass, behaviour: Behaviour) -> f64 {
        let prior = prior(behaviour);
        if behaviour.is_attack() && behaviour != Behaviour::Upload {
            // Learning leaves these shapes out, so it cannot count them.
            return -prior.ln();
        }
        let pooled_count = self.counts.get(&(class, behaviour)).copied().unwrap_or(0.0);
        let pooled = (pooled_count + PRIOR_DAYS * prior) / (self.device_days + PRIOR_DAYS);
        let (own_count, own_days) = learned.map_or((0.0, 0.0), |learned| {
            let own = learned.destinations.episodes.iter().find(|count| count.class == class && count.behaviour == behaviour);
            (own.map_or(0.0, |count| f64::from(count.device_days)), f64::from(learned.device_days))
        });
        let rate = (own_count + POOL_DAYS * pooled) / (own_days + POOL_DAYS);
        (-rate.min(1.0).ln()).min(MAX_WEIGHT)
    }
}

/// Rates per device-day assumed before anything was counted.
fn prior(behaviour: Behaviour) -> f64 {
    match behaviour {
        Behaviour::Touch => 0.02,
        Behaviour::Recur | Behaviour::Stay | Behaviour::Download => 0.01,
        Behaviour::LongStay | Behaviour::Upload => 0.005,
        Behaviour::Refused | Behaviour::FanOut => 0.001,
        Behaviour::Guessing => 0.0005,
    }
}
