//! Sums and differences. The operands may have different layouts: both are brought to one that holds either.

use std::borrow::Cow;

use super::{FloatHistogram, IndexedCount, Quantity};
use crate::histogram::ResetHint;

/// What is worth knowing about how two histograms were combined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Combined {
    /// One side says that there was a counter reset, the other that there was none.
    pub has_reset_conflict: bool,
    /// The custom bounds differed: only those that both have are left.
    pub has_reconciled_bounds: bool,
}

/// One side has exponential buckets, the other custom ones: there is no layout for both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot combine histograms with exponential and with custom buckets")]
pub struct MixedSchemas;

impl<N: Quantity> FloatHistogram<N> {
    /// Adds `other`, bucket by bucket.
    ///
    /// # Errors
    /// [`MixedSchemas`], and nothing is changed.
    pub fn add(&mut self, other: &FloatHistogram) -> Result<Combined, MixedSchemas> {
        self.combine(other, |quantity| quantity)
    }

    /// Subtracts `other`, bucket by bucket. The result is a gauge: counts may be below zero.
    ///
    /// # Errors
    /// [`MixedSchemas`], and nothing is changed.
    pub fn subtract(&mut self, other: &FloatHistogram) -> Result<Combined, MixedSchemas> {
        let combined = self.combine(other, |quantity| -quantity)?;
        self.reset_hint = ResetHint::Gauge;
        Ok(combined)
    }

    /// Adds what `sign` makes of each quantity of `other`.
    fn combine(
        &mut self,
        other: &FloatHistogram,
        sign: impl Fn(f64) -> f64,
    ) -> Result<Combined, MixedSchemas> {
        if self.has_custom_buckets() != other.has_custom_buckets() {
            return Err(MixedSchemas);
        }
        let (reset_hint, has_reset_conflict) = combine_hints(self.reset_hint, other.reset_hint);
        self.reset_hint = reset_hint;
        let mut other = Cow::Borrowed(other);
        let mut has_reconciled_bounds = false;
        if self.has_custom_buckets() {
            if !self.has_same_bounds(&other) {
                has_reconciled_bounds = true;
                let bounds = self.common_bounds(&other);
                self.reduce_to_bounds(&bounds);
                other.to_mut().reduce_to_bounds(&bounds);
            }
        } else {
            // Widening one to the other's border may move the border further, so that the other one follows.
            loop {
                if self.zero_threshold < other.zero_threshold {
                    self.widen_zero_bucket(other.zero_threshold);
                } else if self.zero_threshold > other.zero_threshold {
                    other.to_mut().widen_zero_bucket(self.zero_threshold);
                } else {
                    break;
                }
            }
            self.reduce_to_schema(other.schema);
            if other.schema > self.schema {
                other.to_mut().reduce_to_schema(self.schema);
            }
        }
        let add = |quantity: N, value: f64| quantity.plus(N::of(sign(value)));
        self.zero_count = add(self.zero_count, other.zero_count);
        self.count = add(self.count, other.count);
        self.sum = add(self.sum, other.sum);
        add_side(&mut self.positive, &other.positive, &sign);
        add_side(&mut self.negative, &other.negative, &sign);
        Ok(Combined { has_reset_conflict, has_reconciled_bounds })
    }
}

/// Merges two lists that ascend by index.
fn add_side<N: Quantity>(
    into: &mut Vec<IndexedCount<N>>,
    other: &[IndexedCount],
    sign: &impl Fn(f64) -> f64,
) {
    let has_same_indexes =
        into.len() == other.len() && into.iter().zip(other).all(|(a, b)| a.index == b.index);
    if has_same_indexes {
        for (bucket, added) in into.iter_mut().zip(other) {
            bucket.count = bucket.count.plus(N::of(sign(added.count)));
        }
        return;
    }
    let mut merged = Vec::with_capacity(into.len() + other.len());
    let mut own = into.iter().copied().peekable();
    for added in other {
        while let Some(bucket) = own.next_if(|bucket| bucket.index < added.index) {
            merged.push(bucket);
        }
        let count = N::of(sign(added.count));
        let count = match own.next_if(|bucket| bucket.index == added.index) {
            Some(bucket) => bucket.count.plus(count),
            None => count,
        };
        merged.push(IndexedCount { index: added.index, count });
    }
    merged.extend(own);
    *into = merged;
}

/// What is known of the sum of two, and whether they contradict each other.
fn combine_hints(a: ResetHint, b: ResetHint) -> (ResetHint, bool) {
    match (a, b) {
        _ if a == b => (a, false),
        (ResetHint::Gauge, _) | (_, ResetHint::Gauge) => (ResetHint::Gauge, false),
        (ResetHint::Unknown, _) | (_, ResetHint::Unknown) => (ResetHint::Unknown, false),
        _ => (ResetHint::Unknown, true),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::{custom, exponential};
    use super::*;

    fn listed(buckets: &[IndexedCount]) -> Vec<(i32, f64)> {
        buckets.iter().map(|bucket| (bucket.index, bucket.count)).collect()
    }

    #[test]
    fn other_buckets_are_merged_in() {
        let mut histogram = exponential(0, 0, &[1.0, 2.0]);
        let mut other = exponential(0, 1, &[10.0]);
        other.positive.push(IndexedCount { index: 7, count: 5.0 });
        assert_eq!(histogram.add(&other), Ok(Combined::default()));
        assert_eq!(listed(&histogram.positive), [(0, 1.0), (1, 12.0), (7, 5.0)]);
        assert_eq!((histogram.count, histogram.sum), (13.0, 2.0));
        histogram.subtract(&other).unwrap();
        assert_eq!(listed(&histogram.clone().compacted().positive), [(0, 1.0), (1, 2.0)]);
        assert_eq!(histogram.reset_hint, ResetHint::Gauge);
    }

    #[test]
    fn zero_buckets_of_two_widths() {
        let mut histogram = exponential(0, -1, &[1.0, 2.0, 4.0]);
        histogram.zero_threshold = 0.1;
        let mut other = exponential(0, 3, &[1.0]);
        (other.zero_threshold, other.zero_count) = (0.3, 5.0);
        histogram.add(&other).unwrap();
        // 0.3 lies in the bucket up to 0.5.
        assert_eq!((histogram.zero_threshold, histogram.zero_count), (0.5, 6.0));
        assert_eq!(listed(&histogram.positive), [(0, 2.0), (1, 4.0), (3, 1.0)]);
    }

    #[test]
    fn custom_bounds_that_both_have() {
        let mut histogram = custom(&[1.0, 2.0, 5.0], &[1.0, 2.0, 4.0, 8.0]);
        let combined = histogram.add(&custom(&[2.0, 3.0, 5.0], &[1.0, 1.0, 1.0, 1.0])).unwrap();
        assert!(combined.has_reconciled_bounds);
        assert_eq!(*histogram.custom_bounds, [2.0, 5.0]);
        assert_eq!(listed(&histogram.positive), [(0, 4.0), (1, 6.0), (2, 9.0)]);
        assert_eq!(histogram.add(&exponential(0, 0, &[])), Err(MixedSchemas));
    }

    #[test]
    fn hints_of_sums() {
        use ResetHint::{Gauge, NoReset, Reset, Unknown};
        assert_eq!(combine_hints(NoReset, NoReset), (NoReset, false));
        assert_eq!(combine_hints(Gauge, Reset), (Gauge, false));
        assert_eq!(combine_hints(Unknown, Reset), (Unknown, false));
        assert_eq!(combine_hints(NoReset, Reset), (Unknown, true));
    }

    proptest! {
        #[test]
        fn no_observation_is_lost(
            a in proptest::collection::vec(0u32..9, 0..20), b in proptest::collection::vec(0u32..9, 0..20),
            schemas in (-4i8..=8, -4i8..=8), firsts in (-20i32..20, -20i32..20), thresholds in (0.0f64..3.0, 0.0f64..3.0),
        ) {
            let of = |counts: &[u32], schema, first, threshold| {
                let counts: Vec<f64> = counts.iter().map(|count| f64::from(*count)).collect();
                let mut histogram = exponential(schema, first, &counts);
                histogram.widen_zero_bucket(threshold);
                histogram
            };
            let (a, b) = (of(&a, schemas.0, firsts.0, thresholds.0), of(&b, schemas.1, firsts.1, thresholds.1));
            let mut sum = a.clone();
            sum.add(&b).unwrap();
            let in_buckets: f64 = sum.zero_count + sum.positive.iter().map(|bucket| bucket.count).sum::<f64>();
            prop_assert_eq!(in_buckets, a.count + b.count);
            let mut reversed = b.clone();
            reversed.add(&a).unwrap();
            prop_assert_eq!(sum.compacted(), reversed.compacted());
        }
    }
}
