//! Sizes in bytes as people write them (dustin/go-humanize), for literals, labels and templates.

use cairn_model::{gotext, number};

/// Units by lower-case spelling; `k` and `kb` are powers of 1000, `ki` and `kib` of 1024.
const UNITS: [(&str, f64); 26] = [
    ("", 1.0),
    ("b", 1.0),
    ("kib", 1024.0),
    ("ki", 1024.0),
    ("kb", 1e3),
    ("k", 1e3),
    ("mib", 1_048_576.0),
    ("mi", 1_048_576.0),
    ("mb", 1e6),
    ("m", 1e6),
    ("gib", 1_073_741_824.0),
    ("gi", 1_073_741_824.0),
    ("gb", 1e9),
    ("g", 1e9),
    ("tib", 1_099_511_627_776.0),
    ("ti", 1_099_511_627_776.0),
    ("tb", 1e12),
    ("t", 1e12),
    ("pib", 1_125_899_906_842_624.0),
    ("pi", 1_125_899_906_842_624.0),
    ("pb", 1e15),
    ("p", 1e15),
    ("eib", 1_152_921_504_606_846_976.0),
    ("ei", 1_152_921_504_606_846_976.0),
    ("eb", 1e18),
    ("e", 1e18),
];

/// Reads what Go's `strconv.ParseFloat` reads, which includes underscores between digits.
pub(crate) fn parse_float(text: &str) -> Option<f64> {
    if !text.contains('_') {
        return number::parse_float(text);
    }
    let bytes = text.as_bytes();
    let is_digit = |at: Option<&u8>| at.is_some_and(u8::is_ascii_digit);
    let are_separators = bytes
        .iter()
        .enumerate()
        .filter(|(_, b)| **b == b'_')
        .all(|(at, _)| at > 0 && is_digit(bytes.get(at - 1)) && is_digit(bytes.get(at + 1)));
    if are_separators { number::parse_float(&text.replace('_', "")) } else { None }
}

/// Reads `1.5MB`, `2 KiB`, `1,024`, `10`. The whole part of the result counts.
///
/// # Errors
/// The text of the Go library.
pub(crate) fn parse_bytes(text: &str) -> Result<u64, String> {
    let len = text.find(|c: char| !c.is_ascii_digit() && c != '.' && c != ',').unwrap_or(text.len());
    let digits = text[..len].replace(',', "");
    let value = number::parse_float(&digits)
        .ok_or_else(|| format!("strconv.ParseFloat: parsing {}: invalid syntax", gotext::quote(&digits)))?;
    let unit = text[len..].trim().to_lowercase();
    let (_, factor) =
        UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(|| format!("unhandled size name: {unit}"))?;
    let bytes = value * factor;
    if bytes >= 18_446_744_073_709_551_615.0 {
        return Err(format!("too large: {text}"));
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked just above; never negative"
    )]
    Ok(bytes as u64)
}

/// `1.5MB` when that is the exact size, `1500001B` otherwise.
pub(crate) fn format_bytes(bytes: u64) -> String {
    const NAMES: [&str; 6] = ["B", "kB", "MB", "GB", "TB", "PB"];
    let mut scale = 1u64;
    for name in NAMES {
        if bytes < scale.saturating_mul(1000) {
            let tenths = (u128::from(bytes) * 10 + u128::from(scale) / 2) / u128::from(scale);
            let text = if bytes < 10 || tenths >= 100 && tenths.is_multiple_of(10) {
                format!("{}{name}", tenths / 10)
            } else {
                format!("{}.{}{name}", tenths / 10, tenths % 10)
            };
            return if parse_bytes(&text) == Ok(bytes) { text } else { format!("{bytes}B") };
        }
        scale = scale.saturating_mul(1000);
    }
    format!("{bytes}B")
}

/// Why a label's text is no Go duration, in Go's words.
pub(crate) fn go_duration_error(text: &str) -> String {
    let quoted = gotext::quote(text);
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let mut rest = unsigned;
    while !rest.is_empty() {
        let after = rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
        if after.len() == rest.len() {
            break;
        }
        if rest[..rest.len() - after.len()].matches('.').count() > 1 {
            break;
        }
        let unit_len = after.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(after.len());
        let unit = &after[..unit_len];
        if unit.is_empty() {
            return format!("time: missing unit in duration {quoted}");
        }
        if !matches!(unit, "ns" | "us" | "µs" | "μs" | "ms" | "s" | "m" | "h") {
            return format!("time: unknown unit {} in duration {quoted}", gotext::quote(unit));
        }
        rest = &after[unit_len..];
    }
    format!("time: invalid duration {quoted}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, want) in [
            ("1KB", Ok(1000)),
            ("2KiB", Ok(2048)),
            ("1.5 mb", Ok(1_500_000)),
            ("1,024", Ok(1024)),
            ("5QB", Err("unhandled size name: qb".to_owned())),
            ("x", Err("strconv.ParseFloat: parsing \"\": invalid syntax".to_owned())),
        ] {
            assert_eq!(parse_bytes(text), want, "{text}");
        }
    }

    #[test]
    fn sizes_print_exactly() {
        for (bytes, want) in
            [(5, "5B"), (50, "50B"), (1000, "1.0kB"), (1_500_000, "1.5MB"), (20_000, "20kB"), (1023, "1023B")]
        {
            assert_eq!(format_bytes(bytes), want);
        }
    }

    #[test]
    fn floats_with_underscores() {
        for (text, want) in
            [("1_000", Some(1000.0)), ("1__0", None), ("_1", None), ("1_", None), ("1e3", Some(1000.0))]
        {
            assert_eq!(parse_float(text), want, "{text}");
        }
    }

    #[test]
    fn durations_refused_in_gos_words() {
        for (text, want) in [
            ("q", "time: invalid duration \"q\""),
            ("12", "time: missing unit in duration \"12\""),
            ("1d", "time: unknown unit \"d\" in duration \"1d\""),
        ] {
            assert_eq!(go_duration_error(text), want);
        }
    }
}
