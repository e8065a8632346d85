//! Functions of templates over texts.

use std::fmt::Write;

use cairn_model::goregex;

use crate::template::MAX_OUTPUT_BYTES;
use crate::template_funcs::Args;
use crate::template_printf as printf;
use crate::template_value::Value;

/// Calls a function of this file; `None` when it is none.
///
/// # Errors
/// What went wrong, in the manner of Go's text.
pub(crate) fn call(args: &Args<'_>) -> Result<Option<Value>, String> {
    let one = || args.exactly(1).and_then(|()| args.text(0));
    let two = || args.exactly(2).and_then(|()| Ok((args.text(0)?, args.text(1)?)));
    let text = match args.function {
        "lower" | "ToLower" => one()?.chars().map(|c| single(c, c.to_lowercase())).collect(),
        "upper" | "ToUpper" => one()?.chars().map(|c| single(c, c.to_uppercase())).collect(),
        "title" => title(one()?),
        "trim" | "TrimSpace" => one()?.trim().to_owned(),
        "Trim" => two().map(|(text, cut)| text.trim_matches(|c| cut.contains(c)).to_owned())?,
        "trimAll" => two().map(|(cut, text)| text.trim_matches(|c| cut.contains(c)).to_owned())?,
        "TrimLeft" => two().map(|(text, cut)| text.trim_start_matches(|c| cut.contains(c)).to_owned())?,
        "TrimRight" => two().map(|(text, cut)| text.trim_end_matches(|c| cut.contains(c)).to_owned())?,
        "TrimPrefix" => two().map(|(text, start)| text.strip_prefix(start).unwrap_or(text).to_owned())?,
        "trimPrefix" => two().map(|(start, text)| text.strip_prefix(start).unwrap_or(text).to_owned())?,
        "TrimSuffix" => two().map(|(text, end)| text.strip_suffix(end).unwrap_or(text).to_owned())?,
        "trimSuffix" => two().map(|(end, text)| text.strip_suffix(end).unwrap_or(text).to_owned())?,
        "Replace" => {
            args.exactly(4)?;
            let count = usize::try_from(args.int(3)?).unwrap_or(usize::MAX);
            bounded_replace(args.text(0)?, args.text(1)?, args.text(2)?, count)?
        }
        "replace" => {
            args.exactly(3)?;
            bounded_replace(args.text(2)?, args.text(0)?, args.text(1)?, usize::MAX)?
        }
        "contains" => return two().map(|(part, text)| Some(Value::Bool(text.contains(part)))),
        "hasPrefix" => return two().map(|(start, text)| Some(Value::Bool(text.starts_with(start)))),
        "hasSuffix" => return two().map(|(end, text)| Some(Value::Bool(text.ends_with(end)))),
        "count" => {
            let (pattern, text) = two()?;
            let regex = goregex::compile_search(pattern).map_err(|e| format!("error calling count: {e}"))?;
            return Ok(Some(Value::Int(i64::try_from(regex.find_iter(text).count()).unwrap_or(i64::MAX))));
        }
        "regexReplaceAll" | "regexReplaceAllLiteral" => {
            args.exactly(3)?;
            let (pattern, text, with) = (args.text(0)?, args.text(1)?, args.text(2)?);
            let regex = goregex::compile_search(pattern)
                .map_err(|e| format!("error calling {}: {e}", args.function))?;
            if args.function == "regexReplaceAll" {
                regex.replace_all(text, with).into_owned()
            } else {
                regex.replace_all(text, regex::NoExpand(with)).into_owned()
            }
        }
        "substr" => {
            args.exactly(3)?;
            substr(args.int(0)?, args.int(1)?, args.text(2)?)?
        }
        "trunc" => {
            args.exactly(2)?;
            trunc(args.int(0)?, args.text(1)?)
        }
        "alignLeft" | "alignRight" => {
            args.exactly(2)?;
            align(args.int(0)?, args.text(1)?, args.function == "alignLeft")?
        }
        "indent" | "nindent" => {
            args.exactly(2)?;
            let pad = repeat(" ", args.int(0)?)?;
            let start = if args.function == "nindent" { "\n" } else { "" };
            let body = bounded_replace(args.text(1)?, "\n", &format!("\n{pad}"), usize::MAX)?;
            format!("{start}{pad}{body}")
        }
        "repeat" => {
            args.exactly(2)?;
            repeat(args.text(1)?, args.int(0)?)?
        }
        "urlencode" => url_encode(one()?),
        "urlquery" => url_encode(&printf::print(args.values)),
        "urldecode" => url_decode(one()?)?,
        "b64enc" => base64_encode(one()?.as_bytes()),
        "b64dec" => base64_decode(one()?),
        "html" => html(&printf::print(args.values)),
        "js" => javascript(&printf::print(args.values)),
        "print" => printf::print(args.values),
        "println" => {
            let words: Vec<String> = args.values.iter().map(Value::to_string).collect();
            format!("{}\n", words.join(" "))
        }
        "printf" => {
            args.at_least(1)?;
            printf::printf(args.text(0)?, &args.values[1..])
        }
        _ => return Ok(None),
    };
    Ok(Some(Value::String(text)))
}

fn too_long() -> String {
    format!("the template makes a text of more than {MAX_OUTPUT_BYTES} bytes")
}

fn bounded_replace(text: &str, old: &str, new: &str, count: usize) -> Result<String, String> {
    let found = if old.is_empty() { text.chars().count() + 1 } else { text.matches(old).count() };
    if found.min(count).saturating_mul(new.len()).saturating_add(text.len()) > MAX_OUTPUT_BYTES {
        return Err(too_long());
    }
    Ok(text.replacen(old, new, count))
}

fn repeat(text: &str, count: i64) -> Result<String, String> {
    let count = usize::try_from(count).map_err(|_| "strings: negative Repeat count".to_owned())?;
    if text.len().saturating_mul(count) > MAX_OUTPUT_BYTES {
        return Err(too_long());
    }
    Ok(text.repeat(count))
}

/// Go maps one character to one: where the full mapping has several (`ß` to `SS`) the character stays.
fn single(c: char, mapped: impl ExactSizeIterator<Item = char>) -> char {
    let mut mapped = mapped;
    if mapped.len() == 1 { mapped.next().unwrap_or(c) } else { c }
}

fn title(text: &str) -> String {
    let mut starts = true;
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        out.push(if starts { single(c, c.to_uppercase()) } else { c });
        starts = !(c.is_alphanumeric() || c == '_' || c == '\'');
    }
    out
}

/// A negative start is the beginning, a negative end is the end.
fn substr(start: i64, end: i64, text: &str) -> Result<String, String> {
    let chars: Vec<char> = text.chars().collect();
    let clamp = |at: i64| usize::try_from(at).unwrap_or(0).min(chars.len());
    let (from, to) = match (start < 0, end < 0) {
        (true, true) => return Ok(String::new()),
        (true, false) => (0, clamp(end)),
        (false, true) => (clamp(start), chars.len()),
        (false, false) => (clamp(start), clamp(end)),
    };
    if from > to {
        return Err(format!("error calling substr: runtime error: slice bounds out of range [{from}:{to}]"));
    }
    Ok(chars[from..to].iter().collect())
}

fn trunc(count: i64, text: &str) -> String {
    let len = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
    if len >= text.len() {
        return text.to_owned();
    }
    let bytes = if count < 0 { &text.as_bytes()[text.len() - len..] } else { &text.as_bytes()[..len] };
    String::from_utf8_lossy(bytes).into_owned()
}

fn align(width: i64, text: &str, is_left: bool) -> Result<String, String> {
    let Ok(width) = usize::try_from(width) else { return Ok(text.to_owned()) };
    let len = text.chars().count();
    if width > MAX_OUTPUT_BYTES {
        return Err(too_long());
    }
    Ok(match (width > len, is_left) {
        (true, true) => format!("{text}{}", " ".repeat(width - len)),
        (true, false) => format!("{}{text}", " ".repeat(width - len)),
        (false, true) => text.chars().take(width).collect(),
        (false, false) => text.chars().skip(len - width).collect(),
    })
}

fn url_encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            b' ' => out.push('+'),
            byte => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    out
}

fn url_decode(text: &str) -> Result<String, String> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'%' => {
                let digit = |at: usize| bytes.get(at).and_then(|b| char::from(*b).to_digit(16));
                let (Some(high), Some(low)) = (digit(at + 1), digit(at + 2)) else {
                    let end = (at + 3).min(bytes.len());
                    let part = String::from_utf8_lossy(&bytes[at..end]).into_owned();
                    return Err(format!(
                        "error calling urldecode: invalid URL escape {}",
                        cairn_model::gotext::quote(&part)
                    ));
                };
                out.push(u8::try_from(high * 16 + low).unwrap_or(b'?'));
                at += 3;
            }
            b'+' => {
                out.push(b' ');
                at += 1;
            }
            byte => {
                out.push(byte);
                at += 1;
            }
        }
    }
    Ok(String::from_utf8_lossy(&out).into_owned())
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn base64_encode(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().enumerate().fold(0u32, |word, (at, b)| word | u32::from(*b) << (16 - 8 * at));
        for at in 0..4 {
            let index = (word >> (18 - 6 * at)) & 63;
            out.push(if at <= chunk.len() { char::from(BASE64[index as usize]) } else { '=' });
        }
    }
    out
}

/// The text, with or without padding; what is wrong with it in place of it when it is no base64.
fn base64_decode(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    let (mut word, mut bits) = (0u32, 0u32);
    for (at, byte) in text.trim_end_matches('=').bytes().enumerate() {
        let Some(index) = BASE64.iter().position(|b| *b == byte) else {
            return format!("illegal base64 data at input byte {at}");
        };
        word = word << 6 | u32::try_from(index).unwrap_or(0);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            out.push(u8::try_from(word >> bits & 0xff).unwrap_or(0));
        }
    }
    if bits == 6 {
        return format!("illegal base64 data at input byte {}", text.len());
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\0' => out.push('\u{fffd}'),
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            c => out.push(c),
        }
    }
    out
}

fn javascript(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' | '\'' | '"' => {
                out.push('\\');
                out.push(c);
            }
            '<' | '>' | '&' | '=' => {
                let _ = write!(out, "\\u{:04X}", u32::from(c));
            }
            c if c < ' ' || c.is_control() => {
                let _ = write!(out, "\\u{:04X}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn base64_and_url_read_back(text in ".{0,40}") {
            proptest::prop_assert_eq!(base64_decode(&base64_encode(text.as_bytes())), text.clone());
            proptest::prop_assert_eq!(url_decode(&url_encode(&text)).unwrap(), text);
        }

        #[test]
        fn cutting_never_panics(text in ".{0,20}", a in -30i64..30, b in -30i64..30) {
            let _ = (substr(a, b, &text), trunc(a, &text), align(a, &text, true), align(b, &text, false));
        }
    }
}
