//! Compressed runs of samples of one series.
//!
//! Floats: times as deltas of deltas, values as the XOR with their predecessor (Pelkonen et al., "Gorilla", VLDB 2015,
//! section 4.1). Histograms: a layout for the whole chunk, then each field as a delta of deltas (integers) or an XOR.
//! The bit widths are those of the peer's format page.

mod float;
mod histogram;
mod layout;
mod xor;

use crate::error::Malformed;
use crate::sample::{Sample, Value};

/// Floats.
pub const ENCODING_FLOAT: u8 = 1;
/// Histograms of whole numbers.
pub const ENCODING_HISTOGRAM: u8 = 2;
/// Histograms of floats.
pub const ENCODING_FLOAT_HISTOGRAM: u8 = 3;
/// The highest number that the peer uses; those above [`ENCODING_FLOAT_HISTOGRAM`] carry start timestamps.
pub const MAX_ENCODING: u8 = 6;

/// A chunk ends at this many samples, as the peer's do: at a step of 15 s that is half an hour.
pub const MAX_CHUNK_SAMPLES: u16 = 120;

/// A chunk of histograms ends at this many bytes, once it has [`MIN_HISTOGRAMS`].
const MAX_HISTOGRAM_BYTES: usize = 1024;
const MIN_HISTOGRAMS: u16 = 10;

/// A closed chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// How `data` is to be read.
    pub encoding: u8,
    /// Time of the first sample.
    pub min_time: i64,
    /// Time of the last sample.
    pub max_time: i64,
    /// Samples in it.
    pub n_samples: u16,
    /// The samples.
    pub data: Vec<u8>,
}

/// Cuts the samples of one series into chunks.
#[derive(Debug, Default)]
pub struct ChunkBuilder {
    open: Option<Open>,
    first_time: i64,
    last_time: i64,
}

#[derive(Debug)]
enum Open {
    Float(float::FloatBuilder),
    Histogram(Box<histogram::HistogramBuilder>),
}

impl ChunkBuilder {
    /// Adds a sample; answers the chunk before it, when the sample starts a new one.
    ///
    /// # Errors
    /// [`Malformed`]: not later than the sample before it, or a histogram that contradicts itself. Nothing was added.
    pub fn push(&mut self, sample: &Sample) -> Result<Option<Chunk>, Malformed> {
        if self.open.is_some() && sample.time_ms <= self.last_time {
            return Err(Malformed("series: a sample that is not later than the one before it"));
        }
        let mut closed = None;
        match (&sample.value, &mut self.open) {
            (&Value::Float(value), Some(Open::Float(builder))) if builder.n_samples() < MAX_CHUNK_SAMPLES => {
                builder.push(sample.time_ms, value);
            }
            (&Value::Float(value), _) => {
                closed = self.take();
                self.open = Some(Open::Float(float::FloatBuilder::new(sample.time_ms, value)));
            }
            (Value::Histogram(value), open) => {
                layout::check(value)?;
                let before = match open {
                    Some(Open::Histogram(builder)) => Some(builder),
                    _ => None,
                };
                let next = match before {
                    Some(builder) => match builder.push(sample.time_ms, value) {
                        Ok(()) => {
                            self.last_time = sample.time_ms;
                            return Ok(None);
                        }
                        Err(start) => start,
                    },
                    None => histogram::Start::of(value),
                };
                closed = self.take();
                let builder = histogram::HistogramBuilder::new(sample.time_ms, value, next);
                self.open = Some(Open::Histogram(Box::new(builder)));
            }
        }
        if self.n_samples() == 1 {
            self.first_time = sample.time_ms;
        }
        self.last_time = sample.time_ms;
        Ok(closed)
    }

    /// The last chunk.
    pub fn finish(mut self) -> Option<Chunk> {
        self.take()
    }

    fn n_samples(&self) -> u16 {
        match &self.open {
            None => 0,
            Some(Open::Float(builder)) => builder.n_samples(),
            Some(Open::Histogram(builder)) => builder.n_samples(),
        }
    }

    fn take(&mut self) -> Option<Chunk> {
        let n_samples = self.n_samples();
        let (encoding, data) = match self.open.take()? {
            Open::Float(builder) => (ENCODING_FLOAT, builder.into_data()),
            Open::Histogram(builder) => builder.into_data(),
        };
        Some(Chunk { encoding, min_time: self.first_time, max_time: self.last_time, n_samples, data })
    }
}

/// Hands over the samples of a chunk one by one, so that a crafted one cannot take more memory than one sample.
///
/// Histograms of counters say [`NoReset`](cairn_model::histogram::ResetHint::NoReset) but for the first of a chunk: what was before
/// it may be missing, or have been reordered, so that whoever needs to know compares.
///
/// # Errors
/// [`Malformed`]: an encoding that is not known, or data that end too early or contradict themselves. What was handed over
/// before is right.
pub fn decode(encoding: u8, data: &[u8], visit: &mut dyn FnMut(Sample)) -> Result<(), Malformed> {
    match encoding {
        ENCODING_FLOAT => float::decode(data, visit),
        ENCODING_HISTOGRAM => histogram::decode(data, false, visit),
        ENCODING_FLOAT_HISTOGRAM => histogram::decode(data, true, visit),
        _ => Err(Malformed("chunk: an encoding that is not known")),
    }
}

#[cfg(test)]
mod tests;
