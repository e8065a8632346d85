//! How a database is kept: resolved values, no configuration syntax.

use std::path::PathBuf;
use std::sync::Arc;

use cairn_disk::Fs;

/// Two hours: the shortest block. Long enough for few files, short enough for the head to stay small.
pub const BLOCK_MS: i64 = 2 * 3600 * 1000;

/// 15 days: how long samples are kept unless somebody says otherwise.
pub const RETENTION_MS: i64 = 15 * 24 * 3600 * 1000;

/// A sample this much later than the caller's clock is refused: one broken clock must not push the head's time
/// forward and with it lock out everybody else.
pub const MAX_FUTURE_MS: i64 = 10 * 60 * 1000;

/// How many exemplars are kept unless somebody says otherwise, as the peer has it: about 30 MB.
pub const MAX_EXEMPLARS: usize = 100_000;

/// Everything a database needs to know when it is opened.
#[derive(Clone, Debug)]
pub struct Options {
    /// The data directory. The caller holds its lock ([`cairn_disk::DirLock`]).
    pub dir: PathBuf,
    /// Where its files live.
    pub fs: Arc<dyn Fs>,
    /// Length of the shortest block in milliseconds; blocks start at multiples of it.
    pub block_ms: i64,
    /// Samples this much older than the newest one are no longer answered, and whole blocks of them are removed; `None`
    /// keeps everything.
    pub retention_ms: Option<i64>,
    /// When blocks, checkpoint and log together are larger, the oldest blocks are removed; `None` for no limit.
    pub retention_bytes: Option<u64>,
    /// A sample that is older than the newest one of its series is accepted when it is at most so much older than the
    /// newest sample of all; 0 refuses it.
    pub out_of_order_window_ms: i64,
    /// Series in the head; a new one beyond it is refused.
    pub max_head_series: usize,
    /// Bytes of samples in memory beyond which the head is written to blocks, whatever its time; or 160 for each series, if
    /// that is more (`MIN_BYTES_PER_SERIES` in `db/flush.rs`). Where writing fails, four times as many are taken, and then none.
    pub max_head_bytes: usize,
    /// Samples in memory beyond which it is, too, or some dozens for each series: they are what a start has to replay.
    pub max_head_samples: u64,
    /// Exemplars that are kept, of all series together, at most [`MAX_RING`](crate::exemplars::MAX_RING); 0: none.
    pub max_exemplars: usize,
    /// Samples that one selection may load.
    pub max_select_samples: usize,
    /// Segment size of the write-ahead log.
    pub wal_segment_bytes: u64,
}

impl Options {
    /// The defaults: blocks of 2 h, kept for 15 days, 2 million series in the head, 50 million samples in one
    /// selection (as the peer limits a query).
    pub fn new(dir: impl Into<PathBuf>, fs: Arc<dyn Fs>) -> Self {
        Self {
            dir: dir.into(),
            fs,
            block_ms: BLOCK_MS,
            retention_ms: Some(RETENTION_MS),
            retention_bytes: None,
            out_of_order_window_ms: 0,
            max_head_series: 2_000_000,
            max_head_bytes: 48 << 20,
            max_head_samples: 12_000_000,
            max_exemplars: MAX_EXEMPLARS,
            max_select_samples: 50_000_000,
            wal_segment_bytes: 32 << 20,
        }
    }
}
