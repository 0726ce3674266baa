//! Whole files in columns: the decoder carries its header from line to line, so lines are fuzzed together.
#![no_main]

use fleet::Position;
use ingest::{Decoder, Format};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    for format in [Format::ZeekConnTsv, Format::ZeekConnCsv, Format::VpcFlowLog] {
        let mut decoder = Decoder::new(format);
        for line in bytes.split(|byte| *byte == b'\n') {
            let _ = decoder.decode(line, Position::default());
        }
    }
});
