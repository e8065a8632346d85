//! Prometheus's text exposition format 0.0.4: what `/metrics` answers.
//!
//! The parser walks the bytes of one body and copies nothing. A [`Sample`] carries the *text* of its series
//! (`name{a="b"}`); turning that text into labels is a second step ([`Sample::labels`]), so that a scraper which has
//! seen the same text before can look its series up by the text alone and never builds a label.
//!
//! | file | holds |
//! |---|---|
//! | `exposition.rs` | the walk over lines: samples, `# TYPE`, `# HELP` |
//! | `exposition/series.rs` | the text of one series: where it ends, which labels it means |
//! | `exposition/error.rs` | errors in Prometheus's words |
//!
//! Bounds: time and memory are linear in the body, whose size the caller limits; nothing recurses, nothing panics.

mod error;
mod series;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use cairn_model::Labels;
use cairn_model::number::parse_float;

pub use error::ExpositionError;
use error::{Token, quote_bytes, unexpected};

/// Bits of the one NaN that is stored for every NaN that a target exposes; others have meanings of their own
/// (the staleness marker is one).
const NORMAL_NAN: u64 = 0x7ff8_0000_0000_0001;

/// What a family is said to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum MetricKind {
    /// Only goes up, or starts again from zero.
    Counter,
    /// Any value.
    Gauge,
    /// Buckets with `le`, `_sum`, `_count`.
    Histogram,
    /// Quantiles, `_sum`, `_count`.
    Summary,
    /// `untyped`, or no `# TYPE` line at all.
    #[default]
    Unknown,
}

impl MetricKind {
    /// The word that Prometheus's metadata API uses: `counter`, `gauge`, `histogram`, `summary`, `unknown`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::Summary => "summary",
            Self::Unknown => "unknown",
        }
    }
}

/// One line that says something.
#[derive(Clone, Debug, PartialEq)]
pub enum Item<'a> {
    /// A measured value.
    Sample(Sample<'a>),
    /// `# TYPE name kind`.
    Type {
        /// The family.
        name: Cow<'a, str>,
        /// Its kind.
        kind: MetricKind,
    },
    /// `# HELP name text`.
    Help {
        /// The family.
        name: Cow<'a, str>,
        /// The text with `\\` and `\n` unescaped.
        text: Cow<'a, str>,
    },
}

/// Name and value of one label.
pub type LabelPair<'a> = (Cow<'a, str>, Cow<'a, str>);

/// One sample line. The series text is not checked before [`labels`](Self::labels) is called.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample<'a> {
    /// The series as written, name and braces, without blanks at its ends. Equal bytes mean the same series as long as
    /// the family keeps its kind.
    pub series: &'a [u8],
    /// The value; every NaN has the bits `0x7ff8000000000001`.
    pub value: f64,
    /// Milliseconds since the epoch, when the line has a time.
    pub timestamp: Option<i64>,
    /// Kind given by the last `# TYPE` line, for the spelling of `le` and `quantile`.
    kind: MetricKind,
    /// Number of the line, from 1.
    line: usize,
}

impl<'a> Sample<'a> {
    /// Reads the labels, the metric's name as `__name__`. `le` of a histogram and `quantile` of a summary are
    /// rewritten as floats (`1` becomes `1.0`), as Prometheus 3 does; labels with an empty value are left out.
    ///
    /// # Errors
    /// [`ExpositionError`] when the text is no series, has no name or names a label twice.
    pub fn labels(&self) -> Result<Labels, ExpositionError> {
        self.pairs().map(Labels::from_pairs)
    }

    /// As [`labels`](Self::labels), but with the labels whose value is empty: a scraper that lets the body's labels win
    /// needs to know that one was set to nothing. Ascending by name, names unique, `__name__` among them.
    ///
    /// # Errors
    /// As [`labels`](Self::labels).
    pub fn pairs(&self) -> Result<Vec<LabelPair<'a>>, ExpositionError> {
        series::parse(self.series, self.kind).map_err(|message| ExpositionError { line: self.line, message })
    }

    /// Number of the line in the body, from 1.
    pub fn line(&self) -> usize {
        self.line
    }
}

/// Iterator over the lines of one body. After an error it ends: one bad line spoils the whole scrape.
#[derive(Clone, Debug)]
pub struct Parser<'a> {
    rest: &'a [u8],
    line: usize,
    kind: MetricKind,
    has_failed: bool,
}

impl<'a> Parser<'a> {
    /// Starts at the beginning of `body`.
    pub fn new(body: &'a [u8]) -> Self {
        Self { rest: body, line: 0, kind: MetricKind::Unknown, has_failed: false }
    }

    /// One line, without its end. `None` for comments and empty lines.
    fn read_line(&mut self, line: &'a [u8]) -> Result<Option<Item<'a>>, String> {
        let start = skip_blanks(line, 0);
        match line.get(start) {
            None => Ok(None),
            Some(b'#') => self.read_comment(line, start),
            Some(_) => self.read_sample(line, start).map(|sample| Some(Item::Sample(sample))),
        }
    }

    fn read_sample(&self, line: &'a [u8], start: usize) -> Result<Sample<'a>, String> {
        let end = series::end_of(line, start)?;
        let value_start = skip_blanks(line, end);
        let value_end = end_of_word(line, value_start);
        if value_start == value_end {
            let token =
                if line[end.min(line.len())..].is_empty() { Token::LineBreak } else { Token::Invalid };
            return Err(unexpected("expected value after metric", line, start, value_start, token));
        }
        let value = read_value(line, start, value_start, value_end)?;
        let time_start = skip_blanks(line, value_end);
        let mut time_end = time_start;
        while line.get(time_end).is_some_and(u8::is_ascii_digit) {
            time_end += 1;
        }
        let timestamp = if time_end == time_start {
            if time_start < line.len() {
                return Err(unexpected(
                    "expected timestamp or new record",
                    line,
                    start,
                    time_start,
                    Token::Invalid,
                ));
            }
            None
        } else {
            let digits = ascii(&line[time_start..time_end]);
            let Ok(time) = digits.parse::<i64>() else {
                return Err(format!("strconv.ParseInt: parsing \"{digits}\": value out of range"));
            };
            let rest = skip_blanks(line, time_end);
            if rest < line.len() {
                return Err(unexpected(
                    "expected next entry after timestamp",
                    line,
                    start,
                    rest,
                    Token::Invalid,
                ));
            }
            Some(time)
        };
        Ok(Sample { series: &line[start..end], value, timestamp, kind: self.kind, line: self.line })
    }

    /// `# TYPE`, `# HELP`, or a comment.
    fn read_comment(&mut self, line: &'a [u8], start: usize) -> Result<Option<Item<'a>>, String> {
        let word_start = skip_blanks(line, start + 1);
        let word_end = end_of_word(line, word_start);
        let word = &line[word_start..word_end];
        // `#TYPE` without a blank, `# TYPES`, and a keyword at the line's end are plain comments to Prometheus.
        if word_start == start + 1 || word_end == line.len() || (word != b"TYPE" && word != b"HELP") {
            return Ok(None);
        }
        let word = ascii(word);
        let name_start = skip_blanks(line, word_end);
        let (name, name_end) = series::family_name(line, name_start)?.ok_or_else(|| {
            let expected = format!("expected metric name after {word}");
            unexpected(&expected, line, start, name_start, Token::Invalid)
        })?;
        let text_start = skip_blanks(line, name_end);
        let text = &line[text_start..];
        if word == "TYPE" {
            let text = trim_end(text);
            let kind = match text {
                b"counter" => MetricKind::Counter,
                b"gauge" => MetricKind::Gauge,
                b"histogram" => MetricKind::Histogram,
                b"summary" => MetricKind::Summary,
                b"untyped" => MetricKind::Unknown,
                _ => return Err(format!("invalid metric type {}", quote_bytes(text))),
            };
            self.kind = kind;
            return Ok(Some(Item::Type { name, kind }));
        }
        let Ok(text) = std::str::from_utf8(text) else {
            return Err(format!("help text {} is not a valid utf8 string", quote_bytes(text)));
        };
        Ok(Some(Item::Help { name, text: series::unescape(text, false) }))
    }
}

impl<'a> Iterator for Parser<'a> {
    type Item = Result<Item<'a>, ExpositionError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.has_failed && !self.rest.is_empty() {
            // A line ends at the first line break outside of quotes; looking for the break first and checking for an
            // open quote only then keeps the common case at one fast search.
            let end = series::end_of_line(self.rest);
            let line = &self.rest[..end];
            self.rest = self.rest.get(end + 1..).unwrap_or_default();
            self.line += 1;
            match self.read_line(line) {
                Ok(None) => {}
                Ok(Some(item)) => return Some(Ok(item)),
                Err(message) => {
                    self.has_failed = true;
                    return Some(Err(ExpositionError { line: self.line, message }));
                }
            }
        }
        None
    }
}

fn read_value(line: &[u8], start: usize, value_start: usize, value_end: usize) -> Result<f64, String> {
    let text = &line[value_start..value_end];
    let failed = |reason: &str| format!("{reason} while parsing: {}", quote_bytes(&line[start..value_end]));
    if text.iter().any(|b| matches!(b, b'p' | b'P' | b'_')) {
        return Err(failed("unsupported character in float"));
    }
    let syntax = || failed(&format!("strconv.ParseFloat: parsing {}: invalid syntax", quote_bytes(text)));
    let text_str = std::str::from_utf8(text).map_err(|_| syntax())?;
    match parse_float(text_str) {
        Some(value) if value.is_nan() => Ok(f64::from_bits(NORMAL_NAN)),
        Some(value) => Ok(value),
        // Rust reads an overflow as infinity, and the words for infinity have been read already.
        None if text_str.parse::<f64>().is_ok_and(f64::is_infinite)
            && text.iter().any(u8::is_ascii_digit) =>
        {
            Err(failed(&format!("strconv.ParseFloat: parsing {}: value out of range", quote_bytes(text))))
        }
        None => Err(syntax()),
    }
}

/// Index of the first byte at or after `at` that is neither blank nor tab.
fn skip_blanks(line: &[u8], mut at: usize) -> usize {
    while line.get(at).is_some_and(|b| matches!(b, b' ' | b'\t')) {
        at += 1;
    }
    at
}

/// Index of the first blank or tab at or after `at`, or the line's length.
fn end_of_word(line: &[u8], at: usize) -> usize {
    line[at..].iter().position(|b| matches!(b, b' ' | b'\t')).map_or(line.len(), |n| at + n)
}

fn trim_end(text: &[u8]) -> &[u8] {
    let n = text.iter().rev().take_while(|b| matches!(b, b' ' | b'\t')).count();
    &text[..text.len() - n]
}

/// Text of bytes that a match has shown to be ASCII.
fn ascii(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or_default()
}
