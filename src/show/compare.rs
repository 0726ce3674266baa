//! `baselines diff A B`: two versions side by side, as a person reads them. The type that moved most stands first, and in it
//! the feature that did.

use baseline::TypeBaseline;
use baseline::destinations::DestinationUse;
use baseline::render::compare::{FeatureChange, TypeChange};
use baseline::render::number;
use baseline::robust::unlog_scale;
use datasets::scorecard::text::{Table, grouped, wrap};
use detect::Version;
use fleet::Direction;

/// Of a type; more are counted.
const FEATURES_SHOWN: usize = 8;
const DESTINATIONS_SHOWN: usize = 5;
/// Budget for which the lines are told.
const BUDGET: f64 = 20.0;

pub fn page(before: &Version, after: &Version) -> String {
    let (old, new) = (&before.baselines, &after.baselines);
    let same = |a: &TypeBaseline, b: &TypeBaseline| a.device_type == b.device_type && a.segment == b.segment;
    let mut changes: Vec<TypeChange<'_>> = Vec::new();
    for earlier in &old.types {
        if let Some(later) = new.types.iter().find(|later| same(earlier, later)) {
            changes.push(TypeChange::between(earlier, later));
        }
    }
    changes.sort_by(|a, b| b.size().total_cmp(&a.size()));
    let come: Vec<&TypeBaseline> =
        new.types.iter().filter(|it| !old.types.iter().any(|other| same(it, other))).collect();
    let gone: Vec<&TypeBaseline> =
        old.types.iter().filter(|it| !new.types.iter().any(|other| same(it, other))).collect();
    let moved: Vec<&TypeChange<'_>> = changes.iter().filter(|change| !change.is_nothing()).collect();

    let mut out = wrap(&summary(before, after, &moved, changes.len()), "");
    for (types, what) in [(&come, "is new"), (&gone, "is no longer learned")] {
        for learned in types {
            let of = format!("{} windows of {} devices", grouped(learned.windows), learned.devices);
            out += &format!("\n{} {what}: {of}, {}\n", name(learned), learned.confidence);
        }
    }
    for change in moved {
        out += &format!("\n{}\n", name(change.after));
        out += &wrap(&sentence(change), "  ");
        out += &features(&change.features);
        out += &destinations("new", &change.new_destinations);
        out += &destinations("gone", &change.gone_destinations);
    }
    out
}

fn name(learned: &TypeBaseline) -> String {
    if learned.segment.is_empty() {
        learned.device_type.to_string()
    } else {
        format!("{} in {}", learned.device_type, learned.segment)
    }
}

fn summary(before: &Version, after: &Version, moved: &[&TypeChange<'_>], types: usize) -> String {
    let (a, b) = (before.baselines.version, after.baselines.version);
    let still = types - moved.len();
    let first = match moved.first() {
        None => format!("Version {b} says the same of all {types} types as version {a}."),
        Some(most) => format!(
            "From version {a} to {b}, {} of {types} types moved, {} most; {still} did not.",
            moved.len(),
            name(most.after)
        ),
    };
    let (line, later) = (before.calibration.line(BUDGET), after.calibration.line(BUDGET));
    format!(
        "{first} The line for {BUDGET} false findings per 1,000 device-days: {line:.2}, then {later:.2} \
         (from {} and {} device-days).",
        before.calibration.device_days, after.calibration.device_days
    )
}

/// What to know of a type at a glance.
fn sentence(change: &TypeChange<'_>) -> String {
    let (before, after) = (change.before, change.after);
    let mut parts = Vec::new();
    if let Some((was, is)) = change.confidence() {
        parts.push(format!("was {was} and is {is}"));
    }
    if let Some(first) = change.features.first().filter(|first| first.shift.abs() >= 0.1) {
        let direction = if first.shift > 0.0 { "higher" } else { "lower" };
        parts.push(format!(
            "{} is {direction}, usually {} instead of {}",
            first.before.name,
            median(first.after.robust.location),
            median(first.before.robust.location)
        ));
    }
    for (uses, what) in [(&change.new_destinations, "new"), (&change.gone_destinations, "gone")] {
        match uses.len() {
            0 => {}
            1 => parts.push(format!("one destination is {what}")),
            many => parts.push(format!("{many} destinations are {what}")),
        }
    }
    let (was, is) = change.rare_contacts;
    if (was - is).abs() >= 1.0 {
        parts.push(format!("rare contacts on {is:.0} of 100 device-days instead of {was:.0}"));
    }
    let learned = format!(
        "learned from {} devices on {} days instead of {} on {}",
        after.devices, after.days, before.devices, before.days
    );
    parts.push(learned);
    parts.join("; ")
}

fn features(changes: &[FeatureChange<'_>]) -> String {
    if changes.is_empty() {
        return String::new();
    }
    let mut table =
        Table::new(&["  feature", ">median", ">then", ">moved by", ">spread", "9 of 10 within", "then", "confidence"]);
    for change in changes.iter().take(FEATURES_SHOWN) {
        let (before, after) = (&change.before.robust, &change.after.robust);
        let confidence = if change.before.confidence == change.after.confidence {
            change.after.confidence.to_string()
        } else {
            format!("{} -> {}", change.before.confidence, change.after.confidence)
        };
        table.row([
            format!("  {}", change.before.name),
            median(before.location),
            median(after.location),
            format!("{:+.1}", change.shift),
            format!("x{:.2}", change.widening),
            format!("{} .. {}", number(before.q05), number(before.q95)),
            format!("{} .. {}", number(after.q05), number(after.q95)),
            confidence,
        ]);
    }
    let more = changes.len().saturating_sub(FEATURES_SHOWN);
    let rest = if more > 0 { format!("  {more} other features moved less\n") } else { String::new() };
    format!("{}{rest}", table.render())
}

fn median(location: f32) -> String {
    number(unlog_scale(location))
}

fn destinations(what: &str, uses: &[&DestinationUse]) -> String {
    let mut out = String::new();
    for usage in uses.iter().take(DESTINATIONS_SHOWN) {
        let direction = if usage.key.direction == Direction::Outbound { "to" } else { "from" };
        out += &format!(
            "  {what}: {direction} {} ({}), {:.0} % of device-days, {} devices\n",
            usage.key.target,
            usage.key.application,
            usage.share * 100.0,
            usage.devices
        );
    }
    if uses.len() > DESTINATIONS_SHOWN {
        out += &format!("  {what}: {} more\n", uses.len() - DESTINATIONS_SHOWN);
    }
    out
}
