//! JSON records of all formats: no bytes make a decoder panic, and what one accepts can be written as a native line that
//! reads.
#![no_main]

use fleet::Position;
use ingest::{Decoder, Format, to_native_json};
use libfuzzer_sys::fuzz_target;

const FORMATS: [Format; 6] = [
    Format::ZeekKafkaJson,
    Format::Goflow2Json,
    Format::SuricataEveJson,
    Format::EmqxJson,
    Format::MosquittoBridgeJson,
    Format::DefenderJson,
];

fuzz_target!(|bytes: &[u8]| {
    for format in FORMATS {
        let Ok(Some(reading)) = Decoder::new(format).decode(bytes, Position::default()) else {
            continue;
        };
        let line = to_native_json(&reading);
        assert!(Decoder::new(Format::Native).decode(line.as_bytes(), Position::default()).is_ok(), "{line}");
    }
});
