//! Operators on two numbers, and between a vector and a scalar.

use crate::ast::BinaryOp;
use crate::series::{ABSENT, Series, is_absent};

/// `left op right` for arithmetic operators; comparisons give 1 or 0.
pub(crate) fn arithmetic(op: BinaryOp, left: f64, right: f64) -> f64 {
    match op {
        BinaryOp::Add => left + right,
        BinaryOp::Sub => left - right,
        BinaryOp::Mul => left * right,
        BinaryOp::Div => left / right,
        BinaryOp::Mod => left % right,
        BinaryOp::Pow => power(left, right),
        BinaryOp::Atan2 => left.atan2(right),
        _ => f64::from(u8::from(compares(op, left, right))),
    }
}

/// Go's `math.Pow`, which is C's.
fn power(base: f64, exponent: f64) -> f64 {
    base.powf(exponent)
}

/// Whether a comparison holds.
pub(crate) fn compares(op: BinaryOp, left: f64, right: f64) -> bool {
    match op {
        BinaryOp::Equal => left == right,
        BinaryOp::NotEqual => left != right,
        BinaryOp::Less => left < right,
        BinaryOp::LessOrEqual => left <= right,
        BinaryOp::Greater => left > right,
        BinaryOp::GreaterOrEqual => left >= right,
        _ => false,
    }
}

/// The result of two elements: [`ABSENT`] where a comparison filters. A filter gives the left value.
pub(crate) fn elements(op: BinaryOp, return_bool: bool, left: f64, right: f64) -> f64 {
    if op.is_comparison() && !return_bool {
        return if compares(op, left, right) { left } else { ABSENT };
    }
    if is_histogram_only(op) {
        return ABSENT;
    }
    arithmetic(op, left, right)
}

/// `</` and `>/` trim histograms; floats have nothing to trim.
pub(crate) fn is_histogram_only(op: BinaryOp) -> bool {
    matches!(op, BinaryOp::TrimLower | BinaryOp::TrimUpper)
}

/// Two scalars, step by step. Comparisons between scalars always have `bool`.
pub(crate) fn scalars(op: BinaryOp, mut left: Vec<f64>, right: &[f64]) -> Vec<f64> {
    for (left, right) in left.iter_mut().zip(right) {
        *left = arithmetic(op, *left, *right);
    }
    left
}

/// A vector's series and a scalar, step by step. `vector_is_left` tells on which side the vector stands; a filter
/// keeps the vector's value in both cases.
pub(crate) fn with_scalar(
    op: BinaryOp,
    return_bool: bool,
    series: &mut Series,
    scalar: &[f64],
    vector_is_left: bool,
) {
    for (value, scalar) in series.values.iter_mut().zip(scalar) {
        if is_absent(*value) {
            continue;
        }
        *value = if vector_is_left {
            elements(op, return_bool, *value, *scalar)
        } else if op.is_comparison() && !return_bool {
            if compares(op, *scalar, *value) { *value } else { ABSENT }
        } else {
            elements(op, return_bool, *scalar, *value)
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modulo_has_the_sign_of_the_left_side() {
        assert_eq!(arithmetic(BinaryOp::Mod, -5.0, 3.0), -2.0);
        assert!(arithmetic(BinaryOp::Mod, 1.0, 0.0).is_nan());
    }

    #[test]
    fn arithmetic_never_makes_the_absent_marker() {
        for (left, right) in [(0.0, 0.0), (f64::INFINITY, f64::NEG_INFINITY), (f64::NAN, 1.0)] {
            for op in
                [BinaryOp::Add, BinaryOp::Sub, BinaryOp::Mul, BinaryOp::Div, BinaryOp::Mod, BinaryOp::Pow]
            {
                assert!(!is_absent(arithmetic(op, left, right)), "{left} {} {right}", op.as_str());
            }
        }
    }
}
