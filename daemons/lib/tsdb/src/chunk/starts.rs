//! Chunks of floats that say when their counting began: the starts in front, then an ordinary XOR chunk.
//!
//! A start timestamp changes only when its program restarts, so one is written as its difference to the one before: a bit
//! for each sample. Series without any never get here, and pay nothing.

use cairn_promql::source::SeriesData;

use super::bits::{BitReader, BitWriter};
use super::fields::{read_signed, write_signed};
use super::{Chunk, ChunkBuilder, Encoding};
use crate::codec::{Malformed, Reader, put_len};

/// Appends samples of ascending time to a chunk.
#[derive(Clone, Debug)]
pub(crate) struct StartsBuilder {
    floats: ChunkBuilder,
    starts: BitWriter,
    last_start: i64,
}

impl StartsBuilder {
    pub(super) fn new(time: i64, value_bits: u64, start: i64) -> Self {
        let mut starts = BitWriter::with_bytes(&[]);
        write_signed(&mut starts, start);
        Self { floats: ChunkBuilder::new(time, value_bits), starts, last_start: start }
    }

    /// Appends a sample that is later than the last one.
    pub(super) fn push(&mut self, time: i64, value_bits: u64, start: i64) {
        self.floats.push(time, value_bits);
        write_signed(&mut self.starts, start.wrapping_sub(self.last_start));
        self.last_start = start;
    }

    pub(super) fn floats(&self) -> &ChunkBuilder {
        &self.floats
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.floats.heap_bytes() + self.starts.heap_bytes()
    }

    pub(super) fn snapshot(&self) -> Chunk {
        let floats = self.floats.snapshot();
        let n_bytes = self.starts.n_bytes();
        let mut data = Vec::with_capacity(floats.data.len() + n_bytes + 3);
        put_len(&mut data, n_bytes);
        self.starts.append_to(&mut data);
        data.extend_from_slice(&floats.data);
        Chunk { encoding: Encoding::XorStarts, data: data.into(), ..floats }
    }
}

/// Calls `visit` with time, bits and start of each sample.
///
/// # Errors
/// [`Malformed`] when the data end too early or cannot have been written by [`StartsBuilder`].
pub(super) fn decode(data: &[u8], mut visit: impl FnMut(i64, u64, i64)) -> Result<(), Malformed> {
    let mut reader = Reader::new(data, "chunk with start timestamps");
    let mut starts = BitReader::new(reader.bytes()?);
    let (mut start, mut is_short) = (0i64, false);
    super::decode(reader.rest(), |time, bits| match read_signed(&mut starts) {
        Some(step) => {
            start = start.wrapping_add(step);
            visit(time, bits, start);
        }
        None => is_short = true,
    })?;
    if is_short { Err(reader.malformed()) } else { Ok(()) }
}

/// Appends a float to the columns of a series; that of the starts is empty as long as none is known.
pub(super) fn push_float(into: &mut SeriesData, time: i64, value: f64, start: i64) {
    if start != 0 && into.starts.is_empty() {
        into.starts.resize(into.times.len(), 0);
    }
    into.times.push(time);
    into.values.push(value);
    if start != 0 || !into.starts.is_empty() {
        into.starts.push(start);
    }
}
