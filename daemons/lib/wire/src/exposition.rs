//! What `/metrics` answers: Prometheus's text format 0.0.4, OpenMetrics 1.0, and the length-delimited protobuf form.
//!
//! One [`Parser`] for the three. It walks one body and copies nothing that it need not. A [`Sample`] carries a *key*: bytes
//! that mean the same series whenever they are equal (in text, the series as written: `name{a="b"}`). Turning a sample into
//! labels is a second step ([`Sample::pairs`]), so that a scraper that has seen the key before looks its series up by the
//! key alone and never builds a label. [`Parser::next_known`] goes further: a scraper that knows which key comes next, as
//! pages keep their order, does not even have it searched for.
//!
//! | file | holds |
//! |---|---|
//! | `exposition.rs` | formats, what a page is made of, the choice among the walks |
//! | `exposition/lexer.rs` | tokens of the text formats |
//! | `exposition/lines.rs` | the walk over lines |
//! | `exposition/series.rs` | the text of one series: which labels it means |
//! | `exposition/number.rs` | floats |
//! | `exposition/protobuf.rs` | the walk over metric families in protobuf |
//! | `exposition/protobuf/wire.rs` | protobuf's fields |
//! | `exposition/protobuf/metric.rs` | one metric of a family |
//! | `exposition/protobuf/native.rs` | its native histogram |
//! | [`classic`] | buckets with `le` to a native histogram |
//! | [`encode`] | the other way: families in protobuf, written |
//! | `exposition/error.rs` | errors in Prometheus's words |
//!
//! Bounds: time and memory are linear in the body, whose size the caller limits; nothing recurses, nothing panics.
//! Memory beyond the body is that of one family's longest key and of the one histogram that was asked for.

pub mod classic;
pub mod encode;
mod error;
mod lexer;
mod lines;
mod number;
mod protobuf;
mod series;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_open_metrics;
#[cfg(test)]
mod tests_protobuf;

use std::borrow::Cow;

use cairn_model::{Exemplar, Histogram, Labels, MetricType};

pub use error::ExpositionError;
pub use series::bucket_bound;

use lines::{LineParser, RawExemplar};
use protobuf::ProtobufParser;

/// A format of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// `text/plain`.
    Text,
    /// `application/openmetrics-text`.
    OpenMetrics,
    /// `application/vnd.google.protobuf`, delimited.
    Protobuf,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Text, Self::OpenMetrics, Self::Protobuf];

    /// The media type, without parameters.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain",
            Self::OpenMetrics => "application/openmetrics-text",
            Self::Protobuf => "application/vnd.google.protobuf",
        }
    }
}

/// What is wanted of histograms. The text formats have classic ones only, which they always give; see [`classic`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Native histograms are wanted; otherwise what a page has of them is left out.
    pub wants_native: bool,
    /// Classic buckets are wanted even of histograms that are native as well.
    pub keeps_classic: bool,
    /// Classic histograms are to become native ones with custom buckets.
    pub converts_classic: bool,
}

/// What a page is made of.
#[derive(Clone, Debug, PartialEq)]
pub enum Item<'p> {
    /// A measured value.
    Sample(Sample<'p>),
    /// What the family that begins here, or has begun, is.
    Type {
        /// The family, as written: without unescaping, as the peer has it.
        name: &'p str,
        /// Its type.
        metric_type: MetricType,
    },
    /// What a family means.
    Help {
        /// The family.
        name: &'p str,
        /// The text, unescaped.
        text: Cow<'p, str>,
    },
    /// The unit of a family.
    Unit {
        /// The family.
        name: &'p str,
        /// The unit; may be empty.
        unit: &'p str,
    },
}

/// Name and value of one label.
pub type LabelPair<'a> = (Cow<'a, str>, Cow<'a, str>);

/// What a sample says.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A number; every NaN has the bits `0x7ff8000000000001`.
    Float(f64),
    /// A distribution: compact, its spans as many as its buckets, otherwise not validated.
    Histogram(Box<Histogram>),
}

/// One sample. Its labels are not checked before [`pairs`](Self::pairs) is called.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample<'p> {
    /// Equal keys mean equal series, as long as the family keeps its type and the page its format.
    pub key: &'p [u8],
    /// The value.
    pub value: Value,
    /// Milliseconds since the epoch, when the page has a time.
    pub timestamp: Option<i64>,
    /// When the counting began, in milliseconds, when the sample itself says so (protobuf). OpenMetrics says it in a sample
    /// of its own, `<family>_created`, which is handed over as any other.
    pub start_ms: Option<i64>,
    source: Source<'p>,
}

/// Where labels and exemplars are read from when they are wanted.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Source<'p> {
    Text { metric_type: MetricType, exemplar: Option<RawExemplar<'p>> },
    Protobuf(protobuf::SampleSource<'p>),
}

impl<'p> Sample<'p> {
    /// Reads the labels, the metric's name as `__name__`; labels with an empty value are left out.
    ///
    /// # Errors
    /// As [`pairs`](Self::pairs).
    pub fn labels(&self) -> Result<Labels, String> {
        self.pairs().map(Labels::from_pairs)
    }

    /// Reads the labels, the metric's name as `__name__`, with those whose value is empty: a scraper that lets the body's
    /// labels win needs to know that one was set to nothing. Ascending by name, names unique. `le` of a histogram and
    /// `quantile` of a summary are spelled as floats (`1` becomes `1.0`), as Prometheus 3 does.
    ///
    /// # Errors
    /// A text in Prometheus's words, when a name or value is no UTF-8 or a label comes twice.
    pub fn pairs(&self) -> Result<Vec<LabelPair<'p>>, String> {
        match &self.source {
            Source::Text { metric_type, .. } => series::parse(self.key, *metric_type),
            Source::Protobuf(source) => source.pairs(),
        }
    }

    /// Whether there may be exemplars: a cheap look before [`exemplars`](Self::exemplars).
    pub fn has_exemplars(&self) -> bool {
        match &self.source {
            Source::Text { exemplar, .. } => exemplar.is_some(),
            Source::Protobuf(source) => source.has_exemplars(),
        }
    }

    /// Appends the sample's exemplars to `out`. Of a native histogram only those with a time, as the peer has it.
    ///
    /// # Errors
    /// A text when one cannot be read.
    pub fn exemplars(&self, out: &mut Vec<Exemplar>) -> Result<(), String> {
        match &self.source {
            Source::Text { exemplar: None, .. } => Ok(()),
            Source::Text { exemplar: Some(raw), .. } => {
                let labels = Labels::from_pairs(lines::exemplar_pairs(raw)?);
                out.push(Exemplar { labels, value: raw.value, time_ms: raw.time_ms });
                Ok(())
            }
            Source::Protobuf(source) => source.exemplars(out),
        }
    }
}

/// The walk over one body. After an error it ends: one bad line spoils the whole scrape.
#[derive(Debug)]
pub struct Parser<'a>(Walk<'a>);

#[derive(Debug)]
enum Walk<'a> {
    Lines(LineParser<'a>),
    Protobuf(Box<ProtobufParser<'a>>),
}

impl<'a> Parser<'a> {
    /// Starts at the beginning of `body`.
    pub fn new(body: &'a [u8], format: Format, options: Options) -> Self {
        Self(match format {
            Format::Text => Walk::Lines(LineParser::new(body, false)),
            Format::OpenMetrics => Walk::Lines(LineParser::new(body, true)),
            Format::Protobuf => Walk::Protobuf(Box::new(ProtobufParser::new(body, options))),
        })
    }

    /// The next item; it lives until the next call. `None` at the end of the page.
    ///
    /// # Errors
    /// [`ExpositionError`], once; nothing follows it.
    #[expect(clippy::should_implement_trait, reason = "what it hands out borrows from the parser")]
    pub fn next(&mut self) -> Option<Result<Item<'_>, ExpositionError>> {
        match &mut self.0 {
            Walk::Lines(parser) => parser.next(),
            Walk::Protobuf(parser) => parser.next(),
        }
    }

    /// As [`next`](Self::next), for a caller that guesses what comes: if the next line of a text begins with `len` bytes
    /// and `is_known` says of them that they are a key handed out before, the sample is read without looking for the end
    /// of its labels. `None`: the guess is wrong, nothing was read, and `next` goes on.
    #[inline]
    pub fn next_known(
        &mut self,
        len: usize,
        is_known: impl FnOnce(&[u8]) -> bool,
    ) -> Option<Result<Item<'_>, ExpositionError>> {
        match &mut self.0 {
            Walk::Lines(parser) => parser.next_known(len, is_known),
            Walk::Protobuf(_) => None,
        }
    }

    /// As [`next_known`](Self::next_known), for a line that has nothing but a value, which is answered. `None`: it has a
    /// time or an exemplar as well, or the guess is wrong, and nothing was read.
    #[inline]
    pub fn next_value(&mut self, len: usize, is_known: impl FnOnce(&[u8]) -> bool) -> Option<f64> {
        match &mut self.0 {
            Walk::Lines(parser) => parser.next_value(len, is_known),
            Walk::Protobuf(_) => None,
        }
    }

    /// Where in the body of a text the comment line begins that comes next; `None`: something else comes.
    #[inline]
    pub fn comment_start(&self) -> Option<usize> {
        match &self.0 {
            Walk::Lines(parser) => parser.comment_start(),
            Walk::Protobuf(_) => None,
        }
    }

    /// Where in the body of a text the key of the last sample begins: what lies between a
    /// [`comment_start`](Self::comment_start) and it are whole lines.
    pub fn key_start(&self) -> Option<usize> {
        match &self.0 {
            Walk::Lines(parser) => Some(parser.key_start()),
            Walk::Protobuf(_) => None,
        }
    }

    /// Goes on behind the next `len` bytes of a text, if `is_known` says of them that they are lines of comments which
    /// were read before; the last type that they give is `metric_type`. False: they are not, and nothing was read.
    #[inline]
    pub fn skip_known(
        &mut self,
        len: usize,
        metric_type: Option<MetricType>,
        is_known: impl FnOnce(&[u8]) -> bool,
    ) -> bool {
        match &mut self.0 {
            Walk::Lines(parser) => parser.skip_known(len, metric_type, is_known),
            Walk::Protobuf(_) => false,
        }
    }
}

/// Reads a whole body and hands on every item with its labels and exemplars: the entry for fuzzing, and for tools that read
/// a page once.
///
/// # Errors
/// [`ExpositionError`]
pub fn parse(
    body: &[u8],
    format: Format,
    options: Options,
    mut each: impl FnMut(&Item<'_>, Option<&Labels>, &[Exemplar]),
) -> Result<(), ExpositionError> {
    let mut parser = Parser::new(body, format, options);
    let mut exemplars = Vec::new();
    while let Some(item) = parser.next() {
        let item = item?;
        exemplars.clear();
        let labels = match &item {
            Item::Sample(sample) => {
                let wrong = |message| ExpositionError { offset: 0, message };
                sample.exemplars(&mut exemplars).map_err(wrong)?;
                Some(sample.labels().map_err(wrong)?)
            }
            _ => None,
        };
        each(&item, labels.as_ref(), &exemplars);
    }
    Ok(())
}
