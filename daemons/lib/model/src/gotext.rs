//! Strings as Go writes and reads them (`strconv.Quote`, `strconv.Unquote`).

use std::fmt::{self, Write};

/// Writes `text` in double quotes with Go's escapes.
///
/// # Errors
/// Only those of the writer.
pub fn quote_to(out: &mut impl Write, text: &str) -> fmt::Result {
    out.write_char('"')?;
    for c in text.chars() {
        match c {
            '"' => out.write_str("\\\"")?,
            '\\' => out.write_str("\\\\")?,
            '\x07' => out.write_str("\\a")?,
            '\x08' => out.write_str("\\b")?,
            '\x0c' => out.write_str("\\f")?,
            '\n' => out.write_str("\\n")?,
            '\r' => out.write_str("\\r")?,
            '\t' => out.write_str("\\t")?,
            '\x0b' => out.write_str("\\v")?,
            c if c < ' ' || c == '\x7f' => write!(out, "\\x{:02x}", c as u32)?,
            c if is_printable(c) => out.write_char(c)?,
            c if (c as u32) < 0x1_0000 => write!(out, "\\u{:04x}", c as u32)?,
            c => write!(out, "\\U{:08x}", c as u32)?,
        }
    }
    out.write_char('"')
}

/// `text` in double quotes with Go's escapes.
pub fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    quote_to(&mut out, text).expect("writing to a String does not fail");
    out
}

/// An approximation of Go's `unicode.IsPrint`: controls, separators other than the plain blank, surrogates and
/// private use print escaped.
fn is_printable(c: char) -> bool {
    if c.is_ascii() {
        return (' '..='~').contains(&c);
    }
    !(c.is_control()
        || c.is_whitespace()
        || matches!(c as u32, 0xad | 0x200b..=0x200f | 0x2028..=0x202e | 0x2060..=0x206f | 0xfeff | 0xfff9..=0xfffb
            | 0xe000..=0xf8ff | 0xe0000..=0x10_ffff | 0xfffe | 0xffff))
}

/// Why a quoted string cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnquoteError {
    /// No closing quote, or a newline before it.
    #[error("unterminated quoted string")]
    Unterminated,
    /// An escape that Go does not know.
    #[error("unknown escape sequence {0:?}")]
    Escape(char),
    /// A number after `\x`, `\u`, `\U` or `\` that is no code point.
    #[error("invalid character code in escape sequence")]
    Code,
}

/// Reads the body of a `"` or `'` string (without its quotes). `quote` is the quote character in use: only that
/// one may be escaped. `\xHH` and octal escapes give bytes; bytes that form no UTF-8 become U+FFFD.
///
/// # Errors
/// [`UnquoteError`] for an unknown escape, a bad code or a raw newline.
pub fn unescape(body: &str, quote: char) -> Result<String, UnquoteError> {
    if !body.contains(['\\', '\n']) {
        return Ok(body.to_owned());
    }
    let mut out: Vec<u8> = Vec::with_capacity(body.len());
    let mut chars = body.chars();
    while let Some(c) = chars.next() {
        if c == '\n' {
            return Err(UnquoteError::Unterminated);
        }
        if c != '\\' {
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        match chars.next().ok_or(UnquoteError::Unterminated)? {
            'a' => out.push(0x07),
            'b' => out.push(0x08),
            'f' => out.push(0x0c),
            'n' => out.push(b'\n'),
            'r' => out.push(b'\r'),
            't' => out.push(b'\t'),
            'v' => out.push(0x0b),
            '\\' => out.push(b'\\'),
            c if c == quote => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            'x' => out.push(u8::try_from(digits(&mut chars, 2, 16, 0)?).map_err(|_| UnquoteError::Code)?),
            c @ '0'..='7' => {
                let first = c.to_digit(8).unwrap_or(0);
                out.push(u8::try_from(digits(&mut chars, 2, 8, first)?).map_err(|_| UnquoteError::Code)?);
            }
            c @ ('u' | 'U') => {
                let code = digits(&mut chars, if c == 'u' { 4 } else { 8 }, 16, 0)?;
                let c = char::from_u32(code).ok_or(UnquoteError::Code)?;
                out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            }
            other => return Err(UnquoteError::Escape(other)),
        }
    }
    Ok(String::from_utf8(out).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned()))
}

fn digits(chars: &mut std::str::Chars<'_>, n: usize, radix: u32, start: u32) -> Result<u32, UnquoteError> {
    let mut value = start;
    for _ in 0..n {
        let digit = chars.next().and_then(|c| c.to_digit(radix)).ok_or(UnquoteError::Code)?;
        value = value.checked_mul(radix).and_then(|v| v.checked_add(digit)).ok_or(UnquoteError::Code)?;
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_like_go() {
        assert_eq!(quote("a\"b\\c\n\u{1}é\u{2028}😀"), r#""a\"b\\c\n\x01é\u2028😀""#);
    }

    #[test]
    fn unescapes_like_go() {
        assert_eq!(unescape(r#"\x41\101\u00e9\t\""#, '"').unwrap(), "AA\u{e9}\t\"");
        assert_eq!(unescape(r"\'", '"'), Err(UnquoteError::Escape('\'')));
        assert_eq!(unescape("a\nb", '"'), Err(UnquoteError::Unterminated));
        assert_eq!(unescape(r"\ud800", '"'), Err(UnquoteError::Code));
    }

    proptest::proptest! {
        #[test]
        fn quote_then_unescape_gives_the_text_back(text in ".*") {
            let quoted = quote(&text);
            proptest::prop_assert_eq!(unescape(&quoted[1..quoted.len() - 1], '"').unwrap(), text);
        }
    }
}
