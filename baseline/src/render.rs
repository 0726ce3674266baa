//! A baseline as a person reads it.

pub mod compare;

use std::fmt::Write;

use fleet::{Confidence, Direction, Feature};

use crate::model::{Baselines, FeatureBaseline, TypeBaseline};

const DESTINATIONS_SHOWN: usize = 25;

/// One line per type.
pub fn list(baselines: &Baselines) -> String {
    let mut out = format!(
        "baselines version {}, learned from {} to {}\n\n{:<28} {:<12} {:>7} {:>9} {:>5} {:>13}  confidence\n",
        baselines.version,
        baselines.learned_since,
        baselines.learned_until,
        "device type",
        "segment",
        "devices",
        "windows",
        "days",
        "destinations",
    );
    for learned in &baselines.types {
        let _ = writeln!(
            out,
            "{:<28} {:<12} {:>7} {:>9} {:>5} {:>13}  {}",
            learned.device_type,
            dash(&learned.segment),
            learned.devices,
            learned.windows,
            learned.days,
            learned.destinations.known.len(),
            learned.confidence,
        );
    }
    out
}

/// Everything worth knowing about one type.
pub fn show(learned: &TypeBaseline) -> String {
    let mut out = format!(
        "{} (segment {}): {}\nlearned from {} windows of {} devices on {} days ({} device-days)\n",
        learned.device_type,
        dash(&learned.segment),
        learned.confidence,
        learned.windows,
        learned.devices,
        learned.days,
        learned.device_days,
    );
    if learned.left_out.is_empty() {
        out.push_str("nothing was left out of training\n");
    }
    for (reason, windows) in &learned.left_out {
        let _ = writeln!(out, "left out of training: {windows} windows, {reason}");
    }
    let _ = writeln!(
        out,
        "\nexpected in a window in which the device speaks (minute)\n{:<24} {:>11} {:>22} {:>22}  {:<11} unit",
        "feature", "median", "9 of 10 within", "99 of 100 within", "confidence"
    );
    for (feature, expected) in Feature::ALL.iter().zip(&learned.features) {
        if is_silent(expected) {
            continue;
        }
        let robust = &expected.robust;
        let _ = writeln!(
            out,
            "{:<24} {:>11} {:>22} {:>22}  {:<11} {}",
            expected.name,
            number(crate::robust::unlog_scale(robust.location)),
            format!("{} .. {}", number(robust.q05), number(robust.q95)),
            format!("{} .. {}", number(robust.q005), number(robust.q995)),
            expected.confidence,
            feature.definition().unit,
        );
    }
    let unused: Vec<&str> =
        learned.features.iter().filter(|expected| is_silent(expected)).map(|expected| expected.name.as_str()).collect();
    if !unused.is_empty() {
        let _ = writeln!(out, "always 0: {}", unused.join(", "));
    }
    destinations(learned, &mut out);
    out
}

fn destinations(learned: &TypeBaseline, out: &mut String) {
    let known = &learned.destinations.known;
    let _ = writeln!(
        out,
        "\ndestinations (share of device-days)\n{:>6} {:>7} {:>5}  {:<9} {:<18} {:<40} confidence",
        "share", "devices", "days", "direction", "application", "destination"
    );
    for usage in known.iter().take(DESTINATIONS_SHOWN) {
        let direction = match usage.key.direction {
            Direction::Outbound => "to",
            Direction::Inbound => "from",
        };
        let confidence = if usage.devices < 2 || usage.days < 2 { Confidence::Provisional } else { learned.confidence };
        let _ = writeln!(
            out,
            "{:>5.0}% {:>7} {:>5}  {:<9} {:<18} {:<40} {}",
            usage.share * 100.0,
            usage.devices,
            usage.days,
            direction,
            usage.key.application.to_string(),
            usage.key.target.to_string(),
            confidence,
        );
    }
    if known.len() > DESTINATIONS_SHOWN {
        let _ = writeln!(out, "... and {} more", known.len() - DESTINATIONS_SHOWN);
    }
    let _ = writeln!(out, "{} others are rare: counted, not known", learned.destinations.rare);
    if learned.destinations.forgotten > 0 {
        let _ =
            writeln!(out, "{} known ones were forgotten: `baseline.max_destinations`", learned.destinations.forgotten);
    }
}

fn is_silent(expected: &FeatureBaseline) -> bool {
    let robust = &expected.robust;
    robust.location == 0.0 && robust.q005 == 0.0 && robust.q995 == 0.0
}

fn dash(text: &str) -> &str {
    if text.is_empty() { "-" } else { text }
}

/// Four significant digits, thousands as `k`, millions as `M`.
pub fn number(value: f32) -> String {
    let size = value.abs();
    if size >= 1e6 {
        return format!("{:.1}M", value / 1e6);
    }
    if size >= 1e4 {
        return format!("{:.1}k", value / 1e3);
    }
    if size >= 100.0 || value.fract() == 0.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}
