//! Immutable blocks: a directory with the samples of a range of time.
//!
//! `meta` says what the block is, `index` finds series by label, `chunks` holds the samples, `tombstones` says which of
//! them were deleted. `FORMAT.md` has the bytes.

mod id;
mod index;
mod index_v1;
mod meta;
mod pages;
mod postings_writer;
mod read;
mod samples;
mod series_batch;
mod times;
mod tombstones;
mod write;

pub use id::BlockId;
pub use index::INDEX_FORMAT;
pub use meta::{BlockMeta, META_FORMAT};
pub use tombstones::{TOMBSTONES_FILE, TOMBSTONES_FORMAT};
pub use write::{CHUNKS_FORMAT, MAX_COLUMN_SAMPLES};

pub(crate) use read::{Block, BlockError};
pub(crate) use samples::{SampleReader, TimeColumns};
pub(crate) use tombstones::{Deleted, Tombstones};
pub(crate) use write::{BlockOrigin, BlockWriter};

/// Name of the checked file that describes a block.
pub const META_FILE: &str = "meta";
/// Name of the file that finds series.
pub const INDEX_FILE: &str = "index";
/// Name of the file with the samples.
pub const CHUNKS_FILE: &str = "chunks";

/// Where a chunk lies in time and in the file `chunks`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ChunkPlace {
    pub(crate) min_time: i64,
    pub(crate) max_time: i64,
    pub(crate) n_samples: u16,
    at: ChunkAt,
}

impl ChunkPlace {
    /// Whether a sample in `start..=end` may lie in it that was not deleted.
    pub(crate) fn is_seen(&self, start: i64, end: i64, deleted: Deleted<'_>) -> bool {
        let (first, last) = (self.min_time.max(start), self.max_time.min(end));
        first <= last && !deleted.covers(first, last)
    }

    /// Number of the column with its times; `None` when the chunk has them itself.
    pub(crate) fn time_column(&self) -> Option<u32> {
        match self.at {
            ChunkAt::Record { .. } => None,
            ChunkAt::Page { times, .. } => times,
        }
    }
}

/// Where a chunk lies in the file `chunks`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ChunkAt {
    /// Version 1: a record of its own, of encoding byte and data.
    Record {
        /// Where its frame starts.
        offset: u64,
        /// Length of the record.
        len: u32,
    },
    /// A piece of a page.
    Page {
        /// Number of the page.
        page: u32,
        /// Number of the piece.
        slot: u32,
        /// Number of the column with its times; `None` when the chunk has them itself.
        times: Option<u32>,
    },
}

/// One series of a block.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SeriesEntry {
    /// Its number in the block: its place in the order of labels.
    pub(crate) number: u32,
    pub(crate) labels: cairn_model::Labels,
    pub(crate) chunks: Vec<ChunkPlace>,
}

#[cfg(test)]
mod tests;
