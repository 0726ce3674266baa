//! A gateway made of a product file and an installation's settings.

use std::collections::BTreeMap;
use std::path::PathBuf;

use fleet::MICROS_PER_SECOND;
use minijinja::Value;
use minijinja::value::Serde;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use super::client::Client;
use super::product::{Product, ProductAbility, Step};
use super::run::{Runner, receipt};
use super::scope::{Scope, as_json, now};
use super::shipped;
use crate::config::time_limit;
use crate::engine::due::Call;
use crate::error::Error;
use crate::gateways::names::one_spelling;
use crate::gateways::{
    Ability, About, Applied, Deadline, Failure, FailureKind, Found, Gateway, Key, Order, Permit, Undone, Witness,
};
use crate::tls::TlsConfig;
use fleet::Secret;

/// Of who else restricts a device, so much is passed on.
const LONGEST_NAME: usize = 128;

/// One installation of a product.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpConfig {
    /// A shipped product's name.
    #[serde(default)]
    pub product: Option<String>,
    /// A product file of one's own, in the place of `product`.
    #[serde(default)]
    pub product_file: Option<PathBuf>,
    /// Where its API is, such as `https://gateway.example:8443`.
    pub url: String,
    #[serde(default)]
    pub tls: TlsConfig,
    /// Allows `http://` to another machine, where whoever listens sees the secrets.
    #[serde(default)]
    pub plain: bool,
    #[serde(default)]
    pub settings: BTreeMap<String, toml::Value>,
    #[serde(default)]
    pub secrets: BTreeMap<String, Secret>,
    /// Names that are never a target: the gateway's, the brokers' bridges', this machine's.
    #[serde(default)]
    pub own: BTreeMap<Key, Vec<SmolStr>>,
    /// Seconds one call may take, all its requests together.
    #[serde(default = "time_limit_default")]
    pub time_limit: u64,
}

fn time_limit_default() -> u64 {
    10
}

pub struct HttpGateway {
    about: About,
    product: Product,
    settings: Value,
    runner: Runner,
}

/// What a look at the product came to.
#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    InForce,
    /// Ours, but not as ordered.
    Outdated,
    Absent,
    Foreign(String),
}

impl HttpGateway {
    /// # Errors
    /// A product file that cannot be right, with its line; settings or secrets that are missing, unknown or of another
    /// type; an address or TLS files that cannot be used.
    pub fn new(name: &str, config: &HttpConfig) -> Result<HttpGateway, Error> {
        let wrong = |problem: String| Error::Wrong(format!("gateway `{name}`: {problem}"));
        let product = match (&config.product, &config.product_file) {
            (Some(product), None) => Product::parse(product, shipped::source(product)?)?,
            (None, Some(path)) => {
                let shown = path.display().to_string();
                let source = std::fs::read_to_string(path)
                    .map_err(|error| wrong(format!("product file `{shown}` cannot be read: {error}")))?;
                Product::parse(&shown, &source)?
            }
            _ => return Err(wrong("expected either `product` or `product_file`".to_owned())),
        };
        let settings = settings(&product, &config.settings).map_err(wrong)?;
        if let Some((missing, need)) = product.secrets.iter().find(|(name, _)| !config.secrets.contains_key(*name)) {
            return Err(wrong(format!("secret `{missing}` is missing: {}", need.about)));
        }
        if let Some(unknown) = config.secrets.keys().find(|name| !product.secrets.contains_key(*name)) {
            let known: Vec<&str> = product.secrets.keys().map(String::as_str).collect();
            return Err(wrong(format!("secret `{unknown}` is unknown, expected {}", known.join(", "))));
        }
        let time_limit = time_limit(name, "time_limit", config.time_limit)?;
        let client = Client::new(&config.url, &config.tls, config.plain, product.requests_per_second)?;
        let own = own(config, client.host()).map_err(|failure| wrong(failure.message))?;
        let about = About {
            name: name.into(),
            product: product.name.as_str().into(),
            abilities: product.abilities.iter().map(ability).collect(),
            time_limit,
            own,
        };
        let secrets = config.secrets.clone();
        let runner = Runner::new(client, product.sign_in.clone(), product.message.clone(), secrets)
            .map_err(|error| wrong(error.to_string()))?;
        Ok(HttpGateway { about, product, settings, runner })
    }

    fn ability(&self, order: &Order) -> Result<ProductAbility, Failure> {
        let level = order.level;
        let found = self.product.abilities.iter().find(|ability| ability.level == level);
        found.cloned().ok_or_else(|| {
            Failure::refused(format!("{} cannot do `{}`; choose another gateway", self.product.title, level.name()))
        })
    }

    /// Of what it is told to apply alone: what came to be our own since is let go.
    fn spare_our_own(&self, ability: &ProductAbility, order: &Order) -> Result<(), Failure> {
        for key in &ability.keys {
            let name = one_spelling(*key, order.name(*key)?)?;
            if self.about.own.iter().any(|(own, taken)| own == key && *taken == name) {
                return Err(Failure::refused(format!("{key} `{name}` is one of our own, which is never a target")));
            }
        }
        Ok(())
    }

    /// What the product's templates can name for this order.
    fn scope(&self, ability: &ProductAbility, order: &Order, call: Call) -> Result<Scope, Failure> {
        let mut scope = self.bare_scope();
        let word = match call {
            Call::Apply => "apply",
            Call::ReadBack => "read_back",
            Call::Undo => "undo",
        };
        scope.set("call", word);
        for key in &ability.keys {
            scope.set(key.name(), one_spelling(*key, order.name(*key)?)?);
        }
        let until = order.until.map(|until| until.0.div_euclid(MICROS_PER_SECOND));
        scope.set("until", Value::from(until));
        scope.set("seconds_left", Value::from(until.map(|until| until - now())));
        scope.set("mark", order.mark());
        scope.set("receipt", Value::from(Serde(&order.receipt)));
        let told = [
            ("action_id", order.action_id.as_str()),
            ("incident_id", order.incident_id.as_str()),
            ("device_id", order.device_id.as_str()),
            ("level", order.level.name()),
            ("note", order.note.as_str()),
        ];
        scope.set("order", Value::from_pairs(told));
        Ok(scope)
    }

    fn bare_scope(&self) -> Scope {
        let mut scope = Scope::default();
        scope.set("setting", self.settings.clone());
        scope.set("host", self.runner.client().host());
        scope.set("now", now());
        scope
    }

    fn look(&mut self, ability: &ProductAbility, scope: &mut Scope, deadline: Deadline) -> Result<State, Failure> {
        self.runner.run(&ability.look, scope, deadline)?;
        let found = as_json(&self.runner.evaluate(&ability.found, scope)?)?;
        let state = match found.as_str() {
            Some("in_force") => State::InForce,
            Some("outdated") => State::Outdated,
            Some("absent") => State::Absent,
            _ => match found.get("foreign") {
                Some(by) => State::Foreign(in_short(by)),
                None => return Err(Failure::refused(format!("looking at it gave `{found}`, which says nothing"))),
            },
        };
        let word = match &state {
            State::InForce => "in_force",
            State::Outdated => "outdated",
            State::Absent => "absent",
            State::Foreign(_) => "foreign",
        };
        scope.set("found", word);
        Ok(state)
    }
}

impl Gateway for HttpGateway {
    fn about(&self) -> &About {
        &self.about
    }

    fn apply(&mut self, permit: &Permit, order: &Order) -> Result<Applied, Failure> {
        let deadline = permit.deadline(self.about.time_limit)?;
        let ability = self.ability(order)?;
        self.spare_our_own(&ability, order)?;
        let mut scope = self.scope(&ability, order, Call::Apply)?;
        if order.until.is_some_and(|until| until.0 <= now().saturating_mul(MICROS_PER_SECOND)) {
            return Err(Failure::refused("its end has passed already"));
        }
        let state = self.look(&ability, &mut scope, deadline)?;
        if let State::Foreign(by) = &state
            && !ability.beside_others
        {
            let problem = format!("`{by}` restricts the device already; ours cannot stand beside it, and it was left");
            return Err(Failure::new(FailureKind::Conflict, problem));
        }
        self.runner.run(&ability.apply, &mut scope, deadline)?;
        let receipt = match &ability.receipt {
            Some(text) => receipt(&self.runner, text, &scope)?,
            None => order.receipt.clone(),
        };
        Ok(Applied { receipt, already: state == State::InForce })
    }

    fn read_back(&mut self, permit: &Permit, order: &Order) -> Result<Found, Failure> {
        let deadline = permit.deadline(self.about.time_limit)?;
        let ability = self.ability(order)?;
        let mut scope = self.scope(&ability, order, Call::ReadBack)?;
        Ok(match self.look(&ability, &mut scope, deadline)? {
            State::InForce => Found::InForce,
            // Something of ours stands there: to be applied again, which brings it up to date, or to be taken back.
            State::Outdated => Found::Partly,
            State::Absent => Found::Absent,
            State::Foreign(by) => Found::Foreign { by },
        })
    }

    fn undo(&mut self, permit: &Permit, order: &Order) -> Result<Undone, Failure> {
        let deadline = permit.deadline(self.about.time_limit)?;
        let ability = self.ability(order)?;
        if !ability.can_be_undone {
            return Ok(Undone::Already);
        }
        let mut scope = self.scope(&ability, order, Call::Undo)?;
        let state = self.look(&ability, &mut scope, deadline)?;
        if let State::Foreign(by) = state {
            return Ok(Undone::Foreign { by });
        }
        let gone = state == State::Absent;
        // What goes with it, such as ending a session, may not have been reached the last time: it has a `when` of its own.
        let steps: Vec<Step> = ability.undo.into_iter().filter(|step| !gone || step.when.is_some()).collect();
        let nothing_changed = self.runner.run(&steps, &mut scope, deadline)?;
        Ok(if gone || nothing_changed { Undone::Already } else { Undone::Done })
    }

    fn probe(&mut self, permit: &Permit) -> Result<(), Failure> {
        let deadline = permit.deadline(self.about.time_limit)?;
        let mut scope = self.bare_scope();
        let steps = self.product.probe.clone();
        self.runner.run(&steps, &mut scope, deadline).map(|_| ())
    }
}

/// Who stands there, as a gateway says it: for people, and for the journal.
fn in_short(by: &serde_json::Value) -> String {
    let by = by.as_str().filter(|by| !by.trim().is_empty()).unwrap_or("somebody else");
    by.chars().filter(|letter| !letter.is_control()).take(LONGEST_NAME).collect()
}

fn ability(ability: &ProductAbility) -> Ability {
    Ability {
        level: ability.level,
        keys: ability.keys.clone(),
        cuts_sessions: ability.cuts_sessions,
        ends_by_itself: ability.ends_by_itself,
        can_be_undone: ability.can_be_undone,
        repeat: ability.repeat,
        witness: ability.witness.unwrap_or_else(|| Witness::of(&ability.keys)),
    }
}

/// What the configuration names, in the spelling names are compared in, and the gateway's own address.
fn own(config: &HttpConfig, host: &str) -> Result<Vec<(Key, SmolStr)>, Failure> {
    let mut own = Vec::new();
    for (key, names) in &config.own {
        for name in names {
            own.push((*key, one_spelling(*key, name)?.into()));
        }
    }
    if let Ok(address) = one_spelling(Key::Ip, host.trim_matches(['[', ']'])) {
        own.push((Key::Ip, address.into()));
    }
    Ok(own)
}

/// What the installation says, over the product's defaults.
fn settings(product: &Product, given: &BTreeMap<String, toml::Value>) -> Result<Value, String> {
    if let Some(unknown) = given.keys().find(|name| !product.settings.contains_key(*name)) {
        let known: Vec<&str> = product.settings.keys().map(String::as_str).collect();
        return Err(format!("setting `{unknown}` is unknown, expected {}", known.join(", ")));
    }
    let mut settings = BTreeMap::new();
    for (name, setting) in &product.settings {
        let Some(value) = given.get(name).or(setting.default.as_ref()) else {
            return Err(format!("setting `{name}` is missing: {}", setting.about));
        };
        let expected = setting.default.as_ref().map_or("string", toml::Value::type_str);
        if value.type_str() != expected {
            return Err(format!("setting `{name}` is `{value}`, expected a {expected}: {}", setting.about));
        }
        if value.as_str() == Some("") && setting.default.as_ref().and_then(toml::Value::as_str) != Some("") {
            return Err(format!("setting `{name}` is empty: {}", setting.about));
        }
        settings.insert(name.clone(), Value::from(Serde(value)));
    }
    Ok(Value::from_pairs(settings))
}
