//! How the ingest room reads and windows; the section `[ingest]` of a configuration file.

use serde::{Deserialize, Serialize};

use crate::error::Error;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Width of the tumbling windows, in seconds of event time. Divides a day.
    pub window_seconds: u32,
    /// How far records of one source may be out of order, in seconds of event time; later ones count as late.
    pub lateness_seconds: u32,
    /// A reading dated later than its file's modification time plus this is rejected: one clock in 2099 must not
    /// close every window.
    pub max_ahead_seconds: u64,
    /// Share of rejected lines, 0 to 1, above which a run fails.
    pub max_rejected_share: f64,
    /// A longer line is rejected and skipped.
    pub max_line_bytes: usize,
    /// Window ends that may be open at once in a lane; beyond it the slowest source is no longer waited for.
    pub max_open_windows: usize,
    /// Devices of a run, unknown ones included; readings of further ones are counted and dropped.
    pub max_devices: usize,
    /// Devices of one cohort; a larger type is cut into shards.
    pub cohort_size: usize,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            window_seconds: 60,
            lateness_seconds: 70,
            max_ahead_seconds: 86_400,
            max_rejected_share: 0.05,
            max_line_bytes: 1 << 20,
            max_open_windows: 1_440,
            max_devices: 4_000_000,
            cohort_size: 4_096,
        }
    }
}

impl Config {
    /// What serde cannot say: ranges, and what divides what.
    pub fn check(&self) -> Result<(), Error> {
        let wrong = |field, value: String, expected| Err(Error::Config { field, value, expected });
        if self.window_seconds == 0 || 86_400 % self.window_seconds != 0 {
            return wrong("window_seconds", self.window_seconds.to_string(), "a divisor of a day, such as 60 or 300");
        }
        if !(0.0..=1.0).contains(&self.max_rejected_share) {
            return wrong("max_rejected_share", self.max_rejected_share.to_string(), "a share between 0 and 1");
        }
        if self.max_line_bytes < 1_024 {
            return wrong("max_line_bytes", self.max_line_bytes.to_string(), "at least 1024");
        }
        for (field, value) in [
            ("max_open_windows", self.max_open_windows),
            ("max_devices", self.max_devices),
            ("cohort_size", self.cohort_size),
        ] {
            if value == 0 {
                return wrong(field, value.to_string(), "at least 1");
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_pass_and_nonsense_is_named() {
        assert!(Config::default().check().is_ok());
        let message = Config { window_seconds: 7, ..Config::default() }.check().unwrap_err().to_string();
        assert!(message.contains("`window_seconds`") && message.contains("`7`"), "{message}");
        let message = Config { max_rejected_share: f64::NAN, ..Config::default() }.check().unwrap_err().to_string();
        assert!(message.contains("`max_rejected_share`"), "{message}");
    }
}
