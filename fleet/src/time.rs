//! Event time. One integer type, so that nobody mixes seconds, milliseconds and floats.

use std::fmt;

use chrono::{DateTime, Datelike, NaiveDateTime, SecondsFormat, Timelike};
use serde::{Deserialize, Serialize};

pub const MICROS_PER_SECOND: i64 = 1_000_000;

/// Microseconds since 1970-01-01T00:00:00Z, as the record says it (never a local clock).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventTime(pub i64);

impl EventTime {
    pub const MIN: EventTime = EventTime(i64::MIN);
    pub const MAX: EventTime = EventTime(i64::MAX);

    /// From seconds, as Zeek writes them. `None` for NaN, infinities and years beyond 9999.
    pub fn from_seconds(seconds: f64) -> Option<EventTime> {
        const YEAR_10000: f64 = 253_402_300_800.0;
        if !(seconds.is_finite() && (0.0..YEAR_10000).contains(&seconds)) {
            return None;
        }
        Some(EventTime((seconds * MICROS_PER_SECOND as f64).round() as i64))
    }

    pub fn seconds(self) -> f64 {
        self.0 as f64 / MICROS_PER_SECOND as f64
    }

    pub fn plus_seconds(self, seconds: i64) -> EventTime {
        EventTime(self.0.saturating_add(seconds.saturating_mul(MICROS_PER_SECOND)))
    }

    pub fn plus_micros(self, micros: i64) -> EventTime {
        EventTime(self.0.saturating_add(micros))
    }

    pub fn minus(self, other: EventTime) -> i64 {
        self.0.saturating_sub(other.0)
    }

    /// Whole seconds from `earlier` to `self`; negative when `earlier` is later.
    pub fn seconds_since(self, earlier: EventTime) -> f64 {
        self.minus(earlier) as f64 / MICROS_PER_SECOND as f64
    }

    /// The end of the tumbling window of `width` microseconds that holds this instant: windows are `[end - width, end)`.
    pub fn window_end(self, width: i64) -> EventTime {
        EventTime(self.0.div_euclid(width).saturating_add(1).saturating_mul(width))
    }

    /// RFC 3339, or the ISO 8601 spellings seen in the field: a space for `T`, `+0000` without colon, no zone (UTC).
    pub fn parse(text: &str) -> Option<EventTime> {
        if let Ok(instant) = DateTime::parse_from_rfc3339(text) {
            return in_range(instant.timestamp_micros());
        }
        for format in ["%Y-%m-%dT%H:%M:%S%.f%z", "%Y-%m-%d %H:%M:%S%.f%z"] {
            if let Ok(instant) = DateTime::parse_from_str(text, format) {
                return in_range(instant.timestamp_micros());
            }
        }
        for format in ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f"] {
            if let Ok(instant) = NaiveDateTime::parse_from_str(text, format) {
                return in_range(instant.and_utc().timestamp_micros());
            }
        }
        None
    }

    /// Hour of the day (0-23), UTC.
    pub fn hour(self) -> usize {
        DateTime::from_timestamp_micros(self.0).map_or(0, |t| t.hour() as usize)
    }

    /// Hour of the week (0-167), UTC, Monday 00:00 first.
    pub fn hour_of_week(self) -> usize {
        DateTime::from_timestamp_micros(self.0)
            .map_or(0, |t| t.weekday().num_days_from_monday() as usize * 24 + t.hour() as usize)
    }

    /// Days since the epoch: the partition and the unit of "device-days".
    pub fn day(self) -> i64 {
        self.0.div_euclid(86_400 * MICROS_PER_SECOND)
    }
}

fn in_range(micros: i64) -> Option<EventTime> {
    EventTime::from_seconds(micros as f64 / MICROS_PER_SECOND as f64)?;
    Some(EventTime(micros))
}

impl fmt::Display for EventTime {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match DateTime::from_timestamp_micros(self.0) {
            Some(instant) => out.write_str(&instant.to_rfc3339_opts(SecondsFormat::AutoSi, true)),
            None => write!(out, "{} us", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_instant() {
        let expected = EventTime::from_seconds(1_767_225_631.071281).unwrap();
        for text in [
            "2026-01-01T00:00:31.071281Z",
            "2026-01-01T00:00:31.071281+0000",
            "2026-01-01 01:00:31.071281+01:00",
            "2026-01-01T00:00:31.071281",
        ] {
            assert_eq!(EventTime::parse(text), Some(expected), "{text}");
        }
        assert_eq!(expected.to_string(), "2026-01-01T00:00:31.071281Z");
    }

    #[test]
    fn what_is_no_time() {
        assert_eq!(EventTime::from_seconds(f64::NAN), None);
        assert_eq!(EventTime::from_seconds(-1.0), None);
        assert_eq!(EventTime::parse("yesterday"), None);
    }

    #[test]
    fn windows_are_half_open() {
        let width = 60 * MICROS_PER_SECOND;
        let at = |seconds: f64| EventTime::from_seconds(seconds).unwrap();
        assert_eq!(at(0.0).window_end(width), at(60.0));
        assert_eq!(at(59.999999).window_end(width), at(60.0));
        assert_eq!(at(60.0).window_end(width), at(120.0));
    }

    #[test]
    fn monday_midnight_is_hour_zero_of_the_week() {
        let monday = EventTime::parse("2026-03-02T00:30:00Z").unwrap();
        assert_eq!(monday.hour_of_week(), 0);
        assert_eq!(monday.plus_seconds(25 * 3600).hour_of_week(), 25);
    }
}
