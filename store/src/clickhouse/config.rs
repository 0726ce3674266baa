//! The section `[store.clickhouse]`: where the tables are, when they are not embedded.

use std::collections::BTreeMap;
use std::path::Path;

use fleet::Secret;
use fleet::secret::NoSecret;
use serde::{Deserialize, Serialize};

use crate::error::Error;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClickHouseConfig {
    /// `http://host:8123` or `https://host:8443`; empty: the embedded store.
    pub url: String,
    pub database: String,
    pub user: String,
    /// From a file or the environment; never here.
    pub password: Option<Secret>,
    /// Name of a cluster: tables are made replicated and distributed.
    pub cluster: String,
    /// Apply missing migrations when `vedette run` starts.
    pub migrate: bool,
    /// Rows of one insert. A repeated insert is known again only when it is cut alike: keep it below a million.
    pub insert_rows: usize,
    /// Seconds an answer may take.
    pub timeout_seconds: u32,
    /// Days of event time that rows are kept, by table, when the tables are made.
    pub keep_days: BTreeMap<String, u32>,
}

/// Tables with a time to live, and its default in days.
pub const KEPT_DAYS: [(&str, u32); 7] = [
    ("windows", 90),
    ("contacts", 90),
    ("evidence", 90),
    ("findings", 730),
    ("rejected", 30),
    ("rollups", 730),
    ("memory", 400),
];

/// A hundred years.
const MOST_DAYS: u32 = 36_500;

impl ClickHouseConfig {
    pub fn is_used(&self) -> bool {
        !self.url.is_empty()
    }

    pub fn database(&self) -> &str {
        if self.database.is_empty() { "vedette" } else { &self.database }
    }

    pub fn resolve(&mut self, folder: &Path) {
        if let Some(password) = &mut self.password {
            password.resolve(folder);
        }
    }

    /// # Errors
    /// What is missing, by name; never the value.
    pub fn password(&self) -> Result<Option<String>, Error> {
        let missing = |missing: NoSecret| Error::Config {
            setting: "clickhouse.password",
            value: missing.to_string(),
            expected: "a file that can be read, or an environment variable that is set",
        };
        self.password.as_ref().map(|secret| secret.read().map_err(missing)).transpose()
    }

    pub fn insert_rows(&self) -> usize {
        if self.insert_rows == 0 { 100_000 } else { self.insert_rows.min(900_000) }
    }

    pub fn timeout_seconds(&self) -> u64 {
        if self.timeout_seconds == 0 { 30 } else { u64::from(self.timeout_seconds) }
    }

    pub fn check(&self) -> Result<(), Error> {
        let bad = |setting, value: &str, expected| Err(Error::Config { setting, value: value.to_owned(), expected });
        let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if self.is_used() && !self.url.starts_with("http://") && !self.url.starts_with("https://") {
            return bad("clickhouse.url", &self.url, "a URL such as http://127.0.0.1:8123");
        }
        if !plain(&self.database) {
            return bad("clickhouse.database", &self.database, "letters, digits and _");
        }
        if !plain(&self.cluster) {
            return bad("clickhouse.cluster", &self.cluster, "letters, digits and _");
        }
        for (name, days) in &self.keep_days {
            if !KEPT_DAYS.iter().any(|(known, _)| known == name) {
                let known = "windows, contacts, evidence, findings, rejected, rollups, memory";
                return bad("clickhouse.keep_days", name, known);
            }
            // With 0 every row would go as it comes.
            if !(1..=MOST_DAYS).contains(days) {
                let given = format!("{name} = {days}");
                return bad("clickhouse.keep_days", &given, "1 to 36500 days, or nothing for the table's default");
            }
        }
        Ok(())
    }
}
