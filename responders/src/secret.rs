//! Secrets of the configuration: never written there, never shown.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::Error;

/// Where a secret is: `{ env = "NAME" }` or `{ file = "path" }`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Secret {
    Env(String),
    File(PathBuf),
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

        std::fs::write(&path, "\n").unwrap();
        assert!(secret.read().unwrap_err().to_string().contains("is empty"));
        let missing = Secret::Env("VEDETTE_NO_SUCH_VARIABLE".to_owned());
        assert!(missing.read().unwrap_err().to_string().contains("`VEDETTE_NO_SUCH_VARIABLE` is not set"));
    }
}
