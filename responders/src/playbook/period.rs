//! Lengths of time as people write them: `90s`, `15m`, `4h`, `2d`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

const UNITS: [(char, u32); 4] = [('d', 86_400), ('h', 3600), ('m', 60), ('s', 1)];
const MOST: u32 = 90 * 86_400;

/// Whole seconds, at least one and at most ninety days.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Period(u32);

impl Period {
    pub const SECOND: Period = Period(1);

    pub const fn minutes(minutes: u32) -> Period {
        Period(minutes * 60)
    }

    pub const fn hours(hours: u32) -> Period {
        Period(hours * 3600)
    }

    pub const fn days(days: u32) -> Period {
        Period(days * 86_400)
    }

    /// `None` beyond the bounds.
    pub fn from_seconds(seconds: u64) -> Option<Period> {
        u32::try_from(seconds).ok().filter(|seconds| (1..=MOST).contains(seconds)).map(Period)
    }

    pub fn seconds(self) -> u32 {
        self.0
    }
}

impl FromStr for Period {
    type Err = String;

    fn from_str(text: &str) -> Result<Period, String> {
        let period = Period::from_seconds(seconds(text)?);
        period.ok_or_else(|| format!("`{text}` is out of bounds, expected at least 1s and at most 90d"))
    }
}

/// Seconds in a text such as `4h`, of any length; what cannot be counted is as long as can be.
///
/// # Errors
/// It is no such text, in words.
pub fn seconds(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is no length of time, expected a whole number and s, m, h or d, such as `4h`");
    let mut characters = text.chars();
    let unit = characters.next_back().ok_or_else(wrong)?;
    let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
    let digits = characters.as_str();
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong());
    }
    Ok(digits.parse().unwrap_or(u64::MAX).saturating_mul(u64::from(*factor)))
}

impl TryFrom<String> for Period {
    type Error = String;

    fn try_from(text: String) -> Result<Period, String> {
        text.parse()
    }
}

impl From<Period> for String {
    fn from(period: Period) -> String {
        period.to_string()
    }
}

/// In the largest unit that says it exactly.
impl fmt::Display for Period {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, factor) = UNITS.into_iter().find(|(_, factor)| self.0.is_multiple_of(*factor)).unwrap_or(('s', 1));
        write!(out, "{}{unit}", self.0 / factor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_people_write_them() {
        for (text, seconds) in [("1s", 1), ("90s", 90), ("15m", 900), ("4h", 14_400), ("2d", 172_800), ("90d", MOST)] {
            let period: Period = text.parse().unwrap();
            assert_eq!((period.seconds(), period.to_string().as_str()), (seconds, text));
        }
        assert_eq!("120m".parse::<Period>().unwrap().to_string(), "2h");
        assert_eq!("24h".parse::<Period>(), "1d".parse());
    }

    #[test]
    fn what_is_no_period() {
        for text in ["", "4", "h", "-4h", "+4h", "4 h", "1.5h", "4w", "4H", "1h30m"] {
            let error = text.parse::<Period>().unwrap_err();
            assert!(error.contains(&format!("`{text}`")) && error.contains("`4h`"), "{error}");
        }
        for text in ["0s", "91d", "99999999999999999999d", "213503982334602d"] {
            assert!(text.parse::<Period>().unwrap_err().contains("out of bounds"), "{text}");
        }
    }
}
