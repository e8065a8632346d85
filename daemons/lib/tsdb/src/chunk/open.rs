//! The chunk that a series appends to, whatever its samples are; and the reverse of decoding: columns to chunks.

use cairn_promql::source::{HistogramPoint, SeriesData};

use super::histogram::HistogramBuilder;
use super::starts::StartsBuilder;
use super::{Chunk, ChunkBuilder, MAX_CHUNK_SAMPLES};

/// A chunk that is not closed. What few series have is boxed, so that the others stay small.
#[derive(Clone, Debug)]
pub(crate) enum OpenChunk {
    Floats(ChunkBuilder),
    FloatsWithStarts(Box<StartsBuilder>),
    Histograms(Box<HistogramBuilder>),
}

impl OpenChunk {
    /// Begins with a float; `start` 0: no start timestamp is known.
    pub(crate) fn with_float(time: i64, value_bits: u64, start: i64) -> Self {
        if start == 0 {
            Self::Floats(ChunkBuilder::new(time, value_bits))
        } else {
            Self::FloatsWithStarts(Box::new(StartsBuilder::new(time, value_bits, start)))
        }
    }

    /// Begins with a histogram.
    pub(crate) fn with_histogram(point: &HistogramPoint) -> Self {
        Self::Histograms(Box::new(HistogramBuilder::new(point)))
    }

    /// Appends a float that is later than the last sample. `false`: it needs a chunk of its own, nothing was done.
    pub(crate) fn push_float(&mut self, time: i64, value_bits: u64, start: i64) -> bool {
        match self {
            Self::Floats(builder) if start == 0 && builder.n_samples() < MAX_CHUNK_SAMPLES => {
                builder.push(time, value_bits);
                true
            }
            Self::FloatsWithStarts(builder)
                if start != 0 && builder.floats().n_samples() < MAX_CHUNK_SAMPLES =>
            {
                builder.push(time, value_bits, start);
                true
            }
            _ => false,
        }
    }

    /// Appends a histogram that is later than the last sample. `false`: it needs a chunk of its own, nothing was done.
    pub(crate) fn push_histogram(&mut self, point: &HistogramPoint) -> bool {
        match self {
            Self::Histograms(builder) => builder.push(point),
            Self::Floats(_) | Self::FloatsWithStarts(_) => false,
        }
    }

    pub(crate) fn first_time(&self) -> i64 {
        match self {
            Self::Floats(builder) => builder.first_time(),
            Self::FloatsWithStarts(builder) => builder.floats().first_time(),
            Self::Histograms(builder) => builder.first_time(),
        }
    }

    pub(crate) fn last_time(&self) -> i64 {
        match self {
            Self::Floats(builder) => builder.last_time(),
            Self::FloatsWithStarts(builder) => builder.floats().last_time(),
            Self::Histograms(builder) => builder.last_time(),
        }
    }

    /// What the encoded samples take in memory, spare room included.
    pub(crate) fn heap_bytes(&self) -> usize {
        match self {
            Self::Floats(builder) => builder.heap_bytes(),
            Self::FloatsWithStarts(builder) => size_of::<StartsBuilder>() + builder.heap_bytes(),
            Self::Histograms(builder) => size_of::<HistogramBuilder>() + builder.heap_bytes(),
        }
    }

    /// Where the next sample will be written; 0 where that is not worth knowing.
    pub(crate) fn end_address(&self) -> usize {
        match self {
            Self::Floats(builder) => builder.end_address(),
            Self::FloatsWithStarts(_) | Self::Histograms(_) => 0,
        }
    }

    /// The samples so far as a closed chunk.
    pub(crate) fn snapshot(&self) -> Chunk {
        match self {
            Self::Floats(builder) => builder.snapshot(),
            Self::FloatsWithStarts(builder) => builder.snapshot(),
            Self::Histograms(builder) => builder.snapshot(),
        }
    }
}

/// Encodes the samples of a series, which ascend in time, into as many chunks as they need, ascending.
pub(crate) fn encode(series: &SeriesData) -> Vec<Chunk> {
    let mut run = Run::default();
    let mut histograms = series.histograms.iter().peekable();
    for (index, (&time, value)) in series.times.iter().zip(&series.values).enumerate() {
        while let Some(point) = histograms.next_if(|point| point.time < time) {
            run.push_histogram(point);
        }
        let start = series.starts.get(index).copied().unwrap_or(0);
        run.push_float(time, value.to_bits(), start);
    }
    histograms.for_each(|point| run.push_histogram(point));
    run.finish()
}

/// Chunks of a series one after the other.
#[derive(Debug, Default)]
struct Run {
    closed: Vec<Chunk>,
    open: Option<OpenChunk>,
}

impl Run {
    fn push_float(&mut self, time: i64, bits: u64, start: i64) {
        if !self.open.as_mut().is_some_and(|open| open.push_float(time, bits, start)) {
            self.begin(OpenChunk::with_float(time, bits, start));
        }
    }

    fn push_histogram(&mut self, point: &HistogramPoint) {
        if !self.open.as_mut().is_some_and(|open| open.push_histogram(point)) {
            self.begin(OpenChunk::with_histogram(point));
        }
    }

    fn begin(&mut self, next: OpenChunk) {
        self.closed.extend(self.open.replace(next).map(|full| full.snapshot()));
    }

    fn finish(mut self) -> Vec<Chunk> {
        self.closed.extend(self.open.map(|open| open.snapshot()));
        self.closed
    }
}
