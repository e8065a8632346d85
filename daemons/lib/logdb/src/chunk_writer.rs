//! Sorted entries of one stream to the bytes of chunks; `FORMAT.md`, section 2.2.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use cairn_disk::compress;
use cairn_model::Labels;

use crate::chunk_format::{BlockRow, ChunkHeader};
use crate::codec::{put_labels, put_uvarint};
use crate::filter::FilterBuilder;
use crate::head::{Head, StoredEntry};

/// What an entry costs in a block besides its text, at most: time, length and metadata reference.
const ENTRY_OVERHEAD_BYTES: usize = 8;
/// Entries of one chunk at most, so that counts fit and a chunk of empty lines ends too.
const MAX_CHUNK_ENTRIES: u32 = 1 << 20;

/// A chunk, ready to be written to a file.
#[derive(Debug)]
pub(crate) struct EncodedChunk {
    pub(crate) header: ChunkHeader,
    /// Header, block index, filter, blocks.
    pub(crate) bytes: Vec<u8>,
}

/// How large chunks and blocks become, and how hard they are compressed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ChunkShape {
    /// Raw bytes at which a chunk is closed.
    pub(crate) chunk_bytes: usize,
    /// Raw bytes at which a block is closed.
    pub(crate) block_bytes: usize,
    pub(crate) level: i32,
}

/// Cuts a head into chunks and hands each to `sink`.
pub(crate) fn encode_head(
    head: &Head,
    stream: u64,
    through: u64,
    shape: ChunkShape,
    sink: &mut dyn FnMut(EncodedChunk) -> io::Result<()>,
) -> io::Result<()> {
    let mut position = 0;
    while position < head.len() {
        let mut chunk = ChunkWriter::new(shape);
        while position < head.len() && !chunk.is_full() {
            chunk.push(head.stored(position))?;
            position += 1;
        }
        // Only the last chunk of a cut may say that everything is written.
        let covers = if position == head.len() { through } else { 0 };
        sink(chunk.finish(stream, covers)?)?;
    }
    Ok(())
}

/// Builds one chunk from entries in ascending time.
struct ChunkWriter {
    shape: ChunkShape,
    block: BlockBuilder,
    rows: Vec<BlockRow>,
    blocks: Vec<u8>,
    filter: FilterBuilder,
    entries: u32,
    line_bytes: u64,
    raw_bytes: usize,
}

impl ChunkWriter {
    fn new(shape: ChunkShape) -> Self {
        Self {
            shape,
            block: BlockBuilder::default(),
            rows: Vec::new(),
            blocks: Vec::new(),
            filter: FilterBuilder::new(),
            entries: 0,
            line_bytes: 0,
            raw_bytes: 0,
        }
    }

    fn is_full(&self) -> bool {
        self.entries > 0 && (self.raw_bytes >= self.shape.chunk_bytes || self.entries >= MAX_CHUNK_ENTRIES)
    }

    fn push(&mut self, entry: StoredEntry<'_>) -> io::Result<()> {
        let raw_before = self.block.raw_bytes;
        self.block.push(entry);
        self.filter.add(entry.line);
        self.entries += 1;
        self.line_bytes += entry.line.len() as u64;
        self.raw_bytes += self.block.raw_bytes - raw_before;
        if self.block.raw_bytes >= self.shape.block_bytes { self.close_block() } else { Ok(()) }
    }

    fn close_block(&mut self) -> io::Result<()> {
        let block = std::mem::take(&mut self.block);
        let (Some(&min_time), Some(&max_time)) = (block.times.first(), block.times.last()) else {
            return Ok(());
        };
        let entries = u32_of(block.times.len());
        let raw = block.encode();
        let stored = compress::compress(&raw, self.shape.level)?;
        self.rows.push(BlockRow {
            offset: u32_of(self.blocks.len()),
            stored_bytes: u32_of(stored.len()),
            raw_bytes: u32_of(raw.len()),
            entries,
            min_time,
            max_time,
            crc: crc32c::crc32c(&stored),
        });
        self.blocks.extend_from_slice(&stored);
        Ok(())
    }

    fn finish(mut self, stream: u64, through: u64) -> io::Result<EncodedChunk> {
        self.close_block()?;
        let (filter_log2, filter) = self.filter.build();
        let blocks_at = u32_of(ChunkHeader::encoded_bytes(self.rows.len()) + filter.len());
        for row in &mut self.rows {
            row.offset += blocks_at;
        }
        let header = ChunkHeader {
            stream,
            through,
            min_time: self.rows.first().map_or(0, |row| row.min_time),
            max_time: self.rows.last().map_or(0, |row| row.max_time),
            entries: self.entries,
            line_bytes: self.line_bytes,
            filter_log2,
            filter_crc: crc32c::crc32c(&filter),
            blocks: self.rows,
        };
        let mut bytes = header.encode();
        bytes.extend_from_slice(&filter);
        bytes.extend_from_slice(&self.blocks);
        Ok(EncodedChunk { header, bytes })
    }
}

/// Columns of one block.
#[derive(Default)]
struct BlockBuilder {
    times: Vec<i64>,
    lengths: Vec<usize>,
    metadata: Vec<u32>,
    sets: Vec<Arc<Labels>>,
    set_ids: HashMap<Arc<Labels>, u32>,
    text: Vec<u8>,
    raw_bytes: usize,
}

impl BlockBuilder {
    fn push(&mut self, entry: StoredEntry<'_>) {
        let StoredEntry { time, line, metadata } = entry;
        let set = match self.set_ids.get(metadata) {
            Some(&set) => set,
            None => {
                let set = u32_of(self.sets.len());
                self.sets.push(Arc::clone(metadata));
                self.set_ids.insert(Arc::clone(metadata), set);
                self.raw_bytes += metadata.heap_bytes();
                set
            }
        };
        self.times.push(time);
        self.lengths.push(line.len());
        self.metadata.push(set);
        self.text.extend_from_slice(line);
        self.raw_bytes += line.len() + ENTRY_OVERHEAD_BYTES;
    }

    fn encode(&self) -> Vec<u8> {
        let Self { times, lengths, metadata, sets, set_ids: _, text, raw_bytes } = self;
        let mut out = Vec::with_capacity(raw_bytes + 64);
        put_uvarint(&mut out, sets.len() as u64);
        sets.iter().for_each(|set| put_labels(&mut out, set));
        let mut previous = times.first().copied().unwrap_or_default();
        out.extend_from_slice(&previous.to_le_bytes());
        for &time in &times[1..] {
            // Wrapping: the distance of two i64 fits an u64, though not always an i64.
            put_uvarint(&mut out, time.wrapping_sub(previous).cast_unsigned());
            previous = time;
        }
        if sets.len() > 1 {
            metadata.iter().for_each(|set| put_uvarint(&mut out, u64::from(*set)));
        }
        lengths.iter().for_each(|len| put_uvarint(&mut out, *len as u64));
        out.extend_from_slice(text);
        out
    }
}

fn u32_of(len: usize) -> u32 {
    u32::try_from(len).expect("a chunk ends far below 4 GiB: its target is limited, and so is each entry")
}
