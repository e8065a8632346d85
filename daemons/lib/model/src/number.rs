//! Floats as Go prints and parses them; sizes for people.

use std::fmt::{self, Write};

/// Prints as Prometheus's JSON and LogQL's `%v` do: shortest text that reads back the same, plain decimals unless
/// the magnitude is below 1e-6 or at least 1e21, then `1e-09`, `1e+21` (two exponent digits at least).
///
/// # Errors
/// Only those of the writer.
pub fn write_json_float(out: &mut impl Write, value: f64) -> fmt::Result {
    let magnitude = value.abs();
    if magnitude != 0.0 && magnitude.is_finite() && !(1e-6..1e21).contains(&magnitude) {
        return write_exponent(out, value);
    }
    write_plain_float(out, value)
}

/// Prints as Loki's JSON and Go's `strconv.FormatFloat(v, 'f', -1, 64)` do: shortest text, never an exponent;
/// `NaN`, `+Inf`, `-Inf`.
///
/// # Errors
/// Only those of the writer.
pub fn write_plain_float(out: &mut impl Write, value: f64) -> fmt::Result {
    if value.is_nan() {
        out.write_str("NaN")
    } else if value.is_infinite() {
        out.write_str(if value > 0.0 { "+Inf" } else { "-Inf" })
    } else {
        write_finite(out, value)
    }
}

/// Whole numbers up to here are floats exactly.
const MAX_EXACT: f64 = (1u64 << 53) as f64;

/// Answers to queries are millions of numbers: most are whole, nearly all others are printed without an exponent by
/// `zmij`, which takes a fifth of the time of the standard library and gives the same digits.
fn write_finite(out: &mut impl Write, value: f64) -> fmt::Result {
    #[expect(clippy::cast_possible_truncation, reason = "what does not come back is printed otherwise")]
    let whole = value as i64;
    #[expect(clippy::cast_precision_loss, reason = "compared with where it came from")]
    let is_whole = whole as f64 == value && value.abs() < MAX_EXACT;
    if is_whole && (whole != 0 || value.is_sign_positive()) {
        return out.write_str(itoa::Buffer::new().format(whole));
    }
    let mut buffer = zmij::Buffer::new();
    let text = buffer.format_finite(value);
    if text.contains('e') {
        return write_far(out, value);
    }
    out.write_str(text.strip_suffix(".0").unwrap_or(text))
}

/// What `zmij` prints with an exponent.
fn write_far(out: &mut impl Write, value: f64) -> fmt::Result {
    // Rust's Display for floats is the shortest round-trip decimal without exponent.
    match decimals_of_possible_tie(value) {
        None => write!(out, "{value}"),
        Some(decimals) => {
            let shortest = format!("{value}");
            let n_shortest = shortest.split_once('.').map_or(0, |(_, fraction)| fraction.len());
            let is_tie = n_shortest + 1 == decimals;
            out.write_str(&if is_tie { even(shortest, &format!("{value:.decimals$}")) } else { shortest })
        }
    }
}

/// Prints as Go's `%v`, `%g` and `FormatFloat(v, 'g', -1, 64)`: exponent form when the exponent is below -4 or at least 6
/// (Go decides as if for a precision of 6, although it prints every digit): `1e-05`, `100000`, `1.5e+06`.
///
/// # Errors
/// Only those of the writer.
pub fn write_general_float(out: &mut impl Write, value: f64) -> fmt::Result {
    let magnitude = value.abs();
    if magnitude != 0.0 && magnitude.is_finite() && !(1e-4..1e6).contains(&magnitude) {
        return write_exponent(out, value);
    }
    write_plain_float(out, value)
}

/// `1e+21`: Rust writes `1e21`, Go adds the sign and a second digit.
fn write_exponent(out: &mut impl Write, value: f64) -> fmt::Result {
    let text = format!("{value:e}");
    let (mantissa, exponent) = text.split_once('e').expect("`{:e}` always writes an e");
    let mut mantissa = mantissa.to_owned();
    if let (Some(decimals), Ok(exponent)) = (decimals_of_possible_tie(value), exponent.parse::<i32>()) {
        let n_shortest = mantissa.split_once('.').map_or(0, |(_, fraction)| fraction.len());
        let n_exact = i32::try_from(decimals).unwrap_or(0) + exponent;
        if i32::try_from(n_shortest).is_ok_and(|n| n + 1 == n_exact) {
            let exact = format!("{value:.*e}", n_shortest + 1);
            mantissa = even(mantissa, exact.split('e').next().unwrap_or_default());
        }
    }
    let (sign, digits) = exponent.strip_prefix('-').map_or(('+', exponent), |digits| ('-', digits));
    write!(out, "{mantissa}e{sign}{digits:0>2}")
}

/// How many decimals the exact value has, if it has 17 or 18 digits in all: then a text with one digit less may lie
/// just as near below as one above, and the peers choose the one that ends in an even digit. Rust takes the upper one.
fn decimals_of_possible_tie(value: f64) -> Option<usize> {
    /// More decimals make more than 18 digits, since the last of them comes from 5 to that power.
    const MOST: i32 = 25;
    let bits = value.to_bits();
    let exponent = i32::try_from((bits >> 52) & 0x7ff).unwrap_or(0);
    let mantissa = (bits & ((1 << 52) - 1)) | (1 << 52);
    // The value is an odd number divided by two to the power of its decimals.
    let decimals = 1075 - exponent - i32::try_from(mantissa.trailing_zeros()).unwrap_or(0);
    if exponent == 0 || !(1..=MOST).contains(&decimals) {
        return None;
    }
    let digits = value.abs() * 10f64.powi(decimals);
    (1e16..1e18).contains(&digits).then(|| usize::try_from(decimals).unwrap_or(0))
}

/// Of the two texts around a tie, the one with an even last digit. `exact` is the value with the digit 5 behind the lower.
fn even(shortest: String, exact: &str) -> String {
    let lower = exact.strip_suffix('5').unwrap_or(&shortest);
    if lower.bytes().last().is_some_and(|digit| digit % 2 == 0) { lower.to_owned() } else { shortest }
}

/// [`write_json_float`] into a new string.
pub fn json_float(value: f64) -> String {
    let mut out = String::new();
    write_json_float(&mut out, value).expect("writing to a String does not fail");
    out
}

/// [`write_plain_float`] into a new string.
pub fn plain_float(value: f64) -> String {
    let mut out = String::new();
    write_plain_float(&mut out, value).expect("writing to a String does not fail");
    out
}

/// [`write_general_float`] into a new string.
pub fn general_float(value: f64) -> String {
    let mut out = String::new();
    write_general_float(&mut out, value).expect("writing to a String does not fail");
    out
}

/// Parses what Go's `strconv.ParseFloat(text, 64)` accepts: decimals, exponents, `Inf`, `Infinity`, `NaN` in any
/// case with an optional sign, and hexadecimal floats (`0x1p-2`). No blanks. An overflow is an error, as in Go.
pub fn parse_float(text: &str) -> Option<f64> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let lower_start = unsigned.bytes().next()?.to_ascii_lowercase();
    match lower_start {
        b'i' | b'n' => {
            let word = unsigned.to_ascii_lowercase();
            let value = match word.as_str() {
                "inf" | "infinity" => f64::INFINITY,
                "nan" if unsigned.len() == text.len() => return Some(f64::NAN),
                _ => return None,
            };
            Some(if text.starts_with('-') { -value } else { value })
        }
        b'0' if unsigned.len() > 2 && matches!(unsigned.as_bytes()[1], b'x' | b'X') => {
            let value = parse_hex_float(&unsigned[2..])?;
            Some(if text.starts_with('-') { -value } else { value })
        }
        b'0'..=b'9' | b'.' => text.parse::<f64>().ok().filter(|v| v.is_finite()),
        _ => None,
    }
}

/// Mantissa and mandatory `p` exponent of a hexadecimal float, after the `0x`.
fn parse_hex_float(text: &str) -> Option<f64> {
    let (mantissa, exponent) = text.split_once(['p', 'P'])?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let mut value = 0f64;
    for digit in whole.chars().chain(fraction.chars()) {
        value = value * 16.0 + f64::from(digit.to_digit(16)?);
    }
    let exponent: i32 = exponent.parse().ok()?;
    let shift = exponent.checked_sub(i32::try_from(fraction.len()).ok()?.checked_mul(4)?)?;
    Some(value * 2f64.powi(shift)).filter(|v| v.is_finite())
}

/// A size for people: `0 B`, `1023 B`, `1.0 KiB`, `17.3 MiB`. Rounded down, so that it never looks larger than its limit.
pub fn human_bytes(bytes: u64) -> String {
    const UNITS: [(&str, u32); 4] = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];
    for (unit, bits) in UNITS {
        let whole = bytes >> bits;
        if whole > 0 {
            let rest = bytes - (whole << bits);
            // Below 2^40 * 10, so nothing overflows.
            return format!("{whole}.{} {unit}", (rest * 10) >> bits);
        }
    }
    format!("{bytes} B")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_like_the_peers() {
        for (value, json, plain) in [
            (1.0, "1", "1"),
            (-0.0, "-0", "-0"),
            (0.1 + 0.2, "0.30000000000000004", "0.30000000000000004"),
            (1e21, "1e+21", "1000000000000000000000"),
            (1e20, "100000000000000000000", "100000000000000000000"),
            (1e-6, "0.000001", "0.000001"),
            (1e-7, "1e-07", "0.0000001"),
            (1.5e-9, "1.5e-09", "0.0000000015"),
            (f64::NAN, "NaN", "NaN"),
            (f64::NEG_INFINITY, "-Inf", "-Inf"),
        ] {
            assert_eq!((json_float(value).as_str(), plain_float(value).as_str()), (json, plain));
        }
        assert_eq!(general_float(0.00001), "1e-05");
        assert_eq!(general_float(0.0001), "0.0001");
        assert_eq!(general_float(999_999.5), "999999.5");
        assert_eq!(general_float(1_500_000.0), "1.5e+06");
    }

    #[test]
    #[expect(clippy::excessive_precision, reason = "the exact values are what it is about")]
    fn tie_goes_to_the_even_digit() {
        for (value, json) in [
            (3_257_597_142_859.156_25, "3257597142859.1562"),
            (120_242_064_150.390_625, "120242064150.39062"),
            (0.093_036_651_611_328_125, "0.09303665161132812"),
            (-0.093_036_651_611_328_125, "-0.09303665161132812"),
            (2f64.powi(-25), "2.9802322387695312e-08"),
            // The upper one is even; no tie at all.
            (3_257_597_142_859.343_75, "3257597142859.3438"),
            (0.5, "0.5"),
            (3_257_597_142_859.125, "3257597142859.125"),
        ] {
            assert_eq!(json_float(value), json);
        }
    }

    #[test]
    fn parses_like_go() {
        assert_eq!(parse_float("0x1p-2"), Some(0.25));
        assert_eq!(parse_float("+Inf"), Some(f64::INFINITY));
        assert_eq!(parse_float("-inf"), Some(f64::NEG_INFINITY));
        assert_eq!(parse_float(".5e1"), Some(5.0));
        assert!(parse_float("nan").is_some_and(f64::is_nan));
        for bad in ["", " 1", "1 ", "0x10", "1e999", "in", "+nan", "abc", "-", "1_0"] {
            assert_eq!(parse_float(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn sizes_are_for_people_and_rounded_down() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (8 << 20, "8.0 MiB"),
            ((8 << 20) - 1, "7.9 MiB"),
            (5 << 30, "5.0 GiB"),
            (u64::MAX, "16777215.9 TiB"),
        ] {
            assert_eq!(human_bytes(bytes), text);
        }
    }

    proptest::proptest! {
        #[test]
        fn every_form_reads_back(value in proptest::num::f64::NORMAL | proptest::num::f64::SUBNORMAL | proptest::num::f64::ZERO) {
            for text in [json_float(value), plain_float(value), general_float(value)] {
                proptest::prop_assert_eq!(parse_float(&text).map(f64::to_bits), Some(value.to_bits()), "{}", text);
            }
            let standard = value.to_string();
            let text = plain_float(value);
            // Of two texts that are equally near the standard library takes the upper one.
            proptest::prop_assert!(text == standard || (text.len() == standard.len() && decimals_of_possible_tie(value).is_some()));
        }

        #[test]
        fn decimals_are_as_the_standard_library_prints_them(digits in -99_999_999_999i64..99_999_999_999, exponent in -12i32..12) {
            let value: f64 = format!("{digits}e{exponent}").parse().unwrap();
            proptest::prop_assert_eq!(plain_float(value), value.to_string());
        }
    }
}
