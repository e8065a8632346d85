//! Formulas of one number, element by element. Those that `f64` has are named in the table itself.

/// Radians as degrees.
pub(crate) fn deg(value: f64) -> f64 {
    value * 180.0 / std::f64::consts::PI
}

/// Degrees as radians.
pub(crate) fn rad(value: f64) -> f64 {
    value * std::f64::consts::PI / 180.0
}

/// -1, 1, or the value itself where it has no sign: zeros and NaN.
pub(crate) fn sgn(value: f64) -> f64 {
    if value < 0.0 {
        -1.0
    } else if value > 0.0 {
        1.0
    } else {
        value
    }
}

/// The larger one; NaN if either is.
pub(crate) fn nan_max(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() { f64::NAN } else { a.max(b) }
}

/// The smaller one; NaN if either is.
pub(crate) fn nan_min(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() { f64::NAN } else { a.min(b) }
}

/// `clamp(v, min, max)`: nothing when the bounds cross.
pub(crate) fn clamp(value: f64, params: &[f64]) -> f64 {
    let (min, max) = (params[0], params[1]);
    if max < min { crate::series::ABSENT } else { nan_max(min, nan_min(max, value)) }
}

/// `clamp_min(v, min)`
pub(crate) fn clamp_min(value: f64, params: &[f64]) -> f64 {
    nan_max(value, params[0])
}

/// `clamp_max(v, max)`
pub(crate) fn clamp_max(value: f64, params: &[f64]) -> f64 {
    nan_min(value, params[0])
}

/// `round(v, nearest = 1)`: the multiple next to the value, ties upward.
pub(crate) fn round(value: f64, params: &[f64]) -> f64 {
    let nearest = params.first().copied().unwrap_or(1.0);
    // The inverse is exact for 0.1, 0.01 and so on, where `nearest` itself is not.
    let inverse = 1.0 / nearest;
    (value * inverse + 0.5).floor() / inverse
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_ties_upward_and_to_fractions() {
        for (value, nearest, want) in
            [(2.5, 1.0, 3.0), (-2.5, 1.0, -2.0), (0.15, 0.1, 0.2), (123.4, 10.0, 120.0), (-0.5, 1.0, 0.0)]
        {
            assert_eq!(round(value, &[nearest]), want, "{value} to {nearest}");
        }
        assert_eq!(round(2.4, &[]), 2.0, "to whole numbers by default");
    }

    #[test]
    fn sign_keeps_zero_and_nan() {
        assert_eq!(sgn(-0.0).to_bits(), (-0.0f64).to_bits());
        assert!(sgn(f64::NAN).is_nan());
        assert_eq!((sgn(f64::NEG_INFINITY), sgn(50.0)), (-1.0, 1.0));
    }
}
