//! From the bytes of a series' labels, as they come in a request, to the series.
//!
//! A sender's requests name the same series again and again; found here, their labels are never taken apart. The key is
//! 128 bits of XXH3 under a secret of this process, so that nobody can make two series meet; it replaces a comparison
//! of the bytes, which would have to be kept.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use cairn_tsdb::SeriesRef;
use xxhash_rust::xxh3::xxh3_128_with_secret;

/// Parts that are locked one by one, so that forgetting dropped series never holds up a request for long.
const SHARDS: usize = 16;

/// XXH3 takes secrets of at least 136 bytes.
const SECRET_BYTES: usize = 192;

/// Entries that there may be for each series of the head, and beyond: a series has one for each order of its labels
/// that a sender uses, and no sender uses two.
const MAX_ENTRIES_PER_SERIES: usize = 2;
const MAX_ENTRIES_BEYOND: usize = 1 << 16;

/// What the bytes of labels are known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fingerprint {
    high: u64,
    low: u64,
}

impl Hash for Fingerprint {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.low);
    }
}

/// The key is a hash already.
#[derive(Default)]
struct LowHalf(u64);

impl Hasher for LowHalf {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, low: u64) {
        self.0 = low;
    }
}

type Shard = HashMap<Fingerprint, SeriesRef, BuildHasherDefault<LowHalf>>;

/// Series by their labels' bytes.
pub(super) struct SeriesCache {
    shards: [RwLock<Shard>; SHARDS],
    secret: [u8; SECRET_BYTES],
}

impl fmt::Debug for SeriesCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SeriesCache").field("entries", &self.len()).finish_non_exhaustive()
    }
}

/// The cache, locked for reading.
pub(super) struct Reading<'a>([RwLockReadGuard<'a, Shard>; SHARDS]);

impl Reading<'_> {
    #[inline]
    pub(super) fn get(&self, key: Fingerprint) -> Option<&SeriesRef> {
        self.0[shard_of(key)].get(&key)
    }
}

impl SeriesCache {
    pub(super) fn new() -> Self {
        Self { shards: Default::default(), secret: std::array::from_fn(|_| rand::random()) }
    }

    #[inline]
    pub(super) fn fingerprint(&self, label_bytes: &[u8]) -> Fingerprint {
        let hash = xxh3_128_with_secret(label_bytes, &self.secret);
        #[expect(clippy::cast_possible_truncation, reason = "the two halves")]
        Fingerprint { high: (hash >> 64) as u64, low: hash as u64 }
    }

    /// Locks all of it for reading, for the time of a request's look-ups.
    pub(super) fn read(&self) -> Reading<'_> {
        // Always in the same order, and writers hold one part only: no two can wait for each other.
        Reading(std::array::from_fn(|index| {
            self.shards[index].read().unwrap_or_else(PoisonError::into_inner)
        }))
    }

    /// Adds what a request brought. `n_live` are the series of the head.
    pub(super) fn insert(&self, found: &[(Fingerprint, SeriesRef)], n_live: usize) {
        let limit = (n_live * MAX_ENTRIES_PER_SERIES + MAX_ENTRIES_BEYOND) / SHARDS;
        for index in 0..SHARDS {
            let mut own = found.iter().filter(|(key, _)| shard_of(*key) == index).peekable();
            if own.peek().is_none() {
                continue;
            }
            let mut shard = self.write(index);
            for (key, series) in own {
                if shard.len() >= limit {
                    // Somebody sends labels in ever new orders: start afresh rather than grow.
                    shard.clear();
                }
                shard.insert(*key, series.clone());
            }
        }
    }

    /// Lets go of series that have left the head.
    pub(super) fn forget_dropped(&self) {
        for index in 0..SHARDS {
            let mut shard = self.write(index);
            shard.retain(|_, series| !series.is_dropped());
            if shard.len() < shard.capacity() / 4 {
                shard.shrink_to_fit();
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        self.read().0.iter().map(|shard| shard.len()).sum()
    }

    fn write(&self, index: usize) -> RwLockWriteGuard<'_, Shard> {
        // A map that a panic left behind is whole: each of its operations is.
        self.shards[index].write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// By bits that the map inside does not go by.
fn shard_of(key: Fingerprint) -> usize {
    usize::try_from(key.high % SHARDS as u64).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use cairn_model::Labels;

    use super::*;
    use crate::storage::Storage;

    #[test]
    fn bounded_by_the_series_there_are() {
        let storage = Storage::for_tests();
        let series = storage.resolve(&Labels::from_pairs([("__name__", "m")])).unwrap();
        let cache = SeriesCache::new();
        let n = 2 * MAX_ENTRIES_BEYOND;
        for chunk in (0..n).collect::<Vec<_>>().chunks(1000) {
            let found: Vec<_> =
                chunk.iter().map(|i| (cache.fingerprint(&i.to_le_bytes()), series.clone())).collect();
            cache.insert(&found, 1);
        }
        assert!(cache.len() <= MAX_ENTRIES_BEYOND + MAX_ENTRIES_PER_SERIES, "{}", cache.len());
        let key = cache.fingerprint(&(n - 1).to_le_bytes());
        assert!(cache.read().get(key).is_some());
        assert_ne!(
            key,
            SeriesCache::new().fingerprint(&(n - 1).to_le_bytes()),
            "a secret of each cache's own"
        );
        cache.forget_dropped();
        assert!(cache.read().get(key).is_some(), "the series is alive");
    }
}
