//! What a block is: its range, its origin, its size.

use cairn_disk::Format;

use super::BlockId;
use crate::codec::{Malformed, Reader, put_len, put_uvarint, put_varint};

/// Kind and version of the file `meta`.
pub const META_FORMAT: Format = Format::new(*b"CAIRNMBM", 2);

/// The description of one block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockMeta {
    /// Its name.
    pub id: BlockId,
    /// First instant, inclusive, in milliseconds.
    pub min_time_ms: i64,
    /// Last instant, exclusive.
    pub max_time_ms: i64,
    /// 0 for a part of a window that was flushed from the head, 1 for a whole window of the shortest length, one more
    /// for each merge.
    pub level: u32,
    /// The blocks written from the head whose samples are in here; itself if it was.
    pub sources: Vec<BlockId>,
    /// The blocks that this one replaced. If one of them still lies there when the database is opened, it goes.
    pub parents: Vec<BlockId>,
    /// When it was written, as a number that grows with each flush. Where two blocks have a sample of one series at one
    /// time, that of the lower number was accepted first and counts; of a merged block it is the lowest of its parents.
    pub order: u64,
    /// The first segment of the log whose samples are *not* in this block or one flushed before it: replay starts there
    /// at the earliest. `None` when the block says nothing about the log. Of a flush that writes several blocks, the
    /// last one says it.
    pub wal_until: Option<u64>,
    /// Series.
    pub n_series: u64,
    /// Chunks.
    pub n_chunks: u64,
    /// Samples: floats and histograms together.
    pub n_samples: u64,
    /// How many of them are native histograms.
    pub n_histogram_samples: u64,
    /// Deletions that hide samples in it.
    pub n_tombstones: u64,
    /// Length of the file `index`.
    pub index_bytes: u64,
    /// Length of the file `chunks`.
    pub chunks_bytes: u64,
    /// Where the index's table of contents starts.
    pub(crate) toc_offset: u64,
    /// How long it is.
    pub(crate) toc_len: usize,
}

impl BlockMeta {
    /// Bytes in its two large files.
    pub fn bytes(&self) -> u64 {
        self.index_bytes + self.chunks_bytes
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let Self {
            id,
            min_time_ms,
            max_time_ms,
            level,
            sources,
            parents,
            order,
            wal_until,
            n_series,
            n_chunks,
            n_samples,
            n_histogram_samples,
            n_tombstones,
            index_bytes,
            chunks_bytes,
            toc_offset,
            toc_len,
        } = self;
        let mut out = id.0.to_le_bytes().to_vec();
        put_varint(&mut out, *min_time_ms);
        put_varint(&mut out, *max_time_ms);
        put_uvarint(&mut out, u64::from(*level));
        for ids in [sources, parents] {
            put_len(&mut out, ids.len());
            for id in ids {
                out.extend_from_slice(&id.0.to_le_bytes());
            }
        }
        for number in [n_series, n_chunks, n_samples, index_bytes, chunks_bytes, toc_offset] {
            put_uvarint(&mut out, *number);
        }
        put_len(&mut out, *toc_len);
        // Since version 2.
        put_uvarint(&mut out, *order);
        match wal_until {
            None => out.push(0),
            Some(segment) => {
                out.push(1);
                put_uvarint(&mut out, *segment);
            }
        }
        put_uvarint(&mut out, *n_histogram_samples);
        put_uvarint(&mut out, *n_tombstones);
        out
    }

    /// Reads what a build of this or an earlier version wrote. Blocks of version 1 never overlap, know no histograms and
    /// no deletions, and were followed by a checkpoint, so their log needs no mark.
    pub(super) fn decode(version: u16, bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes, "block description");
        let id = read_id(&mut reader)?;
        let (min_time_ms, max_time_ms) = (reader.varint()?, reader.varint()?);
        let level = reader.u32()?;
        let (sources, parents) = (read_ids(&mut reader)?, read_ids(&mut reader)?);
        let mut meta = Self {
            id,
            min_time_ms,
            max_time_ms,
            level,
            sources,
            parents,
            order: 0,
            wal_until: None,
            n_series: reader.uvarint()?,
            n_chunks: reader.uvarint()?,
            n_samples: reader.uvarint()?,
            n_histogram_samples: 0,
            n_tombstones: 0,
            index_bytes: reader.uvarint()?,
            chunks_bytes: reader.uvarint()?,
            toc_offset: reader.uvarint()?,
            toc_len: usize::try_from(reader.uvarint()?).map_err(|_| reader.malformed())?,
        };
        if version >= 2 {
            meta.order = reader.uvarint()?;
            meta.wal_until = match reader.byte()? {
                0 => None,
                1 => Some(reader.uvarint()?),
                _ => return Err(reader.malformed()),
            };
            meta.n_histogram_samples = reader.uvarint()?;
            meta.n_tombstones = reader.uvarint()?;
        }
        Ok(meta)
    }
}

fn read_id(reader: &mut Reader<'_>) -> Result<BlockId, Malformed> {
    let (low, high) = (reader.u64_le()?, reader.u64_le()?);
    Ok(BlockId((u128::from(high) << 64) | u128::from(low)))
}

fn read_ids(reader: &mut Reader<'_>) -> Result<Vec<BlockId>, Malformed> {
    let count = reader.count()?;
    (0..count).map(|_| read_id(reader)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::frozen;

    fn meta_of_version(version: u16) -> BlockMeta {
        let of_two = |value: u64| if version >= 2 { value } else { 0 };
        BlockMeta {
            id: BlockId(u128::MAX - 5),
            min_time_ms: -7_200_000,
            max_time_ms: 0,
            level: 2,
            sources: vec![BlockId(1), BlockId(2)],
            parents: vec![BlockId(3)],
            order: of_two(7),
            wal_until: (version >= 2).then_some(300),
            n_series: 10,
            n_chunks: 20,
            n_samples: 4800,
            n_histogram_samples: of_two(480),
            n_tombstones: of_two(3),
            index_bytes: 1000,
            chunks_bytes: 2000,
            toc_offset: 900,
            toc_len: 76,
        }
    }

    #[test]
    fn every_version_is_read_and_cuts_are_errors() {
        for version in 1..=META_FORMAT.version {
            let meta = meta_of_version(version);
            let is_current = version == META_FORMAT.version;
            let bytes = frozen(&format!("block-meta-v{version}.hex"), &meta.encode(), is_current);
            assert_eq!(BlockMeta::decode(version, &bytes), Ok(meta));
            for len in 0..bytes.len() {
                assert!(BlockMeta::decode(version, &bytes[..len]).is_err());
            }
        }
        let without = BlockMeta { wal_until: None, ..meta_of_version(2) };
        assert_eq!(BlockMeta::decode(2, &without.encode()), Ok(without));
    }
}
