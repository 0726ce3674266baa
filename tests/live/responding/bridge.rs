//! From Mosquitto to Kafka: messages by a subscription, and what Mosquitto says of sessions and sign-ins by its log only.
//!
//! A refused sign-in has an address in the log and no client, so the bridge remembers which client came from where. Whoever
//! comes from the broker's own address is a service: the bridge, the gateway, an operator.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rumqttc::{Client, Event, Packet, QoS};
use serde_json::{Value, json};

use super::mosquitto::{BRIDGE, Mosquitto};
use crate::cases::stream::{SECOND, Sender, now, to};

const OWN_ADDRESS: &str = "127.0.0.1";
const LOOKS_EVERY: Duration = Duration::from_millis(50);

/// When something of a device arrived, and the longest time in which nothing did.
#[derive(Clone, Copy)]
struct Heard {
    last: Instant,
    longest: Duration,
}

type Ears = Arc<Mutex<BTreeMap<String, Heard>>>;

pub struct Bridge {
    ears: Ears,
    ends: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Bridge {
    /// Everything goes into partition 0 of `topic`, as native JSON.
    pub fn start(mosquitto: &Mosquitto, bootstrap: &str, topic: &str) -> Bridge {
        let (ears, ends): (Ears, Arc<AtomicBool>) = Default::default();
        let options = mosquitto.options(BRIDGE, BRIDGE, mosquitto.port);
        let log = File::open(mosquitto.log()).expect("Mosquitto has a log");
        let [messages, sessions] =
            [(); 2].map(|()| ToKafka { sender: Sender::new(bootstrap, &[]), topic: topic.to_owned() });
        let (ears_of_it, ends_of_it) = (Arc::clone(&ears), Arc::clone(&ends));
        let subscribing = std::thread::spawn(move || {
            let (client, mut connection) = Client::new(options, 100);
            while !ends_of_it.load(Ordering::Relaxed) {
                match connection.recv_timeout(Duration::from_secs(2)) {
                    Ok(Ok(Event::Incoming(Packet::ConnAck(_)))) => {
                        client.try_subscribe("#", QoS::AtMostOnce).expect("it is queued");
                    }
                    Ok(Ok(Event::Incoming(Packet::Publish(message)))) => {
                        let Some(device) = device_of(&message.topic) else { continue };
                        hear(&ears_of_it, device);
                        let rest = json!({ "topic": message.topic, "payload_bytes": message.payload.len() });
                        messages.say("message", device, rest);
                    }
                    Ok(Err(_)) => std::thread::sleep(LOOKS_EVERY),
                    _ => {}
                }
            }
        });
        let ends_of_it = Arc::clone(&ends);
        let following = std::thread::spawn(move || {
            let (mut log, mut line, mut clients) = (BufReader::new(log), String::new(), Clients::default());
            while !ends_of_it.load(Ordering::Relaxed) {
                log.read_line(&mut line).expect("the log can be read");
                // Half a line is the beginning of one.
                if !line.ends_with('\n') {
                    std::thread::sleep(LOOKS_EVERY);
                    continue;
                }
                for (kind, device, rest) in clients.told(&line) {
                    sessions.say(kind, &device, rest);
                }
                line.clear();
            }
        });
        Bridge { ears, ends, threads: vec![subscribing, following] }
    }

    /// How many devices were heard of.
    pub fn devices(&self) -> usize {
        self.ears.lock().expect("nobody panics with it").len()
    }

    /// From now on gaps count.
    pub fn listen(&self) {
        let mut ears = self.ears.lock().expect("nobody panics with it");
        ears.values_mut().for_each(|heard| heard.longest = Duration::ZERO);
    }

    /// The longest time without a message of the device, the present one included.
    pub fn longest_gap(&self, device: &str) -> Duration {
        let heard = self.ears.lock().expect("nobody panics with it")[device];
        heard.longest.max(heard.last.elapsed())
    }

    pub fn has_heard_since(&self, device: &str, since: Instant) -> bool {
        self.ears.lock().expect("nobody panics with it")[device].last > since
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn hear(ears: &Ears, device: &str) {
    let (mut ears, last) = (ears.lock().expect("nobody panics with it"), Instant::now());
    match ears.get_mut(device) {
        Some(heard) => *heard = Heard { last, longest: heard.longest.max(last - heard.last) },
        None => _ = ears.insert(device.to_owned(), Heard { last, longest: Duration::ZERO }),
    }
}

/// The broker lets nobody write below another's.
fn device_of(topic: &str) -> Option<&str> {
    topic.strip_prefix("devices/")?.split('/').next()
}

struct ToKafka {
    sender: Sender,
    topic: String,
}

impl ToKafka {
    fn say(&self, kind: &str, device: &str, mut record: Value) {
        record["kind"] = json!(kind);
        record["time"] = json!(now() as f64 / SECOND as f64);
        record["client_id"] = json!(device);
        self.sender.send(to(&self.topic, 0, &record.to_string()));
        self.sender.0.poll(Duration::ZERO);
    }
}

/// By address.
#[derive(Default)]
struct Clients(HashMap<String, String>);

impl Clients {
    /// Records that a line of Mosquitto's log comes to: kind, device, and the rest.
    fn told(&mut self, line: &str) -> Vec<(&'static str, String, Value)> {
        let Some((_, said)) = line.trim_end().split_once(": ") else { return Vec::new() };
        let session = |event: &str| json!({ "event": event });
        let sign_in = |success: bool| json!({ "success": success, "method": "mqtt" });
        if let Some((address, client)) = said.strip_prefix("New client connected from ").and_then(connected) {
            if address == OWN_ADDRESS {
                return Vec::new();
            }
            self.0.insert(address.to_owned(), client.to_owned());
            return vec![
                ("sign_in", client.to_owned(), sign_in(true)),
                ("session", client.to_owned(), session("connected")),
            ];
        }
        if let Some((address, code)) =
            said.strip_prefix("Sending CONNACK to ").and_then(|rest| rest.split_once(" (0, "))
        {
            let refused = self.0.get(address).filter(|_| code != "0)");
            return refused.map(|client| ("sign_in", client.clone(), sign_in(false))).into_iter().collect();
        }
        let Some((client, what)) = said.strip_prefix("Client ").and_then(|rest| rest.split_once(' ')) else {
            return Vec::new();
        };
        let event = match what {
            "already connected, closing old connection." => "taken_over",
            what if what.contains("disconnect") || what.contains("closed its connection") => "disconnected",
            _ => return Vec::new(),
        };
        let is_known = self.0.values().any(|known| known == client);
        if is_known { vec![("session", client.to_owned(), session(event))] } else { Vec::new() }
    }
}

/// `127.1.0.7:44515 as cam-07 (p2, c1, k60, u'cam-07').`: address and client.
fn connected(rest: &str) -> Option<(&str, &str)> {
    let (from, rest) = rest.split_once(" as ")?;
    Some((from.rsplit_once(':')?.0, rest.split_once(" (")?.0))
}

#[test]
fn the_log_tells_who_signed_in_and_who_was_refused() {
    let mut clients = Clients::default();
    let told: Vec<String> = [
        "1795403001: New client connected from 127.0.0.1:44514 as bridge (p2, c1, k60, u'bridge').",
        "1795403001: New connection from 127.1.0.7:44515 on port 57357.",
        "1795403001: Sending CONNACK to 127.1.0.7 (0, 5)",
        "1795403001: New client connected from 127.1.0.7:44515 as cam-07 (p2, c1, k60, u'cam-07').",
        "1795403001: Sending CONNACK to cam-07 (0, 0)",
        "1795403001: Received PUBLISH from cam-07 (d0, q1, r0, m2, 'devices/cam-07/telemetry', ... (42 bytes))",
        "1795403001: Client cam-07 been disconnected by administrative action.",
        "1795403001: Client <unknown> disconnected, not authorised.",
        "1795403002: Sending CONNACK to 127.1.0.7 (0, 5)",
        "1795403002: Client bridge closed its connection.",
        "",
    ]
    .iter()
    .flat_map(|line| clients.told(&format!("{line}\n")))
    .map(|(kind, device, rest)| {
        format!("{kind} {device} {}", rest["event"].as_str().unwrap_or(&rest["success"].to_string()))
    })
    .collect();
    let expected =
        ["sign_in cam-07 true", "session cam-07 connected", "session cam-07 disconnected", "sign_in cam-07 false"];
    assert_eq!(told, expected);
}
