//! Samples of a series that came after later ones, within the out-of-order window.
//!
//! They wait in order of time in a small buffer; a full one becomes chunks of its own, which may overlap those of the
//! samples that came in order, and each other. Selections and flushes join them.

use std::collections::BTreeMap;

use cairn_promql::source::{HistogramPoint, SeriesData};

use super::{Generation, SEALED_CHUNK_BYTES, Sealed};
use crate::chunk::{self, Chunk};

/// A buffer becomes chunks at so many samples: inserting moves half of them.
const MAX_OPEN_SAMPLES: usize = 64;

/// What a sample in the buffer takes: time, value, start timestamp.
const OPEN_SAMPLE_BYTES: usize = 24;

/// What a native histogram in the buffer takes, roughly.
const OPEN_HISTOGRAM_BYTES: usize = 400;

/// What a series with late samples takes besides them.
const LATE_BYTES: usize = size_of::<Late>() + 16;

/// The late samples of a series.
#[derive(Debug, Default)]
pub(super) struct Late {
    sealed: Vec<Sealed>,
    /// Ascending by time; of one generation, which is that of `open_generation`.
    open: SeriesData,
    open_generation: Generation,
}

impl Late {
    /// By how many bytes a series without late samples grows when it gets the first one.
    pub(super) const BYTES: usize = LATE_BYTES;

    /// Stores a float at a time that the series has no sample at. Answers by how many bytes the head grew.
    pub(super) fn insert(
        &mut self,
        time: i64,
        bits: u64,
        start: i64,
        generation: Generation,
        block_ms: i64,
    ) -> isize {
        let grown = self.make_room(generation, block_ms);
        let at = self.open.times.partition_point(|&other| other < time);
        self.open.times.insert(at, time);
        self.open.values.insert(at, f64::from_bits(bits));
        self.open.starts.insert(at, start);
        grown + OPEN_SAMPLE_BYTES.cast_signed()
    }

    /// As [`insert`](Self::insert), of a histogram.
    pub(super) fn insert_histogram(
        &mut self,
        point: &HistogramPoint,
        generation: Generation,
        block_ms: i64,
    ) -> isize {
        let grown = self.make_room(generation, block_ms);
        let at = self.open.histograms.partition_point(|other| other.time < point.time);
        self.open.histograms.insert(at, point.clone());
        grown + OPEN_HISTOGRAM_BYTES.cast_signed()
    }

    fn make_room(&mut self, generation: Generation, block_ms: i64) -> isize {
        if self.open_generation == generation && n_samples(&self.open) < MAX_OPEN_SAMPLES {
            return 0;
        }
        let grown = self.seal(block_ms);
        self.open_generation = generation;
        grown
    }

    fn seal(&mut self, block_ms: i64) -> isize {
        let open = std::mem::take(&mut self.open);
        let open_bytes = OPEN_SAMPLE_BYTES * open.times.len() + OPEN_HISTOGRAM_BYTES * open.histograms.len();
        let mut grown = -open_bytes.cast_signed();
        let generation = self.open_generation;
        for chunk in chunks_of(&open, block_ms) {
            grown += sealed_bytes(&chunk).cast_signed();
            self.sealed.push(Sealed { generation, chunk });
        }
        grown
    }

    /// Closes the buffer if it belongs to an earlier generation. Answers by how many bytes the head grew.
    pub(super) fn seal_before(&mut self, generation: Generation, block_ms: i64) -> isize {
        if self.open_generation < generation { self.seal(block_ms) } else { 0 }
    }

    /// The closed chunks of earlier generations, in no order.
    pub(super) fn before(&self, generation: Generation) -> impl Iterator<Item = &Chunk> {
        self.sealed.iter().filter(move |sealed| sealed.generation < generation).map(|sealed| &sealed.chunk)
    }

    /// Forgets the chunks of earlier generations. Answers by how many bytes the head shrank.
    pub(super) fn forget_before(&mut self, generation: Generation) -> usize {
        let mut freed = 0;
        self.sealed.retain(|sealed| {
            let stays = sealed.generation >= generation;
            if !stays {
                freed += sealed_bytes(&sealed.chunk);
            }
            stays
        });
        freed
    }

    pub(super) fn is_empty(&self) -> bool {
        self.sealed.is_empty() && n_samples(&self.open) == 0
    }

    /// Chunks of this and later generations; the buffer counts as one.
    pub(super) fn n_chunks(&self, from_generation: Generation) -> usize {
        let has_open = self.open_generation >= from_generation && n_samples(&self.open) > 0;
        self.sealed.iter().filter(|sealed| sealed.generation >= from_generation).count()
            + usize::from(has_open)
    }

    /// Copies of the chunks of this and later generations that may have samples in `start..=end`, in the order in which
    /// they were begun. They may overlap.
    pub(super) fn chunks_in(&self, from_generation: Generation, start: i64, end: i64) -> Vec<Chunk> {
        // Before anything is copied: judging one late sample asks for all that may be at its time.
        let is_wanted =
            |sealed: &&Sealed| sealed.generation >= from_generation && sealed.chunk.overlaps(start, end);
        let mut chunks: Vec<Chunk> =
            self.sealed.iter().filter(is_wanted).map(|sealed| sealed.chunk.clone()).collect();
        if self.open_generation >= from_generation && has_samples_in(&self.open, start, end) {
            chunks.extend(chunk::encode(&self.open).into_iter().filter(|chunk| chunk.overlaps(start, end)));
        }
        chunks
    }
}

fn n_samples(data: &SeriesData) -> usize {
    data.times.len() + data.histograms.len()
}

/// Whether there is one in `start..=end`; both kinds are in the order of their times.
fn has_samples_in(data: &SeriesData, start: i64, end: i64) -> bool {
    let float = data.times.get(data.times.partition_point(|&time| time < start)).copied();
    let histogram = data.histograms.get(data.histograms.partition_point(|point| point.time < start));
    [float, histogram.map(|point| point.time)].into_iter().flatten().any(|time| time <= end)
}

fn sealed_bytes(chunk: &Chunk) -> usize {
    SEALED_CHUNK_BYTES + chunk.data.len()
}

/// Chunks that do not cross a block's border.
fn chunks_of(samples: &SeriesData, block_ms: i64) -> Vec<Chunk> {
    let mut windows: BTreeMap<i64, SeriesData> = BTreeMap::new();
    for (place, &time) in samples.times.iter().enumerate() {
        let part = windows.entry(time.div_euclid(block_ms)).or_default();
        part.times.push(time);
        part.values.push(samples.values[place]);
        part.starts.push(samples.starts[place]);
    }
    for point in &samples.histograms {
        windows.entry(point.time.div_euclid(block_ms)).or_default().histograms.push(point.clone());
    }
    windows.values().flat_map(chunk::encode).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK_MS: i64 = 1000;

    fn times(chunks: &[Chunk]) -> Vec<i64> {
        let mut all = SeriesData::default();
        for chunk in chunks {
            chunk.decode_range(i64::MIN, i64::MAX, &mut all).unwrap();
        }
        all.times.sort_unstable();
        all.times.to_vec()
    }

    #[test]
    fn what_comes_backwards_is_there_in_order_and_bytes_add_up() {
        let mut late = Late::default();
        let mut bytes = 0;
        let all: Vec<i64> = (0..300).map(|n| n * 7 - 500).collect();
        for &time in all.iter().rev() {
            bytes += late.insert(time, time.cast_unsigned(), 0, 0, BLOCK_MS);
        }
        let chunks = late.chunks_in(0, i64::MIN, i64::MAX);
        assert_eq!(times(&chunks), all);
        assert!(late.n_chunks(0) > 4);
        let some = times(&late.chunks_in(0, 100, 110));
        assert!(some.contains(&102) && some.contains(&109) && some.len() < all.len(), "{some:?}");
        bytes += late.insert(-501, 1, 5, 1, BLOCK_MS);
        assert_eq!(times(&late.chunks_in(1, i64::MIN, i64::MAX)), [-501], "the rest is in blocks");
        bytes += late.seal_before(1, BLOCK_MS);
        let flushed: Vec<Chunk> = late.before(1).cloned().collect();
        assert_eq!(times(&flushed), all);
        for chunk in &flushed {
            let window = |time: i64| time.div_euclid(BLOCK_MS);
            assert_eq!(window(chunk.min_time), window(chunk.max_time), "across a border");
        }
        bytes -= late.forget_before(1).cast_signed();
        bytes += late.seal_before(2, BLOCK_MS);
        bytes -= late.forget_before(2).cast_signed();
        assert!(late.is_empty());
        assert_eq!(bytes, 0, "what is reckoned is what is freed");
    }
}
