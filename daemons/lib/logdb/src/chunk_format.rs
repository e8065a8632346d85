//! What a chunk and a chunk file look like in bytes: constants, headers, and nothing that touches a disk.
//! `FORMAT.md`, section 2, draws the same.

use cairn_disk::Format;

use crate::codec::{DecodeError, Reader};

/// First bytes and version of a chunk file: raised when header, directory or trailer change, or a chunk's version.
pub const FILE_FORMAT: Format = Format::new(*b"CRNCHNKF", 1);
/// Last bytes of a chunk file.
pub const FILE_END_MAGIC: [u8; 8] = *b"CRNCHEND";
/// Bytes of a chunk file's trailer.
pub const FILE_TRAILER_BYTES: usize = 28;
/// First bytes of a chunk.
pub const CHUNK_MAGIC: [u8; 4] = *b"CRNC";
/// Version of a chunk: the one that is written, and the highest that is read. Raise it for every change of a chunk's bytes,
/// and go on reading the older ones (then `ChunkHeader` must keep the version, for `Block::decode` to go
/// by). Queries meet it too late for refusing a start: raise [`FILE_FORMAT`] and
/// [`CATALOGUE_VERSION`](crate::catalogue::CATALOGUE_VERSION) with it, which an older build sees when it opens the store.
pub const CHUNK_VERSION: u16 = 1;
/// Bytes of a chunk's fixed header.
pub const CHUNK_HEADER_BYTES: usize = 64;
/// Bytes of one row of a chunk's block index.
pub const BLOCK_ROW_BYTES: usize = 36;
/// Raw bytes of the largest block that is read: what closes one (far less) and the largest entry, which fits a WAL record of 64 MiB.
pub const MAX_BLOCK_BYTES: usize = 80 << 20;
/// The largest chunk that is read.
pub const MAX_CHUNK_BYTES: u32 = 1 << 30;
/// The largest directory of a chunk file that is read.
pub const MAX_DIRECTORY_BYTES: u32 = 256 << 20;

/// A chunk's fixed header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ChunkHeader {
    pub(crate) stream: u64,
    /// Every record of the stream up to this sequence number is in this or an earlier chunk.
    pub(crate) through: u64,
    pub(crate) min_time: i64,
    pub(crate) max_time: i64,
    pub(crate) entries: u32,
    pub(crate) line_bytes: u64,
    /// log2 of the filter's bits, 0 for none.
    pub(crate) filter_log2: u8,
    pub(crate) filter_crc: u32,
    pub(crate) blocks: Vec<BlockRow>,
}

/// Where a block lies and what it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BlockRow {
    /// From the start of the chunk.
    pub(crate) offset: u32,
    pub(crate) stored_bytes: u32,
    pub(crate) raw_bytes: u32,
    pub(crate) entries: u32,
    pub(crate) min_time: i64,
    pub(crate) max_time: i64,
    /// Of the stored bytes.
    pub(crate) crc: u32,
}

impl ChunkHeader {
    /// Bytes of header and block index.
    pub(crate) fn encoded_bytes(blocks: usize) -> usize {
        CHUNK_HEADER_BYTES + blocks * BLOCK_ROW_BYTES
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let Self {
            stream,
            through,
            min_time,
            max_time,
            entries,
            line_bytes,
            filter_log2,
            filter_crc,
            blocks,
        } = self;
        let mut out = Vec::with_capacity(Self::encoded_bytes(blocks.len()));
        out.extend_from_slice(&CHUNK_MAGIC);
        out.extend_from_slice(&CHUNK_VERSION.to_le_bytes());
        out.extend_from_slice(&[*filter_log2, 0]);
        out.extend_from_slice(&stream.to_le_bytes());
        out.extend_from_slice(&through.to_le_bytes());
        out.extend_from_slice(&min_time.to_le_bytes());
        out.extend_from_slice(&max_time.to_le_bytes());
        out.extend_from_slice(&line_bytes.to_le_bytes());
        out.extend_from_slice(&entries.to_le_bytes());
        let count = u32::try_from(blocks.len()).expect("a chunk is limited to 1 GiB");
        out.extend_from_slice(&count.to_le_bytes());
        out.extend_from_slice(&filter_crc.to_le_bytes());
        debug_assert_eq!(out.len(), CHUNK_HEADER_BYTES - 4);
        let mut index = Vec::with_capacity(blocks.len() * BLOCK_ROW_BYTES);
        for BlockRow { offset, stored_bytes, raw_bytes, entries, min_time, max_time, crc } in blocks {
            index.extend_from_slice(&offset.to_le_bytes());
            index.extend_from_slice(&stored_bytes.to_le_bytes());
            index.extend_from_slice(&raw_bytes.to_le_bytes());
            index.extend_from_slice(&entries.to_le_bytes());
            index.extend_from_slice(&min_time.to_le_bytes());
            index.extend_from_slice(&max_time.to_le_bytes());
            index.extend_from_slice(&crc.to_le_bytes());
        }
        let crc = crc32c::crc32c_append(crc32c::crc32c(&out), &index);
        out.extend_from_slice(&crc.to_le_bytes());
        out.extend_from_slice(&index);
        out
    }

    /// How many bytes the header and block index take that start with these [`CHUNK_HEADER_BYTES`] bytes, of a chunk
    /// of `chunk_bytes`.
    pub(crate) fn index_end(fixed: &[u8], chunk_bytes: u32) -> Result<usize, DecodeError> {
        let mut reader = Reader::new(fixed);
        if reader.take(4, "chunk magic")? != CHUNK_MAGIC {
            return Err(DecodeError { what: "chunk magic", at: 0 });
        }
        if !(1..=CHUNK_VERSION).contains(&reader.u16("chunk version")?) {
            return Err(DecodeError { what: "chunk version (of a newer build, or damaged)", at: 4 });
        }
        reader.take(46, "chunk header")?;
        let blocks = reader.u32("block count")?;
        let end = CHUNK_HEADER_BYTES as u64 + u64::from(blocks) * BLOCK_ROW_BYTES as u64;
        match usize::try_from(end) {
            Ok(bytes) if end <= u64::from(chunk_bytes) => Ok(bytes),
            _ => Err(reader.error("block count")),
        }
    }

    /// Decodes header and block index, both complete in `bytes`; every offset is checked against `chunk_bytes`.
    pub(crate) fn decode(bytes: &[u8], chunk_bytes: u32) -> Result<Self, DecodeError> {
        let index_end = Self::index_end(bytes, chunk_bytes)?;
        let mut reader =
            Reader::new(bytes.get(..index_end).ok_or(DecodeError { what: "block index", at: 0 })?);
        reader.take(6, "chunk header")?;
        let filter_log2 = reader.u8("filter size")?;
        reader.u8("chunk header")?;
        let stream = reader.u64("stream")?;
        let through = reader.u64("sequence")?;
        let min_time = reader.i64("first time")?;
        let max_time = reader.i64("last time")?;
        let line_bytes = reader.u64("line bytes")?;
        let entries = reader.u32("entries")?;
        let count = reader.u32("block count")?;
        let filter_crc = reader.u32("filter checksum")?;
        let sum_at = reader.position();
        let crc = reader.u32("header checksum")?;
        let (fixed, index) = (&bytes[..sum_at], &bytes[CHUNK_HEADER_BYTES..index_end]);
        if crc32c::crc32c_append(crc32c::crc32c(fixed), index) != crc {
            return Err(DecodeError { what: "header checksum", at: sum_at });
        }
        let mut blocks = Vec::with_capacity(count as usize);
        for _ in 0..count {
            let row = BlockRow {
                offset: reader.u32("block offset")?,
                stored_bytes: reader.u32("block length")?,
                raw_bytes: reader.u32("block raw length")?,
                entries: reader.u32("block entries")?,
                min_time: reader.i64("block first time")?,
                max_time: reader.i64("block last time")?,
                crc: reader.u32("block checksum")?,
            };
            let end = u64::from(row.offset) + u64::from(row.stored_bytes);
            if end > u64::from(chunk_bytes) || row.raw_bytes as usize > MAX_BLOCK_BYTES || row.entries == 0 {
                return Err(reader.error("block row"));
            }
            blocks.push(row);
        }
        Ok(Self { stream, through, min_time, max_time, entries, line_bytes, filter_log2, filter_crc, blocks })
    }
}

/// Where a chunk file's directory lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Trailer {
    pub(crate) directory_at: u64,
    pub(crate) directory_bytes: u32,
    pub(crate) directory_crc: u32,
}

impl Trailer {
    pub(crate) fn encode(self) -> [u8; FILE_TRAILER_BYTES] {
        let Self { directory_at, directory_bytes, directory_crc } = self;
        let mut out = [0; FILE_TRAILER_BYTES];
        out[..8].copy_from_slice(&directory_at.to_le_bytes());
        out[8..12].copy_from_slice(&directory_bytes.to_le_bytes());
        out[12..16].copy_from_slice(&directory_crc.to_le_bytes());
        let crc = crc32c::crc32c(&out[..16]);
        out[16..20].copy_from_slice(&crc.to_le_bytes());
        out[20..].copy_from_slice(&FILE_END_MAGIC);
        out
    }

    /// Reads the trailer of a file of `file_bytes`.
    pub(crate) fn decode(bytes: &[u8], file_bytes: u64) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let directory_at = reader.u64("directory offset")?;
        let directory_bytes = reader.u32("directory length")?;
        let directory_crc = reader.u32("directory checksum")?;
        if reader.u32("trailer checksum")? != crc32c::crc32c(&bytes[..16])
            || reader.take(8, "end magic")? != FILE_END_MAGIC
        {
            return Err(reader.error("trailer"));
        }
        let end = directory_at.checked_add(u64::from(directory_bytes) + FILE_TRAILER_BYTES as u64);
        if end != Some(file_bytes) || directory_bytes > MAX_DIRECTORY_BYTES {
            return Err(reader.error("directory place"));
        }
        Ok(Self { directory_at, directory_bytes, directory_crc })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> ChunkHeader {
        let row = BlockRow {
            offset: 200,
            stored_bytes: 50,
            raw_bytes: 100,
            entries: 3,
            min_time: -5,
            max_time: 9,
            crc: 77,
        };
        ChunkHeader {
            stream: 4,
            through: 9,
            min_time: -5,
            max_time: 20,
            entries: 6,
            line_bytes: 60,
            filter_log2: 9,
            filter_crc: 5,
            blocks: vec![row, BlockRow { offset: 250, ..row }],
        }
    }

    #[test]
    fn header_comes_back_and_every_flipped_bit_is_noticed() {
        let header = header();
        let bytes = header.encode();
        assert_eq!(bytes.len(), ChunkHeader::encoded_bytes(2));
        assert_eq!(ChunkHeader::decode(&bytes, 300).unwrap(), header);
        assert!(ChunkHeader::decode(&bytes, 299).is_err(), "a block behind the end of the chunk");
        for cut in 0..bytes.len() {
            assert!(ChunkHeader::decode(&bytes[..cut], 300).is_err(), "cut at {cut}");
        }
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(ChunkHeader::decode(&damaged, 300).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn trailer_comes_back_and_must_fit_the_file() {
        let trailer = Trailer { directory_at: 100, directory_bytes: 20, directory_crc: 3 };
        let bytes = trailer.encode();
        assert_eq!(Trailer::decode(&bytes, 148).unwrap(), trailer);
        assert!(Trailer::decode(&bytes, 149).is_err());
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes;
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(Trailer::decode(&damaged, 148).is_err(), "bit {bit}");
        }
    }
}
