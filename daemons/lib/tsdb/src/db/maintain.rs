//! One round of what is done in the background, and the order of it.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;

use cairn_disk::{WalError, is_no_space};

use super::Inner;
use crate::block::{BlockError, BlockId};

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
    /// A block that is not served cannot be removed. A restart may find it, so nothing is done that it would undo.
    #[error(
        "remove {path}, which is no longer used; nothing is written to blocks, merged or deleted before that succeeds"
    )]
    Leftover {
        /// The block's directory.
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

    pub(super) fn leftover(path: PathBuf, source: io::Error) -> Self {
        if is_no_space(&source) {
            Self::NoSpace { action: "remove", path }
        } else {
            Self::Leftover { path, source }
        }
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
}

impl Inner {
    pub(super) fn maintain(&self, now_ms: i64) -> Result<(), MaintainError> {
        let mut maintenance = self.maintenance.lock().unwrap_or_else(PoisonError::into_inner);
        // Removing comes first and again last: on a full disk it makes room for the others.
        let outcomes = [
            self.retain(),
            self.flush_if_due(now_ms),
            self.compact(now_ms, &mut maintenance),
            self.rewrite_deleted(now_ms, &mut maintenance),
            self.retain(),
        ];
        let outcome = outcomes.into_iter().collect::<Result<(), _>>();
        if outcome.is_err() {
            self.tally.maintenance_failures.add(1);
        }
        outcome
    }
}
