//! One episode: a device and a destination that is rare for its type, from first contact on.

use std::collections::VecDeque;

use baseline::behaviour::{LONG_STAY_SLOTS, RECUR_WINDOWS, REFUSED_FLOWS, STAY_SLOTS, Usual};
use baseline::keys::Folded;
use baseline::{Behaviour, Category};
use fleet::{Direction, EventTime};
use serde::{Deserialize, Serialize};
use smol_str::{SmolStr, format_smolstr};

use super::exchange::ExchangeSoFar;
use super::{RECENT_SECONDS, Seen, class_of, is_infrastructure, words};
use crate::evidence::{Bearing, Evidence, Group, SUPPORT_WEIGHT};

/// A single touch is no alarm by itself, however rare.
const MAX_TOUCH: f64 = 4.0;
/// Nor is an update fetched from a new place, or three windows at a known application.
const MAX_DOWNLOAD: f64 = 4.5;
/// Being called says little about the device.
const MAX_INBOUND: f64 = 3.0;
const MAX_INFRASTRUCTURE: f64 = 3.0;
/// The same application, the usual bytes, the known address silent since: a replaced address.
const SUBSTITUTION: f64 = 1.5;
/// Refused flows at an application the type uses: the service may just be down.
const MANY_REFUSED: u32 = 10;
const GUESSES: u32 = 5;
/// For a type that nobody learned: by then its uploads to a place none of its peers use are no first setting-up.
const UPLOADS_COUNT_AFTER_SECONDS: f64 = 86_400.0;
/// Evenly spaced windows that make a beacon, and how even.
const BEACON_GAPS: f32 = 5.0;
const BEACON_VARIATION: f32 = 0.15;
/// Windows that adjoin say nothing of a rhythm: the gaps must be longer, in windows.
const BEACON_LEAST_GAP: f32 = 1.5;

#[derive(Serialize, Deserialize)]
pub(crate) struct Episode {
    pub begun: EventTime,
    pub last: EventTime,
    exchange: ExchangeSoFar,
    recent: VecDeque<Recent>,
    gaps: Gaps,
    told: f64,
    beacon_told: bool,
    /// The type has a baseline.
    learned: bool,
}

#[derive(Serialize, Deserialize)]
struct Recent {
    at: EventTime,
    port: u16,
    flows: u32,
    refused: u32,
}

pub(crate) struct Verdict {
    pub behaviour: Behaviour,
    pub weight: f64,
    pub substitution: bool,
    pub known_application: bool,
}

impl Episode {
    pub fn begin(at: EventTime, learned: bool) -> Episode {
        Episode {
            begun: at,
            last: at,
            exchange: ExchangeSoFar::default(),
            recent: VecDeque::new(),
            gaps: Gaps::default(),
            told: 0.0,
            beacon_told: false,
            learned,
        }
    }

    /// Only an attack's shape does; an upload, once the type has been around for a day.
    fn counts_without_baseline(&self, behaviour: Behaviour, seen: &Seen<'_>) -> bool {
        match behaviour {
            Behaviour::Guessing | Behaviour::Refused => true,
            Behaviour::Upload => seen.window.end.seconds_since(seen.type_since) > UPLOADS_COUNT_AFTER_SECONDS,
            _ => false,
        }
    }

    /// Takes in one window and gives the worst behaviour so far with its weight.
    pub fn judge(&mut self, seen: &Seen<'_>, part: &Folded<'_>, substituted: impl Fn(EventTime) -> bool) -> Verdict {
        let now = seen.window.end;
        self.remember(part, now, seen.window.start);
        let application = seen.prepared.and_then(|it| Some((it, it.index.application(&part.key)?)));
        let usual = application.map(|(it, position)| it.learned.destinations.applications[position].usual());
        let known_application = usual.is_some();
        let learned = seen.prepared.filter(|it| it.is_seasoned()).map(|it| &it.learned);
        let weigh = |behaviour| seen.scene.prepared.rates.weight(learned, class_of(part), behaviour);

        // Without a baseline everything is new: a touch says nothing then, nor does staying.
        let touch = if learned.is_some() { weigh(Behaviour::Touch).min(MAX_TOUCH) } else { 0.0 };
        let mut worst = (Behaviour::Touch, touch);
        for (behaviour, cap) in self.shown(part, usual) {
            if learned.is_none() && !self.counts_without_baseline(behaviour, seen) {
                continue;
            }
            let weight = weigh(behaviour).min(cap);
            if weight > worst.1 {
                worst = (behaviour, weight);
            }
        }
        let (behaviour, mut weight) = worst;
        let lingering =
            matches!(behaviour, Behaviour::Touch | Behaviour::Recur | Behaviour::Stay | Behaviour::LongStay);
        if part.key.direction == Direction::Inbound && behaviour != Behaviour::Guessing {
            weight = if behaviour == Behaviour::Touch { 0.0 } else { weight.min(MAX_INBOUND) };
        }
        let replaced = lingering && self.exchange.is_usual(usual) && substituted(self.begun);
        if replaced {
            return Verdict { behaviour, weight: SUBSTITUTION, substitution: true, known_application };
        }
        if is_infrastructure(part.category) && lingering {
            weight = weight.min(MAX_INFRASTRUCTURE);
        }
        Verdict { behaviour, weight, substitution: false, known_application }
    }

    /// Behaviours shown so far beyond the touch, each with the most it may weigh here.
    fn shown(&self, part: &Folded<'_>, usual: Option<Usual>) -> Vec<(Behaviour, f64)> {
        let exchange = &self.exchange;
        let downloading = exchange.is_download();
        let mut shown = Vec::new();
        if exchange.windows >= RECUR_WINDOWS && !downloading {
            shown.push((Behaviour::Recur, if usual.is_some() { MAX_DOWNLOAD } else { f64::MAX }));
        }
        if exchange.slots >= STAY_SLOTS && !downloading {
            shown.push((Behaviour::Stay, f64::MAX));
        }
        if exchange.slots >= LONG_STAY_SLOTS {
            shown.push((Behaviour::LongStay, f64::MAX));
        }
        if exchange.is_upload(usual) {
            shown.push((Behaviour::Upload, f64::MAX));
        }
        if downloading {
            shown.push((Behaviour::Download, MAX_DOWNLOAD));
        }
        let flows: u32 = self.recent.iter().map(|recent| recent.flows).sum();
        let refused: u32 = self.recent.iter().map(|recent| recent.refused).sum();
        let enough = if usual.is_some() || !self.learned { MANY_REFUSED } else { REFUSED_FLOWS };
        if part.key.direction == Direction::Outbound && refused >= enough && 2 * refused > flows {
            shown.push((Behaviour::Refused, f64::MAX));
        }
        if part.category == Category::Administration && self.most_guesses(part.key.direction) >= GUESSES {
            shown.push((Behaviour::Guessing, f64::MAX));
        }
        shown
    }

    /// Of late, at one port. What the device refused of its callers was no guess it could have lost.
    fn most_guesses(&self, direction: Direction) -> u32 {
        let guesses = |port: u16| -> u32 {
            let at_port = self.recent.iter().filter(|recent| recent.port == port);
            at_port.map(|it| if direction == Direction::Inbound { it.flows - it.refused } else { it.flows }).sum()
        };
        self.recent.iter().map(|recent| guesses(recent.port)).max().unwrap_or(0)
    }

    fn remember(&mut self, part: &Folded<'_>, now: EventTime, start: EventTime) {
        if self.exchange.windows > 0 {
            self.gaps.add(now.seconds_since(self.last) as f32);
        }
        self.last = now;
        self.exchange.add(part, start);
        let oldest = now.plus_seconds(-RECENT_SECONDS);
        self.recent.push_back(Recent { at: now, port: part.contact.port, flows: part.flows, refused: part.refused });
        while self.recent.front().is_some_and(|recent| recent.at <= oldest) {
            self.recent.pop_front();
        }
    }

    /// The evidence, when it is stronger than what was told before.
    pub fn improve(&mut self, seen: &Seen<'_>, part: &Folded<'_>, verdict: &Verdict) -> Option<Evidence> {
        let first_substitution = verdict.substitution && self.told == 0.0;
        if verdict.weight <= self.told + 0.01 && !first_substitution {
            return None;
        }
        self.told = self.told.max(verdict.weight);
        let attack = verdict.behaviour.is_attack() && !verdict.substitution;
        let staying = verdict.is_staying();
        // Pools and resolvers roam: all of infrastructure is one piece, and no group of peers can stand for it.
        let background = is_infrastructure(part.category) && !attack && !verdict.substitution;
        let group = if attack || background { None } else { Some(group_of(part, verdict)) };
        let bearing = if verdict.substitution { Bearing::Novelty } else { Bearing::Compromise };
        let blank = words::blank(seen, part);
        let subject = match (background, verdict.substitution) {
            (true, _) => SmolStr::new_static("infrastructure"),
            (_, true) => format_smolstr!("replaced address {}", part.key.application),
            _ => blank.subject.clone(),
        };
        Some(Evidence {
            subject,
            weight: verdict.weight,
            shape: if verdict.substitution { "substitution" } else { verdict.behaviour.name() },
            attack,
            strong: staying,
            bearing,
            group,
            observed: words::observed(&self.exchange, verdict.behaviour, self.beacon_period(seen)),
            technique: words::technique(part, verdict.behaviour, self.beacon_period(seen).is_some()),
            ..blank
        })
    }

    /// The first time that the device calls a rare place as evenly as a clock.
    pub fn beacon(&mut self, seen: &Seen<'_>, part: &Folded<'_>, verdict: &Verdict) -> Option<Evidence> {
        let ordinary = !self.learned
            || verdict.substitution
            || is_infrastructure(part.category)
            || part.key.direction == Direction::Inbound;
        if self.beacon_told || ordinary {
            return None;
        }
        let seconds = self.beacon_period(seen)?;
        self.beacon_told = true;
        Some(Evidence {
            detector: "beacon",
            shape: "beacon",
            weight: SUPPORT_WEIGHT,
            bearing: Bearing::Compromise,
            group: (!verdict.behaviour.is_attack()).then(|| group_of(part, verdict)),
            observed: format!("every {seconds:.0} s, {} times in a row, as even as a clock", self.gaps.count),
            technique: "T1029",
            ..words::blank(seen, part)
        })
    }

    /// Seconds between windows, when they come as evenly as a clock.
    fn beacon_period(&self, seen: &Seen<'_>) -> Option<f32> {
        let width = seen.scene.width as f32 / fleet::MICROS_PER_SECOND as f32;
        let regular = self.gaps.count >= BEACON_GAPS && self.gaps.variation() <= BEACON_VARIATION;
        (regular && self.gaps.mean >= BEACON_LEAST_GAP * width).then_some(self.gaps.mean)
    }
}

impl Verdict {
    /// At an application that the type does not use.
    fn is_staying(&self) -> bool {
        matches!(self.behaviour, Behaviour::Recur | Behaviour::Stay | Behaviour::LongStay) && !self.known_application
    }
}

/// What peers must show to make it a change of the group.
fn group_of(part: &Folded<'_>, verdict: &Verdict) -> Group {
    let (application, target) = (&part.key.application, &part.key.target);
    if verdict.substitution {
        return Group::change(format!("replaced address {application}"), false);
    }
    if verdict.is_staying() {
        return Group::change(format!("staying at {application} {target}"), true);
    }
    Group::change(format!("{application} {target}"), false)
}

/// Mean and variance of the gaps between contacts (Welford 1962).
#[derive(Default, Serialize, Deserialize)]
struct Gaps {
    count: f32,
    mean: f32,
    squares: f32,
}

impl Gaps {
    fn add(&mut self, seconds: f32) {
        self.count += 1.0;
        let difference = seconds - self.mean;
        self.mean += difference / self.count;
        self.squares += difference * (seconds - self.mean);
    }

    /// Standard deviation over mean.
    fn variation(&self) -> f32 {
        if self.count < 2.0 || self.mean <= 0.0 {
            return f32::MAX;
        }
        (self.squares / (self.count - 1.0)).sqrt() / self.mean
    }
}
