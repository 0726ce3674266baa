//! A gateway of one's own, told over a Kafka topic: calls on one topic, answers on another, both as a webhook has them.
//! `docs/gateways-own.md` tells whoever writes one.
//!
//! A topic keeps what nobody has read yet, so a call says until when it counts: one that is read later has been given up, and
//! would undo what was decided since. This room has no client of Kafka; whoever opens the gateway gives a [`Carrier`].

use fleet::EventTime;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use smol_str::SmolStr;

use super::webhook::message::{Answer, Call, Message};
use super::webhook::{WebhookAbility, declared, time_limit_seconds};
use super::{About, Applied, Failure, Found, Gateway, Order, Own, Permit, Undone, clock};
use crate::bytes::{hex, random};
use crate::error::Error;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TopicConfig {
    /// Where calls go, one a record; its key is the device's id.
    pub calls: String,
    /// Where the answers come.
    pub answers: String,
    /// What the receiver can do.
    pub abilities: Vec<WebhookAbility>,
    /// For one call, its answer included.
    #[serde(default = "time_limit_seconds")]
    pub time_limit_seconds: u64,
    #[serde(default)]
    pub own: Own,
}

/// A call on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Of this one try: whoever answers gives it back.
    pub call_id: String,
    /// Calls about a device stay in their order; none for a probe.
    pub device_id: Option<SmolStr>,
    /// JSON.
    pub body: String,
}

/// Brings calls to one topic and answers from another.
pub trait Carrier: Send {
    /// The answer with the call's `call_id`; all others are passed over. Nothing is sent, and nothing waited for, once the
    /// permit is over.
    ///
    /// # Errors
    /// No broker took the call, or nobody answered in time.
    fn ask(&mut self, permit: &Permit, asked: &Asked) -> Result<Value, Failure>;
}

#[derive(Serialize)]
struct Sent<'a> {
    call_id: &'a str,
    /// RFC 3339: read later than this, it is passed over.
    answer_by: String,
    #[serde(flatten)]
    message: Message<'a>,
}

/// Whether a record of the topic of answers answers this call, and with what.
pub fn answer_to(call_id: &str, record: &[u8]) -> Option<Value> {
    serde_json::from_slice::<Value>(record).ok().filter(|answer| answer["call_id"] == call_id)
}

pub struct TopicGateway {
    about: About,
    carrier: Box<dyn Carrier>,
}

impl TopicGateway {
    /// # Errors
    /// No ability, one without keys or that restricts nothing; topics without a name, or one for both.
    pub fn new(
        name: impl Into<SmolStr>,
        config: &TopicConfig,
        carrier: Box<dyn Carrier>,
    ) -> Result<TopicGateway, Error> {
        if [&config.calls, &config.answers].iter().any(|topic| topic.trim().is_empty()) {
            return Err(Error::Wrong("kafka: `calls` or `answers` is empty, expected the name of a topic".to_owned()));
        }
        if config.calls == config.answers {
            let problem = format!("kafka: `{}` is for calls and for answers, expected two topics", config.calls);
            return Err(Error::Wrong(problem));
        }
        let about = declared("kafka", name.into(), &config.abilities, config.time_limit_seconds, &config.own)?;
        Ok(TopicGateway { about, carrier })
    }

    fn call(&mut self, permit: &Permit, call: Call, order: Option<&Order>) -> Result<Answer, Failure> {
        let call_id = random_id()?;
        let left = i64::try_from(permit.left()?.as_micros()).unwrap_or(i64::MAX);
        let now = EventTime(i64::try_from(clock::unix_millis()).unwrap_or(0).saturating_mul(1_000));
        let answer_by = now.plus_micros(left).to_string();
        let message = Message::new(&self.about.name, call, order);
        let body = serde_json::to_string(&Sent { call_id: &call_id, answer_by, message })
            .map_err(|error| Failure::refused(format!("the call cannot be written: {error}")))?;
        let asked = Asked { call_id, device_id: order.map(|order| order.device_id.clone()), body };
        let said = self.carrier.ask(permit, &asked)?;
        serde_json::from_value(said)
            .map_err(|error| Failure::refused(format!("the receiver's answer cannot be read: {error}")))
    }
}

/// Nobody can guess it who may only write answers.
fn random_id() -> Result<String, Failure> {
    let bytes = random::<16>().map_err(|_| Failure::unreachable("the system gives no random numbers"))?;
    Ok(hex(&bytes))
}

impl Gateway for TopicGateway {
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
