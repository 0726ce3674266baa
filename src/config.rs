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
        self.baseline.check()?;
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

#[cfg(test)]
mod tests {
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
            ("responders", "cap_share", "2.0"),
            ("store", "memory_mib", "1"),
        ] {
            std::fs::write(&path, format!("[{section}]\n{key} = {value}\n")).unwrap();
            let message = Config::load(Some(&path)).unwrap_err().to_string();
            assert!(message.contains(key) && message.contains("vedette.toml"), "{message}");
            assert!(!message.contains("unknown field"), "{message}");
        }
    }

    #[test]
    fn the_documented_keys_are_all_there_are_and_their_values_the_defaults() {
        let page = include_str!("../docs/configuration.md");
        let block = page.split("```toml").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
        assert_eq!(toml::from_str::<Config>(block).unwrap(), Config::default());
        let keys = |table: toml::Table| -> Vec<String> {
            let of_section = |(section, keys): (String, toml::Value)| {
                let keys: Vec<String> = keys.as_table().unwrap().keys().map(|key| format!("{section}.{key}")).collect();
                keys
            };
            table.into_iter().flat_map(of_section).collect()
        };
        let all = toml::Table::try_from(Config::default()).unwrap();
        assert_eq!(keys(toml::from_str(block).unwrap()), keys(all));
    }
}
