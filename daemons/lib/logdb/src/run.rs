//! One sorted source of a stream's entries, a head or a chunk, read within a window in one direction.

use std::ops::Range;
use std::sync::Arc;

use cairn_logql::source::Direction;
use cairn_model::Labels;

use crate::block::Block;
use crate::chunk_file::{ChunkFileError, ChunkRef};
use crate::chunk_reader::ChunkReader;
use crate::damage::ReadContext;
use crate::head::Head;

/// What is wanted of every run.
#[derive(Clone, Debug)]
pub(crate) struct Window {
    /// First instant wanted.
    pub(crate) start: i64,
    /// First instant no longer wanted.
    pub(crate) end: i64,
    pub(crate) direction: Direction,
    /// Texts that a line of use contains.
    pub(crate) needles: Arc<[Box<[u8]>]>,
}

/// Always stands at an entry.
#[derive(Debug)]
pub(crate) struct Run {
    /// Order of arrival among the runs of a stream.
    pub(crate) rank: usize,
    /// Positions still to be read in the head or in the current block, the one it stands at included.
    left: Range<usize>,
    is_forward: bool,
    source: Source,
}

#[derive(Debug)]
enum Source {
    Head(Arc<Head>),
    Chunk {
        reader: Box<ChunkReader>,
        /// Blocks not decoded yet.
        blocks: Range<usize>,
        block: Block,
    },
}

impl Run {
    /// A head's entries in the window; `None` when there is none.
    pub(crate) fn of_head(head: Arc<Head>, rank: usize, window: &Window) -> Option<Self> {
        let (from, to) = head.positions(window.start, window.end);
        let is_forward = window.direction == Direction::Forward;
        (from < to).then_some(Self { rank, left: from..to, is_forward, source: Source::Head(head) })
    }

    /// A chunk's entries in the window; `None` when there is none, the filter says so, or the chunk is damaged.
    pub(crate) fn of_chunk(
        chunk: &ChunkRef,
        rank: usize,
        window: &Window,
        context: &ReadContext,
    ) -> Result<Option<Self>, ChunkFileError> {
        let opened = ChunkReader::open(&context.files, chunk)
            .and_then(|reader| reader.may_contain(&window.needles).map(|may| (reader, may)));
        let reader = match opened {
            Ok((reader, true)) => reader,
            Ok((_, false)) => {
                context.tally.chunks_filtered.add(1);
                return Ok(None);
            }
            Err(error) => {
                context.tolerate(error)?;
                return Ok(None);
            }
        };
        context.tally.chunks_read.add(1);
        let rows = reader.blocks();
        let from = rows.partition_point(|row| row.max_time < window.start);
        let to = rows.partition_point(|row| row.min_time < window.end);
        let source =
            Source::Chunk { reader: Box::new(reader), blocks: from..to.max(from), block: Block::default() };
        let mut run = Self { rank, left: 0..0, is_forward: window.direction == Direction::Forward, source };
        Ok(run.next_block(window, context)?.then_some(run))
    }

    fn position(&self) -> usize {
        if self.is_forward { self.left.start } else { self.left.end - 1 }
    }

    pub(crate) fn time(&self) -> i64 {
        match &self.source {
            Source::Head(head) => head.time(self.position()),
            Source::Chunk { block, .. } => block.time(self.position()),
        }
    }

    pub(crate) fn line(&self) -> &[u8] {
        match &self.source {
            Source::Head(head) => head.line(self.position()),
            Source::Chunk { block, .. } => block.line(self.position()),
        }
    }

    pub(crate) fn metadata(&self) -> &Arc<Labels> {
        match &self.source {
            Source::Head(head) => head.metadata(self.position()),
            Source::Chunk { block, .. } => block.metadata(self.position()),
        }
    }

    /// Moves to the next entry; false at the end, after which the run must not be asked again.
    pub(crate) fn advance(&mut self, window: &Window, context: &ReadContext) -> Result<bool, ChunkFileError> {
        if self.is_forward {
            self.left.start += 1;
        } else {
            self.left.end -= 1;
        }
        if self.left.is_empty() { self.next_block(window, context) } else { Ok(true) }
    }

    /// Decodes the next block that has entries in the window. Damaged blocks are reported and skipped.
    fn next_block(&mut self, window: &Window, context: &ReadContext) -> Result<bool, ChunkFileError> {
        let Source::Chunk { reader, blocks, block } = &mut self.source else { return Ok(false) };
        while let Some(index) = if self.is_forward { blocks.next() } else { blocks.next_back() } {
            match reader.block(index) {
                Ok(decoded) => *block = decoded,
                Err(error) => {
                    context.tolerate(error)?;
                    continue;
                }
            }
            let (from, to) = block.positions(window.start, window.end);
            if from < to {
                self.left = from..to;
                return Ok(true);
            }
        }
        Ok(false)
    }
}
