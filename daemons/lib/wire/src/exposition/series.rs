//! The text of one series, `name{label="value",...}` or `{"any name",label="value"}`, and of an exemplar's labels.

use std::borrow::Cow;

use cairn_model::MetricType;
use memchr::memchr;

use super::LabelPair;
use super::error::quote_bytes;
use super::lexer::{Lexer, State, Token};
use super::number::{label_float, read_float};

/// Reads the labels of one series text that the parser has walked over: its quotes and braces are whole.
///
/// # Errors
/// A text in the peer's words: a name that is no UTF-8, a label twice.
pub(super) fn parse(text: &[u8], metric_type: MetricType) -> Result<Vec<LabelPair<'_>>, String> {
    let mut pairs = Vec::new();
    let mut lexer = Lexer::new(text, false);
    read_pairs(&mut lexer, &mut pairs)?;
    let float_label = match metric_type {
        MetricType::Histogram => "le",
        MetricType::Summary => "quantile",
        _ => "",
    };
    for (name, value) in &mut pairs {
        if name == float_label
            && let Some(number) = cairn_model::number::parse_float(value)
        {
            *value = Cow::Owned(label_float(number));
        }
    }
    sort(pairs)
}

/// Ascending by name, names unique.
pub(super) fn sort(mut pairs: Vec<LabelPair<'_>>) -> Result<Vec<LabelPair<'_>>, String> {
    pairs.sort_by(|a, b| a.0.cmp(&b.0));
    if let Some(twice) = pairs.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        let name = cairn_model::gotext::quote(&twice[0].0);
        return Err(format!("label name {name} is not unique: invalid sample"));
    }
    Ok(pairs)
}

/// Reads the labels between the braces of an exemplar, `a="b",c="d"}`.
pub(super) fn parse_exemplar(text: &[u8]) -> Result<Vec<LabelPair<'_>>, String> {
    let mut pairs = Vec::new();
    let mut lexer = Lexer::new(text, false);
    lexer.state = State::Labels;
    read_pairs(&mut lexer, &mut pairs)?;
    sort(pairs)
}

fn read_pairs<'a>(lexer: &mut Lexer<'a>, pairs: &mut Vec<LabelPair<'a>>) -> Result<(), String> {
    let invalid =
        |lexer: &Lexer<'a>| format!("invalid metric name or label names: {}", quote_bytes(lexer.text));
    let mut name: Option<(&'a [u8], bool)> = None;
    loop {
        match lexer.next() {
            Token::MetricName => {
                let text = as_text(lexer.token()).ok_or_else(|| invalid(lexer))?;
                pairs.push((Cow::Borrowed("__name__"), Cow::Borrowed(text)));
            }
            Token::BraceOpen | Token::Equal => {}
            Token::LabelName => name = Some((lexer.token(), false)),
            Token::Quoted => name = Some((unquote(lexer.token()), true)),
            Token::LabelValue => {
                let (name, is_quoted) = name.take().unwrap_or_default();
                let name = as_text(name).ok_or_else(|| invalid(lexer))?;
                let value = as_text(unquote(lexer.token()))
                    .ok_or_else(|| format!("invalid UTF-8 label value: {}", quote_bytes(lexer.token())))?;
                let name = if is_quoted { unescape(name, true) } else { Cow::Borrowed(name) };
                pairs.push((name, unescape(value, true)));
            }
            // A quoted text without a value is the metric's name.
            token @ (Token::Comma | Token::BraceClose) => {
                if let Some((name, true)) = name.take() {
                    let name = as_text(name).ok_or_else(|| invalid(lexer))?;
                    pairs.push((Cow::Borrowed("__name__"), unescape(name, true)));
                }
                if token == Token::BraceClose {
                    return Ok(());
                }
            }
            _ => return Ok(()),
        }
    }
}

/// Without the first and the last byte.
pub(super) fn unquote(text: &[u8]) -> &[u8] {
    text.get(1..text.len().saturating_sub(1)).unwrap_or_default()
}

fn as_text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

/// The upper bound that an `le` says.
pub fn bucket_bound(value: &str) -> Option<f64> {
    read_float(value.as_bytes()).ok().filter(|bound| !bound.is_nan())
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
