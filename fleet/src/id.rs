//! Stable ids: the same evidence gives the same id, in whichever run, lane or process it is found.

use sha2::{Digest, Sha256};

/// 16 hexadecimal digits (64 bits of SHA-256) over the parts; the length of each part is hashed too, so that
/// `["ab", "c"]` and `["a", "bc"]` differ.
pub fn stable_id(parts: &[&str]) -> String {
    let digest = stable_hash(parts);
    format!("{digest:016x}")
}

/// The same as a number, for choosing a shard or a sample.
pub fn stable_hash(parts: &[&str]) -> u64 {
    u64::from_be_bytes(digest(parts))
}

/// The same of bytes, to tell whether they are still what was written.
pub fn checksum(parts: &[&[u8]]) -> [u8; 8] {
    digest(parts)
}

/// A partition of a raw topic as a number, the same in every process; by the topic's id, so that one made again is another.
pub fn source_id(topic_id: &str, partition: i32) -> u32 {
    (stable_hash(&["source", topic_id, &partition.to_string()]) >> 32) as u32
}

fn digest<P: AsRef<[u8]>>(parts: &[P]) -> [u8; 8] {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.as_ref().len() as u64).to_le_bytes());
        hasher.update(part);
    }
    let digest = hasher.finalize();
    let mut first = [0u8; 8];
    first.copy_from_slice(&digest[..8]);
    first
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_do_not_run_together() {
        assert_ne!(stable_id(&["ab", "c"]), stable_id(&["a", "bc"]));
        assert_eq!(stable_id(&["a"]).len(), 16);
        assert_eq!(stable_id(&["camera-1", "compromise"]), stable_id(&["camera-1", "compromise"]));
    }
}
