//! Bytes of one line, or of one Kafka message, to one [`Reading`], or the reason why not. Never panics, whatever the
//! bytes.

mod defender;
mod encode;
pub mod envelope;
mod flows;
mod format;
mod message;
mod mqtt;
mod native;
mod plain;
mod record;
mod reject;
mod suricata;
mod value;
mod zeek;

use fleet::{Position, Reading};

pub use encode::to_native_json;
use flows::vpc::Vpc;
pub use format::Format;
use message::Context;
pub use message::Message;
use plain::Order;
pub use reject::{RejectReason, Rejected, Tally};
use zeek::delimited::Delimited;

/// Decodes the lines of one file, or the messages of one partition, in order: column formats remember their header.
#[derive(Debug)]
pub struct Decoder(State);

#[derive(Debug)]
enum State {
    Lines(DecodeLine),
    PlainLines(DecodePlainLine, Order),
    Delimited(Delimited),
    Vpc(Vpc),
}

/// A format in which every record stands for itself.
type DecodeLine = fn(&str, &Context<'_>) -> Result<Option<Reading>, RejectReason>;

/// The same, where lines are [`plain`] for the most part.
type DecodePlainLine = fn(&str, &Context<'_>, &mut Order) -> Result<Option<Reading>, RejectReason>;

/// A header that was the first line of a file may have a byte order mark before its first name.
fn without_mark(header: &str) -> &str {
    header.strip_prefix('\u{feff}').unwrap_or(header)
}

impl Decoder {
    pub fn new(format: Format) -> Decoder {
        Decoder(match format {
            Format::Native => State::PlainLines(native::decode, Order::default()),
            Format::ZeekConnJson => State::PlainLines(zeek::json::decode, Order::default()),
            Format::ZeekConnTsv => State::Delimited(Delimited::tsv()),
            Format::ZeekConnCsv => State::Delimited(Delimited::csv()),
            Format::ZeekKafkaJson => State::PlainLines(zeek::kafka::decode, Order::default()),
            Format::Goflow2Json => State::Lines(flows::goflow2::decode),
            Format::SuricataEveJson => State::Lines(suricata::decode),
            Format::VpcFlowLog => State::Vpc(Vpc::new()),
            Format::EmqxJson => State::Lines(mqtt::emqx::decode),
            Format::MosquittoBridgeJson => State::Lines(mqtt::mosquitto::decode),
            Format::DefenderJson => State::Lines(defender::decode),
        })
    }

    /// Goes on where another decoder of this format stood, whose [`header`](Decoder::header) that is.
    pub fn resume(format: Format, header: &str) -> Decoder {
        let mut decoder = Decoder::new(format);
        match &mut decoder.0 {
            State::Lines(_) | State::PlainLines(..) => {}
            State::Delimited(delimited) => delimited.resume(header),
            State::Vpc(vpc) => *vpc = Vpc::with_header(header),
        }
        decoder
    }

    /// What was said of the columns so far; nothing where a new decoder would do.
    pub fn header(&self) -> Option<String> {
        match &self.0 {
            State::Lines(_) | State::PlainLines(..) => None,
            State::Delimited(delimited) => delimited.header(),
            State::Vpc(vpc) => vpc.header(),
        }
    }

    /// One line without its line break. `Ok(None)`: a header, comment or blank line, or a record of a kind that says
    /// nothing of a device.
    pub fn decode(&mut self, line: &[u8], position: Position) -> Result<Option<Reading>, RejectReason> {
        self.decode_in(line, &Context::at(position))
    }

    /// The same for one Kafka message, taken out of its CloudEvents envelope if it is in one ([`envelope`]). `Ok(None)`
    /// also: a tombstone, an empty value, an event without data.
    pub fn decode_message(
        &mut self,
        message: &Message<'_>,
        position: Position,
    ) -> Result<Option<Reading>, RejectReason> {
        let headers = message.headers.iter().copied();
        let Some(opened) = envelope::open(headers, message.key, message.value)? else {
            return Ok(None);
        };
        let context = Context { position, subject: opened.subject.as_deref(), key: opened.key, time: opened.time };
        self.decode_in(&opened.data, &context)
    }

    fn decode_in(&mut self, record: &[u8], context: &Context<'_>) -> Result<Option<Reading>, RejectReason> {
        let record =
            std::str::from_utf8(record).map_err(|error| RejectReason::NotUtf8 { valid_up_to: error.valid_up_to() })?;
        if record.trim_ascii().is_empty() {
            return Ok(None);
        }
        match &mut self.0 {
            State::Lines(decode) => decode(record, context),
            State::PlainLines(decode, order) => decode(record, context, order),
            State::Delimited(delimited) => delimited.decode(record, context.position),
            State::Vpc(vpc) => vpc.decode(record, context.position),
        }
    }
}
