//! What one device does in one minute: normal to begin with, then as a test changes it.

use std::net::IpAddr;
use std::sync::Arc;

use fleet::reading::{Position, Protocol};
use fleet::window::{Destination, Details};
use fleet::{Contact, Device, DeviceKey, Direction, EventTime, FEATURES, Feature, Place, Service, Window};
use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use super::{DAY, MINUTE, address_of};

pub struct Minute {
    pub contacts: Vec<Contact>,
    pub messages: u32,
    pub payload_bytes: u32,
    /// Mean and spread of the reported values.
    pub value: Option<(f32, f32)>,
    pub details: Option<Details>,
    pub random: Xoshiro256PlusPlus,
    position: u64,
}

/// The cloud each type belongs to.
pub fn cloud(device_type: &str) -> IpAddr {
    match device_type {
        "camera" => IpAddr::from([52, 1, 10, 7]),
        "sensor" => IpAddr::from([52, 1, 20, 7]),
        _ => IpAddr::from([52, 1, 30, 7]),
    }
}

impl Minute {
    /// A broker, a cloud, the router's names and time; seldom somewhere else.
    pub fn normal(device: &Device, number: usize, minute: i64, seed: u64) -> Minute {
        let mix = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ ((number as u64) << 40) ^ minute as u64;
        let mut random = Xoshiro256PlusPlus::seed_from_u64(mix);
        // Each day some device looks somewhere once.
        let mut of_day = Xoshiro256PlusPlus::seed_from_u64(mix ^ minute as u64 ^ (minute / DAY) as u64 ^ 0xda7);
        let looks = of_day.gen_bool(0.15) && of_day.gen_range(0..DAY) == minute % DAY;
        let elsewhere = IpAddr::from([93, 184, of_day.r#gen(), 9]);
        let mut speech = Minute {
            contacts: Vec::new(),
            messages: 0,
            payload_bytes: 0,
            value: None,
            details: None,
            position: ((minute as u64) << 16) | ((number as u64) << 8),
            random: Xoshiro256PlusPlus::seed_from_u64(0),
        };
        if random.gen_bool(0.98) {
            let (up, down) = (random.gen_range(400..700), random.gen_range(900..1500));
            speech.flow(cloud(&device.device_type), Protocol::Tcp, 443, 1, up, down);
        }
        if random.gen_bool(0.4) {
            speech.flow(IpAddr::from([192, 168, 1, 1]), Protocol::Udp, 53, 1, 40, 90);
        }
        let messages = random.gen_range(1..=3);
        let payload = random.gen_range(80..=120);
        speech.publish(&format!("{}/state", device.device_type), messages, payload);
        if device.device_type == "camera" && random.gen_bool(0.01) {
            speech.command("capture");
        }
        if device.device_type == "sensor" {
            speech.value = Some((20.0 + random.gen_range(-1.0..1.0f32), 0.2));
        }
        if looks {
            speech.flow(elsewhere, Protocol::Tcp, 443, 1, 600, 1200);
        }
        speech.random = random;
        speech
    }

    /// Nothing at all.
    pub fn silence(&mut self) {
        self.contacts.clear();
        (self.messages, self.value, self.details) = (0, None, None);
    }

    /// Ten times, or whatever, the bytes to the cloud.
    pub fn multiply_bytes(&mut self, times: u64) {
        for contact in self.contacts.iter_mut().filter(|contact| contact.port == 443) {
            contact.bytes_out *= times;
        }
    }

    fn contact(&mut self, service: Service, destination: Destination, direction: Direction) -> &mut Contact {
        self.position += 1;
        let position = Position { source: 0, offset: self.position };
        self.contacts.push(Contact {
            service,
            destination,
            port: 0,
            protocol: Protocol::Other,
            direction,
            peer: None,
            flows: 1,
            refused: 0,
            bytes_out: 0,
            bytes_in: 0,
            packets_out: 0,
            packets_in: 0,
            duration: 0.1,
            first_record: position,
            last_record: position,
        });
        self.contacts.last_mut().unwrap()
    }

    /// Originated by the device.
    pub fn flow(&mut self, to: IpAddr, protocol: Protocol, port: u16, flows: u32, up: u64, down: u64) {
        let service = Service::of("", protocol, port);
        let contact = self.contact(service, Destination::Address(to), Direction::Outbound);
        (contact.port, contact.protocol, contact.flows) = (port, protocol, flows);
        (contact.bytes_out, contact.bytes_in) = (up, down);
        (contact.packets_out, contact.packets_in) = (flows, flows);
    }

    pub fn refused(&mut self, to: IpAddr, port: u16, flows: u32) {
        self.flow(to, Protocol::Tcp, port, flows, 0, 0);
        self.contacts.last_mut().unwrap().refused = flows;
    }

    /// Answered calls of another side.
    pub fn called(&mut self, by: IpAddr, port: u16, flows: u32, up: u64, down: u64) {
        self.flow(by, Protocol::Tcp, port, flows, up, down);
        self.contacts.last_mut().unwrap().direction = Direction::Inbound;
    }

    pub fn publish(&mut self, topic: &str, messages: u32, payload_bytes: u32) {
        let contact =
            self.contact(Service(Service::TOPIC.into()), Destination::Name(topic.into()), Direction::Outbound);
        contact.flows = messages;
        contact.bytes_out = u64::from(messages * payload_bytes);
        self.messages += messages;
        self.payload_bytes = payload_bytes;
    }

    pub fn command(&mut self, name: &str) {
        self.contact(Service(Service::COMMAND.into()), Destination::Name(name.into()), Direction::Outbound);
    }

    /// Sign-ins at the device.
    pub fn sign_ins(&mut self, from: IpAddr, failed: u32, accepted: u32) {
        let contact = self.contact(Service(Service::SIGN_IN.into()), Destination::Address(from), Direction::Inbound);
        (contact.flows, contact.refused) = (failed + accepted, failed);
    }

    /// `None` for a minute of silence.
    pub fn window(mut self, device: DeviceKey, start: EventTime, devices: &[Arc<Device>]) -> Option<Window> {
        if self.contacts.is_empty() && self.details.is_none() {
            return None;
        }
        for contact in &mut self.contacts {
            let peer = (0..devices.len()).find(|other| contact.destination == Destination::Address(address_of(*other)));
            contact.peer = peer.map(|other| devices[other].key);
        }
        Some(Window {
            device,
            start,
            end: EventTime(start.0 + MINUTE),
            features: self.features(),
            first_record: self.contacts.first().map_or_else(Position::default, |contact| contact.first_record),
            last_record: self.contacts.last().map_or_else(Position::default, |contact| contact.last_record),
            records: self.contacts.iter().map(|contact| contact.flows).sum(),
            malicious: 0,
            contacts: self.contacts,
            details: self.details.map(Box::new),
        })
    }

    fn features(&self) -> [f32; FEATURES] {
        let mut features = [0.0f32; FEATURES];
        let (mut to_hosts, mut internal) = (0u32, Vec::new());
        for contact in &self.contacts {
            let mut add = |feature: Feature, value: f64| features[feature.index()] += value as f32;
            add(Feature::BytesOut, contact.bytes_out as f64);
            add(Feature::BytesIn, contact.bytes_in as f64);
            match contact.service.0.as_str() {
                Service::TOPIC => add(Feature::Topics, 1.0),
                Service::COMMAND => add(Feature::Commands, 1.0),
                Service::SIGN_IN => {
                    add(Feature::SignInFailures, f64::from(contact.refused));
                    add(Feature::SignIns, f64::from(contact.flows - contact.refused));
                }
                _ => add(Feature::Flows, f64::from(contact.flows)),
            }
            if contact.protocol == Protocol::Other || contact.direction == Direction::Inbound {
                continue;
            }
            to_hosts += contact.flows;
            add(Feature::FailedFlows, f64::from(contact.refused));
            add(Feature::Destinations, 1.0);
            if contact.destination.place() == Place::Internal && !internal.contains(&contact.destination) {
                internal.push(contact.destination.clone());
            }
        }
        let mut set = |feature: Feature, value: f32| features[feature.index()] = value;
        set(Feature::InternalFanOut, internal.len() as f32);
        set(Feature::Messages, self.messages as f32);
        set(Feature::PayloadMean, self.payload_bytes as f32);
        set(Feature::PayloadMax, self.payload_bytes as f32);
        let (value, spread) = self.value.unwrap_or((0.0, -1.0));
        set(Feature::ValueMean, value);
        set(Feature::ValueSpread, spread);
        let failed = features[Feature::FailedFlows.index()];
        features[Feature::FailedShare.index()] = failed / to_hosts.max(1) as f32;
        features
    }
}
