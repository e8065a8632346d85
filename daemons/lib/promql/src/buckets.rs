//! Quantile and fraction of one classic histogram at one step.

/// Differences that rounding explains are flattened without a word.
const SMALL_DELTA: f64 = 1e-12;

/// Observations up to and including a bound.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Bucket {
    pub(crate) bound: f64,
    pub(crate) count: f64,
}

/// Counts fell from one bucket to the next by more than rounding explains, and were lifted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Forced {
    /// Lowest bound that was lifted.
    pub(crate) lowest: f64,
    /// Highest bound that was lifted.
    pub(crate) highest: f64,
    /// Largest fall.
    pub(crate) largest_drop: f64,
}

impl Forced {
    pub(crate) fn widened(self, other: Self) -> Self {
        Self {
            lowest: self.lowest.min(other.lowest),
            highest: self.highest.max(other.highest),
            largest_drop: self.largest_drop.max(other.largest_drop),
        }
    }
}

/// The `q`-quantile, interpolated linearly inside its bucket. `buckets` ascend by bound and are not empty; what they are left
/// like says nothing.
pub(crate) fn quantile(q: f64, buckets: &mut Vec<Bucket>) -> (f64, Option<Forced>) {
    if q.is_nan() {
        return (f64::NAN, None);
    }
    if q < 0.0 {
        return (f64::NEG_INFINITY, None);
    }
    if q > 1.0 {
        return (f64::INFINITY, None);
    }
    if buckets.last().is_none_or(|last| last.bound != f64::INFINITY) {
        return (f64::NAN, None);
    }
    join_equal_bounds(buckets);
    let forced = make_monotonic(buckets);
    if buckets.len() < 2 {
        return (f64::NAN, forced);
    }
    let last = buckets.len() - 1;
    let total = buckets[last].count;
    if total == 0.0 {
        return (f64::NAN, forced);
    }
    let rank = q * total;
    // A rank that is no number lies behind all of them.
    let is_reached = |bucket: &Bucket| bucket.count >= rank;
    let at = buckets[..last].partition_point(|bucket| !is_reached(bucket));
    if at == last {
        return (buckets[last - 1].bound, forced);
    }
    let end = buckets[at].bound;
    if at == 0 && end <= 0.0 {
        return (end, forced);
    }
    let (start, below) = match at.checked_sub(1) {
        Some(before) => (buckets[before].bound, buckets[before].count),
        None => (0.0, 0.0),
    };
    let inside = buckets[at].count - below;
    (start + (end - start) * ((rank - below) / inside), forced)
}

/// The share of observations between `lower` and `upper`. `buckets` ascend by bound and are not empty; what they are left like
/// says nothing.
pub(crate) fn fraction(lower: f64, upper: f64, buckets: &mut Vec<Bucket>) -> f64 {
    if buckets.last().is_none_or(|last| last.bound != f64::INFINITY) {
        return f64::NAN;
    }
    join_equal_bounds(buckets);
    make_monotonic(buckets);
    let total = buckets.last().map_or(0.0, |last| last.count);
    if total == 0.0 || lower.is_nan() || upper.is_nan() {
        return f64::NAN;
    }
    if lower >= upper {
        return 0.0;
    }
    (rank_of(upper, buckets, total) - rank_of(lower, buckets, total)) / total
}

/// How many observations lie below `value`.
fn rank_of(value: f64, buckets: &[Bucket], total: f64) -> f64 {
    let mut below = 0.0;
    let mut start = if buckets[0].bound > 0.0 { 0.0 } else { f64::NEG_INFINITY };
    for bucket in buckets {
        if value <= start {
            return below;
        }
        if value < bucket.bound {
            // Nothing is known about where in an open bucket the observations lie: they are taken to be at its end.
            if start.is_infinite() {
                return bucket.count;
            }
            if bucket.bound.is_infinite() {
                return below;
            }
            return below + (bucket.count - below) * (value - start) / (bucket.bound - start);
        }
        below = bucket.count;
        start = bucket.bound;
    }
    total
}

fn join_equal_bounds(buckets: &mut Vec<Bucket>) {
    buckets.dedup_by(|bucket, before| {
        let is_equal = before.bound == bucket.bound;
        if is_equal {
            before.count += bucket.count;
        }
        is_equal
    });
}

/// Lifts counts that fall. Says so unless rounding explains it.
fn make_monotonic(buckets: &mut [Bucket]) -> Option<Forced> {
    let mut forced: Option<Forced> = None;
    let mut highest = buckets.first()?.count;
    for bucket in &mut buckets[1..] {
        if bucket.count == highest {
            continue;
        }
        if is_almost_equal(highest, bucket.count) {
            bucket.count = highest;
        } else if bucket.count < highest {
            let this =
                Forced { lowest: bucket.bound, highest: bucket.bound, largest_drop: highest - bucket.count };
            forced = Some(forced.map_or(this, |so_far| so_far.widened(this)));
            bucket.count = highest;
        } else {
            highest = bucket.count;
        }
    }
    forced
}

fn is_almost_equal(a: f64, b: f64) -> bool {
    if a == b || (a.is_nan() && b.is_nan()) {
        return true;
    }
    let sum = a.abs() + b.abs();
    let difference = (a - b).abs();
    if a == 0.0 || b == 0.0 || sum < f64::MIN_POSITIVE {
        return difference < SMALL_DELTA * f64::MIN_POSITIVE;
    }
    difference / sum.min(f64::MAX) < SMALL_DELTA
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pairs: &[(f64, f64)]) -> Vec<Bucket> {
        pairs.iter().map(|(bound, count)| Bucket { bound: *bound, count: *count }).collect()
    }

    #[test]
    fn quantile_edges() {
        let inf = f64::INFINITY;
        let usual = of(&[(1.0, 2.0), (2.0, 4.0), (inf, 5.0)]);
        assert_eq!(quantile(0.4, &mut usual.clone()).0, 1.0);
        assert_eq!(quantile(0.6, &mut usual.clone()).0, 1.5);
        assert_eq!(quantile(0.99, &mut usual.clone()).0, 2.0);
        assert_eq!(quantile(0.0, &mut usual.clone()).0, 0.0);
        assert!(quantile(0.5, &mut of(&[(1.0, 2.0), (2.0, 4.0)])).0.is_nan());
        assert!(quantile(0.5, &mut of(&[(inf, 4.0)])).0.is_nan());
        assert!(quantile(0.5, &mut of(&[(1.0, 0.0), (inf, 0.0)])).0.is_nan());
        assert_eq!(quantile(0.1, &mut of(&[(-1.0, 2.0), (inf, 4.0)])).0, -1.0);
        let (value, forced) = quantile(0.5, &mut of(&[(1.0, 4.0), (2.0, 3.0), (inf, 4.0)]));
        assert_eq!(value, 0.5);
        assert_eq!(forced, Some(Forced { lowest: 2.0, highest: 2.0, largest_drop: 1.0 }));
    }

    #[test]
    fn fraction_interpolates() {
        let buckets = of(&[(1.0, 2.0), (2.0, 4.0), (f64::INFINITY, 4.0)]);
        assert_eq!(fraction(0.5, 1.5, &mut buckets.clone()), 0.5);
        assert_eq!(fraction(1.0, 1.0, &mut buckets.clone()), 0.0);
        assert_eq!(fraction(f64::NEG_INFINITY, f64::INFINITY, &mut buckets.clone()), 1.0);
        let negative = of(&[(-1.0, 2.0), (1.0, 4.0), (f64::INFINITY, 4.0)]);
        assert_eq!(fraction(f64::NEG_INFINITY, -5.0, &mut negative.clone()), 0.5);
        assert_eq!(fraction(-5.0, 0.0, &mut negative.clone()), 0.25);
    }
}
