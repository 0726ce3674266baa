//! Evidence and the ledger it adds up in.
//!
//! A piece of evidence says how rarely a normal device shows as much on a day: `-ln(rate per device-day)`, natural
//! logarithm units. Every detector speaks this one currency, so that pieces can be added. A piece is counted once: what
//! goes on replaces its own earlier, weaker piece instead of adding to it. It loses half its weight every
//! [`crate::Config::half_life_seconds`], so a device that stays quiet drains.

use fleet::{DeviceKey, EventTime, Position};
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

mod words;

/// What a piece of evidence says about the device, were it alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Bearing {
    /// Somebody else may be using the device.
    Compromise,
    /// Something is broken.
    Fault,
    /// New, and harmless by its shape.
    Novelty,
}

/// By this name, because serde would borrow a `&str` from what it reads.
type Word = &'static str;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    pub device: DeviceKey,
    #[serde(with = "words")]
    pub detector: Word,
    /// With the detector, what makes this one piece and not another: the destination, the feature.
    pub subject: SmolStr,
    /// What it did there (a behaviour, or the detector's own word).
    #[serde(with = "words")]
    pub shape: Word,
    /// `-ln` of the rate per device-day.
    pub weight: f64,
    pub bearing: Bearing,
    /// Of an attack's shape: no group excuses it, and no finding waits for peers.
    pub attack: bool,
    /// Telling without being an attack: staying at an application that the type never uses.
    pub strong: bool,
    /// Devices of the cohort that show the same group at about the same time are one change or outage.
    pub group: Option<Group>,
    pub observed: String,
    pub expected_type: Option<String>,
    pub expected_device: Option<String>,
    pub peers_now: Option<String>,
    pub first_seen_type: Option<bool>,
    pub first_seen_device: Option<bool>,
    #[serde(with = "words")]
    pub technique: Word,
    pub records: Option<(Position, Position)>,
}

/// Detectors of totals see the very traffic that others have judged already: they are no second witness.
const SUPPORTING: [&str; 3] = ["statistics", "drift", "beacon"];
/// What they weigh at most: enough to tell two doubtful cases apart, too little to carry a harmless one over the line.
pub const SUPPORT_WEIGHT: f64 = 0.5;

impl Evidence {
    pub fn is_supporting(&self) -> bool {
        SUPPORTING.contains(&self.detector)
    }
}

/// What a group of devices shares when it changes together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Group {
    pub outage: bool,
    /// A worm does it too: more of the cohort must share it.
    pub staying: bool,
    /// Once a change is known, later devices that follow are part of it for a day.
    pub lasting: bool,
    /// Peers that share it excuse it, but it is no news of the group: something else tells of the same change.
    pub silent: bool,
    /// The same thing, in the eyes of the cohort.
    pub topic: SmolStr,
}

impl Group {
    pub fn change(topic: impl Into<SmolStr>, staying: bool) -> Group {
        Group { outage: false, staying, lasting: true, silent: false, topic: topic.into() }
    }

    pub fn silent(topic: impl Into<SmolStr>) -> Group {
        Group { lasting: false, silent: true, ..Group::change(topic, false) }
    }

    pub fn outage(topic: &'static str) -> Group {
        Group { outage: true, staying: false, lasting: false, silent: false, topic: SmolStr::new_static(topic) }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Piece {
    pub evidence: Evidence,
    /// What it weighs beyond what was told.
    weight: f64,
    /// What findings have told of it.
    told: f64,
    /// End of the window that last showed it.
    pub at: EventTime,
}

/// What is held against one device.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Ledger {
    pieces: Vec<Piece>,
}

/// Pieces weigh nothing after this many half-lives.
const FORGOTTEN_AFTER: f64 = 6.0;
/// Weight by which a piece must exceed what was told of it.
const GROWN: f64 = 0.01;

impl Ledger {
    /// Adds a piece, or strengthens and refreshes the same piece. What a finding has told counts again only when it has
    /// grown, and then in full: what was told as a touch can still become a certain compromise.
    pub fn add(&mut self, evidence: Evidence, at: EventTime) {
        let same = self
            .pieces
            .iter_mut()
            .find(|piece| piece.evidence.detector == evidence.detector && piece.evidence.subject == evidence.subject);
        match same {
            Some(piece) => {
                if evidence.weight > piece.told + GROWN {
                    piece.weight = piece.weight.max(evidence.weight);
                }
                piece.at = at;
                piece.evidence = evidence;
            }
            None => self.pieces.push(Piece { weight: evidence.weight, told: 0.0, evidence, at }),
        }
    }

    /// A finding was emitted: what is held now is told.
    pub fn settle(&mut self) {
        for piece in &mut self.pieces {
            piece.told = piece.told.max(piece.weight);
            piece.weight = 0.0;
        }
    }

    /// The sum at `now`; pieces that weigh nothing any more are dropped. Of the supporting ones the strongest counts alone.
    pub fn total(&mut self, now: EventTime, half_life_seconds: f64) -> f64 {
        self.pieces.retain(|piece| now.seconds_since(piece.at) < FORGOTTEN_AFTER * half_life_seconds);
        let (mut sum, mut support) = (0.0, 0.0f64);
        for piece in &self.pieces {
            let weight = piece.weight_at(now, half_life_seconds);
            if piece.evidence.is_supporting() {
                support = support.max(weight);
            } else {
                sum += weight;
            }
        }
        sum + support
    }

    /// Forgets what a group change explains.
    pub fn excuse(&mut self, group: &Group) {
        self.pieces.retain(|piece| piece.evidence.group.as_ref() != Some(group));
    }

    /// Strongest first.
    pub fn strongest(&self, now: EventTime, half_life_seconds: f64) -> Vec<(&Piece, f64)> {
        let mut weighed: Vec<(&Piece, f64)> =
            self.pieces.iter().map(|piece| (piece, piece.weight_at(now, half_life_seconds))).collect();
        weighed.sort_by(|a, b| b.1.total_cmp(&a.1));
        weighed
    }

    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }
}

impl Piece {
    pub fn weight_at(&self, now: EventTime, half_life_seconds: f64) -> f64 {
        self.weight * (-now.seconds_since(self.at) / half_life_seconds).exp2()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(subject: &str, weight: f64) -> Evidence {
        Evidence {
            device: DeviceKey(0),
            detector: "contacts",
            subject: subject.into(),
            shape: "touch",
            weight,
            bearing: Bearing::Novelty,
            attack: false,
            strong: false,
            group: Some(Group::change(subject, false)),
            observed: String::new(),
            expected_type: None,
            expected_device: None,
            peers_now: None,
            first_seen_type: None,
            first_seen_device: None,
            technique: "",
            records: None,
        }
    }

    #[test]
    fn evidence_adds_up_once_and_drains() {
        let mut ledger = Ledger::default();
        let start = EventTime(0);
        ledger.add(piece("a", 4.0), start);
        ledger.add(piece("a", 3.0), start);
        ledger.add(piece("b", 2.0), start);
        assert_eq!(ledger.total(start, 3600.0), 6.0, "the same, weaker, adds nothing");
        ledger.add(piece("a", 5.0), start);
        assert_eq!(ledger.total(start, 3600.0), 7.0);
        assert!((ledger.total(start.plus_seconds(3600), 3600.0) - 3.5).abs() < 1e-9);
        assert_eq!(ledger.total(start.plus_seconds(7 * 3600), 3600.0), 0.0);
        assert!(ledger.is_empty());
    }

    #[test]
    fn what_was_told_is_not_told_again() {
        let mut ledger = Ledger::default();
        ledger.add(piece("a", 4.0), EventTime(0));
        ledger.settle();
        ledger.add(piece("a", 4.0), EventTime(0));
        assert_eq!(ledger.total(EventTime(0), 3600.0), 0.0);
        ledger.add(piece("a", 5.5), EventTime(0));
        assert_eq!(ledger.total(EventTime(0), 3600.0), 5.5);
    }

    #[test]
    fn what_a_group_explains_is_forgotten() {
        let mut ledger = Ledger::default();
        ledger.add(piece("a", 4.0), EventTime(0));
        ledger.add(piece("b", 2.0), EventTime(0));
        ledger.excuse(&Group::change("a", false));
        assert_eq!(ledger.total(EventTime(0), 3600.0), 2.0);
    }
}
