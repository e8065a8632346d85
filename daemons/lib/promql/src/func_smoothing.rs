//! `double_exponential_smoothing` (Holt's linear trend).

use cairn_model::number::plain_float;

use crate::answer::EvalError;
use crate::func_range::{Fill, RangeFunction};
use crate::series::ABSENT;

/// `double_exponential_smoothing(r, smoothing factor, trend factor)`
pub(crate) const DOUBLE_EXPONENTIAL: RangeFunction =
    RangeFunction::plain(Fill::Watched(|call, column, windows, out, tick| {
        for window in windows.iter().filter(|window| window.len() > 0) {
            let factors = [call.params[0][window.index], call.params[1][window.index]];
            check_factors(factors)?;
            tick(window.len())?;
            out[window.index] = smoothed(&column.values[window.lo..window.hi], factors[0], factors[1]);
        }
        Ok(())
    }));

/// Both factors lie between 0 and 1, or are NaN. Asked only where there are samples, as in Prometheus.
fn check_factors(factors: [f64; 2]) -> Result<(), EvalError> {
    for (factor, (what, short)) in factors.into_iter().zip([("smoothing", "sf"), ("trend", "tf")]) {
        if factor <= 0.0 || factor >= 1.0 {
            return Err(EvalError::Execution(format!(
                "invalid {what} factor. Expected: 0 < {short} < 1, got: {}",
                fixed(factor)
            )));
        }
    }
    Ok(())
}

/// As Go's `%f` writes it.
fn fixed(value: f64) -> String {
    if value.is_infinite() { plain_float(value) } else { format!("{value:.6}") }
}

/// The smoothed value at the window's end; nothing for fewer than two values.
fn smoothed(values: &[f64], smoothing: f64, trend_factor: f64) -> f64 {
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
