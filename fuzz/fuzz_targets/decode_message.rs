//! Kafka messages: the first lines are key, content type and subject, the rest is the value.
#![no_main]

use fleet::Position;
use ingest::decode::Message;
use ingest::{Decoder, Format};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut parts = bytes.splitn(4, |byte| *byte == b'\n');
    let (key, content_type, subject) = (parts.next(), parts.next(), parts.next());
    let some = Some(&b"1.0"[..]);
    let headers = [
        ("content-type", content_type),
        ("ce_subject", subject),
        ("ce_specversion", some),
        ("ce_type", some),
        ("ce_source", some),
        ("ce_id", some),
    ];
    let message = Message { key, value: parts.next(), headers: &headers };
    for format in Format::ALL {
        let _ = Decoder::new(format).decode_message(&message, Position::default());
    }
});
