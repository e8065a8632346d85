//! Sizes, ages and limits of the engine, already resolved: no text, no defaults of a configuration file.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cairn_disk::{Fs, RealFs};

use crate::retention::Retention;

/// How a store is opened. [`Options::new`] fills in the defaults; every field may be changed before opening.
#[derive(Clone, Debug)]
pub struct Options {
    /// The file system of everything but the catalogue and the lock.
    pub fs: Arc<dyn Fs>,
    /// Folder of the WAL and of the chunk files.
    pub dir: PathBuf,
    /// Folder of the catalogue and of the lock file, always on the real file system. Usually the same as `dir`.
    pub catalogue_dir: PathBuf,
    /// How long entries are kept.
    pub retention: Retention,
    /// Raw bytes (lines and structured metadata) at which a head is cut into a chunk.
    pub chunk_target_bytes: usize,
    /// Raw bytes at which a block of a chunk is closed: what a query holds decoded for each stream that it reads.
    pub block_target_bytes: usize,
    /// A head without a push for so long is cut.
    pub chunk_idle: Duration,
    /// A head whose first entry arrived so long ago is cut.
    pub chunk_max_age: Duration,
    /// A chunk file is closed and the next one begun at this size.
    pub chunk_file_bytes: u64,
    /// Memory of all heads together. A push that finds more cuts heads itself before it goes on: back-pressure.
    pub max_head_bytes: usize,
    /// A new WAL segment is begun at this size, so that old ones can be dropped.
    pub wal_segment_bytes: u64,
    /// Above this size of the WAL, the heads that hold its oldest segment are cut whatever their size.
    pub max_wal_bytes: u64,
    /// Active streams of one tenant: with entries that are in memory only, or pushed to within `chunk_idle`. A push to one
    /// more is rejected, the other streams of the push are stored.
    pub max_streams_per_tenant: usize,
    /// Tenants of one store.
    pub max_tenants: usize,
    /// zstd level of chunk blocks.
    pub compression_level: i32,
}

impl Options {
    /// The defaults for a store in `dir`.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        let dir = dir.into();
        Self {
            fs: Arc::new(RealFs),
            catalogue_dir: dir.clone(),
            dir,
            retention: Retention::default(),
            // Large enough that zstd and the chunk's fixed costs pay off, small enough that a needle's chunk is decoded in milliseconds.
            chunk_target_bytes: 1 << 20,
            // Smaller ones compress worse, larger ones cost memory: a query over a thousand streams holds as many.
            block_target_bytes: 128 << 10,
            chunk_idle: Duration::from_secs(30 * 60),
            chunk_max_age: Duration::from_secs(2 * 60 * 60),
            chunk_file_bytes: 64 << 20,
            max_head_bytes: 128 << 20,
            wal_segment_bytes: 32 << 20,
            max_wal_bytes: 512 << 20,
            // The peer's `max_global_streams_per_user`.
            max_streams_per_tenant: 5000,
            max_tenants: 1000,
            // Measured by everybody: level 3 costs half the speed of level 1 and saves a tenth; disk is what users pay for.
            compression_level: 3,
        }
    }
}
