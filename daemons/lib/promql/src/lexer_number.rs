//! How far a number or a duration reaches.

/// Length of the number at the start of `text`.
pub(crate) fn number_length(text: &str) -> usize {
    let bytes = text.as_bytes();
    if bytes.len() > 2 && bytes[0] == b'0' && matches!(bytes[1], b'x' | b'X') {
        return 2 + digits_length(&bytes[2..], |b| b.is_ascii_hexdigit());
    }
    let decimal = |b: u8| b.is_ascii_digit();
    let mut len = digits_length(bytes, decimal);
    if bytes.get(len) == Some(&b'.') {
        len += 1;
        len += digits_length(&bytes[len..], decimal);
    }
    if matches!(bytes.get(len), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(len + 1), Some(b'+' | b'-')));
        let exponent = digits_length(&bytes[(len + 1 + sign).min(bytes.len())..], decimal);
        if exponent > 0 {
            len += 1 + sign + exponent;
        }
    }
    len
}

/// Length of a run of digits with single `_` between them.
fn digits_length(bytes: &[u8], is_digit: impl Fn(u8) -> bool) -> usize {
    let mut len = 0;
    while len < bytes.len() {
        let joins = bytes[len] == b'_' && len > 0 && bytes.get(len + 1).is_some_and(|b| is_digit(*b));
        if !is_digit(bytes[len]) && !joins {
            break;
        }
        len += 1;
    }
    len
}

/// Digits, a unit, and so on: the order and range of the units is the parser's to judge.
pub(crate) fn is_duration_shape(word: &str) -> bool {
    let mut rest = word;
    // `.5m` has no word: the dot stands before it.
    if rest.is_empty() {
        return false;
    }
    while !rest.is_empty() {
        let n_digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let after = &rest[n_digits..];
        let unit = ["ms", "s", "m", "h", "d", "w", "y"].iter().find(|unit| after.starts_with(**unit));
        match unit {
            Some(unit) if n_digits > 0 => rest = &after[unit.len()..],
            _ => return false,
        }
    }
    true
}

/// Whether the word starts as a duration does, so that the fault lies behind the first unit.
pub(crate) fn is_duration_start(word: &str) -> bool {
    let after = word.trim_start_matches(|c: char| c.is_ascii_digit());
    after.len() < word.len() && after.starts_with(['s', 'm', 'h', 'd', 'w', 'y'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_end_where_they_end() {
        for (text, want) in [
            ("1", 1),
            ("1_000x", 5),
            ("1__0", 1),
            ("5.", 2),
            (".5e3", 4),
            ("1e", 1),
            ("1e+2", 4),
            ("0x1fg", 4),
        ] {
            assert_eq!(number_length(text), want, "{text}");
        }
    }

    #[test]
    fn durations_are_digits_and_units() {
        for (text, want) in
            [("1h30m", true), ("5ms", true), ("5mm", false), ("m", false), ("", false), ("5m1", false)]
        {
            assert_eq!(is_duration_shape(text), want, "{text}");
        }
    }
}
