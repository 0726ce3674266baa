//! Topics and commands with what is one device's own taken out, so that a type's devices share them.

/// Segments that are a number, an id of six or more hexadecimal digits (also as a MAC or a UUID), or the client's own id
/// become `+`, MQTT's single-level wildcard. Replaces the content of `out`.
pub(crate) fn generalise(topic: &str, client_id: Option<&str>, out: &mut String) {
    out.clear();
    for (index, segment) in topic.split('/').enumerate() {
        if index > 0 {
            out.push('/');
        }
        out.push_str(if is_id(segment) || client_id == Some(segment) { "+" } else { segment });
    }
}

fn is_id(segment: &str) -> bool {
    let (mut digits, mut hexadecimal, mut separators) = (0, 0, 0);
    for byte in segment.bytes() {
        match byte {
            b'0'..=b'9' => digits += 1,
            b'a'..=b'f' | b'A'..=b'F' => hexadecimal += 1,
            b'-' | b':' => separators += 1,
            _ => return false,
        }
    }
    let number = digits > 0 && hexadecimal == 0 && separators == 0;
    number || digits + hexadecimal >= 6 && (separators == 0 || digits > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_devices_own_becomes_a_wildcard() {
        let mut out = String::new();
        for (topic, expected) in [
            ("plant/7/line/temperature", "plant/+/line/temperature"),
            ("devices/54ef44a00001/state", "devices/+/state"),
            ("devices/54:ef:44:a0:00:01/state", "devices/+/state"),
            ("v1/0b6f2d1e-93a1-4d25-9a30-9f1f0a5c2b11/up", "v1/+/up"),
            ("fleet/pump-east/up", "fleet/+/up"),
            ("home/bed/lamp", "home/bed/lamp"),
            ("/leading", "/leading"),
            ("feed-cafe/x", "feed-cafe/x"),
            ("", ""),
        ] {
            generalise(topic, Some("pump-east"), &mut out);
            assert_eq!(out, expected);
        }
    }
}
