//! Where messages go.

mod file;
pub mod syslog;
mod webhook;

use super::config::SinkConfig;
use super::outgoing::Sink;
use super::templated::Templated;
use crate::error::Error;

/// `None` for a Kafka topic, which the front door opens. Nobody is connected to yet.
///
/// # Errors
/// A secret, a certificate or a template that cannot be read, or an address that is none.
pub fn open(config: &SinkConfig) -> Result<Option<Box<dyn Sink>>, Error> {
    Ok(match config {
        SinkConfig::File(config) => Some(Box::new(file::File::new(config.clone()))),
        SinkConfig::Syslog(config) => Some(Box::new(syslog::Syslog::new(config)?)),
        SinkConfig::Webhook(config) => Some(Box::new(webhook::Webhook::new(config)?)),
        SinkConfig::Chat(config) | SinkConfig::Ticket(config) => Some(Box::new(Templated::new(config)?)),
        SinkConfig::Kafka(_) => None,
    })
}
