//! The walk over the two text formats, 0.0.4 and OpenMetrics.

use cairn_model::MetricType;

use super::error::{quote_bytes, unexpected};
use super::lexer::{Lexer, State, Token};
use super::number::{read_float, read_value, short_decimal};
use super::series;
use super::{ExpositionError, Item, LabelPair, Sample, Source, Value};

/// An exemplar as it stands on a line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct RawExemplar<'a> {
    /// Labels with the closing brace.
    pub(super) labels: &'a [u8],
    pub(super) value: f64,
    pub(super) time_ms: Option<i64>,
}

/// Walks the lines of one body.
#[derive(Clone, Debug)]
pub(super) struct LineParser<'a> {
    lexer: Lexer<'a>,
    metric_type: MetricType,
    /// Where the last sample's key began.
    key_start: usize,
    is_done: bool,
}

/// What stands on a line after the series.
struct Rest<'a> {
    value: f64,
    timestamp: Option<i64>,
    exemplar: Option<RawExemplar<'a>>,
}

impl<'a> LineParser<'a> {
    pub(super) fn new(body: &'a [u8], is_open_metrics: bool) -> Self {
        Self {
            lexer: Lexer::new(body, is_open_metrics),
            metric_type: MetricType::Unknown,
            key_start: 0,
            is_done: false,
        }
    }

    /// Where the comment begins that comes next, if there is one at the very start of the line.
    pub(super) fn comment_start(&self) -> Option<usize> {
        let at = self.lexer.at;
        (self.is_at_line() && self.lexer.text.get(at) == Some(&b'#')).then_some(at)
    }

    pub(super) fn key_start(&self) -> usize {
        self.key_start
    }

    fn is_at_line(&self) -> bool {
        !self.is_done && self.lexer.state == State::Init
    }

    /// Goes on behind the next `len` bytes, if `is_known` knows them.
    pub(super) fn skip_known(
        &mut self,
        len: usize,
        metric_type: Option<MetricType>,
        is_known: impl FnOnce(&[u8]) -> bool,
    ) -> bool {
        let start = self.lexer.at;
        let known = start.checked_add(len).filter(|_| self.is_at_line());
        let Some(end) = known.filter(|&end| self.lexer.text.get(start..end).is_some_and(is_known)) else {
            return false;
        };
        (self.lexer.start, self.lexer.at) = (start, end);
        self.metric_type = metric_type.unwrap_or(self.metric_type);
        true
    }

    pub(super) fn next(&mut self) -> Option<Result<Item<'a>, ExpositionError>> {
        if self.is_done {
            return None;
        }
        let start = self.lexer.at;
        match self.read() {
            Ok(Some(item)) => Some(Ok(item)),
            Ok(None) => {
                self.is_done = true;
                None
            }
            Err(message) => {
                self.is_done = true;
                Some(Err(ExpositionError { offset: start, message }))
            }
        }
    }

    /// As [`next`](Self::next) when the line begins with `len` bytes that `is_known` knows for a whole series text: its
    /// labels are not looked at. `None`: it does not, and nothing was read.
    pub(super) fn next_known(
        &mut self,
        len: usize,
        is_known: impl FnOnce(&[u8]) -> bool,
    ) -> Option<Result<Item<'a>, ExpositionError>> {
        let start = self.lexer.at;
        let (series, after) = self.known_series(len, is_known)?;
        self.key_start = start;
        if let Some((value, end)) = self.plain_value(after) {
            self.lexer.at = end;
            return Some(Ok(self.sample(series, Rest { value, timestamp: None, exemplar: None })));
        }
        self.lexer.at = start + len;
        self.lexer.start = start;
        self.lexer.state = State::Value;
        let token = self.lexer.next();
        Some(match self.read_rest(start, token) {
            Ok(rest) => Ok(self.sample(series, rest)),
            Err(message) => {
                self.is_done = true;
                Err(ExpositionError { offset: start, message })
            }
        })
    }

    /// As [`next_known`](Self::next_known), for a line that has nothing but a value, which is answered. `None`: it has
    /// more, or is not known, and nothing was read.
    #[inline]
    pub(super) fn next_value(&mut self, len: usize, is_known: impl FnOnce(&[u8]) -> bool) -> Option<f64> {
        let (_, after) = self.known_series(len, is_known)?;
        let (value, end) = self.plain_value(after)?;
        self.key_start = self.lexer.at;
        self.lexer.at = end;
        Some(value)
    }

    /// The series text of `len` bytes, if the line begins with one that is known, and the first byte that is neither it
    /// nor, in plain text, a blank.
    #[inline]
    fn known_series(&self, len: usize, is_known: impl FnOnce(&[u8]) -> bool) -> Option<(&'a [u8], usize)> {
        if !self.is_at_line() {
            return None;
        }
        let text = self.lexer.text;
        let end = self.lexer.at.checked_add(len)?;
        let series = text.get(self.lexer.at..end)?;
        let is_blank = |at: usize| matches!(text.get(at), Some(b' ' | b'\t'));
        let mut after = end;
        while !self.lexer.is_open_metrics && is_blank(after) {
            after += 1;
        }
        // A bare name ends here only before a blank, and has no labels only if none follow the blanks.
        let is_whole = series.last() == Some(&b'}') || (is_blank(end) && text.get(after) != Some(&b'{'));
        let is_series = is_whole && !matches!(series.first(), None | Some(b'#'));
        (is_series && is_known(series)).then_some((series, after))
    }

    /// The value at a place, if it is a plain decimal and ends the line, and where the next line begins.
    #[inline]
    fn plain_value(&self, at: usize) -> Option<(f64, usize)> {
        let text = self.lexer.text;
        let has_space = self.lexer.is_open_metrics && text.get(at) == Some(&b' ');
        if self.lexer.is_open_metrics && !has_space {
            return None;
        }
        let number = at + usize::from(has_space);
        let (value, n) = short_decimal(text.get(number..)?)?;
        let end = number + n;
        (text.get(end) == Some(&b'\n')).then_some((value, end + 1))
    }

    fn sample(&self, series: &'a [u8], rest: Rest<'a>) -> Item<'a> {
        Item::Sample(Sample {
            key: series,
            value: Value::Float(rest.value),
            timestamp: rest.timestamp,
            start_ms: None,
            source: Source::Text { metric_type: self.metric_type, exemplar: rest.exemplar },
        })
    }

    fn read(&mut self) -> Result<Option<Item<'a>>, String> {
        loop {
            let start = self.lexer.at;
            let token = self.lexer.next();
            match token {
                Token::Eof if self.lexer.is_open_metrics => return Err(NO_EOF.to_owned()),
                Token::Eof => return Ok(None),
                Token::EofWord => {
                    return match self.lexer.next() {
                        Token::Eof => Ok(None),
                        _ => Err("unexpected data after # EOF".to_owned()),
                    };
                }
                Token::LineBreak if !self.lexer.is_open_metrics => {}
                Token::Comment => match self.lexer.next() {
                    Token::LineBreak => {}
                    token => {
                        return Err(unexpected(
                            "linebreak expected after comment",
                            &self.lexer,
                            start,
                            token,
                        ));
                    }
                },
                Token::Help | Token::Type | Token::Unit => return self.read_metadata(start, token).map(Some),
                Token::BraceOpen => {
                    let series_start = self.lexer.start;
                    self.key_start = series_start;
                    let has_name = self.read_labels(start, false, false)?;
                    let series = self.lexer.slice(series_start, self.lexer.at);
                    let token = self.lexer.next();
                    if !has_name {
                        let so_far = quote_bytes(self.lexer.slice(start, self.lexer.at));
                        return Err(format!("metric name not set while parsing: {so_far}"));
                    }
                    let rest = self.read_rest(start, token)?;
                    return Ok(Some(self.sample(series, rest)));
                }
                Token::MetricName => {
                    let series_start = self.lexer.start;
                    self.key_start = series_start;
                    let mut series_end = self.lexer.at;
                    let mut token = self.lexer.next();
                    if token == Token::BraceOpen {
                        self.read_labels(start, true, false)?;
                        series_end = self.lexer.at;
                        token = self.lexer.next();
                    }
                    let series = self.lexer.slice(series_start, series_end);
                    let rest = self.read_rest(start, token)?;
                    return Ok(Some(self.sample(series, rest)));
                }
                token => return Err(unexpected("expected a valid start token", &self.lexer, start, token)),
            }
        }
    }

    /// `# TYPE`, `# HELP`, `# UNIT`.
    fn read_metadata(&mut self, start: usize, word: Token) -> Result<Item<'a>, String> {
        let token = self.lexer.next();
        if token != Token::MetricName {
            let expected = format!("expected metric name after {}", word.as_str());
            return Err(unexpected(&expected, &self.lexer, start, token));
        }
        let mut raw_name = self.lexer.token();
        if raw_name.first() == Some(&b'"') {
            raw_name = series::unquote(raw_name);
        }
        if self.lexer.next() != Token::Text {
            return Err(format!("expected text in {}", word.as_str()));
        }
        let mut text = self.lexer.token();
        text = text.get(1..).unwrap_or_default();
        if self.lexer.is_open_metrics {
            text = text.strip_suffix(b"\n").unwrap_or(text);
        }
        let invalid_name = || format!("invalid metric name: {}", quote_bytes(raw_name));
        let name = std::str::from_utf8(raw_name).map_err(|_| invalid_name())?;
        let item = match word {
            Token::Type => {
                self.metric_type = self
                    .metric_type(text)
                    .ok_or_else(|| format!("invalid metric type {}", quote_bytes(text)))?;
                Item::Type { name, metric_type: self.metric_type }
            }
            Token::Help => {
                let Ok(text) = std::str::from_utf8(text) else {
                    return Err(format!("help text {} is not a valid utf8 string", quote_bytes(text)));
                };
                Item::Help { name, text: series::unescape(text, self.lexer.is_open_metrics) }
            }
            _ => {
                let is_suffix = raw_name.strip_suffix(text).is_some_and(|rest| rest.last() == Some(&b'_'));
                let Some(unit) = std::str::from_utf8(text).ok().filter(|_| text.is_empty() || is_suffix)
                else {
                    return Err(format!(
                        "unit {} not a suffix of metric {}",
                        quote_bytes(text),
                        quote_bytes(raw_name)
                    ));
                };
                Item::Unit { name, unit }
            }
        };
        if !self.lexer.is_open_metrics {
            let token = self.lexer.next();
            if token != Token::LineBreak {
                return Err(unexpected("linebreak expected after metadata", &self.lexer, start, token));
            }
        }
        Ok(item)
    }

    fn metric_type(&self, text: &[u8]) -> Option<MetricType> {
        Some(match (text, self.lexer.is_open_metrics) {
            (b"counter", _) => MetricType::Counter,
            (b"gauge", _) => MetricType::Gauge,
            (b"histogram", _) => MetricType::Histogram,
            (b"summary", _) => MetricType::Summary,
            (b"untyped", false) | (b"unknown", true) => MetricType::Unknown,
            (b"gaugehistogram", true) => MetricType::GaugeHistogram,
            (b"info", true) => MetricType::Info,
            (b"stateset", true) => MetricType::StateSet,
            _ => return None,
        })
    }

    /// From after the opening brace to after the closing one. True: the metric's name is known, from before or from
    /// a quoted text without a value.
    fn read_labels(&mut self, start: usize, has_name: bool, is_exemplar: bool) -> Result<bool, String> {
        let mut has_name = has_name;
        let mut token = self.lexer.next();
        loop {
            let is_quoted = token == Token::Quoted;
            match token {
                Token::BraceClose => return Ok(has_name),
                Token::LabelName | Token::Quoted => {}
                _ => return Err(unexpected("expected label name", &self.lexer, start, token)),
            }
            token = self.lexer.next();
            if is_quoted && matches!(token, Token::Comma | Token::BraceClose) {
                if is_exemplar {
                    return Err(unexpected("expected label name", &self.lexer, start, token));
                }
                if has_name {
                    let so_far = quote_bytes(self.lexer.slice(start, self.lexer.at));
                    return Err(format!("metric name already set while parsing: {so_far}"));
                }
                has_name = true;
                if token == Token::BraceClose {
                    return Ok(true);
                }
                token = self.lexer.next();
                continue;
            }
            if token != Token::Equal {
                return Err(unexpected("expected equal", &self.lexer, start, token));
            }
            token = self.lexer.next();
            if token != Token::LabelValue {
                return Err(unexpected("expected label value", &self.lexer, start, token));
            }
            if std::str::from_utf8(self.lexer.token()).is_err() {
                return Err(format!("invalid UTF-8 label value: {}", quote_bytes(self.lexer.token())));
            }
            token = self.lexer.next();
            if token == Token::Comma {
                token = self.lexer.next();
            } else if self.lexer.is_open_metrics && token != Token::BraceClose {
                // Plain text forgives a missing comma, as the peer does.
                return Err(unexpected("expected comma or brace close", &self.lexer, start, token));
            }
        }
    }

    /// Value, time and exemplar; `token` is the first after the series.
    fn read_rest(&mut self, start: usize, token: Token) -> Result<Rest<'a>, String> {
        if self.lexer.is_open_metrics {
            return self.read_open_metrics_rest(start, token);
        }
        if token != Token::Value {
            return Err(unexpected("expected value after metric", &self.lexer, start, token));
        }
        let value = read_value(self.lexer.token()).map_err(|message| self.while_parsing(&message, start))?;
        let mut rest = Rest { value, timestamp: None, exemplar: None };
        match self.lexer.next() {
            Token::LineBreak => {}
            Token::Timestamp => {
                let digits = std::str::from_utf8(self.lexer.token()).unwrap_or_default();
                let Ok(time) = digits.parse::<i64>() else {
                    let message = format!("strconv.ParseInt: parsing \"{digits}\": value out of range");
                    return Err(self.while_parsing(&message, start));
                };
                rest.timestamp = Some(time);
                let token = self.lexer.next();
                if token != Token::LineBreak {
                    return Err(unexpected("expected next entry after timestamp", &self.lexer, start, token));
                }
            }
            token => {
                return Err(unexpected("expected timestamp or new record", &self.lexer, start, token));
            }
        }
        Ok(rest)
    }

    fn read_open_metrics_rest(&mut self, start: usize, token: Token) -> Result<Rest<'a>, String> {
        let value = self.read_spaced_float("metric", start, token)?;
        let mut rest = Rest { value, timestamp: None, exemplar: None };
        match self.lexer.next() {
            Token::Eof => return Err(NO_EOF.to_owned()),
            Token::Comment => rest.exemplar = Some(self.read_exemplar(start)?),
            Token::Timestamp => {
                rest.timestamp = Some(self.read_seconds("timestamp", start)?);
                match self.lexer.next() {
                    Token::LineBreak => {}
                    Token::Comment => rest.exemplar = Some(self.read_exemplar(start)?),
                    token => {
                        return Err(unexpected(
                            "expected next entry after timestamp",
                            &self.lexer,
                            start,
                            token,
                        ));
                    }
                }
            }
            // Anything else is met again as the start of the next line, which it cannot be.
            _ => {}
        }
        Ok(rest)
    }

    /// After ` # {`.
    fn read_exemplar(&mut self, start: usize) -> Result<RawExemplar<'a>, String> {
        let labels_start = self.lexer.at;
        self.read_labels(start, false, true)?;
        let labels = self.lexer.slice(labels_start, self.lexer.at);
        let token = self.lexer.next();
        let value = self.read_spaced_float("exemplar labels", start, token)?;
        let mut exemplar = RawExemplar { labels, value, time_ms: None };
        match self.lexer.next() {
            Token::Eof => return Err(NO_EOF.to_owned()),
            Token::LineBreak => {}
            Token::Timestamp => {
                exemplar.time_ms = Some(self.read_seconds("exemplar timestamp", start)?);
                let token = self.lexer.next();
                if token != Token::LineBreak {
                    return Err(unexpected(
                        "expected next entry after exemplar timestamp",
                        &self.lexer,
                        start,
                        token,
                    ));
                }
            }
            token => return Err(unexpected("expected timestamp or comment", &self.lexer, start, token)),
        }
        Ok(exemplar)
    }

    fn read_spaced_float(&self, after: &str, start: usize, token: Token) -> Result<f64, String> {
        if token != Token::Value {
            return Err(unexpected(&format!("expected value after {after}"), &self.lexer, start, token));
        }
        let text = self.lexer.token().get(1..).unwrap_or_default();
        read_value(text).map_err(|message| self.while_parsing(&message, start))
    }

    /// The last token as seconds, in milliseconds.
    fn read_seconds(&self, what: &str, start: usize) -> Result<i64, String> {
        let text = self.lexer.token().get(1..).unwrap_or_default();
        let seconds = read_float(text).map_err(|message| self.while_parsing(&message, start))?;
        if !seconds.is_finite() {
            return Err(format!("invalid {what} {}", cairn_model::number::plain_float(seconds)));
        }
        #[expect(
            clippy::cast_possible_truncation,
            reason = "fractions of a millisecond go, years beyond i64 stay at its end"
        )]
        let ms = (seconds * 1000.0) as i64;
        Ok(ms)
    }

    fn while_parsing(&self, message: &str, start: usize) -> String {
        format!("{message} while parsing: {}", quote_bytes(self.lexer.slice(start, self.lexer.at)))
    }
}

const NO_EOF: &str = "data does not end with # EOF";

/// Labels of a series text; see [`Sample::pairs`](super::Sample::pairs).
pub(super) fn exemplar_pairs<'a>(raw: &RawExemplar<'a>) -> Result<Vec<LabelPair<'a>>, String> {
    series::parse_exemplar(raw.labels)
}
