//! A webhook: the event as JSON, signed.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use reqwest::Url;
use reqwest::blocking::Client;
use reqwest::header::HeaderValue;

use super::super::config::WebhookConfig;
use super::super::http;
use super::super::outgoing::{Outgoing, Sink};
use super::super::signature;
use crate::error::Error;
use crate::gateways::Failure;

/// Bytes; a shorter one can be guessed by whoever has one message.
const SHORTEST_KEY: usize = 16;

pub(super) struct Webhook {
    client: Client,
    url: Url,
    key: String,
    authorization: Option<HeaderValue>,
}

impl Webhook {
    pub fn new(config: &WebhookConfig) -> Result<Webhook, Error> {
        let url = http::address(&config.url, &config.name)?;
        let key = config.key.read()?;
        if key.len() < SHORTEST_KEY {
            let what = format!("key, {:?}, is too short, expected {SHORTEST_KEY} characters or more", config.key);
            return Err(Error::Wrong(format!("responders.tell `{}`: {what}", config.name)));
        }
        Ok(Webhook {
            client: http::client(&url, &config.tls, Duration::from_secs(config.limit_seconds))?,
            url,
            key,
            authorization: http::authorization(config.authorization.as_ref(), &config.name)?,
        })
    }
}

impl Sink for Webhook {
    fn send(&mut self, message: &Outgoing) -> Result<(), Failure> {
        let body = message.event.to_string();
        let signature = signature::sign(self.key.as_bytes(), seconds(), body.as_bytes());
        let mut request = self
            .client
            .post(self.url.clone())
            .header("Content-Type", "application/json")
            .header("X-Vedette-Event", message.kind.name())
            .header("X-Vedette-Id", &message.key)
            .header(signature::HEADER, signature)
            .body(body);
        if let Some(authorization) = &self.authorization {
            request = request.header("Authorization", authorization);
        }
        let answer = http::ask(request)?;
        if answer.status.is_success() { Ok(()) } else { Err(answer.failure()) }
    }
}

#[expect(clippy::disallowed_methods, reason = "a signature says when the message was sent, not when it happened")]
fn seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
