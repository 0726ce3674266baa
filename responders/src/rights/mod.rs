//! Who may do what: tokens with a role, a name and an end.
//!
//! A token is `vdt_<id>_<secret>` and is shown once, when it is made. The file keeps its SHA-256 only. A slow hash would
//! add nothing: the secret is 32 random bytes, which nobody guesses, not a password somebody chose.
//!
//! * [`token`]: what a token is made of
//! * [`file`]: tokens at rest; making, listing and revoking them
//! * [`keyring`]: whose token this is, while the file changes
//! * [`failures`]: how often somebody may be wrong
//! * [`moment`]: instants as people write them

pub mod failures;
pub mod file;
pub mod keyring;
pub mod moment;
pub mod token;

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use keyring::{Denied, Keyring};
pub use moment::Moment;
pub use token::{TokenText, TokenView};

/// What a token allows. Each may do what those before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Looks.
    Viewer,
    /// Gives verdicts.
    Analyst,
    /// Approves, denies, releases, extends; stops everything.
    Responder,
    /// Sets modes, lets things go on after a stop, sees who has tokens.
    Administrator,
}

impl Role {
    pub const ALL: [Role; 4] = [Role::Viewer, Role::Analyst, Role::Responder, Role::Administrator];

    pub fn name(self) -> &'static str {
        match self {
            Role::Viewer => "viewer",
            Role::Analyst => "analyst",
            Role::Responder => "responder",
            Role::Administrator => "administrator",
        }
    }

    pub fn from_name(name: &str) -> Option<Role> {
        Role::ALL.into_iter().find(|role| role.name() == name)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(self.name())
    }
}
