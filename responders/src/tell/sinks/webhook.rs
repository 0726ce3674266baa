//! A webhook: the event as JSON, signed.

use super::super::config::WebhookConfig;
use super::super::http::Receiver;
use super::super::outgoing::{Outgoing, Sink};
use crate::error::Error;
use crate::gateways::{Failure, clock};
use crate::signature;

/// Bytes; a shorter one can be guessed by whoever has one message.
const SHORTEST_KEY: usize = 16;

pub(super) struct Webhook {
    receiver: Receiver,
    key: String,
}

impl Webhook {
    pub fn new(config: &WebhookConfig) -> Result<Webhook, Error> {
        let key = config.key.read()?;
        if key.len() < SHORTEST_KEY {
            let what = format!("key, {:?}, is too short, expected {SHORTEST_KEY} characters or more", config.key);
            return Err(Error::Wrong(format!("responders.tell `{}`: {what}", config.name)));
        }
        let (authorization, limit) = (config.authorization.as_ref(), config.limit_seconds);
        let receiver = Receiver::new(&config.name, &config.url, authorization, &config.tls, limit)?;
        Ok(Webhook { receiver, key })
    }
}

impl Sink for Webhook {
    fn send(&mut self, message: &Outgoing) -> Result<(), Failure> {
        let body = message.event.to_string();
        let signature = signature::sign(self.key.as_bytes(), clock::unix_seconds(), body.as_bytes());
        let request = self
            .receiver
            .post()
            .header("Content-Type", "application/json")
            .header("X-Vedette-Event", message.kind.name())
            .header("X-Vedette-Id", &message.key)
            .header(signature::HEADER, signature)
            .body(body);
        let answer = self.receiver.send(request)?;
        if answer.is_success() { Ok(()) } else { Err(answer.failure(&answer.text())) }
    }
}
