//! What stands beside a raw partition's committed offset, in words: the topic it is of, the routing by which everything before
//! it went, and what the lines before it said of the columns.

use ingest::{Decoder, Format};

/// `header`: a [`header_word`].
pub fn metadata(topic_id: &str, routing: &str, header: Option<&str>) -> String {
    let mut text = format!("v1 topic={topic_id} routing={routing}");
    if let Some(header) = header {
        text.push_str(" header=");
        text.push_str(header);
    }
    text
}

pub fn topic_of(metadata: &str) -> Option<&str> {
    value(metadata, "topic=")
}

pub fn routing_of(metadata: &str) -> Option<&str> {
    value(metadata, "routing=")
}

/// The format, since the topic may be said to have another one later, and the header.
pub fn header_word(decoder: &Decoder, format: Format) -> Option<String> {
    let mut word = format!("{}:", format.name());
    for byte in decoder.header()?.bytes() {
        match byte {
            b'%' | ..=b' ' | 0x7f.. => word.push_str(&format!("%{byte:02x}")),
            _ => word.push(char::from(byte)),
        }
    }
    Some(word)
}

/// One that goes on at the offset beside which `metadata` stands.
pub fn decoder(metadata: &str, format: Format) -> Decoder {
    let header = value(metadata, "header=").and_then(|word| header_in(word, format));
    header.map_or_else(|| Decoder::new(format), |header| Decoder::resume(format, &header))
}

fn value<'m>(metadata: &'m str, name: &str) -> Option<&'m str> {
    metadata.split(' ').find_map(|word| word.strip_prefix(name))
}

fn header_in(word: &str, format: Format) -> Option<String> {
    let word = word.strip_prefix(format.name())?.strip_prefix(':')?;
    let mut parts = word.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        bytes.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use fleet::Position;

    #[test]
    fn a_header_goes_through_the_metadata_unchanged() {
        let mut tsv = Decoder::new(Format::ZeekConnTsv);
        for line in ["#separator \\x7c", "#unset_field|ähm 100 %", "#fields|ts|id.orig_h|tunnel   label"] {
            assert_eq!(tsv.decode(line.as_bytes(), Position::default()), Ok(None));
        }
        let word = header_word(&tsv, Format::ZeekConnTsv).unwrap();
        assert!(word.bytes().all(|byte| byte.is_ascii_graphic()), "{word}");
        let text = metadata("uuid", "0123", Some(&word));
        assert_eq!((topic_of(&text), routing_of(&text)), (Some("uuid"), Some("0123")));
        assert_eq!(decoder(&text, Format::ZeekConnTsv).header(), tsv.header());
        assert_eq!(decoder(&text, Format::VpcFlowLog).header(), None, "the format of the topic is another one now");
        for spoilt in ["%", "%4", "%zz", "%ff", "%é"] {
            let text = format!("v1 topic=uuid routing= header=zeek-conn-tsv:#fields{spoilt}");
            assert_eq!(decoder(&text, Format::ZeekConnTsv).header(), None, "{spoilt}");
        }
    }

    #[test]
    fn records_that_stand_for_themselves_add_nothing() {
        assert_eq!(header_word(&Decoder::new(Format::Native), Format::Native), None);
        let text = metadata("uuid", "0123", None);
        assert_eq!(text, "v1 topic=uuid routing=0123");
        assert_eq!(decoder(&text, Format::VpcFlowLog).header(), None);
        assert_eq!((topic_of(""), routing_of("v1 topic=uuid")), (None, None));
    }
}
