//! The signature of a webhook: HMAC-SHA256 over `time.body`, so that neither can be changed nor used again much later.

use ring::hmac;

pub const HEADER: &str = "X-Vedette-Signature";

/// `t=1767225600,v1=hex`; `seconds` since 1970.
pub fn sign(key: &[u8], seconds: u64, body: &[u8]) -> String {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    context.update(format!("{seconds}.").as_bytes());
    context.update(body);
    let mut signature = format!("t={seconds},v1=");
    for byte in context.sign().as_ref() {
        signature.push_str(&format!("{byte:02x}"));
    }
    signature
}

/// Whether it was signed with the key, at most `tolerance` seconds from `now`. Takes as long for a wrong one as for a
/// right one.
pub fn is_right(key: &[u8], header: &str, body: &[u8], now: u64, tolerance: u64) -> bool {
    let Some((seconds, hex)) = header.strip_prefix("t=").and_then(|rest| rest.split_once(",v1=")) else { return false };
    let (Ok(seconds), Some(tag)) = (seconds.parse::<u64>(), bytes(hex)) else { return false };
    let mut signed = format!("{seconds}.").into_bytes();
    signed.extend_from_slice(body);
    hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, key), &signed, &tag).is_ok() && now.abs_diff(seconds) <= tolerance
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    if !hex.len().is_multiple_of(2) || !hex.is_ascii() {
        return None;
    }
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).ok()).collect()
}
