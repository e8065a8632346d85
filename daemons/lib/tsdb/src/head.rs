//! The recent data in memory: series by label hash, by slot and by label.

mod index;

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use cairn_model::Labels;

pub(crate) use index::HeadIndex;

use crate::series::MemSeries;

/// Looking a series up takes the read lock of one of so many parts; creating one takes a write lock of one part.
const SHARDS: usize = 64;

/// Series are taken out of the index in groups of this size, so that a query never waits for all of them.
const REMOVE_GROUP: usize = 512;

/// The key is a hash already.
#[derive(Default)]
struct HashIsKey(u64);

impl Hasher for HashIsKey {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(byte);
        }
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

#[derive(Debug, Default)]
struct Shard {
    by_hash: HashMap<u64, Arc<MemSeries>, BuildHasherDefault<HashIsKey>>,
    /// Series whose hash another live series has: practically none, so a list does.
    collisions: Vec<Arc<MemSeries>>,
}

/// All series that have samples outside of blocks.
#[derive(Debug)]
pub(crate) struct Head {
    shards: Vec<RwLock<Shard>>,
    index: RwLock<HeadIndex>,
    n_series: AtomicUsize,
    next_id: AtomicU64,
    /// Newest sample; `i64::MIN` while there is none.
    max_time: AtomicI64,
}

impl Head {
    pub(crate) fn new() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| RwLock::default()).collect(),
            index: RwLock::default(),
            n_series: AtomicUsize::new(0),
            next_id: AtomicU64::new(1),
            max_time: AtomicI64::new(i64::MIN),
        }
    }

    /// The live series with this hash of which `is_it` says so.
    pub(crate) fn find(&self, hash: u64, is_it: impl Fn(&Labels) -> bool) -> Option<Arc<MemSeries>> {
        let shard = self.shard(hash).read().unwrap_or_else(PoisonError::into_inner);
        let first = shard.by_hash.get(&hash)?;
        let fits =
            |series: &&Arc<MemSeries>| series.hash == hash && is_it(&series.labels) && !series.is_dropped();
        Some(first).filter(fits).or_else(|| shard.collisions.iter().find(fits)).cloned()
    }

    /// Number for a series that is to be created.
    pub(crate) fn next_id(&self) -> u64 {
        self.next_id.load(Ordering::Relaxed)
    }

    /// Numbers below are in use, or were.
    pub(crate) fn reserve_ids_below(&self, next_id: u64) {
        self.next_id.fetch_max(next_id, Ordering::Relaxed);
    }

    /// Adds a series that [`find`](Self::find) does not know. One caller at a time (the commit lock, or replay).
    pub(crate) fn insert(&self, id: u64, hash: u64, labels: Arc<Labels>) -> Arc<MemSeries> {
        self.reserve_ids_below(id.saturating_add(1));
        let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
        let slot = index.free_slot();
        let series = Arc::new(MemSeries::new(id, slot, hash, labels));
        index.insert(&series);
        drop(index);
        let mut shard = self.shard(hash).write().unwrap_or_else(PoisonError::into_inner);
        match shard.by_hash.get(&hash) {
            Some(other) if !other.is_dropped() => shard.collisions.push(Arc::clone(&series)),
            _ => {
                shard.by_hash.insert(hash, Arc::clone(&series));
            }
        }
        self.n_series.fetch_add(1, Ordering::Relaxed);
        series
    }

    pub(crate) fn n_series(&self) -> usize {
        self.n_series.load(Ordering::Relaxed)
    }

    pub(crate) fn index(&self) -> RwLockReadGuard<'_, HeadIndex> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every series, in no order.
    pub(crate) fn all_series(&self) -> Vec<Arc<MemSeries>> {
        self.index().series().cloned().collect()
    }

    /// Newest sample.
    pub(crate) fn max_time(&self) -> Option<i64> {
        Some(self.max_time.load(Ordering::Relaxed)).filter(|&time| time != i64::MIN)
    }

    pub(crate) fn saw_time(&self, time: i64) {
        self.max_time.fetch_max(time, Ordering::Relaxed);
    }

    /// Oldest sample; looks at every series.
    pub(crate) fn min_time(&self) -> Option<i64> {
        self.all_series().iter().filter_map(|series| series.lock().min_time()).min()
    }

    /// Forgets chunks that end before `from` and the series that have none left. Answers how many series went.
    pub(crate) fn truncate(&self, from: i64) -> usize {
        let mut gone: Vec<Arc<MemSeries>> = self.all_series();
        // Marked as dropped first, under its own lock: an appender that holds a reference learns it from there, and
        // can no longer put a sample into a series that queries do not find.
        gone.retain(|series| series.lock().truncate(from));
        for group in gone.chunks(REMOVE_GROUP) {
            let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
            for series in group {
                index.remove(series);
            }
            drop(index);
            for series in group {
                let mut shard = self.shard(series.hash).write().unwrap_or_else(PoisonError::into_inner);
                shard.remove(series);
            }
        }
        self.n_series.fetch_sub(gone.len(), Ordering::Relaxed);
        gone.len()
    }

    fn shard(&self, hash: u64) -> &RwLock<Shard> {
        // Bits from the middle: the map in a shard goes by the top and the bottom ones.
        let middle_bits = usize::try_from((hash >> 32) & 0xff).expect("eight bits");
        &self.shards[middle_bits % SHARDS]
    }
}

impl Shard {
    fn remove(&mut self, series: &Arc<MemSeries>) {
        match self.by_hash.get(&series.hash) {
            Some(found) if Arc::ptr_eq(found, series) => {
                self.by_hash.remove(&series.hash);
                // `find` starts at the map: a collision moves up.
                if let Some(at) = self.collisions.iter().position(|other| other.hash == series.hash) {
                    let moved = self.collisions.swap_remove(at);
                    self.by_hash.insert(moved.hash, moved);
                }
            }
            _ => self.collisions.retain(|other| !Arc::ptr_eq(other, series)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(value: &str) -> Labels {
        Labels::from_pairs([("a", value)])
    }

    #[test]
    fn equal_hashes_are_told_apart_also_after_one_left() {
        let head = Head::new();
        let hash = 7;
        for (id, value) in [(1, "x"), (2, "y"), (3, "z")] {
            assert!(head.find(hash, |found| *found == labels(value)).is_none());
            head.insert(id, hash, Arc::new(labels(value))).lock().commit(id.cast_signed() * 10, 0, 1000);
        }
        let id_of = |value| head.find(hash, |found| *found == labels(value)).map(|series| series.id);
        assert_eq!([id_of("x"), id_of("y"), id_of("z")], [Some(1), Some(2), Some(3)]);
        assert_eq!(head.truncate(15), 1);
        assert_eq!([id_of("x"), id_of("y"), id_of("z")], [None, Some(2), Some(3)]);
        assert_eq!(head.truncate(25), 1);
        assert_eq!([id_of("y"), id_of("z"), id_of("x")], [None, Some(3), None]);
        assert_eq!((head.n_series(), head.next_id(), head.min_time()), (1, 4, Some(30)));
    }
}
