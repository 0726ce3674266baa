//! What a device says to brokers and services, rather than to hosts: messages, sign-ins, sessions, posture.

use std::net::IpAddr;

use fleet::reading::{Message, Posture, Protocol, Session, SessionEvent, SignIn};
use fleet::window::Details;
use fleet::{Direction, EventTime, Identity, Reading, Routed, Service};
use smol_str::SmolStr;

use super::builder::{UNKNOWN, hash_address, hash_text};
use super::contacts::{Contacts, Exchange, Seen};
use super::sketch::{DistinctCounter, ExactSum, LogHistogram};
use super::topics::generalise;

#[derive(Default)]
pub(crate) struct Speech {
    pub published: u32,
    pub received: u32,
    pub refused: u32,
    pub commands: u32,
    pub payload_sum: u64,
    pub payload_max: u32,
    pub payloads: LogHistogram,
    pub topics: DistinctCounter,
    pub values: Values,
}

#[derive(Clone, Copy, Default)]
pub(crate) struct Values {
    pub count: u32,
    pub sum: ExactSum,
    pub least: f64,
    pub greatest: f64,
}

impl Values {
    fn add(&mut self, value: f64) {
        if !value.is_finite() {
            return;
        }
        // Far outside anything measured, and sums of it still fit a column.
        let value = value.clamp(-ExactSum::MOST, ExactSum::MOST);
        if self.count == 0 {
            (self.least, self.greatest) = (value, value);
        }
        self.least = self.least.min(value);
        self.greatest = self.greatest.max(value);
        self.sum.add(value as f32);
        self.count = self.count.saturating_add(1);
    }
}

impl Speech {
    /// Gives back the payload's size.
    pub(crate) fn add(
        &mut self,
        reading: &Reading,
        message: &Message,
        contacts: &mut Contacts,
        scratch: &mut String,
    ) -> u64 {
        let client_id = reading.identity.client_id.as_deref();
        let bytes = u64::from(message.payload_bytes);
        let exchange = Exchange {
            recognised: Service::TOPIC,
            destination: Seen::Name(""),
            port: 0,
            protocol: Protocol::Other,
            direction: if message.inbound { Direction::Inbound } else { Direction::Outbound },
            peer: None,
            refused: message.refused,
            bytes_out: if message.inbound { 0 } else { bytes },
            bytes_in: if message.inbound { bytes } else { 0 },
            packets_out: 0,
            packets_in: 0,
            duration: 0.0,
            single_host: false,
            time: reading.time,
            position: reading.position,
        };
        generalise(&message.topic, client_id, scratch);
        let added = contacts.add(&Exchange { destination: Seen::Name(scratch), ..exchange });
        if !message.inbound && !added.known {
            self.topics.insert(hash_text(scratch));
        }
        if let Some(command) = &message.command {
            generalise(command, client_id, scratch);
            let destination = Seen::Name(scratch);
            // The payload is counted once, with its topic.
            contacts.add(&Exchange {
                recognised: Service::COMMAND,
                destination,
                bytes_out: 0,
                bytes_in: 0,
                ..exchange
            });
        }
        if message.inbound {
            self.received = self.received.saturating_add(1);
            return bytes;
        }
        self.published = self.published.saturating_add(1);
        self.refused = self.refused.saturating_add(u32::from(message.refused));
        self.commands = self.commands.saturating_add(u32::from(message.command.is_some()));
        self.payload_sum = self.payload_sum.saturating_add(bytes);
        self.payload_max = self.payload_max.max(message.payload_bytes);
        self.payloads.insert(message.payload_bytes);
        if let Some(value) = message.value {
            self.values.add(value);
        }
        bytes
    }

    pub(crate) fn clear(&mut self) {
        self.payloads.clear();
        self.topics.clear();
        (self.published, self.received, self.refused, self.commands) = (0, 0, 0, 0);
        (self.payload_sum, self.payload_max) = (0, 0);
        self.values = Values::default();
    }
}

#[derive(Default)]
pub(crate) struct Sessions {
    pub accepted: u32,
    pub failed: u32,
    pub connects: u32,
    pub disconnects: u32,
    pub refused: u32,
    pub source_addresses: DistinctCounter,
    pub details: Details,
    /// When each text of `details` was reported: firmware, configuration, credential, site.
    reported: [EventTime; 4],
}

impl Sessions {
    pub(crate) fn add_sign_in(&mut self, routed: &Routed<'_>, sign_in: &SignIn, contacts: &mut Contacts) {
        let reading = routed.reading;
        let count = if sign_in.success { &mut self.accepted } else { &mut self.failed };
        *count = count.saturating_add(1);
        contacts.add(&Exchange {
            recognised: Service::SIGN_IN,
            destination: sign_in.address.map_or(Seen::Name(UNKNOWN), Seen::Address),
            port: 0,
            protocol: Protocol::Other,
            direction: if sign_in.inbound { Direction::Inbound } else { Direction::Outbound },
            peer: routed.owner.peer,
            refused: !sign_in.success,
            bytes_out: 0,
            bytes_in: 0,
            packets_out: 0,
            packets_in: 0,
            duration: 0.0,
            single_host: false,
            time: reading.time,
            position: reading.position,
        });
        // A guess that failed says nothing of what the device accepts.
        self.details.default_credential |= sign_in.default_credential && sign_in.success;
        note_country(&mut self.details, sign_in.country);
        note(&mut self.details.tokens, sign_in.token.as_ref());
        if !sign_in.inbound {
            self.note_source(reading.identity.ip);
        }
    }

    pub(crate) fn add_session(&mut self, identity: &Identity, session: &Session) {
        let count = match session.event {
            SessionEvent::Connected => &mut self.connects,
            SessionEvent::Disconnected | SessionEvent::TakenOver => &mut self.disconnects,
            SessionEvent::Refused => &mut self.refused,
            SessionEvent::Subscribed => &mut 0,
        };
        *count = count.saturating_add(1);
        if session.event == SessionEvent::TakenOver {
            self.details.taken_over = self.details.taken_over.saturating_add(1);
        }
        note_country(&mut self.details, session.country);
        note(&mut self.details.tokens, session.token.as_ref());
        self.note_source(session.address.or(identity.ip));
    }

    pub(crate) fn add_posture(&mut self, time: EventTime, posture: &Posture) {
        let details = &mut self.details;
        let texts = [
            (&mut details.firmware, &posture.firmware),
            (&mut details.configuration, &posture.configuration),
            (&mut details.credential, &posture.credential),
            (&mut details.site, &posture.site),
        ];
        // The latest counts; of two of the same time the greater, for want of anything better.
        for ((kept, heard), reported) in texts.into_iter().zip(&mut self.reported) {
            if heard.is_some() && (kept.is_none() || (time, heard) > (*reported, &*kept)) {
                kept.clone_from(heard);
                *reported = time;
            }
        }
        details.attestation_failed |= posture.attested == Some(false);
        details.default_credential |= posture.default_credential;
        for port in &posture.listening_ports {
            note(&mut details.listening_ports, Some(port));
        }
        note_country(details, posture.country);
    }

    fn note_source(&mut self, address: Option<IpAddr>) {
        if let Some(address) = address {
            self.source_addresses.insert(hash_address(address));
            note(&mut self.details.addresses, Some(&address));
        }
    }
}

/// Keeps the least, in order: of more than a list holds, which were heard first must not matter.
fn note<T: Ord + Clone>(list: &mut Vec<T>, heard: Option<&T>) {
    let Some(heard) = heard else { return };
    let Err(place) = list.binary_search(heard) else { return };
    if place < Details::MAX_LIST {
        list.insert(place, heard.clone());
        list.truncate(Details::MAX_LIST);
    }
}

fn note_country(details: &mut Details, country: Option<[u8; 2]>) {
    let Some(code) = country else { return };
    if let Ok(text) = std::str::from_utf8(&code) {
        note(&mut details.countries, Some(&SmolStr::new(text)));
    }
}
