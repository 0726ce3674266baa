//! What webhooks are signed with, those that tell and those that act: `X-Vedette-Signature: t=SECONDS,v1=HEX`, HMAC-SHA256 of
//! `SECONDS.BODY`. The time is signed too, so that what somebody has overheard cannot be sent again later.

use ring::hmac;

use crate::bytes::hex;

pub const HEADER: &str = "X-Vedette-Signature";
/// How far the sender's clock may be from the receiver's, seconds: also how long a message can be replayed.
pub const WINDOW_SECONDS: u64 = 300;

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    #[error("the signature's header is not of the form `t=SECONDS,v1=HEX`")]
    Form,
    #[error("it was signed at `{at}`, more than {WINDOW_SECONDS} s from now")]
    Time { at: u64 },
    #[error("the signature is not right")]
    Signature,
}

/// `at`: seconds since 1970.
pub fn sign(secret: &[u8], at: u64, body: &[u8]) -> String {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), &signed(at, body));
    format!("t={at},v1={}", hex(tag.as_ref()))
}

/// For receivers: compares in constant time. Any of several `v1` will do, so that secrets can be changed without a gap; other
/// versions are passed over.
///
/// # Errors
/// It is not ours, or not of now (seconds since 1970).
pub fn check(secret: &[u8], header: &str, body: &[u8], now: u64) -> Result<(), Rejected> {
    let parts: Vec<(&str, &str)> = header.split(',').filter_map(|part| part.trim().split_once('=')).collect();
    let at =
        parts.iter().find(|(name, _)| *name == "t").and_then(|(_, at)| at.parse::<u64>().ok()).ok_or(Rejected::Form)?;
    let tags: Vec<Vec<u8>> = parts.iter().filter(|(name, _)| *name == "v1").filter_map(|(_, hex)| bytes(hex)).collect();
    if tags.is_empty() {
        return Err(Rejected::Form);
    }
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    if !tags.iter().any(|tag| hmac::verify(&key, &signed(at, body), tag).is_ok()) {
        return Err(Rejected::Signature);
    }
    if at.abs_diff(now) > WINDOW_SECONDS {
        return Err(Rejected::Time { at });
    }
    Ok(())
}

fn signed(at: u64, body: &[u8]) -> Vec<u8> {
    [format!("{at}.").as_bytes(), body].concat()
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    if !hex.is_ascii() || !hex.len().is_multiple_of(2) {
        return None;
    }
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &[u8] = b"a secret of the two of us";
    const BODY: &[u8] = br#"{"call":"apply"}"#;

    /// By `printf '1700000000.{"call":"apply"}' | openssl dgst -sha256 -hmac 'a secret of the two of us'`.
    #[test]
    fn it_is_what_openssl_says() {
        let expected = "t=1700000000,v1=04466a89f4527f9a10de5eb1b6af8896faf64cd4a948c2532e6fdae9efe5c054";
        assert_eq!(sign(SECRET, 1_700_000_000, BODY), expected);
    }

    #[test]
    fn body_time_secret_and_form_are_all_checked() {
        let header = sign(SECRET, 1000, BODY);
        assert_eq!(check(SECRET, &header, BODY, 1000 + WINDOW_SECONDS), Ok(()));
        assert_eq!(check(SECRET, &header, BODY, 1001 + WINDOW_SECONDS), Err(Rejected::Time { at: 1000 }));
        assert_eq!(check(SECRET, &header, BODY, 1000 - WINDOW_SECONDS - 1), Err(Rejected::Time { at: 1000 }));
        assert_eq!(check(SECRET, &header, br#"{"call":"undo"}"#, 1000), Err(Rejected::Signature));
        assert_eq!(check(b"another", &header, BODY, 1000), Err(Rejected::Signature));
        assert_eq!(check(SECRET, &header.replace("t=1000", "t=1001"), BODY, 1000), Err(Rejected::Signature));
        assert_eq!(check(SECRET, "t=1000", BODY, 1000), Err(Rejected::Form));
        assert_eq!(check(SECRET, "v1=00", BODY, 1000), Err(Rejected::Form));
        assert_eq!(check(SECRET, "t=1000,v1=ä", BODY, 1000), Err(Rejected::Form));
        let two = format!("{},{}", sign(b"the old secret", 1000, BODY), &header[7..]);
        assert_eq!(check(SECRET, &two, BODY, 1000), Ok(()));
    }
}
