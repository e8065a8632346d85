//! Quantiles of plain numbers.

use std::cmp::Ordering;

/// Ascending, NaN first.
pub(crate) fn nan_first(a: f64, b: f64) -> Ordering {
    a.partial_cmp(&b).unwrap_or_else(|| b.is_nan().cmp(&a.is_nan()))
}

/// The `q`-quantile of values sorted with [`nan_first`]: linear between neighbours, -Inf below 0, +Inf above 1,
/// NaN of nothing.
pub(crate) fn of_sorted(q: f64, sorted: &[f64]) -> f64 {
    if sorted.is_empty() || q.is_nan() {
        return f64::NAN;
    }
    if q < 0.0 {
        return f64::NEG_INFINITY;
    }
    if q > 1.0 {
        return f64::INFINITY;
    }
    #[expect(clippy::cast_precision_loss, reason = "no window holds 2^53 samples")]
    let rank = q * (sorted.len() - 1) as f64;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 <= rank <= len - 1")]
    let lower = rank.floor() as usize;
    let upper = (lower + 1).min(sorted.len() - 1);
    let weight = rank - rank.floor();
    sorted[lower] * (1.0 - weight) + sorted[upper] * weight
}

/// [`of_sorted`] for values in any order, which are sorted in place.
pub(crate) fn of(q: f64, values: &mut [f64]) -> f64 {
    values.sort_unstable_by(|a, b| nan_first(*a, *b));
    of_sorted(q, values)
}

/// The warnings for each `q` outside of 0 to 1, one for each run of equal ones.
pub(crate) fn out_of_range_warnings(q: &[f64]) -> impl Iterator<Item = String> + '_ {
    let runs = q.chunk_by(|a, b| a.to_bits() == b.to_bits());
    runs.filter_map(|run| out_of_range(*run.first()?))
}

fn out_of_range(q: f64) -> Option<String> {
    (q.is_nan() || !(0.0..=1.0).contains(&q)).then(|| {
        format!("quantile value should be between 0 and 1, got {}", cairn_model::number::general_float(q))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interpolates_between_neighbours() {
        assert_eq!(of(0.75, &mut [4.0, 0.0, 1.0]), 2.5);
        assert_eq!(of(0.0, &mut [4.0, f64::NAN]).to_bits(), f64::NAN.to_bits());
        assert_eq!(of(2.0, &mut [1.0]), f64::INFINITY);
        assert!(of(0.5, &mut []).is_nan());
    }
}
