//! The connection to the control topic: commands go out with words only we know, and only answers that repeat them are
//! believed. Every subscriber gets everybody's answers, so there are others' among them.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{ConnectReturnCode, Packet, PubAckReason, Publish, SubscribeReasonCode};
use rumqttc::v5::{Client, Connection, ConnectionError, Event, MqttOptions, RecvTimeoutError};
use rumqttc::{NetworkOptions, TlsConfiguration, Transport};
use serde_json::{Value, json};
use smol_str::SmolStr;

use super::MosquittoConfig;
use super::command::Answer;
use crate::bytes::{hex, random};
use crate::error::Error;
use crate::gateways::{Deadline, Failure, FailureKind};
use crate::tls::TlsConfig;
use fleet::Secret;

const CONTROL: &str = "$CONTROL/dynamic-security/v1";
const RESPONSE: &str = "$CONTROL/dynamic-security/v1/response";
/// Nothing is sent between calls, so a connection that rested this long may be dead without our knowing.
const MOST_REST: Duration = Duration::from_secs(20);
const KEEP_ALIVE: Duration = Duration::from_secs(60);
/// Bytes of one packet: others' answers may be long lists, which the broker then keeps from us.
const LARGEST_PACKET: u32 = 1 << 20;

/// Where it is and who we are there.
#[derive(Clone, Debug)]
pub struct Broker {
    url: String,
    host: String,
    port: u16,
    /// `None`: without TLS, on this machine.
    tls: Option<TlsConfig>,
    username: SmolStr,
    password: Secret,
}

impl Broker {
    /// # Errors
    /// As [`super::Mosquitto::new`].
    pub fn new(gateway: &str, config: &MosquittoConfig) -> Result<Broker, Error> {
        let wrong = |expected: &str| {
            Error::Wrong(format!("gateway `{gateway}`: url is `{}`, expected {expected}", shown(&config.url)))
        };
        let form = "mqtts://HOST or mqtts://HOST:PORT, a name or an IPv4 address";
        let (scheme, place) = config.url.split_once("://").ok_or_else(|| wrong(form))?;
        let (is_safe, usual) = match scheme {
            "mqtts" => (true, 8883),
            "mqtt" => (false, 1883),
            _ => return Err(wrong(form)),
        };
        let place = place.strip_suffix('/').unwrap_or(place);
        let (host, port) = match place.split_once(':') {
            Some((host, port)) => (host, port.parse().map_err(|_| wrong(form))?),
            None => (place, usual),
        };
        if host.is_empty() || host.contains(['/', '@', '[', '?', '#']) || host.contains(char::is_whitespace) {
            return Err(wrong(form));
        }
        let is_here = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        if !is_safe && !is_here {
            return Err(wrong("mqtts:// for a broker on another machine: our password would be readable on the way"));
        }
        if is_safe {
            config.tls.client()?;
        }
        Ok(Broker {
            url: format!("{scheme}://{host}:{port}"),
            host: host.to_owned(),
            port,
            tls: is_safe.then(|| config.tls.clone()),
            username: config.username.clone(),
            password: config.password.clone(),
        })
    }

    /// Secrets and certificates are read anew each time: they are replaced while we run.
    fn options(&self, name: String, time: Duration) -> Result<MqttOptions, Failure> {
        let unauthorised = |error: Error| Failure::new(FailureKind::Unauthorised, error.to_string());
        let mut options = MqttOptions::new(name, &self.host, self.port);
        let password = self.password.read().map_err(|missing| unauthorised(missing.into()))?;
        options.set_credentials(self.username.as_str(), password);
        options.set_keep_alive(KEEP_ALIVE).set_clean_start(true);
        options.set_connection_timeout(time.as_secs() + 1).set_max_packet_size(Some(LARGEST_PACKET));
        // Small messages that wait for each other's answer.
        let mut network = NetworkOptions::new();
        network.set_tcp_nodelay(true);
        options.set_network_options(network);
        if let Some(tls) = &self.tls {
            let tls = tls.client().map_err(unauthorised)?;
            options.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(Arc::clone(&tls))));
        }
        Ok(options)
    }

    fn failure(&self, error: &ConnectionError) -> Failure {
        use ConnectReturnCode::{
            BadAuthenticationMethod, BadUserNamePassword, Banned, ConnectionRateExceeded, NotAuthorized, QuotaExceeded,
            ServerBusy, ServerUnavailable, ServiceUnavailable,
        };
        let Broker { url, username, .. } = self;
        if let ConnectionError::ConnectionRefused(code) = error {
            return match code {
                BadUserNamePassword | NotAuthorized | Banned | BadAuthenticationMethod => {
                    let remedy = "check `username` and `password`";
                    Failure::new(FailureKind::Unauthorised, format!("{url} does not let `{username}` in; {remedy}"))
                }
                ServerBusy | ServerUnavailable | ServiceUnavailable | ConnectionRateExceeded | QuotaExceeded => {
                    Failure::busy(format!("{url} asks for patience: {code:?}"), None)
                }
                _ => Failure::refused(format!("{url} refuses the connection: {code:?}")),
            };
        }
        let said = error.to_string();
        if said.contains("invalid peer certificate") {
            return Failure::refused(format!("{url}: {said}; name its authority in `tls.ca`"));
        }
        Failure::unreachable(format!("{url}: {said}"))
    }
}

/// Without what stands between `//` and `@`.
fn shown(url: &str) -> String {
    match (url.find("//"), url.rfind('@')) {
        (Some(start), Some(end)) if start + 2 < end => format!("{}...{}", &url[..start + 2], &url[end..]),
        _ => url.to_owned(),
    }
}

/// One connection, kept between calls that follow each other.
pub struct Link {
    broker: Broker,
    live: Option<Live>,
}

impl Link {
    pub fn new(broker: Broker) -> Link {
        Link { broker, live: None }
    }

    /// To the same broker, over a connection of its own.
    pub fn another(&self) -> Link {
        Link::new(self.broker.clone())
    }

    pub fn username(&self) -> &str {
        &self.broker.username
    }

    /// Sends the commands as one message, which the broker carries out in order with nothing in between, and gives an answer
    /// to each.
    ///
    /// # Errors
    /// They could not be sent, or were not answered by `deadline`: they may have been carried out all the same. What the
    /// broker says of a command is in its answer.
    pub fn ask(&mut self, commands: Vec<Value>, deadline: Deadline) -> Result<Vec<Answer>, Failure> {
        let rested = self.live.take_if(|live| live.used.elapsed() > MOST_REST);
        rested.into_iter().for_each(Live::leave);
        if let Some(mut live) = self.live.take() {
            // It may have died since: then a new one gets the other half of the time.
            let half = Deadline::after(deadline.left() / 2);
            match live.ask(&self.broker, &commands, half) {
                Ok(answers) => {
                    self.live = Some(live);
                    return Ok(answers);
                }
                Err(failure) => {
                    live.leave();
                    if failure.kind != FailureKind::Unreachable {
                        return Err(failure);
                    }
                }
            }
        }
        let mut live = Live::connect(&self.broker, deadline)?;
        match live.ask(&self.broker, &commands, deadline) {
            Ok(answers) => {
                self.live = Some(live);
                Ok(answers)
            }
            Err(failure) => {
                live.leave();
                Err(failure)
            }
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.live.take().into_iter().for_each(Live::leave);
    }
}

struct Live {
    client: Client,
    connection: Connection,
    used: Instant,
    /// We were let to ask, and answered.
    is_proven: bool,
}

impl Live {
    fn connect(broker: &Broker, deadline: Deadline) -> Result<Live, Failure> {
        // Two of us must not throw each other out, as clients of one name do.
        let options = broker.options(format!("vedette-{}", token()?), deadline.left())?;
        let (client, connection) = Client::new(options, 10);
        let mut live = Live { client, connection, used: Instant::now(), is_proven: false };
        match live.subscribe(broker, deadline) {
            Ok(()) => Ok(live),
            Err(failure) => {
                live.leave();
                Err(failure)
            }
        }
    }

    fn subscribe(&mut self, broker: &Broker, deadline: Deadline) -> Result<(), Failure> {
        self.client.try_subscribe(RESPONSE, QoS::AtLeastOnce).map_err(|error| closed(&error))?;
        loop {
            let Some(packet) = self.next(broker, deadline)? else {
                return Err(Failure::unreachable(format!("{} does not answer within the time limit", broker.url)));
            };
            if let Packet::SubAck(ack) = packet {
                if ack.return_codes.iter().all(|code| matches!(code, SubscribeReasonCode::Success(_))) {
                    return Ok(());
                }
                return Err(forbidden(broker, "read", RESPONSE));
            }
        }
    }

    fn ask(&mut self, broker: &Broker, commands: &[Value], deadline: Deadline) -> Result<Vec<Answer>, Failure> {
        let token = token()?;
        let named = |(number, command): (usize, &Value)| {
            let mut command = command.clone();
            command["correlationData"] = json!(format!("{token}.{number}"));
            command
        };
        let commands: Vec<Value> = commands.iter().enumerate().map(named).collect();
        let message = json!({ "commands": commands }).to_string();
        // Only an acknowledgement tells that we may not ask. But Mosquitto sends it ahead of the answer, and the system holds
        // that second small packet back until we confirm the first, for 40 ms (Nagle's algorithm and delayed confirmation).
        let quality = if self.is_proven { QoS::AtMostOnce } else { QoS::AtLeastOnce };
        self.client.try_publish(CONTROL, quality, false, message).map_err(|error| closed(&error))?;
        let mut answers: Vec<Option<Answer>> = vec![None; commands.len()];
        while answers.iter().any(Option::is_none) {
            match self.next(broker, deadline)? {
                Some(Packet::Publish(publish)) if publish.topic == RESPONSE => take(&publish, &commands, &mut answers),
                Some(Packet::PubAck(ack)) if is_refusal(ack.reason) => {
                    return Err(forbidden(broker, "write to", CONTROL));
                }
                Some(_) => {}
                None => {
                    let Broker { url, username, .. } = broker;
                    let message = format!(
                        "{url} does not answer on the control topic within the time limit; is its dynamic security plug-in \
                         loaded, and may `{username}` use it?"
                    );
                    return Err(Failure::unreachable(message));
                }
            }
        }
        (self.used, self.is_proven) = (Instant::now(), true);
        Ok(answers.into_iter().flatten().collect())
    }

    /// `None`: nothing came by `deadline`.
    fn next(&mut self, broker: &Broker, deadline: Deadline) -> Result<Option<Packet>, Failure> {
        loop {
            let time = deadline.left();
            if time.is_zero() {
                return Ok(None);
            }
            match self.connection.recv_timeout(time) {
                Ok(Ok(Event::Incoming(packet))) => return Ok(Some(packet)),
                Ok(Ok(Event::Outgoing(_))) => {}
                Ok(Err(error)) => return Err(broker.failure(&error)),
                Err(RecvTimeoutError::Timeout) => return Ok(None),
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(Failure::unreachable(format!("{} ended the connection", broker.url)));
                }
            }
        }
    }

    /// In a thread of its own: a look-up of a name cannot be called off, and is waited for.
    fn leave(self) {
        std::thread::spawn(move || drop(self));
    }
}

/// Answers of ours from a message; others' are passed over.
fn take(publish: &Publish, commands: &[Value], answers: &mut [Option<Answer>]) {
    let Ok(message) = serde_json::from_slice::<Value>(&publish.payload) else { return };
    for entry in message["responses"].as_array().into_iter().flatten() {
        let ours = commands.iter().position(|command| {
            entry["correlationData"] == command["correlationData"] && entry["command"] == command["command"]
        });
        if let Some(number) = ours {
            answers[number] = Some(Answer::read(entry));
        }
    }
}

fn is_refusal(reason: PubAckReason) -> bool {
    !matches!(reason, PubAckReason::Success | PubAckReason::NoMatchingSubscribers)
}

fn forbidden(broker: &Broker, verb: &str, topic: &str) -> Failure {
    let Broker { url, username, .. } = broker;
    let message = format!("{url}: `{username}` may not {verb} `{topic}`; give it a role that may, such as `admin`");
    Failure::new(FailureKind::Unauthorised, message)
}

fn closed(error: &dyn std::fmt::Display) -> Failure {
    Failure::unreachable(format!("the connection takes nothing any more: {error}"))
}

/// Nobody can guess it: 128 bits.
fn token() -> Result<String, Failure> {
    let bytes = random::<16>().map_err(|_| Failure::unreachable("the system gives no random numbers"))?;
    Ok(hex(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broker(url: &str) -> Result<Broker, Error> {
        Broker::new(
            "broker",
            &MosquittoConfig {
                url: url.to_owned(),
                username: "vedette".into(),
                password: Secret::Env("NAME".to_owned()),
                tls: TlsConfig::default(),
                own: Vec::new(),
                time_limit_seconds: 10,
                workers: 1,
            },
        )
    }

    #[test]
    fn urls_are_read() {
        assert_eq!(broker("mqtts://broker.example").unwrap().url, "mqtts://broker.example:8883");
        assert_eq!(broker("mqtts://10.0.0.1:9999/").unwrap().port, 9999);
        assert_eq!(broker("mqtt://localhost").unwrap().port, 1883);
        for wrong in ["", "broker", "http://broker", "mqtts://", "mqtts://a:b", "mqtts://[::1]", "mqtts://a/b"] {
            assert!(broker(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_password_does_not_go_about_in_cleartext_nor_into_an_error() {
        let error = broker("mqtt://broker.example:1883").unwrap_err();
        assert!(error.to_string().contains("expected mqtts://"));
        let error = broker("mqtts://vedette:hush@broker").unwrap_err().to_string();
        assert!(!error.contains("hush"), "{error}");
    }

    #[test]
    fn answers_of_others_are_passed_over() {
        let commands = [json!({ "command": "disableClient", "username": "a", "correlationData": "t.0" })];
        let mut answers = vec![None];
        let mut publish = |payload: &str| {
            let message = Publish::new(RESPONSE, QoS::AtLeastOnce, payload.to_owned(), None);
            take(&message, &commands, &mut answers);
            answers[0].clone()
        };
        assert_eq!(publish("forged"), None);
        assert_eq!(publish(r#"{"responses":[{"command":"disableClient"}]}"#), None);
        assert_eq!(publish(r#"{"responses":[{"command":"disableClient","correlationData":"t.1"}]}"#), None);
        assert_eq!(publish(r#"{"responses":[{"command":"enableClient","correlationData":"t.0"}]}"#), None);
        assert!(publish(r#"{"responses":[{"command":"disableClient","correlationData":"t.0"}]}"#).is_some());
    }
}
