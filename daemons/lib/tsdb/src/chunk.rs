//! Compressed runs of samples of one series.
//!
//! Times are stored as deltas of deltas, values as the XOR with their predecessor: Pelkonen et al., "Gorilla: A Fast,
//! Scalable, In-Memory Time Series Database", VLDB 2015, section 4.1, in the bit widths that Prometheus uses for its
//! float chunks (encoding 1). So a chunk can go into a Prometheus block as it is.
//!
//! The byte in front of a chunk's data on disk is its `Encoding`; other encodings can follow without a new file format.

mod bits;
pub mod column;
mod encoding;
mod fields;
pub(crate) mod histogram;
mod histogram_layout;
mod open;
mod starts;

use bits::{BitReader, BitWriter};
use cairn_promql::source::SeriesData;

pub use encoding::{ENCODING_COLUMNS, ENCODING_HISTOGRAM, ENCODING_XOR, ENCODING_XOR_STARTS};

pub(crate) use encoding::Encoding;
pub(crate) use open::{OpenChunk, encode};

use crate::codec::{Malformed, zigzag};

/// A chunk is closed at this many samples. Prometheus stops at 120; twice as many halve what a chunk costs besides
/// its samples (a header on disk, an entry in the head) while decoding one for a few samples still takes microseconds.
pub const MAX_CHUNK_SAMPLES: u16 = 240;

/// No window of significant bits was written yet.
const NO_WINDOW: u8 = 0xff;

/// A closed chunk: encoded samples and where they lie in time. Cloning shares the bytes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Chunk {
    pub(crate) min_time: i64,
    pub(crate) max_time: i64,
    pub(crate) n_samples: u16,
    pub(crate) encoding: Encoding,
    pub(crate) data: std::sync::Arc<[u8]>,
}

impl Chunk {
    /// Whether a sample may lie in `start..=end`.
    pub(crate) fn overlaps(&self, start: i64, end: i64) -> bool {
        self.min_time <= end && self.max_time >= start
    }

    /// Encodes floats without start timestamps that ascend in time.
    #[cfg(test)]
    pub(crate) fn from_samples(samples: impl IntoIterator<Item = (i64, u64)>) -> Option<Self> {
        let mut builder: Option<ChunkBuilder> = None;
        for (time, bits) in samples {
            match &mut builder {
                Some(builder) => builder.push(time, bits),
                None => builder = Some(ChunkBuilder::new(time, bits)),
            }
        }
        builder.map(|builder| builder.snapshot())
    }

    /// Appends the samples in `start..=end` to the columns of a series.
    ///
    /// # Errors
    /// [`Malformed`] when the data are not a chunk; what was decoded before is there.
    pub(crate) fn decode_range(&self, start: i64, end: i64, into: &mut SeriesData) -> Result<(), Malformed> {
        let is_wanted = |time: i64| time >= start && time <= end;
        match self.encoding {
            Encoding::Xor => decode(&self.data, |time, bits| {
                if is_wanted(time) {
                    starts::push_float(into, time, f64::from_bits(bits), 0);
                }
            }),
            Encoding::XorStarts => starts::decode(&self.data, |time, bits, start| {
                if is_wanted(time) {
                    starts::push_float(into, time, f64::from_bits(bits), start);
                }
            }),
            Encoding::Histogram => histogram::decode(&self.data, |point| {
                if is_wanted(point.time) {
                    into.histograms.push(point);
                }
            }),
        }
    }
}

/// Appends samples of ascending time to a chunk.
#[derive(Clone, Debug)]
pub(crate) struct ChunkBuilder {
    bits: BitWriter,
    n_samples: u16,
    first_time: i64,
    last_time: i64,
    /// Difference between the last two times.
    delta: u64,
    last_bits: u64,
    leading: u8,
    trailing: u8,
}

impl ChunkBuilder {
    pub(crate) fn new(time: i64, value_bits: u64) -> Self {
        // The first two bytes are for the number of samples.
        let mut bits = BitWriter::with_bytes(&[0, 0]);
        bits.write_uvarint(zigzag(time));
        bits.write(value_bits, 64);
        Self {
            bits,
            n_samples: 1,
            first_time: time,
            last_time: time,
            delta: 0,
            last_bits: value_bits,
            leading: NO_WINDOW,
            trailing: 0,
        }
    }

    /// Appends a sample that is later than the last one.
    pub(crate) fn push(&mut self, time: i64, value_bits: u64) {
        debug_assert!(time > self.last_time && self.n_samples < u16::MAX, "the series checks both");
        let delta = time.wrapping_sub(self.last_time).cast_unsigned();
        if self.n_samples == 1 {
            self.bits.write_uvarint(delta);
        } else {
            self.push_delta_of_delta(delta.wrapping_sub(self.delta).cast_signed());
        }
        self.push_xor(value_bits ^ self.last_bits);
        (self.delta, self.last_time, self.last_bits) = (delta, time, value_bits);
        self.n_samples += 1;
    }

    fn push_delta_of_delta(&mut self, dod: i64) {
        // A field of n bits holds -(2^(n-1) - 1) ..= 2^(n-1).
        let fits = |n: u32| dod > -(1 << (n - 1)) && dod <= 1 << (n - 1);
        let raw = dod.cast_unsigned();
        match dod {
            0 => self.bits.write(0b0, 1),
            _ if fits(14) => self.bits.write_prefixed(0b10, 2, raw, 14),
            _ if fits(17) => self.bits.write_prefixed(0b110, 3, raw, 17),
            _ if fits(20) => self.bits.write_prefixed(0b1110, 4, raw, 20),
            _ => self.bits.write_prefixed(0b1111, 4, raw, 64),
        }
    }

    fn push_xor(&mut self, xor: u64) {
        if xor == 0 {
            self.bits.write(0, 1);
            return;
        }
        let leading = u8::try_from(xor.leading_zeros().min(31)).expect("at most 31");
        let trailing = u8::try_from(xor.trailing_zeros()).expect("below 64 for a number that is not 0");
        if self.leading != NO_WINDOW && leading >= self.leading && trailing >= self.trailing {
            let width = 64 - u32::from(self.leading) - u32::from(self.trailing);
            self.bits.write_prefixed(0b10, 2, xor >> self.trailing, width);
            return;
        }
        (self.leading, self.trailing) = (leading, trailing);
        let width = 64 - u32::from(leading) - u32::from(trailing);
        self.bits.write(0b11, 2);
        self.bits.write(u64::from(leading), 5);
        // 64 significant bits are written as 0: none is impossible, since the XOR is not 0.
        self.bits.write(u64::from(width % 64), 6);
        self.bits.write(xor >> trailing, width);
    }

    pub(crate) fn n_samples(&self) -> u16 {
        self.n_samples
    }

    pub(crate) fn first_time(&self) -> i64 {
        self.first_time
    }

    pub(crate) fn last_time(&self) -> i64 {
        self.last_time
    }

    /// What the encoded samples take in memory, spare room included.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.bits.heap_bytes()
    }

    /// Where the next sample will be written besides the builder itself; 0 where nothing is likely to be.
    pub(crate) fn end_address(&self) -> usize {
        self.bits.end_address()
    }

    /// The samples so far as a closed chunk.
    pub(crate) fn snapshot(&self) -> Chunk {
        Chunk {
            min_time: self.first_time,
            max_time: self.last_time,
            n_samples: self.n_samples,
            encoding: Encoding::Xor,
            data: self.bits.with_head(self.n_samples.to_be_bytes()).into(),
        }
    }
}

/// Calls `visit` with each sample of an XOR chunk.
///
/// # Errors
/// [`Malformed`] when the data end too early or cannot have been written by [`ChunkBuilder`].
pub(crate) fn decode(data: &[u8], mut visit: impl FnMut(i64, u64)) -> Result<(), Malformed> {
    const BAD: Malformed = Malformed("XOR chunk");
    let (count, stream) = data.split_first_chunk::<2>().ok_or(BAD)?;
    let n_samples = u16::from_be_bytes(*count);
    let mut bits = BitReader::new(stream);
    let (mut time, mut delta, mut value) = (0i64, 0u64, 0u64);
    let (mut leading, mut width) = (0u32, 0u32);
    for index in 0..n_samples {
        match index {
            0 => {
                time = crate::codec::unzigzag(bits.uvarint().ok_or(BAD)?);
                value = bits.read(64).ok_or(BAD)?;
                visit(time, value);
                continue;
            }
            1 => delta = bits.uvarint().ok_or(BAD)?,
            _ => delta = delta.wrapping_add(read_delta_of_delta(&mut bits).ok_or(BAD)?.cast_unsigned()),
        }
        time = time.wrapping_add(delta.cast_signed());
        if bits.read(1).ok_or(BAD)? == 1 {
            if bits.read(1).ok_or(BAD)? == 1 {
                leading = bits.read_u32(5).ok_or(BAD)?;
                width = bits.read_u32(6).ok_or(BAD)?;
                if width == 0 {
                    width = 64;
                }
            }
            if width == 0 || leading + width > 64 {
                return Err(BAD);
            }
            value ^= bits.read(width).ok_or(BAD)? << (64 - leading - width);
        }
        visit(time, value);
    }
    Ok(())
}

fn read_delta_of_delta(bits: &mut BitReader<'_>) -> Option<i64> {
    let mut ones = 0;
    while ones < 4 && bits.read(1)? == 1 {
        ones += 1;
    }
    let width = match ones {
        0 => return Some(0),
        1 => 14,
        2 => 17,
        3 => 20,
        _ => return bits.read(64).map(u64::cast_signed),
    };
    let raw = bits.read(width)?.cast_signed();
    Some(if raw > 1 << (width - 1) { raw - (1 << width) } else { raw })
}

#[cfg(test)]
mod histogram_tests;
#[cfg(test)]
mod open_tests;
#[cfg(test)]
mod tests;
