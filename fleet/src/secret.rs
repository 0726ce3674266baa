//! Secrets of the configuration: never written there, never shown.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use thiserror::Error;

/// What is said of one that is written into the configuration itself.
pub const NOT_HERE: &str =
    "a secret is not written here; say where it is, `{ env = \"NAME\" }` or `{ file = \"path\" }`";

/// There is none where one is expected: where, and why; never the value.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0}; a secret is expected there")]
pub struct NoSecret(String);

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
                Err(E::custom(NOT_HERE))
            }

            fn visit_bool<E: de::Error>(self, _: bool) -> Result<Secret, E> {
                Err(E::custom(NOT_HERE))
            }

            fn visit_i64<E: de::Error>(self, _: i64) -> Result<Secret, E> {
                Err(E::custom(NOT_HERE))
            }

            fn visit_u64<E: de::Error>(self, _: u64) -> Result<Secret, E> {
                Err(E::custom(NOT_HERE))
            }

            fn visit_f64<E: de::Error>(self, _: f64) -> Result<Secret, E> {
                Err(E::custom(NOT_HERE))
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, _: A) -> Result<Secret, A::Error> {
                Err(de::Error::custom(NOT_HERE))
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

    /// A newline at the end is cut; a key has many lines.
    ///
    /// # Errors
    /// The variable is not set, or the file cannot be read, or there is nothing in it.
    #[expect(clippy::disallowed_methods, reason = "it stands nowhere else, and is read when it is needed")]
    pub fn read(&self) -> Result<String, NoSecret> {
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
        let text = read.map_err(|problem| NoSecret(format!("{place} {problem}")))?;
        let secret = text.strip_suffix('\n').unwrap_or(&text);
        let secret = secret.strip_suffix('\r').unwrap_or(secret);
        if secret.is_empty() {
            return Err(NoSecret(format!("{place} is empty")));
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

    fn read(json: &str) -> Result<Secret, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a secret in a file")]
    fn a_file_is_read_without_its_last_newline_and_nothing_is_shown() {
        let path = std::env::temp_dir().join(format!("vedette-secret-{}", std::process::id()));
        let secret = Secret::File(path.clone());
        for (text, expected) in [("s3cr3t\n", Some("s3cr3t")), ("a\r\nb\r\n", Some("a\r\nb")), ("\n", None)] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(secret.read().ok().as_deref(), expected, "{text:?}");
        }
        assert!(secret.read().unwrap_err().to_string().contains("is empty; a secret is expected"));
        std::fs::remove_file(&path).unwrap();
        assert!(secret.read().unwrap_err().to_string().contains("cannot be read"));
        let missing = Secret::Env("VEDETTE_NO_SUCH_VARIABLE".to_owned());
        assert!(missing.read().unwrap_err().to_string().contains("`VEDETTE_NO_SUCH_VARIABLE` is not set"));
    }

    #[test]
    fn one_that_is_written_into_the_configuration_is_not_repeated() {
        let written = read("\"hunter2\"").unwrap_err();
        assert!(written.contains(NOT_HERE) && !written.contains("hunter2"), "{written}");
        for other in ["123456", "-1.5", "true", "[\"123456\"]"] {
            let written = read(other).unwrap_err();
            assert!(written.contains(NOT_HERE) && !written.contains("123456"), "{written}");
        }
        assert_eq!(read("{\"env\": \"A\"}"), Ok(Secret::Env("A".to_owned())));
        assert!(read("{\"envy\": \"A\"}").unwrap_err().contains("`envy`"));
    }
}
