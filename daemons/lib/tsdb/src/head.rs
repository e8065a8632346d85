//! The recent data in memory: series by label hash, by slot and by label.

mod index;

use std::sync::atomic::{AtomicI64, AtomicIsize, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use cairn_model::Labels;
use hashbrown::HashTable;

pub(crate) use index::HeadIndex;

use crate::series::{MemSeries, SeriesLabels};

/// Looking a series up takes the read lock of one of so many parts; creating one takes a write lock of one part.
const SHARDS: usize = 64;

/// Series are taken out of the index in groups of this size, so that a query never waits for all of them.
const REMOVE_GROUP: usize = 512;

/// Series by the hash of their labels, which each of them knows: so an entry is eight bytes. Several live series may have
/// the same hash.
type Shard = HashTable<Arc<MemSeries>>;

/// The series that somebody appends to, with what they have outside of blocks.
#[derive(Debug)]
pub(crate) struct Head {
    shards: Vec<RwLock<Shard>>,
    index: RwLock<HeadIndex>,
    n_series: AtomicUsize,
    next_id: AtomicU64,
    /// Newest sample; `i64::MIN` while there is none.
    max_time: AtomicI64,
    /// Oldest sample in memory of the present generation; `i64::MAX` while there is none.
    min_time: AtomicI64,
    /// Oldest sample of what a flush is writing; `i64::MAX` while none is under way.
    min_time_in_flush: AtomicI64,
    /// What samples in memory take, about. Signed: parts are counted by several threads in any order.
    chunk_bytes: AtomicIsize,
    /// Samples in memory.
    n_samples: AtomicU64,
}

impl Head {
    pub(crate) fn new() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| RwLock::default()).collect(),
            index: RwLock::default(),
            n_series: AtomicUsize::new(0),
            next_id: AtomicU64::new(1),
            max_time: AtomicI64::new(i64::MIN),
            min_time: AtomicI64::new(i64::MAX),
            min_time_in_flush: AtomicI64::new(i64::MAX),
            chunk_bytes: AtomicIsize::new(0),
            n_samples: AtomicU64::new(0),
        }
    }

    /// The live series with this hash of which `is_it` says so.
    pub(crate) fn find(&self, hash: u64, is_it: impl Fn(&SeriesLabels) -> bool) -> Option<Arc<MemSeries>> {
        let shard = self.shard(hash).read().unwrap_or_else(PoisonError::into_inner);
        let fits =
            |series: &Arc<MemSeries>| series.hash == hash && is_it(&series.labels) && !series.is_dropped();
        shard.find(hash, fits).cloned()
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
    pub(crate) fn insert(&self, id: u64, hash: u64, labels: &Labels) -> Arc<MemSeries> {
        self.reserve_ids_below(id.saturating_add(1));
        let series = self.index.write().unwrap_or_else(PoisonError::into_inner).insert(id, hash, labels);
        let mut shard = self.shard(hash).write().unwrap_or_else(PoisonError::into_inner);
        shard.insert_unique(hash, Arc::clone(&series), |series| series.hash);
        self.n_series.fetch_add(1, Ordering::Relaxed);
        series
    }

    pub(crate) fn n_series(&self) -> usize {
        self.n_series.load(Ordering::Relaxed)
    }

    pub(crate) fn index(&self) -> RwLockReadGuard<'_, HeadIndex> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every series, by slot.
    pub(crate) fn all_series(&self) -> Vec<Arc<MemSeries>> {
        self.index().series().cloned().collect()
    }

    /// Every series: those in the first slots that are given, in their order, and behind them the others, by slot.
    pub(crate) fn all_series_after(&self, first: &[u32]) -> Vec<Arc<MemSeries>> {
        if first.is_empty() {
            return self.all_series();
        }
        let mut left = self.index().slots().to_vec();
        let mut all = Vec::with_capacity(left.len());
        all.extend(first.iter().filter_map(|slot| left.get_mut(*slot as usize)?.take()));
        all.extend(left.into_iter().flatten());
        all
    }

    /// Newest sample ever seen.
    pub(crate) fn max_time(&self) -> Option<i64> {
        Some(self.max_time.load(Ordering::Relaxed)).filter(|&time| time != i64::MIN)
    }

    /// Oldest sample that is in no block yet.
    pub(crate) fn min_time(&self) -> Option<i64> {
        let oldest =
            self.min_time.load(Ordering::Relaxed).min(self.min_time_in_flush.load(Ordering::Relaxed));
        Some(oldest).filter(|&time| time != i64::MAX)
    }

    /// Notes the newest sample of a series whose samples lie in blocks.
    pub(crate) fn saw_time(&self, time: i64) {
        self.max_time.fetch_max(time, Ordering::Relaxed);
    }

    /// Notes what was stored: the oldest and newest time, how many samples, how many bytes they take.
    pub(crate) fn stored(&self, oldest: i64, newest: i64, n_samples: u64, bytes: isize) {
        self.max_time.fetch_max(newest, Ordering::Relaxed);
        self.min_time.fetch_min(oldest, Ordering::Relaxed);
        self.n_samples.fetch_add(n_samples, Ordering::Relaxed);
        self.chunk_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// What samples in memory take.
    pub(crate) fn chunk_bytes(&self) -> usize {
        usize::try_from(self.chunk_bytes.load(Ordering::Relaxed)).unwrap_or(0)
    }

    /// Samples in memory that no flush has begun to write.
    pub(crate) fn n_samples(&self) -> u64 {
        self.n_samples.load(Ordering::Relaxed)
    }

    pub(crate) fn resized(&self, bytes: isize) {
        self.chunk_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// A flush begins: what is in memory belongs to it. The caller holds the commit lock.
    pub(crate) fn begin_flush(&self) {
        let oldest = self.min_time.swap(i64::MAX, Ordering::Relaxed);
        self.min_time_in_flush.fetch_min(oldest, Ordering::Relaxed);
        self.n_samples.store(0, Ordering::Relaxed);
    }

    /// A flush ended well: what it wrote is answered by blocks.
    pub(crate) fn end_flush(&self) {
        self.min_time_in_flush.store(i64::MAX, Ordering::Relaxed);
    }

    /// Takes series, which the caller has marked as dropped, out of the tables.
    pub(crate) fn remove(&self, gone: &[Arc<MemSeries>]) {
        for group in gone.chunks(REMOVE_GROUP) {
            let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
            for series in group {
                index.remove(series);
            }
            drop(index);
            for series in group {
                let mut shard = self.shard(series.hash).write().unwrap_or_else(PoisonError::into_inner);
                if let Ok(found) = shard.find_entry(series.hash, |other| Arc::ptr_eq(other, series)) {
                    found.remove();
                }
            }
        }
        self.n_series.fetch_sub(gone.len(), Ordering::Relaxed);
    }

    /// Gives memory back that removed series leave behind in the tables.
    pub(crate) fn shrink(&self) {
        for shard in &self.shards {
            let mut shard = shard.write().unwrap_or_else(PoisonError::into_inner);
            if shard.capacity() > 4 * shard.len() {
                shard.shrink_to_fit(|series| series.hash);
            }
        }
    }

    fn shard(&self, hash: u64) -> &RwLock<Shard> {
        // Bits from the middle: the table in a shard goes by the top and the bottom ones.
        let middle_bits = usize::try_from((hash >> 32) & 0xff).expect("eight bits");
        &self.shards[middle_bits % SHARDS]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(value: &str) -> Labels {
        Labels::from_pairs([("a", value)])
    }

    fn drop_series(head: &Head, series: &Arc<MemSeries>) {
        series.mark_dropped();
        head.remove(std::slice::from_ref(series));
    }

    #[test]
    fn equal_hashes_are_told_apart_also_after_one_left() {
        let head = Head::new();
        let hash = 7;
        let mut all = Vec::new();
        for (id, value) in [(1, "x"), (2, "y"), (3, "z")] {
            assert!(head.find(hash, |found| *found == labels(value)).is_none());
            all.push(head.insert(id, hash, &labels(value)));
        }
        let id_of = |value| head.find(hash, |found| *found == labels(value)).map(|series| series.id);
        assert_eq!([id_of("x"), id_of("y"), id_of("z")], [Some(1), Some(2), Some(3)]);
        drop_series(&head, &all[0]);
        assert_eq!([id_of("x"), id_of("y"), id_of("z")], [None, Some(2), Some(3)]);
        drop_series(&head, &all[1]);
        assert_eq!([id_of("y"), id_of("z"), id_of("x")], [None, Some(3), None]);
        assert_eq!((head.n_series(), head.next_id()), (1, 4));
    }

    #[test]
    fn every_series_is_there_once_whatever_comes_first() {
        let head = Head::new();
        let all: Vec<_> = (0..5).map(|n| head.insert(n + 1, n, &labels(&n.to_string()))).collect();
        let ids = |first: &[u32]| -> Vec<u64> {
            head.all_series_after(first).iter().map(|series| series.id).collect()
        };
        assert_eq!(ids(&[]), [1, 2, 3, 4, 5]);
        assert_eq!(ids(&[3, 0]), [4, 1, 2, 3, 5]);
        assert_eq!(ids(&[4, 4, 99, 2]), [5, 3, 1, 2, 4], "slots that have no series any more");
        drop_series(&head, &all[4]);
        assert_eq!(ids(&[4, 2]), [3, 1, 2, 4]);
    }

    #[test]
    fn labels_go_with_the_last_series_that_has_them() {
        let head = Head::new();
        let of = |n: u64| Labels::from_pairs([("job", "a"), ("pod", &format!("p{n}"))]);
        for round in 0..10 {
            let all: Vec<_> = (0..50).map(|n| head.insert(round * 100 + n + 1, n, &of(n))).collect();
            let shared = Arc::clone(&all[0].labels.pairs()[0]);
            assert_eq!(Arc::strong_count(&shared), 50 + 2, "the series, the index and this one");
            assert_eq!(head.index().n_slots(), 50, "slots are given again");
            for series in &all {
                drop_series(&head, series);
            }
            drop(all);
            assert_eq!(Arc::strong_count(&shared), 1);
            assert_eq!(head.index().names().count(), 0);
        }
    }

    #[test]
    fn oldest_and_newest_while_a_flush_is_under_way() {
        let head = Head::new();
        assert_eq!((head.min_time(), head.max_time()), (None, None));
        head.stored(10, 20, 3, 100);
        head.begin_flush();
        assert_eq!((head.min_time(), head.max_time(), head.n_samples()), (Some(10), Some(20), 0));
        head.stored(30, 40, 3, 100);
        assert_eq!(head.min_time(), Some(10));
        head.end_flush();
        assert_eq!((head.min_time(), head.max_time()), (Some(30), Some(40)));
        assert_eq!((head.n_samples(), head.chunk_bytes()), (3, 200));
    }
}
