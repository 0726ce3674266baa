//! Syslog: RFC 5424 messages whose text is the event as JSON, over TLS (RFC 5425), TCP or UDP.
//!
//! Syslog has no receipts: what a collector took from the network and then lost is lost. A connection that its other end has
//! closed is noticed before the next message is written to it.

mod line;
mod message;

use std::time::Duration;

use self::line::Line;
use self::message::Header;
use super::super::config::{SyslogConfig, Transport};
use super::super::outgoing::{Outgoing, Sink};
use crate::error::Error;
use crate::gateways::Failure;

pub use message::FACILITIES;

/// What fits into one UDP datagram over IPv4.
const LARGEST_DATAGRAM: usize = 65_507;
/// What every receiver takes (RFC 5424, 6.1), and more than which nobody should be sent.
const SMALLEST: usize = 480;
const LARGEST: usize = 1 << 20;

pub(super) struct Syslog {
    header: Header,
    max_bytes: usize,
    line: Line,
}

fn max_bytes(config: &SyslogConfig) -> usize {
    config.max_bytes.unwrap_or(if config.transport == Transport::Udp { 2048 } else { 8192 })
}

/// What is wrong with it, for a person.
pub(in super::super) fn check(config: &SyslogConfig) -> Result<(), String> {
    line::host_and_port(&config.address)?;
    message::facility(&config.facility)?;
    let largest = if config.transport == Transport::Udp { LARGEST_DATAGRAM } else { LARGEST };
    let bytes = max_bytes(config);
    if !(SMALLEST..=largest).contains(&bytes) {
        return Err(format!("max_bytes is `{bytes}`, expected {SMALLEST} to {largest}"));
    }
    Ok(())
}

impl Syslog {
    pub fn new(config: &SyslogConfig) -> Result<Syslog, Error> {
        let wrong = |what: String| Error::Wrong(format!("responders.tell `{}`: {what}", config.name));
        check(config).map_err(wrong)?;
        let tls = match config.transport {
            Transport::Tls => Some(config.tls.client()?),
            Transport::Tcp | Transport::Udp => None,
        };
        let limit = Duration::from_secs(config.limit_seconds);
        Ok(Syslog {
            header: Header::new(message::facility(&config.facility).map_err(wrong)?, config.hostname.as_deref()),
            max_bytes: max_bytes(config),
            line: Line::new(&config.address, config.transport, tls, limit).map_err(wrong)?,
        })
    }
}

impl Sink for Syslog {
    fn send(&mut self, message: &Outgoing) -> Result<(), Failure> {
        let text = self.header.message(message, self.max_bytes);
        self.line.send(text.as_bytes())
    }
}
