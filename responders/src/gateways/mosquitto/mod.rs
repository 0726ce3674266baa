//! Mosquitto with its dynamic security plug-in: a device's username is disabled, which ends its connection at once and lets it
//! sign in no more.
//!
//! The plug-in keeps no time-out and no author. So a role without any rights, named as our mark, is given to the client before
//! it is disabled and taken away after it is enabled: a client that is disabled without such a role was disabled by somebody
//! else, and stays so. The role is in the broker's own file and outlives a crash of either side. Between peers nothing
//! softer is offered: all talk goes through the broker, and a client without rights is still connected.

mod command;
mod link;

use fleet::Level;
use serde::{Deserialize, Serialize};
use serde_json::json;
use smol_str::SmolStr;

use self::command::{
    Account, CLIENT_NOT_FOUND, ROLE_EXISTS, ROLE_NOT_FOUND, account, add_role, create_role, delete_role, disable, done,
    enable, get_client, remove_role,
};
use self::link::{Broker, Link};
use super::{
    Ability, About, Applied, Deadline, Failure, Found, Gateway, Key, Order, Permit, Repeat, Undone, check_workers,
};
use crate::config::time_limit;
use crate::error::Error;
use crate::tls::TlsConfig;
use fleet::Secret;

/// Role that `mosquitto_ctrl dynsec init` gives to whoever administers the broker.
const ADMINISTRATOR: &str = "admin";
const SOMEBODY: &str = "somebody else, without a role of ours";

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MosquittoConfig {
    /// `mqtts://host:8883`; `mqtt://` only on this machine.
    pub url: String,
    /// Who may write to the control topic and read its answers; that is an administrator of all clients.
    pub username: SmolStr,
    pub password: Secret,
    #[serde(default)]
    pub tls: TlsConfig,
    /// Usernames that are never disabled, besides `username`: bridges, services.
    #[serde(default)]
    pub own: Vec<SmolStr>,
    /// How long one call may take.
    #[serde(default = "ten")]
    pub time_limit_seconds: u32,
    /// Calls at the same time, each over a connection of its own.
    #[serde(default = "four")]
    pub workers: u32,
}

fn ten() -> u32 {
    10
}

fn four() -> u32 {
    4
}

pub struct Mosquitto {
    about: About,
    link: Link,
    workers: u32,
}

impl Mosquitto {
    /// # Errors
    /// The URL is none, or has no TLS and leaves this machine; what [`TlsConfig::client`] says; a time limit of
    /// nothing, or too many workers.
    pub fn new(name: impl Into<SmolStr>, config: MosquittoConfig) -> Result<Mosquitto, Error> {
        let name = name.into();
        let time_limit = time_limit(&name, "time_limit_seconds", config.time_limit_seconds.into())?;
        check_workers(&name, config.workers)?;
        let broker = Broker::new(&name, &config)?;
        let ability = |level| Ability {
            level,
            keys: vec![Key::Username],
            cuts_sessions: true,
            ends_by_itself: false,
            can_be_undone: true,
            repeat: Repeat::Harmless,
            witness: super::Witness::Messages,
        };
        let own = config.own.iter().chain([&config.username]);
        let about = About {
            name,
            product: "Mosquitto".into(),
            abilities: vec![ability(Level::Quarantine), ability(Level::Disable)],
            time_limit,
            own: own.map(|username| (Key::Username, username.clone())).collect(),
        };
        Ok(Mosquitto { about, link: Link::new(broker), workers: config.workers })
    }

    fn look(&mut self, username: &str, deadline: Deadline) -> Result<Option<Account>, Failure> {
        let answers = self.link.ask(vec![get_client(username)], deadline)?;
        account(&answers[0])
    }

    fn username<'a>(&self, order: &'a Order) -> Result<&'a str, Failure> {
        if self.about.ability(order.level).is_none() {
            let message = format!("gateway `{}` has no level `{}`", self.about.name, order.level);
            return Err(Failure::refused(message));
        }
        let username = order.name(Key::Username)?;
        if username.is_empty() {
            return Err(Failure::refused(format!("device `{}` has an empty username", order.device_id)));
        }
        Ok(username)
    }

    fn spare_our_own(&self, username: &str) -> Result<(), Failure> {
        if self.about.own.iter().any(|(_, own)| own == username) {
            let message = format!("`{username}` is a username of ours or of a bridge; it is never disabled");
            return Err(Failure::refused(message));
        }
        Ok(())
    }

    /// Enables it, if we disabled it and no other action of ours still does, and takes our role from it.
    fn release(&mut self, username: &str, mark: &str, deadline: Deadline) -> Result<Undone, Failure> {
        let Some(account) = self.look(username, deadline)? else { return Ok(Undone::Already) };
        let other = account.marks().find(|other| *other != mark).map(str::to_owned);
        let is_held_by_others = account.disabled && (!account.has(mark) || other.is_some());
        if account.disabled && !is_held_by_others {
            let answers = self.link.ask(vec![enable(username)], deadline)?;
            done(&answers[0], &[CLIENT_NOT_FOUND])?;
        }
        // Last: until here a crash finds the client still ours.
        if account.has(mark) {
            let answers = self.link.ask(vec![remove_role(username, mark)], deadline)?;
            done(&answers[0], &[CLIENT_NOT_FOUND, ROLE_NOT_FOUND])?;
        }
        if is_held_by_others {
            return Ok(Undone::Foreign { by: other.unwrap_or_else(|| SOMEBODY.to_owned()) });
        }
        Ok(if account.disabled { Undone::Done } else { Undone::Already })
    }

    fn forget_role(&mut self, mark: &str, deadline: Deadline) -> Result<(), Failure> {
        let answers = self.link.ask(vec![delete_role(mark)], deadline)?;
        done(&answers[0], &[ROLE_NOT_FOUND])
    }
}

/// Whom it was applied to, should the inventory say another since.
fn applied_to(order: &Order) -> Option<&str> {
    order.receipt.as_ref()?["username"].as_str()
}

fn unknown(username: &str) -> Failure {
    Failure::refused(format!(
        "`{username}` is no client of the broker's dynamic security; make it one with `mosquitto_ctrl dynsec createClient`, \
         or use another gateway for this device"
    ))
}

impl Gateway for Mosquitto {
    fn about(&self) -> &About {
        &self.about
    }

    fn apply(&mut self, permit: &Permit, order: &Order) -> Result<Applied, Failure> {
        let username = self.username(order)?;
        self.spare_our_own(username)?;
        let deadline = permit.deadline(self.about.time_limit)?;
        let mark = order.mark();
        let receipt = json!({ "username": username, "role": mark });
        let foreign = || Applied { receipt: Some(json!({ "foreign": SOMEBODY })), already: false };
        let before = self.look(username, deadline)?.ok_or_else(|| unknown(username))?;
        if before.has(ADMINISTRATOR) {
            let message = format!("`{username}` administers the broker (role `{ADMINISTRATOR}`); it is never disabled");
            return Err(Failure::refused(message));
        }
        if let Some(former) = applied_to(order).filter(|former| *former != username) {
            self.release(former, &mark, deadline)?;
        }
        if before.disabled && before.has(&mark) {
            return Ok(Applied { receipt: Some(receipt), already: true });
        }
        if before.disabled && before.marks().next().is_none() {
            return Ok(foreign());
        }
        if !before.has(&mark) {
            let commands = vec![create_role(&mark, &order.note), add_role(username, &mark), get_client(username)];
            let answers = self.link.ask(commands, deadline)?;
            done(&answers[0], &[ROLE_EXISTS])?;
            // The plug-in says `Internal error` to a role that is there already: the client tells.
            let marked = account(&answers[2])?.ok_or_else(|| unknown(username))?;
            if !marked.has(&mark) {
                done(&answers[1], &[])?;
                return Err(Failure::unreachable(format!("`{username}` did not get the role `{mark}`")));
            }
        }
        permit.left()?;
        let answers = self.link.ask(vec![get_client(username), disable(username)], deadline)?;
        let meanwhile = account(&answers[0])?.ok_or_else(|| unknown(username))?;
        if meanwhile.disabled && !before.disabled && meanwhile.marks().all(|other| other == mark) {
            // Somebody was faster, between our two looks.
            let answers = self.link.ask(vec![remove_role(username, &mark), delete_role(&mark)], deadline)?;
            done(&answers[1], &[ROLE_NOT_FOUND])?;
            return Ok(foreign());
        }
        done(&answers[1], &[])?;
        Ok(Applied { receipt: Some(receipt), already: false })
    }

    fn read_back(&mut self, permit: &Permit, order: &Order) -> Result<Found, Failure> {
        let username = self.username(order)?;
        let Some(account) = self.look(username, permit.deadline(self.about.time_limit)?)? else {
            return Ok(Found::Absent);
        };
        if !account.disabled {
            return Ok(Found::Absent);
        }
        if account.has(&order.mark()) {
            return Ok(Found::InForce);
        }
        Ok(Found::Foreign { by: account.marks().next().unwrap_or(SOMEBODY).to_owned() })
    }

    fn undo(&mut self, permit: &Permit, order: &Order) -> Result<Undone, Failure> {
        let deadline = permit.deadline(self.about.time_limit)?;
        let mark = order.mark();
        let now = order.names.get(&Key::Username).map(SmolStr::as_str);
        let former = applied_to(order).filter(|former| Some(*former) != now);
        let mut undone = Undone::Already;
        for username in [former, now].into_iter().flatten() {
            match self.release(username, &mark, deadline)? {
                Undone::Already => {}
                Undone::Foreign { .. } if undone == Undone::Done => {}
                found => undone = found,
            }
        }
        self.forget_role(&mark, deadline)?;
        Ok(undone)
    }

    fn probe(&mut self, permit: &Permit) -> Result<(), Failure> {
        let username = self.link.username().to_owned();
        let deadline = permit.deadline(self.about.time_limit)?;
        self.look(&username, deadline).map(|_| ())
    }

    fn beside(&self) -> Vec<Box<dyn Gateway>> {
        let another = |_| -> Box<dyn Gateway> {
            Box::new(Mosquitto { about: self.about.clone(), link: self.link.another(), workers: 1 })
        };
        (1..self.workers).map(another).collect()
    }
}
