//! Bytes as text, and bytes that nobody can guess.

use std::fmt::Write as _;

use ring::error::Unspecified;
use ring::rand::{SecureRandom, SystemRandom};

/// # Errors
/// The system gives none.
pub(crate) fn random<const COUNT: usize>() -> Result<[u8; COUNT], Unspecified> {
    let mut bytes = [0; COUNT];
    SystemRandom::new().fill(&mut bytes)?;
    Ok(bytes)
}

/// Two digits each, in lower case.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_of_one_width_and_random_ones_never_the_same() {
        assert_eq!(hex(&[0, 9, 255]), "0009ff");
        assert_ne!(random::<16>().unwrap(), random::<16>().unwrap());
    }
}
