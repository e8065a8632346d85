//! Chunks of native histograms.
//!
//! All samples of a chunk share one layout (schema, zero threshold, spans, custom boundaries, kind of counts), which is
//! written once; a sample with another one begins a new chunk. Within the layout every number is compared with the same
//! number of the sample before: whole counts by the delta of the delta, floats by XOR, as Prometheus's histogram chunks
//! do it. Two things differ: counts are those of the bucket itself, not the difference to its neighbour, which carries the
//! noise of two; and each sample keeps its own hint about resets (a bit when it is the one before), so that a reset needs
//! no new chunk and what was stored comes back bit for bit. `FORMAT.md` has the bits.

use std::sync::Arc;

use cairn_model::Histogram;
use cairn_model::histogram::{Buckets, Counts, ResetHint};
use cairn_promql::source::{HistogramPoint, STALE_NAN_BITS, is_stale};

use super::bits::{BitReader, BitWriter};
use super::fields::{Steady, Xor, read_signed, write_signed};
use super::histogram_layout::Layout;
use super::{Chunk, Encoding, MAX_CHUNK_SAMPLES};
use crate::codec::{Malformed, Reader};

/// A chunk is closed once it is this long: decoding it for a few samples stays cheap with thousands of buckets, too.
pub(crate) const MAX_HISTOGRAM_CHUNK_BYTES: usize = 16 << 10;

/// Appends samples of ascending time to a chunk.
#[derive(Clone, Debug)]
pub(crate) struct HistogramBuilder {
    bits: BitWriter,
    layout: Layout,
    n_samples: u16,
    first_time: i64,
    last_time: i64,
    state: State,
}

/// What a number is compared with.
#[derive(Clone, Debug)]
struct State {
    time: Steady,
    start: i64,
    hint: ResetHint,
    sum: Xor,
    counts: CountState,
}

/// Of the count, the zero bucket, the positive and the negative buckets, in this order.
#[derive(Clone, Debug)]
enum CountState {
    Int(Vec<Steady>),
    Float(Vec<Xor>),
}

impl State {
    fn new(layout: &Layout) -> Self {
        let n_fields = 2 + layout.n_positive + layout.n_negative;
        let counts = if layout.is_float {
            CountState::Float(vec![Xor::default(); n_fields])
        } else {
            CountState::Int(vec![Steady::default(); n_fields])
        };
        Self { time: Steady::default(), start: 0, hint: ResetHint::Unknown, sum: Xor::default(), counts }
    }
}

impl HistogramBuilder {
    pub(crate) fn new(point: &HistogramPoint) -> Self {
        let layout = Layout::of(point);
        // The first two bytes are for the number of samples.
        let mut head = vec![0, 0];
        layout.write(&mut head);
        let bits = BitWriter::with_bytes(&head);
        let state = State::new(&layout);
        let mut builder =
            Self { bits, layout, n_samples: 0, first_time: point.time, last_time: point.time, state };
        builder.push_unchecked(point);
        builder
    }

    /// What the encoded samples take in memory and what the next one is compared with.
    pub(super) fn heap_bytes(&self) -> usize {
        let counts = match &self.state.counts {
            CountState::Int(counts) => size_of_val(&counts[..]),
            CountState::Float(counts) => size_of_val(&counts[..]),
        };
        self.bits.heap_bytes() + counts
    }

    /// Appends a sample that is later than the last one. `false`: it needs a chunk of its own, nothing was done.
    pub(crate) fn push(&mut self, point: &HistogramPoint) -> bool {
        let is_full = self.n_samples >= MAX_CHUNK_SAMPLES || self.bits.n_bytes() >= MAX_HISTOGRAM_CHUNK_BYTES;
        let fits = !is_full && point.time > self.last_time && self.layout.takes(point);
        if fits {
            self.push_unchecked(point);
        }
        fits
    }

    fn push_unchecked(&mut self, point: &HistogramPoint) {
        let HistogramPoint { time, start, histogram } = point;
        let Self { bits, layout, state, .. } = self;
        state.time.write(bits, time.cast_unsigned());
        if layout.has_starts {
            write_signed(bits, start.wrapping_sub(state.start));
            state.start = *start;
        }
        if is_stale(histogram.sum) {
            bits.write(0b11, 2);
        } else {
            if histogram.reset_hint == state.hint {
                bits.write(0, 1);
            } else {
                bits.write_prefixed(0b10, 2, u64::from(histogram.reset_hint.number()), 2);
                state.hint = histogram.reset_hint;
            }
            state.sum.write(bits, histogram.sum);
            match (&mut state.counts, &histogram.counts) {
                (CountState::Int(fields), Counts::Int(buckets)) => {
                    fields
                        .iter_mut()
                        .zip(values(buckets))
                        .for_each(|(field, value)| field.write(bits, value));
                }
                (CountState::Float(fields), Counts::Float(buckets)) => {
                    fields
                        .iter_mut()
                        .zip(values(buckets))
                        .for_each(|(field, value)| field.write(bits, value));
                }
                _ => unreachable!("the layout has the kind of counts, and was compared"),
            }
        }
        self.last_time = *time;
        self.n_samples += 1;
    }

    pub(crate) fn first_time(&self) -> i64 {
        self.first_time
    }

    pub(crate) fn last_time(&self) -> i64 {
        self.last_time
    }

    /// The samples so far as a closed chunk.
    pub(crate) fn snapshot(&self) -> Chunk {
        Chunk {
            min_time: self.first_time,
            max_time: self.last_time,
            n_samples: self.n_samples,
            encoding: Encoding::Histogram,
            data: self.bits.with_head(self.n_samples.to_be_bytes()).into(),
        }
    }
}

/// The numbers of a sample, in the order of the chunk's fields.
fn values<N: Copy>(buckets: &Buckets<N>) -> impl Iterator<Item = N> {
    let Buckets { count, zero_count, positive, negative } = buckets;
    [*count, *zero_count].into_iter().chain(positive.iter().copied()).chain(negative.iter().copied())
}

/// Calls `visit` with each sample of a chunk of histograms.
///
/// # Errors
/// [`Malformed`] when the data end too early or cannot have been written by [`HistogramBuilder`].
pub(crate) fn decode(data: &[u8], mut visit: impl FnMut(HistogramPoint)) -> Result<(), Malformed> {
    const BAD: Malformed = Malformed("chunk of histograms");
    let (count, rest) = data.split_first_chunk::<2>().ok_or(BAD)?;
    let n_samples = u16::from_be_bytes(*count);
    let mut reader = Reader::new(rest, "chunk of histograms");
    let layout = Layout::read(&mut reader)?;
    let stream = reader.rest();
    // A field takes at least a bit of every sample that is no marker; so what is allocated is bounded by what is there.
    if layout.n_positive + layout.n_negative > stream.len().saturating_mul(8) {
        return Err(BAD);
    }
    let mut bits = BitReader::new(stream);
    let mut state = State::new(&layout);
    let marker = Arc::new(Histogram::without_observations(f64::from_bits(STALE_NAN_BITS), layout.is_float));
    let mut is_checked = false;
    for _ in 0..n_samples {
        let time = state.time.read(&mut bits).ok_or(BAD)?.cast_signed();
        if layout.has_starts {
            state.start = state.start.wrapping_add(read_signed(&mut bits).ok_or(BAD)?);
        }
        let start = state.start;
        if bits.read(1).ok_or(BAD)? == 1 {
            if bits.read(1).ok_or(BAD)? == 1 {
                visit(HistogramPoint { time, start, histogram: Arc::clone(&marker) });
                continue;
            }
            let number = u8::try_from(bits.read(2).ok_or(BAD)?).map_err(|_| BAD)?;
            state.hint = ResetHint::from_number(number).ok_or(BAD)?;
        }
        let sum = state.sum.read(&mut bits).ok_or(BAD)?;
        let counts = read_counts(&mut state.counts, &mut bits, layout.n_positive).ok_or(BAD)?;
        let histogram = layout.histogram(state.hint, sum, counts);
        if !is_checked {
            // Whoever computes with it relies on a layout that makes sense, which all samples share.
            histogram.validate().map_err(|_| BAD)?;
            is_checked = true;
        }
        visit(HistogramPoint { time, start, histogram: Arc::new(histogram) });
    }
    Ok(())
}

fn read_counts(state: &mut CountState, bits: &mut BitReader<'_>, n_positive: usize) -> Option<Counts> {
    match state {
        CountState::Int(fields) => {
            let read = |field: &mut Steady| field.read(bits);
            Some(Counts::Int(buckets(fields.iter_mut().map(read).collect::<Option<_>>()?, n_positive)))
        }
        CountState::Float(fields) => {
            let read = |field: &mut Xor| field.read(bits);
            Some(Counts::Float(buckets(fields.iter_mut().map(read).collect::<Option<_>>()?, n_positive)))
        }
    }
}

/// The reverse of [`values`].
fn buckets<N: Copy>(mut values: Vec<N>, n_positive: usize) -> Buckets<N> {
    let (count, zero_count) = (values[0], values[1]);
    let negative = values.split_off(2 + n_positive);
    values.drain(..2);
    Buckets { count, zero_count, positive: values, negative }
}
