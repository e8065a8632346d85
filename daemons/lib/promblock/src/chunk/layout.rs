//! What all histograms of a chunk have in common: resolution, zero bucket, which buckets there are.

use std::sync::Arc;

use cairn_model::Histogram;
use cairn_model::histogram::{Counts, Span};

use crate::bits::{BitReader, BitWriter};
use crate::error::Malformed;

const CUSTOM_BUCKETS: i64 = -53;
/// Resolutions of exponential buckets.
const EXPONENTIAL: std::ops::RangeInclusive<i64> = -4..=8;

/// Powers of two from 2^-243 to 2^10 are written as one byte: their exponent (of 0.5) plus this.
const THRESHOLD_EXPONENT_BIAS: i32 = 243;
const THRESHOLD_EXPONENTS: std::ops::RangeInclusive<i32> = -242..=11;
/// Says that 64 bits of the threshold follow.
const THRESHOLD_AS_BITS: u64 = 255;

/// A custom boundary that is a whole number of thousandths up to here is written as that number.
const MAX_BOUND_THOUSANDTHS: f64 = 33_554_430.0;

/// Buckets of one sample that are read. The peer's limits are in the hundreds; one bit of data can claim a bucket.
const MAX_BUCKETS: u64 = 1 << 20;

/// Spans of one side that are read: every sample carries them, and two bits of data can claim one.
const MAX_SPANS: usize = 1 << 12;

/// The common part of the histograms of a chunk.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    pub(super) schema: i8,
    pub(super) zero_threshold: f64,
    pub(super) positive: Vec<Span>,
    pub(super) negative: Vec<Span>,
    pub(super) custom_bounds: Arc<[f64]>,
}

/// Refuses a histogram whose spans do not fit to its buckets: it could not be read again.
pub(super) fn check(histogram: &Histogram) -> Result<(), Malformed> {
    let (positive, negative) = match &histogram.counts {
        Counts::Int(buckets) => (buckets.positive.len(), buckets.negative.len()),
        Counts::Float(buckets) => (buckets.positive.len(), buckets.negative.len()),
    };
    let fits = |spans: &[Span], buckets: usize| n_buckets(spans).is_ok_and(|total| total == buckets);
    let schema = i64::from(histogram.schema);
    let most_spans = histogram.positive_spans.len().max(histogram.negative_spans.len());
    if most_spans > MAX_SPANS {
        Err(Malformed("histogram: more spans than any has"))
    } else if !fits(&histogram.positive_spans, positive) || !fits(&histogram.negative_spans, negative) {
        Err(Malformed("histogram: its spans and its buckets do not fit"))
    } else if !EXPONENTIAL.contains(&schema) && schema != CUSTOM_BUCKETS {
        Err(Malformed("histogram: a schema that is not known"))
    } else if schema != CUSTOM_BUCKETS && !histogram.custom_bounds.is_empty() {
        Err(Malformed("histogram: custom boundaries with an exponential schema"))
    } else {
        Ok(())
    }
}

fn n_buckets(spans: &[Span]) -> Result<usize, Malformed> {
    let total: u64 = spans.iter().map(|span| u64::from(span.length)).sum();
    if total > MAX_BUCKETS {
        return Err(Malformed("histogram: more buckets than any has"));
    }
    usize::try_from(total).map_err(|_| Malformed("histogram: more buckets than any has"))
}

impl Layout {
    pub(super) fn of(histogram: &Histogram) -> Self {
        Self {
            schema: histogram.schema,
            zero_threshold: histogram.zero_threshold,
            positive: histogram.positive_spans.clone(),
            negative: histogram.negative_spans.clone(),
            custom_bounds: Arc::clone(&histogram.custom_bounds),
        }
    }

    pub(super) fn is_that_of(&self, histogram: &Histogram) -> bool {
        let same_bits = |a: &[f64], b: &[f64]| {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits())
        };
        self.schema == histogram.schema
            && self.zero_threshold.to_bits() == histogram.zero_threshold.to_bits()
            && self.positive == histogram.positive_spans
            && self.negative == histogram.negative_spans
            && same_bits(&self.custom_bounds, &histogram.custom_bounds)
    }

    /// Buckets on the positive and on the negative side.
    pub(super) fn n_buckets(&self) -> Result<(usize, usize), Malformed> {
        Ok((n_buckets(&self.positive)?, n_buckets(&self.negative)?))
    }

    pub(super) fn write(&self, out: &mut BitWriter) {
        write_threshold(out, self.zero_threshold);
        out.write_varbit_int(i64::from(self.schema));
        for spans in [&self.positive, &self.negative] {
            out.write_varbit_uint(spans.len() as u64);
            for span in spans {
                out.write_varbit_uint(u64::from(span.length));
                out.write_varbit_int(i64::from(span.offset));
            }
        }
        if i64::from(self.schema) == CUSTOM_BUCKETS {
            out.write_varbit_uint(self.custom_bounds.len() as u64);
            for &bound in &*self.custom_bounds {
                write_bound(out, bound);
            }
        }
    }

    pub(super) fn read(bits: &mut BitReader<'_>) -> Result<Self, Malformed> {
        let zero_threshold = read_threshold(bits)?;
        let schema = bits.varbit_int()?;
        if !EXPONENTIAL.contains(&schema) && schema != CUSTOM_BUCKETS {
            return Err(Malformed("histogram: a schema that is not known"));
        }
        let schema = i8::try_from(schema).map_err(|_| Malformed("histogram: a schema that is not known"))?;
        let (positive, negative) = (read_spans(bits)?, read_spans(bits)?);
        let mut custom_bounds = Vec::new();
        if i64::from(schema) == CUSTOM_BUCKETS {
            for _ in 0..count(bits)? {
                custom_bounds.push(read_bound(bits)?);
            }
        }
        let layout = Self { schema, zero_threshold, positive, negative, custom_bounds: custom_bounds.into() };
        // Each bucket of the first sample takes at least one bit.
        let (positive, negative) = layout.n_buckets()?;
        if positive + negative > bits.bits_left() {
            return Err(Malformed("histogram: more buckets than the chunk can hold"));
        }
        Ok(layout)
    }
}

/// A number of things of which each takes at least one bit of what follows.
fn count(bits: &mut BitReader<'_>) -> Result<usize, Malformed> {
    match usize::try_from(bits.varbit_uint()?) {
        Ok(count) if count <= bits.bits_left() => Ok(count),
        _ => Err(Malformed("histogram: more parts than the chunk can hold")),
    }
}

fn read_spans(bits: &mut BitReader<'_>) -> Result<Vec<Span>, Malformed> {
    const BAD: Malformed = Malformed("histogram: a span beyond 32 bits");
    let mut spans = Vec::new();
    let n_spans = count(bits)?;
    if n_spans > MAX_SPANS {
        return Err(Malformed("histogram: more spans than any has"));
    }
    for _ in 0..n_spans {
        let length = u32::try_from(bits.varbit_uint()?).map_err(|_| BAD)?;
        let offset = i32::try_from(bits.varbit_int()?).map_err(|_| BAD)?;
        spans.push(Span { offset, length });
    }
    Ok(spans)
}

fn write_threshold(out: &mut BitWriter, threshold: f64) {
    if threshold.to_bits() == 0 {
        return out.write(0, 8);
    }
    // A normal power of two is all zeros but for its exponent; 0.5 has the biased exponent 1022.
    let bits = threshold.to_bits();
    let exponent = i32::try_from(bits >> 52).unwrap_or(i32::MAX) - 1022;
    if bits.trailing_zeros() >= 52 && THRESHOLD_EXPONENTS.contains(&exponent) {
        return out.write(u64::from((exponent + THRESHOLD_EXPONENT_BIAS).cast_unsigned()), 8);
    }
    out.write(THRESHOLD_AS_BITS, 8);
    out.write_f64(threshold);
}

fn read_threshold(bits: &mut BitReader<'_>) -> Result<f64, Malformed> {
    match bits.read(8)? {
        0 => Ok(0.0),
        THRESHOLD_AS_BITS => bits.read_f64(),
        byte => Ok(f64::from_bits((byte + 1022 - u64::from(THRESHOLD_EXPONENT_BIAS.cast_unsigned())) << 52)),
    }
}

fn write_bound(out: &mut BitWriter, bound: f64) {
    let thousandths = (bound * 1000.0).round();
    if (0.0..=MAX_BOUND_THOUSANDTHS).contains(&thousandths) {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range was checked")]
        let thousandths = thousandths as u64;
        // What is read again has to have the same bits; -0 would come back as 0.
        if from_thousandths(thousandths).to_bits() == bound.to_bits() {
            // One more than the number: 0 says that 64 bits follow.
            return out.write_varbit_uint(thousandths + 1);
        }
    }
    out.write(0, 1);
    out.write_f64(bound);
}

fn from_thousandths(number: u64) -> f64 {
    number as f64 / 1000.0
}

fn read_bound(bits: &mut BitReader<'_>) -> Result<f64, Malformed> {
    match bits.varbit_uint()? {
        0 => bits.read_f64(),
        number => Ok(from_thousandths(number - 1)),
    }
}
