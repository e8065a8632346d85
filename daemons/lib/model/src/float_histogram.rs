//! Native histograms to calculate with: counts are floats, and every bucket carries its index.
//!
//! [`Histogram`] is what is stored and sent: spans, and counts of either kind. What queries compute with is a
//! [`FloatHistogram`], whose buckets are a list of index and count: adding two of them merges two sorted lists, whatever
//! their spans were. Buckets that are listed stay listed when their count is 0, until [`compact`](FloatHistogram::compact).
//!
//! | file | answers |
//! |---|---|
//! | `bounds.rs` | where does a bucket begin and end |
//! | `layout.rs` | how is a histogram brought to a coarser schema, a wider zero bucket, fewer custom bounds |
//! | `combine.rs` | what is the sum of two, what the difference |
//! | `reset.rs` | was the counter reset between two |
//! | `text.rs` | how is it printed |

mod bounds;
mod combine;
mod layout;
mod reset;
mod text;

use std::sync::Arc;

use crate::histogram::{Buckets, CUSTOM_BUCKETS_SCHEMA, Counts, Histogram, ResetHint, Span};

pub use bounds::Bucket;
pub use combine::{Combined, MixedSchemas};

/// A number of observations, or their sum: a float, or a running sum that remembers what rounding took away.
pub trait Quantity: Copy {
    /// Starts with one value.
    fn of(value: f64) -> Self;
    /// Adds another quantity.
    fn plus(self, other: Self) -> Self;
    /// Multiplied by a factor.
    fn times(self, factor: f64) -> Self;
    /// As one float.
    fn value(self) -> f64;
}

impl Quantity for f64 {
    fn of(value: f64) -> Self {
        value
    }
    fn plus(self, other: Self) -> Self {
        self + other
    }
    fn times(self, factor: f64) -> Self {
        self * factor
    }
    fn value(self) -> f64 {
        self
    }
}

/// A native histogram of one instant, or what an operation made of some.
#[derive(Clone, Debug, PartialEq)]
pub struct FloatHistogram<N = f64> {
    /// What is known about a counter reset between the previous sample and this one.
    pub reset_hint: ResetHint,
    /// As of [`Histogram::schema`].
    pub schema: i8,
    /// The zero bucket counts observations in `[-zero_threshold, zero_threshold]`.
    pub zero_threshold: f64,
    /// Observations in the zero bucket.
    pub zero_count: N,
    /// Observations in all, those that are NaN included.
    pub count: N,
    /// Sum of all observations.
    pub sum: N,
    /// Buckets above zero, ascending by index; with custom buckets all there are, from index 0.
    pub positive: Vec<IndexedCount<N>>,
    /// Buckets below zero, ascending by index, that is by distance from zero.
    pub negative: Vec<IndexedCount<N>>,
    /// Upper boundaries, ascending, without +Inf; only with custom buckets.
    pub custom_bounds: Arc<[f64]>,
}

/// One bucket.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct IndexedCount<N = f64> {
    /// Which boundary of the schema it ends at.
    pub index: i32,
    /// Observations in it.
    pub count: N,
}

impl<N: Quantity> FloatHistogram<N> {
    /// Without observations, in the layout of `other`.
    pub fn empty_like(other: &FloatHistogram) -> Self {
        Self {
            reset_hint: ResetHint::Unknown,
            schema: other.schema,
            zero_threshold: 0.0,
            zero_count: N::of(0.0),
            count: N::of(0.0),
            sum: N::of(0.0),
            positive: Vec::new(),
            negative: Vec::new(),
            custom_bounds: Arc::clone(&other.custom_bounds),
        }
    }

    /// Whether boundaries are listed instead of following from the schema.
    pub fn has_custom_buckets(&self) -> bool {
        self.schema == CUSTOM_BUCKETS_SCHEMA
    }

    /// The same layout with every quantity replaced.
    pub fn map<M>(&self, f: impl Fn(N) -> M) -> FloatHistogram<M> {
        let side = |buckets: &[IndexedCount<N>]| {
            buckets.iter().map(|one| IndexedCount { index: one.index, count: f(one.count) }).collect()
        };
        FloatHistogram {
            reset_hint: self.reset_hint,
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            zero_count: f(self.zero_count),
            count: f(self.count),
            sum: f(self.sum),
            positive: side(&self.positive),
            negative: side(&self.negative),
            custom_bounds: Arc::clone(&self.custom_bounds),
        }
    }

    /// Every quantity multiplied. By a negative factor no counter stays one: the result is a gauge.
    #[must_use]
    pub fn scaled(&self, factor: f64) -> Self {
        let mut scaled = self.map(|quantity| quantity.times(factor));
        if factor < 0.0 {
            scaled.reset_hint = ResetHint::Gauge;
        }
        scaled
    }

    /// Takes buckets without observations off the list.
    pub fn compact(&mut self) {
        self.positive.retain(|bucket| bucket.count.value() != 0.0);
        self.negative.retain(|bucket| bucket.count.value() != 0.0);
    }

    /// Whether any quantity is infinite.
    pub fn has_overflow(&self) -> bool {
        let is_infinite = |quantity: N| quantity.value().is_infinite();
        is_infinite(self.zero_count)
            || is_infinite(self.count)
            || is_infinite(self.sum)
            || self.positive.iter().chain(&self.negative).any(|bucket| is_infinite(bucket.count))
    }

    /// What it takes in memory, in samples of 16 bytes: what a query is charged for it.
    pub fn n_samples(&self) -> usize {
        let buckets = self.positive.len() + self.negative.len();
        (size_of::<Self>() + buckets * size_of::<IndexedCount<N>>() + self.custom_bounds.len() * 8) / 16
    }
}

impl FloatHistogram {
    /// Every quantity divided. Divided by zero, no bucket is left: a share of nothing has no distribution.
    #[must_use]
    pub fn divided(&self, divisor: f64) -> Self {
        let mut divided = self.map(|quantity| quantity / divisor);
        if divisor == 0.0 {
            divided.positive.clear();
            divided.negative.clear();
        }
        if divisor < 0.0 {
            divided.reset_hint = ResetHint::Gauge;
        }
        divided
    }

    /// Without the buckets that hold nothing.
    #[must_use]
    pub fn compacted(mut self) -> Self {
        self.compact();
        self
    }

    /// Same layout and same quantities, bit for bit; buckets without observations and hints do not count.
    pub fn is_same(&self, other: &Self) -> bool {
        let bits = |value: f64| value.to_bits();
        self.schema == other.schema
            && bits(self.count) == bits(other.count)
            && bits(self.sum) == bits(other.sum)
            && self.has_same_bounds(other)
            && self.zero_threshold == other.zero_threshold
            && bits(self.zero_count) == bits(other.zero_count)
            && same_buckets(&self.positive, &other.positive)
            && same_buckets(&self.negative, &other.negative)
    }
}

fn same_buckets(a: &[IndexedCount], b: &[IndexedCount]) -> bool {
    let populated = |buckets: &[IndexedCount]| -> Vec<(i32, u64)> {
        let kept = buckets.iter().filter(|one| one.count != 0.0);
        kept.map(|one| (one.index, one.count.to_bits())).collect()
    };
    populated(a) == populated(b)
}

impl From<&Histogram> for FloatHistogram {
    fn from(histogram: &Histogram) -> Self {
        let (zero_count, count, positive, negative) = match &histogram.counts {
            Counts::Int(buckets) => read(histogram, buckets, |count| count as f64),
            Counts::Float(buckets) => read(histogram, buckets, |count| count),
        };
        Self {
            reset_hint: histogram.reset_hint,
            schema: histogram.schema,
            zero_threshold: histogram.zero_threshold,
            zero_count,
            count,
            sum: histogram.sum,
            positive,
            negative,
            custom_bounds: Arc::clone(&histogram.custom_bounds),
        }
    }
}

impl From<&FloatHistogram> for Histogram {
    /// As a float histogram with spans, to be stored or sent.
    fn from(histogram: &FloatHistogram) -> Self {
        let counts = |buckets: &[IndexedCount]| buckets.iter().map(|bucket| bucket.count).collect();
        Self {
            reset_hint: histogram.reset_hint,
            schema: histogram.schema,
            zero_threshold: histogram.zero_threshold,
            sum: histogram.sum,
            positive_spans: spans(&histogram.positive),
            negative_spans: spans(&histogram.negative),
            custom_bounds: Arc::clone(&histogram.custom_bounds),
            counts: Counts::Float(Buckets {
                count: histogram.count,
                zero_count: histogram.zero_count,
                positive: counts(&histogram.positive),
                negative: counts(&histogram.negative),
            }),
        }
    }
}

type Read = (f64, f64, Vec<IndexedCount>, Vec<IndexedCount>);

fn read<C: Copy>(histogram: &Histogram, buckets: &Buckets<C>, float: impl Fn(C) -> f64) -> Read {
    let side = |spans: &[Span], counts: &[C]| {
        let mut index = 0i32;
        let mut side = Vec::with_capacity(counts.len());
        let mut counts = counts.iter();
        for span in spans {
            index = index.saturating_add(span.offset);
            for _ in 0..span.length {
                // Spans that promise more buckets than there are were refused when the sample came in.
                let Some(count) = counts.next() else { return side };
                side.push(IndexedCount { index, count: float(*count) });
                index = index.saturating_add(1);
            }
        }
        side
    };
    (
        float(buckets.zero_count),
        float(buckets.count),
        side(&histogram.positive_spans, &buckets.positive),
        side(&histogram.negative_spans, &buckets.negative),
    )
}

fn spans(buckets: &[IndexedCount]) -> Vec<Span> {
    let mut spans: Vec<Span> = Vec::new();
    let mut next = 0i32;
    for bucket in buckets {
        match spans.last_mut() {
            Some(span) if bucket.index == next => span.length += 1,
            _ => spans.push(Span { offset: bucket.index.saturating_sub(next), length: 1 }),
        }
        next = bucket.index.saturating_add(1);
    }
    spans
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// An exponential histogram with these positive buckets.
    pub(crate) fn exponential(schema: i8, first: i32, counts: &[f64]) -> FloatHistogram {
        let indexes = first..;
        FloatHistogram {
            reset_hint: ResetHint::Unknown,
            schema,
            zero_threshold: 0.0,
            zero_count: 0.0,
            count: counts.iter().sum(),
            sum: 1.0,
            positive: indexes.zip(counts).map(|(index, &count)| IndexedCount { index, count }).collect(),
            negative: Vec::new(),
            custom_bounds: Arc::default(),
        }
    }

    /// A histogram with custom buckets.
    pub(crate) fn custom(bounds: &[f64], counts: &[f64]) -> FloatHistogram {
        FloatHistogram { custom_bounds: bounds.into(), ..exponential(CUSTOM_BUCKETS_SCHEMA, 0, counts) }
    }

    #[test]
    fn spans_become_indexes_and_spans_again() {
        let stored = Histogram {
            reset_hint: ResetHint::NoReset,
            schema: 2,
            zero_threshold: 0.001,
            sum: 4.5,
            positive_spans: vec![Span { offset: -3, length: 2 }, Span { offset: 4, length: 1 }],
            negative_spans: vec![Span { offset: 0, length: 1 }],
            custom_bounds: Arc::default(),
            counts: Counts::Float(Buckets {
                count: 8.0,
                zero_count: 1.0,
                positive: vec![1.0, 0.0, 3.0],
                negative: vec![1.0],
            }),
        };
        let float = FloatHistogram::from(&stored);
        let listed: Vec<(i32, f64)> = float.positive.iter().map(|b| (b.index, b.count)).collect();
        assert_eq!(listed, [(-3, 1.0), (-2, 0.0), (3, 3.0)]);
        assert_eq!(Histogram::from(&float), stored);
        assert!(float.is_same(&float.clone().compacted()), "empty buckets do not count");
    }

    #[test]
    fn scaling_and_dividing() {
        let histogram = exponential(0, 0, &[1.0, 2.0]);
        assert_eq!(histogram.scaled(2.0).count, 6.0);
        assert_eq!(histogram.scaled(2.0).reset_hint, ResetHint::Unknown);
        assert_eq!(histogram.scaled(-1.0).reset_hint, ResetHint::Gauge);
        let by_zero = histogram.divided(0.0);
        assert!(by_zero.count.is_infinite() && by_zero.positive.is_empty());
        assert!(by_zero.has_overflow() && !histogram.has_overflow());
    }
}
