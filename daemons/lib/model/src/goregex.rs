//! Patterns as Go's `regexp` (RE2) reads them, run by Rust's `regex` crate.
//!
//! The two languages differ in small things that users' queries contain: in Go `\d`, `\w`, `\s` and `\b` are ASCII,
//! a lone `{` is itself, a character class has no set operators and no nesting, `\Q...\E` quotes. [`translate`]
//! rewrites those. The time bound is the same in both engines: linear in the text, no backtracking.

use std::fmt::Write;

/// Largest compiled program, in bytes. A pattern from the network must not cost more than this.
const PROGRAM_LIMIT: usize = 10 << 20;

/// A pattern that does not compile, worded as Go words it: ``error parsing regexp: missing closing ): `(` ``.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("error parsing regexp: {0}")]
pub struct PatternError(String);

/// Compiles `^(?s:pattern)$`: what a label matcher means by `=~` in Prometheus 3 and Loki.
///
/// # Errors
/// [`PatternError`] with Go's text for `pattern` itself.
pub fn compile_anchored(pattern: &str) -> Result<regex::Regex, PatternError> {
    build(&format!("^(?s:{})$", translate(pattern)?), pattern)
}

/// Compiles a pattern for searching anywhere in a text.
///
/// # Errors
/// [`PatternError`] with Go's text.
pub fn compile_search(pattern: &str) -> Result<regex::Regex, PatternError> {
    build(&translate(pattern)?, pattern)
}

/// [`compile_search`] for texts that need not be UTF-8, such as log lines.
///
/// # Errors
/// [`PatternError`] with Go's text.
pub fn compile_search_bytes(pattern: &str) -> Result<regex::bytes::Regex, PatternError> {
    regex::bytes::RegexBuilder::new(&translate(pattern)?)
        .size_limit(PROGRAM_LIMIT)
        .build()
        .map_err(|e| explain(&e, pattern))
}

/// What the texts that match a whole pattern look like, for an index to find them by. Built by [`outline`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outline {
    /// Every text that matches is one of these; not each of them need match. `None` when there are too many to say.
    pub literals: Option<Vec<String>>,
    /// Every text that matches begins with this.
    pub prefix: String,
}

/// Looks for literals in a pattern that [`compile_anchored`] accepts; for any other one it finds nothing.
pub fn outline(pattern: &str) -> Outline {
    let parsed =
        translate(pattern).ok().and_then(|pattern| regex_syntax::parse(&format!("(?s:{pattern})")).ok());
    let Some(parsed) = parsed else { return Outline::default() };
    // Looking around is taken for empty text, so a literal may be found that does not match; never the other way round.
    let found = regex_syntax::hir::literal::Extractor::new().extract(&parsed);
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok();
    let literals = if found.is_exact() {
        found.literals().and_then(|all| all.iter().map(|literal| text(literal.as_bytes())).collect())
    } else {
        None
    };
    let prefix = found.longest_common_prefix().and_then(text).unwrap_or_default();
    Outline { literals, prefix }
}

fn build(translated: &str, pattern: &str) -> Result<regex::Regex, PatternError> {
    regex::RegexBuilder::new(translated).size_limit(PROGRAM_LIMIT).build().map_err(|e| explain(&e, pattern))
}

/// Go's words for what Rust's engine refused.
fn explain(error: &regex::Error, pattern: &str) -> PatternError {
    use regex_syntax::ast::ErrorKind as Kind;
    if matches!(error, regex::Error::CompiledTooBig(_)) {
        return PatternError("expression too large".to_owned());
    }
    // Asked again on the user's own text, the parser gives a span in it.
    let fault = match regex_syntax::ast::parse::Parser::new().parse(pattern) {
        Err(fault) => fault,
        Ok(_) => return PatternError(format!("invalid or unsupported Perl syntax: `{pattern}`")),
    };
    let (start, end) = (fault.span().start.offset, fault.span().end.offset);
    let part = pattern.get(start..end).unwrap_or(pattern);
    PatternError(match fault.kind() {
        Kind::GroupUnclosed => format!("missing closing ): `{pattern}`"),
        Kind::GroupUnopened => format!("unexpected ): `{pattern}`"),
        Kind::ClassUnclosed => format!("missing closing ]: `{}`", pattern.get(start..).unwrap_or(pattern)),
        Kind::ClassRangeInvalid => format!("invalid character class range: `{part}`"),
        Kind::RepetitionMissing => {
            // The span is empty: it stands before the operator.
            let operator = pattern.get(start..).and_then(|t| t.chars().next()).map(String::from);
            format!("missing argument to repetition operator: `{}`", operator.unwrap_or_default())
        }
        Kind::RepetitionCountInvalid => format!("invalid repeat count: `{part}`"),
        Kind::EscapeUnexpectedEof => "trailing backslash at end of expression: ``".to_owned(),
        Kind::EscapeUnrecognized | Kind::UnsupportedBackreference => {
            format!("invalid escape sequence: `{part}`")
        }
        Kind::GroupNameDuplicate { .. } => format!("duplicate capture group name: `{part}`"),
        Kind::GroupNameInvalid | Kind::GroupNameEmpty | Kind::GroupNameUnexpectedEof => {
            format!("invalid named capture: `{}`", pattern.get(start..).unwrap_or(pattern))
        }
        Kind::NestLimitExceeded(_) => "expression nests too deeply".to_owned(),
        _ => format!("invalid or unsupported Perl syntax: `{part}`"),
    })
}

/// Rewrites Go's pattern language into Rust's, leaving the meaning alone. Broken patterns stay broken: the engine
/// reports them.
///
/// # Errors
/// [`PatternError`] for the few things that Rust would accept and Go refuses.
pub fn translate(pattern: &str) -> Result<String, PatternError> {
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut rest = pattern;
    while let Some(c) = rest.chars().next() {
        match c {
            '\\' => rest = translate_escape(rest, &mut out, false, pattern)?,
            '[' => rest = translate_class(rest, &mut out, pattern)?,
            '{' => {
                // `{2}`, `{2,}` and `{2,5}` repeat; any other brace is itself in Go.
                if let Some(len) = repetition_len(rest) {
                    let bounds = rest[1..len - 1].split(',').filter_map(|n| n.parse::<u32>().ok());
                    if bounds.clone().any(|n| n > 1000) {
                        return Err(PatternError(format!("invalid repeat count: `{}`", &rest[..len])));
                    }
                    out.push_str(&rest[..len]);
                    rest = &rest[len..];
                } else {
                    out.push_str("\\{");
                    rest = &rest[1..];
                }
            }
            '}' => {
                out.push_str("\\}");
                rest = &rest[1..];
            }
            c => {
                out.push(c);
                rest = &rest[c.len_utf8()..];
            }
        }
    }
    Ok(out)
}

/// Length in bytes of a repetition `{n}`, `{n,}` or `{n,m}` at the start of `text`.
fn repetition_len(text: &str) -> Option<usize> {
    let end = text.find('}')?;
    let (low, high) = text[1..end].split_once(',').unwrap_or((&text[1..end], ""));
    let all_digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    (!low.is_empty() && all_digits(low) && all_digits(high)).then_some(end + 1)
}

/// Handles a backslash at the start of `rest`; returns what follows the escape.
fn translate_escape<'a>(
    rest: &'a str,
    out: &mut String,
    in_class: bool,
    pattern: &str,
) -> Result<&'a str, PatternError> {
    let Some(c) = rest[1..].chars().next() else {
        return Err(PatternError("trailing backslash at end of expression: ``".to_owned()));
    };
    let after = &rest[1 + c.len_utf8()..];
    match (c, in_class) {
        ('d', false) => out.push_str("[0-9]"),
        ('D', false) => out.push_str("[^0-9]"),
        ('w', false) => out.push_str("[0-9A-Za-z_]"),
        ('W', false) => out.push_str("[^0-9A-Za-z_]"),
        ('s', false) => out.push_str("[\\t\\n\\f\\r ]"),
        ('S', false) => out.push_str("[^\\t\\n\\f\\r ]"),
        ('d', true) => out.push_str("0-9"),
        ('w', true) => out.push_str("0-9A-Za-z_"),
        ('s', true) => out.push_str("\\t\\n\\f\\r "),
        ('D', true) => out.push_str("[^0-9]"),
        ('W', true) => out.push_str("[^0-9A-Za-z_]"),
        ('S', true) => out.push_str("[^\\t\\n\\f\\r ]"),
        ('b', false) => out.push_str("(?-u:\\b)"),
        // `\B` between bytes of one character would match inside it without Unicode mode.
        ('B', false) => out.push_str("\\B"),
        ('C', false) => out.push_str("(?s:.)"),
        ('Q', false) => {
            let (quoted, after) = after.split_once("\\E").unwrap_or((after, ""));
            out.push_str(&regex::escape(quoted));
            return Ok(after);
        }
        ('0'..='7', _) => return translate_octal(&rest[1..], out, pattern),
        ('p' | 'P' | 'x', _) if after.starts_with('{') => {
            // The braces belong to the escape: `\p{Greek}`, `\x{1F600}`.
            let end =
                after.find('}').ok_or_else(|| PatternError(format!("invalid escape sequence: `\\{c}`")))?;
            out.push('\\');
            out.push(c);
            out.push_str(&after[..=end]);
            return Ok(&after[end + 1..]);
        }
        ('p' | 'P' | 'x', _) | ('A' | 'z', false) | ('a' | 'f' | 'n' | 'r' | 't' | 'v', _) => {
            out.push('\\');
            out.push(c);
        }
        (c, _) if c.is_ascii_punctuation() => {
            // `\_` is fine in Go and unknown to Rust.
            if c != '_' && c != '<' && c != '>' {
                out.push('\\');
            }
            out.push(c);
        }
        _ => return Err(PatternError(format!("invalid escape sequence: `\\{c}`"))),
    }
    Ok(after)
}

/// `\123` (octal) is a character in Go, `\1` alone would be a back reference and is refused.
fn translate_octal<'a>(digits: &'a str, out: &mut String, _pattern: &str) -> Result<&'a str, PatternError> {
    let len = digits.bytes().take(3).take_while(|b| (b'0'..=b'7').contains(b)).count();
    if !digits.starts_with('0') && len < 2 {
        return Err(PatternError(format!("invalid escape sequence: `\\{}`", &digits[..1])));
    }
    let value = u32::from_str_radix(&digits[..len], 8).unwrap_or(0);
    let _ = write!(out, "\\x{{{value:x}}}");
    Ok(&digits[len..])
}

/// Copies a bracket class, escaping what only Rust would take for an operator; returns what follows it.
fn translate_class<'a>(text: &'a str, out: &mut String, pattern: &str) -> Result<&'a str, PatternError> {
    out.push('[');
    let mut rest = &text[1..];
    if let Some(after) = rest.strip_prefix('^') {
        out.push('^');
        rest = after;
    }
    let mut is_first = true;
    while let Some(c) = rest.chars().next() {
        match c {
            ']' if !is_first => {
                out.push(']');
                return Ok(&rest[1..]);
            }
            '[' => {
                // `[:alpha:]` inside a class is a named class in both languages.
                if let Some(end) = rest.strip_prefix("[:").and_then(|t| t.find(":]")) {
                    let name = &rest[2..2 + end];
                    if name.trim_start_matches('^').bytes().all(|b| b.is_ascii_lowercase()) {
                        out.push_str(&rest[..end + 4]);
                        rest = &rest[end + 4..];
                        is_first = false;
                        continue;
                    }
                }
                out.push_str("\\[");
                rest = &rest[1..];
            }
            '\\' => rest = translate_escape(rest, out, true, pattern)?,
            '&' | '~' | ']' => {
                out.push('\\');
                out.push(c);
                rest = &rest[1..];
            }
            '-' => {
                // A dash at either end is itself; `--` would be set difference in Rust.
                if is_first || rest[1..].starts_with(']') || rest[1..].starts_with('-') {
                    out.push('\\');
                }
                out.push('-');
                rest = &rest[1..];
            }
            c => {
                out.push(c);
                rest = &rest[c.len_utf8()..];
            }
        }
        is_first = false;
    }
    Err(PatternError(format!("missing closing ]: `{text}`")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outlines_of_what_people_write() {
        let all = |texts: &[&str]| Some(texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>());
        for (pattern, literals, prefix) in [
            ("a", all(&["a"]), "a"),
            ("web-1|web-2|db", all(&["web-1", "web-2", "db"]), ""),
            ("web-(1|2)", all(&["web-1", "web-2"]), "web-"),
            ("web-.*", None, "web-"),
            ("(?i)ab", all(&["AB", "Ab", "aB", "ab"]), ""),
            (".*", None, ""),
            ("", all(&[""]), ""),
            ("5..", None, "5"),
            ("host\\.example", all(&["host.example"]), "host.example"),
            ("(", None, ""),
        ] {
            assert_eq!(outline(pattern), Outline { literals, prefix: prefix.to_owned() }, "{pattern}");
        }
    }

    #[test]
    fn go_meaning_is_kept() {
        for (pattern, text, want) in [
            (r"\d+", "٣", false),
            (r"\w", "é", false),
            (r"[\w-]+x", "a-x", true),
            (r"a{", "a{", true),
            (r"a{,2}", "a{,2}", true),
            (r"a{2}b", "aab", true),
            (r"[a[b]", "[", true),
            (r"[a&&b]", "&", true),
            (r"[]a]", "]", true),
            (r"[^]a]", "b", true),
            (r"[a-]", "-", true),
            (r"\Qa.b\E+", "a.bb", true),
            (r"\Qa.b\E", "axb", false),
            (r"\bfoo\b", "éfooé", true),
            (r"(?i)ПРИВЕТ", "привет", true),
            (r"[[:ascii:]]", "é", false),
            (r"^\p{L}+$", "aé", true),
            (r"[\p{Greek}\x{41}]", "A", true),
            (r"\x41\102", "AB", true),
            (r"(?P<x>a)(?<y>b)", "ab", true),
            (r"\_\-\/", "_-/", true),
        ] {
            assert_eq!(compile_search(pattern).unwrap().is_match(text), want, "{pattern} on {text}");
        }
    }

    #[test]
    fn refusals_in_go_words() {
        for (pattern, want) in [
            ("(", "missing closing ): `(`"),
            ("(?P<x>", "missing closing ): `(?P<x>`"),
            ("a)", "unexpected ): `a)`"),
            ("[a", "missing closing ]: `[a`"),
            ("*a", "missing argument to repetition operator: `*`"),
            (r"\1", r"invalid escape sequence: `\1`"),
            (r"\y", r"invalid escape sequence: `\y`"),
            ("\\", "trailing backslash at end of expression: ``"),
            ("a{1001}", "invalid repeat count: `{1001}`"),
            ("[b-a]", "invalid character class range: `b-a`"),
        ] {
            assert_eq!(
                compile_search(pattern).unwrap_err().to_string(),
                format!("error parsing regexp: {want}"),
                "{pattern}"
            );
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_translated_without_panic(pattern in ".*") {
            let _ = compile_search(&pattern);
            let _ = compile_anchored(&pattern);
        }
    }
}
