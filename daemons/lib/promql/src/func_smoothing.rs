//! `double_exponential_smoothing` (Holt's linear trend).

use crate::answer::EvalError;
use crate::ast::Call;
use crate::evaluator::Evaluator;
use crate::func_range::{Fill, RangeFunction};
use crate::series::ABSENT;

/// `double_exponential_smoothing(r, smoothing factor, trend factor)`
pub(crate) const DOUBLE_EXPONENTIAL: RangeFunction = RangeFunction {
    check_params: Some(check_factors),
    ..RangeFunction::plain(Fill::Values(|call, window, values| {
        smoothed(values, call.params[0][window.index], call.params[1][window.index])
    }))
};

/// Both factors lie between 0 and 1.
fn check_factors(_: &mut Evaluator<'_>, _: &Call, params: &[Vec<f64>]) -> Result<(), EvalError> {
    for (values, (what, short)) in params.iter().zip([("smoothing", "sf"), ("trend", "tf")]) {
        if let Some(wrong) = values.iter().find(|value| !(**value > 0.0 && **value < 1.0)) {
            return Err(EvalError::Execution(format!(
                "invalid {what} factor. Expected: 0 < {short} < 1, got: {wrong:.6}"
            )));
        }
    }
    Ok(())
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
