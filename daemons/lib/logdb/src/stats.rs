//! What the engine counts and reports.

use std::path::PathBuf;
use std::sync::Arc;

use cairn_model::Labels;

/// What a selection touches, in memory and on disk alike.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Streams with entries in the range.
    pub streams: u64,
    /// Chunks that overlap the range; a head counts as one.
    pub chunks: u64,
    /// Line bytes. A chunk on disk that lies partly in the range counts in proportion.
    pub bytes: u64,
    /// Entries, likewise.
    pub entries: u64,
}

/// The volume of one stream in a range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamVolume {
    /// The stream.
    pub labels: Arc<Labels>,
    /// Line bytes, counted as in [`Stats::bytes`].
    pub bytes: u64,
    /// Entries, likewise.
    pub entries: u64,
}

/// Where opening a store stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Reading the catalogue; units are chunks.
    Catalogue,
    /// Looking for chunk files that the catalogue does not know; units are files.
    ChunkFiles,
    /// Replaying the write-ahead log; units are records, the total is not known (0).
    Wal,
}

/// Progress of opening a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What is being done.
    pub stage: Stage,
    /// Units done.
    pub done: u64,
    /// Units in all, 0 where that is not known before the end.
    pub total: u64,
}

/// What opening the store found and repaired.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecoveryReport {
    /// WAL records replayed.
    pub wal_records: u64,
    /// Entries put back into heads.
    pub wal_entries: u64,
    /// Entries of the WAL whose stream no record and no catalogue row defines: lost, which only damage can cause.
    pub wal_entries_without_stream: u64,
    /// Parts of the WAL that could not be read; each costs itself.
    pub wal_records_damaged: u64,
    /// WAL records that should lie between two segments and do not.
    pub wal_records_missing: u64,
    /// Bytes cut off at the torn tail of the WAL.
    pub wal_torn_bytes: u64,
    /// Chunk files that the catalogue did not know and that were entered again.
    pub files_reregistered: u64,
    /// Chunk files that cannot be read; they are left where they are.
    pub files_damaged: Vec<PathBuf>,
    /// Chunk files that the catalogue knows and that are gone.
    pub files_missing: Vec<PathBuf>,
}

/// What one round of maintenance did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MaintainReport {
    /// Heads cut.
    pub heads_cut: u64,
    /// Chunks written.
    pub chunks_written: u64,
    /// Chunk files written.
    pub files_written: u64,
    /// Chunks whose retention had run out.
    pub chunks_expired: u64,
    /// Chunk files removed.
    pub files_removed: u64,
    /// Streams forgotten, since nothing of them is left.
    pub streams_removed: u64,
}

/// The state and the history of a store since it was opened; for `/metrics`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Tenants.
    pub tenants: u64,
    /// Streams of all tenants.
    pub streams: u64,
    /// Those of them that count for the limit: pushed to lately, or with entries that are in memory only.
    pub streams_active: u64,
    /// Chunks on disk.
    pub chunks: u64,
    /// Bytes of the chunks on disk.
    pub chunk_bytes: u64,
    /// Entries in heads.
    pub head_entries: u64,
    /// Memory of all heads, bytes.
    pub head_bytes: u64,
    /// Bytes of the WAL on disk.
    pub wal_bytes: u64,
    /// Pushes acknowledged.
    pub pushes: u64,
    /// Pushes refused as a whole.
    pub pushes_refused: u64,
    /// Entries stored.
    pub entries_stored: u64,
    /// Exact repeats left out while pushing.
    pub entries_repeated: u64,
    /// Chunks written.
    pub chunks_written: u64,
    /// Chunks expired.
    pub chunks_expired: u64,
    /// Chunks skipped by their filter.
    pub chunks_filtered: u64,
    /// Chunks opened for a query.
    pub chunks_read: u64,
    /// Blocks or chunks that could not be read because they are damaged; their entries are missing from answers.
    pub chunks_damaged: u64,
}
