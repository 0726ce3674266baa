//! What a token is made of, and how one is compared with what is at rest.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;
use utoipa::ToSchema;

use crate::bytes::{hex, random};
use crate::error::Error;
use crate::rights::Role;
use crate::rights::moment::Moment;

/// So that scanners for leaked secrets can be told of it.
const PREFIX: &str = "vdt_";
const ID_BYTES: usize = 4;
const ID_CHARACTERS: usize = 2 * ID_BYTES;
const SECRET_BYTES: usize = 32;
/// 32 bytes in base64url without padding.
const SECRET_CHARACTERS: usize = 43;
const HASH_BYTES: usize = 32;

/// A token as it was sent, or as it is shown once. It cannot be printed by accident.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenText(String);

impl TokenText {
    /// # Errors
    /// The system gives no randomness.
    pub fn new() -> Result<TokenText, Error> {
        let bytes = random::<{ ID_BYTES + SECRET_BYTES }>()
            .map_err(|_| Error::Wrong("the system gives no random bytes; no token can be made".to_owned()))?;
        let (id, secret) = bytes.split_at(ID_BYTES);
        Ok(TokenText(format!("{PREFIX}{}_{}", hex(id), URL_SAFE_NO_PAD.encode(secret))))
    }

    /// `None`: it does not look like a token.
    pub fn parse(text: &str) -> Option<TokenText> {
        let rest = text.strip_prefix(PREFIX)?;
        let (id, secret) = rest.split_once('_')?;
        let is_id = id.len() == ID_CHARACTERS && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let is_secret = secret.len() == SECRET_CHARACTERS
            && secret.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        (is_id && is_secret).then(|| TokenText(text.to_owned()))
    }

    pub fn id(&self) -> &str {
        self.0.get(PREFIX.len()..PREFIX.len() + ID_CHARACTERS).unwrap_or_default()
    }

    /// For whoever is to use it: shown once, never logged.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    pub(crate) fn hash(&self) -> Hash {
        let secret = self.0.get(PREFIX.len() + ID_CHARACTERS + 1..).unwrap_or_default();
        let mut bytes = [0; HASH_BYTES];
        bytes.copy_from_slice(digest::digest(&digest::SHA256, secret.as_bytes()).as_ref());
        Hash(bytes)
    }
}

impl fmt::Debug for TokenText {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{PREFIX}{}_...", self.id())
    }
}

/// SHA-256 of a token's secret part. It has no `==`: it is compared in constant time, or not at all.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Hash([u8; HASH_BYTES]);

impl Hash {
    /// What nobody's secret gives: the partner in a comparison for a token that does not exist.
    pub(crate) const NOBODY: Hash = Hash([0; HASH_BYTES]);

    pub(crate) fn is(&self, other: &Hash) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl From<Hash> for String {
    fn from(hash: Hash) -> String {
        hex(&hash.0)
    }
}

impl TryFrom<String> for Hash {
    type Error = String;

    fn try_from(text: String) -> Result<Hash, String> {
        let wrong = || "`sha256` is not 64 hexadecimal digits".to_owned();
        if text.len() != 2 * HASH_BYTES || !text.is_ascii() {
            return Err(wrong());
        }
        let mut bytes = [0; HASH_BYTES];
        for (index, byte) in bytes.iter_mut().enumerate() {
            let digits = text.get(2 * index..2 * index + 2).ok_or_else(wrong)?;
            *byte = u8::from_str_radix(digits, 16).map_err(|_| wrong())?;
        }
        Ok(Hash(bytes))
    }
}

/// A token at rest.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Token {
    pub id: String,
    pub name: String,
    pub role: Role,
    pub sha256: Hash,
    pub created: Moment,
    pub expires: Moment,
    #[serde(default)]
    pub disabled: bool,
}

impl Token {
    pub(crate) fn view(&self) -> TokenView {
        TokenView {
            id: self.id.clone(),
            name: self.name.clone(),
            role: self.role,
            created: self.created,
            expires: self.expires,
            disabled: self.disabled,
        }
    }
}

/// All of a token that may be shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TokenView {
    /// Names it in lists, in the audit and for `revoke`; no secret.
    pub id: String,
    /// Whom it was given to.
    pub name: String,
    pub role: Role,
    pub created: Moment,
    pub expires: Moment,
    /// It was revoked.
    pub disabled: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_and_read_back() {
        let made = TokenText::new().unwrap();
        let read = TokenText::parse(made.reveal()).unwrap();
        assert_eq!(made.id().len(), ID_CHARACTERS);
        assert_eq!(made.id(), read.id());
        assert!(made.hash().is(&read.hash()));
        assert!(!made.hash().is(&TokenText::new().unwrap().hash()));
    }

    #[test]
    fn the_hash_is_sha_256_of_the_secret_part() {
        let text = TokenText::parse(&format!("vdt_00000000_{}", "A".repeat(43))).unwrap();
        // printf 'A%.0s' {1..43} | sha256sum
        let expected = "0f007385b6f9d4b7eeb2748605afe1a984a0a3bfa3f014d09e2a784ce9e5cd1a";
        assert_eq!(String::from(text.hash()), expected);
        assert!(Hash::try_from(expected.to_owned()).unwrap().is(&text.hash()));
    }

    #[test]
    fn what_is_no_token() {
        let secret = "A".repeat(43);
        for text in [
            String::new(),
            "vdt_".to_owned(),
            "vdt_00000000".to_owned(),
            format!("vdt_00000000_{secret}A"),
            format!("vdt_0000000_{secret}"),
            format!("vdt_0000000G_{secret}"),
            format!("vdx_00000000_{secret}"),
            format!("vdt_00000000_{}=", "A".repeat(42)),
            format!("vdt_00000000_{}", "é".repeat(21) + "A"),
        ] {
            assert!(TokenText::parse(&text).is_none(), "{text}");
        }
        assert!(Hash::try_from("é".repeat(32)).is_err());
        assert!(Hash::try_from("0".repeat(63)).is_err());
    }

    #[test]
    fn it_is_not_printed_by_accident() {
        let made = TokenText::new().unwrap();
        let secret = made.reveal().rsplit_once(made.id()).unwrap().1.to_owned();
        assert!(!format!("{made:?}").contains(&secret[1..]));
    }
}
