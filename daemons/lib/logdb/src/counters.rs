//! Counts that many threads add to.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number that only goes up, or goes up and down. Relaxed: readers want a recent value, not an order of events.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    pub(crate) fn subtract(&self, less: u64) {
        self.0.fetch_sub(less, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What a store counts since it was opened; see [`crate::Counters`] for the meaning of each.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) head_bytes: Count,
    pub(crate) head_entries: Count,
    pub(crate) chunks: Count,
    pub(crate) chunk_bytes: Count,
    pub(crate) pushes: Count,
    pub(crate) pushes_refused: Count,
    pub(crate) entries_stored: Count,
    pub(crate) entries_repeated: Count,
    pub(crate) chunks_written: Count,
    pub(crate) chunks_expired: Count,
    pub(crate) chunks_filtered: Count,
    pub(crate) chunks_read: Count,
    pub(crate) chunks_damaged: Count,
}
