//! One configuration file, composed of the rooms' own `Config` structs. Every key has a default; an unknown key is an
//! error that shows its line.

use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    pub ingest: ingest::Config,
    pub baseline: baseline::Config,
    pub detect: detect::Config,
    pub responders: responders::Config,
    pub store: store::Config,
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
        let config: Config = toml::from_str(&text)
            .map_err(|error| Misuse(format!("the configuration file `{}` is wrong:\n{error}", path.display())))?;
        config.check().map_err(|error| Misuse(format!("in `{}`: {error}", path.display())))?;
        Ok(config)
    }

    /// Ranges that the types cannot say, room by room.
    pub fn check(&self) -> anyhow::Result<()> {
        self.ingest.check()?;
        self.detect.check()?;
        self.responders.check()?;
        self.store.check()?;
        Ok(())
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
