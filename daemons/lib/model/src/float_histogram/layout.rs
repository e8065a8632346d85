//! Other layouts for the same observations: a coarser schema, a wider zero bucket, fewer custom bounds.

use std::sync::Arc;

use super::bounds::exponential;
use super::{FloatHistogram, IndexedCount, Quantity};

impl<N: Quantity> FloatHistogram<N> {
    /// Merges exponential buckets down to a coarser schema; a schema that is not coarser changes nothing.
    pub fn reduce_to_schema(&mut self, schema: i8) {
        if self.has_custom_buckets() || schema >= self.schema {
            return;
        }
        let shift = u32::from(self.schema.abs_diff(schema)).min(30);
        // Bucket `i` ends at base^i, so that 2i-1 and 2i end up in bucket i.
        let coarser = |index: i32| (index.saturating_sub(1) >> shift) + 1;
        regroup(&mut self.positive, coarser);
        regroup(&mut self.negative, coarser);
        self.schema = schema;
    }

    /// Lets the zero bucket reach to `threshold` at least. A populated bucket that the new border would cut goes into the
    /// zero bucket whole, which moves the border to the end of that bucket.
    pub fn widen_zero_bucket(&mut self, threshold: f64) {
        let schema = self.schema;
        let lower = |bucket: &IndexedCount<N>| exponential(bucket.index.saturating_sub(1), schema);
        let upper = |bucket: &IndexedCount<N>| exponential(bucket.index, schema);
        let mut border = threshold;
        loop {
            let cut = self.positive.iter().chain(&self.negative).find(|bucket| {
                bucket.count.value() != 0.0 && lower(bucket) < border && upper(bucket) > border
            });
            match cut {
                Some(bucket) => border = upper(bucket),
                None => break,
            }
        }
        let mut zero_count = self.zero_count;
        for side in [&mut self.positive, &mut self.negative] {
            side.retain(|bucket| {
                let is_inside = lower(bucket) < border;
                if is_inside {
                    zero_count = zero_count.plus(bucket.count);
                }
                !is_inside
            });
        }
        self.zero_count = zero_count;
        self.zero_threshold = border;
    }

    /// Whether both have the same custom bounds, or none.
    pub fn has_same_bounds<M>(&self, other: &FloatHistogram<M>) -> bool {
        Arc::ptr_eq(&self.custom_bounds, &other.custom_bounds) || self.custom_bounds == other.custom_bounds
    }

    /// The bounds that both have.
    pub(super) fn common_bounds<M>(&self, other: &FloatHistogram<M>) -> Arc<[f64]> {
        self.custom_bounds.iter().copied().filter(|bound| other.custom_bounds.contains(bound)).collect()
    }

    /// Merges custom buckets until `bounds`, which must be some of those there are, are the only ones.
    pub(super) fn reduce_to_bounds(&mut self, bounds: &Arc<[f64]>) {
        let old = Arc::clone(&self.custom_bounds);
        regroup(&mut self.positive, |index| {
            let ends_at = usize::try_from(index).ok().and_then(|at| old.get(at));
            let at = ends_at.map_or(bounds.len(), |end| bounds.partition_point(|bound| bound < end));
            i32::try_from(at).unwrap_or(i32::MAX)
        });
        self.custom_bounds = Arc::clone(bounds);
    }
}

/// Gives each bucket a new index, which must not fall from one to the next, and adds up those that meet.
fn regroup<N: Quantity>(buckets: &mut Vec<IndexedCount<N>>, to: impl Fn(i32) -> i32) {
    let mut n_kept = 0;
    for at in 0..buckets.len() {
        let moved = IndexedCount { index: to(buckets[at].index), count: buckets[at].count };
        if n_kept > 0 && buckets[n_kept - 1].index == moved.index {
            let last = &mut buckets[n_kept - 1];
            last.count = last.count.plus(moved.count);
        } else {
            buckets[n_kept] = moved;
            n_kept += 1;
        }
    }
    buckets.truncate(n_kept);
}

#[cfg(test)]
mod tests {
    use super::super::tests::{custom, exponential};

    fn listed(buckets: &[super::IndexedCount]) -> Vec<(i32, f64)> {
        buckets.iter().map(|bucket| (bucket.index, bucket.count)).collect()
    }

    #[test]
    fn coarser_schema() {
        let mut histogram = exponential(1, -2, &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0]);
        histogram.reduce_to_schema(0);
        assert_eq!(listed(&histogram.positive), [(-1, 1.0), (0, 6.0), (1, 24.0), (2, 32.0)]);
        histogram.reduce_to_schema(3);
        assert_eq!(histogram.schema, 0, "never finer");
    }

    #[test]
    fn zero_bucket_swallows_what_it_cuts() {
        let mut histogram = exponential(0, -1, &[1.0, 2.0, 4.0, 8.0]);
        histogram.widen_zero_bucket(0.75);
        assert_eq!((histogram.zero_threshold, histogram.zero_count), (1.0, 3.0));
        assert_eq!(listed(&histogram.positive), [(1, 4.0), (2, 8.0)]);
        let mut sparse = exponential(0, -1, &[1.0, 0.0, 4.0]);
        sparse.widen_zero_bucket(0.75);
        assert_eq!((sparse.zero_threshold, sparse.zero_count), (0.75, 1.0), "an empty bucket can be cut");
    }

    #[test]
    fn fewer_bounds() {
        let mut histogram = custom(&[1.0, 2.0, 3.0, 4.0], &[1.0, 2.0, 4.0, 8.0, 16.0]);
        histogram.reduce_to_bounds(&[2.0, 4.0].into());
        assert_eq!(listed(&histogram.positive), [(0, 3.0), (1, 12.0), (2, 16.0)]);
    }
}
