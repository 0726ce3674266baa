//! A webhook: the event as JSON, signed.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use reqwest::Url;
use reqwest::blocking::Client;

use super::super::config::WebhookConfig;
use super::super::http;
use super::super::outgoing::{Outgoing, Sink};
use super::super::signature;
use crate::error::Error;
use crate::gateways::Failure;

pub(super) struct Webhook {
    client: Client,
    url: Url,
    key: String,
    authorization: Option<String>,
}

impl Webhook {
    pub fn new(config: &WebhookConfig) -> Result<Webhook, Error> {
        Ok(Webhook {
            client: http::client(&config.tls, Duration::from_secs(config.limit_seconds))?,
            url: http::address(&config.url, &config.name)?,
            key: config.key.read()?,
            authorization: config.authorization.as_ref().map(|setting| setting.read()).transpose()?,
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
