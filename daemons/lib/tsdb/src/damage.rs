//! What queries met that was damaged: counted, named once, never in the way of the rest.

use std::collections::HashSet;
use std::error::Error;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// So many places are remembered as reported; beyond, a place may be reported again.
const MAX_REMEMBERED: usize = 10_000;

/// Counts damaged places, each once.
#[derive(Debug, Default)]
pub(crate) struct DamageLog {
    seen: Mutex<HashSet<(String, u64)>>,
    count: AtomicU64,
    /// Every meeting, also with a place that was reported before.
    met: AtomicU64,
}

impl DamageLog {
    /// Counts and logs a damaged place, the first time it is met.
    pub(crate) fn note(&self, error: &dyn Error, offset: u64) {
        self.met.fetch_add(1, Ordering::Relaxed);
        if self.is_first(error, offset) {
            tracing::warn!(error = %error, offset, "left out a damaged part of a block");
        }
    }

    /// Counts and logs a damaged place of which there is a copy: no answer lacks anything.
    pub(crate) fn note_healed(&self, error: &dyn Error, offset: u64) {
        if self.is_first(error, offset) {
            tracing::warn!(error = %error, offset, "read the copy of a damaged part of a block");
        }
    }

    fn is_first(&self, error: &dyn Error, offset: u64) -> bool {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= MAX_REMEMBERED {
            seen.clear();
        }
        // The text names the file.
        let is_first = seen.insert((error.to_string(), offset));
        if is_first {
            self.count.fetch_add(1, Ordering::Relaxed);
        }
        is_first
    }

    /// How often damage was met, each place as often as it was met.
    pub(crate) fn met(&self) -> u64 {
        self.met.load(Ordering::Relaxed)
    }

    /// How many damaged places there are.
    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }
}
