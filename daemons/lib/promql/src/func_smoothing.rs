//! `double_exponential_smoothing` (Holt's linear trend).

use crate::series::ABSENT;

/// The smoothed value at the window's end; nothing for fewer than two values.
pub(crate) fn smoothed(values: &[f64], smoothing: f64, trend_factor: f64) -> f64 {
    let [first, second, ..] = values else { return ABSENT };
    let mut before = 0.0;
    let mut level = *first;
    let mut trend = second - first;
    for (index, value) in values.iter().enumerate().skip(1) {
        if index > 1 {
            trend = trend_factor * (level - before) + (1.0 - trend_factor) * trend;
        }
        let next = smoothing * value + (1.0 - smoothing) * (level + trend);
        before = level;
        level = next;
    }
    level
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_a_line_exactly() {
        let got = smoothed(&[10.0, 20.0, 30.0, 40.0], 0.01, 0.1);
        assert!((got - 40.0).abs() < 1e-9, "{got}");
    }
}
