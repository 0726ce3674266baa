//! nftables, on any Linux gateway: a device's address goes into a set, with the time it ends, and rules drop what goes to it
//! and comes from it.
//!
//! It sees what the gateway routes, and what goes to and from the gateway itself. Devices of one bridge or access point that
//! talk to each other pass it by. Order: look, refuse what is the gateway's own, change everything in one transaction, cut
//! what connection tracking knows. Elements carry our mark as their comment; whatever carries another is left.

mod rules;
mod run;
mod state;
mod target;

use std::time::{SystemTime, UNIX_EPOCH};

use fleet::{EventTime, Level};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use smol_str::SmolStr;

use self::rules::{Rules, TABLE, rules};
use self::run::{Ended, run};
use self::state::{Element, State, delete, seconds_left};
use self::target::{Target, addresses};
use super::{
    Ability, About, Applied, Deadline, Failure, FailureKind, Found, Gateway, Key, Order, Permit, Repeat, Undone,
    check_workers,
};
use crate::config::time_limit;
use crate::error::Error;

/// Tries of a change that somebody else's was faster than.
const TRIES: u32 = 3;
/// Of a comment, in bytes, with the zero at its end.
const LONGEST_COMMENT: usize = 128;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NftConfig {
    /// Words that run `nft` there: `["nft"]`, `["ip", "netns", "exec", "NAME", "nft"]`, or
    /// `["ssh", "-o", "BatchMode=yes", "gw1", "nft"]`.
    pub run: Vec<String>,
    /// Words that run `conntrack` there; without them as `run` says, and `[]` does without.
    pub conntrack: Option<Vec<String>>,
    /// Words that run `ip` there, which tells the gateway's own addresses; without them as `run` says, and `[]` does without.
    pub ip: Option<Vec<String>>,
    /// Networks of devices: whoever is in them is a peer. Without any, `block-peers` is not offered.
    pub local_nets: Vec<IpNet>,
    /// Hosts and networks in `local_nets` that everybody may go on to use: brokers, resolvers.
    pub services: Vec<IpNet>,
    /// Kilobytes a second that a throttled device may send, and as many it may get. Without it `throttle` is not offered.
    pub throttle_kilobytes: Option<u32>,
    /// Whether a quarantine also drops what comes from the device's hardware address, whatever address of the network it has
    /// taken. Only where devices are attached to this gateway directly and the inventory's hardware addresses are theirs: behind
    /// another router all have the router's.
    pub by_hardware: bool,
    /// Addresses and hardware addresses that are never restricted, besides the gateway's own.
    pub own: Vec<SmolStr>,
    /// How long one call may take.
    pub time_limit_seconds: u32,
    /// Calls at the same time, of up to seven programs each; over ssh, which takes ten sign-ins at once as it is installed, it
    /// is mostly waiting.
    pub workers: u32,
}

impl Default for NftConfig {
    fn default() -> NftConfig {
        NftConfig {
            run: vec!["nft".to_owned()],
            conntrack: None,
            ip: None,
            local_nets: Vec::new(),
            services: Vec::new(),
            throttle_kilobytes: None,
            by_hardware: false,
            own: Vec::new(),
            time_limit_seconds: 10,
            workers: 4,
        }
    }
}

#[derive(Clone)]
pub struct Nftables {
    about: About,
    rules: Rules,
    nft: Vec<String>,
    conntrack: Vec<String>,
    ip: Vec<String>,
    by_hardware: bool,
    workers: u32,
}

impl Nftables {
    /// # Errors
    /// A command without words, an own name that is no address, a rate or time limit of nothing, too many workers.
    pub fn new(name: impl Into<SmolStr>, config: NftConfig) -> Result<Nftables, Error> {
        let name = name.into();
        let wrong = |what: String| Err(Error::Wrong(format!("gateway `{name}`: {what}")));
        let Some((last, before)) = config.run.split_last() else {
            return wrong("`run` is empty, expected words like `[\"nft\"]`".to_owned());
        };
        if config.throttle_kilobytes == Some(0) {
            return wrong("`throttle_kilobytes` is `0`, expected at least 1".to_owned());
        }
        let time_limit = time_limit(&name, "time_limit_seconds", config.time_limit_seconds.into())?;
        check_workers(&name, config.workers)?;
        let mut own = Vec::new();
        for text in &config.own {
            let key = match (text.parse::<std::net::IpAddr>(), text.parse::<fleet::Mac>()) {
                (Ok(_), _) => Key::Ip,
                (_, Ok(_)) => Key::Mac,
                _ => return wrong(format!("`own` has `{text}`, expected an address or a hardware address")),
            };
            own.push((key, text.clone()));
        }
        // `/usr/sbin/nft` has its neighbours in the same folder.
        let beside = |program: &str| -> Vec<String> {
            let folder = last.rfind('/').map_or("", |end| &last[..=end]);
            before.iter().cloned().chain([format!("{folder}{program}")]).collect()
        };
        let rules = rules(&config.local_nets, &config.services, config.throttle_kilobytes);
        let abilities = rules.levels.iter().map(|level| Ability {
            level: *level,
            keys: vec![Key::Ip],
            cuts_sessions: *level != Level::Throttle,
            ends_by_itself: true,
            can_be_undone: true,
            repeat: Repeat::Harmless,
            witness: super::Witness::Traffic,
        });
        let about = About { abilities: abilities.collect(), product: "nftables".into(), time_limit, own, name };
        Ok(Nftables {
            about,
            rules,
            conntrack: config.conntrack.unwrap_or_else(|| beside("conntrack")),
            ip: config.ip.unwrap_or_else(|| beside("ip")),
            nft: config.run,
            by_hardware: config.by_hardware,
            workers: config.workers,
        })
    }

    /// When the call has to be over.
    fn target(&self, order: &Order) -> Result<Target, Failure> {
        if self.about.ability(order.level).is_none() {
            let message = format!("gateway `{}` has no level `{}`", self.about.name, order.level);
            return Err(Failure::refused(message));
        }
        if order.mark().len() >= LONGEST_COMMENT {
            let message = format!("action `{}` is too long for a comment of nftables", order.action_id);
            return Err(Failure::refused(message));
        }
        Target::of(order, self.by_hardware)
    }

    /// The gateway's own addresses are asked for each time: they change, and a gateway that cuts itself off cannot be asked to
    /// undo it.
    fn spare_the_gateway(&self, target: &Target, deadline: Deadline) -> Result<(), Failure> {
        target.is_none_of(self.about.own.iter().map(|(_, name)| name.as_str()))?;
        if self.ip.is_empty() {
            return Ok(());
        }
        let ended = run(&self.ip, &["-j", "addr"], "", deadline)?;
        let listing = let_through(&self.ip, ended)?;
        let own = addresses(&listing).map_err(|problem| {
            Failure::refused(format!(
                "`{}`: {problem}; correct `ip`, or name the addresses in `own`",
                self.ip.join(" ")
            ))
        })?;
        target.is_none_of(own.iter().map(String::as_str))
    }

    fn look(&self, deadline: Deadline) -> Result<State, Failure> {
        let ended = run(&self.nft, &["-j", "list", "table", "inet", TABLE], "", deadline)?;
        if !ended.well() && ended.barred(&self.nft).is_none() && is_without_table(&ended.complaint) {
            return Ok(State::default());
        }
        let listing = let_through(&self.nft, ended)?;
        State::read(&listing, &self.rules)
            .map_err(|problem| Failure::refused(format!("`{}`: {problem}", self.nft.join(" "))))
    }

    /// One transaction: all of it, or nothing. What `nft` said, if somebody else changed the table since it was looked at.
    fn change(&self, commands: &[Value], deadline: Deadline) -> Result<Option<String>, Failure> {
        let ended = run(&self.nft, &["-j", "-f", "-"], &json!({ "nftables": commands }).to_string(), deadline)?;
        let meanwhile = ["Error: Could not process rule: File exists", "Error: Could not process rule: No such file"];
        let is_late = meanwhile.iter().any(|words| ended.complaint.contains(words));
        if !ended.well() && ended.barred(&self.nft).is_none() && is_late {
            return Ok(Some(ended.said()));
        }
        let_through(&self.nft, ended)?;
        Ok(None)
    }

    /// What a flow table carries passes no rule of ours until connection tracking forgets it. The rules hold without it.
    fn forget_connections(&self, target: &Target, deadline: Deadline) {
        if self.conntrack.is_empty() {
            return;
        }
        let address = target.address.to_string();
        let family = if target.address.is_ipv4() { "ipv4" } else { "ipv6" };
        for side in ["-s", "-d", "-r"] {
            let ended = match run(&self.conntrack, &["-D", "-f", family, side, &address], "", deadline) {
                Ok(ended) => ended,
                // Not installed: nothing to tell at every action.
                Err(failure) if failure.kind == FailureKind::Refused => return,
                Err(failure) => {
                    tracing::warn!(gateway = %self.about.name, "connections are not forgotten: {failure}");
                    return;
                }
            };
            if ended.code == Some(127) {
                return;
            }
            if !ended.well() && !ended.complaint.contains("0 flow entries") {
                tracing::warn!(gateway = %self.about.name, "connections are not forgotten: {}", ended.said());
                return;
            }
        }
    }

    fn elements(&self, order: &Order) -> Result<(Target, Vec<Element>), Failure> {
        let target = self.target(order)?;
        let elements = target.elements(order.level);
        Ok((target, elements))
    }
}

impl Gateway for Nftables {
    fn about(&self) -> &About {
        &self.about
    }

    fn apply(&mut self, permit: &Permit, order: &Order) -> Result<Applied, Failure> {
        let (target, wanted) = self.elements(order)?;
        let deadline = permit.deadline(self.about.time_limit)?;
        self.spare_the_gateway(&target, deadline)?;
        let mark = order.mark();
        let names: Vec<String> = wanted.iter().map(|element| format!("{} {}", element.set, element.value)).collect();
        let mut said = String::new();
        for _ in 0..TRIES {
            let mut state = self.look(deadline)?;
            let was_asleep = state.asleep;
            if was_asleep {
                self.change(&[Rules::table()], deadline)?;
                state = self.look(deadline)?;
            }
            if let Some(by) = state.foreign(&wanted, &mark) {
                // It is kept out, and not by us: reading back says so. The rules are everybody's.
                if !state.intact {
                    self.change(&self.rules.commands(), deadline)?;
                }
                return Ok(Applied { receipt: Some(json!({ "foreign": by })), already: false });
            }
            let receipt = Some(json!({ "elements": names }));
            let commands = state.change(&self.rules, &wanted, &mark, seconds(order)?);
            let already = commands.is_empty() && !was_asleep;
            permit.left()?;
            if !commands.is_empty()
                && let Some(late) = self.change(&commands, deadline)?
            {
                said = late;
                continue;
            }
            // Also when all was there: a crash may have come in between.
            if order.level != Level::Throttle {
                self.forget_connections(&target, deadline);
            }
            return Ok(Applied { receipt, already });
        }
        Err(too_late(&said))
    }

    fn read_back(&mut self, permit: &Permit, order: &Order) -> Result<Found, Failure> {
        let (_, wanted) = self.elements(order)?;
        let state = self.look(permit.deadline(self.about.time_limit)?)?;
        if state.holds(&wanted, &order.mark()) {
            return Ok(Found::InForce);
        }
        match state.foreign(&wanted, &order.mark()) {
            Some(by) if state.intact => Ok(Found::Foreign { by }),
            _ => Ok(Found::Absent),
        }
    }

    /// By our mark, wherever the device is now: an address that has moved is let go too.
    fn undo(&mut self, permit: &Permit, order: &Order) -> Result<Undone, Failure> {
        let deadline = permit.deadline(self.about.time_limit)?;
        let mark = order.mark();
        let mut said = String::new();
        for _ in 0..TRIES {
            let state = self.look(deadline)?;
            let commands: Vec<Value> = state.of(&mark).map(|(element, _)| delete(element)).collect();
            if commands.is_empty() {
                // Without a usable address there is nothing of others' to tell of.
                let wanted = self.elements(order).map(|(_, wanted)| wanted).unwrap_or_default();
                let foreign = state.foreign(&wanted, &mark);
                return Ok(foreign.map_or(Undone::Already, |by| Undone::Foreign { by }));
            }
            permit.left()?;
            match self.change(&commands, deadline)? {
                Some(late) => said = late,
                None => return Ok(Undone::Done),
            }
        }
        Err(too_late(&said))
    }

    fn probe(&mut self, permit: &Permit) -> Result<(), Failure> {
        let ended = run(&self.nft, &["-j", "list", "tables"], "", permit.deadline(self.about.time_limit)?)?;
        let_through(&self.nft, ended).map(|_| ())
    }

    /// Each call changes the table in a transaction of its own, and creates what it adds: calls do not undo each other's.
    fn beside(&self) -> Vec<Box<dyn Gateway>> {
        (1..self.workers).map(|_| -> Box<dyn Gateway> { Box::new(self.clone()) }).collect()
    }
}

fn too_late(said: &str) -> Failure {
    let message = format!("table `inet {TABLE}` is changed by somebody else at the same time: {said}");
    Failure::new(FailureKind::Conflict, message)
}

/// How long it is to hold; `None` is until it is undone.
fn seconds(order: &Order) -> Result<Option<i64>, Failure> {
    let Some(until) = order.until else { return Ok(None) };
    let seconds = seconds_left(until, now());
    if seconds < 1 {
        return Err(Failure::refused(format!("action `{}` was to end at {until}, which is over", order.action_id)));
    }
    Ok(Some(seconds))
}

#[expect(clippy::disallowed_methods, reason = "a time-out begins when it is set, not in event time")]
fn now() -> EventTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    EventTime(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

/// # Errors
/// It could not be run, or complained.
fn let_through(program: &[String], ended: Ended) -> Result<String, Failure> {
    if let Some(failure) = ended.barred(program) {
        return Err(failure);
    }
    if !ended.well() {
        return Err(Failure::refused(format!("`{}`: {}", program.join(" "), ended.said())));
    }
    Ok(ended.output)
}

/// `nft` itself says so and shows its own command: a missing namespace or program is told in other words.
fn is_without_table(complaint: &str) -> bool {
    complaint.starts_with("Error: No such file or directory") && complaint.contains("list table inet")
}
