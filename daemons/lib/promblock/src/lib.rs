//! Blocks as Prometheus's TSDB has them, read and written: a user brings the history along, and tools that know only
//! such blocks (promtool, Thanos) read what Cairn stored.
//!
//! A block is a directory named by a ULID: `meta.json`, `index`, `chunks/000001` and on, `tombstones`. [`BlockWriter`]
//! takes series in ascending order of their labels and never holds their samples; [`BlockReader`] hands them over in
//! the same order. Both know nothing of an engine: samples are [`Sample`]s.
//!
//! Nothing read is believed: lengths are checked against limits before anything is allocated, checksums before
//! anything is decoded. A damaged chunk costs that chunk, a damaged index entry that series; both are reported.
//!
//! Encodings of chunks: floats (1), histograms (2) and float histograms (3). Those with start timestamps (4 to 6) sit
//! behind a switch of the peer and are reported as unknown.
//!
//! | module | answers |
//! |---|---|
//! | [`sample`] | what goes in and comes out |
//! | [`meta`], [`ulid`] | what a block says about itself, and its name |
//! | [`chunk`] | how samples are compressed |
//! | `segment` | how chunks lie in files |
//! | `index` | how series, symbols and postings lie in a file |
//! | [`tombstone`] | what was deleted, but is still there |
//! | `write`, `read` | a whole block |
//!
//! The layout follows the format pages of the Prometheus repository (`tsdb/docs/format`).

mod bits;
mod bytes;
pub mod chunk;
pub mod error;
mod index;
pub mod meta;
pub mod read;
pub mod sample;
mod segment;
pub mod tombstone;
pub mod ulid;
pub mod write;

pub use error::PromBlockError;
pub use meta::Meta;
pub use read::{BlockReader, find_blocks};
pub use sample::{Sample, Value};
pub use ulid::Ulid;
pub use write::{BlockWriter, Written};

/// Name of the file that describes a block.
pub const META_FILE: &str = "meta.json";
/// Name of the file with series, symbols and postings.
pub const INDEX_FILE: &str = "index";
/// Name of the directory with the files of chunks.
pub const CHUNKS_DIR: &str = "chunks";
/// Name of the file with what was deleted.
pub const TOMBSTONES_FILE: &str = "tombstones";
