//! What a block is: its range, its origin, its size.

use cairn_disk::Format;

use super::BlockId;
use crate::codec::{Malformed, Reader, put_len, put_uvarint, put_varint};

/// Kind and version of the file `meta`.
pub const META_FORMAT: Format = Format::new(*b"CAIRNMBM", 1);

/// The description of one block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockMeta {
    /// Its name.
    pub id: BlockId,
    /// First instant, inclusive, in milliseconds.
    pub min_time_ms: i64,
    /// Last instant, exclusive.
    pub max_time_ms: i64,
    /// 1 for a block cut from the head, one more for each merge.
    pub level: u32,
    /// The blocks cut from the head whose samples are in here; itself at level 1.
    pub sources: Vec<BlockId>,
    /// The blocks that this one replaced. If one of them still lies there when the database is opened, it goes.
    pub parents: Vec<BlockId>,
    /// Series.
    pub n_series: u64,
    /// Chunks.
    pub n_chunks: u64,
    /// Samples.
    pub n_samples: u64,
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
            n_series,
            n_chunks,
            n_samples,
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
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes, "block description");
        let id = read_id(&mut reader)?;
        let (min_time_ms, max_time_ms) = (reader.varint()?, reader.varint()?);
        let level = reader.u32()?;
        let (sources, parents) = (read_ids(&mut reader)?, read_ids(&mut reader)?);
        Ok(Self {
            id,
            min_time_ms,
            max_time_ms,
            level,
            sources,
            parents,
            n_series: reader.uvarint()?,
            n_chunks: reader.uvarint()?,
            n_samples: reader.uvarint()?,
            index_bytes: reader.uvarint()?,
            chunks_bytes: reader.uvarint()?,
            toc_offset: reader.uvarint()?,
            toc_len: usize::try_from(reader.uvarint()?).map_err(|_| reader.malformed())?,
        })
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

    #[test]
    fn round_trip_and_cuts() {
        let meta = BlockMeta {
            id: BlockId(u128::MAX - 5),
            min_time_ms: -7_200_000,
            max_time_ms: 0,
            level: 2,
            sources: vec![BlockId(1), BlockId(2)],
            parents: vec![BlockId(3)],
            n_series: 10,
            n_chunks: 20,
            n_samples: 4800,
            index_bytes: 1000,
            chunks_bytes: 2000,
            toc_offset: 900,
            toc_len: 76,
        };
        let bytes = meta.encode();
        assert_eq!(BlockMeta::decode(&bytes), Ok(meta));
        for len in 0..bytes.len() {
            assert!(BlockMeta::decode(&bytes[..len]).is_err());
        }
    }
}
