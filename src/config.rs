//! One configuration file, composed of the rooms' own `Config` structs. Every key has a default; an unknown key is an
//! error that shows its line.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use fleet::EventTime;
use responders::api::ApiConfig;
use responders::gateways::config::GatewayConfig;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use smol_str::SmolStr;

use crate::telemetry::TelemetryConfig;
use crate::trainer::TrainerConfig;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where it was read.
    #[serde(skip)]
    pub file: Option<PathBuf>,
    pub ingest: ingest::Config,
    pub baseline: baseline::Config,
    pub detect: detect::Config,
    pub responders: responders::Config,
    /// Who can keep devices from the network, by name.
    pub gateways: BTreeMap<SmolStr, GatewayConfig>,
    /// The HTTP API of `vedette run`; nobody listens without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api: Option<ApiConfig>,
    pub store: store::Config,
    pub source: ingest::SourceConfig,
    pub run: RunConfig,
    pub trainer: TrainerConfig,
    pub telemetry: TelemetryConfig,
}

/// How `vedette run` runs; the section `[run]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RunConfig {
    /// Nothing is judged in windows that end at or before this time: history that is only learned from.
    #[serde(deserialize_with = "time")]
    pub judge_from: Option<EventTime>,
    /// How often what lanes remember is stored, in seconds: what is read again after a crash.
    pub memory_seconds: u32,
    /// Where `/metrics`, `/healthz` and `/readyz` answer; nobody else should reach it.
    pub admin: String,
    /// `/readyz` says no while a lane is this far behind, in seconds.
    pub ready_lag_seconds: u32,
}

impl Default for RunConfig {
    fn default() -> RunConfig {
        RunConfig { judge_from: None, memory_seconds: 60, admin: "127.0.0.1:9464".to_owned(), ready_lag_seconds: 300 }
    }
}

impl Config {
    /// The defaults when no file is named.
    pub fn load(path: Option<&Path>) -> anyhow::Result<Config> {
        let Some(path) = path else {
            return Ok(Config::default());
        };
        let text = std::fs::read_to_string(path).map_err(|error| {
            Misuse(format!("the configuration file `{}` cannot be read: {error}; check `--config`", path.display()))
        })?;
        Config::parse(&text, path)
    }

    /// What the file at this path says, or said.
    ///
    /// # Errors
    /// It is wrong, and where.
    pub fn parse(text: &str, path: &Path) -> anyhow::Result<Config> {
        let mut config: Config = toml::from_str(text).map_err(|error| {
            Misuse(format!("the configuration file `{}` is wrong:\n{}", path.display(), shown(&error, text)))
        })?;
        let folder = path.parent().unwrap_or(Path::new(""));
        config.file = Some(path.to_owned());
        config.detect.probation_seconds = config.responders.probation_seconds;
        config.source.resolve(folder);
        config.store.resolve(folder);
        config.responders.resolve(folder);
        config.gateways.values_mut().for_each(|gateway| gateway.resolve(folder));
        if let Some(api) = &mut config.api {
            api.resolve(folder);
        }
        config.check().map_err(|error| Misuse(format!("in `{}`: {error}", path.display())))?;
        Ok(config)
    }

    /// Ranges that the types cannot say, room by room.
    pub fn check(&self) -> anyhow::Result<()> {
        self.ingest.check()?;
        self.baseline.check()?;
        self.detect.check()?;
        self.responders.check()?;
        self.api.as_ref().map_or(Ok(()), ApiConfig::check)?;
        self.store.check()?;
        self.source.check()?;
        crate::respond::gateways::check_topics(self)?;
        self.telemetry.check()?;
        self.trainer.check()
    }
}

/// An excerpt would show a secret to whoever reads the log: one that is written there, or that may stand in what is no TOML.
fn shown(error: &toml::de::Error, text: &str) -> String {
    let may_show = !error.message().contains(fleet::secret::NOT_HERE) && text.parse::<toml::Table>().is_ok();
    match error.span().filter(|_| !may_show) {
        Some(span) => format!("line {}: {}\n", text[..span.start].lines().count().max(1), error.message()),
        None => error.to_string(),
    }
}

/// As people write a time, or microseconds since 1970.
fn time<'de, D: Deserializer<'de>>(input: D) -> Result<Option<EventTime>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Text(String),
        Micros(i64),
    }
    match Written::deserialize(input)? {
        Written::Micros(micros) => Ok(Some(EventTime(micros))),
        Written::Text(text) => match EventTime::parse(&text) {
            Some(time) => Ok(Some(time)),
            None => Err(D::Error::custom(format!("`{text}` is no time, expected one such as 2026-01-31T12:00:00Z"))),
        },
    }
}

/// The user asked for something that cannot be: exit code 2.
#[derive(Debug)]
pub struct Misuse(pub String);

impl fmt::Display for Misuse {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl std::error::Error for Misuse {}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_value_out_of_range_is_named_before_anything_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vedette.toml");
        for (section, key, value) in [
            ("baseline", "rare_share", "-1.0"),
            ("baseline", "sample_rows", "0"),
            ("baseline", "device_prior_windows", "nan"),
            ("detect", "trees", "0"),
            ("detect", "sample_size", "1"),
            ("detect", "forest_components", "100"),
            ("detect", "max_episodes_per_device", "0"),
            ("responders.caps", "type_share", "2.0"),
            ("store", "memory_mib", "1"),
            ("store", "merge_files", "1"),
            ("store.clickhouse", "keep_days", "{ windows = 0 }"),
            ("telemetry", "sample_ratio", "1.5"),
            ("trainer", "hold_back_factor", "0.5"),
            ("trainer", "learn_days", "0"),
        ] {
            std::fs::write(&path, format!("[{section}]\n{key} = {value}\n")).unwrap();
            let message = Config::load(Some(&path)).unwrap_err().to_string();
            assert!(message.contains(key) && message.contains("vedette.toml"), "{message}");
            assert!(!message.contains("unknown field"), "{message}");
        }
    }

    #[test]
    fn a_secret_in_the_wrong_place_is_not_shown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.toml");
        for text in [
            "[store.clickhouse]\npassword = \"hunter2\"",
            "[source.kafka.secrets]\n\"sasl.password\" = \"hunter2\"",
            "[gateways.a]\nkind = \"mosquitto\"\nurl = \"mqtts://a\"\nusername = \"a\"\npassword = \"hunter2\"",
        ] {
            std::fs::write(&path, text).unwrap();
            let problem = Config::load(Some(&path)).unwrap_err().to_string();
            assert!(problem.contains("a secret is not written here") && !problem.contains("hunter2"), "{problem}");
        }
        std::fs::write(&path, "[store.clickhouse]\npassword = hunter2").unwrap();
        let problem = Config::load(Some(&path)).unwrap_err().to_string();
        assert!(problem.contains("line 2: ") && !problem.contains("hunter2"), "{problem}");
    }

    #[test]
    fn by_default_nobody_else_can_ask_the_service() {
        let admin: std::net::SocketAddr = RunConfig::default().admin.parse().unwrap();
        assert!(admin.ip().is_loopback());
    }

    #[test]
    fn the_documented_keys_are_all_there_are_and_their_values_the_defaults() {
        let page = include_str!("../docs/configuration.md");
        let block = page.split("```toml").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
        assert_eq!(toml::from_str::<Config>(block).unwrap(), Config::default());
        let all = toml::Table::try_from(Config::default()).unwrap();
        assert_eq!(keys(toml::from_str(block).unwrap()), keys(all));
    }

    /// With those of the tables within, such as `source.kafka.brokers`.
    fn keys(table: toml::Table) -> BTreeSet<String> {
        let mut all = BTreeSet::new();
        for (key, value) in table {
            if let toml::Value::Table(within) = value {
                all.extend(keys(within).into_iter().map(|inner| format!("{key}.{inner}")));
            }
            all.insert(key);
        }
        all
    }
}
