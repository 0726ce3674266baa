//! One value of a line, whatever the format wrote it as, and its conversions. Every failure names field and value.

use std::borrow::Cow;
use std::net::IpAddr;

use fleet::{EventTime, MICROS_PER_SECOND, Mac};
use smol_str::SmolStr;

use super::reject::RejectReason;

/// A text this long is no name of anything; topics, commands and the like are kept by value downstream.
pub(super) const MAX_TEXT: usize = 1_024;
const MAX_SHOWN: usize = 60;

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) enum Scalar<'a> {
    #[default]
    Missing,
    Flag(bool),
    Count(u64),
    Number(f64),
    Text(Cow<'a, str>),
    List(Vec<Scalar<'a>>),
    Object(Vec<(Cow<'a, str>, Scalar<'a>)>),
}

impl Scalar<'_> {
    fn shown(&self) -> String {
        match self {
            Scalar::Missing => String::new(),
            Scalar::Flag(flag) => flag.to_string(),
            Scalar::Count(count) => count.to_string(),
            Scalar::Number(number) => number.to_string(),
            Scalar::Text(text) => shorten(text),
            Scalar::List(_) => "[...]".to_string(),
            Scalar::Object(_) => "{...}".to_string(),
        }
    }
}

pub(super) fn shorten(text: &str) -> String {
    text.chars().take(MAX_SHOWN).collect()
}

/// A field's name with what the line says for it.
#[derive(Clone, Copy)]
pub(super) struct Value<'r> {
    pub field: &'static str,
    pub scalar: &'r Scalar<'r>,
}

impl<'r> Value<'r> {
    pub fn missing(self) -> RejectReason {
        RejectReason::MissingField { field: self.field }
    }

    pub fn bad(self, expected: &'static str) -> RejectReason {
        RejectReason::BadField { field: self.field, value: self.scalar.shown(), expected }
    }

    /// What an object says for the last part of `path` (which is for messages); missing, if this is no object.
    pub fn member(self, path: &'static str) -> Value<'r> {
        let key = path.rsplit('.').next().unwrap_or(path);
        let found = match self.scalar {
            Scalar::Object(members) => members.iter().rev().find(|(name, _)| name == key).map(|(_, scalar)| scalar),
            _ => None,
        };
        Value { field: path, scalar: found.unwrap_or(&Scalar::Missing) }
    }

    /// The items of a list; none, if this is no list.
    pub fn items(self) -> impl Iterator<Item = Value<'r>> {
        let items = match self.scalar {
            Scalar::List(items) => items.as_slice(),
            _ => &[],
        };
        items.iter().map(move |scalar| Value { field: self.field, scalar })
    }

    pub fn is_missing(self) -> bool {
        *self.scalar == Scalar::Missing
    }

    /// `None` when missing or empty. Numbers are no text.
    pub fn text(self) -> Result<Option<&'r str>, RejectReason> {
        match self.scalar {
            Scalar::Missing => Ok(None),
            Scalar::Text(text) if text.is_empty() => Ok(None),
            Scalar::Text(text) if text.len() <= MAX_TEXT => Ok(Some(text)),
            Scalar::Text(_) => Err(self.bad("a text of at most 1024 bytes")),
            _ => Err(self.bad("a text")),
        }
    }

    pub fn short(self) -> Result<Option<SmolStr>, RejectReason> {
        Ok(self.text()?.map(SmolStr::new))
    }

    pub fn flag(self) -> Result<Option<bool>, RejectReason> {
        match self.scalar {
            Scalar::Missing => Ok(None),
            Scalar::Flag(flag) => Ok(Some(*flag)),
            _ => Err(self.bad("true or false")),
        }
    }

    /// A finite number.
    pub fn number(self) -> Result<Option<f64>, RejectReason> {
        let number = match self.scalar {
            Scalar::Missing => return Ok(None),
            Scalar::Count(count) => *count as f64,
            Scalar::Number(number) => *number,
            Scalar::Text(text) => text.parse().unwrap_or(f64::NAN),
            _ => f64::NAN,
        };
        if number.is_finite() { Ok(Some(number)) } else { Err(self.bad("a finite number")) }
    }

    /// A whole number, not negative.
    pub fn count(self) -> Result<Option<u64>, RejectReason> {
        const EXPECTED: &str = "a whole number that is not negative";
        match self.scalar {
            Scalar::Missing => return Ok(None),
            Scalar::Count(count) => return Ok(Some(*count)),
            Scalar::Text(text) => {
                if let Ok(count) = text.parse() {
                    return Ok(Some(count));
                }
            }
            _ => {}
        }
        // `62.0`, as data frames write counts of columns with gaps.
        match self.number() {
            Ok(Some(number)) if number >= 0.0 && number.fract() == 0.0 && number < u64::MAX as f64 => {
                Ok(Some(number as u64))
            }
            _ => Err(self.bad(EXPECTED)),
        }
    }

    /// A count kept in 32 bits; what is beyond them is as good as the greatest.
    pub fn small_count(self) -> Result<Option<u32>, RejectReason> {
        Ok(self.count()?.map(|count| u32::try_from(count).unwrap_or(u32::MAX)))
    }

    pub fn port(self) -> Result<Option<u16>, RejectReason> {
        let Some(count) = self.count()? else {
            return Ok(None);
        };
        u16::try_from(count).map(Some).map_err(|_| self.bad("a port, 0 to 65535"))
    }

    pub fn ports(self) -> Result<Vec<u16>, RejectReason> {
        match self.scalar {
            Scalar::Missing => Ok(Vec::new()),
            Scalar::List(items) => {
                let mut ports = Vec::with_capacity(items.len());
                for scalar in items {
                    let item = Value { field: self.field, scalar };
                    ports.push(item.port()?.ok_or_else(|| self.bad("a list of ports, 0 to 65535"))?);
                }
                Ok(ports)
            }
            _ => Err(self.bad("a list of ports, 0 to 65535")),
        }
    }

    /// Seconds to microseconds: a duration, not negative, at most a year.
    pub fn duration(self) -> Result<Option<i64>, RejectReason> {
        const YEAR: f64 = 366.0 * 86_400.0;
        match self.number() {
            Ok(None) => Ok(None),
            Ok(Some(seconds)) if (0.0..=YEAR).contains(&seconds) => {
                Ok(Some((seconds * MICROS_PER_SECOND as f64).round() as i64))
            }
            _ => Err(self.bad("seconds, from 0 to a year")),
        }
    }

    /// Seconds since 1970, or a text as [`EventTime::parse`] takes it (or such seconds as text).
    pub fn time(self) -> Result<EventTime, RejectReason> {
        const EXPECTED: &str = "seconds since 1970, or a time such as 2026-01-01T00:00:00Z";
        let time = match self.scalar {
            Scalar::Missing => return Err(self.missing()),
            Scalar::Count(seconds) => EventTime::from_seconds(*seconds as f64),
            Scalar::Number(seconds) => EventTime::from_seconds(*seconds),
            Scalar::Text(text) => match text.parse() {
                Ok(seconds) => EventTime::from_seconds(seconds),
                Err(_) => EventTime::parse(text),
            },
            _ => None,
        };
        time.ok_or_else(|| self.bad(EXPECTED))
    }

    /// [`Value::time`], or `otherwise` where the record has none.
    pub fn time_or(self, otherwise: Option<EventTime>) -> Result<EventTime, RejectReason> {
        match otherwise {
            Some(time) if self.is_missing() => Ok(time),
            _ => self.time(),
        }
    }

    /// Time since 1970 in whatever unit its size tells (up to the year 5138 for seconds, from 1973 on for all else), or
    /// a text as [`EventTime::parse`] takes it (or such a number as text).
    pub fn instant(self) -> Result<Option<EventTime>, RejectReason> {
        let time = match self.scalar {
            Scalar::Missing => return Ok(None),
            Scalar::Count(count) => Some(since_1970(*count)),
            Scalar::Number(number) => since_1970_with_fraction(*number),
            Scalar::Text(text) => match text.parse() {
                Ok(number) => since_1970_with_fraction(number),
                Err(_) => EventTime::parse(text),
            },
            _ => None,
        };
        time.map(Some).ok_or_else(|| self.bad("a time such as 2026-01-01T00:00:00Z, or time since 1970"))
    }

    /// [`Value::instant`], or `otherwise` where the record has none.
    pub fn instant_or(self, otherwise: Option<EventTime>) -> Result<EventTime, RejectReason> {
        self.instant()?.or(otherwise).ok_or_else(|| self.missing())
    }

    /// IPv4 mapped into IPv6 becomes IPv4 again; a zone (`fe80::1%eth0`) is dropped: both name the same host.
    pub fn ip(self) -> Result<Option<IpAddr>, RejectReason> {
        const EXPECTED: &str = "an IPv4 or IPv6 address";
        let Some(text) = self.text()? else {
            return Ok(None);
        };
        let without_zone = || text.split('%').next().unwrap_or(text).parse::<IpAddr>();
        match text.parse::<IpAddr>().or_else(|_| without_zone()) {
            Ok(ip) => Ok(Some(ip.to_canonical())),
            Err(_) => Err(self.bad(EXPECTED)),
        }
    }

    pub fn mac(self) -> Result<Option<Mac>, RejectReason> {
        let Some(text) = self.text()? else {
            return Ok(None);
        };
        text.parse().map(Some).map_err(|_| self.bad("a MAC address such as aa:bb:cc:dd:ee:ff"))
    }

    /// ISO 3166-1 alpha-2, in capitals.
    pub fn country(self) -> Result<Option<[u8; 2]>, RejectReason> {
        let Some(text) = self.text()? else {
            return Ok(None);
        };
        match text.as_bytes() {
            [a, b] if a.is_ascii_alphabetic() && b.is_ascii_alphabetic() => {
                Ok(Some([a.to_ascii_uppercase(), b.to_ascii_uppercase()]))
            }
            _ => Err(self.bad("a country of two letters (ISO 3166-1)")),
        }
    }

    /// A DNS name in lower case without its last dot; an address in its place is no name.
    pub fn host(self) -> Result<Option<SmolStr>, RejectReason> {
        let Some(text) = self.text()? else {
            return Ok(None);
        };
        let name = text.trim_end_matches('.');
        if name.is_empty() || name.parse::<IpAddr>().is_ok() {
            return Ok(None);
        }
        Ok(Some(lower(name)))
    }

    /// The label of a data set. What is neither benign nor unlabelled background is malicious.
    pub fn malicious(self) -> Result<bool, RejectReason> {
        let Some(text) = self.text()? else {
            return Ok(false);
        };
        const HARMLESS: [&str; 5] = ["benign", "-", "(empty)", "background", "normal"];
        Ok(!HARMLESS.iter().any(|harmless| text.eq_ignore_ascii_case(harmless)))
    }
}

/// From this number on it is milliseconds, a thousand times as much on it is microseconds, and so on.
const FIRST_MILLISECONDS: u64 = 100_000_000_000;

fn since_1970(count: u64) -> EventTime {
    let micros = match count {
        0..FIRST_MILLISECONDS => count * 1_000_000,
        FIRST_MILLISECONDS..100_000_000_000_000 => count * 1_000,
        100_000_000_000_000..100_000_000_000_000_000 => count,
        _ => count / 1_000,
    };
    EventTime(micros as i64)
}

fn since_1970_with_fraction(number: f64) -> Option<EventTime> {
    if number < FIRST_MILLISECONDS as f64 {
        return EventTime::from_seconds(number);
    }
    (number < u64::MAX as f64).then(|| since_1970(number as u64))
}

/// Lower case without allocating when it already is.
pub(super) fn lower(text: &str) -> SmolStr {
    if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return SmolStr::from(text.to_ascii_lowercase());
    }
    SmolStr::new(text)
}
