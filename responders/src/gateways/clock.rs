//! The time of day, for what cannot do without: signatures that carry it, time-outs that are told as a duration. Nothing is
//! decided by it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fleet::EventTime;

#[expect(clippy::disallowed_methods, reason = "the other side compares it with its own clock")]
pub fn now() -> SystemTime {
    SystemTime::now()
}

pub fn unix_seconds() -> u64 {
    now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

pub fn unix_millis() -> u64 {
    now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() * 1000 + u64::from(since.subsec_millis()))
}

/// What is left until then; `None` when it is over.
pub fn left(until: EventTime) -> Option<Duration> {
    let since = now().duration_since(UNIX_EPOCH).ok()?.as_micros();
    let left = i128::from(until.0) - i128::try_from(since).ok()?;
    (left > 0).then(|| Duration::from_micros(u64::try_from(left).unwrap_or(u64::MAX)))
}
