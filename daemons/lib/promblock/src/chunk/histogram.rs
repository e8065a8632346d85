//! Chunks of histograms, of whole numbers and of floats.

use std::sync::Arc;

use cairn_model::Histogram;
use cairn_model::histogram::{Buckets, Counts, ResetHint};

use super::layout::Layout;
use super::xor::XorColumn;
use super::{
    ENCODING_FLOAT_HISTOGRAM, ENCODING_HISTOGRAM, MAX_CHUNK_SAMPLES, MAX_HISTOGRAM_BYTES, MIN_HISTOGRAMS,
};
use crate::bits::{BitReader, BitWriter};
use crate::error::Malformed;
use crate::sample::{Sample, is_stale};

const NEGATIVE: Malformed = Malformed("histogram: a bucket below zero");

/// What is known about a counter reset before the first sample of a chunk; its two bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    Unknown = 0b00,
    NoReset = 0b01,
    Reset = 0b10,
    Gauge = 0b11,
}

impl Start {
    /// What a histogram says of itself. That there was none is not taken over: the sample it speaks of may be missing.
    pub(super) fn of(histogram: &Histogram) -> Self {
        match histogram.reset_hint {
            ResetHint::Gauge => Self::Gauge,
            ResetHint::Reset => Self::Reset,
            ResetHint::Unknown | ResetHint::NoReset => Self::Unknown,
        }
    }
}

/// A column of whole numbers, kept as deltas of deltas.
#[derive(Clone, Copy, Debug, Default)]
struct IntColumn {
    value: i64,
    delta: i64,
}

impl IntColumn {
    fn write(&mut self, out: &mut BitWriter, value: i64) {
        let delta = value.wrapping_sub(self.value);
        out.write_varbit_int(delta.wrapping_sub(self.delta));
        *self = Self { value, delta };
    }

    fn read(&mut self, bits: &mut BitReader<'_>) -> Result<(), Malformed> {
        self.delta = self.delta.wrapping_add(bits.varbit_int()?);
        self.value = self.value.wrapping_add(self.delta);
        Ok(())
    }
}

/// The columns beside time and sum. Whole numbers: counts, and each bucket as the difference to its neighbour.
#[derive(Debug)]
enum Columns {
    Int { count: IntColumn, zero_count: IntColumn, positive: Vec<IntColumn>, negative: Vec<IntColumn> },
    Float { count: XorColumn, zero_count: XorColumn, positive: Vec<XorColumn>, negative: Vec<XorColumn> },
}

#[derive(Debug)]
pub(super) struct HistogramBuilder {
    bits: BitWriter,
    n_samples: u16,
    is_gauge: bool,
    layout: Layout,
    time: IntColumn,
    sum: XorColumn,
    columns: Columns,
    /// The last sample, to tell a counter reset.
    last: Counts,
}

impl HistogramBuilder {
    /// `histogram` has passed [`super::layout::check`].
    pub(super) fn new(time: i64, histogram: &Histogram, start: Start) -> Self {
        let emptied = stale_form(histogram);
        let histogram = emptied.as_ref().unwrap_or(histogram);
        let layout = Layout::of(histogram);
        let mut bits = BitWriter::with_bytes(&[0, 1, (start as u8) << 6]);
        layout.write(&mut bits);
        bits.write_varbit_int(time);
        let columns = match &histogram.counts {
            Counts::Int(counts) => {
                bits.write_varbit_uint(counts.count);
                bits.write_varbit_uint(counts.zero_count);
                bits.write_f64(histogram.sum);
                let mut write = |buckets: &[u64]| {
                    let column = |value| {
                        bits.write_varbit_int(value);
                        IntColumn { value, delta: 0 }
                    };
                    differences(buckets).map(column).collect()
                };
                let (positive, negative) = (write(&counts.positive), write(&counts.negative));
                let start = |value: u64| IntColumn { value: value.cast_signed(), delta: 0 };
                Columns::Int {
                    count: start(counts.count),
                    zero_count: start(counts.zero_count),
                    positive,
                    negative,
                }
            }
            Counts::Float(counts) => {
                for value in [counts.count, counts.zero_count, histogram.sum] {
                    bits.write_f64(value);
                }
                let mut write = |buckets: &[f64]| {
                    let column = |&value| {
                        bits.write_f64(value);
                        XorColumn::starting_with(value)
                    };
                    buckets.iter().map(column).collect()
                };
                let (positive, negative) = (write(&counts.positive), write(&counts.negative));
                Columns::Float {
                    count: XorColumn::starting_with(counts.count),
                    zero_count: XorColumn::starting_with(counts.zero_count),
                    positive,
                    negative,
                }
            }
        };
        Self {
            bits,
            n_samples: 1,
            is_gauge: start == Start::Gauge,
            layout,
            time: IntColumn { value: time, delta: 0 },
            sum: XorColumn::starting_with(histogram.sum),
            columns,
            last: histogram.counts.clone(),
        }
    }

    /// Adds a sample, or says how the chunk that has to begin with it starts.
    pub(super) fn push(&mut self, time: i64, histogram: &Histogram) -> Result<(), Start> {
        let was_stale = is_stale(self.sum.value());
        let is_full = self.n_samples >= MAX_CHUNK_SAMPLES
            || self.n_samples >= MIN_HISTOGRAMS && self.bits.bytes().len() >= MAX_HISTOGRAM_BYTES;
        let same_kind = matches!(
            (&self.columns, &histogram.counts),
            (Columns::Int { .. }, Counts::Int(_)) | (Columns::Float { .. }, Counts::Float(_))
        );
        if is_stale(histogram.sum) {
            if is_full || !same_kind {
                return Err(Start::Unknown);
            }
            self.write(time, histogram.sum, None);
            return Ok(());
        }
        let start = Start::of(histogram);
        if was_stale || !same_kind || !self.layout.is_that_of(histogram) {
            return Err(start);
        }
        if (start == Start::Gauge) != self.is_gauge || start == Start::Reset {
            return Err(start);
        }
        if !self.is_gauge && is_reset(&self.last, &histogram.counts) {
            return Err(Start::Reset);
        }
        if is_full {
            return Err(if self.is_gauge { Start::Gauge } else { Start::NoReset });
        }
        self.write(time, histogram.sum, Some(&histogram.counts));
        self.last.clone_from(&histogram.counts);
        Ok(())
    }

    /// Without counts: a staleness marker, whose counts are as if nothing had changed and whose buckets are left out.
    fn write(&mut self, time: i64, sum: f64, counts: Option<&Counts>) {
        self.n_samples += 1;
        let out = &mut self.bits;
        self.time.write(out, time);
        match (&mut self.columns, counts) {
            (Columns::Int { count, zero_count, positive, negative }, Some(Counts::Int(counts))) => {
                count.write(out, counts.count.cast_signed());
                zero_count.write(out, counts.zero_count.cast_signed());
                self.sum.write(out, sum);
                for (columns, buckets) in [(positive, &counts.positive), (negative, &counts.negative)] {
                    for (column, value) in columns.iter_mut().zip(differences(buckets)) {
                        column.write(out, value);
                    }
                }
            }
            (Columns::Float { count, zero_count, positive, negative }, Some(Counts::Float(counts))) => {
                count.write(out, counts.count);
                zero_count.write(out, counts.zero_count);
                self.sum.write(out, sum);
                for (columns, buckets) in [(positive, &counts.positive), (negative, &counts.negative)] {
                    for (column, value) in columns.iter_mut().zip(buckets) {
                        column.write(out, *value);
                    }
                }
            }
            // A marker: a zero bit each says "no change" in both encodings.
            _ => {
                out.write(0, 2);
                self.sum.write(out, sum);
            }
        }
    }

    pub(super) fn n_samples(&self) -> u16 {
        self.n_samples
    }

    pub(super) fn into_data(mut self) -> (u8, Vec<u8>) {
        self.bits.bytes_mut()[..2].copy_from_slice(&self.n_samples.to_be_bytes());
        let encoding = match self.columns {
            Columns::Int { .. } => ENCODING_HISTOGRAM,
            Columns::Float { .. } => ENCODING_FLOAT_HISTOGRAM,
        };
        (encoding, self.bits.into_bytes())
    }
}

/// A staleness marker has nothing but its sum.
fn stale_form(histogram: &Histogram) -> Option<Histogram> {
    is_stale(histogram.sum).then(|| Histogram::without_observations(histogram.sum, histogram.is_float()))
}

/// Each bucket as the difference to the one before it.
fn differences(buckets: &[u64]) -> impl Iterator<Item = i64> {
    let before = std::iter::once(0).chain(buckets.iter().copied());
    buckets.iter().zip(before).map(|(bucket, before)| bucket.wrapping_sub(before).cast_signed())
}

/// Whether any count went down, in the same layout.
fn is_reset(before: &Counts, after: &Counts) -> bool {
    fn any<N: PartialOrd>(before: &Buckets<N>, after: &Buckets<N>) -> bool {
        let fell = |(before, after): (&N, &N)| after < before;
        after.count < before.count
            || after.zero_count < before.zero_count
            || before.positive.iter().zip(&after.positive).any(fell)
            || before.negative.iter().zip(&after.negative).any(fell)
    }
    match (before, after) {
        (Counts::Int(before), Counts::Int(after)) => any(before, after),
        (Counts::Float(before), Counts::Float(after)) => any(before, after),
        _ => true,
    }
}

pub(super) fn decode(data: &[u8], is_float: bool, visit: &mut dyn FnMut(Sample)) -> Result<(), Malformed> {
    let (head, stream) = data.split_first_chunk::<3>().ok_or(Malformed("chunk: no number of samples"))?;
    let n_samples = u16::from_be_bytes([head[0], head[1]]);
    if n_samples == 0 {
        return Ok(());
    }
    let is_gauge = head[2] >> 6 == Start::Gauge as u8;
    let mut bits = BitReader::new(stream);
    let layout = Layout::read(&mut bits)?;
    let mut time = IntColumn { value: bits.varbit_int()?, delta: 0 };
    let (mut columns, mut sum) = read_first(&mut bits, &layout, is_float)?;
    for index in 0..n_samples {
        if index > 0 {
            time.read(&mut bits)?;
            columns.read(&mut bits, &mut sum)?;
        }
        let histogram = if is_stale(sum.value()) {
            Histogram::without_observations(sum.value(), is_float)
        } else {
            Histogram {
                reset_hint: match index {
                    _ if is_gauge => ResetHint::Gauge,
                    0 => ResetHint::Unknown,
                    _ => ResetHint::NoReset,
                },
                schema: layout.schema,
                zero_threshold: layout.zero_threshold,
                sum: sum.value(),
                positive_spans: layout.positive.clone(),
                negative_spans: layout.negative.clone(),
                custom_bounds: Arc::clone(&layout.custom_bounds),
                counts: columns.counts()?,
            }
        };
        visit(Sample::histogram(time.value, histogram));
    }
    Ok(())
}

fn read_first(
    bits: &mut BitReader<'_>,
    layout: &Layout,
    is_float: bool,
) -> Result<(Columns, XorColumn), Malformed> {
    let (n_positive, n_negative) = layout.n_buckets()?;
    if is_float {
        let mut column = || bits.read_f64().map(XorColumn::starting_with);
        let (count, zero_count, sum) = (column()?, column()?, column()?);
        let mut read = |n: usize| (0..n).map(|_| column()).collect::<Result<Vec<_>, _>>();
        let (positive, negative) = (read(n_positive)?, read(n_negative)?);
        return Ok((Columns::Float { count, zero_count, positive, negative }, sum));
    }
    let start = |value: u64| IntColumn { value: value.cast_signed(), delta: 0 };
    let (count, zero_count) = (start(bits.varbit_uint()?), start(bits.varbit_uint()?));
    let sum = XorColumn::starting_with(bits.read_f64()?);
    let mut read = |n: usize| {
        let column = |value| IntColumn { value, delta: 0 };
        (0..n).map(|_| bits.varbit_int().map(column)).collect::<Result<Vec<_>, _>>()
    };
    let (positive, negative) = (read(n_positive)?, read(n_negative)?);
    Ok((Columns::Int { count, zero_count, positive, negative }, sum))
}

impl Columns {
    /// The next sample; of a staleness marker no buckets follow.
    fn read(&mut self, bits: &mut BitReader<'_>, sum: &mut XorColumn) -> Result<(), Malformed> {
        match self {
            Self::Int { count, zero_count, positive, negative } => {
                count.read(bits)?;
                zero_count.read(bits)?;
                sum.read(bits)?;
                if is_stale(sum.value()) {
                    return Ok(());
                }
                positive.iter_mut().chain(negative).try_for_each(|column| column.read(bits))
            }
            Self::Float { count, zero_count, positive, negative } => {
                count.read(bits)?;
                zero_count.read(bits)?;
                sum.read(bits)?;
                if is_stale(sum.value()) {
                    return Ok(());
                }
                positive.iter_mut().chain(negative).try_for_each(|column| column.read(bits))
            }
        }
    }

    fn counts(&self) -> Result<Counts, Malformed> {
        match self {
            Self::Int { count, zero_count, positive, negative } => Ok(Counts::Int(Buckets {
                count: count.value.cast_unsigned(),
                zero_count: zero_count.value.cast_unsigned(),
                positive: absolute(positive)?,
                negative: absolute(negative)?,
            })),
            Self::Float { count, zero_count, positive, negative } => Ok(Counts::Float(Buckets {
                count: count.value(),
                zero_count: zero_count.value(),
                positive: positive.iter().map(|column| column.value()).collect(),
                negative: negative.iter().map(|column| column.value()).collect(),
            })),
        }
    }
}

/// Buckets from their differences.
fn absolute(columns: &[IntColumn]) -> Result<Vec<u64>, Malformed> {
    let mut bucket = 0i64;
    columns
        .iter()
        .map(|column| {
            bucket = bucket.checked_add(column.value).ok_or(NEGATIVE)?;
            u64::try_from(bucket).map_err(|_| NEGATIVE)
        })
        .collect()
}
