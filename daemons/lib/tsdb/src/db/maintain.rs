//! One round of what is done in the background, and the order of it.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;

use cairn_disk::{SegmentId, WalError, is_no_space};

use super::Inner;
use crate::block::{BlockError, BlockId};
use crate::checkpoint;

/// A log below this is not worth a checkpoint of its own: it is replayed in about a second.
const CHECKPOINT_MIN_WAL_BYTES: u64 = 128 << 20;

/// A log this many times as large as the last checkpoint is: so the cost of checkpoints stays a fraction of the log's.
const CHECKPOINT_WAL_FACTOR: u64 = 2;

/// Why a step of maintenance did not succeed. Nothing is lost; the next round tries again.
#[derive(Debug, thiserror::Error)]
pub enum MaintainError {
    /// The disk is full. Reads go on; freed space heals it.
    #[error("{action} {path}: no space left on the disk; free some space")]
    NoSpace {
        /// What was being done.
        action: &'static str,
        /// To which file or directory.
        path: PathBuf,
    },
    /// The system failed otherwise.
    #[error("{action} {path}")]
    Io {
        /// What was being done.
        action: &'static str,
        /// To which file or directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The write-ahead log could not be cut or shortened.
    #[error(transparent)]
    Wal(#[from] WalError),
    /// A block could not be read; it is no longer merged, and served as far as it can be read.
    #[error("read block")]
    Block(#[from] BlockError),
    /// Samples in the head could not be decoded. This is a bug, or broken memory.
    #[error("the head's chunk of {series} at {min_time_ms} cannot be decoded")]
    HeadChunk {
        /// The series.
        series: String,
        /// Where its chunk starts.
        min_time_ms: i64,
    },
}

impl MaintainError {
    pub(super) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        if is_no_space(&source) { Self::NoSpace { action, path } } else { Self::Io { action, path, source } }
    }

    /// Whether the disk is full.
    pub fn is_no_space(&self) -> bool {
        match self {
            Self::NoSpace { .. } => true,
            Self::Wal(error) => error.is_no_space(),
            _ => false,
        }
    }
}

/// What maintenance remembers from round to round.
#[derive(Debug, Default)]
pub(super) struct Maintenance {
    /// Blocks with damage: left as they are, so that what a person could still save is not thrown away.
    pub(super) not_merged: HashSet<BlockId>,
    /// A block was cut since the last checkpoint.
    pub(super) wants_checkpoint: bool,
    last_checkpoint_bytes: u64,
}

impl Inner {
    pub(super) fn maintain(&self, now_ms: i64) -> Result<(), MaintainError> {
        let mut maintenance = self.maintenance.lock().unwrap_or_else(PoisonError::into_inner);
        // Removing comes first and again last: on a full disk it makes room for the others.
        let outcomes = [
            self.retain(),
            self.cut_blocks(now_ms, &mut maintenance),
            self.checkpoint(&mut maintenance),
            self.compact(now_ms, &mut maintenance),
            self.retain(),
        ];
        let outcome = outcomes.into_iter().collect::<Result<(), _>>();
        if outcome.is_err() {
            self.tally.maintenance_failures.add(1);
        }
        outcome
    }

    /// Writes the head to a checkpoint when the log has grown by a block or by much, and drops the log before it.
    fn checkpoint(&self, maintenance: &mut Maintenance) -> Result<(), MaintainError> {
        let wal_bytes = self.wal.bytes_on_disk();
        let is_large = wal_bytes > CHECKPOINT_MIN_WAL_BYTES
            && wal_bytes > maintenance.last_checkpoint_bytes.saturating_mul(CHECKPOINT_WAL_FACTOR);
        if !maintenance.wants_checkpoint && !is_large {
            return Ok(());
        }
        let (fs, dir) = (&*self.options.fs, &self.options.dir);
        let io = |action| move |source| MaintainError::io(action, dir, source);
        let head_from = self.layout().head_from;
        let first_segment: SegmentId = {
            // Whoever appends holds this lock from the log's record to the head's chunk: so all that is in earlier
            // segments is in the head by now.
            let _commit = self.commit();
            self.wal.cut()?
        };
        maintenance.last_checkpoint_bytes = checkpoint::write(fs, dir, first_segment, &self.head, head_from)
            .map_err(io("write a checkpoint in"))?;
        maintenance.wants_checkpoint = false;
        for (id, path) in checkpoint::list(fs, dir).map_err(io("list"))? {
            if id < first_segment {
                fs.remove_file(&path).map_err(|source| MaintainError::io("remove", &path, source))?;
            }
        }
        self.wal.drop_before(first_segment)?;
        Ok(())
    }
}
