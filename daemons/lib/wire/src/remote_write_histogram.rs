//! Native histograms of remote write, the same message in both versions.
//!
//! ```text
//! Histogram { count_int = 1 | count_float = 2, sum = 3, schema = 4, zero_threshold = 5,
//!             zero_count_int = 6 | zero_count_float = 7,
//!             negative_spans = 8, negative_deltas = 9, negative_counts = 10,
//!             positive_spans = 11, positive_deltas = 12, positive_counts = 13,
//!             reset_hint = 14, timestamp = 15, custom_values = 16, start_timestamp = 17 (only 2.0) }
//! BucketSpan { offset = 1, length = 2 }
//! ```

use cairn_model::Histogram;
use cairn_model::histogram::{Buckets, Counts, ResetHint, Span};

use crate::protobuf_reader::{ProtobufError, Reader, Value, zigzag};
use crate::remote_write::{ItemBudget, RemoteWriteError, WriteHistogram};

/// The message as it comes.
#[derive(Default)]
struct Raw {
    is_float: bool,
    count_int: u64,
    count_float: f64,
    zero_int: u64,
    zero_float: f64,
    sum: f64,
    schema: i64,
    zero_threshold: f64,
    positive: Side,
    negative: Side,
    reset_hint: u64,
    time_ms: i64,
    start_ms: i64,
    custom_values: Vec<f64>,
}

#[derive(Default)]
struct Side {
    spans: Vec<Span>,
    deltas: Vec<i64>,
    counts: Vec<f64>,
}

/// Reads one histogram.
pub(crate) fn decode(bytes: &[u8], budget: &mut ItemBudget) -> Result<WriteHistogram, RemoteWriteError> {
    // Each bucket and span takes at least a byte on the wire, and at most 8 in memory.
    budget.take(1 + bytes.len() / 2)?;
    let mut raw = Raw::default();
    let mut reader = Reader::new("Histogram", bytes);
    while let Some((number, value)) = reader.next()? {
        field(&mut raw, number, value)?;
    }
    let (time_ms, start_ms) = (raw.time_ms, raw.start_ms);
    Ok(WriteHistogram { time_ms, start_ms, histogram: raw.histogram() })
}

fn field(raw: &mut Raw, number: u32, value: Value<'_>) -> Result<(), ProtobufError> {
    match number {
        1 => (raw.is_float, raw.count_int) = (false, value.varint("CountInt")?),
        2 => (raw.is_float, raw.count_float) = (true, value.double("CountFloat")?),
        3 => raw.sum = value.double("Sum")?,
        4 => raw.schema = zigzag(value.varint("Schema")?),
        5 => raw.zero_threshold = value.double("ZeroThreshold")?,
        6 => raw.zero_int = value.varint("ZeroCountInt")?,
        7 => raw.zero_float = value.double("ZeroCountFloat")?,
        8 => raw.negative.spans.push(span(value.bytes("NegativeSpans")?)?),
        9 => value.varints("NegativeDeltas", |delta| raw.negative.deltas.push(zigzag(delta)))?,
        10 => value.doubles("NegativeCounts", &mut raw.negative.counts)?,
        11 => raw.positive.spans.push(span(value.bytes("PositiveSpans")?)?),
        12 => value.varints("PositiveDeltas", |delta| raw.positive.deltas.push(zigzag(delta)))?,
        13 => value.doubles("PositiveCounts", &mut raw.positive.counts)?,
        14 => raw.reset_hint = value.varint("ResetHint")?,
        15 => raw.time_ms = value.varint("Timestamp")?.cast_signed(),
        16 => value.doubles("CustomValues", &mut raw.custom_values)?,
        17 => raw.start_ms = value.varint("StartTimestamp")?.cast_signed(),
        _ => {}
    }
    Ok(())
}

fn span(bytes: &[u8]) -> Result<Span, ProtobufError> {
    let mut span = Span::default();
    let mut reader = Reader::new("BucketSpan", bytes);
    while let Some((number, value)) = reader.next()? {
        // Both fields have 32 bits; more is cut, as Go cuts it.
        #[expect(clippy::cast_possible_truncation, reason = "as in the peer's generated code")]
        match number {
            1 => span.offset = zigzag(value.varint("Offset")?) as i32,
            2 => span.length = value.varint("Length")? as u32,
            _ => {}
        }
    }
    Ok(span)
}

impl Raw {
    fn histogram(self) -> Result<Histogram, String> {
        let schema = i8::try_from(self.schema).map_err(|_| {
            format!(
                "schema {}: histogram has an invalid schema, which must be between -4 and 8 for exponential \
                 buckets, or -53 for custom buckets",
                self.schema
            )
        })?;
        let counts = if self.is_float {
            Counts::Float(Buckets {
                count: self.count_float,
                zero_count: self.zero_float,
                positive: self.positive.counts,
                negative: self.negative.counts,
            })
        } else {
            Counts::Int(Buckets {
                count: self.count_int,
                zero_count: self.zero_int,
                positive: absolute(&self.positive.deltas, "positive")?,
                negative: absolute(&self.negative.deltas, "negative")?,
            })
        };
        let reset_hint = match self.reset_hint {
            1 => ResetHint::Reset,
            2 => ResetHint::NoReset,
            3 => ResetHint::Gauge,
            _ => ResetHint::Unknown,
        };
        Ok(Histogram {
            reset_hint,
            schema,
            zero_threshold: self.zero_threshold,
            sum: self.sum,
            positive_spans: self.positive.spans,
            negative_spans: self.negative.spans,
            custom_bounds: self.custom_values.into(),
            counts,
        })
    }
}

/// Counts from the differences between neighbours.
fn absolute(deltas: &[i64], side: &str) -> Result<Vec<u64>, String> {
    let mut count = 0i64;
    let mut counts = Vec::with_capacity(deltas.len());
    for (index, delta) in deltas.iter().enumerate() {
        count = count.wrapping_add(*delta);
        let absolute = u64::try_from(count).map_err(|_| {
            let number = index + 1;
            format!(
                "{side} side: bucket number {number} has observation count of {count}: histogram has a bucket \
                 whose observation count is negative"
            )
        })?;
        counts.push(absolute);
    }
    Ok(counts)
}
