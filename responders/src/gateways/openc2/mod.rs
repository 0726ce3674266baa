//! OpenC2 stateless packet filters (SLPF 1.0) over HTTP: whichever firewall stands behind the consumer.
//!
//! * [`message`]: commands and responses
//!
//! The language has no way to ask which rules there are. So each action has a rule number of its own, out of a range that is
//! kept for Vedette: "rule number currently in use" then means that this action's rule is there already, after a crash before
//! its receipt was written, or from before its time was extended. It is deleted and made anew, with the time that is left.
//! Consumers that cannot place rules by number choose them themselves (`rules = "theirs"`): then a rule is made only with a
//! duration, so that one whose number was lost in a crash ends by itself.

mod message;

use fleet::Level;
use reqwest::Url;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use smol_str::SmolStr;

use self::message::{CONTENT_TYPE, Response, command};
use super::names::one_spelling;
use super::{
    Ability, About, Applied, Failure, FailureKind, Found, Gateway, Key, Order, Own, Permit, Repeat, Undone, clock,
    own_names,
};
use crate::config::time_limit;
use crate::error::Error;
use crate::rest::{self, Rest};
use crate::tls::TlsConfig;
use fleet::Secret;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenC2Config {
    pub url: String,
    /// Sent as `Authorization: Bearer`.
    #[serde(default)]
    pub token: Option<Secret>,
    /// Which of the consumer's firewalls.
    #[serde(default)]
    pub asset_id: Option<String>,
    #[serde(default)]
    pub rules: Rules,
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

/// Who numbers rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Rules {
    /// Vedette: from `first` on, `count` numbers that nobody else uses. Actions share a number by chance, so there are to be
    /// many more of them than of actions.
    Ours { first: u64, count: u64 },
    /// The consumer.
    Theirs,
}

impl Default for Rules {
    fn default() -> Rules {
        Rules::Ours { first: 1_000_000_000, count: 1_000_000_000 }
    }
}

/// Fewer would be shared too often.
const FEWEST: u64 = 1_000_000;

fn time_limit_seconds() -> u64 {
    10
}

pub struct OpenC2Gateway {
    about: About,
    rest: Rest,
    url: Url,
    token: Option<Secret>,
    asset_id: Option<String>,
    rules: Rules,
}

impl OpenC2Gateway {
    /// # Errors
    /// A URL that is none, or leaves this machine in clear, a time limit out of bounds, a range that is too small, a token or certificates that cannot be read.
    pub fn new(name: impl Into<SmolStr>, config: &OpenC2Config) -> Result<OpenC2Gateway, Error> {
        let name = name.into();
        let url = super::webhook::address("openc2", &config.url, config.plain)?;
        if let Rules::Ours { first, count } = config.rules
            && (count < FEWEST || first.checked_add(count).is_none_or(|end| end > i64::MAX as u64))
        {
            return Err(Error::Wrong(format!(
                "openc2: rules from `{first}`, `{count}` of them, expected at least {FEWEST}, within 63 bits"
            )));
        }
        config.token.as_ref().map(Secret::read).transpose()?;
        let quarantine = Ability {
            level: Level::Quarantine,
            keys: vec![Key::Ip],
            // A stateless filter asks no connection whether it stands.
            cuts_sessions: true,
            ends_by_itself: true,
            can_be_undone: true,
            repeat: if config.rules == Rules::Theirs { Repeat::Duplicate } else { Repeat::Error },
            witness: super::Witness::Traffic,
        };
        let about = About {
            product: "openc2-slpf".into(),
            abilities: vec![quarantine],
            time_limit: time_limit(&name, "time_limit_seconds", config.time_limit_seconds)?,
            own: own_names(&config.own),
            name,
        };
        let (token, asset_id) = (config.token.clone(), config.asset_id.clone());
        Ok(OpenC2Gateway { about, rest: Rest::new(&config.tls)?, url, token, asset_id, rules: config.rules })
    }

    /// The number of this action's rule; `None` when only the consumer knows.
    fn number(&self, order: &Order) -> Option<u64> {
        let given = order.receipt.as_ref().and_then(|receipt| receipt["rule_number"].as_u64());
        match self.rules {
            Rules::Theirs => given,
            Rules::Ours { first, count } => given.or_else(|| {
                let (high, _) = message::id(&order.action_id, "rule", 0).as_u64_pair();
                Some(first + high % count)
            }),
        }
    }

    /// Every request has an id of its own: a consumer may answer one it has seen from memory, and a rule that somebody took
    /// away would not be made again.
    fn send(&self, permit: &Permit, order: Option<&Order>, request: &str, body: Value) -> Result<Response, Failure> {
        let action = order.map_or("", |order| &order.action_id);
        let created = clock::unix_millis();
        let id = message::id(action, request, created).to_string();
        let wrapped = json!({
            "headers": {"request_id": id, "created": created, "from": "vedette"},
            "body": {"openc2": {"request": body}},
        });
        let mut sent = self
            .rest
            .client
            .post(self.url.clone())
            .header("content-type", CONTENT_TYPE)
            .header("accept", CONTENT_TYPE)
            .header("x-request-id", id)
            .body(wrapped.to_string());
        if let Some(token) = &self.token {
            let token = token.read().map_err(|error| Failure::new(FailureKind::Unauthorised, error.to_string()))?;
            sent = sent.bearer_auth(token);
        }
        message::response(&rest::ask(sent, permit.left()?)?)
    }

    fn command(&self, action: &str, target: Value, args: Value) -> Value {
        command(action, target, args, self.asset_id.as_deref())
    }

    fn deny(&self, permit: &Permit, order: &Order, request: &str) -> Result<Response, Failure> {
        let mut args = json!({"response_requested": "complete", "slpf": {"direction": "both"}});
        if let (Rules::Ours { .. }, Some(number)) = (self.rules, self.number(order)) {
            args["slpf"]["insert_rule"] = number.into();
        }
        if let Some(until) = order.until {
            let left = clock::left(until)
                .ok_or_else(|| Failure::refused(format!("it was to end at {until}, which is over")))?;
            // Zero would be for ever, or nothing.
            args["duration"] = u64::try_from(left.as_millis()).unwrap_or(u64::MAX).max(1000).into();
        } else if self.rules == Rules::Theirs {
            return Err(Failure::refused(
                "the consumer numbers its rules, so that only one with an end is made; set a TTL",
            ));
        }
        self.send(permit, Some(order), request, self.command("deny", target(order)?, args))
    }

    fn delete(&self, permit: &Permit, order: &Order, number: u64, request: &str) -> Result<Response, Failure> {
        let args = json!({"response_requested": "complete"});
        self.send(permit, Some(order), request, self.command("delete", json!({"slpf:rule_number": number}), args))
    }
}

impl Gateway for OpenC2Gateway {
    fn about(&self) -> &About {
        &self.about
    }

    fn apply(&mut self, permit: &Permit, order: &Order) -> Result<Applied, Failure> {
        if order.level != Level::Quarantine {
            return Err(Failure::refused(format!("OpenC2 cannot `{}`, expected quarantine", order.level)));
        }
        let known = self.number(order);
        let mut already = false;
        // A rule that the consumer numbered, and that we know of: its end moves only so.
        if let (Rules::Theirs, Some(number)) = (self.rules, known) {
            already = gone(&self.delete(permit, order, number, "renew")?)?;
        }
        let mut response = self.deny(permit, order, "deny")?;
        if let Some(number) = known
            && response.in_use()
        {
            already = true;
            gone(&self.delete(permit, order, number, "clear")?)?;
            response = self.deny(permit, order, "deny again")?;
        }
        response.must_be_done()?;
        let known = if self.rules == Rules::Theirs { None } else { known };
        let number = response.rule_number().or(known).ok_or_else(|| {
            Failure::refused("the consumer made a rule and does not say its number: only its end takes it away")
        })?;
        Ok(Applied { receipt: Some(json!({"rule_number": number})), already })
    }

    /// The language cannot ask for rules.
    fn read_back(&mut self, _: &Permit, _: &Order) -> Result<Found, Failure> {
        Ok(Found::Unknown)
    }

    fn undo(&mut self, permit: &Permit, order: &Order) -> Result<Undone, Failure> {
        let Some(number) = self.number(order) else {
            return Err(Failure::refused("no rule number is known: the rule, if there is one, ends by itself"));
        };
        let response = self.delete(permit, order, number, "delete")?;
        // Nothing is said of why a rule cannot be deleted, and one that has ended by itself is no more.
        let over = order.until.is_some_and(|until| clock::left(until).is_none());
        match gone(&response) {
            Ok(true) => Ok(Undone::Done),
            Ok(false) => Ok(Undone::Already),
            Err(_) if over && response.status == 500 => Ok(Undone::Already),
            Err(failure) => Err(failure),
        }
    }

    /// Whether it is a packet filter that can deny and delete.
    fn probe(&mut self, permit: &Permit) -> Result<(), Failure> {
        let target = json!({"features": ["versions", "profiles", "pairs", "rate_limit"]});
        let args = json!({"response_requested": "complete"});
        let response = self.send(permit, None, "probe", self.command("query", target, args))?;
        response.must_be_done()?;
        response.must_offer("deny", "ipv4_net")?;
        response.must_offer("delete", "slpf:rule_number")
    }
}

/// Whether it was there; it is not now.
fn gone(response: &Response) -> Result<bool, Failure> {
    if response.missing() {
        return Ok(false);
    }
    response.must_be_done().map(|()| true)
}

fn target(order: &Order) -> Result<Value, Failure> {
    let address = one_spelling(Key::Ip, order.name(Key::Ip)?)?;
    Ok(match address.contains(':') {
        false => json!({"ipv4_net": format!("{address}/32")}),
        true => json!({"ipv6_net": format!("{address}/128")}),
    })
}
