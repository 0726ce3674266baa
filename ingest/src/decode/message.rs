//! A Kafka message as a decoder sees it, and what surrounds a record: where it stands, and what else may say who
//! speaks and when.

use fleet::{EventTime, Position};
use smol_str::SmolStr;

use super::value::MAX_TEXT;

/// One Kafka message. A `value` of `None` is a tombstone: the key's entry was deleted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Message<'a> {
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    pub headers: &'a [(&'a str, Option<&'a [u8]>)],
}

/// Stands in for what a record leaves out; a line of a file has a position alone.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Context<'a> {
    pub position: Position,
    /// Of the CloudEvent: whom it is about.
    pub subject: Option<&'a str>,
    /// Of the message, where it is text.
    pub key: Option<&'a str>,
    /// Of the CloudEvent.
    pub time: Option<EventTime>,
}

impl<'a> Context<'a> {
    pub fn at(position: Position) -> Context<'a> {
        Context { position, ..Context::default() }
    }

    /// The client id of a record that names no device.
    pub fn subject(&self) -> Option<SmolStr> {
        self.subject.filter(|text| is_name(text)).map(SmolStr::new)
    }

    /// The same of a format whose bridges are known to write the device there.
    pub fn key(&self) -> Option<SmolStr> {
        self.key.filter(|text| is_name(text)).map(SmolStr::new)
    }
}

/// What can name a device: some text of one line. Keys are often numbers in binary, which may happen to be UTF-8.
fn is_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_TEXT && !text.chars().any(char::is_control)
}
