//! Secrets of the configuration: never written there, never shown.

use std::fmt;
use std::path::PathBuf;

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
    /// The secret itself, without the line's end that editors leave.
    ///
    /// # Errors
    /// It is not there, is empty or is no text; says where it was looked for, and never what was found.
    pub fn read(&self) -> Result<String, Error> {
        let secret = match self {
            Secret::Env(name) => std::env::var(name).map_err(|_| {
                Error::Wrong(format!("the environment has no text `{name}`; a secret was expected in it"))
            })?,
            Secret::File(path) => std::fs::read_to_string(path).map_err(|error| {
                Error::Wrong(format!("the secret's file `{}` cannot be read: {error}", path.display()))
            })?,
        };
        let secret = secret.trim_end_matches(['\r', '\n']);
        if secret.is_empty() {
            return Err(Error::Wrong(format!("{self:?} is empty, expected a secret")));
        }
        Ok(secret.to_owned())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Secret::Env(name) => write!(out, "the secret of the environment's `{name}`"),
            Secret::File(path) => write!(out, "the secret in `{}`", path.display()),
        }
    }
}
