//! Native histograms: one sample that holds a whole distribution.
//!
//! The shape is that of Prometheus's native histograms (`prometheus/proto` of client_model and remote write): sparse
//! buckets, spans of bucket indexes, exponential boundaries by schema or a list of custom ones. In memory buckets hold
//! their own count ("absolute"), whatever a wire or a chunk format does with differences.

mod layout;
mod validate;

use std::sync::Arc;

pub use validate::{HistogramError, MAX_BUCKETS};

/// Schema of histograms whose boundaries are listed in [`Histogram::custom_bounds`].
pub const CUSTOM_BUCKETS_SCHEMA: i8 = -53;

/// Coarsest exponential schema: each bucket spans a factor of 2^16.
pub const MIN_EXPONENTIAL_SCHEMA: i8 = -4;

/// Finest exponential schema: each bucket spans a factor of 2^(1/256).
pub const MAX_EXPONENTIAL_SCHEMA: i8 = 8;

/// A native histogram of one instant.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    /// What is known about a counter reset between the previous sample and this one.
    pub reset_hint: ResetHint,
    /// -4..=8: boundary `i` is `2^(i * 2^-schema)`; [`CUSTOM_BUCKETS_SCHEMA`]: boundaries are `custom_bounds`.
    pub schema: i8,
    /// Width of the zero bucket: it counts observations in `[-zero_threshold, zero_threshold]`. 0 with custom buckets.
    pub zero_threshold: f64,
    /// Sum of all observations; the staleness marker makes the whole sample one.
    pub sum: f64,
    /// Where `positive` of the counts lie.
    pub positive_spans: Vec<Span>,
    /// Where `negative` of the counts lie; empty with custom buckets.
    pub negative_spans: Vec<Span>,
    /// Upper boundaries, ascending, without +Inf; only with [`CUSTOM_BUCKETS_SCHEMA`]. Shared by the samples of a series.
    pub custom_bounds: Arc<[f64]>,
    /// How many observations.
    pub counts: Counts,
}

/// What is known about a counter reset between the previous sample of a series and this one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ResetHint {
    /// Nothing: whoever needs it compares the two.
    #[default]
    Unknown,
    /// There was one.
    Reset,
    /// There was none.
    NoReset,
    /// This is a gauge histogram, to which resets do not apply.
    Gauge,
}

impl ResetHint {
    /// The number in the wire formats (`reset_hint` of remote write), and in ours.
    pub fn number(self) -> u8 {
        match self {
            Self::Unknown => 0,
            Self::Reset => 1,
            Self::NoReset => 2,
            Self::Gauge => 3,
        }
    }

    /// The hint with that number.
    pub fn from_number(number: u8) -> Option<Self> {
        [Self::Unknown, Self::Reset, Self::NoReset, Self::Gauge]
            .into_iter()
            .find(|hint| hint.number() == number)
    }
}

/// Consecutive buckets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Span {
    /// Buckets left out since the end of the previous span; of the first span: the index of its first bucket.
    pub offset: i32,
    /// Buckets in the span.
    pub length: u32,
}

/// Counts as the source gave them: whole numbers from an instrumented program, floats from a recording rule.
#[derive(Clone, Debug, PartialEq)]
pub enum Counts {
    /// An integer histogram.
    Int(Buckets<u64>),
    /// A float histogram.
    Float(Buckets<f64>),
}

/// How many observations, in all and by bucket.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Buckets<N> {
    /// In all.
    pub count: N,
    /// In the zero bucket.
    pub zero_count: N,
    /// In each bucket of the positive spans, ascending by index.
    pub positive: Vec<N>,
    /// In each bucket of the negative spans, ascending by index, that is by distance from zero.
    pub negative: Vec<N>,
}

impl Histogram {
    /// A histogram without observations whose sum is `sum`: the staleness marker of a series of histograms, when `sum`
    /// is that of floats. `is_float`: of which kind its counts are.
    pub fn without_observations(sum: f64, is_float: bool) -> Self {
        Self {
            reset_hint: ResetHint::Unknown,
            schema: 0,
            zero_threshold: 0.0,
            sum,
            positive_spans: Vec::new(),
            negative_spans: Vec::new(),
            custom_bounds: Arc::default(),
            counts: if is_float {
                Counts::Float(Buckets::default())
            } else {
                Counts::Int(Buckets::default())
            },
        }
    }

    /// Whether counts are floats.
    pub fn is_float(&self) -> bool {
        matches!(self.counts, Counts::Float(_))
    }

    /// Whether boundaries are listed instead of following from the schema.
    pub fn has_custom_buckets(&self) -> bool {
        self.schema == CUSTOM_BUCKETS_SCHEMA
    }

    /// Observations in all.
    pub fn count(&self) -> f64 {
        match &self.counts {
            Counts::Int(buckets) => buckets.count as f64,
            Counts::Float(buckets) => buckets.count,
        }
    }

    /// What it takes in memory, in samples of 16 bytes: what a query is charged for it. Boundaries are shared.
    pub fn n_samples(&self) -> usize {
        (size_of::<Self>() + self.n_buckets() * size_of::<f64>()) / 16
    }

    /// Equal bit for bit: NaNs of the same bits are equal, 0 and -0 are not. Two samples of one time are duplicates if so.
    pub fn is_identical(&self, other: &Self) -> bool {
        let bits = |values: &[f64]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        let counts = match (&self.counts, &other.counts) {
            (Counts::Int(a), Counts::Int(b)) => a == b,
            (Counts::Float(a), Counts::Float(b)) => {
                a.count.to_bits() == b.count.to_bits()
                    && a.zero_count.to_bits() == b.zero_count.to_bits()
                    && bits(&a.positive) == bits(&b.positive)
                    && bits(&a.negative) == bits(&b.negative)
            }
            _ => false,
        };
        counts
            && self.reset_hint == other.reset_hint
            && self.schema == other.schema
            && self.zero_threshold.to_bits() == other.zero_threshold.to_bits()
            && self.sum.to_bits() == other.sum.to_bits()
            && self.positive_spans == other.positive_spans
            && self.negative_spans == other.negative_spans
            && bits(&self.custom_bounds) == bits(&other.custom_bounds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some(sum: f64) -> Histogram {
        Histogram {
            reset_hint: ResetHint::Unknown,
            schema: 0,
            zero_threshold: 0.001,
            sum,
            positive_spans: vec![Span { offset: 0, length: 2 }],
            negative_spans: Vec::new(),
            custom_bounds: Arc::default(),
            counts: Counts::Int(Buckets {
                count: 3,
                zero_count: 0,
                positive: vec![1, 2],
                negative: Vec::new(),
            }),
        }
    }

    #[test]
    fn identity_goes_by_bits() {
        assert!(some(f64::NAN).is_identical(&some(f64::NAN)));
        assert!(!some(0.0).is_identical(&some(-0.0)));
        for number in 0..4 {
            assert_eq!(ResetHint::from_number(number).map(ResetHint::number), Some(number));
        }
        assert_eq!(ResetHint::from_number(4), None);
        let mut float = some(1.0);
        float.counts = Counts::Float(Buckets {
            count: 3.0,
            zero_count: 0.0,
            positive: vec![1.0, 2.0],
            negative: vec![],
        });
        assert!(float.is_identical(&float.clone()) && !float.is_identical(&some(1.0)));
        assert_eq!((float.count(), some(1.0).count()), (3.0, 3.0));
    }
}
