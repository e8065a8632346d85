//! The text of one series: `name{label="value",...}` or `{"any name",label="value"}`.

use std::borrow::Cow;

use memchr::{memchr, memchr2};

use super::error::{Token, quote_bytes, unexpected};
use super::{LabelPair, MetricKind, skip_blanks};

/// Index of the line break that ends the line at the start of `text`, or the length of `text`. Line breaks inside of
/// double quotes (they may stand raw in a label value) do not count, except in comments, which have no quotes.
pub(super) fn end_of_line(text: &[u8]) -> usize {
    let end = memchr(b'\n', text).unwrap_or(text.len());
    let first = skip_blanks(text, 0);
    if text.get(first) == Some(&b'#') || memchr(b'"', &text[..end]).is_none() {
        return end;
    }
    let mut at = 0;
    let mut is_quoted = false;
    loop {
        if is_quoted {
            match memchr2(b'"', b'\\', &text[at..]) {
                // An open quote swallows the rest of the body; the line's parser reports it.
                None => return end,
                Some(n) if text[at + n] == b'"' => {
                    is_quoted = false;
                    at += n + 1;
                }
                Some(n) => at = (at + n + 2).min(text.len()),
            }
        } else {
            match memchr2(b'"', b'\n', &text[at..]) {
                None => return text.len(),
                Some(n) if text[at + n] == b'\n' => return at + n,
                Some(n) => {
                    is_quoted = true;
                    at += n + 1;
                }
            }
        }
    }
}

/// Index one past the series text that begins at `start` of `line`. Finds the closing brace without reading labels.
///
/// # Errors
/// Text of the error when no series begins here or its braces or quotes stay open.
pub(super) fn end_of(line: &[u8], start: usize) -> Result<usize, String> {
    let name_end = end_of_identifier(line, start, true);
    let brace = skip_blanks(line, name_end);
    if line.get(brace) != Some(&b'{') {
        if name_end == start {
            return Err(unexpected("expected a valid start token", line, start, start, Token::Invalid));
        }
        return Ok(name_end);
    }
    let mut at = brace + 1;
    loop {
        match memchr2(b'"', b'}', &line[at..]) {
            Some(n) if line[at + n] == b'}' => return Ok(at + n + 1),
            Some(n) => match end_of_quoted(line, at + n) {
                Some(end) => at = end,
                None => return Err(open_quote(line, start, at + n)),
            },
            // Let the label parser say what is wrong before the end of the line.
            None => {
                return Err(match parse_braces(line, start, brace, &mut Vec::new()) {
                    Err(message) => message,
                    Ok(_) => {
                        unexpected("expected comma or brace close", line, start, line.len(), Token::Invalid)
                    }
                });
            }
        }
    }
}

/// Reads the labels of one series text.
pub(super) fn parse(text: &[u8], kind: MetricKind) -> Result<Vec<LabelPair<'_>>, String> {
    let mut pairs: Vec<LabelPair<'_>> = Vec::new();
    let name_end = end_of_identifier(text, 0, true);
    if name_end > 0 {
        pairs.push((Cow::Borrowed("__name__"), Cow::Borrowed(super::ascii(&text[..name_end]))));
    }
    let brace = skip_blanks(text, name_end);
    if text.get(brace) == Some(&b'{') {
        parse_braces(text, 0, brace, &mut pairs)?;
    }
    if !pairs.iter().any(|(name, value)| name == "__name__" && !value.is_empty()) {
        return Err(format!("metric name not set while parsing: {}", quote_bytes(text)));
    }
    let float_label = match kind {
        MetricKind::Histogram => "le",
        MetricKind::Summary => "quantile",
        _ => "",
    };
    for (name, value) in &mut pairs {
        if name == float_label
            && let Some(number) = cairn_model::number::parse_float(value)
        {
            *value = Cow::Owned(float_label_value(number));
        }
    }
    pairs.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    if let Some(twice) = pairs.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        return Err(format!(
            "label name {} is not unique: invalid sample",
            cairn_model::gotext::quote(&twice[0].0)
        ));
    }
    Ok(pairs)
}

/// Reads `{...}` from the brace at `at`; answers the index one past its end.
fn parse_braces<'a>(
    line: &'a [u8],
    start: usize,
    at: usize,
    pairs: &mut Vec<LabelPair<'a>>,
) -> Result<usize, String> {
    let mut at = skip_blanks(line, at + 1);
    loop {
        if line.get(at) == Some(&b'}') {
            return Ok(at + 1);
        }
        let is_quoted = line.get(at) == Some(&b'"');
        let (name, end) = label_name(line, start, at)?;
        at = skip_blanks(line, end);
        if line.get(at) == Some(&b'=') {
            at = skip_blanks(line, at + 1);
            if line.get(at) != Some(&b'"') {
                return Err(unexpected("expected label value", line, start, at, Token::Invalid));
            }
            let Some(end) = end_of_quoted(line, at) else {
                return Err(open_quote(line, start, at));
            };
            let Ok(value) = std::str::from_utf8(&line[at + 1..end - 1]) else {
                return Err(format!("invalid UTF-8 label value: {}", quote_bytes(&line[at..end])));
            };
            pairs.push((name, unescape(value, true)));
            at = skip_blanks(line, end);
        } else if is_quoted && !pairs.iter().any(|(known, _)| known == "__name__") {
            // A quoted text without a value is the metric's name.
            pairs.push((Cow::Borrowed("__name__"), name));
        } else {
            return Err(unexpected("expected equal", line, start, at, token_at(line, at)));
        }
        match line.get(at) {
            Some(b',') => at = skip_blanks(line, at + 1),
            Some(b'}') => return Ok(at + 1),
            _ => {
                return Err(unexpected("expected comma or brace close", line, start, at, token_at(line, at)));
            }
        }
    }
}

fn label_name(line: &[u8], start: usize, at: usize) -> Result<(Cow<'_, str>, usize), String> {
    if line.get(at) == Some(&b'"') {
        let Some(end) = end_of_quoted(line, at) else {
            return Err(open_quote(line, start, at));
        };
        let Ok(name) = std::str::from_utf8(&line[at + 1..end - 1]) else {
            return Err(format!("invalid UTF-8 label name: {}", quote_bytes(&line[at..end])));
        };
        return Ok((unescape(name, true), end));
    }
    let end = end_of_identifier(line, at, false);
    if end == at {
        return Err(unexpected("expected label name", line, start, at, token_at(line, at)));
    }
    Ok((Cow::Borrowed(super::ascii(&line[at..end])), end))
}

/// The family's name in `# TYPE` and `# HELP`, plain or quoted, and the index one past it.
pub(super) fn family_name(line: &[u8], at: usize) -> Result<Option<(Cow<'_, str>, usize)>, String> {
    if line.get(at) == Some(&b'"') {
        return match end_of_quoted(line, at) {
            Some(end) => label_name(line, at, at).map(|(name, _)| Some((name, end))),
            None => Ok(None),
        };
    }
    let end = end_of_identifier(line, at, true);
    // The name must be a word of its own: `# TYPE a-b counter` names nothing.
    let is_word = line.get(end).is_none_or(|b| matches!(b, b' ' | b'\t'));
    Ok((end > at && is_word).then(|| (Cow::Borrowed(super::ascii(&line[at..end])), end)))
}

/// Index one past the identifier at `at`; `at` itself when there is none. Colons only in metric names.
fn end_of_identifier(line: &[u8], at: usize, is_metric: bool) -> usize {
    let is_part = |index: usize, byte: u8| {
        byte.is_ascii_alphabetic()
            || byte == b'_'
            || (is_metric && byte == b':')
            || (index > 0 && byte.is_ascii_digit())
    };
    let text = line.get(at..).unwrap_or_default();
    at + text.iter().enumerate().take_while(|(index, byte)| is_part(*index, **byte)).count()
}

/// Index one past the closing quote of the quoted text whose opening quote stands at `at`.
fn end_of_quoted(line: &[u8], at: usize) -> Option<usize> {
    let mut at = at + 1;
    loop {
        let n = memchr2(b'"', b'\\', line.get(at..)?)?;
        if line[at + n] == b'"' {
            return Some(at + n + 1);
        }
        at += n + 2;
    }
}

fn open_quote(line: &[u8], start: usize, at: usize) -> String {
    let mut got = line[at..].to_vec();
    got.push(b'\n');
    let mut so_far = line[start..].to_vec();
    so_far.push(b'\n');
    format!(
        "expected label value, got {} (\"INVALID\") while parsing: {}",
        quote_bytes(&got),
        quote_bytes(&so_far)
    )
}

fn token_at(line: &[u8], at: usize) -> Token {
    match line.get(at) {
        Some(b'=') => Token::Equal,
        Some(b',') => Token::Comma,
        Some(b'}') => Token::BraceClose,
        Some(byte) if byte.is_ascii_alphabetic() || *byte == b'_' => Token::LabelName,
        _ => Token::Invalid,
    }
}

/// Replaces `\\`, `\n` and, in labels, `\"`. A backslash before anything else stays.
pub(super) fn unescape(text: &str, has_quotes: bool) -> Cow<'_, str> {
    if memchr(b'\\', text.as_bytes()).is_none() {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let replaced = match (c, chars.peek()) {
            ('\\', Some('\\')) => Some('\\'),
            ('\\', Some('n')) => Some('\n'),
            ('\\', Some('"')) if has_quotes => Some('"'),
            _ => None,
        };
        match replaced {
            Some(replacement) => {
                out.push(replacement);
                chars.next();
            }
            None => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// How Prometheus 3 spells the value of `le` and `quantile`: a float that shows that it is one (`1.0`, `0.5`, `1e+06`),
/// `+Inf`, `NaN`.
fn float_label_value(value: f64) -> String {
    if !value.is_finite() || value == 0.0 {
        let text = cairn_model::number::plain_float(value);
        return if value == 0.0 { format!("{text}.0") } else { text };
    }
    let scientific = format!("{value:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let power: i32 = exponent.parse().unwrap_or(0);
    // Go's FormatFloat with 'g' and the shortest precision: exponents below 1e-4 and from 1e6 on.
    if (-4..6).contains(&power) {
        let text = format!("{value}");
        return if text.contains('.') { text } else { format!("{text}.0") };
    }
    let sign = if power < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", power.abs())
}
