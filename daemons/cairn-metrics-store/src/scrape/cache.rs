//! What a target exposed before: from the text of a series to its place in the database.
//!
//! A steady scrape finds each line here by a 128-bit hash of its series text and never builds a label. The same table
//! knows which series were alive at the last good scrape, and so which of them have vanished.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};

use xxhash_rust::xxh3::xxh3_128;

use cairn_tsdb::SeriesRef;

/// The key is a hash already: its low half is as good as any.
#[derive(Debug, Default)]
struct KeyIsHash(u64);

impl Hasher for KeyIsHash {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u128(&mut self, key: u128) {
        #[expect(clippy::cast_possible_truncation, reason = "half of a hash is a hash")]
        let low = key as u64;
        self.0 = low;
    }
}

/// What is known about one series text.
#[derive(Clone, Debug)]
pub(crate) enum Known {
    /// Seen for the first time, or the database did not take it: its labels are needed.
    Nothing,
    /// Relabelling drops it.
    Dropped,
    /// It is this series.
    Series(SeriesRef),
}

#[derive(Debug)]
struct Slot {
    key: u128,
    known: Known,
    /// Number of the last good scrape that had it.
    last_seen: u64,
    /// Whether it must be marked stale when it vanishes.
    is_live: bool,
}

/// Index of a slot; valid until [`SeriesCache::end_scrape`] or [`SeriesCache::roll_back`] frees it.
pub(crate) type SlotId = u32;

/// The series texts of one target.
#[derive(Debug, Default)]
pub(crate) struct SeriesCache {
    slots: Vec<Slot>,
    free: Vec<SlotId>,
    by_text: HashMap<u128, SlotId, BuildHasherDefault<KeyIsHash>>,
    scrape: u64,
    /// Slots made since the scrape began.
    fresh: Vec<SlotId>,
}

impl SeriesCache {
    /// A new scrape begins.
    pub(crate) fn begin_scrape(&mut self) {
        self.scrape += 1;
        self.fresh.clear();
    }

    /// The slot of this series text, made if there is none, and what is known about it.
    pub(crate) fn find(&mut self, text: &[u8]) -> (SlotId, Known) {
        let key = xxh3_128(text);
        if let Some(id) = self.by_text.get(&key) {
            return (*id, self.slots[*id as usize].known.clone());
        }
        let slot = Slot { key, known: Known::Nothing, last_seen: 0, is_live: false };
        let id = match self.free.pop() {
            Some(id) => {
                self.slots[id as usize] = slot;
                id
            }
            None => {
                self.slots.push(slot);
                SlotId::try_from(self.slots.len() - 1).expect("a body is limited far below 2^32 lines")
            }
        };
        self.by_text.insert(key, id);
        self.fresh.push(id);
        (id, Known::Nothing)
    }

    /// Notes what a text turned out to be.
    pub(crate) fn learn(&mut self, id: SlotId, known: Known) {
        self.slots[id as usize].known = known;
    }

    /// The good scrape has this text; `is_live`: it becomes stale when the next one does not.
    pub(crate) fn see(&mut self, id: SlotId, is_live: bool) {
        let slot = &mut self.slots[id as usize];
        slot.last_seen = self.scrape;
        slot.is_live = is_live;
    }

    /// Whether nothing has been learned about a text yet: this scrape shows it for the first time.
    pub(crate) fn is_new(&self, id: SlotId) -> bool {
        matches!(self.slots[id as usize].known, Known::Nothing)
    }

    /// The scrape failed: what it showed for the first time is forgotten.
    pub(crate) fn roll_back(&mut self) {
        for id in std::mem::take(&mut self.fresh) {
            self.release(id);
        }
    }

    /// Ends a good scrape: forgets what it did not have, and answers the series that were alive and are gone. A series
    /// that only changed its spelling is not gone.
    pub(crate) fn end_scrape(&mut self) -> Vec<SeriesRef> {
        let scrape = self.scrape;
        let gone: Vec<SlotId> = self
            .by_text
            .values()
            .copied()
            .filter(|id| self.slots[*id as usize].last_seen != scrape)
            .collect();
        if gone.is_empty() {
            return Vec::new();
        }
        let present: HashSet<u64> = self
            .by_text
            .values()
            .map(|id| &self.slots[*id as usize])
            .filter(|slot| slot.last_seen == scrape)
            .filter_map(|slot| match &slot.known {
                Known::Series(series) => Some(identity(series)),
                _ => None,
            })
            .collect();
        let mut vanished: Vec<SeriesRef> = Vec::new();
        for id in gone {
            let slot = &mut self.slots[id as usize];
            // A freed slot must not keep the database's series alive.
            let known = std::mem::replace(&mut slot.known, Known::Nothing);
            if let (Known::Series(series), true) = (known, slot.is_live)
                && !present.contains(&identity(&series))
            {
                vanished.push(series);
            }
            self.release(id);
        }
        unique(vanished)
    }

    /// Takes every living series: the target failed or is gone. They live again once a scrape shows them.
    pub(crate) fn take_live(&mut self) -> Vec<SeriesRef> {
        let mut live = Vec::new();
        for id in self.by_text.values() {
            let slot = &mut self.slots[*id as usize];
            if let (Known::Series(series), true) = (&slot.known, slot.is_live) {
                live.push(series.clone());
                slot.is_live = false;
            }
        }
        unique(live)
    }

    fn release(&mut self, id: SlotId) {
        self.by_text.remove(&self.slots[id as usize].key);
        self.free.push(id);
    }
}

/// What tells two references to one series apart from references to two.
fn identity(series: &SeriesRef) -> u64 {
    series.number()
}

/// Each series once.
fn unique(mut list: Vec<SeriesRef>) -> Vec<SeriesRef> {
    list.sort_unstable_by_key(identity);
    list.dedup_by_key(|series| identity(series));
    list
}

#[cfg(test)]
mod tests {
    use cairn_model::Labels;

    use super::*;

    use crate::storage::Storage;

    /// One good scrape of these texts with the names of their series; answers the names of those that vanished.
    fn scrape(cache: &mut SeriesCache, storage: &Storage, lines: &[(&str, &str)]) -> Vec<String> {
        cache.begin_scrape();
        for (text, name) in lines {
            let (id, known) = cache.find(text.as_bytes());
            if matches!(known, Known::Nothing) {
                let series = storage.resolve(&Labels::from_pairs([("__name__", *name)])).unwrap();
                cache.learn(id, Known::Series(series));
            }
            cache.see(id, true);
        }
        names(cache.end_scrape())
    }

    fn names(series: Vec<SeriesRef>) -> Vec<String> {
        let mut names: Vec<_> =
            series.iter().map(|s| s.labels().get("__name__").unwrap().to_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn vanished_series_are_told_once() {
        let storage = Storage::for_tests();
        let mut cache = SeriesCache::default();
        assert!(scrape(&mut cache, &storage, &[("a", "a"), ("b", "b")]).is_empty());
        assert_eq!(scrape(&mut cache, &storage, &[("a", "a")]), ["b"]);
        assert!(scrape(&mut cache, &storage, &[("a", "a")]).is_empty());
        assert_eq!(names(cache.take_live()), ["a"]);
        assert!(cache.take_live().is_empty());
        assert!(scrape(&mut cache, &storage, &[]).is_empty());
        assert!(cache.by_text.is_empty());
    }

    #[test]
    fn another_spelling_is_the_same_series() {
        let storage = Storage::for_tests();
        let mut cache = SeriesCache::default();
        scrape(&mut cache, &storage, &[("a{le=\"1\"}", "a")]);
        assert!(scrape(&mut cache, &storage, &[("a{le=\"1.0\"}", "a")]).is_empty());
    }

    #[test]
    fn a_failed_scrape_leaves_no_trace() {
        let storage = Storage::for_tests();
        let mut cache = SeriesCache::default();
        scrape(&mut cache, &storage, &[("a", "a")]);
        cache.begin_scrape();
        let (id, _) = cache.find(b"b");
        assert!(cache.is_new(id));
        cache.roll_back();
        assert!(scrape(&mut cache, &storage, &[("a", "a")]).is_empty());
        assert_eq!(cache.by_text.len(), 1);
        scrape(&mut cache, &storage, &[("a", "a"), ("c", "c")]);
        assert_eq!(cache.slots.len(), 2, "the freed slot is used again");
    }
}
