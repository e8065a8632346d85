//! Operations that a test wants to fail, counted by kind.

use std::io;

use super::EIO;

/// Kinds of operations that can be made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TwinOp {
    /// Writing bytes; half of them are written.
    Write,
    /// `sync_data`; what it should have made durable never will be.
    SyncData,
    /// `sync_dir`; the names stay as they are, not durable, and a later one that succeeds makes them so: a file system
    /// that lost changes of its own journal lets no later sync succeed, and one that never got so far ("too many open
    /// files") has them still to do.
    SyncDir,
    /// Renaming; nothing is done.
    Rename,
    /// Removing one file or directory; what lies in a directory may be gone before.
    Remove,
    /// Creating a file or a directory, or a second name of a file.
    Create,
    /// Opening a file, as with too many open ones.
    Open,
}

impl TwinOp {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Write, Self::SyncData, Self::SyncDir, Self::Rename, Self::Remove, Self::Create, Self::Open];
}

/// Which operations fail.
#[derive(Debug, Default)]
pub(super) struct Failures {
    kinds: [Kind; TwinOp::ALL.len()],
}

#[derive(Clone, Copy, Debug, Default)]
struct Kind {
    /// Operations so far.
    seen: u64,
    /// The first one that fails, counted from 1; 0 for none.
    first: u64,
    /// The first one after it that succeeds again.
    end: u64,
}

impl Failures {
    pub(super) fn seen(&self, op: TwinOp) -> u64 {
        self.kinds[op as usize].seen
    }

    /// The `nth` from now (the first is 1) and those after it fail, `n` in all.
    pub(super) fn plan(&mut self, op: TwinOp, nth: u64, n: u64) {
        let kind = &mut self.kinds[op as usize];
        kind.first = kind.seen.saturating_add(nth.max(1));
        kind.end = kind.first.saturating_add(n);
    }

    pub(super) fn lift(&mut self) {
        for kind in &mut self.kinds {
            (kind.first, kind.end) = (0, 0);
        }
    }

    /// Counts an operation and fails it if it was asked for.
    pub(super) fn meet(&mut self, op: TwinOp) -> io::Result<()> {
        let kind = &mut self.kinds[op as usize];
        kind.seen += 1;
        if (kind.first..kind.end).contains(&kind.seen) {
            return Err(io::Error::from_raw_os_error(EIO));
        }
        Ok(())
    }
}
