//! A gateway of one's own, told by signed webhook: whoever has a product that nothing else here speaks to writes a small
//! receiver for it. `docs/gateways-own.md` tells them how.
//!
//! * [`message`]: what is sent and what comes back; the Kafka topic of actions carries the same
//! * [`crate::signature`]: how a receiver knows that it comes from us, and lately

pub mod message;

use std::time::Duration;

use fleet::Level;
use reqwest::Url;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use self::message::{Answer, Call, Message};
use super::{
    Ability, About, Applied, Failure, Found, Gateway, Key, Order, Own, Permit, Repeat, Undone, clock, own_names,
};
use crate::error::Error;
use crate::rest::{self, Rest, shortened};
use crate::secret::Secret;
use crate::signature;
use crate::tls::TlsConfig;

/// A receipt is written to the journal.
const LARGEST_RECEIPT: usize = 4096;
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
}

fn time_limit_seconds() -> u64 {
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
    /// A URL that is none, no ability, one without keys or that restricts nothing, a secret that is missing or too short.
    pub fn new(name: impl Into<SmolStr>, config: &WebhookConfig) -> Result<WebhookGateway, Error> {
        let url = Url::parse(&config.url).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        let url =
            url.ok_or_else(|| Error::Wrong("webhook: url is no URL, expected such as `https://host/path`".to_owned()))?;
        if config.abilities.is_empty() {
            return Err(Error::Wrong("webhook: no abilities, expected what the receiver can do".to_owned()));
        }
        if let Some(odd) = config.abilities.iter().find(|one| one.keys.is_empty() || !one.level.restricts()) {
            let level = odd.level;
            return Err(Error::Wrong(format!(
                "webhook: ability `{level}` restricts nothing, or has no keys to know a device by"
            )));
        }
        if config.secret.read()?.len() < SHORTEST_SECRET {
            let problem =
                format!("webhook: the secret from {:?} is too short, expected {SHORTEST_SECRET} bytes", config.secret);
            return Err(Error::Wrong(problem));
        }
        let abilities = config.abilities.iter().map(|one| Ability {
            level: one.level,
            keys: one.keys.clone(),
            cuts_sessions: one.cuts_sessions,
            ends_by_itself: one.ends_by_itself,
            can_be_undone: one.can_be_undone,
            repeat: Repeat::Harmless,
        });
        let about = About {
            name: name.into(),
            product: "webhook".into(),
            abilities: abilities.collect(),
            time_limit: Duration::from_secs(config.time_limit_seconds),
            own: own_names(&config.own),
        };
        Ok(WebhookGateway { about, rest: Rest::new(&config.tls)?, url, secret: config.secret.clone() })
    }

    fn call(&self, permit: &Permit, call: Call, order: Option<&Order>) -> Result<Answer, Failure> {
        let body = Message::new(&self.about.name, call, order).to_json();
        let secret = self.secret.read().map_err(|error| Failure::refused(error.to_string()))?;
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
        let said = said?;
        if let Some(error) = &said.error {
            let message = format!("the receiver says: {}", shortened(error));
            return Err(if said.retry { Failure::unreachable(message) } else { Failure::refused(message) });
        }
        Ok(said)
    }

    /// A status of 200 alone says nothing: many receivers answer so before they have done anything.
    fn done(&self, permit: &Permit, call: Call, order: Option<&Order>) -> Result<Answer, Failure> {
        let said = self.call(permit, call, order)?;
        if said.done {
            return Ok(said);
        }
        Err(Failure::refused("the receiver's answer has no `\"done\": true`, nor an `error` that says why"))
    }
}

impl Gateway for WebhookGateway {
    fn about(&self) -> &About {
        &self.about
    }

    fn apply(&mut self, permit: &Permit, order: &Order) -> Result<Applied, Failure> {
        let said = self.done(permit, Call::Apply, Some(order))?;
        if said.receipt.as_ref().is_some_and(|receipt| receipt.to_string().len() > LARGEST_RECEIPT) {
            return Err(Failure::refused(format!("the receiver's receipt has more than {LARGEST_RECEIPT} bytes")));
        }
        Ok(Applied { receipt: said.receipt, already: said.already })
    }

    fn read_back(&mut self, permit: &Permit, order: &Order) -> Result<Found, Failure> {
        let said = self.call(permit, Call::ReadBack, Some(order))?;
        let found = said.found.ok_or_else(|| {
            Failure::refused("the receiver's answer has no `found`, expected in_force, absent, foreign or unknown")
        })?;
        Ok(found.told(said.by))
    }

    fn undo(&mut self, permit: &Permit, order: &Order) -> Result<Undone, Failure> {
        let said = self.done(permit, Call::Undo, Some(order))?;
        Ok(match said.found {
            Some(message::Seen::Foreign) => Undone::Foreign { by: message::by(said.by) },
            _ if said.already => Undone::Already,
            _ => Undone::Done,
        })
    }

    fn probe(&mut self, permit: &Permit) -> Result<(), Failure> {
        self.done(permit, Call::Probe, None).map(drop)
    }
}
