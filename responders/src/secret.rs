//! Secrets of the configuration: never written there, never shown.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::error::Error;

/// Where a secret is found: `{ env = "NAME" }` or `{ file = "path" }`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Secret {
    Env(String),
    File(PathBuf),
}

impl Secret {
    /// The secret itself, without the newline at its end.
    ///
    /// # Errors
    /// The variable is not set, or the file cannot be read. The error names which, never the content.
    pub fn read(&self) -> Result<String, Error> {
        let read = match self {
            Secret::Env(name) => std::env::var(name)
                .map_err(|_| Error::Wrong(format!("environment variable `{name}` is not set, expected a secret")))?,
            Secret::File(path) => std::fs::read_to_string(path)
                .map_err(|error| Error::Wrong(format!("secret file `{}` cannot be read: {error}", path.display())))?,
        };
        Ok(read.trim_end_matches(['\r', '\n']).to_owned())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Secret::Env(name) => write!(out, "environment variable `{name}`"),
            Secret::File(path) => write!(out, "file `{}`", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_read_and_never_shown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, "hush\r\n").unwrap();
        let secret = Secret::File(path);
        assert_eq!(secret.read().unwrap(), "hush");
        assert!(!format!("{secret:?}").contains("hush"));
        let error = Secret::Env("VEDETTE_TEST_NOT_SET".to_owned()).read().unwrap_err();
        assert!(error.to_string().contains("`VEDETTE_TEST_NOT_SET`"), "{error}");
    }
}
