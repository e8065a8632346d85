//! The walk over the protobuf form: `io.prometheus.client.MetricFamily` messages, each behind its length.
//!
//! ```text
//! MetricFamily { name = 1, help = 2, type = 3, metric = 4, unit = 5 }
//! Metric { label = 1, gauge = 2, counter = 3, summary = 4, untyped = 5, timestamp_ms = 6, histogram = 7 }
//! ```
//!
//! A family is walked twice: for its name, help, type and unit, which may stand behind its metrics, and for the metrics. A
//! metric that text would give on several lines (a summary, a classic histogram) is given as several samples, with the
//! names and labels of those lines, in the peer's order. The key of a sample is the family's name, the labels as they are
//! on the wire, and which of those lines it is.

mod metric;
mod native;
mod wire;

use std::borrow::Cow;

use cairn_model::{Exemplar, MetricType};

use super::classic::ClassicBuilder;
use super::number::{label_float, normal};
use super::{ExpositionError, Item, LabelPair, Options, Sample, Source, Value, series};

use metric::{Kind, Metric, next_point, read_exemplar, read_labels};
use wire::{Fields, WireError, varint};

/// Longest length in front of a family: five bytes of a varint, as the peer has it.
const MAX_LENGTH_BYTES: usize = 5;

/// Ends the name in a key: no byte of UTF-8.
const AFTER_NAME: u8 = 0xff;

/// Where labels and exemplars of a sample are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct SampleSource<'a> {
    name: &'a str,
    suffix: &'static str,
    /// `le` or `quantile`.
    bound: Option<(&'static str, f64)>,
    metric: &'a [u8],
    exemplars: Exemplars<'a>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Exemplars<'a> {
    None,
    One(&'a [u8]),
    /// Those of the histogram, or of its buckets if it has none, that have a time.
    Native(&'a [u8]),
}

impl<'a> SampleSource<'a> {
    pub(super) fn pairs(&self) -> Result<Vec<LabelPair<'a>>, String> {
        let name = match self.suffix {
            "" => Cow::Borrowed(self.name),
            suffix => Cow::Owned(format!("{}{suffix}", self.name)),
        };
        let mut pairs = vec![(Cow::Borrowed("__name__"), name)];
        read_labels(self.metric, &mut pairs)?;
        if let Some((name, bound)) = self.bound {
            pairs.push((Cow::Borrowed(name), Cow::Owned(label_float(bound))));
        }
        series::sort(pairs)
    }

    pub(super) fn has_exemplars(&self) -> bool {
        self.exemplars != Exemplars::None
    }

    pub(super) fn exemplars(&self, out: &mut Vec<Exemplar>) -> Result<(), String> {
        match self.exemplars {
            Exemplars::None => Ok(()),
            Exemplars::One(message) => {
                out.push(read_exemplar(message)?);
                Ok(())
            }
            Exemplars::Native(histogram) => {
                let before = out.len();
                let mut has_own = false;
                for field in Fields::new(histogram) {
                    if let (16, field) = field.map_err(|error| error.0)? {
                        has_own = true;
                        out.push(read_exemplar(field.bytes("Exemplar").map_err(|error| error.0)?)?);
                    }
                }
                if !has_own {
                    let mut buckets = Fields::new(histogram);
                    while let Some(point) = next_point(&mut buckets, true).map_err(|error| error.0)? {
                        if let Some(message) = point.exemplar {
                            out.push(read_exemplar(message)?);
                        }
                    }
                }
                let mut index = 0;
                out.retain(|exemplar| {
                    index += 1;
                    index <= before || exemplar.time_ms.is_some()
                });
                Ok(())
            }
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Family<'a> {
    name: &'a str,
    help: &'a str,
    unit: &'a str,
    kind: Kind,
}

impl Family<'_> {
    fn metric_type(&self) -> MetricType {
        match self.kind {
            Kind::Counter => MetricType::Counter,
            Kind::Gauge => MetricType::Gauge,
            Kind::Summary => MetricType::Summary,
            Kind::Untyped => MetricType::Unknown,
            Kind::Histogram => MetricType::Histogram,
            Kind::GaugeHistogram => MetricType::GaugeHistogram,
        }
    }
}

/// What is given next.
#[derive(Clone, Copy, Debug)]
enum Step<'a> {
    Family,
    Unit,
    Type,
    Metric,
    /// The metric's own value.
    Plain,
    Native,
    Count,
    Sum,
    /// Quantiles or buckets; `true`: there was one for +Inf.
    Points(Fields<'a>, bool),
    Converted,
    End,
}

/// The sub-sample that a key's last byte names.
#[derive(Clone, Copy, Debug)]
enum Part {
    Plain = 0xf0,
    Count,
    Sum,
    Point,
    Histogram,
}

/// Walks the families of one body.
#[derive(Debug)]
pub(super) struct ProtobufParser<'a> {
    body: &'a [u8],
    at: usize,
    /// Where the family began.
    offset: usize,
    options: Options,
    family: Family<'a>,
    metrics: Fields<'a>,
    metric: Metric<'a>,
    /// Key of the metric, then of its current sample.
    key: Vec<u8>,
    metric_key_len: usize,
    step: Step<'a>,
    classic: ClassicBuilder,
}

impl<'a> ProtobufParser<'a> {
    pub(super) fn new(body: &'a [u8], options: Options) -> Self {
        Self {
            body,
            at: 0,
            offset: 0,
            options,
            family: Family { name: "", help: "", unit: "", kind: Kind::Untyped },
            metrics: Fields::default(),
            metric: Metric::default(),
            key: Vec::new(),
            metric_key_len: 0,
            step: Step::Family,
            classic: ClassicBuilder::default(),
        }
    }

    pub(super) fn next(&mut self) -> Option<Result<Item<'_>, ExpositionError>> {
        let sample = loop {
            match self.advance() {
                Err(message) => {
                    self.step = Step::End;
                    return Some(Err(ExpositionError { offset: self.offset, message }));
                }
                Ok(Advance::End) => return None,
                Ok(Advance::Nothing) => {}
                Ok(Advance::Metadata(item)) => return Some(Ok(item)),
                Ok(Advance::Sample(sample)) => break sample,
            }
        };
        let Given { part, value, bound, suffix, exemplars } = sample;
        self.key.truncate(self.metric_key_len);
        self.key.push(part as u8);
        if let Some((_, bound)) = bound {
            self.key.extend_from_slice(&bound.to_bits().to_le_bytes());
        }
        Some(Ok(Item::Sample(Sample {
            key: &self.key,
            value,
            timestamp: self.metric.timestamp_ms,
            start_ms: self.metric.start_ms.filter(|start| *start != 0),
            source: Source::Protobuf(SampleSource {
                name: self.family.name,
                suffix,
                bound,
                metric: self.metric.bytes,
                exemplars,
            }),
        })))
    }

    fn advance(&mut self) -> Result<Advance<'a>, String> {
        let name = self.family.name;
        match self.step {
            Step::End => Ok(Advance::End),
            Step::Family => self.next_family(),
            Step::Unit => {
                self.step = Step::Type;
                if self.family.unit.is_empty() {
                    return Ok(Advance::Nothing);
                }
                Ok(Advance::Metadata(Item::Unit { name, unit: self.family.unit }))
            }
            Step::Type => {
                self.step = Step::Metric;
                let metric_type = self.family.metric_type();
                Ok(Advance::Metadata(Item::Type { name, metric_type }))
            }
            Step::Metric => self.next_metric().map_err(|error| error.0),
            Step::Plain => {
                self.step = Step::Metric;
                let exemplars = self.metric.exemplar.map_or(Exemplars::None, Exemplars::One);
                Ok(Given { exemplars, ..Given::float(Part::Plain, "", self.metric.value) }.into())
            }
            Step::Native => {
                let has_more = self.options.keeps_classic && self.metric.has_buckets;
                self.step = if has_more { Step::Count } else { Step::Metric };
                let is_gauge = self.family.kind == Kind::GaugeHistogram;
                let histogram = native::read(self.metric.distribution, name, is_gauge)?;
                Ok(self.histogram(Value::Histogram(Box::new(histogram))))
            }
            Step::Count => {
                self.step = Step::Sum;
                Ok(Given::float(Part::Count, "_count", self.metric.count).into())
            }
            Step::Sum => {
                self.step = Step::Points(Fields::new(self.metric.distribution), false);
                Ok(Given::float(Part::Sum, "_sum", self.metric.sum).into())
            }
            Step::Points(points, has_infinity) => {
                self.next_point(points, has_infinity).map_err(|error| error.0)
            }
            Step::Converted => {
                self.step = Step::Metric;
                self.convert()
            }
        }
    }

    fn next_family(&mut self) -> Result<Advance<'a>, String> {
        self.offset = self.at;
        let mut rest = self.body.get(self.at..).unwrap_or_default();
        if rest.is_empty() {
            self.step = Step::End;
            return Ok(Advance::End);
        }
        let all = rest.len();
        let length = varint(&mut rest).ok().filter(|_| all - rest.len() <= MAX_LENGTH_BYTES);
        let Some(length) = length else {
            return Err("clientpb: invalid varint encountered".to_owned());
        };
        let n = usize::try_from(length).unwrap_or(usize::MAX);
        let Some(message) = rest.get(..n) else {
            return Err(format!(
                "clientpb: insufficient length of buffer, expected at least {} bytes, got {all} bytes",
                ((all - rest.len()) as u64).saturating_add(length)
            ));
        };
        self.at = self.body.len() - rest.len() + n;
        self.read_family(message)
    }

    fn read_family(&mut self, message: &'a [u8]) -> Result<Advance<'a>, String> {
        let (mut name, mut help, mut unit) = (&b""[..], &b""[..], &b""[..]);
        let (mut kind, mut has_metrics) = (0, false);
        for field in Fields::new(message) {
            let read = field.and_then(|(number, field)| {
                match number {
                    1 => name = field.bytes("Name")?,
                    2 => help = field.bytes("Help")?,
                    3 => kind = field.varint("Type")?,
                    4 => has_metrics |= field.bytes("Metric").map(|_| true)?,
                    5 => unit = field.bytes("Unit")?,
                    _ => {}
                }
                Ok(())
            });
            read.map_err(|error| error.0)?;
        }
        if !has_metrics {
            return Ok(Advance::Nothing);
        }
        let lossy = String::from_utf8_lossy;
        let name = match std::str::from_utf8(name) {
            Ok(name) if !name.is_empty() => name,
            _ => return Err(format!("invalid metric name: {}", lossy(name))),
        };
        let quoted = cairn_model::gotext::quote(name);
        let help = std::str::from_utf8(help)
            .map_err(|_| format!("invalid help for metric {quoted}: {}", lossy(help)))?;
        let unit = std::str::from_utf8(unit)
            .map_err(|_| format!("invalid unit for metric {quoted}: {}", lossy(unit)))?;
        let kind = Kind::from_number(kind)
            .ok_or_else(|| format!("unknown metric type for metric {quoted}: {kind}"))?;
        self.family = Family { name, help, unit, kind };
        self.metrics = Fields::new(message);
        self.step = Step::Unit;
        Ok(Advance::Metadata(Item::Help { name, text: Cow::Borrowed(self.family.help) }))
    }

    fn next_metric(&mut self) -> Result<Advance<'a>, WireError> {
        let bytes = loop {
            match self.metrics.next().transpose()? {
                None => {
                    self.step = Step::Family;
                    return Ok(Advance::Nothing);
                }
                Some((4, field)) => break field.bytes("Metric")?,
                Some(_) => {}
            }
        };
        self.key.clear();
        self.key.extend_from_slice(self.family.name.as_bytes());
        self.key.push(AFTER_NAME);
        self.metric = Metric::read(bytes, self.family.kind, &mut self.key)?;
        self.metric_key_len = self.key.len();
        self.step = match self.family.kind {
            Kind::Counter | Kind::Gauge | Kind::Untyped => Step::Plain,
            Kind::Summary => Step::Count,
            Kind::Histogram | Kind::GaugeHistogram => {
                if self.reads_native() {
                    Step::Native
                } else if self.options.converts_classic && !self.options.keeps_classic {
                    Step::Converted
                } else {
                    Step::Count
                }
            }
        };
        Ok(Advance::Nothing)
    }

    fn reads_native(&self) -> bool {
        self.options.wants_native && self.metric.is_native
    }

    fn next_point(&mut self, mut points: Fields<'a>, has_infinity: bool) -> Result<Advance<'a>, WireError> {
        let is_bucket = self.family.kind != Kind::Summary;
        let after = || {
            let converts = is_bucket && self.options.converts_classic && !self.reads_native();
            if converts { Step::Converted } else { Step::Metric }
        };
        if has_infinity {
            // As the peer has it, what follows the bucket for +Inf is left out.
            self.step = after();
            return Ok(Advance::Nothing);
        }
        let given = match next_point(&mut points, is_bucket)? {
            Some(point) => {
                let is_last = is_bucket && point.at == f64::INFINITY;
                self.step = Step::Points(points, is_last);
                let (suffix, label) = if is_bucket { ("_bucket", "le") } else { ("", "quantile") };
                Given {
                    bound: Some((label, point.at)),
                    exemplars: point.exemplar.map_or(Exemplars::None, Exemplars::One),
                    ..Given::float(Part::Point, suffix, point.value)
                }
            }
            None if is_bucket => {
                self.step = after();
                let bound = Some(("le", f64::INFINITY));
                Given { bound, ..Given::float(Part::Point, "_bucket", self.metric.count) }
            }
            None => {
                self.step = Step::Metric;
                return Ok(Advance::Nothing);
            }
        };
        Ok(given.into())
    }

    fn convert(&mut self) -> Result<Advance<'a>, String> {
        self.classic.clear();
        self.classic.set_count(self.metric.count);
        self.classic.set_sum(self.metric.sum);
        let mut buckets = Fields::new(self.metric.distribution);
        while let Some(point) = next_point(&mut buckets, true).map_err(|error| error.0)? {
            self.classic.add_bucket(point.at, point.value);
        }
        let is_gauge = self.family.kind == Kind::GaugeHistogram;
        let histogram = self.classic.build(is_gauge, None).map_err(|error| error.to_string())?;
        Ok(self.histogram(Value::Histogram(Box::new(histogram))))
    }

    fn histogram(&self, value: Value) -> Advance<'a> {
        let exemplars = Exemplars::Native(self.metric.distribution);
        Advance::Sample(Given { part: Part::Histogram, suffix: "", value, bound: None, exemplars })
    }
}

/// What one step brought.
enum Advance<'a> {
    Nothing,
    End,
    Metadata(Item<'a>),
    Sample(Given<'a>),
}

struct Given<'a> {
    part: Part,
    suffix: &'static str,
    value: Value,
    bound: Option<(&'static str, f64)>,
    exemplars: Exemplars<'a>,
}

impl Given<'_> {
    fn float(part: Part, suffix: &'static str, value: f64) -> Self {
        Self { part, suffix, value: Value::Float(normal(value)), bound: None, exemplars: Exemplars::None }
    }
}

impl<'a> From<Given<'a>> for Advance<'a> {
    fn from(given: Given<'a>) -> Self {
        Self::Sample(given)
    }
}
