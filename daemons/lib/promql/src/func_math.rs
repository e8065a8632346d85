//! Functions of one number, element by element.

/// The function of one value of that name.
pub(crate) fn of_one(name: &str) -> Option<fn(f64) -> f64> {
    Some(match name {
        "abs" => f64::abs,
        "acos" => f64::acos,
        "acosh" => f64::acosh,
        "asin" => f64::asin,
        "asinh" => f64::asinh,
        "atan" => f64::atan,
        "atanh" => f64::atanh,
        "ceil" => f64::ceil,
        "cos" => f64::cos,
        "cosh" => f64::cosh,
        "deg" => |value| value * 180.0 / std::f64::consts::PI,
        "exp" => f64::exp,
        "floor" => f64::floor,
        "ln" => f64::ln,
        "log10" => f64::log10,
        "log2" => f64::log2,
        "rad" => |value| value * std::f64::consts::PI / 180.0,
        "sgn" => |value| {
            if value < 0.0 {
                -1.0
            } else if value > 0.0 {
                1.0
            } else {
                value
            }
        },
        "sin" => f64::sin,
        "sinh" => f64::sinh,
        "sqrt" => f64::sqrt,
        "tan" => f64::tan,
        "tanh" => f64::tanh,
        _ => return None,
    })
}

/// The larger one; NaN if either is.
pub(crate) fn nan_max(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() { f64::NAN } else { a.max(b) }
}

/// The smaller one; NaN if either is.
pub(crate) fn nan_min(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() { f64::NAN } else { a.min(b) }
}

/// `value` moved into `min..=max`; nothing when the bounds cross.
pub(crate) fn clamp(value: f64, min: f64, max: f64) -> f64 {
    if max < min { crate::series::ABSENT } else { nan_max(min, nan_min(max, value)) }
}

/// The multiple of `nearest` next to `value`, ties upward.
pub(crate) fn round(value: f64, nearest: f64) -> f64 {
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
            assert_eq!(round(value, nearest), want, "{value} to {nearest}");
        }
    }

    #[test]
    fn sign_keeps_zero_and_nan() {
        let sgn = of_one("sgn").unwrap();
        assert_eq!(sgn(-0.0).to_bits(), (-0.0f64).to_bits());
        assert!(sgn(f64::NAN).is_nan());
        assert_eq!((sgn(f64::NEG_INFINITY), sgn(50.0)), (-1.0, 1.0));
    }
}
