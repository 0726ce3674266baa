//! Formats by table: what each record means, written as the native line that says the same, and what is rejected why.

mod columns;
mod defender;
mod emqx;
mod flows;
mod message;
mod mosquitto;
mod suricata;
mod vpc;

use fleet::Position;
use ingest::decode::Message;
use ingest::{Decoder, Format, to_native_json};

/// `None`: passed over.
fn native(format: Format, record: &str, key: Option<&str>) -> Result<Option<String>, String> {
    let message = Message { key: key.map(str::as_bytes), value: Some(record.as_bytes()), headers: &[] };
    let decoded = Decoder::new(format).decode_message(&message, Position::default());
    match decoded {
        Ok(reading) => Ok(reading.as_ref().map(to_native_json)),
        Err(reason) => Err(format!("{}: {reason}", reason.name())),
    }
}

/// `""` for what is passed over.
fn means(format: Format, table: &[(&str, &str)]) {
    for (record, line) in table {
        let expected = (!line.is_empty()).then(|| line.to_string());
        assert_eq!(native(format, record, None), Ok(expected), "{record}");
    }
}

/// `base` with one thing changed, and what is said of it.
fn rejects(format: Format, base: &str, table: &[(&str, &str, &str)]) {
    assert!(matches!(native(format, base, None), Ok(Some(_))), "{base}");
    for (from, to, reason) in table {
        let record = base.replacen(from, to, 1);
        assert_ne!(record, base, "{from}");
        let told = native(format, &record, None).expect_err(&record);
        assert!(told.contains(reason), "{record}: {told}");
    }
}
