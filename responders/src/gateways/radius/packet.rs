//! RADIUS packets of dynamic authorisation (RFC 2865, 2868, 3579, 5176) as bytes. A request carries a Message-Authenticator
//! and its own authenticator; an answer is believed only if it was made with our secret, for this request.

use hmac::{Hmac, KeyInit, Mac};
use md5::{Digest, Md5};

use crate::gateways::{Failure, clock};

pub(super) const USER_NAME: u8 = 1;
pub(super) const NAS_IP_ADDRESS: u8 = 4;
pub(super) const FILTER_ID: u8 = 11;
pub(super) const CALLING_STATION_ID: u8 = 31;
pub(super) const NAS_IDENTIFIER: u8 = 32;
pub(super) const ACCT_SESSION_ID: u8 = 44;
const EVENT_TIMESTAMP: u8 = 55;
pub(super) const TUNNEL_TYPE: u8 = 64;
pub(super) const TUNNEL_MEDIUM_TYPE: u8 = 65;
const MESSAGE_AUTHENTICATOR: u8 = 80;
pub(super) const TUNNEL_PRIVATE_GROUP_ID: u8 = 81;
const ERROR_CAUSE: u8 = 101;

/// Of Tunnel-Type.
pub(super) const VLAN: u32 = 13;
/// Of Tunnel-Medium-Type.
pub(super) const IEEE_802: u32 = 6;

const HEADER: usize = 20;
const LONGEST: usize = 4096;
const LONGEST_VALUE: usize = 253;
const AUTHENTICATOR: std::ops::Range<usize> = 4..HEADER;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Code {
    DisconnectRequest = 40,
    CoaRequest = 43,
}

#[derive(Debug, Default)]
pub(super) struct Attributes(Vec<u8>);

impl Attributes {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn bytes(&mut self, kind: u8, value: &[u8]) -> Result<(), Failure> {
        let length = u8::try_from(value.len() + 2).ok().filter(|_| (1..=LONGEST_VALUE).contains(&value.len()));
        let length = length.ok_or_else(|| {
            let text = String::from_utf8_lossy(value);
            Failure::refused(format!("`{text}` does not fit into RADIUS, expected 1 to {LONGEST_VALUE} bytes"))
        })?;
        self.0.extend([kind, length]);
        self.0.extend(value);
        Ok(())
    }

    pub fn text(&mut self, kind: u8, value: &str) -> Result<(), Failure> {
        self.bytes(kind, value.as_bytes())
    }

    /// A number of three bytes behind the tag 0, which groups nothing.
    pub fn tagged(&mut self, kind: u8, value: u32) -> Result<(), Failure> {
        let [_, high, middle, low] = value.to_be_bytes();
        self.bytes(kind, &[0, high, middle, low])
    }
}

/// The same bytes are sent at every try: a server knows them by identifier, authenticator and our port.
pub(super) fn request(code: Code, attributes: &Attributes, secret: &[u8]) -> Result<Vec<u8>, Failure> {
    let mut all = Attributes(attributes.0.clone());
    // Against replays: servers refuse what is older than five minutes.
    all.bytes(EVENT_TIMESTAMP, &u32::try_from(clock::unix_seconds()).unwrap_or(u32::MAX).to_be_bytes())?;
    let seal_at = HEADER + all.0.len() + 2;
    all.bytes(MESSAGE_AUTHENTICATOR, &[0; 16])?;
    let length = u16::try_from(HEADER + all.0.len()).ok().filter(|length| usize::from(*length) <= LONGEST);
    let length = length.ok_or_else(|| Failure::refused(format!("a request of more than {LONGEST} bytes")))?;

    // Each request has a socket of its own, so that one number does for all.
    let mut packet = vec![code as u8, 1];
    packet.extend(length.to_be_bytes());
    packet.extend([0; 16]);
    packet.extend(&all.0);
    let seal = seal(&packet, secret)?.finalize().into_bytes();
    packet[seal_at..seal_at + 16].copy_from_slice(&seal);
    let authenticator = authenticator(&packet, &[0; 16], secret);
    packet[AUTHENTICATOR].copy_from_slice(&authenticator);
    Ok(packet)
}

/// A genuine answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub ack: bool,
    pub error_cause: Option<u32>,
}

/// `None`: it is no answer to this request, or not made with our secret.
pub(super) fn answer(bytes: &[u8], request: &[u8], secret: &[u8], must_be_sealed: bool) -> Option<Answer> {
    let length = usize::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?));
    if !(HEADER..=LONGEST).contains(&length) {
        return None;
    }
    // What is behind the stated length is padding.
    let packet = bytes.get(..length)?;
    let ack = match packet[0].checked_sub(request[0])? {
        1 => true,
        2 => false,
        _ => return None,
    };
    if packet[1] != request[1] || packet[AUTHENTICATOR] != authenticator(packet, &request[AUTHENTICATOR], secret) {
        return None;
    }
    let mut answer = Answer { ack, error_cause: None };
    let mut sealed = false;
    let mut at = HEADER;
    while at < length {
        let (kind, size) = (packet[at], usize::from(*packet.get(at + 1)?));
        let value = packet.get(at + 2..at + size)?;
        match kind {
            MESSAGE_AUTHENTICATOR => {
                if value.len() != 16 {
                    return None;
                }
                let mut plain = packet.to_vec();
                plain[AUTHENTICATOR].copy_from_slice(&request[AUTHENTICATOR]);
                plain[at + 2..at + size].fill(0);
                seal(&plain, secret).ok()?.verify_slice(value).ok()?;
                sealed = true;
            }
            ERROR_CAUSE => answer.error_cause = Some(u32::from_be_bytes(value.try_into().ok()?)),
            _ => {}
        }
        at += size;
    }
    (sealed || !must_be_sealed).then_some(answer)
}

/// MD5 of the packet with this in the place of its authenticator, and of the secret.
fn authenticator(packet: &[u8], instead: &[u8], secret: &[u8]) -> [u8; 16] {
    let mut hash = Md5::new();
    hash.update(&packet[..4]);
    hash.update(instead);
    hash.update(&packet[HEADER..]);
    hash.update(secret);
    hash.finalize().into()
}

fn seal(packet: &[u8], secret: &[u8]) -> Result<Hmac<Md5>, Failure> {
    let mut seal = Hmac::<Md5>::new_from_slice(secret).map_err(|error| Failure::refused(format!("secret: {error}")))?;
    seal.update(packet);
    Ok(seal)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &[u8] = b"testing123";

    fn a_request() -> Vec<u8> {
        let mut attributes = Attributes::default();
        attributes.text(USER_NAME, "bob").unwrap();
        request(Code::DisconnectRequest, &attributes, SECRET).unwrap()
    }

    /// As RFC 2865 says for answers, sealed or not.
    fn answer_to(request: &[u8], code: u8, attributes: &[u8], secret: &[u8], sealed: bool) -> Vec<u8> {
        let mut all = attributes.to_vec();
        if sealed {
            all.extend([MESSAGE_AUTHENTICATOR, 18]);
            all.extend([0; 16]);
        }
        let mut packet = vec![code, request[1]];
        packet.extend(u16::try_from(HEADER + all.len()).unwrap().to_be_bytes());
        packet.extend(&request[AUTHENTICATOR]);
        packet.extend(all);
        if sealed {
            let made = seal(&packet, secret).unwrap().finalize().into_bytes();
            let at = packet.len() - 16;
            packet[at..].copy_from_slice(&made);
        }
        let made = authenticator(&packet, &request[AUTHENTICATOR], secret);
        packet[AUTHENTICATOR].copy_from_slice(&made);
        packet
    }

    #[test]
    fn an_answer_must_be_to_this_request_and_made_with_the_secret() {
        let request = a_request();
        let cause = [ERROR_CAUSE, 6, 0, 0, 1, 0xf7];
        for sealed in [true, false] {
            let nak = answer_to(&request, 42, &cause, SECRET, sealed);
            assert_eq!(answer(&nak, &request, SECRET, sealed), Some(Answer { ack: false, error_cause: Some(503) }));
            for at in 0..nak.len() {
                let mut changed = nak.clone();
                changed[at] ^= 1;
                assert_eq!(answer(&changed, &request, SECRET, sealed), None, "byte {at}");
            }
            for length in 0..nak.len() {
                assert_eq!(answer(&nak[..length], &request, SECRET, sealed), None, "{length} bytes");
            }
        }
        let ack = answer_to(&request, 41, &[], SECRET, false);
        assert_eq!(answer(&ack, &request, SECRET, false), Some(Answer { ack: true, error_cause: None }));
        assert_eq!(answer(&ack, &request, SECRET, true), None, "it is not sealed");
        assert_eq!(answer(&ack, &request, b"another", false), None);
        let other = answer_to(&request, 44, &[], SECRET, false);
        assert_eq!(answer(&other, &request, SECRET, false), None, "an answer to another kind of request");
    }

    #[test]
    fn a_seal_that_is_wrong_in_an_answer_that_is_otherwise_right() {
        let request = a_request();
        let mut attributes = vec![MESSAGE_AUTHENTICATOR, 18];
        attributes.extend([7; 16]);
        assert_eq!(answer(&answer_to(&request, 41, &attributes, SECRET, false), &request, SECRET, false), None);
        // An attribute of no length would be read for ever.
        assert_eq!(answer(&answer_to(&request, 41, &[USER_NAME, 0], SECRET, false), &request, SECRET, false), None);
    }

    #[test]
    fn values_fit_or_are_refused() {
        let mut attributes = Attributes::default();
        assert!(attributes.text(FILTER_ID, &"x".repeat(253)).is_ok());
        assert!(attributes.text(FILTER_ID, &"x".repeat(254)).is_err());
        assert!(attributes.text(FILTER_ID, "").is_err());
        let mut many = Attributes::default();
        (0..20).for_each(|_| many.text(FILTER_ID, &"x".repeat(253)).unwrap());
        assert!(request(Code::CoaRequest, &many, SECRET).is_err());
    }
}
