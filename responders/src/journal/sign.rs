//! Signatures over the chain's head (Ed25519, RFC 8032). Who has only the journal and the public key can tell that it was
//! not written anew.

use std::path::Path;

use ring::rand::SystemRandom;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use smol_str::SmolStr;

use super::entry::Signed;
use crate::bytes::hex;
use crate::error::Error;

pub struct Signer {
    pair: Ed25519KeyPair,
}

impl Signer {
    /// The key in this file (PKCS #8, DER); made, for nobody else to read, where there is none.
    ///
    /// # Errors
    /// A file that cannot be read or made, or that holds no such key.
    pub fn open(path: &Path) -> Result<Signer, Error> {
        let problem = |what: String| Error::Wrong(format!("the signing key `{}` {what}", path.display()));
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let made = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new())
                    .map_err(|_| problem("cannot be made: no randomness".to_owned()))?;
                write_new(path, made.as_ref()).map_err(|error| problem(format!("cannot be written: {error}")))?;
                made.as_ref().to_vec()
            }
            Err(error) => return Err(problem(format!("cannot be read: {error}"))),
        };
        let pair = Ed25519KeyPair::from_pkcs8(&bytes)
            .map_err(|error| problem(format!("is no Ed25519 key in PKCS #8 (DER): {error}")))?;
        Ok(Signer { pair })
    }

    /// Whom to compare signatures with: 64 hexadecimal digits.
    pub fn public_key(&self) -> SmolStr {
        hex(self.pair.public_key().as_ref()).into()
    }

    pub fn sign(&self, head: &str) -> Signed {
        let signature = self.pair.sign(head.as_bytes());
        Signed { head: head.into(), key: self.public_key(), signature: hex(signature.as_ref()).into() }
    }
}

#[cfg(unix)]
fn write_new(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

pub fn is_valid(signed: &Signed) -> bool {
    let (Some(key), Some(signature)) = (unhex(&signed.key), unhex(&signed.signature)) else { return false };
    UnparsedPublicKey::new(&ED25519, key).verify(signed.head.as_bytes(), &signature).is_ok()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.is_ascii() {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_vouches_for_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.key");
        let signed = Signer::open(&path).unwrap().sign("abc");
        assert!(is_valid(&signed));
        assert_eq!(Signer::open(&path).unwrap().public_key(), signed.key);
        assert!(!is_valid(&Signed { head: "abd".into(), ..signed.clone() }));
        assert!(!is_valid(&Signed { signature: "zz".into(), ..signed.clone() }));
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::write(&path, "no key").unwrap();
        let words = Signer::open(&path).err().unwrap().to_string();
        assert!(words.contains("journal.key") && words.contains("Ed25519"), "{words}");
    }
}
