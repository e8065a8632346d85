//! Quantiles, fractions and deviations of one native histogram.

use cairn_model::FloatHistogram;
use cairn_model::float_histogram::Bucket;

use crate::annotations::{Note, Notes};
use crate::kahan::Sum;

/// The `q`-quantile: -Inf below 0, +Inf above 1, NaN of nothing.
pub(crate) fn quantile(q: f64, histogram: &FloatHistogram, notes: &mut Notes) -> f64 {
    if q < 0.0 {
        return f64::NEG_INFINITY;
    }
    if q > 1.0 {
        return f64::INFINITY;
    }
    if histogram.count == 0.0 || q.is_nan() {
        return f64::NAN;
    }
    // Observations of NaN are counted but in no bucket, as if they were above all others: their share is seen from below
    // only.
    let has_nan = histogram.sum.is_nan();
    let is_upward = has_nan || q < 0.5;
    let found = if is_upward {
        find(histogram.buckets(), q * histogram.count)
    } else {
        find(histogram.buckets().rev(), (1.0 - q) * histogram.count)
    };
    let Some(Found { bucket, count, rank, is_reached }) = found else {
        if has_nan {
            notes.add(Note::NanObservations("histogram_quantile", "result is NaN"));
        }
        return f64::NAN;
    };
    if has_nan {
        if !is_reached {
            notes.add(Note::NanObservations("histogram_quantile", "result is NaN"));
            return f64::NAN;
        }
        if histogram.buckets().map(|bucket| bucket.count).sum::<f64>() < histogram.count {
            notes.add(Note::NanObservations("histogram_quantile", "result is skewed higher"));
        }
    }
    let mut bucket = bucket;
    if histogram.has_custom_buckets() {
        if bucket.lower == f64::NEG_INFINITY {
            if bucket.upper <= 0.0 {
                return bucket.upper;
            }
            bucket.lower = 0.0;
        } else if bucket.upper == f64::INFINITY {
            return bucket.lower;
        }
    } else if bucket.lower <= 0.0 && bucket.upper >= 0.0 {
        bucket = zero_bucket(histogram);
    }
    // Rounding may have made the buckets hold more than there is in all.
    let count = count.min(histogram.count);
    let share = if is_upward { rank - (count - bucket.count) } else { count - rank } / bucket.count;
    if histogram.has_custom_buckets() || (bucket.lower <= 0.0 && bucket.upper >= 0.0) {
        return bucket.lower + (bucket.upper - bucket.lower) * share;
    }
    // Between exponential bounds the logarithm is interpolated: then halving the buckets changes nothing.
    let (lower, upper) = (bucket.lower.abs().log2(), bucket.upper.abs().log2());
    if bucket.lower > 0.0 {
        return (lower + (upper - lower) * share).exp2();
    }
    -(upper + (lower - upper) * (1.0 - share)).exp2()
}

/// Where a rank lies.
struct Found {
    bucket: Bucket,
    /// Observations in this bucket and those before it.
    count: f64,
    rank: f64,
    /// Whether the buckets hold enough observations at all.
    is_reached: bool,
}

fn find(buckets: impl Iterator<Item = Bucket>, rank: f64) -> Option<Found> {
    let mut found = None;
    let mut count = 0.0;
    for bucket in buckets.filter(|bucket| bucket.count != 0.0) {
        count += bucket.count;
        let is_reached = count >= rank;
        found = Some(Found { bucket, count, rank, is_reached });
        if is_reached {
            break;
        }
    }
    found
}

/// The zero bucket as far as there can be observations: it ends at zero on a side that has no buckets while the other one
/// has some.
pub(crate) fn zero_bucket(histogram: &FloatHistogram) -> Bucket {
    let mut bucket = histogram.zero_bucket();
    match (histogram.negative.is_empty(), histogram.positive.is_empty()) {
        (true, false) => bucket.lower = 0.0,
        (false, true) => bucket.upper = 0.0,
        _ => {}
    }
    bucket
}

/// The share of an exponential bucket that lies below `value`.
pub(crate) fn log_share(bucket: &Bucket, value: f64) -> f64 {
    let (lower, upper) = (bucket.lower.abs().log2(), bucket.upper.abs().log2());
    let value_log = value.abs().log2();
    if value > 0.0 {
        (value_log - lower) / (upper - lower)
    } else {
        1.0 - (value_log - upper) / (lower - upper)
    }
}

/// The share of observations between `lower` and `upper`. NaN ones are in no range.
pub(crate) fn fraction(lower: f64, upper: f64, histogram: &FloatHistogram, notes: &mut Notes) -> f64 {
    if histogram.count == 0.0 || lower.is_nan() || upper.is_nan() {
        return f64::NAN;
    }
    let mut count = histogram.count;
    if histogram.sum.is_nan() {
        count = histogram.buckets().map(|bucket| bucket.count).sum();
        if count < histogram.count {
            let outcome = "which are excluded from all fractions";
            notes.add(Note::NanObservations("histogram_fraction", outcome));
        }
    }
    if lower >= upper {
        return 0.0;
    }
    (rank(upper, histogram).min(count) - rank(lower, histogram).min(count)) / histogram.count
}

/// How many observations lie below `value`; infinity when all do.
fn rank(value: f64, histogram: &FloatHistogram) -> f64 {
    let has_custom_buckets = histogram.has_custom_buckets();
    let mut below = 0.0;
    for mut bucket in histogram.buckets() {
        let mut is_linear = has_custom_buckets;
        if has_custom_buckets {
            if bucket.lower == f64::NEG_INFINITY && bucket.upper > 0.0 {
                bucket.lower = 0.0;
            }
        } else if bucket.lower <= 0.0 && bucket.upper >= 0.0 {
            bucket = zero_bucket(histogram);
            is_linear = true;
        }
        if bucket.lower >= value {
            return below;
        }
        if bucket.upper > value {
            return match (bucket.lower, bucket.upper) {
                // Nothing is known about where in an open bucket the observations are.
                (f64::NEG_INFINITY, _) => bucket.count,
                (_, f64::INFINITY) => below,
                _ if is_linear => {
                    below + bucket.count * (value - bucket.lower) / (bucket.upper - bucket.lower)
                }
                _ => below + bucket.count * log_share(&bucket, value),
            };
        }
        below += bucket.count;
    }
    f64::INFINITY
}

/// The estimated population variance: every observation is taken to be in the middle of its bucket.
pub(crate) fn variance(histogram: &FloatHistogram) -> f64 {
    let mean = histogram.sum / histogram.count;
    let mut squares = Sum::default();
    for bucket in histogram.buckets().filter(|bucket| bucket.count != 0.0) {
        let value = if histogram.has_custom_buckets() {
            (bucket.upper + bucket.lower) / 2.0
        } else if bucket.lower <= 0.0 && bucket.upper >= 0.0 {
            0.0
        } else {
            (bucket.upper * bucket.lower).sqrt().copysign(bucket.upper)
        };
        let distance = value - mean;
        squares.add(bucket.count * distance * distance);
    }
    (squares.sum + squares.compensation) / histogram.count
}
