//! Limits of reading a data set; none of them changes what is read, only how much of it at a time.

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Rows that go through a `select` at once. Larger ones fall out of the processor's second-level cache.
    pub rows_per_batch: usize,
    /// Batches that a scan may be ahead of the pipeline.
    pub batches_ahead: usize,
    /// Readings of a set with `order = "event_time"`, which is sorted in memory: about 300 bytes each.
    pub max_sorted_readings: usize,
}

impl Default for Config {
    fn default() -> Config {
        Config { rows_per_batch: 8_192, batches_ahead: 4, max_sorted_readings: 5_000_000 }
    }
}
