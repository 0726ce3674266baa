//! What moved from one version to another, type by type.

use fleet::Confidence;

use crate::destinations::DestinationUse;
use crate::model::{FeatureBaseline, TypeBaseline};

/// Of a type that both versions know.
pub struct TypeChange<'a> {
    pub before: &'a TypeBaseline,
    pub after: &'a TypeBaseline,
    /// The furthest first; those that did not move are left out.
    pub features: Vec<FeatureChange<'a>>,
    /// The most used first.
    pub new_destinations: Vec<&'a DestinationUse>,
    pub gone_destinations: Vec<&'a DestinationUse>,
    /// Rare contacts of any kind, per 100 device-days, before and after.
    pub rare_contacts: (f64, f64),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FeatureChange<'a> {
    pub before: &'a FeatureBaseline,
    pub after: &'a FeatureBaseline,
    /// How far the median moved, in scales of the earlier version; up is positive.
    pub shift: f32,
    /// The later scale over the earlier one.
    pub widening: f32,
}

impl FeatureChange<'_> {
    /// Against other features: a scale twice or half as wide counts as much as a median one scale away.
    pub fn size(&self) -> f32 {
        self.shift.abs().max(self.widening.log2().abs())
    }
}

/// Less than this is chance.
const MOVED: f32 = 0.1;

impl<'a> TypeChange<'a> {
    pub fn between(before: &'a TypeBaseline, after: &'a TypeBaseline) -> TypeChange<'a> {
        let mut features: Vec<FeatureChange<'_>> = Vec::new();
        for earlier in &before.features {
            let Some(later) = after.features.iter().find(|later| later.name == earlier.name) else { continue };
            let shift = (later.robust.location - earlier.robust.location) / earlier.robust.scale;
            let change = FeatureChange {
                before: earlier,
                after: later,
                shift,
                widening: later.robust.scale / earlier.robust.scale,
            };
            if change.size() >= MOVED || earlier.confidence != later.confidence {
                features.push(change);
            }
        }
        features.sort_by(|a, b| b.size().total_cmp(&a.size()));
        TypeChange {
            features,
            new_destinations: missing(&after.destinations.known, &before.destinations.known),
            gone_destinations: missing(&before.destinations.known, &after.destinations.known),
            rare_contacts: (rare_contacts(before), rare_contacts(after)),
            before,
            after,
        }
    }

    /// Against other types: the furthest feature, or one for each destination that came or went.
    pub fn size(&self) -> f32 {
        let furthest = self.features.first().map_or(0.0, FeatureChange::size);
        furthest.max((self.new_destinations.len() + self.gone_destinations.len()) as f32)
    }

    pub fn confidence(&self) -> Option<(Confidence, Confidence)> {
        let (before, after) = (self.before.confidence, self.after.confidence);
        (before != after).then_some((before, after))
    }

    pub fn is_nothing(&self) -> bool {
        self.size() == 0.0 && self.confidence().is_none()
    }
}

fn missing<'a>(of: &'a [DestinationUse], in_these: &[DestinationUse]) -> Vec<&'a DestinationUse> {
    of.iter().filter(|usage| in_these.iter().all(|other| other.key != usage.key)).collect()
}

fn rare_contacts(learned: &TypeBaseline) -> f64 {
    let seen: u32 = learned.destinations.episodes.iter().map(|episode| episode.device_days).sum();
    100.0 * f64::from(seen) / f64::from(learned.device_days.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::destinations::Destinations;
    use crate::keys::{Application, ContactKey, Target};
    use crate::robust::Robust;
    use fleet::reading::Protocol;
    use fleet::{Direction, Place};

    fn feature(name: &str, location: f32, scale: f32) -> FeatureBaseline {
        FeatureBaseline {
            name: name.into(),
            confidence: Confidence::Ready,
            robust: Robust { location, scale, ..Robust::default() },
            season: Vec::new(),
        }
    }

    fn learned(features: Vec<FeatureBaseline>, names: &[&str]) -> TypeBaseline {
        let usage = |name: &&str| DestinationUse {
            key: ContactKey {
                direction: Direction::Outbound,
                place: Place::External,
                application: Application::Port(Protocol::Tcp, 443),
                target: Target::Name((*name).into()),
            },
            share: 0.5,
            devices: 3,
            days: 3,
            refused_share: 0.0,
            habits: Default::default(),
        };
        TypeBaseline {
            device_type: "camera".into(),
            segment: "".into(),
            devices: 3,
            windows: 100,
            days: 3,
            device_days: 9,
            confidence: Confidence::Ready,
            left_out: Default::default(),
            features,
            destinations: Destinations { known: names.iter().map(usage).collect(), ..Destinations::default() },
            longest_still_run: None,
            device_offsets: Default::default(),
            sample: Vec::new(),
        }
    }

    #[test]
    fn the_furthest_stands_first_and_what_stood_still_does_not() {
        let before = learned(vec![feature("a", 5.0, 0.5), feature("b", 5.0, 0.5), feature("c", 5.0, 0.5)], &["x", "y"]);
        let after = learned(vec![feature("a", 5.0, 0.5), feature("b", 4.0, 0.5), feature("c", 5.0, 1.0)], &["y", "z"]);
        let change = TypeChange::between(&before, &after);
        let names: Vec<&str> = change.features.iter().map(|change| change.before.name.as_str()).collect();
        assert_eq!(names, ["b", "c"]);
        assert_eq!((change.features[0].shift, change.features[1].widening), (-2.0, 2.0));
        let named = |uses: &[&DestinationUse]| uses.iter().map(|it| it.key.target.to_string()).collect::<Vec<_>>();
        assert_eq!(
            (named(&change.new_destinations), named(&change.gone_destinations)),
            (vec!["z".to_owned()], vec!["x".to_owned()])
        );
        assert!(TypeChange::between(&before, &before).is_nothing());
    }
}
