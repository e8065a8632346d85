//! `</` and `>/`: the part of a native histogram's observations below or above a bound.
//!
//! A bucket that the bound cuts keeps a share, interpolated as for fractions: logarithmically between exponential
//! bounds, linearly in the zero bucket and between custom ones. Where anything was taken away the sum is estimated anew, as
//! if all observations of a bucket were in its middle: the geometric one between exponential bounds.

use cairn_model::FloatHistogram;
use cairn_model::float_histogram::{Bucket, IndexedCount};

use crate::histogram_buckets::{log_share, zero_bucket};
use crate::kahan::Sum;

/// Which observations stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keep {
    Below,
    Above,
}

/// What is left of a bucket.
#[derive(Clone, Copy, Debug, Default)]
struct Rest {
    count: f64,
    /// Where the observations left are assumed to be.
    middle: f64,
}

/// The observations of `histogram` on one side of `bound`.
pub(crate) fn trim(histogram: &FloatHistogram, bound: f64, keep: Keep) -> FloatHistogram {
    let unbounded = if keep == Keep::Below { f64::INFINITY } else { f64::NEG_INFINITY };
    if bound == unbounded {
        return histogram.clone();
    }
    let cut = Cut { bound, keep };
    let rest_of = |bucket: Bucket| {
        if histogram.has_custom_buckets() { cut.custom(bucket) } else { cut.exponential(bucket) }
    };
    let mut trimmed = histogram.clone();
    let mut left = Left { count: Sum::default(), sum: Sum::default(), is_less: false };
    // The list below zero ascends by distance, its buckets by value.
    for (listed, bucket) in trimmed.negative.iter_mut().rev().zip(histogram.negative_buckets()) {
        left.keep(listed, rest_of(bucket));
    }
    if histogram.zero_count != 0.0 {
        let mut zero = IndexedCount { index: 0, count: histogram.zero_count };
        left.keep(&mut zero, cut.linear(zero_bucket(histogram)));
        trimmed.zero_count = zero.count;
    }
    for (listed, bucket) in trimmed.positive.iter_mut().zip(histogram.positive_buckets()) {
        left.keep(listed, rest_of(bucket));
    }
    if !left.is_less {
        return histogram.clone();
    }
    trimmed.count = left.count.total();
    trimmed.sum = left.sum.total();
    trimmed.compacted()
}

/// What is left in all.
struct Left {
    count: Sum,
    sum: Sum,
    /// Whether anything was taken away.
    is_less: bool,
}

impl Left {
    fn keep(&mut self, listed: &mut IndexedCount, rest: Rest) {
        self.is_less |= rest.count != listed.count;
        listed.count = rest.count;
        if rest.count != 0.0 {
            self.count.add(rest.count);
            self.sum.add(rest.count * rest.middle);
        }
    }
}

struct Cut {
    bound: f64,
    keep: Keep,
}

impl Cut {
    /// Whether all of the bucket stays, all goes, or the bound cuts it.
    fn place(&self, bucket: &Bucket) -> Place {
        let (kept, gone) = match self.keep {
            Keep::Below => (bucket.upper <= self.bound, bucket.lower >= self.bound),
            Keep::Above => (bucket.lower >= self.bound, bucket.upper <= self.bound),
        };
        match (kept, gone) {
            (true, _) => Place::Kept,
            (false, false) if bucket.lower < self.bound && bucket.upper > self.bound => Place::Cut,
            _ => Place::Gone,
        }
    }

    /// The part of a cut bucket that stays, and its bounds.
    fn share(&self, bucket: &Bucket, below: f64) -> (f64, f64, f64) {
        match self.keep {
            Keep::Below => (below, bucket.lower, self.bound),
            Keep::Above => (1.0 - below, self.bound, bucket.upper),
        }
    }

    fn exponential(&self, bucket: Bucket) -> Rest {
        let middle = |lower: f64, upper: f64| (lower * upper).sqrt().copysign(upper + lower);
        match self.place(&bucket) {
            Place::Kept => Rest { count: bucket.count, middle: middle(bucket.lower, bucket.upper) },
            Place::Gone => Rest::default(),
            Place::Cut => {
                let (share, lower, upper) = self.share(&bucket, log_share(&bucket, self.bound));
                Rest { count: bucket.count * share, middle: middle(lower, upper) }
            }
        }
    }

    fn linear(&self, bucket: Bucket) -> Rest {
        let middle = |lower: f64, upper: f64| (lower + upper) / 2.0;
        match self.place(&bucket) {
            Place::Kept => Rest { count: bucket.count, middle: middle(bucket.lower, bucket.upper) },
            Place::Gone => Rest::default(),
            Place::Cut => {
                let below = (self.bound - bucket.lower) / (bucket.upper - bucket.lower);
                let (share, lower, upper) = self.share(&bucket, below);
                Rest { count: bucket.count * share, middle: middle(lower, upper) }
            }
        }
    }

    /// Nothing is known about where in an open bucket the observations are. They are taken to be at its bound, or at the
    /// trimming one where that is beyond, except in a first bucket that reaches above zero: that one starts at zero.
    fn custom(&self, bucket: Bucket) -> Rest {
        let (has_start, has_end) = (bucket.lower != f64::NEG_INFINITY, bucket.upper != f64::INFINITY);
        let all_at = |middle: f64| Rest { count: bucket.count, middle };
        match (has_start, has_end, self.keep) {
            (true, true, _) => self.linear(bucket),
            (false, false, _) => Rest::default(),
            (true, false, Keep::Below) => Rest::default(),
            (true, false, Keep::Above) if self.bound == f64::INFINITY => Rest::default(),
            (true, false, Keep::Above) => all_at(bucket.lower.max(self.bound)),
            (false, true, Keep::Below) if bucket.upper <= 0.0 => all_at(bucket.upper.min(self.bound)),
            (false, true, Keep::Above) if bucket.upper <= 0.0 || self.bound < 0.0 => Rest::default(),
            (false, true, _) => self.linear(Bucket { lower: 0.0, ..bucket }),
        }
    }
}

enum Place {
    Kept,
    Cut,
    Gone,
}
