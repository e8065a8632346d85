//! What a target exposed before: from the key of a sample to its place in the database.
//!
//! A steady scrape finds each sample here by a 128-bit hash of its key (in text, the series as written) and never builds a
//! label. Pages keep their order, so each slot also remembers which one followed it: the caller can guess the next key
//! and, when the guess holds, need not even look for the end of its labels. The same table knows which series were alive
//! at the last good scrape, and so which of them have vanished.

use std::collections::HashSet;

use cairn_tsdb::SeriesRef;
use cairn_wire::exposition::Format;
use hashbrown::HashTable;
use xxhash_rust::xxh3::{xxh3_64_with_seed, xxh3_128_with_seed};

use super::comments::{CommentBlock, CommentBlocks};

/// What is known about one key.
#[derive(Clone, Debug)]
pub(crate) enum Known {
    /// Seen for the first time, or the database did not take it: its labels are needed.
    Nothing,
    /// As nothing, and in the scrape of this number its labels are on the list at this index.
    Pending(u32, u32),
    /// Relabelling drops it.
    Dropped,
    /// It is this series.
    Series(SeriesRef),
}

#[derive(Debug)]
struct Slot {
    /// Hash of the key, in halves: the alignment of a `u128` would make the slot larger.
    key: [u64; 2],
    known: Known,
    /// Bytes of the key; [`FREE`] in a slot that has none.
    len: u32,
    /// The slot that came after this one in the last page.
    next: SlotId,
    /// Number of the last scrape that had it, of which only equality counts.
    last_seen: u32,
    /// Whether it must be marked stale when it vanishes.
    is_live: bool,
}

/// Index of a slot; valid until [`SeriesCache::end_scrape`] or [`SeriesCache::roll_back`] frees it.
pub(crate) type SlotId = u32;

/// No slot.
const NONE: SlotId = u32::MAX;

/// Length that no key has.
const FREE: u32 = u32::MAX;

/// The keys of one target.
#[derive(Debug)]
pub(crate) struct SeriesCache {
    slots: Vec<Slot>,
    free: Vec<SlotId>,
    by_key: HashTable<SlotId>,
    /// By slot, see [`SeriesCache::group`]; empty for a target that needs none.
    groups: Vec<u64>,
    comments: CommentBlocks,
    /// Series that were alive under keys which are no longer known, see [`SeriesCache::forget_keys`].
    orphans: Vec<SeriesRef>,
    scrape: u32,
    seed: u64,
    /// Slots made since the scrape began.
    fresh: Vec<SlotId>,
    /// Slots that this scrape has shown.
    n_seen: usize,
    first: SlotId,
    last: SlotId,
}

impl Default for SeriesCache {
    fn default() -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            by_key: HashTable::new(),
            groups: Vec::new(),
            comments: CommentBlocks::default(),
            orphans: Vec::new(),
            scrape: 0,
            seed: 0,
            fresh: Vec::new(),
            n_seen: 0,
            first: NONE,
            last: NONE,
        }
    }
}

impl SeriesCache {
    /// A new scrape begins, of a page in this format: a key means nothing in another one.
    pub(crate) fn begin_scrape(&mut self, format: Format) {
        self.scrape = self.scrape.wrapping_add(1);
        self.seed = format as u64;
        self.fresh.clear();
        self.n_seen = 0;
        self.last = NONE;
    }

    /// How many keys are known.
    pub(crate) fn len(&self) -> usize {
        self.by_key.len()
    }

    /// The slot that is likely to be next, and the length of its key.
    pub(crate) fn guess(&self) -> Option<(SlotId, usize)> {
        let id = match self.slots.get(self.last as usize) {
            Some(last) => last.next,
            None => self.first,
        };
        let slot = self.slots.get(id as usize)?;
        Some((id, slot.len as usize))
    }

    /// Whether this is the key of the slot.
    pub(crate) fn is_key(&self, id: SlotId, key: &[u8]) -> bool {
        self.slots[id as usize].key == self.hash(key)
    }

    fn hash(&self, key: &[u8]) -> [u64; 2] {
        let hash = xxh3_128_with_seed(key, self.seed);
        #[expect(clippy::cast_possible_truncation, reason = "the lower half, then the upper one")]
        let halves = [hash as u64, (hash >> 64) as u64];
        halves
    }

    /// The slot of this key, made if there is none.
    pub(crate) fn find(&mut self, bytes: &[u8]) -> SlotId {
        let key = self.hash(bytes);
        let slots = &self.slots;
        if let Some(id) = self.by_key.find(key[0], |id| slots[*id as usize].key == key) {
            return *id;
        }
        let len = u32::try_from(bytes.len()).unwrap_or(FREE - 1);
        let last_seen = self.scrape.wrapping_sub(1);
        let slot = Slot { key, known: Known::Nothing, len, next: NONE, last_seen, is_live: false };
        let id = match self.free.pop() {
            Some(id) => {
                self.slots[id as usize] = slot;
                id
            }
            None => {
                self.slots.push(slot);
                SlotId::try_from(self.slots.len() - 1).expect("a body is limited far below 2^32 samples")
            }
        };
        let slots = &self.slots;
        self.by_key.insert_unique(key[0], id, |id| slots[*id as usize].key[0]);
        self.fresh.push(id);
        id
    }

    /// The comments that are likely to come now: those that came after the slot that was shown last.
    pub(crate) fn guess_comments(&self) -> Option<&CommentBlock> {
        self.comments.after(self.last)
    }

    /// Notes the comments that came after a slot.
    pub(crate) fn set_comments(&mut self, after: SlotId, block: CommentBlock) {
        self.comments.set(after, block);
    }

    /// The slot that was shown last; no slot's number before the first one.
    pub(crate) fn last_shown(&self) -> SlotId {
        self.last
    }

    /// What a block of comments is known by.
    pub(crate) fn hash_comments(&self, bytes: &[u8]) -> u64 {
        xxh3_64_with_seed(bytes, self.seed)
    }

    /// What is known of a slot.
    pub(crate) fn known(&self, id: SlotId) -> &Known {
        &self.slots[id as usize].known
    }

    /// The index on this scrape's list of labels, of a key that is on it.
    pub(crate) fn pending(&self, id: SlotId) -> Option<u32> {
        match self.known(id) {
            Known::Pending(index, scrape) if *scrape == self.scrape => Some(*index),
            _ => None,
        }
    }

    /// Puts a key on this scrape's list of labels.
    pub(crate) fn set_pending(&mut self, id: SlotId, index: u32) {
        self.learn(id, Known::Pending(index, self.scrape));
    }

    /// What the caller noted of a key to tell which others belong to it; 0 when it has not.
    pub(crate) fn group(&self, id: SlotId) -> u64 {
        self.groups.get(id as usize).copied().unwrap_or(0)
    }

    /// Notes that.
    pub(crate) fn set_group(&mut self, id: SlotId, group: u64) {
        if self.groups.len() <= id as usize {
            self.groups.resize(self.slots.len(), 0);
        }
        self.groups[id as usize] = group;
    }

    /// Notes what a key turned out to be.
    pub(crate) fn learn(&mut self, id: SlotId, known: Known) {
        self.slots[id as usize].known = known;
    }

    /// The page has this key, after the one that was shown last. False: it has had it before.
    pub(crate) fn show(&mut self, id: SlotId) -> bool {
        match self.slots.get_mut(self.last as usize) {
            Some(last) => last.next = id,
            None => self.first = id,
        }
        self.last = id;
        self.see(id)
    }

    /// As [`show`](Self::show), for a key that has no place in the page.
    pub(crate) fn see(&mut self, id: SlotId) -> bool {
        let slot = &mut self.slots[id as usize];
        let is_first = slot.last_seen != self.scrape;
        slot.last_seen = self.scrape;
        self.n_seen += usize::from(is_first);
        is_first
    }

    /// The key's sample was good; `is_live`: its series becomes stale when the next page does not have it.
    pub(crate) fn set_live(&mut self, id: SlotId, is_live: bool) {
        self.slots[id as usize].is_live = is_live;
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
        if self.n_seen == self.by_key.len() && self.orphans.is_empty() {
            return Vec::new();
        }
        let scrape = self.scrape;
        let seen = |id: &SlotId| self.slots[*id as usize].last_seen == scrape;
        let gone: Vec<SlotId> = self.by_key.iter().copied().filter(|id| !seen(id)).collect();
        let present: HashSet<u64> = self
            .by_key
            .iter()
            .filter(|id| seen(id))
            .filter_map(|id| match self.known(*id) {
                Known::Series(series) => Some(identity(series)),
                _ => None,
            })
            .collect();
        let mut vanished = std::mem::take(&mut self.orphans);
        for id in gone {
            let slot = &mut self.slots[id as usize];
            // A freed slot must not keep the database's series alive.
            let known = std::mem::replace(&mut slot.known, Known::Nothing);
            if let (Known::Series(series), true) = (known, slot.is_live) {
                vanished.push(series);
            }
            self.release(id);
        }
        vanished.retain(|series| !present.contains(&identity(series)));
        unique(vanished)
    }

    /// Takes every living series: the target failed or is gone. They live again once a scrape shows them.
    pub(crate) fn take_live(&mut self) -> Vec<SeriesRef> {
        let mut live = std::mem::take(&mut self.orphans);
        for id in &self.by_key {
            let slot = &mut self.slots[*id as usize];
            if let (Known::Series(series), true) = (&slot.known, slot.is_live) {
                live.push(series.clone());
                slot.is_live = false;
            }
        }
        unique(live)
    }

    /// Forgets all keys, because what they mean has changed. Living series are remembered until the next good scrape has
    /// shown which of them are still there.
    pub(crate) fn forget_keys(&mut self) {
        let orphans = self.take_live();
        *self = Self { orphans, scrape: self.scrape, ..Self::default() };
    }

    fn release(&mut self, id: SlotId) {
        let slot = &mut self.slots[id as usize];
        slot.known = Known::Nothing;
        slot.len = FREE;
        slot.next = NONE;
        if let Some(group) = self.groups.get_mut(id as usize) {
            *group = 0;
        }
        self.comments.remove(id);
        if let Ok(entry) = self.by_key.find_entry(slot.key[0], |other| *other == id) {
            entry.remove();
        }
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

    /// One good scrape of these keys with the names of their series; answers the names of those that vanished, and how
    /// many keys were guessed.
    fn scrape(cache: &mut SeriesCache, storage: &Storage, lines: &[(&str, &str)]) -> (Vec<String>, usize) {
        cache.begin_scrape(Format::Text);
        let mut n_guessed = 0;
        for (text, name) in lines {
            let guess =
                cache.guess().filter(|(id, len)| *len == text.len() && cache.is_key(*id, text.as_bytes()));
            n_guessed += usize::from(guess.is_some());
            let id = guess.map_or_else(|| cache.find(text.as_bytes()), |(id, _)| id);
            assert_eq!(id, cache.find(text.as_bytes()));
            if matches!(cache.known(id), Known::Nothing) {
                let series = storage.resolve(&Labels::from_pairs([("__name__", *name)])).unwrap();
                cache.learn(id, Known::Series(series));
            }
            assert!(cache.show(id));
            cache.set_live(id, true);
        }
        (names(cache.end_scrape()), n_guessed)
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
        assert!(scrape(&mut cache, &storage, &[("a", "a"), ("b", "b")]).0.is_empty());
        assert_eq!(scrape(&mut cache, &storage, &[("a", "a")]).0, ["b"]);
        assert!(scrape(&mut cache, &storage, &[("a", "a")]).0.is_empty());
        assert_eq!(names(cache.take_live()), ["a"]);
        assert!(cache.take_live().is_empty());
        assert!(scrape(&mut cache, &storage, &[]).0.is_empty());
        assert_eq!(cache.len(), 0);
    }

    #[test]
    fn the_order_of_a_page_is_guessed() {
        let storage = Storage::for_tests();
        let mut cache = SeriesCache::default();
        let page = [("a", "a"), ("b", "b"), ("c", "c")];
        assert_eq!(scrape(&mut cache, &storage, &page).1, 0);
        assert_eq!(scrape(&mut cache, &storage, &page).1, 3);
        let without_b = [page[0], page[2]];
        assert_eq!(scrape(&mut cache, &storage, &without_b), (vec!["b".to_owned()], 1));
        assert_eq!(scrape(&mut cache, &storage, &page).1, 1);
        assert_eq!(scrape(&mut cache, &storage, &page).1, 3);
    }

    #[test]
    fn another_spelling_is_the_same_series() {
        let storage = Storage::for_tests();
        let mut cache = SeriesCache::default();
        scrape(&mut cache, &storage, &[("a{le=\"1\"}", "a")]);
        assert!(scrape(&mut cache, &storage, &[("a{le=\"1.0\"}", "a")]).0.is_empty());
    }

    #[test]
    fn a_key_means_something_else_in_another_format() {
        let mut cache = SeriesCache::default();
        cache.begin_scrape(Format::Text);
        let id = cache.find(b"a");
        assert_eq!(cache.find(b"a"), id);
        cache.begin_scrape(Format::OpenMetrics);
        assert!(!cache.is_key(id, b"a"));
        assert_ne!(cache.find(b"a"), id);
    }

    #[test]
    fn forgotten_keys_still_vanish() {
        let storage = Storage::for_tests();
        let mut cache = SeriesCache::default();
        scrape(&mut cache, &storage, &[("a", "a"), ("b", "b")]);
        cache.forget_keys();
        assert_eq!(scrape(&mut cache, &storage, &[("b", "b2"), ("c", "b")]).0, ["a"]);
        cache.forget_keys();
        assert_eq!(names(cache.take_live()), ["b", "b2"]);
    }

    #[test]
    fn a_failed_scrape_leaves_no_trace() {
        let storage = Storage::for_tests();
        let mut cache = SeriesCache::default();
        scrape(&mut cache, &storage, &[("a", "a")]);
        cache.begin_scrape(Format::Text);
        let id = cache.find(b"b");
        assert!(matches!(cache.known(id), Known::Nothing));
        assert!(cache.show(id) && !cache.show(id));
        cache.roll_back();
        assert!(scrape(&mut cache, &storage, &[("a", "a")]).0.is_empty());
        assert_eq!(cache.len(), 1);
        scrape(&mut cache, &storage, &[("a", "a"), ("c", "c")]);
        assert_eq!(cache.slots.len(), 2, "the freed slot is used again");
    }
}
