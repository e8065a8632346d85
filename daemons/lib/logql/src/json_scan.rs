//! JSON over bytes, as tolerant and as strict as the parser in Loki (buger/jsonparser): text behind the object is
//! ignored, numbers are not checked, a broken object yields the members before the fault.
//!
//! One pass, no recursion: a line of a million braces costs a stack of prefixes in the heap, no more.

use std::borrow::Cow;

/// What kind of value was met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Text, still escaped, without its quotes.
    String,
    /// A number as written.
    Number,
    /// `true` or `false`.
    Boolean,
    /// `null`.
    Null,
    /// An object with its braces.
    Object,
    /// An array with its brackets.
    Array,
}

/// Why a text is no JSON, in the words of Loki's parser.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum JsonError {
    #[error("Value looks like object, but can't find closing '}}' symbol")]
    Object,
    #[error("Value is array, but can't find closing ']' symbol")]
    Array,
    #[error("Value is string, but can't find closing '\"' symbol")]
    String,
    #[error("Malformed JSON error")]
    Json,
    #[error("Unknown value type")]
    UnknownType,
    #[error("Encountered an invalid escape sequence in a string")]
    Escape,
}

/// What the callback of [`each_member`] wants next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Go on; objects are entered.
    Continue,
    /// Do not enter this object.
    SkipObject,
    /// Enough.
    Stop,
}

/// What [`each_member`] meets.
pub(crate) enum Event<'a> {
    /// A member; its key is unescaped. For an object the answer decides whether it is entered.
    Member {
        /// The name.
        key: Cow<'a, [u8]>,
        /// What stands behind the colon.
        value: &'a [u8],
        /// Of which kind.
        kind: Kind,
    },
    /// A member whose value cannot be read; the walk ends with this error.
    Fault {
        /// The name.
        key: Cow<'a, [u8]>,
        /// What is wrong with the value.
        error: JsonError,
    },
    /// An entered object ends.
    Leave,
}

/// First byte at or behind `at` that is no blank.
pub(crate) fn skip_blanks(data: &[u8], mut at: usize) -> Option<usize> {
    while let Some(byte) = data.get(at) {
        if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
            return Some(at);
        }
        at += 1;
    }
    None
}

/// Index just behind the quote that ends the string whose body starts at `at`; and whether it has escapes.
fn string_end(data: &[u8], at: usize) -> Option<(usize, bool)> {
    let mut has_escape = false;
    let mut at = at;
    loop {
        at += memchr::memchr2(b'"', b'\\', data.get(at..)?)?;
        if data[at] == b'"' {
            return Some((at + 1, has_escape));
        }
        has_escape = true;
        at += 2;
    }
}

/// Index just behind the bracket that closes the one at `at`.
fn block_end(data: &[u8], at: usize, open: u8, close: u8) -> Option<usize> {
    let mut depth = 0usize;
    let mut at = at;
    loop {
        at += memchr::memchr3(b'"', open, close, data.get(at..)?)?;
        match data[at] {
            b'"' => {
                at = string_end(data, at + 1)?.0;
                continue;
            }
            byte if byte == open => depth += 1,
            _ => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return Some(at + 1);
                }
            }
        }
        at += 1;
    }
}

/// The value that starts at `at` (no blank there), and where it ends. `check_object` says whether an object's end is
/// looked for; without, the rest of the data stands for it.
pub(crate) fn value_at(
    data: &[u8],
    at: usize,
    check_object: bool,
) -> Result<(&[u8], Kind, usize), JsonError> {
    match data[at] {
        b'"' => {
            let (end, _) = string_end(data, at + 1).ok_or(JsonError::String)?;
            Ok((&data[at + 1..end - 1], Kind::String, end))
        }
        b'[' => {
            let end = block_end(data, at, b'[', b']').ok_or(JsonError::Array)?;
            Ok((&data[at..end], Kind::Array, end))
        }
        b'{' if !check_object => Ok((&data[at..], Kind::Object, data.len())),
        b'{' => {
            let end = block_end(data, at, b'{', b'}').ok_or(JsonError::Object)?;
            Ok((&data[at..end], Kind::Object, end))
        }
        first => {
            let rest = &data[at..];
            let len = rest
                .iter()
                .position(|b| matches!(b, b' ' | b'\n' | b'\r' | b'\t' | b',' | b'}' | b']'))
                .unwrap_or(rest.len());
            let text = &rest[..len];
            let kind = match first {
                b't' | b'f' if text == b"true" || text == b"false" => Kind::Boolean,
                b'n' if text == b"null" => Kind::Null,
                b'0'..=b'9' | b'-' => Kind::Number,
                _ => return Err(JsonError::UnknownType),
            };
            Ok((text, kind, at + len))
        }
    }
}

/// Walks the members of the object in `data`, depth first.
///
/// # Errors
/// [`JsonError`] at the first fault; what was reported before stands.
pub(crate) fn each_member<'a>(
    data: &'a [u8],
    on: &mut dyn FnMut(Event<'a>) -> Step,
) -> Result<(), JsonError> {
    let mut at = skip_blanks(data, 0).ok_or(JsonError::Object)?;
    if data[at] != b'{' {
        return Err(JsonError::Object);
    }
    at = skip_blanks(data, at + 1).ok_or(JsonError::Json)?;
    let mut depth = 0usize;
    loop {
        // Here `at` is at a key or at the closing brace.
        match data[at] {
            b'}' => {
                let Some(next) = leave(data, at, &mut depth, on)? else { return Ok(()) };
                at = next;
                continue;
            }
            b'"' => {}
            _ => return Err(JsonError::Object),
        }
        let (end, has_escape) = string_end(data, at + 1).ok_or(JsonError::Json)?;
        let raw_key = &data[at + 1..end - 1];
        let key = if has_escape {
            Cow::Owned(unescape(raw_key).ok_or(JsonError::Escape)?)
        } else {
            Cow::Borrowed(raw_key)
        };
        at = skip_blanks(data, end).ok_or(JsonError::Json)?;
        if data[at] != b':' {
            return Err(JsonError::Json);
        }
        at = skip_blanks(data, at + 1).ok_or(JsonError::Json)?;
        // Only the outermost object's end is looked for ahead: inside of it every brace has its partner.
        let (value, kind, end) = match value_at(data, at, depth == 0) {
            Ok(found) => found,
            Err(error) => {
                on(Event::Fault { key, error });
                return Err(error);
            }
        };
        match on(Event::Member { key, value, kind }) {
            Step::Stop => return Ok(()),
            Step::Continue if kind == Kind::Object => {
                depth += 1;
                at = skip_blanks(data, at + 1).ok_or(JsonError::Json)?;
                continue;
            }
            Step::SkipObject if kind == Kind::Object && depth > 0 => {
                at = block_end(data, at, b'{', b'}').ok_or(JsonError::Object)?;
            }
            _ => at = end,
        }
        match after_value(data, at)? {
            Next::Key(next) => at = next,
            Next::Close(brace) => at = brace,
        }
    }
}

enum Next {
    Key(usize),
    Close(usize),
}

/// What follows a value that ended before `at`: a comma and a key, or the closing brace.
fn after_value(data: &[u8], at: usize) -> Result<Next, JsonError> {
    let at = skip_blanks(data, at).ok_or(JsonError::Array)?;
    match data[at] {
        b'}' => Ok(Next::Close(at)),
        b',' => Ok(Next::Key(skip_blanks(data, at + 1).ok_or(JsonError::Array)?)),
        _ => Err(JsonError::Object),
    }
}

/// Handles the brace at `at`: `None` when the outermost object ended, else where to read on.
fn leave<'a>(
    data: &'a [u8],
    at: usize,
    depth: &mut usize,
    on: &mut dyn FnMut(Event<'a>) -> Step,
) -> Result<Option<usize>, JsonError> {
    if *depth == 0 {
        return Ok(None);
    }
    *depth -= 1;
    if on(Event::Leave) == Step::Stop {
        return Ok(None);
    }
    Ok(Some(match after_value(data, at + 1)? {
        Next::Key(next) | Next::Close(next) => next,
    }))
}

/// Undoes JSON's escapes; `None` for one that is none (an unknown letter, half of a surrogate pair).
pub(crate) fn unescape(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        out.extend_from_slice(&rest[..at]);
        rest = &rest[at..];
        let plain = match *rest.get(1)? {
            b'"' => b'"',
            b'\\' => b'\\',
            b'/' => b'/',
            b'b' => 0x08,
            b'f' => 0x0c,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                let (c, used) = unescape_unicode(rest)?;
                out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                rest = &rest[used..];
                continue;
            }
            _ => return None,
        };
        out.push(plain);
        rest = &rest[2..];
    }
    out.extend_from_slice(rest);
    Some(out)
}

/// `\uXXXX` or a pair of them at the start of `text`, and its length.
fn unescape_unicode(text: &[u8]) -> Option<(char, usize)> {
    let unit = |from: usize| -> Option<u32> {
        if text.get(from..from + 2)? != b"\\u" {
            return None;
        }
        let digits = text.get(from + 2..from + 6)?;
        digits.iter().try_fold(0u32, |value, b| Some(value * 16 + char::from(*b).to_digit(16)?))
    };
    let first = unit(0)?;
    if !(0xd800..0xe000).contains(&first) {
        return Some((char::from_u32(first)?, 6));
    }
    let second = unit(6)?;
    if first >= 0xdc00 || !(0xdc00..0xe000).contains(&second) {
        return None;
    }
    Some((char::from_u32(0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00))?, 12))
}

/// A string's text for a label: unescaped, the empty text when an escape is wrong, and a blank in place of every
/// character that is no UTF-8.
pub(crate) fn string_value(raw: &[u8]) -> Cow<'_, str> {
    let bytes: Cow<'_, [u8]> = if memchr::memchr(b'\\', raw).is_none() {
        Cow::Borrowed(raw)
    } else {
        Cow::Owned(unescape(raw).unwrap_or_default())
    };
    match bytes {
        Cow::Borrowed(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) if !text.contains('\u{fffd}') => Cow::Borrowed(text),
            _ => Cow::Owned(blank_replacements(bytes)),
        },
        Cow::Owned(bytes) => Cow::Owned(blank_replacements(&bytes)),
    }
}

fn blank_replacements(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace('\u{fffd}', " ")
}

/// Reports the string members of the object in `line` down to `levels` levels, with their level (0 is the outermost).
/// Stops silently at a fault.
pub(crate) fn scan_strings(line: &[u8], levels: usize, on: &mut dyn FnMut(usize, &str, &str)) {
    let mut depth = 0;
    let _ = each_member(line, &mut |event| {
        match event {
            Event::Leave => depth -= 1,
            Event::Fault { .. } => {}
            Event::Member { kind: Kind::Object, .. } => {
                if depth + 1 >= levels {
                    return Step::SkipObject;
                }
                depth += 1;
            }
            Event::Member { key, value, kind: Kind::String } => {
                if let Ok(key) = std::str::from_utf8(&key) {
                    on(depth, key, &string_value(value));
                }
            }
            Event::Member { .. } => {}
        }
        Step::Continue
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(text: &str) -> (Vec<String>, Option<JsonError>) {
        let mut out = Vec::new();
        let mut prefix: Vec<String> = Vec::new();
        let result = each_member(text.as_bytes(), &mut |event| {
            match event {
                Event::Fault { .. } => {}
                Event::Leave => {
                    prefix.pop();
                }
                Event::Member { key, kind: Kind::Object, .. } => {
                    prefix.push(String::from_utf8_lossy(&key).into_owned());
                }
                Event::Member { key, value, .. } => out.push(format!(
                    "{}{}={}",
                    prefix.iter().map(|p| format!("{p}/")).collect::<String>(),
                    String::from_utf8_lossy(&key),
                    String::from_utf8_lossy(value)
                )),
            }
            Step::Continue
        });
        (out, result.err())
    }

    #[test]
    fn members_in_order_and_fault() {
        for (text, want, error) in [
            (r#"{}"#, "", None),
            (
                r#"{"a":1,"b":{"c":{"d":"x"},"e":[1,{"f":2}]},"g":null}"#,
                "a=1 b/c/d=x b/e=[1,{\"f\":2}] g=null",
                None,
            ),
            (r#"{"a":{}, "b":2}x"#, "b=2", None),
            (r#"{"a":1,}"#, "a=1", None),
            (r#"{"a":1"#, "a=1", Some(JsonError::Array)),
            (r#"{"a":1,"b":{"c":1"#, "a=1", Some(JsonError::Object)),
            (r#"{"a":tru}"#, "", Some(JsonError::UnknownType)),
            (r#"[1]"#, "", Some(JsonError::Object)),
            ("", "", Some(JsonError::Object)),
            (r#"{"a"}"#, "", Some(JsonError::Json)),
        ] {
            let (got, fault) = members(text);
            assert_eq!((got.join(" ").as_str(), fault), (want, error), "{text}");
        }
    }

    #[test]
    fn deep_nesting_is_no_recursion() {
        let text = r#"{"a":"#.repeat(200_000);
        let _ = members(&text);
        let text = format!("{}{}", text, "}".repeat(200_000));
        let _ = members(&text.replacen("{\"a\":}", "{\"a\":1}", 1));
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in r#"[\[\]{}",:\\ua0-9 tn-]{0,60}"#) {
            let _ = members(&text);
        }
    }
}
