//! Immutable blocks: a directory with the samples of a range of time.
//!
//! `meta` says what the block is, `index` finds series by label, `chunks` holds the samples. `FORMAT.md` has the bytes.

mod id;
mod index;
mod meta;
mod read;
mod write;

pub use id::BlockId;
pub use index::INDEX_FORMAT;
pub use meta::{BlockMeta, META_FORMAT};
pub use write::CHUNKS_FORMAT;

pub(crate) use index::{ChunkPlace, SeriesEntry};
pub(crate) use read::{Block, BlockError};
pub(crate) use write::{BlockOrigin, BlockWriter};

/// Name of the checked file that describes a block.
pub const META_FILE: &str = "meta";
/// Name of the file that finds series.
pub const INDEX_FILE: &str = "index";
/// Name of the file with the samples.
pub const CHUNKS_FILE: &str = "chunks";
