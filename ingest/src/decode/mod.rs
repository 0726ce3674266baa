//! Bytes of one line to one [`Reading`], or the reason why not. Never panics, whatever the bytes.

mod encode;
mod native;
mod record;
mod reject;
mod value;
mod zeek;
mod zeek_delimited;
mod zeek_json;

use fleet::{Position, Reading};
use serde::{Deserialize, Serialize};

pub use encode::to_native_json;
pub use reject::{RejectReason, Rejected, Tally};
use zeek_delimited::Delimited;

/// What the lines of a file are; `docs/records.md` describes each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    #[serde(rename = "native-json")]
    Native,
    ZeekConnJson,
    ZeekConnTsv,
    ZeekConnCsv,
}

impl Format {
    pub const ALL: [Format; 4] = [Format::Native, Format::ZeekConnJson, Format::ZeekConnTsv, Format::ZeekConnCsv];

    pub fn name(self) -> &'static str {
        match self {
            Format::Native => "native-json",
            Format::ZeekConnJson => "zeek-conn-json",
            Format::ZeekConnTsv => "zeek-conn-tsv",
            Format::ZeekConnCsv => "zeek-conn-csv",
        }
    }
}

/// Decodes the lines of one file in order: column formats remember their header.
#[derive(Debug)]
pub struct Decoder(State);

#[derive(Debug)]
enum State {
    Native,
    ZeekJson,
    Delimited(Delimited),
}

impl Decoder {
    pub fn new(format: Format) -> Decoder {
        Decoder(match format {
            Format::Native => State::Native,
            Format::ZeekConnJson => State::ZeekJson,
            Format::ZeekConnTsv => State::Delimited(Delimited::tsv()),
            Format::ZeekConnCsv => State::Delimited(Delimited::csv()),
        })
    }

    /// One line without its line break. `Ok(None)`: a header, comment or blank line.
    pub fn decode(&mut self, line: &[u8], position: Position) -> Result<Option<Reading>, RejectReason> {
        let line =
            std::str::from_utf8(line).map_err(|error| RejectReason::NotUtf8 { valid_up_to: error.valid_up_to() })?;
        if line.trim_ascii().is_empty() {
            return Ok(None);
        }
        match &mut self.0 {
            State::Native => native::decode(line, position),
            State::ZeekJson => zeek_json::decode(line, position),
            State::Delimited(delimited) => delimited.decode(line, position),
        }
    }
}
