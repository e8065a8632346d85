//! Classic histograms, which are many series with an `le`, to native ones with custom buckets.
//!
//! Rules and refusals are the peer's (its conversion behind `convert_classic_histograms_to_nhcb`): counts are cumulative
//! and must not fall, the count must be that of the last bucket, whole counts make an integer histogram, others a float one.

use std::sync::Arc;

use cairn_model::Histogram;
use cairn_model::histogram::{Buckets, CUSTOM_BUCKETS_SCHEMA, Counts, ResetHint, Span};

use super::number::normal;

/// Why classic series make no histogram. The text is the peer's.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ClassicError {
    /// A bucket without a bound.
    #[error("bucket boundary must not be NaN")]
    NanBound,
    /// A bucket that counts less than nothing.
    #[error("bucket count must be non-negative: le={bound}, count={count}")]
    NegativeBucket {
        /// Its bound.
        bound: f64,
        /// What it says.
        count: f64,
    },
    /// A `_count` below 0.
    #[error("count must be non-negative: count={0}")]
    NegativeCount(f64),
    /// A bucket that counts less than the one below it.
    #[error("count is not cumulative: {0}")]
    NotCumulative(String),
    /// `_count` says something else than the bucket for +Inf.
    #[error("count mismatch: count={count} != le={bound} count={bucket}")]
    Mismatch {
        /// `_count`.
        count: f64,
        /// Bound of the last bucket.
        bound: f64,
        /// What it counts.
        bucket: f64,
    },
}

/// Collects the series of one classic histogram.
#[derive(Clone, Debug, Default)]
pub struct ClassicBuilder {
    /// Bound and cumulative count, ascending.
    buckets: Vec<(f64, f64)>,
    count: Option<f64>,
    sum: f64,
    error: Option<ClassicError>,
}

impl ClassicBuilder {
    /// Forgets everything.
    pub fn clear(&mut self) {
        self.buckets.clear();
        self.count = None;
        self.sum = 0.0;
        self.error = None;
    }

    /// `_count`.
    pub fn set_count(&mut self, count: f64) {
        if count < 0.0 {
            self.fail(ClassicError::NegativeCount(count));
        }
        self.count = Some(count);
    }

    /// `_sum`.
    pub fn set_sum(&mut self, sum: f64) {
        self.sum = normal(sum);
    }

    /// A bucket, in any order; a second one with the same bound is ignored.
    pub fn add_bucket(&mut self, bound: f64, count: f64) {
        if bound.is_nan() {
            return self.fail(ClassicError::NanBound);
        }
        if count < 0.0 {
            return self.fail(ClassicError::NegativeBucket { bound, count });
        }
        // Pages list them in ascending order.
        let at = match self.buckets.last() {
            Some((last, _)) if *last >= bound => self.buckets.partition_point(|(other, _)| *other < bound),
            _ => self.buckets.len(),
        };
        if self.buckets.get(at).is_some_and(|(other, _)| *other == bound) {
            return;
        }
        if let Some((_, below)) = at.checked_sub(1).and_then(|below| self.buckets.get(below))
            && count < *below
        {
            return self.fail(ClassicError::NotCumulative(format!("{count} < {below}")));
        }
        if let Some((_, above)) = self.buckets.get(at)
            && count > *above
        {
            return self.fail(ClassicError::NotCumulative(format!("{count} > {above}")));
        }
        self.buckets.insert(at, (bound, count));
    }

    fn fail(&mut self, error: ClassicError) {
        self.error.get_or_insert(error);
    }

    /// The histogram. `is_gauge`: its counts may fall. `bounds`: of the previous sample of the series, to be shared when
    /// they are the same.
    ///
    /// # Errors
    /// [`ClassicError`], also one that was met while collecting.
    pub fn build(&mut self, is_gauge: bool, bounds: Option<&Arc<[f64]>>) -> Result<Histogram, ClassicError> {
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        let count = self.count.or(self.buckets.last().map(|(_, count)| *count)).unwrap_or(0.0);
        if self.buckets.last().is_none_or(|(bound, _)| *bound != f64::INFINITY) {
            self.buckets.push((f64::INFINITY, count));
        }
        let (bound, last) = self.buckets.last().copied().unwrap_or_default();
        if count != last {
            return Err(ClassicError::Mismatch { count, bound, bucket: last });
        }
        let is_whole = self.buckets.iter().all(|(_, count)| as_whole(*count).is_some());
        let mut below = 0.0;
        let own = self.buckets.iter().map(|(_, count)| count - std::mem::replace(&mut below, *count));
        let counts = if is_whole && let Some(count) = as_whole(count) {
            let mut below = 0;
            let own = self.buckets.iter().map(|(_, cumulative)| {
                let cumulative = as_whole(*cumulative).unwrap_or_default();
                cumulative.saturating_sub(std::mem::replace(&mut below, cumulative))
            });
            Counts::Int(Buckets { count, zero_count: 0, positive: own.collect(), negative: Vec::new() })
        } else {
            Counts::Float(Buckets { count, zero_count: 0.0, positive: own.collect(), negative: Vec::new() })
        };
        let is_float = matches!(counts, Counts::Float(_));
        let finite = || self.buckets.iter().map(|(bound, _)| *bound).filter(|bound| *bound != f64::INFINITY);
        let custom_bounds = match bounds {
            Some(shared) if shared.iter().map(|b| b.to_bits()).eq(finite().map(f64::to_bits)) => {
                Arc::clone(shared)
            }
            _ => finite().collect(),
        };
        let mut histogram = Histogram {
            reset_hint: if is_gauge { ResetHint::Gauge } else { ResetHint::Unknown },
            schema: CUSTOM_BUCKETS_SCHEMA,
            zero_threshold: 0.0,
            sum: self.sum,
            positive_spans: vec![Span {
                offset: 0,
                length: u32::try_from(self.buckets.len()).unwrap_or(u32::MAX),
            }],
            negative_spans: Vec::new(),
            custom_bounds,
            counts,
        };
        histogram.compact(if is_float { 0 } else { MAX_EMPTY_BUCKETS });
        Ok(histogram)
    }
}

/// Empty buckets in a row that are kept in an integer histogram: cheaper than one more span.
const MAX_EMPTY_BUCKETS: usize = 2;

fn as_whole(count: f64) -> Option<u64> {
    // 2^63: the peer converts to a signed integer.
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked to be whole and in range"
    )]
    ((0.0..LIMIT).contains(&count) && count.fract() == 0.0).then_some(count as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn built(buckets: &[(f64, f64)], count: Option<f64>, sum: f64) -> Result<Histogram, String> {
        let mut builder = ClassicBuilder::default();
        for (bound, count) in buckets {
            builder.add_bucket(*bound, *count);
        }
        if let Some(count) = count {
            builder.set_count(count);
        }
        builder.set_sum(sum);
        builder.build(false, None).map_err(|error| error.to_string())
    }

    #[test]
    fn whole_counts() {
        let infinity = f64::INFINITY;
        let histogram = built(&[(1.0, 2.0), (0.5, 1.0), (infinity, 5.0)], Some(5.0), 7.0).unwrap();
        assert_eq!(histogram.validate(), Ok(()));
        assert_eq!(*histogram.custom_bounds, [0.5, 1.0]);
        assert_eq!(
            histogram.counts,
            Counts::Int(Buckets { count: 5, zero_count: 0, positive: vec![1, 1, 3], negative: vec![] })
        );
        let without = built(&[(0.5, 1.0), (1.0, 2.0)], Some(5.0), 7.0).unwrap();
        assert_eq!(without, histogram, "the bucket for +Inf is added");
        let empty = built(&[(1.0, 0.0)], Some(0.0), 0.0).unwrap();
        assert_eq!(empty.positive_spans, []);
        assert_eq!(*empty.custom_bounds, [1.0]);
    }

    #[test]
    fn other_counts() {
        let histogram = built(&[(1.0, 0.5)], None, 7.0).unwrap();
        assert_eq!(
            histogram.counts,
            Counts::Float(Buckets { count: 0.5, zero_count: 0.0, positive: vec![0.5], negative: vec![] })
        );
    }

    #[test]
    fn bounds_are_shared() {
        let mut builder = ClassicBuilder::default();
        builder.add_bucket(1.0, 1.0);
        let first = builder.build(false, None).unwrap();
        builder.clear();
        builder.add_bucket(1.0, 2.0);
        let second = builder.build(false, Some(&first.custom_bounds)).unwrap();
        assert!(Arc::ptr_eq(&first.custom_bounds, &second.custom_bounds));
    }

    #[test]
    fn refusals() {
        let says = |buckets: &[(f64, f64)], count, want: &str| {
            assert_eq!(built(buckets, count, 0.0), Err(want.to_owned()));
        };
        says(&[(1.0, 2.0), (2.0, 1.0)], None, "count is not cumulative: 1 < 2");
        says(&[(2.0, 1.0), (1.0, 2.0)], None, "count is not cumulative: 2 > 1");
        says(&[(1.0, -1.0)], None, "bucket count must be non-negative: le=1, count=-1");
        says(&[(f64::NAN, 1.0)], None, "bucket boundary must not be NaN");
        says(&[], Some(-1.0), "count must be non-negative: count=-1");
        says(&[(f64::INFINITY, 3.0)], Some(4.0), "count mismatch: count=4 != le=inf count=3");
    }
}
