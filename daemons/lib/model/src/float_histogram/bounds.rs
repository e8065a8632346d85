//! Where buckets begin and end.

use std::sync::LazyLock;

use super::{FloatHistogram, IndexedCount};
use crate::histogram::MAX_EXPONENTIAL_SCHEMA;

/// One bucket with its boundaries.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bucket {
    /// Lower boundary.
    pub lower: f64,
    /// Upper boundary.
    pub upper: f64,
    /// Whether an observation equal to `lower` is in the bucket.
    pub includes_lower: bool,
    /// Whether an observation equal to `upper` is in the bucket.
    pub includes_upper: bool,
    /// Observations.
    pub count: f64,
}

/// For each schema from 1 on: the boundaries in `[0.5, 1)`. All others are these times a power of two.
static FRACTIONS: LazyLock<Vec<Vec<f64>>> = LazyLock::new(|| {
    let mut fractions: Vec<Vec<f64>> = vec![vec![0.5]];
    for schema in 1..=MAX_EXPONENTIAL_SCHEMA {
        let factor = exp2(0.5f64.powi(i32::from(schema)));
        let coarser = fractions.last().expect("starts with schema 0").clone();
        let mut finer: Vec<f64> = Vec::with_capacity(coarser.len() * 2);
        for bound in coarser {
            finer.push(bound);
            finer.push(bound * factor);
        }
        fractions.push(finer);
    }
    fractions
});

/// `2^x` for `0 <= x <= 1` in the steps in which Go's library computes it (FreeBSD's `e_exp.c`), so that boundaries are
/// printed with the peer's last digit.
fn exp2(x: f64) -> f64 {
    const LN2_HIGH: f64 = 6.931_471_803_691_238e-01;
    const LN2_LOW: f64 = 1.908_214_929_270_587_7e-10;
    const P: [f64; 5] = [
        1.666_666_666_666_666_6e-01,
        -2.777_777_777_701_559_3e-03,
        6.613_756_321_437_934e-05,
        -1.653_390_220_546_525_2e-06,
        4.138_136_797_057_238_5e-08,
    ];
    if x == 0.0 {
        return 1.0;
    }
    let whole = (x + 0.5).trunc();
    let rest = x - whole;
    let (high, low) = (rest * LN2_HIGH, -rest * LN2_LOW);
    let r = high - low;
    let t = r * r;
    let c = r - t * (P[0] + t * (P[1] + t * (P[2] + t * (P[3] + t * P[4]))));
    let y = 1.0 - ((low - (r * c) / (2.0 - c)) - high);
    y * 2f64.powf(whole)
}

/// `fraction * 2^exponent`, without leaving the range of floats on the way.
fn scale(fraction: f64, exponent: i64) -> f64 {
    let exponent = exponent.clamp(-2_200, 2_200);
    let half = exponent / 2;
    let power = |exponent: i64| {
        // Both halves are within -1100..=1100; powers below the smallest normal number are exact as well.
        2f64.powi(i32::try_from(exponent).unwrap_or(0))
    };
    fraction * power(half) * power(exponent - half)
}

/// Where bucket `index` of an exponential schema ends, above zero.
pub(super) fn exponential(index: i32, schema: i8) -> f64 {
    let index = i64::from(index);
    if schema <= 0 {
        let exponent = index << schema.unsigned_abs().min(8);
        // Otherwise the largest float would be in no bucket that ends at a number.
        return if exponent == 1024 { f64::MAX } else { scale(1.0, exponent) };
    }
    let bits = u32::from(schema.unsigned_abs().min(8));
    let fractions = &FRACTIONS[bits as usize];
    let at = usize::try_from(index.rem_euclid(1 << bits)).unwrap_or(0);
    let (fraction, exponent) = (fractions[at], (index >> bits) + 1);
    if fraction == 0.5 && exponent == 1025 { f64::MAX } else { scale(fraction, exponent) }
}

impl FloatHistogram {
    /// The buckets above zero, ascending; with custom buckets all there are.
    pub fn positive_buckets(&self) -> impl DoubleEndedIterator<Item = Bucket> + '_ {
        self.positive.iter().map(|bucket| self.positive_bucket(bucket))
    }

    /// The buckets below zero, ascending, so that the one farthest from zero comes first.
    pub fn negative_buckets(&self) -> impl DoubleEndedIterator<Item = Bucket> + '_ {
        self.negative.iter().rev().map(|bucket| Bucket {
            lower: -exponential(bucket.index, self.schema),
            upper: -exponential(bucket.index.saturating_sub(1), self.schema),
            includes_lower: true,
            includes_upper: false,
            count: bucket.count,
        })
    }

    /// The zero bucket, which may be empty.
    pub fn zero_bucket(&self) -> Bucket {
        Bucket {
            lower: -self.zero_threshold,
            upper: self.zero_threshold,
            includes_lower: true,
            includes_upper: true,
            count: self.zero_count,
        }
    }

    /// All buckets, ascending; the zero bucket only when it is populated.
    pub fn buckets(&self) -> impl DoubleEndedIterator<Item = Bucket> + '_ {
        let zero = (self.zero_count > 0.0).then(|| self.zero_bucket());
        self.negative_buckets().chain(zero).chain(self.positive_buckets())
    }

    fn positive_bucket(&self, bucket: &IndexedCount) -> Bucket {
        let (lower, upper) = if self.has_custom_buckets() {
            let bound = |at: i32| usize::try_from(at).ok().map(|at| self.custom_bounds.get(at).copied());
            (
                bound(bucket.index.saturating_sub(1))
                    .map_or(f64::NEG_INFINITY, |known| known.unwrap_or(f64::INFINITY)),
                bound(bucket.index).flatten().unwrap_or(f64::INFINITY),
            )
        } else {
            (exponential(bucket.index.saturating_sub(1), self.schema), exponential(bucket.index, self.schema))
        };
        Bucket { lower, upper, includes_lower: false, includes_upper: true, count: bucket.count }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::custom;
    use super::*;

    #[test]
    fn exponential_bounds_with_the_peers_digits() {
        for (index, schema, want) in [
            (0, 0, 1.0),
            (3, 0, 8.0),
            (-2, -1, 0.0625),
            (1, 1, 2.0 * 0.707_106_781_186_547_5),
            (-1, 1, 0.707_106_781_186_547_5),
            (-3, 2, 0.594_603_557_501_360_5),
            (-1, 2, 0.840_896_415_253_714_4),
            (-7, 3, 0.545_253_866_332_628_8),
            (256, 8, 2.0),
        ] {
            assert_eq!(exponential(index, schema), want, "{index} of {schema}");
        }
        assert_eq!(exponential(1024, 0), f64::MAX);
        assert_eq!(exponential(1024 << 8, 8), f64::MAX);
        assert_eq!(exponential(1025, 0), f64::INFINITY);
        assert_eq!(exponential(-1074, 0), f64::from_bits(1));
        assert_eq!(exponential(i32::MIN, -4), 0.0);
    }

    #[test]
    fn custom_buckets_reach_to_both_infinities() {
        let histogram = custom(&[5.0, 10.0], &[1.0, 2.0, 3.0]);
        let bounds: Vec<(f64, f64)> = histogram.buckets().map(|b| (b.lower, b.upper)).collect();
        assert_eq!(bounds, [(f64::NEG_INFINITY, 5.0), (5.0, 10.0), (10.0, f64::INFINITY)]);
        let one: Vec<_> = custom(&[], &[1.0]).buckets().collect();
        assert_eq!((one[0].lower, one[0].upper), (f64::NEG_INFINITY, f64::INFINITY));
    }
}
