//! Carries out steps: signs in, asks, and says what the answer means. Knows nothing of gateways, so that whatever else is
//! told by HTTP can be described the same way.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use minijinja::Value;
use minijinja::value::Serde;

use super::client::{Answer, Client, Request, left};
use super::product::{SignIn, Step};
use super::scope::{Scope, as_json, now};
use super::template::{Place, Templates, Text};
use crate::error::Error;
use crate::gateways::{Deadline, Failure, FailureKind};
use fleet::Secret;

/// Bytes of a receipt in the journal.
const LONGEST_RECEIPT: usize = 4096;
/// More than this is a mistake in the file, or an answer meant to keep us busy.
const MOST_ITEMS: usize = 100;
/// Shorter ones would be blacked out everywhere.
const SHORTEST_BLACKED_OUT: usize = 4;

pub struct Runner {
    client: Client,
    templates: Templates,
    sign_in: SignIn,
    message: Option<Text>,
    secrets: BTreeMap<String, Secret>,
    read: BTreeMap<String, String>,
    /// What the last request signed itself with, such as a name and password in base64.
    signed: Vec<String>,
    session: Option<Session>,
}

struct Session {
    values: BTreeMap<String, Value>,
    since: Instant,
}

/// What an answer means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    Success,
    Already,
}

impl Runner {
    /// # Errors
    /// A secret that cannot be read.
    pub fn new(
        client: Client,
        sign_in: SignIn,
        message: Option<Text>,
        secrets: BTreeMap<String, Secret>,
    ) -> Result<Runner, Error> {
        let mut runner = Runner {
            client,
            templates: Templates::default(),
            sign_in,
            message,
            secrets,
            read: BTreeMap::new(),
            signed: Vec::new(),
            session: None,
        };
        runner.read_secrets()?;
        Ok(runner)
    }

    pub fn client(&self) -> &Client {
        &self.client
    }

    /// All steps, one after the other; gives whether everything was so before.
    ///
    /// # Errors
    /// The first step that failed, named. What earlier steps did stays.
    pub fn run(&mut self, steps: &[Step], scope: &mut Scope, deadline: Deadline) -> Result<bool, Failure> {
        let mut changed = false;
        for step in steps {
            let named = |failure: Failure| named(step, failure);
            if let Some(when) = &step.when
                && !self.evaluate(when, scope).map_err(named)?.is_true()
            {
                continue;
            }
            let items = match &step.each {
                None => vec![None],
                Some(each) => self.items(each, scope).map_err(named)?,
            };
            for item in items {
                if let Some(item) = item {
                    scope.set("item", item);
                }
                let meaning =
                    self.step(step, scope, deadline).map_err(named).map_err(|failure| self.censored(failure))?;
                changed |= meaning == Meaning::Success && !step.is_reading();
            }
        }
        Ok(!changed)
    }

    /// What an expression comes to.
    ///
    /// # Errors
    /// It cannot be worked out with these values.
    pub fn evaluate(&self, text: &Text, scope: &Scope) -> Result<Value, Failure> {
        self.templates.evaluate(text, &scope.value()).map_err(|problem| {
            self.censored(Failure::refused(format!("`{}` cannot be worked out: {problem}", text.source().trim())))
        })
    }

    /// Whether a secret, or what signing in gave, stands in this.
    fn shows_a_secret(&self, text: &str) -> bool {
        self.hidden().any(|secret| text.contains(secret.as_str()))
    }

    fn items(&self, each: &Text, scope: &Scope) -> Result<Vec<Option<Value>>, Failure> {
        let value = self.evaluate(each, scope)?;
        let items = value.try_iter().map_err(|_| Failure::refused(format!("`{}` is no list", each.source())))?;
        let items: Vec<Option<Value>> = items.take(MOST_ITEMS + 1).map(Some).collect();
        if items.len() > MOST_ITEMS {
            return Err(Failure::refused(format!("`{}` gives more than {MOST_ITEMS} to do", each.source())));
        }
        Ok(items)
    }

    fn step(&mut self, step: &Step, scope: &mut Scope, deadline: Deadline) -> Result<Meaning, Failure> {
        for _ in 0..step.at_most.max(1) {
            let answer = self.ask_signed_in(step, scope, deadline)?;
            let meaning = self.judge(step, &answer, scope)?;
            for (name, text) in &step.keep {
                let value = self.evaluate(text, scope)?;
                let value = if value.is_undefined() { Value::from(()) } else { value };
                scope.keep(name, value);
            }
            let done = match &step.until {
                None => true,
                Some(until) => self.evaluate(until, scope)?.is_true(),
            };
            if done {
                return Ok(meaning);
            }
            let pause = Duration::from_millis(step.every);
            if pause >= left(deadline)? {
                break;
            }
            std::thread::sleep(pause);
        }
        Err(Failure::busy("it has not finished yet", None))
    }

    /// Whether an answer is a success, or what else.
    fn judge(&self, step: &Step, answer: &Answer, scope: &mut Scope) -> Result<Meaning, Failure> {
        scope.set("answer", answer_value(answer));
        let holds = |text: &Option<Text>| match text {
            None => Ok(None),
            Some(text) => self.evaluate(text, scope).map(|value| Some(value.is_true())),
        };
        if holds(&step.already)? == Some(true) {
            return Ok(Meaning::Already);
        }
        let failure = answer.raw.failure(&self.said(answer, scope));
        if answer.raw.status == 429 || holds(&step.busy)? == Some(true) {
            return Err(Failure::busy(failure.message, answer.raw.retry_after()));
        }
        if holds(&step.conflict)? == Some(true) {
            return Err(Failure::new(FailureKind::Conflict, failure.message));
        }
        if holds(&step.expect)?.unwrap_or(answer.raw.is_success()) {
            return Ok(Meaning::Success);
        }
        Err(match failure.kind {
            // Products mean many things by those statuses: the file says which.
            FailureKind::Conflict => Failure::refused(failure.message),
            _ => failure,
        })
    }

    /// What the server says of a failure, for people.
    fn said(&self, answer: &Answer, scope: &Scope) -> String {
        let by_file = self.message.as_ref().and_then(|text| self.evaluate(text, scope).ok());
        let by_file = by_file.and_then(|value| value.as_str().map(str::to_owned));
        let usual = ["message", "msg", "error_description", "error", "detail", "reason"].into_iter();
        let by_name = || usual.filter_map(|name| answer.body.get(name)?.as_str().map(str::to_owned)).next();
        let said = by_file.or_else(by_name).unwrap_or_else(|| in_short(&answer.body));
        self.blacked_out(said.trim())
    }

    fn ask_signed_in(&mut self, step: &Step, scope: &mut Scope, deadline: Deadline) -> Result<Answer, Failure> {
        let fresh = self.sign_in(scope, deadline)?;
        let answer = self.ask(step, scope, true, deadline)?;
        if fresh || self.sign_in.login.is_empty() || !self.has_expired(&answer, scope)? {
            return Ok(answer);
        }
        // It was turned away, so asking once more does nothing twice.
        self.session = None;
        self.sign_in(scope, deadline)?;
        self.ask(step, scope, true, deadline)
    }

    fn has_expired(&self, answer: &Answer, scope: &mut Scope) -> Result<bool, Failure> {
        let Some(expired) = &self.sign_in.expired else { return Ok(answer.raw.status == 401) };
        scope.set("answer", answer_value(answer));
        Ok(self.evaluate(expired, scope)?.is_true())
    }

    /// Gives whether it has only now been signed in.
    fn sign_in(&mut self, scope: &Scope, deadline: Deadline) -> Result<bool, Failure> {
        if self.sign_in.login.is_empty() {
            return Ok(false);
        }
        let lasts = self.sign_in.lasts.map_or(Duration::MAX, Duration::from_secs);
        if self.session.as_ref().is_some_and(|session| session.since.elapsed() < lasts) {
            return Ok(false);
        }
        self.session = None;
        // A secret that was replaced where it lies is taken up without a restart.
        self.read_secrets().map_err(|error| Failure::new(FailureKind::Unauthorised, error.to_string()))?;
        let mut own = Scope::default();
        for name in ["setting", "host"] {
            own.set(name, scope.get(name).cloned().unwrap_or_default());
        }
        let login = std::mem::take(&mut self.sign_in.login);
        let signed_in = self.log_in(&login, &mut own, deadline);
        self.sign_in.login = login;
        signed_in?;
        self.session = Some(Session { values: own.kept().clone(), since: Instant::now() });
        Ok(true)
    }

    fn log_in(&mut self, login: &[Step], own: &mut Scope, deadline: Deadline) -> Result<(), Failure> {
        for step in login {
            let unauthorised = |failure: Failure| match failure.kind {
                FailureKind::Refused => Failure { kind: FailureKind::Unauthorised, ..failure },
                _ => failure,
            };
            if let Some(when) = &step.when
                && !self.evaluate(when, own)?.is_true()
            {
                continue;
            }
            let answer = self.ask(step, own, false, deadline).map_err(|failure| named(step, failure))?;
            self.judge(step, &answer, own).map_err(|failure| named(step, unauthorised(failure)))?;
            for (name, text) in &step.keep {
                let value = self.evaluate(text, own)?;
                if value.is_undefined() || value.is_none() {
                    let problem = format!("the answer holds no `{name}`");
                    return Err(named(step, Failure::new(FailureKind::Unauthorised, problem)));
                }
                own.keep(name, value);
            }
        }
        Ok(())
    }

    /// One request as the step says, signed or (while signing in) not.
    fn ask(&mut self, step: &Step, scope: &Scope, signed: bool, deadline: Deadline) -> Result<Answer, Failure> {
        let mut scope = scope.clone();
        scope.set("secret", Value::from_pairs(self.read.clone()));
        let now = now();
        scope.set("now", now);
        if let Some(until) = scope.get("until").and_then(|until| until.as_i64()) {
            scope.set("seconds_left", until - now);
        }
        if let Some(session) = &self.session {
            scope.set("session", Value::from_pairs(session.values.clone()));
        }
        let value = scope.value();
        let render = |place: Place, text: &Text| {
            let problem = |problem| Failure::refused(format!("the request cannot be written: {problem}"));
            self.templates.render(place, text, &value).map_err(problem)
        };
        let path = render(Place::Path, &step.path)?;
        let mut headers = BTreeMap::from([("Accept".to_owned(), "application/json".to_owned())]);
        let mut body = None;
        if let Some(text) = &step.body {
            let json = render(Place::Json, text)?;
            let json: serde_json::Value = serde_json::from_str(&json)
                .map_err(|error| Failure::refused(format!("the body it would send is no JSON: {error}")))?;
            body = Some(json.to_string());
            headers.insert("Content-Type".to_owned(), "application/json".to_owned());
        }
        if let Some(text) = &step.form {
            body = Some(render(Place::Form, text)?);
            headers.insert("Content-Type".to_owned(), "application/x-www-form-urlencoded".to_owned());
        }
        let (mut signed_with, sign_in) = (Vec::new(), self.sign_in.headers.iter().filter(|_| signed));
        for (name, text) in sign_in.chain(&step.headers) {
            let value = render(Place::Header, text)?;
            headers.retain(|present, _| !present.eq_ignore_ascii_case(name));
            if signed && self.sign_in.headers.contains_key(name) {
                signed_with.extend(value.split_whitespace().next_back().map(str::to_owned));
            }
            if !value.is_empty() {
                headers.insert(name.clone(), value);
            }
        }
        self.signed = signed_with;
        let request = Request { method: step.method, path: &path, headers: &headers, body };
        self.client.send(&request, deadline)
    }

    fn read_secrets(&mut self) -> Result<(), Error> {
        for (name, secret) in &self.secrets {
            let value = secret.read()?;
            if value.is_empty() {
                return Err(Error::Wrong(format!("secret `{name}` ({secret:?}) is empty")));
            }
            self.read.insert(name.clone(), value);
        }
        Ok(())
    }

    fn hidden(&self) -> impl Iterator<Item = String> + '_ {
        let session = self.session.iter().flat_map(|session| session.values.values());
        let session = session.filter_map(|value| value.as_str().map(str::to_owned));
        let all = self.read.values().chain(&self.signed).cloned().chain(session);
        all.filter(|secret| secret.len() >= SHORTEST_BLACKED_OUT)
    }

    fn blacked_out(&self, text: &str) -> String {
        self.hidden().fold(text.to_owned(), |text, secret| text.replace(&secret, "***"))
    }

    fn censored(&self, failure: Failure) -> Failure {
        Failure { message: self.blacked_out(&failure.message), ..failure }
    }
}

fn named(step: &Step, failure: Failure) -> Failure {
    Failure { message: format!("{}: {}", step.name, failure.message), ..failure }
}

/// Of an answer without a message its plain fields: deeper down may be what is nobody's business, such as a device's keys.
fn in_short(body: &serde_json::Value) -> String {
    let Some(fields) = body.as_object() else {
        return body.as_str().map_or_else(String::new, str::to_owned);
    };
    let plain = fields.iter().filter(|(_, value)| !value.is_object() && !value.is_array());
    plain.map(|(name, value)| format!("{name} {value}")).collect::<Vec<_>>().join(", ")
}

fn answer_value(answer: &Answer) -> Value {
    Value::from_pairs([
        ("status", Value::from(answer.raw.status)),
        ("body", Value::from(Serde(&answer.body))),
        ("header", Value::from_pairs(answer.headers.clone())),
        ("cookie", Value::from_pairs(answer.cookies.clone())),
    ])
}

/// What is kept for the journal, from an expression.
///
/// # Errors
/// It is nothing JSON can say, or shows a secret.
pub fn receipt(runner: &Runner, text: &Text, scope: &Scope) -> Result<Option<serde_json::Value>, Failure> {
    let receipt = as_json(&runner.evaluate(text, scope)?)?;
    let length = receipt.to_string().len();
    if length > LONGEST_RECEIPT {
        let problem = format!("the receipt has {length} bytes, at most {LONGEST_RECEIPT} are kept");
        return Err(Failure::refused(problem));
    }
    if runner.shows_a_secret(&receipt.to_string()) {
        return Err(Failure::refused("the receipt holds a secret; the product file must not keep it"));
    }
    Ok(Some(receipt).filter(|receipt| !receipt.is_null()))
}
