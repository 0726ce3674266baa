//! Zeek JSON lines: no bytes make the decoder panic.
#![no_main]

use fleet::Position;
use ingest::{Decoder, Format};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = Decoder::new(Format::ZeekConnJson).decode(bytes, Position::default());
});
