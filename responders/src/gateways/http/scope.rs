//! What templates and conditions can name while a call is carried out.

use std::collections::BTreeMap;

use minijinja::Value;

use crate::gateways::{Failure, clock};

/// Names and their values. What is kept from answers comes on top.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    names: BTreeMap<String, Value>,
    kept: BTreeMap<String, Value>,
}

impl Scope {
    pub fn set(&mut self, name: &str, value: impl Into<Value>) {
        self.names.insert(name.to_owned(), value.into());
    }

    pub fn get(&self, name: &str) -> Option<&Value> {
        self.names.get(name)
    }

    pub fn keep(&mut self, name: &str, value: Value) {
        self.kept.insert(name.to_owned(), value);
    }

    pub fn kept(&self) -> &BTreeMap<String, Value> {
        &self.kept
    }

    /// As the template engine wants it.
    pub fn value(&self) -> Value {
        let mut names = self.names.clone();
        names.insert("kept".to_owned(), Value::from_pairs(self.kept.clone()));
        Value::from_pairs(names)
    }
}

/// What an expression came to, as JSON.
///
/// # Errors
/// It is nothing JSON can say, such as an undefined value inside a list.
pub fn as_json(value: &Value) -> Result<serde_json::Value, Failure> {
    if value.is_undefined() {
        return Ok(serde_json::Value::Null);
    }
    serde_json::to_value(value).map_err(|error| Failure::refused(format!("not to be kept: {error}")))
}

/// Seconds since 1970, by this machine's clock: a gateway's time-outs count from its own now, not from a record's.
pub fn now() -> i64 {
    i64::try_from(clock::unix_seconds()).unwrap_or(i64::MAX)
}
