//! One series of the head: its labels, its chunks in memory, and the rules for one more sample.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cairn_model::Labels;
use cairn_promql::source::SeriesData;

use crate::append::Outcome;
use crate::checkpoint::SavedSeries;
use crate::chunk::{Chunk, OpenChunk};

/// A resolved series of the head. Cheap to clone and to keep: a scraper keeps one per line of a target and appends
/// without looking anything up. When its series leaves the head, [`Outcome::SeriesDropped`] tells.
#[derive(Clone)]
pub struct SeriesRef(pub(crate) Arc<MemSeries>);

impl SeriesRef {
    /// The labels, with `__name__`.
    pub fn labels(&self) -> &Arc<Labels> {
        &self.0.labels
    }

    /// Whether the series left the head, so that it must be resolved again.
    pub fn is_dropped(&self) -> bool {
        self.0.lock().dropped
    }
}

impl fmt::Debug for SeriesRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.0.id, self.0.labels)
    }
}

/// A series in memory.
#[derive(Debug)]
pub(crate) struct MemSeries {
    /// Names the series in the log and in checkpoints; never given twice.
    pub(crate) id: u64,
    /// Place in the head's table, which postings refer to; given again after the series is gone.
    pub(crate) slot: u32,
    pub(crate) hash: u64,
    pub(crate) labels: Arc<Labels>,
    state: Mutex<SeriesState>,
}

/// What changes. Only the holder of the commit lock appends; readers hold this lock for a copy, never for decoding.
#[derive(Debug, Default)]
pub(crate) struct SeriesState {
    sealed: Vec<Chunk>,
    open: Option<OpenChunk>,
    /// Newest sample, also when its chunk has left the head.
    last: Option<(i64, u64)>,
    /// Accepted, on its way into the log.
    pending: Option<(i64, u64)>,
    dropped: bool,
}

impl MemSeries {
    pub(crate) fn new(id: u64, slot: u32, hash: u64, labels: Arc<Labels>) -> Self {
        Self { id, slot, hash, labels, state: Mutex::default() }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, SeriesState> {
        // Each critical section leaves a usable state at every step, so a panic elsewhere does not spoil it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_dropped(&self) -> bool {
        self.lock().dropped
    }

    /// What a checkpoint keeps: chunks that end at `from_ms` or later.
    pub(crate) fn save(&self, from_ms: i64) -> SavedSeries {
        // The slot is given anew at a start, the hash follows from the labels.
        let Self { id, slot: _, hash: _, labels, state: _ } = self;
        SavedSeries { id: *id, labels: Arc::clone(labels), chunks: self.lock().chunks_in(from_ms, i64::MAX) }
    }
}

impl SeriesState {
    /// Judges a sample and, if it is to be stored, reserves its place until `commit` or `cancel`.
    pub(crate) fn reserve(&mut self, time: i64, bits: u64) -> Outcome {
        if self.dropped {
            return Outcome::SeriesDropped;
        }
        if let Some((last_time, last_bits)) = self.pending.or(self.last) {
            if time < last_time {
                return Outcome::OutOfOrder;
            }
            if time == last_time {
                if bits == last_bits {
                    return Outcome::Duplicate;
                }
                return Outcome::DuplicateOtherValue { existing: f64::from_bits(last_bits) };
            }
        }
        self.pending = Some((time, bits));
        Outcome::Stored
    }

    /// Gives reserved places up: the log refused the record.
    pub(crate) fn cancel(&mut self) {
        self.pending = None;
    }

    /// Stores a sample that is later than every other one. `block_ms`: chunks never cross a block's border.
    pub(crate) fn commit(&mut self, time: i64, bits: u64, block_ms: i64) {
        self.pending = None;
        self.last = Some((time, bits));
        if let Some(open) = &mut self.open {
            let same_block = open.first_time().div_euclid(block_ms) == time.div_euclid(block_ms);
            if same_block && open.push_float(time, bits, 0) {
                return;
            }
            self.sealed.push(open.snapshot());
        }
        self.open = Some(OpenChunk::with_float(time, bits, 0));
    }

    /// As `commit`, for replay: silently leaves out what is not later than the newest sample.
    pub(crate) fn replay(&mut self, time: i64, bits: u64, block_ms: i64) -> bool {
        let is_new = self.last.is_none_or(|(last_time, _)| time > last_time);
        if is_new {
            self.commit(time, bits, block_ms);
        }
        is_new
    }

    /// Takes chunks from a checkpoint; they ascend in time. The last one is opened again, so that a restart does not
    /// leave a small chunk behind in every series.
    pub(crate) fn restore(
        &mut self,
        mut chunks: Vec<Chunk>,
        block_ms: i64,
    ) -> Result<(), crate::codec::Malformed> {
        let Some(last) = chunks.pop() else { return Ok(()) };
        let mut samples = SeriesData::default();
        last.decode_range(i64::MIN, i64::MAX, &mut samples)?;
        self.sealed = chunks;
        for (time, value) in samples.times.into_iter().zip(samples.values) {
            self.replay(time, value.to_bits(), block_ms);
        }
        Ok(())
    }

    pub(crate) fn n_chunks(&self) -> usize {
        self.sealed.len() + usize::from(self.open.is_some())
    }

    pub(crate) fn min_time(&self) -> Option<i64> {
        let open = self.open.as_ref().map(OpenChunk::first_time);
        self.sealed.first().map(|chunk| chunk.min_time).or(open)
    }

    /// Copies of the chunks that may have samples in `start..=end`, ascending.
    pub(crate) fn chunks_in(&self, start: i64, end: i64) -> Vec<Chunk> {
        let mut chunks: Vec<Chunk> =
            self.sealed.iter().filter(|chunk| chunk.overlaps(start, end)).cloned().collect();
        if let Some(open) = &self.open
            && open.first_time() <= end
            && open.last_time() >= start
        {
            chunks.push(open.snapshot());
        }
        chunks
    }

    /// Forgets chunks that end before `from`, and marks the series as dropped when nothing is left of it. Answers
    /// whether it was dropped by this call.
    pub(crate) fn truncate(&mut self, from: i64) -> bool {
        self.sealed.retain(|chunk| chunk.max_time >= from);
        self.sealed.shrink_to_fit();
        if self.open.as_ref().is_some_and(|open| open.last_time() < from) {
            self.open = None;
        }
        let is_empty = self.sealed.is_empty() && self.open.is_none() && self.pending.is_none();
        let drops_now = is_empty && !self.dropped;
        self.dropped |= is_empty;
        drops_now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK_MS: i64 = 1000;

    #[test]
    fn judges_against_the_newest_sample_reserved_ones_included() {
        let mut series = SeriesState::default();
        assert_eq!(series.reserve(10, 1), Outcome::Stored);
        assert_eq!(series.reserve(10, 1), Outcome::Duplicate);
        assert_eq!(
            series.reserve(10, 2f64.to_bits()),
            Outcome::DuplicateOtherValue { existing: f64::from_bits(1) }
        );
        assert_eq!(series.reserve(9, 1), Outcome::OutOfOrder);
        series.cancel();
        assert_eq!(series.reserve(9, 1), Outcome::Stored, "the log refused the sample at 10");
        series.commit(9, 1, BLOCK_MS);
        assert_eq!(series.reserve(9, 1), Outcome::Duplicate);
    }

    #[test]
    fn chunks_end_at_block_borders_and_at_their_limit() {
        let mut series = SeriesState::default();
        for time in (0..2000).step_by(2) {
            series.commit(time, 0, BLOCK_MS);
        }
        let ranges: Vec<_> = series.chunks_in(0, i64::MAX).iter().map(|c| (c.min_time, c.max_time)).collect();
        assert_eq!(ranges, [(0, 478), (480, 958), (960, 998), (1000, 1478), (1480, 1958), (1960, 1998)]);
        assert!(!series.truncate(1000));
        assert_eq!(series.min_time(), Some(1000));
        assert!(series.truncate(5000));
        assert!(!series.truncate(5000), "dropped once");
        assert_eq!(series.reserve(6000, 0), Outcome::SeriesDropped);
    }

    #[test]
    fn restored_series_goes_on_where_it_was() {
        let mut before = SeriesState::default();
        for time in 0..300 {
            before.commit(time, time.cast_unsigned(), BLOCK_MS);
        }
        let mut after = SeriesState::default();
        after.restore(before.chunks_in(0, i64::MAX), BLOCK_MS).unwrap();
        for series in [&mut before, &mut after] {
            series.commit(300, 1, BLOCK_MS);
        }
        assert_eq!(before.chunks_in(0, i64::MAX), after.chunks_in(0, i64::MAX));
    }
}
