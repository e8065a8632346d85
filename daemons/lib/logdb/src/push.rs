//! How a push is checked, logged, applied, refused.

use bytes::Bytes;
use cairn_model::{Labels, TimeNs};

/// One line of a push.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// When it was logged.
    pub time: TimeNs,
    /// The line; any bytes.
    pub line: Bytes,
    /// Structured metadata.
    pub metadata: Labels,
}

/// The entries that a push brings for one stream. The same stream may come several times in one push.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamBatch {
    /// The stream.
    pub labels: Labels,
    /// Its new entries, in any order of time.
    pub entries: Vec<Entry>,
}

/// What became of an acknowledged push.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PushReport {
    /// Entries stored and durable.
    pub entries: u64,
    /// Entries left out because the stream's head has the very same one (time, line and metadata).
    pub repeated: u64,
    /// Streams of the push that were not stored, while all others were.
    pub rejected: Vec<RejectedStream>,
    /// Heads have grown enough that [`crate::Store::maintain`] has something to do.
    pub wants_maintenance: bool,
}

/// A stream that a limit kept out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectedStream {
    /// The stream.
    pub labels: Labels,
    /// Entries of the push that it would have had.
    pub entries: u64,
    /// Their line bytes.
    pub bytes: u64,
    /// Which limit.
    pub reason: RejectReason,
}

/// Why a stream was not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RejectReason {
    /// The tenant has as many streams as it may have.
    #[error("maximum active stream limit exceeded, limit {limit}")]
    StreamLimit {
        /// [`crate::Options::max_streams_per_tenant`].
        limit: usize,
    },
}

/// Why nothing of a push was stored. None of it is visible, none of it comes back after a restart that follows a clean stop.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PushError {
    /// The disk is full. Reads go on; freeing space heals it.
    #[error("no space left for the write-ahead log or a chunk file")]
    NoSpace,
    /// The write-ahead log cannot be written.
    #[error("write the write-ahead log")]
    Wal(#[source] std::io::Error),
    /// More than one WAL record holds.
    #[error("push of {bytes} bytes is above the limit of {limit} bytes for one batch")]
    TooLarge {
        /// Size of the record.
        bytes: usize,
        /// Largest record.
        limit: usize,
    },
    /// The store has as many tenants as it may have.
    #[error("maximum number of tenants reached, limit {limit}")]
    TenantLimit {
        /// [`crate::Options::max_tenants`].
        limit: usize,
    },
}
