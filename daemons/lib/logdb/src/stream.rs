//! One stream: its label set, its heads in memory and its chunks on disk, changed together under one lock.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cairn_disk::SegmentId;
use cairn_model::Labels;

use crate::chunk_file::ChunkRef;
use crate::head::{Applied, Head, NewEntry};

/// A point in time as maintenance was told it, or 0 before it was ever told.
pub(crate) type Stamp = i64;

#[derive(Debug)]
pub(crate) struct Stream {
    /// Unique in the store, over all tenants.
    pub(crate) id: u64,
    /// Number in the tenant's label index.
    pub(crate) slot: u32,
    pub(crate) labels: Arc<Labels>,
    /// The checkpoint since which the WAL is known to define this stream; 0 for none.
    pub(crate) defined_since: AtomicU64,
    state: Mutex<StreamState>,
}

#[derive(Debug, Default)]
pub(crate) struct StreamState {
    /// Takes new entries.
    pub(crate) active: Arc<Head>,
    /// Cut, but not on disk yet; oldest first.
    pub(crate) frozen: Vec<FrozenHead>,
    /// On disk, in the order of cutting.
    pub(crate) chunks: Arc<Vec<ChunkRef>>,
    /// Records up to this sequence number are in `chunks`.
    pub(crate) through: u64,
    /// When the first entry of `active` arrived.
    pub(crate) born: Stamp,
    /// When the last one did.
    pub(crate) touched: Stamp,
    /// Everything is in chunks, and nothing has come for a while: it does not count for the limit of streams.
    is_idle: bool,
    /// How many streams of the tenant are idle.
    n_idle: Arc<AtomicUsize>,
}

/// A head that takes no more entries.
#[derive(Clone, Debug)]
pub(crate) struct FrozenHead {
    pub(crate) head: Arc<Head>,
    /// Every record up to this one is in this head, an earlier one, or in a chunk.
    pub(crate) through: u64,
}

/// A stream as it was at one moment: every entry exactly where it was then.
#[derive(Clone, Debug)]
pub(crate) struct StreamSnapshot {
    pub(crate) labels: Arc<Labels>,
    /// Chunks that overlap the range asked for, in the order of cutting.
    pub(crate) chunks: Vec<ChunkRef>,
    /// Heads with entries in the range, oldest first. All their entries arrived after those of the chunks.
    pub(crate) heads: Vec<Arc<Head>>,
}

impl StreamSnapshot {
    pub(crate) fn is_empty(&self) -> bool {
        self.chunks.is_empty() && self.heads.is_empty()
    }
}

impl Stream {
    /// A stream that counts for the limit of its tenant until it is found idle, which `n_idle` counts.
    pub(crate) fn new(id: u64, slot: u32, labels: Arc<Labels>, n_idle: Arc<AtomicUsize>) -> Self {
        let state = Mutex::new(StreamState { n_idle, ..StreamState::default() });
        Self { id, slot, labels, defined_since: AtomicU64::new(0), state }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, StreamState> {
        // No code of ours panics half-way through a change of the state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What overlaps `[start, end)`.
    pub(crate) fn snapshot(&self, start: i64, end: i64) -> StreamSnapshot {
        let state = self.lock();
        let overlaps = |first: i64, last: i64| first < end && last >= start && start < end;
        let chunks = state.chunks.iter();
        let chunks = chunks.filter(|chunk| overlaps(chunk.place.min_time, chunk.place.max_time));
        let heads = state.frozen.iter().map(|frozen| &frozen.head).chain([&state.active]);
        let heads = heads.filter(|head| head.range().is_some_and(|(first, last)| overlaps(first, last)));
        StreamSnapshot {
            labels: Arc::clone(&self.labels),
            chunks: chunks.cloned().collect(),
            heads: heads.filter(|head| is_in_range(head, start, end)).cloned().collect(),
        }
    }

    /// Whether it has entries in `[start, end)`; a chunk that overlaps the range counts without being opened.
    pub(crate) fn has_entries(&self, start: i64, end: i64) -> bool {
        !self.snapshot(start, end).is_empty()
    }
}

fn is_in_range(head: &Head, start: i64, end: i64) -> bool {
    let (from, to) = head.positions(start, end);
    from < to
}

impl StreamState {
    /// Adds one record's entries, unless the chunks have them already (after a restart).
    pub(crate) fn apply(
        &mut self,
        arrival: u64,
        segment: SegmentId,
        entries: &[NewEntry<'_>],
        now: Stamp,
    ) -> Applied {
        if arrival <= self.through {
            return Applied::default();
        }
        if self.active.is_empty() {
            self.born = now;
        }
        self.touched = now;
        self.set_idle(false);
        Arc::make_mut(&mut self.active).apply(arrival, segment, entries)
    }

    /// Cuts the active head.
    pub(crate) fn freeze(&mut self, through: u64) {
        if !self.active.is_empty() {
            self.frozen.push(FrozenHead { head: std::mem::take(&mut self.active), through });
        }
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.is_idle
    }

    /// Counts the stream as idle, or as active.
    pub(crate) fn set_idle(&mut self, is_idle: bool) {
        match (self.is_idle, is_idle) {
            (false, true) => self.n_idle.fetch_add(1, Ordering::Relaxed),
            (true, false) => self.n_idle.fetch_sub(1, Ordering::Relaxed),
            (true, true) | (false, false) => return,
        };
        self.is_idle = is_idle;
    }

    /// Whether nothing of it is in memory only.
    pub(crate) fn is_in_chunks(&self) -> bool {
        self.active.is_empty() && self.frozen.is_empty()
    }

    /// The oldest WAL segment that must stay for this stream.
    pub(crate) fn oldest_segment(&self) -> Option<SegmentId> {
        let frozen = self.frozen.iter().filter_map(|frozen| frozen.head.oldest_segment());
        frozen.chain(self.active.oldest_segment()).min()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.is_in_chunks() && self.chunks.is_empty()
    }
}
