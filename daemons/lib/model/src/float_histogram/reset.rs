//! Whether a counter was reset between two histograms of a series.

use std::borrow::Cow;

use super::{FloatHistogram, IndexedCount};
use crate::histogram::ResetHint;

impl FloatHistogram {
    /// Whether the counter was reset between `previous` and this one: by the hint where it says so, else because something
    /// is lower than it was. A gauge is looked at as if it were a counter.
    pub fn is_reset_since(&self, previous: &Self) -> bool {
        match self.reset_hint {
            ResetHint::Reset => return true,
            ResetHint::NoReset => return false,
            ResetHint::Unknown | ResetHint::Gauge => {}
        }
        if self.count < previous.count || self.has_custom_buckets() != previous.has_custom_buckets() {
            return true;
        }
        if self.has_custom_buckets() {
            return self.is_any_custom_bucket_lower(previous);
        }
        // Programs make the resolution coarser and the zero bucket wider as they run, never the other way round.
        if self.schema > previous.schema || self.zero_threshold < previous.zero_threshold {
            return true;
        }
        let mut previous = Cow::Borrowed(previous);
        if previous.zero_threshold < self.zero_threshold {
            previous.to_mut().widen_zero_bucket(self.zero_threshold);
            if previous.zero_threshold != self.zero_threshold {
                return true;
            }
        }
        if self.zero_count < previous.zero_count {
            return true;
        }
        if self.schema < previous.schema {
            previous.to_mut().reduce_to_schema(self.schema);
        }
        is_any_lower(&self.positive, &previous.positive) || is_any_lower(&self.negative, &previous.negative)
    }

    fn is_any_custom_bucket_lower(&self, previous: &Self) -> bool {
        if self.has_same_bounds(previous) {
            return is_any_lower(&self.positive, &previous.positive);
        }
        let bounds = self.common_bounds(previous);
        let (mut now, mut before) = (self.clone(), previous.clone());
        now.reduce_to_bounds(&bounds);
        before.reduce_to_bounds(&bounds);
        is_any_lower(&now.positive, &before.positive)
    }
}

/// Whether a populated bucket of `before` has fewer observations in `now`, or is not there.
fn is_any_lower(now: &[IndexedCount], before: &[IndexedCount]) -> bool {
    let mut now = now.iter().peekable();
    before.iter().filter(|bucket| bucket.count != 0.0).any(|bucket| {
        while now.next_if(|other| other.index < bucket.index).is_some() {}
        now.next_if(|other| other.index == bucket.index).is_none_or(|other| other.count < bucket.count)
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::{custom, exponential};
    use super::*;

    #[test]
    fn hints_come_first() {
        let (low, high) = (exponential(0, 0, &[1.0]), exponential(0, 0, &[2.0]));
        assert!(low.is_reset_since(&high) && !high.is_reset_since(&low));
        assert!(!FloatHistogram { reset_hint: ResetHint::NoReset, ..low.clone() }.is_reset_since(&high));
        assert!(FloatHistogram { reset_hint: ResetHint::Reset, ..high }.is_reset_since(&low));
    }

    #[test]
    fn single_buckets_and_layouts_tell() {
        let before = exponential(1, 0, &[1.0, 2.0]);
        for (is_reset, now) in [
            (true, exponential(1, 0, &[5.0, 1.0])),
            (true, exponential(1, 0, &[5.0])),
            (true, exponential(2, 0, &[9.0, 9.0, 9.0, 9.0])),
            (false, exponential(0, 0, &[1.0, 2.0])),
            (true, exponential(0, 0, &[3.0])),
            (false, FloatHistogram { zero_threshold: 0.01, ..exponential(1, 0, &[1.0, 3.0]) }),
            (true, FloatHistogram { zero_threshold: 0.9, zero_count: 9.0, ..exponential(1, 0, &[9.0, 9.0]) }),
        ] {
            assert_eq!(now.is_reset_since(&before), is_reset, "{now:?}");
        }
    }

    #[test]
    fn custom_buckets_compare_by_common_bounds() {
        let before = custom(&[2.0, 4.0, 6.0], &[1.0, 2.0, 5.0, 7.0]);
        assert!(custom(&[2.0, 3.0, 4.0, 6.0], &[1.0, 0.0, 1.0, 5.0, 8.0]).is_reset_since(&before));
        assert!(!custom(&[2.0, 3.0, 4.0, 6.0], &[1.0, 1.0, 1.0, 5.0, 8.0]).is_reset_since(&before));
    }
}
