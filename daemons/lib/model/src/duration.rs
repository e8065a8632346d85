//! Durations: `1h30m` as Prometheus reads it, `1.5h` as Go reads it.

use std::fmt::Write;

/// Why a Prometheus duration cannot be read, worded as Prometheus words it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// The empty string.
    #[error("empty duration string")]
    Empty,
    /// Anything that is not numbers with falling units.
    #[error("not a valid duration string: {0}")]
    Invalid(String),
    /// A unit that does not exist.
    #[error("unknown unit {unit} in duration {text}")]
    UnknownUnit {
        /// The unit, in double quotes.
        unit: String,
        /// The whole text, in double quotes.
        text: String,
    },
    /// More than fits.
    #[error("duration out of range")]
    OutOfRange,
}

/// Units in the order in which they must appear, with their length in milliseconds.
const PROMETHEUS_UNITS: [(&str, i64); 7] = [
    ("y", 31_536_000_000),
    ("w", 604_800_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// Reads `1h30m`, `5m`, `100ms`, `1w`, `0`: whole numbers with units in falling order, each at most once.
/// Result in milliseconds.
///
/// # Errors
/// [`DurationError`], in the words of Prometheus's `model.ParseDuration`.
pub fn parse_prometheus(text: &str) -> Result<i64, DurationError> {
    match text {
        "" => return Err(DurationError::Empty),
        "0" => return Ok(0),
        _ => {}
    }
    let invalid = || DurationError::Invalid(crate::gotext::quote(text));
    let mut total = 0i64;
    let mut next_unit = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let n_digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        if n_digits == 0 {
            return Err(invalid());
        }
        let (digits, after) = rest.split_at(n_digits);
        let n_unit = after.bytes().take_while(|b| !b.is_ascii_digit()).count();
        let (unit, after) = after.split_at(n_unit);
        if unit.is_empty() {
            return Err(invalid());
        }
        let Some(index) = PROMETHEUS_UNITS.iter().position(|(name, _)| *name == unit) else {
            return Err(DurationError::UnknownUnit {
                unit: crate::gotext::quote(unit),
                text: crate::gotext::quote(text),
            });
        };
        if index < next_unit {
            return Err(invalid());
        }
        next_unit = index + 1;
        let value: i64 = digits.parse().map_err(|_| DurationError::OutOfRange)?;
        total = value
            .checked_mul(PROMETHEUS_UNITS[index].1)
            .and_then(|ms| total.checked_add(ms))
            // Prometheus counts durations in nanoseconds in 64 bits.
            .filter(|ms| *ms <= i64::MAX / 1_000_000)
            .ok_or(DurationError::OutOfRange)?;
        rest = after;
    }
    Ok(total)
}

/// Prints milliseconds as Prometheus does: `15d`, `30d1h`, `1h30m`, `250ms`, `0s`. Years and weeks only where they
/// divide the whole.
pub fn format_prometheus(ms: i64) -> String {
    if ms == 0 {
        return "0s".to_owned();
    }
    let mut out = String::new();
    let mut rest = ms.unsigned_abs();
    if ms < 0 {
        out.push('-');
    }
    for (unit, length) in PROMETHEUS_UNITS {
        let length = length.unsigned_abs();
        let must_divide = matches!(unit, "y" | "w");
        if rest >= length && (!must_divide || rest.is_multiple_of(length)) {
            let _ = write!(out, "{}{unit}", rest / length);
            rest %= length;
        }
    }
    out
}

/// Reads what Go's `time.ParseDuration` reads: `1.5h`, `-2m3.5s`, `100us`, `1h2m`, `0`. Result in nanoseconds.
/// No `d`, `w`, `y`.
pub fn parse_go(text: &str) -> Option<i64> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if unsigned == "0" {
        return Some(0);
    }
    if unsigned.is_empty() {
        return None;
    }
    let mut total: u64 = 0;
    let mut rest = unsigned;
    while !rest.is_empty() {
        let whole_len = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (whole, after) = rest.split_at(whole_len);
        let (fraction, after) = match after.strip_prefix('.') {
            Some(after) => after.split_at(after.bytes().take_while(u8::is_ascii_digit).count()),
            None => ("", after),
        };
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let unit_len = after.bytes().take_while(|b| *b != b'.' && !b.is_ascii_digit()).count();
        let (unit, after) = after.split_at(unit_len);
        let length: u64 = match unit {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return None,
        };
        let mut nanos = if whole.is_empty() { 0 } else { whole.parse::<u64>().ok()?.checked_mul(length)? };
        if !fraction.is_empty() {
            // Digits beyond what 64 bits hold cannot change the result by a nanosecond.
            let kept = &fraction[..fraction.len().min(18)];
            let scale = 10u128.pow(u32::try_from(kept.len()).ok()?);
            let part = u128::from(kept.parse::<u64>().ok()?) * u128::from(length) / scale;
            nanos = nanos.checked_add(u64::try_from(part).ok()?)?;
        }
        total = total.checked_add(nanos)?;
        rest = after;
    }
    let nanos = i64::try_from(total).ok()?;
    Some(if text.starts_with('-') { -nanos } else { nanos })
}

/// Prints nanoseconds as Go's `Duration.String` does: `1h0m0s`, `1.5s`, `100ms`, `15µs`, `0s`.
pub fn format_go(nanos: i64) -> String {
    if nanos == 0 {
        return "0s".to_owned();
    }
    let sign = if nanos < 0 { "-" } else { "" };
    let total = nanos.unsigned_abs();
    let fraction = |value: u64, unit: u64, suffix: &str| {
        let digits = format!("{:0width$}", value % unit, width = unit.ilog10() as usize);
        let digits = digits.trim_end_matches('0');
        let dot = if digits.is_empty() { "" } else { "." };
        format!("{}{dot}{digits}{suffix}", value / unit)
    };
    let text = match total {
        0..1_000 => format!("{total}ns"),
        1_000..1_000_000 => fraction(total, 1_000, "µs"),
        1_000_000..1_000_000_000 => fraction(total, 1_000_000, "ms"),
        _ => {
            let minutes = total / 60_000_000_000;
            let seconds = fraction(total % 60_000_000_000, 1_000_000_000, "s");
            match minutes {
                0 => seconds,
                1..60 => format!("{minutes}m{seconds}"),
                _ => format!("{}h{}m{seconds}", minutes / 60, minutes % 60),
            }
        }
    };
    format!("{sign}{text}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prometheus_durations() {
        for (text, ms) in [
            ("0", 0),
            ("5m", 300_000),
            ("1h30m", 5_400_000),
            ("1m0s", 60_000),
            ("1y2w3d4h5m6s7ms", 33_019_506_007),
            ("250ms", 250),
        ] {
            assert_eq!(parse_prometheus(text), Ok(ms), "{text}");
        }
        assert_eq!(parse_prometheus("5").unwrap_err().to_string(), r#"not a valid duration string: "5""#);
        assert_eq!(
            parse_prometheus("1.5h").unwrap_err().to_string(),
            r#"unknown unit "." in duration "1.5h""#
        );
        assert_eq!(parse_prometheus("").unwrap_err().to_string(), "empty duration string");
        for bad in ["1m1h", "1m1m", "m", "-1m", "1"] {
            assert!(matches!(parse_prometheus(bad), Err(DurationError::Invalid(_))), "{bad}");
        }
        assert_eq!(parse_prometheus("999999999999y"), Err(DurationError::OutOfRange));
        for (ms, text) in [
            (0, "0s"),
            (1_296_000_000, "15d"),
            (5_400_000, "1h30m"),
            (90_000_000, "1d1h"),
            (2_595_600_000, "30d1h"),
            (604_800_000, "1w"),
            (61_001, "1m1s1ms"),
        ] {
            assert_eq!(format_prometheus(ms), text);
        }
    }

    #[test]
    fn go_durations() {
        for (text, nanos) in [
            ("1.5h", 5_400_000_000_000),
            ("100us", 100_000),
            ("-2m3.5s", -123_500_000_000),
            (".5s", 500_000_000),
            ("0", 0),
        ] {
            assert_eq!(parse_go(text), Some(nanos), "{text}");
        }
        for bad in ["", "1", "1d", "s", ".", "1.s.", "-", "1 s", "99999999999h"] {
            assert_eq!(parse_go(bad), None, "{bad}");
        }
        for (nanos, text) in [
            (2_678_400_000_000_000, "744h0m0s"),
            (1_500_000_000, "1.5s"),
            (100_000_000, "100ms"),
            (15_000, "15µs"),
            (1, "1ns"),
            (60_000_000_000, "1m0s"),
            (-90_000_000_000, "-1m30s"),
        ] {
            assert_eq!(format_go(nanos), text);
        }
    }

    proptest::proptest! {
        #[test]
        fn go_text_reads_back(nanos in (i64::MIN + 1)..i64::MAX) {
            proptest::prop_assert_eq!(parse_go(&format_go(nanos)), Some(nanos));
        }

        #[test]
        fn prometheus_text_reads_back(ms in 0..i64::MAX / 1_000_000) {
            proptest::prop_assert_eq!(parse_prometheus(&format_prometheus(ms)), Ok(ms));
        }
    }
}
