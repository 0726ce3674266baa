//! Production hours: a week of wall-clock time in one time zone, and on which side of them a playbook applies.
//!
//! An instant has exactly one wall-clock time, so neither the hour that is skipped in spring nor the one that comes twice in
//! autumn needs a rule of its own: both are in production hours when the clock on the wall is.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Datelike, Timelike};
use chrono_tz::Tz;
use fleet::EventTime;
use serde::{Deserialize, Serialize};

const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const DAY: u16 = 24 * 60;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hours {
    /// IANA name, such as `Europe/Berlin`.
    pub zone: Zone,
    /// At least one.
    pub production: Vec<Shift>,
    pub apply: Side,
}

/// When, seen from the production hours, the playbook applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    Inside,
    Outside,
    /// At all times: the hours are there for people to read.
    Any,
}

impl Hours {
    pub fn apply_at(&self, at: EventTime) -> bool {
        match self.apply {
            Side::Any => true,
            Side::Inside => self.production_at(at),
            Side::Outside => !self.production_at(at),
        }
    }

    /// Times that no calendar has are production time: the side on which less is done.
    fn production_at(&self, at: EventTime) -> bool {
        let Some(instant) = DateTime::from_timestamp_micros(at.0) else { return true };
        let wall = instant.with_timezone(&self.zone.0);
        let day = wall.weekday().num_days_from_monday() as usize;
        let minute = (wall.hour() * 60 + wall.minute()) as u16;
        self.production.iter().any(|shift| shift.covers(day, minute))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Zone(pub Tz);

impl TryFrom<String> for Zone {
    type Error = String;

    fn try_from(text: String) -> Result<Zone, String> {
        let zone = text.parse().map(Zone);
        zone.map_err(|_| format!("`{text}` is no time zone, expected an IANA name such as `Europe/Berlin` or `UTC`"))
    }
}

impl From<Zone> for String {
    fn from(zone: Zone) -> String {
        zone.0.name().to_owned()
    }
}

/// Hours of some days of the week. Those that end no later than they begin go on into the next day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Shift {
    /// Monday first.
    days: [bool; 7],
    /// Minutes since midnight on the wall; `until` is not part of it and at most 24:00.
    from: u16,
    until: u16,
}

impl Shift {
    fn covers(&self, day: usize, minute: u16) -> bool {
        if self.from < self.until {
            return self.days[day] && (self.from..self.until).contains(&minute);
        }
        let yesterday = (day + 6) % 7;
        self.days[day] && minute >= self.from || self.days[yesterday] && minute < self.until
    }
}

impl FromStr for Shift {
    type Err = String;

    fn from_str(text: &str) -> Result<Shift, String> {
        let wrong =
            || format!("`{text}` is no time of the week, expected days and hours such as `Mon-Fri 06:00-22:00`");
        let (days, hours) = text.trim().split_once(char::is_whitespace).ok_or_else(wrong)?;
        let (from, until) = hours.trim().split_once('-').ok_or_else(wrong)?;
        let days = days_of(days).ok_or_else(wrong)?;
        let from = minute_of(from).filter(|minute| *minute < DAY).ok_or_else(wrong)?;
        let until = minute_of(until).ok_or_else(wrong)?;
        if from == until {
            return Err(format!("`{text}` begins and ends at the same time; a whole day is `00:00-24:00`"));
        }
        Ok(Shift { days, from, until })
    }
}

fn days_of(text: &str) -> Option<[bool; 7]> {
    let day = |name: &str| DAYS.iter().position(|day| day.eq_ignore_ascii_case(name));
    let mut days = [false; 7];
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (mut at, last) = (day(first)?, day(last)?);
        days[at] = true;
        while at != last {
            at = (at + 1) % 7;
            days[at] = true;
        }
    }
    Some(days)
}

fn minute_of(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    let two_digits = |text: &str| text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
    if !two_digits(hour) || !two_digits(minute) {
        return None;
    }
    let (hour, minute): (u16, u16) = (hour.parse().ok()?, minute.parse().ok()?);
    let all = hour * 60 + minute;
    (minute < 60 && all <= DAY).then_some(all)
}

impl TryFrom<String> for Shift {
    type Error = String;

    fn try_from(text: String) -> Result<Shift, String> {
        text.parse()
    }
}

impl From<Shift> for String {
    fn from(shift: Shift) -> String {
        shift.to_string()
    }
}

/// Days as runs from Monday on: `Mon-Fri,Sun 06:00-22:00`.
impl fmt::Display for Shift {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut runs: Vec<(usize, usize)> = Vec::new();
        for day in (0..7).filter(|day| self.days[*day]) {
            match runs.last_mut() {
                Some((_, last)) if *last + 1 == day => *last = day,
                _ => runs.push((day, day)),
            }
        }
        let run = |(first, last): &(usize, usize)| match first == last {
            true => DAYS[*first].to_owned(),
            false => format!("{}-{}", DAYS[*first], DAYS[*last]),
        };
        let days: Vec<String> = runs.iter().map(run).collect();
        let (from, until) = (self.from, self.until);
        write!(out, "{} {:02}:{:02}-{:02}:{:02}", days.join(","), from / 60, from % 60, until / 60, until % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hours(zone: &str, production: &[&str], apply: Side) -> Hours {
        let production = production.iter().map(|shift| shift.parse().unwrap()).collect();
        Hours { zone: Zone::try_from(zone.to_owned()).unwrap(), production, apply }
    }

    fn at(text: &str) -> EventTime {
        EventTime::parse(text).unwrap()
    }

    #[test]
    fn the_clock_on_the_wall_counts_on_both_sides_of_a_clock_change() {
        let berlin = hours("Europe/Berlin", &["Mon-Fri 06:00-22:00"], Side::Inside);
        // Friday before and Monday after 29 March 2026, when summer time begins: 06:00 is 05:00Z, then 04:00Z.
        for (instant, inside) in [
            ("2026-03-27T04:59:59Z", false),
            ("2026-03-27T05:00:00Z", true),
            ("2026-03-30T03:59:59Z", false),
            ("2026-03-30T04:00:00Z", true),
            ("2026-03-30T19:59:59Z", true),
            ("2026-03-30T20:00:00Z", false),
            ("2026-03-28T12:00:00Z", false),
        ] {
            assert_eq!(berlin.apply_at(at(instant)), inside, "{instant}");
        }
    }

    #[test]
    fn the_hour_that_is_skipped_and_the_hour_that_comes_twice() {
        let night = hours("Europe/Berlin", &["Sun 02:00-03:00"], Side::Inside);
        // 29 March 2026: 01:59 is followed by 03:00, so the shift does not happen.
        for minute in 0..240 {
            assert!(!night.apply_at(at("2026-03-28T23:30:00Z").plus_seconds(minute * 60)), "{minute}");
        }
        // 25 October 2026: 02:00 to 03:00 happens twice, from 00:00Z to 02:00Z.
        let minutes = (0..240).filter(|minute| night.apply_at(at("2026-10-24T23:00:00Z").plus_seconds(minute * 60)));
        assert_eq!(minutes.collect::<Vec<_>>(), (60..180).collect::<Vec<i64>>());
    }

    #[test]
    fn a_night_shift_belongs_to_the_day_it_begins_on() {
        let night = hours("America/New_York", &["Fri 22:00-06:00"], Side::Inside);
        for (instant, inside) in [
            ("2026-07-04T01:59:00Z", false),
            ("2026-07-04T02:00:00Z", true),
            ("2026-07-04T09:59:00Z", true),
            ("2026-07-04T10:00:00Z", false),
            ("2026-07-05T03:00:00Z", false),
        ] {
            assert_eq!(night.apply_at(at(instant)), inside, "{instant}");
        }
    }

    #[test]
    fn sides_and_whole_days() {
        let shifts = ["Sat,Sun 00:00-24:00", "Mon-Fri 20:00-24:00"];
        let saturday = at("2026-11-21T12:00:00Z");
        assert!(hours("UTC", &shifts, Side::Inside).apply_at(saturday));
        assert!(!hours("UTC", &shifts, Side::Outside).apply_at(saturday));
        assert!(hours("UTC", &shifts, Side::Outside).apply_at(at("2026-11-23T19:59:00Z")));
        assert!(hours("UTC", &shifts, Side::Any).apply_at(saturday));
        assert!(!hours("UTC", &shifts, Side::Outside).apply_at(EventTime::MAX), "the side on which less is done");
    }

    #[test]
    fn shifts_are_written_as_they_are_read() {
        for (text, written) in [
            ("Mon-Fri 06:00-22:00", "Mon-Fri 06:00-22:00"),
            ("sat,SUN  08:00-12:30", "Sat-Sun 08:00-12:30"),
            ("Fri-Mon 22:00-06:00", "Mon,Fri-Sun 22:00-06:00"),
            ("Mon-Sun 00:00-24:00", "Mon-Sun 00:00-24:00"),
        ] {
            let shift: Shift = text.parse().unwrap();
            assert_eq!(shift.to_string(), written);
            assert_eq!(written.parse::<Shift>().unwrap(), shift);
        }
    }

    #[test]
    fn what_is_no_shift() {
        for text in [
            "",
            "Mon",
            "06:00-22:00",
            "Mon 6:00-22:00",
            "Mon 06:00",
            "Mon 24:00-25:00",
            "Mon 06:60-07:00",
            "Mo 06:00-22:00",
            "Mon- 06:00-22:00",
            "Mon 06:00-24:01",
            "Mon +6:00-22:00",
        ] {
            let error = text.parse::<Shift>().unwrap_err();
            assert!(error.starts_with(&format!("`{text}`")) && error.contains("Mon-Fri 06:00-22:00"), "{error}");
        }
        assert!("Mon 06:00-06:00".parse::<Shift>().unwrap_err().contains("00:00-24:00"));
        assert!(Zone::try_from("Europe/Atlantis".to_owned()).unwrap_err().contains("`Europe/Atlantis`"));
    }
}
