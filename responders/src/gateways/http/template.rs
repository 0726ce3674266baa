//! Templates and conditions of product files.
//!
//! What fills a template is escaped by where it stands, and cannot be left unescaped: a device that calls itself
//! `a/../../banned` must not reach another resource than its own.

use std::collections::BTreeSet;

use minijinja::value::ValueKind;
use minijinja::{AutoEscape, Environment, Output, State, UndefinedBehavior, Value};
use serde::Deserialize;
use toml::Spanned;

use super::words;

/// A template or a condition, and where in the file it stands.
#[derive(Clone, Debug, Deserialize)]
#[serde(transparent)]
pub struct Text(pub Spanned<String>);

impl Text {
    pub fn source(&self) -> &str {
        self.0.get_ref()
    }
}

/// Where a template's values end up, and so how they are escaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Path and query: each value is one segment, percent-encoded; an empty one, `.` and `..` are errors.
    Path,
    /// A JSON body: each value is written as JSON, strings with their quotes.
    Json,
    /// `application/x-www-form-urlencoded`.
    Form,
    /// A header: as it is.
    Header,
}

impl Place {
    fn name(self) -> &'static str {
        match self {
            Place::Path => "path",
            Place::Json => "json",
            Place::Form => "form",
            Place::Header => "header",
        }
    }
}

/// The template engine: strict where something is sent, forgiving where an answer is looked at.
#[derive(Debug)]
pub struct Templates {
    strict: Environment<'static>,
    forgiving: Environment<'static>,
}

impl Default for Templates {
    fn default() -> Templates {
        let mut strict = Environment::new();
        strict.set_undefined_behavior(UndefinedBehavior::Strict);
        strict.set_auto_escape_callback(|place| match place {
            "json" => AutoEscape::Json,
            "path" => AutoEscape::Custom("segment".into()),
            "form" => AutoEscape::Custom("form".into()),
            _ => AutoEscape::None,
        });
        strict.set_formatter(written);
        words::add_to(&mut strict);
        let mut forgiving = Environment::new();
        forgiving.set_undefined_behavior(UndefinedBehavior::Chainable);
        words::add_to(&mut forgiving);
        Templates { strict, forgiving }
    }
}

impl Templates {
    /// # Errors
    /// A name that is not there, a value that may not stand there; in words.
    pub fn render(&self, place: Place, text: &Text, scope: &Value) -> Result<String, String> {
        let rendered = self.strict.render_named_str(place.name(), text.source(), scope.clone());
        rendered.map_err(|error| in_words(&error))
    }

    /// What an expression comes to; names that are not there are undefined.
    ///
    /// # Errors
    /// It cannot be worked out with these values; in words.
    pub fn evaluate(&self, text: &Text, scope: &Value) -> Result<Value, String> {
        let expression = self.forgiving.compile_expression(text.source()).map_err(|error| in_words(&error))?;
        expression.eval(scope.clone()).map_err(|error| in_words(&error))
    }

    /// Every name a template uses, as `setting.site`.
    ///
    /// # Errors
    /// It is no template.
    pub fn names_of_template(&self, place: Place, text: &Text) -> Result<BTreeSet<String>, String> {
        let template = self.strict.template_from_named_str(place.name(), text.source());
        let names = template.map_err(|error| in_words(&error))?.undeclared_variables(true);
        Ok(names.into_iter().collect())
    }

    /// Every name an expression uses.
    ///
    /// # Errors
    /// It is no expression.
    pub fn names_of_expression(&self, text: &Text) -> Result<BTreeSet<String>, String> {
        let expression = self.forgiving.compile_expression(text.source()).map_err(|error| in_words(&error))?;
        Ok(expression.undeclared_variables(true).into_iter().collect())
    }
}

fn in_words(error: &minijinja::Error) -> String {
    match error.detail() {
        Some(detail) => detail.to_owned(),
        None => error.kind().to_string(),
    }
}

fn refused(problem: String) -> minijinja::Error {
    minijinja::Error::new(minijinja::ErrorKind::InvalidOperation, problem)
}

/// What a value becomes in its place. Values that call themselves safe are escaped like all others.
fn written(out: &mut Output, state: &mut State, value: &Value) -> Result<(), minijinja::Error> {
    if value.is_undefined() {
        return Err(refused("a name in it has no value".to_owned()));
    }
    match state.auto_escape() {
        AutoEscape::Json => {
            let json = serde_json::to_string(value).map_err(|error| refused(error.to_string()))?;
            out.write_str(&json).map_err(minijinja::Error::from)
        }
        AutoEscape::Custom(place) if place == "segment" => {
            let segment = plain(value)?;
            segment_is_harmless(&segment)?;
            out.write_str(&words::segment(&segment)).map_err(minijinja::Error::from)
        }
        AutoEscape::Custom(_) => out.write_str(&words::percent_encoded(&plain(value)?)).map_err(minijinja::Error::from),
        _ => out.write_str(&plain(value)?).map_err(minijinja::Error::from),
    }
}

fn plain(value: &Value) -> Result<String, minijinja::Error> {
    match value.kind() {
        ValueKind::Bool => Ok(value.is_true().to_string()),
        ValueKind::String | ValueKind::Number => Ok(value.to_string()),
        kind => Err(refused(format!("`{kind}` stands where text is expected"))),
    }
}

/// Percent-encoding alone is not enough: servers and proxies exist that decode first and walk the path then.
fn segment_is_harmless(segment: &str) -> Result<(), minijinja::Error> {
    if segment.is_empty() {
        return Err(refused("a value in the path is empty: that would be another resource".to_owned()));
    }
    let climbs = segment.split(['/', '\\']).any(|part| part == "." || part == "..");
    if climbs || segment.chars().any(char::is_control) {
        let shown = segment.escape_debug();
        return Err(refused(format!("`{shown}` in the path could reach another resource; it is not sent")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use minijinja::context;

    use super::*;

    fn text(source: &str) -> Text {
        Text(Spanned::new(0..0, source.to_owned()))
    }

    fn path(name: &str) -> Result<String, String> {
        Templates::default().render(Place::Path, &text("/banned/clientid/{{ name }}"), &context! { name })
    }

    #[test]
    fn a_name_stays_in_its_segment() {
        assert_eq!(path("dev 1/é?x=1#%2f").unwrap(), "/banned/clientid/dev%201%2F%C3%A9%3Fx%3D1%23%252f");
        for hostile in ["", ".", "..", "a/../../banned", "a\\..\\b", "a\nb", "a\0"] {
            assert!(path(hostile).is_err(), "`{}`", hostile.escape_debug());
        }
        assert_eq!(path("..a").unwrap(), "/banned/clientid/..a");
    }

    #[test]
    fn nothing_calls_itself_safe() {
        let scope = context! { name => "a/b" };
        let rendered = Templates::default().render(Place::Path, &text("/{{ name|safe }}"), &scope);
        assert_eq!(rendered.unwrap(), "/a%2Fb");
        let rendered = Templates::default().render(Place::Json, &text("{{ name|safe }}"), &scope);
        assert_eq!(rendered.unwrap(), r#""a/b""#);
    }

    #[test]
    fn a_body_is_json_whatever_the_name() {
        let scope = context! { name => "\"},{\"as\":\"x\\", until => 5 };
        let rendered = Templates::default().render(Place::Json, &text(r#"{"who":{{ name }},"u":{{ until }}}"#), &scope);
        let body: serde_json::Value = serde_json::from_str(&rendered.unwrap()).unwrap();
        assert_eq!(body, serde_json::json!({"who": "\"},{\"as\":\"x\\", "u": 5}));
    }

    #[test]
    fn what_has_no_value_is_not_sent() {
        for place in [Place::Path, Place::Json, Place::Form, Place::Header] {
            let scope = context! { there => context! { a => 1 }, nothing => () };
            let templates = Templates::default();
            assert!(templates.render(place, &text("/{{ missing }}"), &scope).is_err(), "{place:?}");
            assert!(templates.render(place, &text("/{{ there.b }}"), &scope).is_err(), "{place:?}");
        }
        let scope = context! { nothing => () };
        assert!(Templates::default().render(Place::Path, &text("/{{ nothing }}"), &scope).is_err());
    }

    #[test]
    fn an_answer_may_lack_what_is_asked_for() {
        let scope = context! { answer => context! { body => "not json" } };
        let value = Templates::default().evaluate(&text("answer.body.meta.rc == 'ok'"), &scope);
        assert!(!value.unwrap().is_true());
    }
}
