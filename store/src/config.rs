//! The store's settings.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::clickhouse::ClickHouseConfig;
use crate::error::Error;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// zstd level of merged Parquet files, 1 to 22.
    pub compression_level: i32,
    /// Rows of a row group: what a query skips or reads as one.
    pub row_group_rows: usize,
    /// Committed files of a table from which a service merges them.
    pub merge_files: usize,
    /// Memory for sorting and grouping, in compactions and queries, MiB; sorts beyond it go to temporary files.
    pub memory_mib: usize,
    /// Folder of the embedded store of `vedette run`; a replay has its `--out`.
    pub path: PathBuf,
    /// Used instead of the embedded store when it has a `url`.
    pub clickhouse: ClickHouseConfig,
}

impl Config {
    /// Relative paths are relative to the configuration file.
    pub fn resolve(&mut self, folder: &Path) {
        self.path = folder.join(&self.path);
        self.clickhouse.resolve(folder);
    }
}

impl Default for Config {
    fn default() -> Config {
        Config {
            compression_level: 1,
            row_group_rows: 131_072,
            merge_files: 512,
            memory_mib: 1_024,
            path: PathBuf::from("vedette-data"),
            clickhouse: ClickHouseConfig::default(),
        }
    }
}

impl Config {
    /// # Errors
    /// Names the setting that is out of its range.
    pub fn check(&self) -> Result<(), Error> {
        let bad = |setting: &'static str, value: String, expected: &'static str| {
            Err(Error::Config { setting, value, expected })
        };
        if !(1..=22).contains(&self.compression_level) {
            return bad("compression_level", self.compression_level.to_string(), "1 to 22");
        }
        if self.row_group_rows == 0 {
            return bad("row_group_rows", "0".to_owned(), "at least 1");
        }
        if self.merge_files < 2 {
            return bad("merge_files", self.merge_files.to_string(), "at least 2");
        }
        if self.memory_mib < 64 {
            return bad("memory_mib", self.memory_mib.to_string(), "at least 64");
        }
        self.clickhouse.check()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_out_of_range_is_named() {
        assert!(Config::default().check().is_ok());
        let error = Config { compression_level: 23, ..Config::default() }.check().unwrap_err();
        assert_eq!(error.to_string(), "setting `compression_level` is `23`, expected 1 to 22");
        assert!(serde_json::from_str::<Config>(r#"{"row_group_row": 1}"#).is_err());
    }

    #[test]
    fn days_that_would_keep_nothing_are_named() {
        let keeping = |table: &str, days: u32| {
            let keep_days = [(table.to_owned(), days)].into();
            Config { clickhouse: ClickHouseConfig { keep_days, ..ClickHouseConfig::default() }, ..Config::default() }
        };
        for days in [1, 36_500] {
            assert!(keeping("windows", days).check().is_ok(), "{days}");
        }
        for (table, days, named) in [
            ("windows", 0, "`windows = 0`, expected 1 to 36500 days"),
            ("memory", 36_501, "`memory = 36501`, expected 1 to 36500 days"),
            ("actions", 7, "`actions`, expected windows, contacts, "),
        ] {
            let message = keeping(table, days).check().unwrap_err().to_string();
            assert!(message.starts_with("setting `clickhouse.keep_days` is ") && message.contains(named), "{message}");
        }
    }
}
