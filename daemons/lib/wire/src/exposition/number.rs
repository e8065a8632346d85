//! Values: what Go's float syntax means, and a short way for what pages are full of.

use cairn_model::number::parse_float;

use super::error::quote_bytes;

/// Bits of the one NaN that is stored for every NaN that a target exposes; others have meanings of their own
/// (the staleness marker is one).
pub(super) const NORMAL_NAN: u64 = 0x7ff8_0000_0000_0001;

/// Powers of ten that a float holds exactly.
const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18,
    1e19, 1e20, 1e21, 1e22,
];

/// Largest integer below which a float holds every integer.
const MAX_EXACT: u64 = 1 << 53;

/// Digits that an accumulator of 64 bits takes without overflow.
const MAX_DIGITS: usize = 19;

/// Reads a plain decimal (`12`, `-0.5`, `1.25e+06`) at the start of `text`, and answers it with its length. `None`: it is
/// something else, or too long to be exact this way. Mantissa and power of ten are both exact, so the one multiplication or
/// division rounds correctly (Clinger's fast path).
pub(super) fn short_decimal(text: &[u8]) -> Option<(f64, usize)> {
    let is_negative = text.first() == Some(&b'-');
    let mut at = usize::from(is_negative);
    let first = at;
    let mut mantissa = 0u64;
    while let Some(digit) = digit_at(text, at) {
        mantissa = mantissa.wrapping_mul(10).wrapping_add(digit);
        at += 1;
    }
    let mut n_digits = at - first;
    let mut exponent = 0i32;
    if text.get(at) == Some(&b'.') {
        at += 1;
        let fraction = at;
        while let Some(digit) = digit_at(text, at) {
            mantissa = mantissa.wrapping_mul(10).wrapping_add(digit);
            at += 1;
        }
        let n = at - fraction;
        n_digits += n;
        exponent = -i32::try_from(n).ok()?;
    }
    if n_digits == 0 || n_digits > MAX_DIGITS || mantissa >= MAX_EXACT {
        return None;
    }
    if matches!(text.get(at), Some(b'e' | b'E')) {
        at += 1;
        let is_minus = text.get(at) == Some(&b'-');
        at += usize::from(is_minus || text.get(at) == Some(&b'+'));
        let start = at;
        let mut power = 0i32;
        while let Some(digit) = digit_at(text, at) {
            if at - start >= 4 {
                return None;
            }
            power = power * 10 + i32::try_from(digit).ok()?;
            at += 1;
        }
        if at == start {
            return None;
        }
        exponent += if is_minus { -power } else { power };
    }
    #[expect(clippy::cast_precision_loss, reason = "below 2^53 nothing is lost")]
    let mantissa = mantissa as f64;
    let power = *POWERS.get(exponent.unsigned_abs() as usize)?;
    let magnitude = if exponent < 0 { mantissa / power } else { mantissa * power };
    Some((if is_negative { -magnitude } else { magnitude }, at))
}

fn digit_at(text: &[u8], at: usize) -> Option<u64> {
    text.get(at).map(|byte| byte.wrapping_sub(b'0')).filter(|digit| *digit <= 9).map(u64::from)
}

/// Reads a whole text as the peer does: Go's syntax without hexadecimal floats and underscores.
///
/// # Errors
/// The peer's words.
pub(super) fn read_float(text: &[u8]) -> Result<f64, String> {
    if let Some((value, end)) = short_decimal(text)
        && end == text.len()
    {
        return Ok(value);
    }
    if text.iter().any(|b| matches!(b, b'p' | b'P' | b'_')) {
        return Err("unsupported character in float".to_owned());
    }
    let syntax = || format!("strconv.ParseFloat: parsing {}: invalid syntax", quote_bytes(text));
    let text_str = std::str::from_utf8(text).map_err(|_| syntax())?;
    match parse_float(text_str) {
        Some(value) => Ok(value),
        // Rust reads an overflow as infinity, and the words for infinity have been read already.
        None if text_str.parse::<f64>().is_ok_and(f64::is_infinite)
            && text.iter().any(u8::is_ascii_digit) =>
        {
            Err(format!("strconv.ParseFloat: parsing {}: value out of range", quote_bytes(text)))
        }
        None => Err(syntax()),
    }
}

/// As [`read_float`], with every NaN the same.
pub(super) fn read_value(text: &[u8]) -> Result<f64, String> {
    read_float(text).map(normal)
}

/// Makes every NaN the ordinary one.
pub(super) fn normal(value: f64) -> f64 {
    if value.is_nan() { f64::from_bits(NORMAL_NAN) } else { value }
}

/// How Prometheus 3 spells the value of `le` and `quantile`: a float that shows that it is one (`1.0`, `0.5`, `1e+06`),
/// `+Inf`, `NaN`.
pub(super) fn label_float(value: f64) -> String {
    let mut text = cairn_model::number::general_float(value);
    if value == 0.0 {
        return "0.0".to_owned();
    }
    if value.is_finite() && !text.contains(['e', '.']) {
        text.push_str(".0");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_in_labels() {
        for (value, want) in [
            (1.0, "1.0"),
            (0.0, "0.0"),
            (-0.0, "0.0"),
            (0.5, "0.5"),
            (1e6, "1e+06"),
            (123_456.0, "123456.0"),
            (1e-5, "1e-05"),
            (f64::INFINITY, "+Inf"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(label_float(value), want);
        }
    }

    proptest::proptest! {
        #[test]
        fn the_short_way_agrees_with_the_long_one(text in "-?[0-9]{0,20}(\\.[0-9]{0,20})?([eE][+-]?[0-9]{1,4})?[ x\n]?") {
            if let Some((value, end)) = short_decimal(text.as_bytes()) {
                let want: f64 = text[..end].parse().unwrap();
                proptest::prop_assert_eq!(value.to_bits(), want.to_bits(), "{}", text);
            }
        }

        #[test]
        fn printed_floats_are_read(value in proptest::num::f64::NORMAL | proptest::num::f64::ZERO) {
            let text = cairn_model::number::general_float(value);
            proptest::prop_assert_eq!(read_float(text.as_bytes()).unwrap().to_bits(), value.to_bits());
        }
    }
}
