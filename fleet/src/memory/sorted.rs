//! Hash maps and sets written in the order of their keys: `#[serde(serialize_with = "sorted::map")]`. They are read back
//! as any other.

use std::collections::{HashMap, HashSet};

use serde::{Serialize, Serializer};

pub fn map<K: Ord + Serialize, V: Serialize, H, S: Serializer>(
    map: &HashMap<K, V, H>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let mut entries: Vec<(&K, &V)> = map.iter().collect();
    entries.sort_unstable_by_key(|(key, _)| *key);
    serializer.collect_map(entries)
}

pub fn set<K: Ord + Serialize, H, S: Serializer>(set: &HashSet<K, H>, serializer: S) -> Result<S::Ok, S::Error> {
    let mut keys: Vec<&K> = set.iter().collect();
    keys.sort_unstable();
    serializer.collect_seq(keys)
}
