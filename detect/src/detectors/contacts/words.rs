//! What a contact's evidence says to a person.

use baseline::keys::Folded;
use baseline::render::number;
use baseline::{Behaviour, Category, Exchange};
use fleet::{Direction, Place};
use smol_str::format_smolstr;

use super::Seen;
use crate::evidence::{Bearing, Evidence};

/// Everything that the part of the window says by itself; the caller fills in the judgement.
pub(crate) fn blank(seen: &Seen<'_>, part: &Folded<'_>) -> Evidence {
    let preposition = if part.key.direction == Direction::Outbound { "to" } else { "from" };
    let destination = part.contact.destination.text();
    let expected = seen.prepared.map(|it| {
        let destinations = &it.learned.destinations;
        let same: Vec<_> = destinations
            .known
            .iter()
            .filter(|known| known.key.direction == part.key.direction && known.key.application == part.key.application)
            .collect();
        match same.first() {
            None => format!(
                "{} {preposition} nobody, on any of {} device-days",
                part.key.application, it.learned.device_days
            ),
            Some(first) => {
                format!("{} {preposition} {} and {} others", part.key.application, first.key.target, same.len() - 1)
            }
        }
    });
    Evidence {
        device: seen.window.device,
        detector: "contacts",
        subject: format_smolstr!("{} {preposition} {destination}", part.key.application),
        shape: "",
        weight: 0.0,
        bearing: Bearing::Novelty,
        attack: false,
        strong: false,
        group: None,
        observed: String::new(),
        expected_type: expected.or_else(|| Some("no baseline yet".to_owned())),
        expected_device: None,
        peers_now: None,
        first_seen_type: seen.prepared.map(|_| true),
        first_seen_device: Some(true),
        technique: "",
        records: Some((part.contact.first_record, part.last_record)),
    }
}

pub(crate) fn observed(exchange: &Exchange, behaviour: Behaviour, beacon_period: Option<f32>) -> String {
    let mut text = match behaviour {
        Behaviour::Touch => "contacted".to_owned(),
        Behaviour::Recur | Behaviour::Stay | Behaviour::LongStay => {
            format!("in {} windows, {} slots of ten minutes", exchange.windows, exchange.slots)
        }
        Behaviour::Download => "took much and gave little".to_owned(),
        Behaviour::Upload => "gave much and took little".to_owned(),
        Behaviour::Refused => format!("{} of {} flows refused or unanswered", exchange.refused, exchange.flows),
        Behaviour::Guessing => format!("{} short flows to an administration service", exchange.flows),
        Behaviour::FanOut => "many destinations".to_owned(),
    };
    text.push_str(&format!(
        "; {} bytes out, {} in, {} flows",
        number(exchange.bytes_out as f32),
        number(exchange.bytes_in as f32),
        exchange.flows
    ));
    if let Some(seconds) = beacon_period {
        text.push_str(&format!("; every {seconds:.0} s, as even as a clock"));
    }
    text
}

/// MITRE ATT&CK (Enterprise; ICS where it has the better word).
pub(crate) fn technique(part: &Folded<'_>, behaviour: Behaviour, beacon: bool) -> &'static str {
    let device_to_device = part.key.place == Place::Internal;
    match (behaviour, part.category) {
        (Behaviour::Guessing, _) => "T1110.001",
        (Behaviour::FanOut, _) => "T1046",
        (Behaviour::Refused, _) if device_to_device => "T1046",
        (Behaviour::Refused, _) => "T1008",
        (Behaviour::Upload, _) if part.category == Category::Infrastructure => "T1048.003",
        (Behaviour::Upload, _) => "T1041",
        (Behaviour::Download, _) => "T1105",
        (_, Category::Command) => "T0855",
        (_, Category::Topic) => "T1071.005",
        (_, Category::SignIn) => "T1078",
        _ if part.key.direction == Direction::Inbound && device_to_device => "T0886",
        _ if part.key.direction == Direction::Inbound => "T1133",
        (_, Category::Administration) => "T1021",
        _ if device_to_device => "T0867",
        _ if beacon => "T1029",
        (_, Category::Web) => "T1071.001",
        (_, Category::Infrastructure) => "T1071.004",
        _ => "T1571",
    }
}
