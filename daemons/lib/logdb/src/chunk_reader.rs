//! Reads one chunk of a chunk file: header and block index at once, filter and blocks when they are asked for.

use std::io;
use std::sync::Arc;

use cairn_disk::FsFile;

use crate::block::Block;
use crate::chunk_file::{ChunkFileError, ChunkRef, OpenFiles};
use crate::chunk_format::{BlockRow, CHUNK_HEADER_BYTES, ChunkHeader};
use crate::codec::DecodeError;
use crate::filter;

/// The first read of a chunk: header and index of a hundred blocks, so that a second one is rare.
const FIRST_READ_BYTES: usize = 4096;

#[derive(Debug)]
pub(crate) struct ChunkReader {
    file: Arc<dyn FsFile>,
    chunk: ChunkRef,
    header: ChunkHeader,
}

impl ChunkReader {
    pub(crate) fn open(files: &OpenFiles, chunk: &ChunkRef) -> Result<Self, ChunkFileError> {
        let file = files.get(&chunk.file)?;
        let place = &chunk.place;
        let mut bytes = vec![0; FIRST_READ_BYTES.min(place.bytes as usize)];
        read(&*file, chunk, &mut bytes, 0)?;
        let fixed = bytes.get(..CHUNK_HEADER_BYTES);
        let fixed =
            fixed.ok_or_else(|| damaged(chunk, 0, DecodeError { what: "chunk header", at: bytes.len() }))?;
        let index_end =
            ChunkHeader::index_end(fixed, place.bytes).map_err(|error| damaged(chunk, 0, error))?;
        if index_end > bytes.len() {
            bytes.resize(index_end, 0);
            read(&*file, chunk, &mut bytes, 0)?;
        }
        let header = ChunkHeader::decode(&bytes, place.bytes).map_err(|error| damaged(chunk, 0, error))?;
        Ok(Self { file, chunk: chunk.clone(), header })
    }

    pub(crate) fn blocks(&self) -> &[BlockRow] {
        &self.header.blocks
    }

    /// Whether a line with all these needles may be in the chunk. Needles too short for the filter say nothing.
    pub(crate) fn may_contain(&self, needles: &[Box<[u8]>]) -> Result<bool, ChunkFileError> {
        let log2 = self.header.filter_log2;
        if log2 == 0 || !needles.iter().any(|needle| filter::is_usable(needle)) {
            return Ok(true);
        }
        let at = ChunkHeader::encoded_bytes(self.header.blocks.len()) as u64;
        let bytes = filter::filter_bytes(log2)
            .filter(|bytes| at + *bytes as u64 <= u64::from(self.chunk.place.bytes))
            .ok_or_else(|| damaged(&self.chunk, at, DecodeError { what: "filter size", at: 0 }))?;
        let mut bits = vec![0; bytes];
        read(&*self.file, &self.chunk, &mut bits, at)?;
        if crc32c::crc32c(&bits) != self.header.filter_crc {
            return Err(damaged(&self.chunk, at, DecodeError { what: "filter checksum", at: 0 }));
        }
        Ok(needles.iter().all(|needle| filter::may_contain(log2, &bits, needle)))
    }

    /// Reads and decodes one block.
    pub(crate) fn block(&self, index: usize) -> Result<Block, ChunkFileError> {
        let row = &self.header.blocks[index];
        let mut stored = vec![0; row.stored_bytes as usize];
        read(&*self.file, &self.chunk, &mut stored, u64::from(row.offset))?;
        Block::decode(&stored, row).map_err(|error| damaged(&self.chunk, u64::from(row.offset), error))
    }
}

fn read(file: &dyn FsFile, chunk: &ChunkRef, buffer: &mut [u8], at: u64) -> Result<(), ChunkFileError> {
    file.read_exact_at(buffer, chunk.place.offset + at).map_err(|source| {
        if source.kind() == io::ErrorKind::UnexpectedEof {
            return damaged(chunk, at, DecodeError { what: "end of the file", at: 0 });
        }
        ChunkFileError::Io { path: chunk.file.path.clone(), source }
    })
}

fn damaged(chunk: &ChunkRef, at: u64, source: DecodeError) -> ChunkFileError {
    ChunkFileError::Damaged { path: chunk.file.path.clone(), offset: chunk.place.offset + at, source }
}
