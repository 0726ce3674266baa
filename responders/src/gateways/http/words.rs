//! Filters and functions of product files, beside the template engine's own.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use fleet::EventTime;
use minijinja::value::ValueKind;
use minijinja::{Environment, Error, ErrorKind, Value};
use ring::hmac;

/// Two ends are the same when they are as near as this: gateways cut fractions, and count from their own clock.
const NEAR_SECONDS: i64 = 5;

pub fn add_to(environment: &mut Environment<'static>) {
    environment.add_filter("mac_plain", |mac: String| mac.replace(':', ""));
    environment.add_filter("mac_dash", |mac: String| mac.replace(':', "-"));
    environment.add_filter("mac_dot", mac_dot);
    environment.add_filter("urlencode", |text: String| percent_encoded(&text));
    environment.add_filter("rfc3339", rfc3339);
    environment.add_filter("epoch", epoch);
    environment.add_filter("base64", |text: String| STANDARD.encode(text));
    environment.add_filter("hmac_sha256", hmac_sha256);
    environment.add_filter("flatten", flatten);
    environment.add_filter("duration_seconds", duration_seconds);
    environment.add_function("near", near);
    // The engine's own holds for undefined values too: an answer without the list would pass for one with an empty list.
    environment.add_test("sequence", |value: &Value| value.kind() == ValueKind::Seq);
}

/// As a segment of a path: there a `:` may stand, and MAC addresses are asked for with it.
pub fn segment(text: &str) -> String {
    percent_encoded(text).replace("%3A", ":")
}

/// As RFC 3986: all but letters, digits, `-`, `.`, `_` and `~`.
pub fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(char::from(byte)),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

/// `aabb.ccdd.eeff`
fn mac_dot(mac: String) -> String {
    let plain = mac.replace(':', "");
    let groups: Vec<&str> = (0..plain.len()).step_by(4).filter_map(|at| plain.get(at..at + 4)).collect();
    groups.join(".")
}

/// Seconds since 1970 as RFC 3339, UTC.
fn rfc3339(seconds: i64) -> String {
    EventTime(0).plus_seconds(seconds).to_string()
}

/// RFC 3339 as seconds since 1970; none for what is no time.
fn epoch(value: &Value) -> Option<i64> {
    let time = EventTime::parse(value.as_str()?)?;
    Some(time.0.div_euclid(fleet::MICROS_PER_SECOND))
}

/// Whether two ends, in seconds since 1970 or none for never, are as good as the same.
fn near(one: Option<i64>, other: Option<i64>) -> bool {
    match (one, other) {
        (None, None) => true,
        (Some(one), Some(other)) => one.abs_diff(other) <= NEAR_SECONDS.unsigned_abs(),
        _ => false,
    }
}

/// One list of several; what is none is left out.
fn flatten(lists: &Value) -> Result<Vec<Value>, Error> {
    let mut all = Vec::new();
    for list in lists.try_iter()?.filter(|list| !list.is_undefined() && !list.is_none()) {
        all.extend(list.try_iter()?);
    }
    Ok(all)
}

/// `3h59m58.9s` as whole seconds, as Go writes durations; none for what is no such text.
fn duration_seconds(text: &Value) -> Option<i64> {
    let text = text.as_str()?;
    let (sign, mut rest) = text.strip_prefix('-').map_or((1.0, text), |rest| (-1.0, rest));
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let number = rest.find(|letter: char| letter.is_ascii_alphabetic())?;
        let end =
            rest[number..].find(|letter: char| !letter.is_ascii_alphabetic()).map_or(rest.len(), |end| number + end);
        let unit = match &rest[number..end] {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "ns" => 0.0,
            _ => return None,
        };
        seconds += rest[..number].parse::<f64>().ok()? * unit;
        rest = &rest[end..];
    }
    Some((sign * seconds) as i64)
}

/// HMAC-SHA256 of the text under a key in base64, itself in base64, as Azure's shared access signatures want it.
fn hmac_sha256(text: String, key: String) -> Result<String, Error> {
    let key = STANDARD.decode(key);
    let key = key.map_err(|_| Error::new(ErrorKind::InvalidOperation, "the key is not base64"))?;
    let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), text.as_bytes());
    Ok(STANDARD.encode(signature))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(expression: &str) -> String {
        let mut environment = Environment::new();
        add_to(&mut environment);
        environment.compile_expression(expression).unwrap().eval(()).unwrap().to_string()
    }

    #[test]
    fn forms_of_a_mac() {
        assert_eq!(word("'aa:bb:cc:dd:ee:ff'|mac_plain"), "aabbccddeeff");
        assert_eq!(word("'aa:bb:cc:dd:ee:ff'|mac_dash|upper"), "AA-BB-CC-DD-EE-FF");
        assert_eq!(word("'aa:bb:cc:dd:ee:ff'|mac_dot"), "aabb.ccdd.eeff");
    }

    #[test]
    fn times() {
        assert_eq!(word("1767225600|rfc3339"), "2026-01-01T00:00:00Z");
        assert_eq!(word("'2026-01-01T01:00:00+01:00'|epoch"), "1767225600");
        assert_eq!(word("'infinity'|epoch is none"), "True");
        assert_eq!(word("near(10, 14)"), "True");
        assert_eq!(word("near(10, 16)"), "False");
        assert_eq!(word("near(10, none)"), "False");
        assert_eq!(word("near(none, none)"), "True");
    }

    #[test]
    fn lists_and_durations() {
        assert_eq!(word("[[1, 2], none, [3]]|flatten|join(',')"), "1,2,3");
        assert_eq!(word("'3h59m58.9s'|duration_seconds"), "14398");
        assert_eq!(word("'-1m3ms'|duration_seconds"), "-60");
        assert_eq!(word("'soon'|duration_seconds is none"), "True");
    }

    #[test]
    fn what_is_not_there_is_no_list() {
        assert_eq!(word("[] is sequence"), "True");
        assert_eq!(word("missing is sequence"), "False");
        assert_eq!(word("'text' is sequence or {} is sequence or none is sequence"), "False");
        assert_eq!(
            word("missing is mapping or missing is boolean or missing is integer or missing is string"),
            "False"
        );
    }

    /// RFC 4231, test case 2.
    #[test]
    fn signatures() {
        let bytes = STANDARD.decode(word("'what do ya want for nothing?'|hmac_sha256('SmVmZQ==')")).unwrap();
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    }
}
