//! Chats and tickets: a body by a template, and an expression that says what success looks like. A product is a TOML file;
//! those that are shipped are in `responders/tell/`.
//!
//! What devices call themselves ends up in these bodies: templates write values with `tojson`, and `plain` takes from them
//! what a chat would take for a mention or a link.

use std::collections::BTreeMap;

use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior, Value, context};
use serde::Deserialize;

use super::config::TemplatedConfig;
use super::http::Receiver;
use super::outgoing::{Outgoing, Sink};
use crate::error::Error;
use crate::gateways::Failure;

const SHIPPED: [(&str, &str); 6] = [
    ("slack", include_str!("../../tell/slack.toml")),
    ("mattermost", include_str!("../../tell/mattermost.toml")),
    ("teams", include_str!("../../tell/teams.toml")),
    ("ticket", include_str!("../../tell/ticket.toml")),
    ("jira", include_str!("../../tell/jira.toml")),
    ("servicenow", include_str!("../../tell/servicenow.toml")),
];

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Template {
    /// Which product, and how far it was checked against its documents.
    pub about: String,
    #[serde(default = "Template::content_type")]
    pub content_type: String,
    /// minijinja over `message`, `params`, and `event` as text.
    pub body: String,
    /// minijinja expression over `status`, `body` and, where the answer is JSON, `json`.
    pub expect: String,
    /// Values of `params` that need not be given.
    #[serde(default)]
    pub params: BTreeMap<String, String>,
    /// Those that must.
    #[serde(default)]
    pub required: Vec<String>,
}

impl Template {
    fn content_type() -> String {
        "application/json".to_owned()
    }

    pub(super) fn is_shipped(name: &str) -> bool {
        SHIPPED.iter().any(|(shipped, _)| *shipped == name)
    }

    /// One that is shipped, by its name, or the file at a path.
    ///
    /// # Errors
    /// It is not there, or not as it has to be.
    pub fn load(name: &str) -> Result<Template, Error> {
        let shipped = SHIPPED.iter().find(|(shipped, _)| *shipped == name);
        let text = match shipped {
            Some((_, text)) => (*text).to_owned(),
            None => std::fs::read_to_string(name).map_err(|error| {
                let names: Vec<&str> = SHIPPED.iter().map(|(name, _)| *name).collect();
                Error::Wrong(format!("template `{name}` is none of {}, and no file: {error}", names.join(", ")))
            })?,
        };
        toml::from_str(&text).map_err(|error| Error::Wrong(format!("template `{name}`: {error}")))
    }

    /// What is wrong with it or with the values it is given, for a person.
    pub(super) fn check(&self, given: &BTreeMap<String, String>) -> Result<(), String> {
        let environment = environment();
        environment.template_from_str(&self.body).map_err(|error| format!("body: {error}"))?;
        environment.compile_expression(&self.expect).map_err(|error| format!("expect: {error}"))?;
        if let Some(missing) = self.required.iter().find(|name| !given.contains_key(*name)) {
            return Err(format!("params.{missing} is missing; the template needs {}", self.required.join(", ")));
        }
        let known = |name: &String| self.params.contains_key(name) || self.required.contains(name);
        match given.keys().find(|name| !known(name)) {
            Some(unknown) => Err(format!("params.{unknown} is no value of the template")),
            None => Ok(()),
        }
    }

    /// # Errors
    /// Something in it is not there.
    pub fn render(&self, given: &BTreeMap<String, String>, message: &Outgoing) -> Result<String, Failure> {
        let mut params = self.params.clone();
        params.extend(given.clone());
        let values = context! {
            message => Value::from(Serde(message)),
            params => Value::from(Serde(&params)),
            event => message.event.to_string(),
        };
        environment()
            .render_str(&self.body, values)
            .map_err(|error| Failure::refused(format!("the template's body: {error}")))
    }

    /// Whether the answer is what success looks like; what cannot be said of it is not.
    pub fn is_success(&self, status: u16, body: &str) -> bool {
        let json: Option<serde_json::Value> = serde_json::from_str(body).ok();
        let answer = context! { status, body => body.trim(), json => Value::from(Serde(&json)) };
        let environment = environment();
        let expected = environment.compile_expression(&self.expect).and_then(|expression| expression.eval(answer));
        expected.is_ok_and(|value| value.is_true())
    }
}

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    environment.add_filter("plain", plain);
    environment
}

/// No control characters but the end of a line, and no `@` that calls anybody.
fn plain(text: &str) -> String {
    text.chars()
        .filter(|letter| *letter == '\n' || !letter.is_control())
        .flat_map(|letter| [Some(letter), (letter == '@').then_some('\u{200b}')])
        .flatten()
        .collect()
}

pub(super) struct Templated {
    receiver: Receiver,
    template: Template,
    params: BTreeMap<String, String>,
}

impl Templated {
    pub fn new(config: &TemplatedConfig) -> Result<Templated, Error> {
        let template = Template::load(&config.template)?;
        template
            .check(&config.params)
            .map_err(|what| Error::Wrong(format!("responders.tell `{}`: {what}", config.name)))?;
        let (authorization, limit) = (config.authorization.as_ref(), config.limit_seconds);
        let receiver = Receiver::new(&config.name, &config.url, authorization, &config.tls, limit)?;
        Ok(Templated { receiver, template, params: config.params.clone() })
    }
}

impl Sink for Templated {
    fn send(&mut self, message: &Outgoing) -> Result<(), Failure> {
        let body = self.template.render(&self.params, message)?;
        let request = self.receiver.post().header("Content-Type", &self.template.content_type).body(body);
        let answer = self.receiver.send(request)?;
        if self.template.is_success(answer.status, &String::from_utf8_lossy(&answer.body)) {
            return Ok(());
        }
        Err(answer.failure(&answer.text()))
    }
}
