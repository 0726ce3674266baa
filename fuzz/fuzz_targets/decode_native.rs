//! Native lines: no bytes make the decoder panic, and what it accepts survives being written and read again.
#![no_main]

use fleet::Position;
use ingest::{Decoder, Format, to_native_json};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut decoder = Decoder::new(Format::Native);
    let Ok(Some(reading)) = decoder.decode(bytes, Position::default()) else {
        return;
    };
    let line = to_native_json(&reading);
    assert!(decoder.decode(line.as_bytes(), Position::default()).is_ok(), "{line}");
});
