//! RADIUS: change of authorisation and disconnect (RFC 5176), sent to an access point or switch, or to a proxy before them.
//!
//! * [`packet`]: requests and answers as bytes, and whether an answer is genuine
//! * [`exchange`]: one request, sent until it is answered
//! * [`cause`]: why it was refused
//!
//! RADIUS changes a session, not a policy. A device whose session was ended signs in again at once, and one that signs in
//! anew in a quarantine network is there only until its session ends: unless the RADIUS server's own policy has changed too,
//! its next one is an ordinary one. Nor can a session be looked at: what holds is known by telemetry alone.

mod cause;
mod exchange;
mod packet;

use std::net::{Ipv4Addr, SocketAddr, ToSocketAddrs};

use fleet::{Level, Mac};
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use self::exchange::{Reply, exchange};
use self::packet::{Attributes, Code};
use super::{
    Ability, About, Applied, Failure, FailureKind, Found, Gateway, Key, Order, Own, Permit, Repeat, Undone, own_names,
};
use crate::config::time_limit;
use crate::error::Error;
use fleet::Secret;
use fleet::secret::NoSecret;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RadiusConfig {
    /// Host and port of dynamic authorisation: 3799, at some of Cisco's 1700.
    pub server: String,
    pub secret: Secret,
    /// Names that make a session known, all of them: `mac` (Calling-Station-Id), `username` (User-Name).
    #[serde(default = "by_mac")]
    pub keys: Vec<Key>,
    #[serde(default)]
    pub mac_form: MacForm,
    /// Where a proxy has to send it on to.
    #[serde(default)]
    pub nas_ip_address: Option<Ipv4Addr>,
    #[serde(default)]
    pub nas_identifier: Option<String>,
    /// What a quarantined session is given, and with `normal` what it is given back. Without them sessions are only ended.
    #[serde(default)]
    pub quarantine: Option<Authorisation>,
    #[serde(default)]
    pub normal: Option<Authorisation>,
    /// Answers without Message-Authenticator are not believed. Many devices send none.
    #[serde(default)]
    pub answers_are_authenticated: bool,
    #[serde(default = "time_limit_seconds")]
    pub time_limit_seconds: u64,
    #[serde(default)]
    pub own: Own,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Authorisation {
    /// Filter-Id: a filter's name at the device.
    pub filter_id: Option<String>,
    /// VLAN's number or name: Tunnel-Private-Group-Id, with Tunnel-Type and Tunnel-Medium-Type.
    pub vlan: Option<String>,
}

/// How Calling-Station-Id is written: as the access point wrote it when the device signed in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MacForm {
    /// `00-10-A4-23-19-C0`, as RFC 3580 asks.
    #[default]
    UpperDashes,
    /// `00-10-a4-23-19-c0`
    LowerDashes,
    /// `00:10:A4:23:19:C0`
    UpperColons,
    /// `00:10:a4:23:19:c0`
    LowerColons,
    /// `0010.a423.19c0`
    LowerDots,
    /// `0010A42319C0`
    UpperPlain,
    /// `0010a42319c0`
    LowerPlain,
}

fn by_mac() -> Vec<Key> {
    vec![Key::Mac]
}

fn time_limit_seconds() -> u64 {
    10
}

pub struct RadiusGateway {
    about: About,
    config: RadiusConfig,
}

impl RadiusGateway {
    /// # Errors
    /// A server that is no address, a secret that cannot be read, names RADIUS does not have, `quarantine` without `normal`.
    pub fn new(name: impl Into<SmolStr>, config: &RadiusConfig) -> Result<RadiusGateway, Error> {
        if config.server.rsplit_once(':').is_none_or(|(host, port)| host.is_empty() || port.parse::<u16>().is_err()) {
            return Err(wrong(format!("server `{}`, expected host and port such as `10.0.0.1:3799`", config.server)));
        }
        config.secret.read()?;
        if config.keys.is_empty() || config.keys.iter().any(|key| !matches!(key, Key::Mac | Key::Username)) {
            return Err(wrong("keys, expected `mac`, `username` or both".to_owned()));
        }
        if config.quarantine.is_some() != config.normal.is_some() {
            return Err(wrong("`quarantine` and `normal` belong together: one of them could not be undone".to_owned()));
        }
        for authorisation in [&config.quarantine, &config.normal].into_iter().flatten() {
            let mut attributes = Attributes::default();
            authorise(&mut attributes, authorisation).map_err(|failure| wrong(failure.message))?;
            if attributes.is_empty() {
                return Err(wrong("an authorisation is empty, expected filter_id, vlan or both".to_owned()));
            }
        }
        if config.quarantine.is_some() && config.quarantine == config.normal {
            return Err(wrong("`quarantine` and `normal` are the same".to_owned()));
        }
        let name = name.into();
        let about = About {
            product: "radius".into(),
            abilities: abilities(config),
            time_limit: time_limit(&name, "time_limit_seconds", config.time_limit_seconds)?,
            own: own_names(&config.own),
            name,
        };
        Ok(RadiusGateway { about, config: config.clone() })
    }

    fn send(&self, permit: &Permit, code: Code, attributes: &Attributes) -> Result<Reply, Failure> {
        let unread = |missing: NoSecret| Failure::new(FailureKind::Unauthorised, missing.to_string());
        let secret = self.config.secret.read().map_err(unread)?;
        let request = packet::request(code, attributes, secret.as_bytes())?;
        let left = permit.left()?.min(self.about.time_limit);
        exchange(self.address()?, &request, secret.as_bytes(), self.config.answers_are_authenticated, left)
    }

    /// Looked up for each call: addresses move.
    fn address(&self) -> Result<SocketAddr, Failure> {
        let server = &self.config.server;
        let found = server.to_socket_addrs().map_err(|error| Failure::unreachable(format!("`{server}`: {error}")))?;
        found.into_iter().next().ok_or_else(|| Failure::unreachable(format!("`{server}` has no address")))
    }

    /// The session, by all the names that were configured.
    fn session(&self, order: &Order) -> Result<Attributes, Failure> {
        let mut attributes = self.device_behind()?;
        for key in &self.config.keys {
            let name = order.name(*key)?;
            if name.is_empty() {
                return Err(Failure::refused(format!("the device's {key} is empty; correct the inventory")));
            }
            match key {
                Key::Mac => attributes.text(packet::CALLING_STATION_ID, &written(name, self.config.mac_form)?)?,
                _ => attributes.text(packet::USER_NAME, name)?,
            }
        }
        Ok(attributes)
    }

    fn device_behind(&self) -> Result<Attributes, Failure> {
        let mut attributes = Attributes::default();
        if let Some(address) = self.config.nas_ip_address {
            attributes.bytes(packet::NAS_IP_ADDRESS, &address.octets())?;
        }
        if let Some(name) = &self.config.nas_identifier {
            attributes.text(packet::NAS_IDENTIFIER, name)?;
        }
        Ok(attributes)
    }

    /// Whether there was a session to change.
    fn change(&self, permit: &Permit, order: &Order, to: Option<&Authorisation>) -> Result<bool, Failure> {
        let to = to.ok_or_else(|| cannot(order.level))?;
        let mut attributes = self.session(order)?;
        authorise(&mut attributes, to)?;
        match self.send(permit, Code::CoaRequest, &attributes)? {
            Reply::Ack => Ok(true),
            Reply::Nak(Some(cause::SESSION_NOT_FOUND)) => Ok(false),
            Reply::Nak(cause) => Err(cause::failure(cause)),
        }
    }
}

fn abilities(config: &RadiusConfig) -> Vec<Ability> {
    let terminate = Ability {
        level: Level::TerminateSession,
        keys: config.keys.clone(),
        cuts_sessions: true,
        ends_by_itself: false,
        can_be_undone: false,
        repeat: Repeat::Error,
        witness: super::Witness::Traffic,
    };
    let quarantine =
        Ability { level: Level::Quarantine, can_be_undone: true, repeat: Repeat::Harmless, ..terminate.clone() };
    if config.quarantine.is_some() { vec![terminate, quarantine] } else { vec![terminate] }
}

impl Gateway for RadiusGateway {
    fn about(&self) -> &About {
        &self.about
    }

    fn apply(&mut self, permit: &Permit, order: &Order) -> Result<Applied, Failure> {
        match order.level {
            Level::TerminateSession => {
                let already = match self.send(permit, Code::DisconnectRequest, &self.session(order)?)? {
                    Reply::Ack => false,
                    Reply::Nak(Some(cause::SESSION_NOT_FOUND)) => true,
                    Reply::Nak(cause) => return Err(cause::failure(cause)),
                };
                Ok(Applied { receipt: None, already })
            }
            Level::Quarantine => {
                if self.change(permit, order, self.config.quarantine.as_ref())? {
                    return Ok(Applied::default());
                }
                // Its next session would be an ordinary one: it is tried again while it matters.
                Err(cause::no_session())
            }
            other => Err(cannot(other)),
        }
    }

    /// RADIUS cannot look at a session.
    fn read_back(&mut self, _: &Permit, _: &Order) -> Result<Found, Failure> {
        Ok(Found::Unknown)
    }

    fn undo(&mut self, permit: &Permit, order: &Order) -> Result<Undone, Failure> {
        if order.level == Level::TerminateSession {
            return Ok(Undone::Already);
        }
        let was_there = self.change(permit, order, self.config.normal.as_ref())?;
        Ok(if was_there { Undone::Done } else { Undone::Already })
    }

    /// Asks to end a session that nobody can have: any genuine answer will do.
    fn probe(&mut self, permit: &Permit) -> Result<(), Failure> {
        const NOBODY: &str = "vedette-probe/00000000-0000-0000-0000-000000000000";
        let mut attributes = self.device_behind()?;
        attributes.text(packet::USER_NAME, NOBODY)?;
        attributes.text(packet::CALLING_STATION_ID, &written("00:00:00:00:00:00", self.config.mac_form)?)?;
        attributes.text(packet::ACCT_SESSION_ID, NOBODY)?;
        self.send(permit, Code::DisconnectRequest, &attributes).map(drop)
    }
}

fn authorise(attributes: &mut Attributes, to: &Authorisation) -> Result<(), Failure> {
    if let Some(filter) = &to.filter_id {
        attributes.text(packet::FILTER_ID, filter)?;
    }
    if let Some(vlan) = &to.vlan {
        attributes.tagged(packet::TUNNEL_TYPE, packet::VLAN)?;
        attributes.tagged(packet::TUNNEL_MEDIUM_TYPE, packet::IEEE_802)?;
        attributes.text(packet::TUNNEL_PRIVATE_GROUP_ID, vlan)?;
    }
    Ok(())
}

fn written(mac: &str, form: MacForm) -> Result<String, Failure> {
    let mac = mac.parse::<Mac>().map_err(Failure::refused)?;
    let digits = mac.to_string().replace(':', "");
    let (upper, separator, every) = match form {
        MacForm::UpperDashes => (true, "-", 2),
        MacForm::LowerDashes => (false, "-", 2),
        MacForm::UpperColons => (true, ":", 2),
        MacForm::LowerColons => (false, ":", 2),
        MacForm::LowerDots => (false, ".", 4),
        MacForm::UpperPlain => (true, "", 12),
        MacForm::LowerPlain => (false, "", 12),
    };
    let digits = if upper { digits.to_ascii_uppercase() } else { digits };
    Ok((0..12).step_by(every).map(|at| &digits[at..at + every]).collect::<Vec<_>>().join(separator))
}

fn wrong(problem: String) -> Error {
    Error::Wrong(format!("radius: {problem}"))
}

fn cannot(level: Level) -> Failure {
    Failure::refused(format!(
        "RADIUS cannot `{level}` as it is configured, expected terminate-session, or quarantine with `quarantine` and `normal`"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hardware_addresses_in_all_forms() {
        let forms = [
            (MacForm::UpperDashes, "00-10-A4-23-19-C0"),
            (MacForm::LowerDashes, "00-10-a4-23-19-c0"),
            (MacForm::UpperColons, "00:10:A4:23:19:C0"),
            (MacForm::LowerColons, "00:10:a4:23:19:c0"),
            (MacForm::LowerDots, "0010.a423.19c0"),
            (MacForm::UpperPlain, "0010A42319C0"),
            (MacForm::LowerPlain, "0010a42319c0"),
        ];
        for (form, expected) in forms {
            for (_, given) in forms {
                assert_eq!(written(given, form).unwrap(), expected);
            }
        }
        assert!(written("00:10:a4:23:19", MacForm::default()).is_err());
        assert!(written("00:10:a4:23:19:cä", MacForm::default()).is_err());
    }
}
