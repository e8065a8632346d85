//! What all histograms of a chunk have in common: everything but the numbers.

use std::sync::Arc;

use cairn_model::Histogram;
use cairn_model::histogram::{Counts, MAX_BUCKETS, ResetHint, Span};
use cairn_promql::source::{HistogramPoint, is_stale};

use crate::codec::{Malformed, Reader, put_len, put_uvarint, put_varint};

const FLAG_FLOAT: u8 = 1;
const FLAG_STARTS: u8 = 2;

/// The layout of a chunk.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Layout {
    /// Counts are floats.
    pub(super) is_float: bool,
    /// Samples have start timestamps.
    pub(super) has_starts: bool,
    schema: i8,
    zero_threshold_bits: u64,
    positive_spans: Vec<Span>,
    negative_spans: Vec<Span>,
    custom_bounds: Arc<[f64]>,
    /// Buckets in the positive spans.
    pub(super) n_positive: usize,
    /// Buckets in the negative spans.
    pub(super) n_negative: usize,
}

impl Layout {
    /// The layout that a sample needs.
    pub(super) fn of(point: &HistogramPoint) -> Self {
        let histogram = &*point.histogram;
        let (n_positive, n_negative) = match &histogram.counts {
            Counts::Int(buckets) => (buckets.positive.len(), buckets.negative.len()),
            Counts::Float(buckets) => (buckets.positive.len(), buckets.negative.len()),
        };
        Self {
            is_float: histogram.is_float(),
            has_starts: point.start != 0,
            schema: histogram.schema,
            zero_threshold_bits: histogram.zero_threshold.to_bits(),
            positive_spans: histogram.positive_spans.clone(),
            negative_spans: histogram.negative_spans.clone(),
            custom_bounds: Arc::clone(&histogram.custom_bounds),
            n_positive,
            n_negative,
        }
    }

    /// Whether a chunk of this layout can hold the sample. A staleness marker has no layout of its own.
    pub(super) fn takes(&self, point: &HistogramPoint) -> bool {
        let histogram = &*point.histogram;
        let same_bounds = || {
            Arc::ptr_eq(&self.custom_bounds, &histogram.custom_bounds)
                || self
                    .custom_bounds
                    .iter()
                    .map(|bound| bound.to_bits())
                    .eq(histogram.custom_bounds.iter().map(|bound| bound.to_bits()))
        };
        self.is_float == histogram.is_float()
            && self.has_starts == (point.start != 0)
            && (is_stale(histogram.sum)
                || (self.schema == histogram.schema
                    && self.zero_threshold_bits == histogram.zero_threshold.to_bits()
                    && self.positive_spans == histogram.positive_spans
                    && self.negative_spans == histogram.negative_spans
                    && same_bounds()))
    }

    /// A histogram of this layout.
    pub(super) fn histogram(&self, reset_hint: ResetHint, sum: f64, counts: Counts) -> Histogram {
        Histogram {
            reset_hint,
            schema: self.schema,
            zero_threshold: f64::from_bits(self.zero_threshold_bits),
            sum,
            positive_spans: self.positive_spans.clone(),
            negative_spans: self.negative_spans.clone(),
            custom_bounds: Arc::clone(&self.custom_bounds),
            counts,
        }
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let Self {
            is_float, has_starts, schema, zero_threshold_bits, positive_spans, negative_spans, ..
        } = self;
        let flag = |is_set: &bool, flag| if *is_set { flag } else { 0 };
        out.push(flag(is_float, FLAG_FLOAT) | flag(has_starts, FLAG_STARTS));
        put_varint(out, i64::from(*schema));
        out.extend_from_slice(&zero_threshold_bits.to_le_bytes());
        for spans in [positive_spans, negative_spans] {
            put_len(out, spans.len());
            for Span { offset, length } in spans {
                put_varint(out, i64::from(*offset));
                put_uvarint(out, u64::from(*length));
            }
        }
        put_len(out, self.custom_bounds.len());
        for bound in self.custom_bounds.iter() {
            out.extend_from_slice(&bound.to_bits().to_le_bytes());
        }
    }

    /// Reads what [`write`](Self::write) wrote. Allocates no more than a few times what the reader holds.
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let flags = reader.byte()?;
        if flags & !(FLAG_FLOAT | FLAG_STARTS) != 0 {
            return Err(reader.malformed());
        }
        let schema = i8::try_from(reader.varint()?).map_err(|_| reader.malformed())?;
        let zero_threshold_bits = reader.u64_le()?;
        let (positive_spans, n_positive) = read_spans(reader)?;
        let (negative_spans, n_negative) = read_spans(reader)?;
        let n_bounds = reader.count()?;
        let bounds: Vec<f64> =
            (0..n_bounds).map(|_| reader.u64_le().map(f64::from_bits)).collect::<Result<_, _>>()?;
        Ok(Self {
            is_float: flags & FLAG_FLOAT != 0,
            has_starts: flags & FLAG_STARTS != 0,
            schema,
            zero_threshold_bits,
            positive_spans,
            negative_spans,
            custom_bounds: bounds.into(),
            n_positive,
            n_negative,
        })
    }
}

fn read_spans(reader: &mut Reader<'_>) -> Result<(Vec<Span>, usize), Malformed> {
    let n_spans = reader.count()?;
    let mut spans = Vec::with_capacity(n_spans);
    let mut n_buckets = 0usize;
    for _ in 0..n_spans {
        let offset = i32::try_from(reader.varint()?).map_err(|_| reader.malformed())?;
        let length = reader.u32()?;
        n_buckets = n_buckets.saturating_add(length as usize);
        spans.push(Span { offset, length });
    }
    if n_buckets > MAX_BUCKETS || n_spans > MAX_BUCKETS {
        return Err(reader.malformed());
    }
    Ok((spans, n_buckets))
}
