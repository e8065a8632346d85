//! `| logfmt`: pairs of `key=value` as labels.

use std::borrow::Cow;

use crate::ast::Logfmt;
use crate::labelset::LabelSet;
use crate::pipeline::Hints;
use crate::stage_json::sanitize;

/// The error label of a line that is no logfmt (`--strict` only).
pub(crate) const LOGFMT_ERROR: &str = "LogfmtParserErr";

/// Checks the keys of `| logfmt name="key"`.
///
/// # Errors
/// A text for the person who asked.
pub(crate) fn check(logfmt: &Logfmt) -> Result<(), String> {
    for extraction in &logfmt.extractions {
        let source = &extraction.source;
        let message = match source.chars().find(|c| !(c.is_alphanumeric() || *c == '_')) {
            _ if source.is_empty() => "syntax error: unexpected $end, expecting KEY".to_owned(),
            Some(odd) => format!("unexpected char {odd}"),
            None => continue,
        };
        return Err(format!("cannot parse expression [{source}]: {message}"));
    }
    Ok(())
}

/// Runs `| logfmt` on a line.
pub(crate) fn run(logfmt: &Logfmt, line: &[u8], labels: &mut LabelSet<'_>, hints: &Hints) {
    for extraction in &logfmt.extractions {
        if !labels.clashes(&extraction.name) {
            labels.set(&extraction.name, "");
        }
    }
    let mut reader = LogfmtReader::new(line);
    let mut progress = hints.progress();
    while !(logfmt.strict && reader.fault.is_some()) {
        let Some(pair) = reader.next_pair() else { break };
        if logfmt.strict && reader.fault.is_some() {
            break;
        }
        let key = String::from_utf8_lossy(pair.key);
        let name = sanitize(&key, true);
        if name.is_empty() {
            continue;
        }
        // A value that is no UTF-8 counts as empty.
        let value = std::str::from_utf8(&pair.value).ok().filter(|v| !v.contains('\u{fffd}')).unwrap_or("");
        if logfmt.extractions.is_empty() {
            let name = labels.parsed_name(name);
            if (value.is_empty() && !logfmt.keep_empty) || !hints.wants(&name) || labels.has_parsed(&name) {
                continue;
            }
            labels.set(&name, value);
            if progress.found_one() {
                return;
            }
        } else {
            for extraction in logfmt.extractions.iter().filter(|e| e.source == name) {
                let target = labels.parsed_name(Cow::Borrowed(extraction.name.as_str()));
                if value.is_empty() && !logfmt.keep_empty {
                    continue;
                }
                labels.set(&target, value);
            }
        }
    }
    if logfmt.strict
        && let Some(fault) = &reader.fault
    {
        labels.set_error(LOGFMT_ERROR, &fault.to_string());
    }
}

/// Reads the pairs of a logfmt text.
pub(crate) struct LogfmtReader<'a> {
    line: &'a [u8],
    at: usize,
    /// The first fault, if any was met.
    pub(crate) fault: Option<LogfmtFault>,
}

/// One pair.
pub(crate) struct Pair<'a> {
    pub(crate) key: &'a [u8],
    /// Unquoted; empty for a bare key.
    pub(crate) value: Cow<'a, [u8]>,
}

/// Where a text is no logfmt, counted from 1.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("logfmt syntax error at pos {position} : {what}")]
pub(crate) struct LogfmtFault {
    position: usize,
    what: String,
}

impl<'a> LogfmtReader<'a> {
    /// Starts at the beginning of `line`.
    pub(crate) fn new(line: &'a [u8]) -> Self {
        Self { line, at: 0, fault: None }
    }

    /// The next pair that can be read; faulty ones are skipped (see [`fault`](Self::fault)).
    pub(crate) fn next_pair(&mut self) -> Option<Pair<'a>> {
        loop {
            self.at += self.line[self.at..].iter().position(|b| *b > b' ')?;
            if let Some(pair) = self.pair() {
                return Some(pair);
            }
        }
    }

    /// Reads one pair at `at`, which is no blank; on a fault skips to the next blank.
    fn pair(&mut self) -> Option<Pair<'a>> {
        let start = self.at;
        let rest = &self.line[start..];
        let len = rest.iter().position(|b| *b <= b' ' || matches!(b, b'=' | b'"')).unwrap_or(rest.len());
        let key = &rest[..len];
        self.at += len;
        match rest.get(len) {
            Some(b'=') if !key.is_empty() => {}
            Some(byte @ (b'=' | b'"')) => return self.skip_faulty(*byte),
            _ => return self.checked(key, Cow::Borrowed(&[])),
        }
        self.at += 1;
        match self.line.get(self.at) {
            Some(b'"') => {
                let value = self.quoted()?;
                self.checked(key, value)
            }
            Some(byte) if *byte > b' ' => {
                let rest = &self.line[self.at..];
                let len =
                    rest.iter().position(|b| *b <= b' ' || matches!(b, b'=' | b'"')).unwrap_or(rest.len());
                self.at += len;
                match rest.get(len) {
                    Some(byte @ (b'=' | b'"')) => self.skip_faulty(*byte),
                    _ => self.checked(key, Cow::Borrowed(&rest[..len])),
                }
            }
            _ => self.checked(key, Cow::Borrowed(&[])),
        }
    }

    /// The quoted value at `at`.
    fn quoted(&mut self) -> Option<Cow<'a, [u8]>> {
        let body_start = self.at + 1;
        let mut at = body_start;
        let mut has_escape = false;
        loop {
            match memchr::memchr2(b'"', b'\\', self.line.get(at..).unwrap_or_default()) {
                None => {
                    self.at = self.line.len();
                    self.note("unterminated quoted value".to_owned());
                    return None;
                }
                Some(offset) if self.line[at + offset] == b'"' => {
                    let body = &self.line[body_start..at + offset];
                    self.at = at + offset + 1;
                    if !has_escape {
                        return Some(Cow::Borrowed(body));
                    }
                    if let Some(value) = unquote(body) {
                        return Some(Cow::Owned(value));
                    }
                    self.note("invalid quoted value".to_owned());
                    self.skip_to_blank();
                    return None;
                }
                Some(offset) => {
                    has_escape = true;
                    at += offset + 2;
                }
            }
        }
    }

    fn checked(&mut self, key: &'a [u8], value: Cow<'a, [u8]>) -> Option<Pair<'a>> {
        if !key.is_ascii() && !std::str::from_utf8(key).is_ok_and(|k| !k.contains('\u{fffd}')) {
            self.note("invalid key".to_owned());
            self.skip_to_blank();
            return None;
        }
        Some(Pair { key, value })
    }

    fn skip_faulty(&mut self, byte: u8) -> Option<Pair<'a>> {
        self.note(format!("unexpected '{}'", char::from(byte)));
        self.skip_to_blank();
        None
    }

    fn skip_to_blank(&mut self) {
        let rest = &self.line[self.at..];
        self.at += rest.iter().position(|b| *b <= b' ').unwrap_or(rest.len());
    }

    fn note(&mut self, what: String) {
        self.fault.get_or_insert(LogfmtFault { position: self.at + 1, what });
    }
}

/// Undoes the escapes of a quoted value: JSON's, and `\'`; a wrong surrogate becomes U+FFFD.
fn unquote(body: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(body.len());
    let mut rest = body;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'\\' => {
                let (&escape, after) = rest.split_first()?;
                rest = after;
                out.push(match escape {
                    b'"' | b'\\' | b'/' | b'\'' => escape,
                    b'b' => 0x08,
                    b'f' => 0x0c,
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'u' => {
                        let unit =
                            |t: &[u8]| u32::from_str_radix(std::str::from_utf8(t.get(..4)?).ok()?, 16).ok();
                        let first = unit(rest)?;
                        rest = &rest[4..];
                        let second =
                            rest.strip_prefix(b"\\u").and_then(unit).filter(|u| (0xdc00..0xe000).contains(u));
                        let c = match (first, second) {
                            (0xd800..0xdc00, Some(second)) => {
                                rest = &rest[6..];
                                char::from_u32(0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00))
                            }
                            _ => char::from_u32(first),
                        };
                        let c = c.unwrap_or('\u{fffd}');
                        out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                        continue;
                    }
                    _ => return None,
                });
            }
            byte if byte < b' ' => return None,
            byte => out.push(byte),
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> (String, Option<String>) {
        let mut reader = LogfmtReader::new(text.as_bytes());
        let mut out = Vec::new();
        while let Some(pair) = reader.next_pair() {
            out.push(format!(
                "{}:{}",
                String::from_utf8_lossy(pair.key),
                String::from_utf8_lossy(&pair.value)
            ));
        }
        (out.join("|"), reader.fault.map(|f| f.to_string()))
    }

    #[test]
    fn pairs_and_faults() {
        for (text, want, fault) in [
            (" a=b  c=d ", "a:b|c:d", None),
            (r#"a="b c" d"#, "a:b c|d:", None),
            (r#"a="x"y b=c"#, "a:x|y:|b:c", None),
            ("eq=a=b c=1", "c:1", Some("logfmt syntax error at pos 5 : unexpected '='")),
            ("=b x=1", "x:1", Some("logfmt syntax error at pos 1 : unexpected '='")),
            (r#"a="unterminated"#, "", Some("logfmt syntax error at pos 16 : unterminated quoted value")),
            (r#"a="\n\t\"" b=1"#, "a:\n\t\"|b:1", None),
            (r#"a="\ud83d\ude00""#, "a:😀", None),
            ("a=", "a:", None),
            ("", "", None),
        ] {
            assert_eq!(pairs(text), (want.to_owned(), fault.map(str::to_owned)), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in r#"[a"=\\u0d 8é]{0,40}"#) {
            let _ = pairs(&text);
        }
    }
}
