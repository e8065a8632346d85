//! JSON as Loki writes it, straight into a byte buffer.
//!
//! Answers are written by hand, not through serde: a query answer may hold thousands of lines, their order of keys is
//! part of the protocol (Grafana reads `resultType` before `result`), and lines may hold bytes that are no UTF-8.

use cairn_model::{Labels, TimeMs};

/// Appends `text` as a JSON string. `<`, `>`, `&`, U+2028 and U+2029 are written as `\u....` (as Go does for HTML's
/// sake), control bytes too, and each byte that is no UTF-8 becomes `\ufffd`.
pub fn push_string(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    for chunk in text.utf8_chunks() {
        push_escaped(out, chunk.valid());
        for _ in chunk.invalid() {
            out.extend_from_slice(b"\\ufffd");
        }
    }
    out.push(b'"');
}

fn push_escaped(out: &mut Vec<u8>, text: &str) {
    let bytes = text.as_bytes();
    let mut done = 0;
    let mut at = 0;
    while at < bytes.len() {
        let byte = bytes[at];
        let is_separator =
            byte == 0xe2 && bytes.len() > at + 2 && bytes[at + 1] == 0x80 && bytes[at + 2] & 0xfe == 0xa8;
        if !needs_escape(byte) && !is_separator {
            at += 1;
            continue;
        }
        out.extend_from_slice(&bytes[done..at]);
        if is_separator {
            out.extend_from_slice(if bytes[at + 2] == 0xa8 { b"\\u2028" } else { b"\\u2029" });
            at += 3;
        } else {
            match byte {
                b'"' => out.extend_from_slice(b"\\\""),
                b'\\' => out.extend_from_slice(b"\\\\"),
                b'\n' => out.extend_from_slice(b"\\n"),
                b'\r' => out.extend_from_slice(b"\\r"),
                b'\t' => out.extend_from_slice(b"\\t"),
                other => {
                    const HEX: &[u8; 16] = b"0123456789abcdef";
                    out.extend_from_slice(b"\\u00");
                    out.push(HEX[usize::from(other >> 4)]);
                    out.push(HEX[usize::from(other & 15)]);
                }
            }
            at += 1;
        }
        done = at;
    }
    out.extend_from_slice(&bytes[done..]);
}

fn needs_escape(byte: u8) -> bool {
    byte < b' ' || matches!(byte, b'"' | b'\\' | b'<' | b'>' | b'&')
}

/// Appends `{"name":"value",...}` in the order given.
pub fn push_pairs<'a>(out: &mut Vec<u8>, pairs: impl IntoIterator<Item = (&'a str, &'a str)>) {
    out.push(b'{');
    for (index, (name, value)) in pairs.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        push_string(out, name.as_bytes());
        out.push(b':');
        push_string(out, value.as_bytes());
    }
    out.push(b'}');
}

/// Appends a label set as an object.
pub fn push_labels(out: &mut Vec<u8>, labels: &Labels) {
    push_pairs(out, labels.iter());
}

/// Appends `["a","b"]`.
pub fn push_strings<T: AsRef<str>>(out: &mut Vec<u8>, texts: impl IntoIterator<Item = T>) {
    out.push(b'[');
    for (index, text) in texts.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        push_string(out, text.as_ref().as_bytes());
    }
    out.push(b']');
}

/// Appends a decimal number.
pub fn push_number(out: &mut Vec<u8>, value: impl std::fmt::Display) {
    use std::io::Write;
    write!(out, "{value}").expect("writing to a Vec does not fail");
}

/// Appends `[1795226460,"3"]`: seconds with up to three decimals, trailing zeros cut; the value as plain text.
pub fn push_sample(out: &mut Vec<u8>, time: TimeMs, value: f64) {
    out.push(b'[');
    push_seconds(out, time);
    out.extend_from_slice(b",\"");
    out.extend_from_slice(cairn_model::number::plain_float(value).as_bytes());
    out.extend_from_slice(b"\"]");
}

/// Appends milliseconds as seconds: `1795226503.638`, `-0.5`, `12`.
pub fn push_seconds(out: &mut Vec<u8>, time: TimeMs) {
    if time.0 < 0 {
        out.push(b'-');
    }
    let ms = time.0.unsigned_abs();
    push_number(out, ms / 1000);
    if !ms.is_multiple_of(1000) {
        let digits = format!(".{:03}", ms % 1000);
        out.extend_from_slice(digits.trim_end_matches('0').as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn string(text: &[u8]) -> String {
        let mut out = Vec::new();
        push_string(&mut out, text);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn strings_are_escaped_as_go_escapes_them() {
        assert_eq!(
            string(b"a<b>&\"\\\n\t\r\x01\x7f"),
            "\"a\\u003cb\\u003e\\u0026\\\"\\\\\\n\\t\\r\\u0001\u{7f}\""
        );
        assert_eq!(string("é\u{2028}\u{2029}\u{2027}😀".as_bytes()), "\"é\\u2028\\u2029\u{2027}😀\"");
        assert_eq!(string(b"a\xff\xfeb"), "\"a\\ufffd\\ufffdb\"");
    }

    #[test]
    fn samples_keep_at_most_three_decimals() {
        for (ms, value, want) in [
            (1_795_226_460_000, 3.0, r#"[1795226460,"3"]"#),
            (1_795_226_503_638, 0.5, r#"[1795226503.638,"0.5"]"#),
            (500, 1e21, r#"[0.5,"1000000000000000000000"]"#),
            (-1500, f64::NEG_INFINITY, r#"[-1.5,"-Inf"]"#),
        ] {
            let mut out = Vec::new();
            push_sample(&mut out, TimeMs(ms), value);
            assert_eq!(String::from_utf8(out).unwrap(), want);
        }
    }
}
