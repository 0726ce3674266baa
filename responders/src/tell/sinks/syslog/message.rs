//! One message as RFC 5424 writes it: `<PRI>1 TIME HOST APP PROCID MSGID [vedette@32473 ...] JSON`.
//!
//! 32473 is the enterprise number for examples (RFC 5612); Vedette has none of its own.

use fleet::{EventTime, Severity};

use super::super::super::ocsf;
use super::super::super::outgoing::Outgoing;

pub const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp", "ntp",
    "audit", "alert", "clock", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
];

pub(super) fn facility(name: &str) -> Result<u8, String> {
    let place = FACILITIES.iter().position(|facility| *facility == name);
    let place = place.and_then(|place| u8::try_from(place).ok());
    place.ok_or_else(|| format!("facility is `{name}`, expected one of {}", FACILITIES.join(", ")))
}

pub(super) struct Header {
    facility: u8,
    hostname: String,
    process: u32,
}

impl Header {
    pub fn new(facility: u8, hostname: Option<&str>) -> Header {
        let own = || std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let hostname = hostname.map_or_else(own, str::to_owned);
        Header { facility, hostname: printable(hostname.trim(), 255), process: std::process::id() }
    }

    /// At most so many bytes: an event that is too long loses what it can do without, and then its JSON is still whole.
    pub fn message(&self, message: &Outgoing, max_bytes: usize) -> String {
        let head = self.head(message);
        let room = max_bytes.saturating_sub(head.len());
        let mut event = message.event.to_string();
        if event.len() > room {
            let mut smaller = message.event.clone();
            while event.len() > room && ocsf::shrink(&mut smaller) {
                event = smaller.to_string();
            }
        }
        if event.len() > room {
            event.clone_from(&message.title);
        }
        let mut text = head + &event;
        text.truncate(text.floor_char_boundary(max_bytes));
        text
    }

    fn head(&self, message: &Outgoing) -> String {
        let priority = u16::from(self.facility) * 8 + severity(message.severity);
        let parameters = [
            ("id", message.key.as_str()),
            ("event", message.kind.name()),
            ("severity", message.severity.name()),
            ("incident", message.incident_id.as_str()),
            ("device", message.device_id.as_str()),
            ("deviceType", message.device_type.as_str()),
        ];
        let mut head = format!(
            "<{priority}>1 {} {} vedette {} {} [vedette@32473",
            timestamp(message.at),
            self.hostname,
            self.process,
            message.kind,
        );
        for (name, value) in parameters.into_iter().filter(|(_, value)| !value.is_empty()) {
            head.push_str(&format!(" {name}=\"{}\"", escaped(value)));
        }
        head.push_str("] ");
        head
    }
}

fn severity(severity: Severity) -> u16 {
    match severity {
        Severity::Critical => 2,
        Severity::High => 3,
        Severity::Medium => 4,
        Severity::Low => 5,
        Severity::Info => 6,
    }
}

/// At most six digits of a second; `-` where a time is none that can be written.
fn timestamp(at: EventTime) -> String {
    let text = at.to_string();
    if text.ends_with('Z') && text.len() <= 27 { text } else { "-".to_owned() }
}

fn printable(text: &str, most: usize) -> String {
    let text: String = text.chars().filter(char::is_ascii_graphic).take(most).collect();
    if text.is_empty() { "-".to_owned() } else { text }
}

/// RFC 5424, 6.3.3. Names are what devices call themselves: line ends in them would be messages of their own to some receivers.
fn escaped(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    for letter in value.chars().take(128) {
        match letter {
            '"' | '\\' | ']' => escaped.extend(['\\', letter]),
            letter if letter.is_control() => escaped.push(' '),
            letter => escaped.push(letter),
        }
    }
    escaped
}
