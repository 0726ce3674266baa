//! The columns a `select` may give: one table, from which `docs/your-own-data.md` is tested.

use crate::descriptor::RecordKind;
use RecordKind::{Flow, Message, Posture, Session, SignIn};

/// A field of a reading, as the column of a `select`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    pub name: &'static str,
    pub kinds: &'static [RecordKind],
    /// What values are expected; also the message when one is not.
    pub expected: &'static str,
    pub meaning: &'static str,
}

const ALL: &[RecordKind] = &[Message, Flow, SignIn, Session, Posture];

const fn field(
    name: &'static str,
    kinds: &'static [RecordKind],
    expected: &'static str,
    meaning: &'static str,
) -> Field {
    Field { name, kinds, expected, meaning }
}

const TEXT: &str = "a text of at most 1024 bytes";
const COUNT: &str = "a whole number that is not negative";
const FLAG: &str = "true or false";
const IP: &str = "an IPv4 or IPv6 address";
const MAC: &str = "a MAC address such as aa:bb:cc:dd:ee:ff";
const PORT: &str = "a port, 0 to 65535";
const TIME: &str = "a timestamp, seconds since 1970, or a text such as 2026-01-01T00:00:00Z";

/// Every field, in the order of the page.
pub const FIELDS: &[Field] = &[
    field("time", ALL, TIME, "event time: for a flow, when it ended or was reported"),
    field("client_id", ALL, TEXT, "who did it: its client id at the broker"),
    field("mac", ALL, MAC, "who did it: its MAC address"),
    field("ip", ALL, IP, "who did it: its address; for a flow, the originator's"),
    field("certificate", ALL, TEXT, "who did it: fingerprint or common name of its certificate"),
    field(
        "label",
        ALL,
        "a text, a number or true or false",
        "benign, normal, background, -, 0 or false; anything else is malicious; empty is benign",
    ),
    field("start", &[Flow], TIME, "when the flow began, instead of time: event time is then start + duration"),
    field("duration", &[Flow], "seconds, from 0 to a year", "how long the flow lasted"),
    field("responder_ip", &[Flow], IP, "the other side's address"),
    field("responder_port", &[Flow], PORT, "the other side's port"),
    field("responder_mac", &[Flow], MAC, "the other side's MAC address"),
    field("originator_port", &[Flow], PORT, "the originator's port"),
    field("protocol", &[Flow], "tcp, udp, icmp, or its IANA number", "transport protocol"),
    field("service", &[Flow], TEXT, "application the sensor recognised, such as dns"),
    field("server_name", &[Flow], TEXT, "DNS name of the other side (SNI, DNS answer, HTTP host)"),
    field("bytes_out", &[Flow], COUNT, "payload bytes from the originator"),
    field("bytes_in", &[Flow], COUNT, "payload bytes from the responder"),
    field("packets_out", &[Flow], COUNT, "packets from the originator"),
    field("packets_in", &[Flow], COUNT, "packets from the responder"),
    field(
        "outcome",
        &[Flow],
        "established, refused, reset, unanswered, partial, or a Zeek conn_state",
        "what became of the flow; established when not given",
    ),
    field("inbound", &[Message, SignIn], FLAG, "message: delivered to the device; sign-in: to the device, not by it"),
    field("topic", &[Message, Session], TEXT, "topic of the message, or of a subscription"),
    field("payload_bytes", &[Message], COUNT, "size of the payload"),
    field("command", &[Message], TEXT, "name of the command, when the message is one"),
    field("value", &[Message], "a finite number", "the reported measurement"),
    field("refused", &[Message], FLAG, "the broker refused it"),
    field("success", &[SignIn], FLAG, "whether the sign-in was accepted"),
    field("method", &[SignIn], TEXT, "telnet, ssh, http, mqtt, ..."),
    field("user", &[SignIn], TEXT, "name signed in with"),
    field("address", &[SignIn, Session], IP, "the other side; for a session, where the client connected from"),
    field("token", &[SignIn, Session], TEXT, "hash of the session token"),
    field(
        "event",
        &[Session],
        "connected, disconnected, taken_over, subscribed or refused",
        "what happened to the session",
    ),
    field("reason", &[Session], TEXT, "why it ended or was refused"),
    field("firmware", &[Posture], TEXT, "version of the running firmware"),
    field("attested", &[Posture], FLAG, "whether remote attestation succeeded"),
    field("configuration", &[Posture], TEXT, "hash of the running configuration"),
    field("listening_ports", &[Posture], "ports, 0 to 65535, separated by commas or blanks", "open ports"),
    field("default_credential", &[SignIn, Posture], FLAG, "a factory credential was used, or is still accepted"),
    field("credential", &[Posture], TEXT, "fingerprint of the credential"),
    field("site", &[Posture], TEXT, "where the device says it is"),
    field(
        "country",
        &[Flow, SignIn, Session, Posture],
        "a country of two letters (ISO 3166-1)",
        "country of the other side; posture: of the device",
    ),
];

/// Index into [`FIELDS`] of a field that this kind has.
pub(super) fn find(name: &str, kind: RecordKind) -> Option<usize> {
    FIELDS.iter().position(|field| field.name == name && field.kinds.contains(&kind))
}

/// Names of the fields of a kind.
pub(super) fn names(kind: RecordKind) -> Vec<&'static str> {
    FIELDS.iter().filter(|field| field.kinds.contains(&kind)).map(|field| field.name).collect()
}

/// The name that is most like a misspelt one, when one is: at most a third of its letters differ.
pub(super) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let distance = |candidate: &str| edit_distance(&name.to_lowercase(), &candidate.to_lowercase());
    let best = known.into_iter().map(|candidate| (distance(candidate), candidate)).min()?;
    (best.0 * 3 <= name.chars().count().max(best.1.chars().count())).then_some(best.1)
}

/// Levenshtein's distance, by rows.
fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_every_kind_can_tell_when_and_who() {
        for kind in ALL {
            let names = names(*kind);
            let mut unique = names.clone();
            unique.sort_unstable();
            unique.dedup();
            assert_eq!(unique.len(), names.len());
            assert!(names.contains(&"time") && names.contains(&"mac"));
        }
    }

    #[test]
    fn a_near_match_is_offered_and_a_far_one_is_not() {
        assert_eq!(nearest("respnder_ip", names(Flow)), Some("responder_ip"));
        assert_eq!(nearest("Bytes_Out", names(Flow)), Some("bytes_out"));
        assert_eq!(nearest("flavour", names(Flow)), None);
        assert_eq!(edit_distance("kitten", "sitting"), 3);
    }
}
