//! Secrets of the configuration: never written there, never shown.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::error::Error;

/// Where a secret is: `{ env = "NAME" }` or `{ file = "path" }`.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Secret {
    Env(String),
    File(PathBuf),
}

/// A secret that is written into the configuration itself is refused without being shown.
impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(value: D) -> Result<Secret, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "snake_case", deny_unknown_fields)]
        enum Place {
            Env(String),
            File(PathBuf),
        }

        struct Places;
        impl<'de> Visitor<'de> for Places {
            type Value = Secret;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("where the secret is, `{ env = \"NAME\" }` or `{ file = \"path\" }`")
            }

            fn visit_str<E: de::Error>(self, _: &str) -> Result<Secret, E> {
                let problem =
                    "a secret is not written here; say where it is, `{ env = \"NAME\" }` or `{ file = \"path\" }`";
                Err(E::custom(problem))
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Secret, A::Error> {
                Ok(match Place::deserialize(de::value::MapAccessDeserializer::new(map))? {
                    Place::Env(name) => Secret::Env(name),
                    Place::File(path) => Secret::File(path),
                })
            }
        }
        value.deserialize_any(Places)
    }
}

impl Secret {
    /// A file is relative to the configuration's folder.
    pub fn resolve(&mut self, folder: &Path) {
        if let Secret::File(path) = self {
            *path = folder.join(&*path);
        }
    }

    /// A newline at the end is cut.
    ///
    /// # Errors
    /// The variable is not set, or the file cannot be read, or there is nothing in it.
    pub fn read(&self) -> Result<String, Error> {
        let (read, place) = match self {
            Secret::Env(name) => (
                std::env::var(name).map_err(|error| match error {
                    std::env::VarError::NotPresent => "is not set".to_owned(),
                    std::env::VarError::NotUnicode(_) => "is not UTF-8".to_owned(),
                }),
                format!("the environment variable `{name}`"),
            ),
            Secret::File(path) => (
                std::fs::read_to_string(path).map_err(|error| format!("cannot be read: {error}")),
                format!("the file `{}`", path.display()),
            ),
        };
        let text = read.map_err(|problem| Error::Wrong(format!("{place} {problem}; a secret is expected there")))?;
        let secret = text.strip_suffix('\n').unwrap_or(&text);
        let secret = secret.strip_suffix('\r').unwrap_or(secret);
        if secret.is_empty() {
            return Err(Error::Wrong(format!("{place} is empty; a secret is expected there")));
        }
        Ok(secret.to_owned())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Secret::Env(name) => write!(out, "env `{name}`"),
            Secret::File(path) => write!(out, "file `{}`", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_without_its_newline_and_nothing_is_shown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        std::fs::write(&path, "s3cr3t\n").unwrap();
        let secret = Secret::File(path.clone());
        assert_eq!(secret.read().unwrap(), "s3cr3t");
        assert!(!format!("{secret:?}").contains("s3cr3t"));

        #[derive(Debug, Deserialize)]
        struct Login {
            #[expect(dead_code, reason = "it is not read")]
            password: Secret,
        }
        let written = toml::from_str::<Login>("password = \"hunter2\"").unwrap_err();
        assert!(
            written.message().contains("{ env = \"NAME\" }") && !written.message().contains("hunter2"),
            "{written}"
        );
        assert!(toml::from_str::<Login>("password = { env = \"A\" }").is_ok());
        assert!(toml::from_str::<Login>("password = { envy = \"A\" }").unwrap_err().message().contains("`envy`"));

        std::fs::write(&path, "\n").unwrap();
        assert!(secret.read().unwrap_err().to_string().contains("is empty"));
        let missing = Secret::Env("VEDETTE_NO_SUCH_VARIABLE".to_owned());
        assert!(missing.read().unwrap_err().to_string().contains("`VEDETTE_NO_SUCH_VARIABLE` is not set"));
    }
}
