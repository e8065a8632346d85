//! One decoded block of a chunk: columns of times and metadata beside the text of all lines.

use cairn_disk::compress;
use cairn_model::Labels;
use std::sync::Arc;

use crate::chunk_format::BlockRow;
use crate::codec::{DecodeError, Reader};

/// Entries of one block, ascending by time, ties in the order of arrival.
#[derive(Debug, Default)]
pub(crate) struct Block {
    times: Vec<i64>,
    /// End of each line in `raw`.
    ends: Vec<u32>,
    /// Where the first line starts in `raw`.
    text_at: u32,
    /// Set of each entry; empty when there is only one set.
    metadata: Vec<u32>,
    sets: Vec<Arc<Labels>>,
    /// The decompressed block.
    raw: Vec<u8>,
}

impl Block {
    /// Checks, decompresses and decodes a stored block.
    pub(crate) fn decode(stored: &[u8], row: &BlockRow) -> Result<Self, DecodeError> {
        if crc32c::crc32c(stored) != row.crc {
            return Err(DecodeError { what: "block checksum", at: 0 });
        }
        let raw = compress::decompress(stored, row.raw_bytes as usize)
            .map_err(|_| DecodeError { what: "compressed block", at: 0 })?;
        if raw.len() != row.raw_bytes as usize {
            return Err(DecodeError { what: "block raw length", at: 0 });
        }
        let entries = row.entries as usize;
        let mut reader = Reader::new(&raw);
        let mut sets = Vec::new();
        for _ in 0..reader.count(1, "metadata sets")? {
            sets.push(Arc::new(reader.labels("metadata set")?));
        }
        // Every entry takes at least the byte of its length.
        if entries == 0 || entries > reader.remaining() || sets.is_empty() {
            return Err(reader.error("entries"));
        }
        let times = decode_times(&mut reader, entries)?;
        let mut metadata = Vec::new();
        if sets.len() > 1 {
            metadata.reserve_exact(entries);
            for _ in 0..entries {
                let set = u32::try_from(reader.uvarint("metadata id")?).ok();
                let set = set.filter(|set| (*set as usize) < sets.len());
                metadata.push(set.ok_or_else(|| reader.error("metadata id"))?);
            }
        }
        let mut ends = Vec::with_capacity(entries);
        let mut end = 0u64;
        for _ in 0..entries {
            end = end.saturating_add(reader.uvarint("line length")?);
            ends.push(u32::try_from(end).map_err(|_| reader.error("line length"))?);
        }
        if end != reader.remaining() as u64 {
            return Err(reader.error("lines"));
        }
        let text_at = u32::try_from(reader.position()).map_err(|_| reader.error("lines"))?;
        for end in &mut ends {
            *end += text_at;
        }
        Ok(Self { times, ends, text_at, metadata, sets, raw })
    }

    /// Positions of the entries with `start <= time < end`.
    pub(crate) fn positions(&self, start: i64, end: i64) -> (usize, usize) {
        let from = self.times.partition_point(|time| *time < start);
        let to = self.times.partition_point(|time| *time < end);
        (from, to.max(from))
    }

    pub(crate) fn time(&self, position: usize) -> i64 {
        self.times[position]
    }

    pub(crate) fn line(&self, position: usize) -> &[u8] {
        let start = if position == 0 { self.text_at } else { self.ends[position - 1] };
        &self.raw[start as usize..self.ends[position] as usize]
    }

    pub(crate) fn metadata(&self, position: usize) -> &Arc<Labels> {
        &self.sets[self.metadata.get(position).map_or(0, |set| *set as usize)]
    }
}

fn decode_times(reader: &mut Reader<'_>, entries: usize) -> Result<Vec<i64>, DecodeError> {
    let mut time = reader.i64("first time")?;
    let mut times = Vec::with_capacity(entries);
    times.push(time);
    for _ in 1..entries {
        let delta = reader.uvarint("time")?;
        time = time.checked_add_unsigned(delta).ok_or_else(|| reader.error("time"))?;
        times.push(time);
    }
    Ok(times)
}
