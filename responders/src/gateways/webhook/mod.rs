//! A gateway of one's own, told by signed webhook: whoever has a product that nothing else here speaks to writes a small
//! receiver for it. `docs/gateways-own.md` tells them how.
//!
//! * [`message`]: what is sent and what comes back; the Kafka topic of actions ([`super::topic`]) carries the same
//! * [`crate::signature`]: how a receiver knows that it comes from us, and lately

pub mod message;

use fleet::Level;
use reqwest::Url;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use self::message::{Answer, Call, Message};
use super::{
    Ability, About, Applied, Failure, FailureKind, Found, Gateway, Key, Order, Own, Permit, Repeat, Undone, Witness,
    clock, own_names,
};
use crate::config::time_limit;
use crate::error::Error;
use crate::rest::{self, Rest};
use crate::signature;
use crate::tls::TlsConfig;
use fleet::Secret;
use fleet::secret::NoSecret;

/// Shorter ones can be guessed from one message.
const SHORTEST_SECRET: usize = 16;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookConfig {
    pub url: String,
    /// What calls are signed with, at least 16 bytes.
    pub secret: Secret,
    /// What the receiver can do.
    pub abilities: Vec<WebhookAbility>,
    #[serde(default)]
    pub tls: TlsConfig,
    /// Allows `http://` to another machine, where whoever listens sees what is sent.
    #[serde(default)]
    pub plain: bool,
    #[serde(default = "time_limit_seconds")]
    pub time_limit_seconds: u64,
    #[serde(default)]
    pub own: Own,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookAbility {
    pub level: Level,
    pub keys: Vec<Key>,
    #[serde(default)]
    pub cuts_sessions: bool,
    #[serde(default)]
    pub ends_by_itself: bool,
    #[serde(default = "yes")]
    pub can_be_undone: bool,
    /// Left out: messages where `keys` has a name that brokers know, else traffic.
    #[serde(default)]
    pub witness: Option<Witness>,
}

/// What the configuration says of a gateway of one's own: nobody else knows what it can do.
///
/// # Errors
/// No ability, one without keys or that restricts nothing, no time for a call, or too much.
pub(super) fn declared(
    product: &str,
    name: SmolStr,
    abilities: &[WebhookAbility],
    time_limit_seconds: u64,
    own: &Own,
) -> Result<About, Error> {
    if abilities.is_empty() {
        return Err(Error::Wrong(format!("{product}: no abilities, expected what the receiver can do")));
    }
    if let Some(odd) = abilities.iter().find(|one| one.keys.is_empty() || !one.level.restricts()) {
        let level = odd.level;
        return Err(Error::Wrong(format!(
            "{product}: ability `{level}` restricts nothing, or has no keys to know a device by"
        )));
    }
    let time_limit = time_limit(&name, "time_limit_seconds", time_limit_seconds)?;
    let abilities = abilities.iter().map(|one| Ability {
        level: one.level,
        keys: one.keys.clone(),
        cuts_sessions: one.cuts_sessions,
        ends_by_itself: one.ends_by_itself,
        can_be_undone: one.can_be_undone,
        repeat: Repeat::Harmless,
        witness: one.witness.unwrap_or_else(|| Witness::of(&one.keys)),
    });
    Ok(About { name, product: product.into(), abilities: abilities.collect(), time_limit, own: own_names(own) })
}

/// Where calls go that show what we know, or who we are, to whoever listens.
///
/// # Errors
/// It is no URL, or leaves this machine in clear although nobody said that it may.
pub(super) fn address(product: &str, text: &str, plain: bool) -> Result<Url, Error> {
    let fits =
        |url: &Url| matches!(url.scheme(), "http" | "https") && url.username().is_empty() && url.password().is_none();
    let url = Url::parse(text).ok().filter(fits).ok_or_else(|| {
        Error::Wrong(format!("{product}: url is no URL, expected such as `https://host/path`, without a user's name"))
    })?;
    if !rest::guarded(&url, plain) {
        let host = url.host_str().unwrap_or_default();
        let problem = "would go to another machine in clear; expected https, or `plain = true`";
        return Err(Error::Wrong(format!("{product}: calls to `{host}` {problem}")));
    }
    Ok(url)
}

pub(super) fn time_limit_seconds() -> u64 {
    10
}

fn yes() -> bool {
    true
}

pub struct WebhookGateway {
    about: About,
    rest: Rest,
    url: Url,
    secret: Secret,
}

impl WebhookGateway {
    /// # Errors
    /// A URL that is none, or leaves this machine in clear, no ability, one without keys or that restricts nothing, a secret that is missing or too short.
    pub fn new(name: impl Into<SmolStr>, config: &WebhookConfig) -> Result<WebhookGateway, Error> {
        let url = address("webhook", &config.url, config.plain)?;
        if config.secret.read()?.len() < SHORTEST_SECRET {
            let problem =
                format!("webhook: the secret from {:?} is too short, expected {SHORTEST_SECRET} bytes", config.secret);
            return Err(Error::Wrong(problem));
        }
        let about = declared("webhook", name.into(), &config.abilities, config.time_limit_seconds, &config.own)?;
        Ok(WebhookGateway { about, rest: Rest::new(&config.tls)?, url, secret: config.secret.clone() })
    }

    fn call(&self, permit: &Permit, call: Call, order: Option<&Order>) -> Result<Answer, Failure> {
        let body = Message::new(&self.about.name, call, order).to_json();
        let unread = |missing: NoSecret| Failure::new(FailureKind::Unauthorised, missing.to_string());
        let secret = self.secret.read().map_err(unread)?;
        let request = self
            .rest
            .client
            .post(self.url.clone())
            .header("content-type", "application/json")
            .header(signature::HEADER, signature::sign(secret.as_bytes(), clock::unix_seconds(), body.as_bytes()))
            .body(body);
        let answer = rest::ask(request, permit.left()?)?;
        let said: Result<Answer, Failure> = answer.json();
        if !answer.is_success() {
            let text = said.ok().and_then(|said| said.error).unwrap_or_else(|| answer.text());
            return Err(answer.failure(&text));
        }
        said
    }
}

impl Gateway for WebhookGateway {
    fn about(&self) -> &About {
        &self.about
    }

    fn apply(&mut self, permit: &Permit, order: &Order) -> Result<Applied, Failure> {
        self.call(permit, Call::Apply, Some(order))?.applied()
    }

    fn read_back(&mut self, permit: &Permit, order: &Order) -> Result<Found, Failure> {
        self.call(permit, Call::ReadBack, Some(order))?.found()
    }

    fn undo(&mut self, permit: &Permit, order: &Order) -> Result<Undone, Failure> {
        self.call(permit, Call::Undo, Some(order))?.undone()
    }

    fn probe(&mut self, permit: &Permit) -> Result<(), Failure> {
        self.call(permit, Call::Probe, None)?.done().map(drop)
    }
}
