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

/// The larger one as Go's `math.Max` has it: positive infinity wins over NaN, NaN over everything else, 0 over -0.
pub(crate) fn nan_max(a: f64, b: f64) -> f64 {
    if a == f64::INFINITY || b == f64::INFINITY {
        f64::INFINITY
    } else if a.is_nan() || b.is_nan() {
        f64::NAN
    } else if a == 0.0 && b == 0.0 {
        if a.is_sign_negative() { b } else { a }
    } else {
        a.max(b)
    }
}

/// The smaller one as Go's `math.Min` has it: negative infinity wins over NaN, NaN over everything else, -0 over 0.
pub(crate) fn nan_min(a: f64, b: f64) -> f64 {
    -nan_max(-a, -b)
}

/// `clamp(v, min, max)`: nothing when the bounds cross.
pub(crate) fn clamp(value: f64, params: &[f64]) -> f64 {
    let (min, max) = (params[0], params[1]);
    if max < min { crate::series::ABSENT } else { nan_max(min, nan_min(max, value)) }
}

/// `clamp_min(v, min)`
pub(crate) fn clamp_min(value: f64, params: &[f64]) -> f64 {
    clamp(value, &[params[0], f64::INFINITY])
}

/// `clamp_max(v, max)`
pub(crate) fn clamp_max(value: f64, params: &[f64]) -> f64 {
    clamp(value, &[f64::NEG_INFINITY, params[0]])
}

/// From here on one more or less under a root is lost to rounding, while squares and doubles come near overflowing.
const LARGE: f64 = (1 << 28) as f64;

/// `acosh(v)`, exact near 1 and up to the largest number, where the standard library's is neither.
pub(crate) fn acosh(value: f64) -> f64 {
    if value < 1.0 {
        return f64::NAN;
    }
    if value >= LARGE {
        return value.ln() + std::f64::consts::LN_2;
    }
    if value > 2.0 {
        return (2.0 * value - 1.0 / (value + (value * value - 1.0).sqrt())).ln();
    }
    let above_one = value - 1.0;
    (above_one + (2.0 * above_one + above_one * above_one).sqrt()).ln_1p()
}

/// `asinh(v)`, exact up to the largest number.
pub(crate) fn asinh(value: f64) -> f64 {
    if value.abs() > LARGE {
        return (value.abs().ln() + std::f64::consts::LN_2).copysign(value);
    }
    value.asinh()
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
    fn area_functions_hold_at_both_ends() {
        for (value, want) in [(1.5e308, 710.294_820_930_834_1), (1e200, 461.210_165_779_369_1), (1.0, 0.0)] {
            assert!((acosh(value) - want).abs() < 1e-12, "{value}: {}", acosh(value));
        }
        for (value, want) in [(1.0 + 1e-12, 1.414_276_423_180_542_4e-6), (1.5, 0.962_423_650_119_206_9)] {
            assert!((acosh(value) / want - 1.0).abs() < 1e-12, "{value}: {}", acosh(value));
        }
        assert!([0.5, -1e17, f64::NAN, f64::NEG_INFINITY].into_iter().all(|value| acosh(value).is_nan()));
        assert_eq!(acosh(f64::INFINITY), f64::INFINITY);
        assert_eq!(asinh(f64::NEG_INFINITY), f64::NEG_INFINITY);
        assert!((asinh(-1.5e308) + 710.294_820_930_834_1).abs() < 1e-12);
        assert_eq!(asinh(-0.0).to_bits(), (-0.0f64).to_bits());
    }

    #[test]
    fn infinity_wins_over_nan_as_in_go() {
        assert_eq!(nan_max(f64::NAN, f64::INFINITY), f64::INFINITY);
        assert_eq!(nan_min(f64::NEG_INFINITY, f64::NAN), f64::NEG_INFINITY);
        assert!(nan_max(f64::NAN, 1.0).is_nan() && nan_min(1.0, f64::NAN).is_nan());
        assert_eq!(nan_max(-0.0, 0.0).to_bits(), 0.0f64.to_bits());
        assert_eq!(nan_min(0.0, -0.0).to_bits(), (-0.0f64).to_bits());
    }

    #[test]
    fn sign_keeps_zero_and_nan() {
        assert_eq!(sgn(-0.0).to_bits(), (-0.0f64).to_bits());
        assert!(sgn(f64::NAN).is_nan());
        assert_eq!((sgn(f64::NEG_INFINITY), sgn(50.0)), (-1.0, 1.0));
    }
}
