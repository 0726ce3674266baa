//! What a product's file says, and whether it can be right: everything in it is checked before anything is sent.

mod check;

use std::collections::BTreeMap;

use fleet::Level;
use serde::Deserialize;

use super::template::Text;
use crate::error::Error;
use crate::gateways::{Key, Repeat, Witness};

/// A product file. `docs/gateways.md` tells users what each field means.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Product {
    /// What configurations choose it by.
    pub name: String,
    pub title: String,
    pub vendor: String,
    /// How far it was checked against the vendor's own documents, in plain words.
    pub checked: String,
    /// What must be there before it works: an alias with its rule, a policy, a role.
    pub needs: String,
    /// At most so many requests are sent in a second.
    pub requests_per_second: f64,
    #[serde(default)]
    pub settings: BTreeMap<String, Setting>,
    #[serde(default)]
    pub secrets: BTreeMap<String, SecretNeed>,
    #[serde(default)]
    pub sign_in: SignIn,
    /// What an answer says of a failure, for people.
    pub message: Option<Text>,
    pub probe: Vec<Step>,
    pub abilities: Vec<ProductAbility>,
}

/// What differs from one installation to the next.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Setting {
    pub about: String,
    /// Without one, the installation has to say. Its type is what is expected.
    pub default: Option<toml::Value>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretNeed {
    pub about: String,
}

/// How each request shows who we are.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SignIn {
    /// Sent with each request.
    pub headers: BTreeMap<String, Text>,
    /// What is asked first; what these steps keep is `session`.
    pub login: Vec<Step>,
    /// Seconds a login is used for at most; without it, until it is refused.
    pub lasts: Option<u64>,
    /// Whether an answer says that the login is no longer good; without it, status 401 does.
    pub expired: Option<Text>,
}

/// One request, and how its answer is read.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// For logs and errors: what it does.
    pub name: String,
    /// Left out when this is not so.
    pub when: Option<Text>,
    /// Done once for each of these, as `item`.
    pub each: Option<Text>,
    pub method: Method,
    pub path: Text,
    #[serde(default)]
    pub headers: BTreeMap<String, Text>,
    /// JSON.
    pub body: Option<Text>,
    /// `application/x-www-form-urlencoded`.
    pub form: Option<Text>,
    /// Changes nothing, though the method says otherwise.
    #[serde(default)]
    pub reads: bool,
    /// What success looks like, in status and body; without it, a status from 200 to 299.
    pub expect: Option<Text>,
    /// It was so before: as good as success.
    pub already: Option<Text>,
    /// It asks for patience.
    pub busy: Option<Text>,
    /// Somebody else changed it meanwhile.
    pub conflict: Option<Text>,
    /// What later steps need of the answer, as `kept`.
    #[serde(default)]
    pub keep: BTreeMap<String, Text>,
    /// Asked again until this is so.
    pub until: Option<Text>,
    /// Milliseconds between two questions.
    #[serde(default = "every_default")]
    pub every: u64,
    /// Questions, until it is given up.
    #[serde(default = "at_most_default")]
    pub at_most: u32,
}

fn every_default() -> u64 {
    500
}

fn at_most_default() -> u32 {
    20
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    Get,
    Post,
    Put,
    Patch,
    Delete,
}

/// One level, and how it is set, looked at and taken back.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProductAbility {
    pub level: Level,
    pub keys: Vec<Key>,
    pub cuts_sessions: bool,
    pub ends_by_itself: bool,
    pub can_be_undone: bool,
    /// Left out: messages where `keys` has a name that brokers know, else traffic.
    #[serde(default)]
    pub witness: Option<Witness>,
    pub repeat: Repeat,
    /// Whether ours can stand beside somebody else's. Where it cannot, theirs is left and ours not set.
    #[serde(default)]
    pub beside_others: bool,
    /// Steps that change nothing.
    pub look: Vec<Step>,
    /// What they found: `in_force`, `outdated` (ours, but not as ordered), `absent`, or `{"foreign": by whom}`.
    pub found: Text,
    pub apply: Vec<Step>,
    /// What undo and reading back need to know later. Written to the journal.
    pub receipt: Option<Text>,
    #[serde(default)]
    pub undo: Vec<Step>,
}

impl Product {
    /// # Errors
    /// What cannot be right, with its line: no TOML, an unknown field, a template that is none or names what is not there.
    pub fn parse(file: &str, source: &str) -> Result<Product, Error> {
        let product: Product = toml::from_str(source).map_err(|error| Error::Wrong(format!("`{file}`: {error}")))?;
        check::check(&product).map_err(|wrong| Error::Wrong(wrong.shown(file, source)))?;
        Ok(product)
    }
}

impl Step {
    /// Whether it changes nothing.
    pub fn is_reading(&self) -> bool {
        self.reads || self.method == Method::Get
    }
}

impl Method {
    pub fn name(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Patch => "PATCH",
            Method::Delete => "DELETE",
        }
    }
}

#[cfg(test)]
mod tests;
