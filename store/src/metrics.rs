//! Everything the store counts, under its metric names; read by whoever exports them.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counts since the store was opened.
#[derive(Debug, Default)]
pub struct Metrics {
    files_written: AtomicU64,
    rows_written: AtomicU64,
    bytes_written: AtomicU64,
    files_merged: AtomicU64,
    copies_dropped: AtomicU64,
}

impl Metrics {
    pub(crate) fn written(&self, rows: usize, bytes: u64) {
        self.files_written.fetch_add(1, Relaxed);
        self.rows_written.fetch_add(rows as u64, Relaxed);
        self.bytes_written.fetch_add(bytes, Relaxed);
    }

    pub(crate) fn merged(&self, files: usize) {
        self.files_merged.fetch_add(files as u64, Relaxed);
    }

    pub(crate) fn copy_dropped(&self) {
        self.copies_dropped.fetch_add(1, Relaxed);
    }

    /// Name and value of each counter.
    pub fn read(&self) -> [(&'static str, u64); 5] {
        [
            ("vedette.store.files_written", self.files_written.load(Relaxed)),
            ("vedette.store.rows_written", self.rows_written.load(Relaxed)),
            ("vedette.store.bytes_written", self.bytes_written.load(Relaxed)),
            // Step files that compaction took up.
            ("vedette.store.files_merged", self.files_merged.load(Relaxed)),
            // Writes of a step that was already compacted: its rows are there.
            ("vedette.store.copies_dropped", self.copies_dropped.load(Relaxed)),
        ]
    }
}
