//! One `Metric` of a family: its time, its labels, and what its counter, gauge, summary or histogram says.

use std::borrow::Cow;

use cairn_model::{Exemplar, Labels};

use super::super::LabelPair;
use super::super::series::sort;
use super::wire::{Field, Fields, WireError, timestamp_ms};

/// A metric, with the parts that are given one by one still as bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Metric<'a> {
    pub(super) bytes: &'a [u8],
    /// `None` when it is 0: proto3 does not tell unset from 0, and the peer neither.
    pub(super) timestamp_ms: Option<i64>,
    pub(super) start_ms: Option<i64>,
    /// Of a counter, a gauge, something untyped.
    pub(super) value: f64,
    /// Of a summary or histogram: observations and their sum.
    pub(super) count: f64,
    pub(super) sum: f64,
    /// The summary or histogram itself, for its quantiles or buckets.
    pub(super) distribution: &'a [u8],
    /// Whether the histogram is to be read as a native one.
    pub(super) is_native: bool,
    pub(super) has_buckets: bool,
    pub(super) exemplar: Option<&'a [u8]>,
}

/// Which part of a `Metric` a family's type says to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Summary,
    Untyped,
    Histogram,
    GaugeHistogram,
}

impl Kind {
    pub(super) fn from_number(number: u64) -> Option<Self> {
        Some(match number {
            0 => Self::Counter,
            1 => Self::Gauge,
            2 => Self::Summary,
            3 => Self::Untyped,
            4 => Self::Histogram,
            5 => Self::GaugeHistogram,
            _ => return None,
        })
    }

    /// Number and name of the field of `Metric` that holds the value.
    fn field(self) -> (u64, &'static str) {
        match self {
            Self::Gauge => (2, "Gauge"),
            Self::Counter => (3, "Counter"),
            Self::Summary => (4, "Summary"),
            Self::Untyped => (5, "Untyped"),
            Self::Histogram | Self::GaugeHistogram => (7, "Histogram"),
        }
    }
}

impl<'a> Metric<'a> {
    /// Reads a metric and appends its labels as they are to `key`.
    pub(super) fn read(bytes: &'a [u8], kind: Kind, key: &mut Vec<u8>) -> Result<Self, WireError> {
        let mut metric = Self { bytes, ..Self::default() };
        let (wanted, name) = kind.field();
        let mut value: &[u8] = &[];
        for field in Fields::new(bytes) {
            match field? {
                (1, label) => {
                    let label = label.bytes("Label")?;
                    // Lengths in front, so that no two lists of labels have the same bytes.
                    key.push(1);
                    key.extend_from_slice(&u32::try_from(label.len()).unwrap_or(u32::MAX).to_le_bytes());
                    key.extend_from_slice(label);
                }
                (6, time) => {
                    metric.timestamp_ms =
                        Some(time.varint("TimestampMs")?.cast_signed()).filter(|ms| *ms != 0);
                }
                (number, field) if number == wanted => value = field.bytes(name)?,
                _ => {}
            }
        }
        match kind {
            Kind::Counter => metric.read_counter(value)?,
            Kind::Gauge | Kind::Untyped => {
                for field in Fields::new(value) {
                    if let (1, field) = field? {
                        metric.value = field.double("Value")?;
                    }
                }
            }
            Kind::Summary => metric.read_summary(value)?,
            Kind::Histogram | Kind::GaugeHistogram => metric.read_histogram(value)?,
        }
        Ok(metric)
    }

    fn read_counter(&mut self, message: &'a [u8]) -> Result<(), WireError> {
        for field in Fields::new(message) {
            match field? {
                (1, field) => self.value = field.double("Value")?,
                (2, field) => self.exemplar = Some(field.bytes("Exemplar")?),
                (3, field) => self.start_ms = Some(timestamp_ms(field.bytes("StartTimestamp")?)?),
                _ => {}
            }
        }
        Ok(())
    }

    fn read_summary(&mut self, message: &'a [u8]) -> Result<(), WireError> {
        self.distribution = message;
        for field in Fields::new(message) {
            match field? {
                (1, field) => self.count = to_f64(field.varint("SampleCount")?),
                (2, field) => self.sum = field.double("SampleSum")?,
                (4, field) => self.start_ms = Some(timestamp_ms(field.bytes("StartTimestamp")?)?),
                _ => {}
            }
        }
        Ok(())
    }

    fn read_histogram(&mut self, message: &'a [u8]) -> Result<(), WireError> {
        self.distribution = message;
        let (mut count, mut count_float) = (0, 0.0);
        for field in Fields::new(message) {
            match field? {
                (1, field) => count = field.varint("SampleCount")?,
                (2, field) => self.sum = field.double("SampleSum")?,
                (3, _) => self.has_buckets = true,
                (4, field) => count_float = field.double("SampleCountFloat")?,
                (6, field) => self.is_native |= field.double("ZeroThreshold")? > 0.0,
                (7, field) => self.is_native |= field.varint("ZeroCount")? > 0,
                (9 | 12, _) => self.is_native = true,
                (15, field) => self.start_ms = Some(timestamp_ms(field.bytes("StartTimestamp")?)?),
                _ => {}
            }
        }
        self.count = either(count_float, count);
        Ok(())
    }
}

/// The float form of a count wins when it is set.
fn either(float: f64, integer: u64) -> f64 {
    if float == 0.0 { to_f64(integer) } else { float }
}

#[expect(clippy::cast_precision_loss, reason = "a count becomes a float sample, as the peer has it")]
pub(super) fn to_f64(count: u64) -> f64 {
    count as f64
}

/// A classic bucket or a quantile.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Point<'a> {
    /// Upper bound, or the quantile.
    pub(super) at: f64,
    pub(super) value: f64,
    pub(super) exemplar: Option<&'a [u8]>,
}

/// The next quantile or bucket: both are field 3 of their message.
pub(super) fn next_point<'a>(
    fields: &mut Fields<'a>,
    is_bucket: bool,
) -> Result<Option<Point<'a>>, WireError> {
    for field in fields {
        let (3, field) = field? else { continue };
        let point = if is_bucket { bucket(field)? } else { quantile(field)? };
        return Ok(Some(point));
    }
    Ok(None)
}

fn bucket(field: Field<'_>) -> Result<Point<'_>, WireError> {
    let mut point = Point::default();
    let (mut count, mut count_float) = (0, 0.0);
    for field in Fields::new(field.bytes("Bucket")?) {
        match field? {
            (1, field) => count = field.varint("CumulativeCount")?,
            (2, field) => point.at = field.double("UpperBound")?,
            (3, field) => point.exemplar = Some(field.bytes("Exemplar")?),
            (4, field) => count_float = field.double("CumulativeCountFloat")?,
            _ => {}
        }
    }
    point.value = either(count_float, count);
    Ok(point)
}

fn quantile(field: Field<'_>) -> Result<Point<'_>, WireError> {
    let mut point = Point::default();
    for field in Fields::new(field.bytes("Quantile")?) {
        match field? {
            (1, field) => point.at = field.double("Quantile")?,
            (2, field) => point.value = field.double("Value")?,
            _ => {}
        }
    }
    Ok(point)
}

/// Appends the labels in field 1 of a `Metric` or `Exemplar`.
pub(super) fn read_labels<'a>(message: &'a [u8], pairs: &mut Vec<LabelPair<'a>>) -> Result<(), String> {
    for field in Fields::new(message) {
        let (1, field) = field.map_err(|error| error.0)? else { continue };
        let (mut name, mut value) = (&b""[..], &b""[..]);
        for field in Fields::new(field.bytes("Label").map_err(|error| error.0)?) {
            match field.map_err(|error| error.0)? {
                (1, field) => name = field.bytes("Name").map_err(|error| error.0)?,
                (2, field) => value = field.bytes("Value").map_err(|error| error.0)?,
                _ => {}
            }
        }
        let text = |bytes: &'a [u8], what: &str| {
            std::str::from_utf8(bytes)
                .map_err(|_| format!("invalid label {what}: {}", String::from_utf8_lossy(bytes)))
        };
        let name = text(name, "name")?;
        if name.is_empty() {
            return Err("invalid label name: ".to_owned());
        }
        pairs.push((Cow::Borrowed(name), Cow::Borrowed(text(value, "value")?)));
    }
    Ok(())
}

/// Reads an `Exemplar`.
pub(super) fn read_exemplar(message: &[u8]) -> Result<Exemplar, String> {
    let mut pairs = Vec::new();
    read_labels(message, &mut pairs)?;
    let mut exemplar = Exemplar { labels: Labels::from_pairs(sort(pairs)?), value: 0.0, time_ms: None };
    for field in Fields::new(message) {
        match field.map_err(|error| error.0)? {
            (2, field) => exemplar.value = field.double("Value").map_err(|error| error.0)?,
            (3, field) => {
                let time = field.bytes("Timestamp").and_then(timestamp_ms).map_err(|error| error.0)?;
                exemplar.time_ms = Some(time);
            }
            _ => {}
        }
    }
    Ok(exemplar)
}
