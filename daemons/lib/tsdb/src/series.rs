//! One series of the head: its labels and its samples in memory.
//!
//! What an appender must know to judge the next sample is in `Tip`, which belongs to whoever holds the commit lock;
//! what a reader sees is in `SeriesChunks`, behind the series' own lock. So judging and logging a batch touch no lock
//! at all, and storing it one per sample, which nobody else holds but for a copy.

mod labels;
mod late;

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cairn_model::{Histogram, Labels};
use cairn_promql::source::{HistogramPoint, SeriesData, is_stale};

use crate::chunk::{Chunk, OpenChunk};
use crate::prefetch::{address_of, prefetch, prefetch_two};

pub(crate) use labels::Pair;

pub use labels::SeriesLabels;
use late::Late;

/// A resolved series of the head. Cheap to clone and to keep: a scraper keeps one per line of a target and appends
/// without looking anything up. When its series leaves the head, [`Outcome::SeriesDropped`](crate::Outcome) tells.
#[derive(Clone)]
pub struct SeriesRef(pub(crate) Arc<MemSeries>);

impl SeriesRef {
    /// The labels, with `__name__`.
    pub fn labels(&self) -> &SeriesLabels {
        &self.0.labels
    }

    /// A number that no other series of this database has or had: equal for references to one series.
    pub fn number(&self) -> u64 {
        self.0.id
    }

    /// Whether the series left the head, so that it must be resolved again.
    pub fn is_dropped(&self) -> bool {
        self.0.is_dropped()
    }
}

impl fmt::Debug for SeriesRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{:?}", self.0.id, self.0.labels)
    }
}

/// Counts flushes: chunks of a generation below the layout's `flushed` are in blocks.
pub(crate) type Generation = u32;

/// Stands for the value of a sample that is a histogram: a NaN that no float has, since all but the staleness marker become
/// the ordinary one. Checkpoints hold it, so it stays.
pub(crate) const HISTOGRAM_BITS: u64 = 0x7ff0_0000_0000_0003;

/// The newest sample of a series, for judging and for logging the next one. One per slot of the head, in the hands of
/// whoever holds the commit lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tip {
    /// The series in this slot; 0 for none, which no series has.
    pub(crate) id: u64,
    /// Time of its newest sample; [`Tip::NEVER`] when it had none.
    pub(crate) time: i64,
    /// That sample's value.
    pub(crate) bits: u64,
    /// The record of the log that holds it; 0 when it is in none that the next record may refer to.
    pub(crate) record: u64,
}

impl Tip {
    /// The time of a sample that there never was.
    pub(crate) const NEVER: i64 = i64::MIN;

    pub(crate) const EMPTY: Self = Self { id: 0, time: Self::NEVER, bits: 0, record: 0 };

    pub(crate) fn of(id: u64) -> Self {
        Self { id, ..Self::EMPTY }
    }

    /// The newest sample is a histogram. The next float in the log stands alone.
    pub(crate) fn of_histogram(id: u64, time: i64) -> Self {
        Self { id, time, bits: HISTOGRAM_BITS, record: 0 }
    }

    pub(crate) fn is_histogram(self) -> bool {
        self.bits == HISTOGRAM_BITS && self.time != Self::NEVER
    }
}

/// A series in memory.
#[derive(Debug)]
pub(crate) struct MemSeries {
    /// Names the series in the log and in checkpoints; never given twice.
    pub(crate) id: u64,
    pub(crate) hash: u64,
    /// Place in the head's table, which postings and tips refer to; given again after the series is gone.
    pub(crate) slot: u32,
    is_dropped: AtomicBool,
    pub(crate) labels: SeriesLabels,
    chunks: Mutex<SeriesChunks>,
}

impl MemSeries {
    pub(crate) fn new(id: u64, slot: u32, hash: u64, labels: SeriesLabels) -> Self {
        Self { id, hash, slot, is_dropped: AtomicBool::new(false), labels, chunks: Mutex::default() }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, SeriesChunks> {
        // Each critical section leaves a usable state at every step, so a panic elsewhere does not spoil it.
        self.chunks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_dropped(&self) -> bool {
        self.is_dropped.load(Ordering::Acquire)
    }

    pub(crate) fn mark_dropped(&self) {
        self.is_dropped.store(true, Ordering::Release);
    }

    /// Asks for what an appender reads and writes of the series itself.
    #[inline]
    pub(crate) fn prefetch(self: &Arc<Self>) {
        prefetch_two(Arc::as_ptr(self).addr());
    }

    pub(crate) fn to_labels(&self) -> Arc<Labels> {
        Arc::new(self.labels.to_labels())
    }
}

/// A closed chunk that waits for its flush.
#[derive(Clone, Debug)]
struct Sealed {
    generation: Generation,
    chunk: Chunk,
}

/// The open chunk.
#[derive(Debug)]
struct Open {
    generation: Generation,
    chunk: OpenChunk,
}

/// The samples of a series that are in no block. Only the holder of the commit lock adds to it; readers hold the series'
/// lock for a copy, never for decoding.
#[derive(Debug, Default)]
pub(crate) struct SeriesChunks {
    sealed: Vec<Sealed>,
    open: Option<Box<Open>>,
    /// Few series ever have some.
    late: Option<Box<Late>>,
}

/// What a series has at a time.
#[derive(Clone, Debug)]
pub(crate) enum SampleAt {
    /// A float, by its bits; the marker for the end of a series of histograms is one, too, as it may have come as one.
    Float(u64),
    /// A native histogram.
    Histogram(Arc<Histogram>),
}

impl SampleAt {
    pub(crate) fn of_histogram(histogram: &Arc<Histogram>) -> Self {
        if is_stale(histogram.sum) {
            Self::Float(histogram.sum.to_bits())
        } else {
            Self::Histogram(Arc::clone(histogram))
        }
    }
}

/// Addresses that the next sample of a series needs, as a hint that may be out of date.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Place {
    open: usize,
    end: usize,
}

impl Place {
    #[inline]
    pub(crate) fn prefetch(self) {
        prefetch_two(self.open);
        if self.end != 0 {
            prefetch(self.end);
        }
    }
}

/// What a series costs besides its samples, roughly: for the decision when to flush. An open chunk has room for its first
/// samples in itself.
pub(crate) const OPEN_CHUNK_BYTES: usize = size_of::<Open>() + 16;
const SEALED_CHUNK_BYTES: usize = size_of::<Sealed>() + 32;

impl SeriesChunks {
    /// Stores a float that is later than every other sample; `start` is 0 when unknown. Answers by how many bytes that
    /// made the head larger (or smaller). `block_ms`: chunks never cross a block's border.
    pub(crate) fn push_float(
        &mut self,
        time: i64,
        bits: u64,
        start: i64,
        generation: Generation,
        block_ms: i64,
    ) -> isize {
        if let Some(open) = self.open_for(time, generation, block_ms) {
            let before = open.heap_bytes();
            if open.push_float(time, bits, start) {
                return open.heap_bytes().cast_signed() - before.cast_signed();
            }
        }
        self.begin(OpenChunk::with_float(time, bits, start), generation)
    }

    /// As [`push_float`](Self::push_float), for a histogram.
    pub(crate) fn push_histogram(
        &mut self,
        point: &HistogramPoint,
        generation: Generation,
        block_ms: i64,
    ) -> isize {
        if let Some(open) = self.open_for(point.time, generation, block_ms) {
            let before = open.heap_bytes();
            if open.push_histogram(point) {
                return open.heap_bytes().cast_signed() - before.cast_signed();
            }
        }
        self.begin(OpenChunk::with_histogram(point), generation)
    }

    /// The open chunk if a sample of this time and generation may go into it.
    fn open_for(&mut self, time: i64, generation: Generation, block_ms: i64) -> Option<&mut OpenChunk> {
        let open = self.open.as_mut().filter(|open| open.generation == generation)?;
        let same_block = open.chunk.first_time().div_euclid(block_ms) == time.div_euclid(block_ms);
        same_block.then_some(&mut open.chunk)
    }

    fn begin(&mut self, chunk: OpenChunk, generation: Generation) -> isize {
        let sealed = self.seal();
        let grown = OPEN_CHUNK_BYTES + chunk.heap_bytes();
        self.open = Some(Box::new(Open { generation, chunk }));
        sealed + grown.cast_signed()
    }

    fn seal(&mut self) -> isize {
        let Some(open) = self.open.take() else { return 0 };
        let chunk = open.chunk.snapshot();
        let grown = (SEALED_CHUNK_BYTES + chunk.data.len()).cast_signed()
            - (OPEN_CHUNK_BYTES + open.chunk.heap_bytes()).cast_signed();
        // Exactly: a series has one or two, and a flush closes the chunks of all of them at once, where a vector's usual room
        // for four would be more than what the chunks themselves take.
        self.sealed.reserve_exact(1);
        self.sealed.push(Sealed { generation: open.generation, chunk });
        grown
    }

    /// Stores a float that is not later than every other sample, at a time that the series has none at as far as
    /// [`sample_at`](Self::sample_at) knows. Answers as `push_float` does.
    pub(crate) fn insert_late_float(
        &mut self,
        time: i64,
        bits: u64,
        start: i64,
        generation: Generation,
        block_ms: i64,
    ) -> isize {
        let grown = if self.late.is_none() { Late::BYTES.cast_signed() } else { 0 };
        grown + self.late.get_or_insert_default().insert(time, bits, start, generation, block_ms)
    }

    /// As [`insert_late_float`](Self::insert_late_float), of a histogram.
    pub(crate) fn insert_late_histogram(
        &mut self,
        point: &HistogramPoint,
        generation: Generation,
        block_ms: i64,
    ) -> isize {
        let grown = if self.late.is_none() { Late::BYTES.cast_signed() } else { 0 };
        grown + self.late.get_or_insert_default().insert_histogram(point, generation, block_ms)
    }

    /// Time of the newest sample in memory that came in order.
    pub(crate) fn newest_in_order(&self) -> Option<i64> {
        let open = self.open.as_ref().map(|open| open.chunk.last_time());
        open.or_else(|| self.sealed.last().map(|sealed| sealed.chunk.max_time))
    }

    /// What the series has in memory at a time.
    pub(crate) fn sample_at(&self, time: i64) -> Option<SampleAt> {
        let mut found = SeriesData::default();
        for chunk in self.chunks_in(0, time, time).into_iter().chain(self.late_in(0, time, time)) {
            // Encoded in this very process; a failure is a bug, and shows when the chunk is read for an answer.
            let _ = chunk.decode_range(time, time, &mut found);
        }
        match found.values.first() {
            Some(value) => Some(SampleAt::Float(value.to_bits())),
            None => found.histograms.first().map(|point| SampleAt::of_histogram(&point.histogram)),
        }
    }

    /// The newest sample in memory, late ones included: time, bits as a [`Tip`] has them, and the histogram if it is one.
    pub(crate) fn newest(&self) -> Option<(i64, u64, Option<Arc<Histogram>>)> {
        let mut found = SeriesData::default();
        let late = self.late_in(0, i64::MIN, i64::MAX);
        for chunk in self.chunks_in(0, i64::MIN, i64::MAX).into_iter().chain(late) {
            // As in `sample_at`.
            let _ = chunk.decode_range(i64::MIN, i64::MAX, &mut found);
        }
        let floats =
            found.times.iter().zip(&found.values).map(|(&time, value)| (time, value.to_bits(), None));
        let histograms = found.histograms.into_iter();
        let histograms = histograms.map(|point| (point.time, HISTOGRAM_BITS, Some(point.histogram)));
        floats.chain(histograms).max_by_key(|(time, ..)| *time)
    }

    /// Closes the open chunk if it belongs to an earlier generation, and late samples of such. Answers as `push_float`
    /// does.
    pub(crate) fn seal_before(&mut self, generation: Generation, block_ms: i64) -> isize {
        let late = self.late.as_mut().map_or(0, |late| late.seal_before(generation, block_ms));
        match &self.open {
            Some(open) if open.generation < generation => late + self.seal(),
            _ => late,
        }
    }

    /// The closed chunks of earlier generations: those of samples in order, ascending in time, then the others, which may
    /// overlap them and each other.
    pub(crate) fn before(&self, generation: Generation) -> impl Iterator<Item = &Chunk> {
        let in_order = self.sealed.iter().filter(move |sealed| sealed.generation < generation);
        let late = self.late.iter().flat_map(move |late| late.before(generation));
        in_order.map(|sealed| &sealed.chunk).chain(late)
    }

    /// Forgets the chunks of earlier generations: they are in a block. Answers by how many bytes that made the head
    /// smaller.
    pub(crate) fn forget_before(&mut self, generation: Generation) -> usize {
        let mut freed = 0;
        self.sealed.retain(|sealed| {
            let stays = sealed.generation >= generation;
            if !stays {
                freed += SEALED_CHUNK_BYTES + sealed.chunk.data.len();
            }
            stays
        });
        self.sealed.shrink_to_fit();
        if let Some(open) = self.open.take_if(|open| open.generation < generation) {
            freed += OPEN_CHUNK_BYTES + open.chunk.heap_bytes();
        }
        if let Some(late) = &mut self.late {
            freed += late.forget_before(generation);
            if late.is_empty() {
                self.late = None;
                freed += Late::BYTES;
            }
        }
        freed
    }

    /// Where the open chunk lies, and where the end of its data if the next sample is likely to get there.
    pub(crate) fn place(&self) -> Place {
        self.open.as_ref().map_or(Place::default(), |open| Place {
            open: address_of(&**open),
            end: open.chunk.end_address(),
        })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.sealed.is_empty() && self.open.is_none() && self.late.is_none()
    }

    /// Chunks of this and later generations, the open one included.
    pub(crate) fn n_chunks(&self, from_generation: Generation) -> usize {
        self.sealed.iter().filter(|sealed| sealed.generation >= from_generation).count()
            + usize::from(self.open.as_ref().is_some_and(|open| open.generation >= from_generation))
            + self.late.as_ref().map_or(0, |late| late.n_chunks(from_generation))
    }

    /// As [`chunks_in`](Self::chunks_in), of late samples: they may overlap each other and those.
    pub(crate) fn late_in(&self, from_generation: Generation, start: i64, end: i64) -> Vec<Chunk> {
        self.late.as_ref().map_or_else(Vec::new, |late| late.chunks_in(from_generation, start, end))
    }

    /// Copies of the chunks of this and later generations that may have samples in `start..=end`, ascending.
    pub(crate) fn chunks_in(&self, from_generation: Generation, start: i64, end: i64) -> Vec<Chunk> {
        let mut chunks: Vec<Chunk> = self
            .sealed
            .iter()
            .filter(|sealed| sealed.generation >= from_generation && sealed.chunk.overlaps(start, end))
            .map(|sealed| sealed.chunk.clone())
            .collect();
        if let Some(open) = &self.open
            && open.generation >= from_generation
            && open.chunk.first_time() <= end
            && open.chunk.last_time() >= start
        {
            chunks.push(open.chunk.snapshot());
        }
        chunks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK_MS: i64 = 1000;

    fn ranges(chunks: &[Chunk]) -> Vec<(i64, i64)> {
        chunks.iter().map(|chunk| (chunk.min_time, chunk.max_time)).collect()
    }

    /// Of both there is one for each series: a field more is sixteen megabytes for a million of them.
    #[test]
    fn fit_pieces_of_the_allocator() {
        assert!(size_of::<Open>() <= 112 - 8, "{}", size_of::<Open>());
        assert!(2 * size_of::<usize>() + size_of::<MemSeries>() <= 112 - 8, "{}", size_of::<MemSeries>());
    }

    #[test]
    fn chunks_end_at_block_borders_at_their_limit_and_where_a_flush_began() {
        let mut series = SeriesChunks::default();
        let mut bytes = 0;
        for time in (0..2000).step_by(2) {
            bytes += series.push_float(time, 0, 0, 0, BLOCK_MS);
        }
        let all = ranges(&series.chunks_in(0, 0, i64::MAX));
        assert_eq!(all, [(0, 478), (480, 958), (960, 998), (1000, 1478), (1480, 1958), (1960, 1998)]);
        assert_eq!(ranges(&series.chunks_in(0, 479, 480)), [(480, 958)]);
        bytes += series.push_float(1999, 0, 0, 1, BLOCK_MS);
        assert_eq!(series.n_chunks(0), 7);
        assert_eq!(ranges(&series.chunks_in(1, 0, i64::MAX)), [(1999, 1999)], "the rest is in blocks");
        bytes += series.seal_before(1, BLOCK_MS);
        let flushed: Vec<Chunk> = series.before(1).cloned().collect();
        assert_eq!(ranges(&flushed), all);
        bytes -= series.forget_before(1).cast_signed();
        assert_eq!(ranges(&series.chunks_in(0, 0, i64::MAX)), [(1999, 1999)]);
        // Also a chunk that is still open when its generation ends.
        bytes += series.seal_before(2, BLOCK_MS);
        assert_eq!(ranges(&series.before(2).cloned().collect::<Vec<_>>()), [(1999, 1999)]);
        bytes -= series.forget_before(2).cast_signed();
        assert!(series.is_empty() && series.n_chunks(0) == 0);
        assert_eq!(bytes, 0, "what is reckoned is what is freed");
    }
}
