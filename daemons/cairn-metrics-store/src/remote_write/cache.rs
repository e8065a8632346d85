//! From the bytes of a series' labels, as they come in a request, to the series.
//!
//! A sender's requests name the same series again and again; found here, their labels are never taken apart. The key is
//! 128 bits of XXH3 under a secret of this process, so that nobody can make two series meet; it replaces a comparison
//! of the bytes, which would have to be kept.
//!
//! Senders also name their series in the same order each time. So the entries lie in the order in which they came, and
//! behind the one that was found last the next one is looked for first: what is wanted is in the processor's cache
//! before it is asked for. A look into the hash table, which costs one or two waits for memory, is for the others.

use std::fmt;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use cairn_tsdb::SeriesRef;
use hashbrown::HashTable;
use xxhash_rust::xxh3::xxh3_128_with_secret;

/// XXH3 takes secrets of at least 136 bytes.
const SECRET_BYTES: usize = 192;

/// Entries lie in pieces of this length, so that a larger cache is never copied as a whole, and letting go of dropped
/// series holds up a request for no longer than one piece takes.
const PIECE: usize = 4096;

/// Entries that there may be for each series of the head, and beyond: a series has one for each order of its labels
/// that a sender uses, and no sender uses two.
const MAX_ENTRIES_PER_SERIES: usize = 2;
const MAX_ENTRIES_BEYOND: usize = 1 << 16;

/// What the bytes of labels are known by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Fingerprint {
    high: u64,
    low: u64,
}

/// Series by their labels' bytes.
pub(super) struct SeriesCache {
    table: RwLock<Table>,
    secret: [u8; SECRET_BYTES],
}

#[derive(Default)]
struct Table {
    pieces: Vec<Vec<Entry>>,
    /// Places in `pieces`, by the low half of the key.
    by_key: HashTable<u32>,
    /// Places that are empty, the next one to be used last.
    free: Vec<u32>,
}

#[derive(Clone)]
struct Entry {
    key: Fingerprint,
    series: Option<SeriesRef>,
}

impl fmt::Debug for SeriesCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SeriesCache").field("entries", &self.len()).finish_non_exhaustive()
    }
}

/// The cache, locked for reading, while a request is stored.
pub(super) struct Reading<'a>(RwLockReadGuard<'a, Table>);

/// Looks series up, one after the other.
pub(super) struct Finder<'a> {
    table: &'a Table,
    /// Where the next series should be.
    next: u32,
}

impl Reading<'_> {
    pub(super) fn finder(&self) -> Finder<'_> {
        Finder { table: &self.0, next: 0 }
    }
}

impl<'a> Finder<'a> {
    #[inline]
    pub(super) fn find(&mut self, key: Fingerprint) -> Option<&'a SeriesRef> {
        let mut place = self.next;
        if self.table.entry(place).is_none_or(|entry| entry.key != key) {
            place = self.table.place(key)?;
        }
        self.next = place + 1;
        self.table.entry(place)?.series.as_ref()
    }
}

impl Table {
    #[inline]
    fn entry(&self, place: u32) -> Option<&Entry> {
        self.pieces.get(place as usize / PIECE)?.get(place as usize % PIECE)
    }

    fn place(&self, key: Fingerprint) -> Option<u32> {
        let is_it = |place: &u32| self.entry(*place).is_some_and(|entry| entry.key == key);
        self.by_key.find(key.low, is_it).copied()
    }

    fn insert(&mut self, key: Fingerprint, series: SeriesRef) {
        let entry = Entry { key, series: Some(series) };
        if let Some(place) = self.place(key) {
            self.put(place, entry);
            return;
        }
        let place = match self.free.pop() {
            Some(place) => {
                self.put(place, entry);
                place
            }
            None => {
                if self.pieces.last().is_none_or(|piece| piece.len() == PIECE) {
                    self.pieces.push(Vec::with_capacity(PIECE));
                }
                let n_before = (self.pieces.len() - 1) * PIECE;
                let Some(piece) = self.pieces.last_mut() else { return };
                piece.push(entry);
                super::position(n_before + piece.len() - 1)
            }
        };
        let Self { pieces, by_key, .. } = self;
        by_key.insert_unique(key.low, place, |place| {
            pieces[*place as usize / PIECE][*place as usize % PIECE].key.low
        });
    }

    fn put(&mut self, place: u32, entry: Entry) {
        self.pieces[place as usize / PIECE][place as usize % PIECE] = entry;
    }

    fn clear(&mut self) {
        *self = Self::default();
    }

    /// Empties places of one piece.
    fn remove(&mut self, places: &[u32]) {
        // Backwards, so that what comes next gets them in ascending order.
        for place in places.iter().rev() {
            let Some(Entry { key, .. }) = self.entry(*place).cloned() else { continue };
            if let Ok(found) = self.by_key.find_entry(key.low, |other| other == place) {
                found.remove();
                // No key: the hash of nothing is not this one.
                self.put(*place, Entry { key: Fingerprint::default(), series: None });
                self.free.push(*place);
            }
        }
    }
}

impl SeriesCache {
    pub(super) fn new() -> Self {
        Self { table: RwLock::default(), secret: std::array::from_fn(|_| rand::random()) }
    }

    #[inline]
    pub(super) fn fingerprint(&self, label_bytes: &[u8]) -> Fingerprint {
        let hash = xxh3_128_with_secret(label_bytes, &self.secret);
        #[expect(clippy::cast_possible_truncation, reason = "the two halves")]
        Fingerprint { high: (hash >> 64) as u64, low: hash as u64 }
    }

    /// Locks it for reading.
    pub(super) fn read(&self) -> Reading<'_> {
        Reading(self.table.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Adds what a request brought, in its order. `n_live` are the series of the head.
    pub(super) fn insert(&self, found: Vec<(Fingerprint, SeriesRef)>, n_live: usize) {
        let limit = n_live * MAX_ENTRIES_PER_SERIES + MAX_ENTRIES_BEYOND;
        let mut table = self.write();
        if table.by_key.len() + found.len() > limit {
            // Somebody sends labels in ever new orders: start afresh rather than grow.
            table.clear();
        }
        for (key, series) in found {
            table.insert(key, series);
        }
    }

    /// Lets go of series that have left the head.
    pub(super) fn forget_dropped(&self) {
        let mut n_forgotten = 0;
        for index in 0.. {
            // Looking at the series waits for memory: meanwhile requests go on.
            let reading = self.read();
            let Some(piece) = reading.0.pieces.get(index) else { break };
            let is_dropped = |entry: &Entry| entry.series.as_ref().is_some_and(SeriesRef::is_dropped);
            let places = piece.iter().enumerate().filter(|(_, entry)| is_dropped(entry));
            let places: Vec<u32> = places.map(|(at, _)| super::position(index * PIECE + at)).collect();
            drop(reading);
            if places.is_empty() {
                continue;
            }
            let mut table = self.write();
            // Somebody may have put another series there.
            let still = |place: &u32| table.entry(*place).is_some_and(is_dropped);
            let places: Vec<u32> = places.into_iter().filter(still).collect();
            n_forgotten += places.len();
            table.remove(&places);
        }
        if n_forgotten > 0 {
            self.tidy();
        }
    }

    /// Gives memory back, and puts the free places into order.
    fn tidy(&self) {
        let mut table = self.write();
        // Places at the end are given back; entries elsewhere stay where they are.
        while table.pieces.last().is_some_and(|piece| piece.iter().all(|entry| entry.series.is_none())) {
            table.pieces.pop();
        }
        let n_places = super::position(table.pieces.len() * PIECE);
        table.free.retain(|place| *place < n_places);
        table.free.sort_unstable_by(|a, b| b.cmp(a));
        let Table { pieces, by_key, .. } = &mut *table;
        if by_key.len() < by_key.capacity() / 4 {
            by_key.shrink_to_fit(|place| pieces[*place as usize / PIECE][*place as usize % PIECE].key.low);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.read().0.by_key.len()
    }

    fn write(&self) -> RwLockWriteGuard<'_, Table> {
        // A panic in the middle could leave a place that no key leads to; it is found empty, and no series is mistaken.
        self.table.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use cairn_model::Labels;

    use super::*;
    use crate::storage::Storage;

    fn series(storage: &Storage, number: usize) -> SeriesRef {
        let number = number.to_string();
        storage.resolve(&Labels::from_pairs([("__name__", "m"), ("n", number.as_str())])).unwrap()
    }

    #[test]
    fn bounded_by_the_series_there_are() {
        let storage = Storage::for_tests();
        let series = series(&storage, 0);
        let cache = SeriesCache::new();
        let n = 2 * MAX_ENTRIES_BEYOND;
        for chunk in (0..n).collect::<Vec<_>>().chunks(1000) {
            let found = chunk.iter().map(|i| (cache.fingerprint(&i.to_le_bytes()), series.clone())).collect();
            cache.insert(found, 1);
        }
        assert!(cache.len() <= MAX_ENTRIES_BEYOND + MAX_ENTRIES_PER_SERIES, "{}", cache.len());
        let key = cache.fingerprint(&(n - 1).to_le_bytes());
        assert!(cache.read().finder().find(key).is_some());
        assert_ne!(
            key,
            SeriesCache::new().fingerprint(&(n - 1).to_le_bytes()),
            "a secret of each cache's own"
        );
    }

    #[test]
    fn found_in_any_order_and_places_are_used_again() {
        let storage = Storage::for_tests();
        let cache = SeriesCache::new();
        let keys: Vec<_> = (0..3 * PIECE).map(|number| cache.fingerprint(&number.to_le_bytes())).collect();
        let all: Vec<_> = (0..3 * PIECE).map(|number| series(&storage, number)).collect();
        cache.insert(keys.iter().copied().zip(all.iter().cloned()).collect(), all.len());
        let check = |numbers: &mut dyn Iterator<Item = usize>, is_there: bool| {
            let reading = cache.read();
            let mut finder = reading.finder();
            for number in numbers {
                let found = finder.find(keys[number]).map(SeriesRef::number);
                let want = is_there.then(|| all[number].number());
                assert_eq!(found, want, "{number}");
            }
        };
        check(&mut (0..keys.len()), true);
        check(&mut (0..keys.len()).rev(), true);
        cache.forget_dropped();
        check(&mut (0..keys.len()), true);

        // As after upkeep that dropped every third one, and the whole end.
        let gone: Vec<usize> =
            (0..keys.len()).filter(|number| number % 3 == 0 || *number > PIECE + 10).collect();
        let places: Vec<u32> = gone.iter().map(|number| crate::remote_write::position(*number)).collect();
        cache.write().remove(&places);
        cache.tidy();
        check(&mut gone.iter().copied(), false);
        check(&mut (0..PIECE).filter(|number| number % 3 != 0), true);
        assert_eq!(cache.read().0.pieces.len(), 2, "the last piece is given back");
        assert!(cache.read().finder().find(Fingerprint::default()).is_none());
        cache.insert(gone.iter().map(|number| (keys[*number], all[*number].clone())).collect(), all.len());
        check(&mut (0..keys.len()), true);
        assert_eq!(cache.read().0.pieces.len(), 3);
    }
}
