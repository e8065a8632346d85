//! Blocks that lie on the disk and are not served, until they are gone.
//!
//! A block may be there although nobody was told that it is, or no longer be there although nobody was told that it is
//! not: renaming its directory and making that durable are two steps, and the second may fail. What a restart then finds
//! is not known. So such a block is a *leftover*: it is remembered from before its removal begins until the removal is
//! durable, and **nothing is written to blocks, merged, deleted or removed by retention beside one**: each of these
//! removes what is left over first, and fails where that fails. Whatever is left over when the process ends is then the
//! doing of one step, with nothing after it that knows of its outcome, and each is harmless to find:
//!
//! - of a flush, blocks that another flush, or the log, has the samples of as well. Its last block says that the log before
//!   it is not needed; so it is removed first, durably, and the others only then. At any moment either that block is not
//!   there, and the log is replayed, or all of them are;
//! - of a merge that failed, the merged block: it has what its parents have, and takes their place. Nothing was deleted
//!   from them since;
//! - of a merge that succeeded, its parents: they are known as such by the merged block, which itself is neither merged
//!   nor removed before they are gone;
//! - of retention, blocks that retention finds again.
//!
//! None of that holds up appending, reading or a snapshot, which has what is served.
//!
//! Once the block's own name is gone durably, its files only take space. That is given back when it can be; where a file
//! cannot be removed, that is told with every round of maintenance, and nothing waits for it.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{MutexGuard, PoisonError};

use cairn_disk::Fs;
use cairn_disk::checked::temporary_name;

use super::Inner;
use super::maintain::MaintainError;
use super::place;
use crate::block::BlockId;

/// A block that has to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Leftover {
    pub(super) id: BlockId,
    /// It says that the log before some segment is not needed, because of blocks beside it that go as well.
    pub(super) ends_log: bool,
}

impl From<BlockId> for Leftover {
    fn from(id: BlockId) -> Self {
        Self { id, ends_log: false }
    }
}

/// What has to go.
#[derive(Debug, Default)]
pub(super) struct Leftovers {
    /// A restart may find them under their own names.
    named: BTreeSet<Leftover>,
    /// A restart will not find them; their files are there still.
    unnamed: BTreeSet<BlockId>,
}

impl Leftovers {
    /// Remembers blocks that are not served, or no longer.
    pub(super) fn add(&mut self, blocks: impl IntoIterator<Item = Leftover>) {
        self.named.extend(blocks);
    }

    /// Takes the names of all, durably; tries each of them, whatever becomes of the others.
    ///
    /// # Errors
    /// The first that did not succeed.
    pub(super) fn clear_names(&mut self, fs: &dyn Fs, dir: &Path) -> Result<(), MaintainError> {
        for ends_log in [true, false] {
            let wanted: Vec<Leftover> =
                self.named.iter().copied().filter(|leftover| leftover.ends_log == ends_log).collect();
            self.clear_names_of(&wanted, fs, dir)?;
        }
        Ok(())
    }

    fn clear_names_of(&mut self, wanted: &[Leftover], fs: &dyn Fs, dir: &Path) -> Result<(), MaintainError> {
        if wanted.is_empty() {
            return Ok(());
        }
        let mut first_error = None;
        let mut renamed = Vec::with_capacity(wanted.len());
        for leftover in wanted {
            let path = dir.join(leftover.id.to_string());
            match take_name(fs, &path, &removal_path(dir, leftover.id)) {
                Ok(()) => renamed.push(*leftover),
                Err(source) => first_error = first_error.or(Some(MaintainError::leftover(path, source))),
            }
        }
        // Also where there was nothing to rename: an earlier attempt may have done it, and failed here.
        fs.sync_dir(dir).map_err(|source| {
            let path = renamed.first().map_or_else(|| dir.to_owned(), |first| dir.join(first.id.to_string()));
            MaintainError::leftover(path, source)
        })?;
        for leftover in renamed {
            self.named.remove(&leftover);
            self.unnamed.insert(leftover.id);
        }
        first_error.map_or(Ok(()), Err)
    }

    /// Gives the space back of what has no name any more.
    ///
    /// # Errors
    /// The first that did not succeed; the others were tried.
    pub(super) fn clear_space(&mut self, fs: &dyn Fs, dir: &Path) -> Result<(), MaintainError> {
        let mut outcome = Ok(());
        self.unnamed.retain(|&id| {
            let path = removal_path(dir, id);
            let removed = remove_if_there(fs, &path);
            let is_left = removed.is_err();
            if let (Err(source), Ok(())) = (removed, &outcome) {
                outcome = Err(MaintainError::io(
                    "remove the files of a block that is no longer used:",
                    &path,
                    source,
                ));
            }
            is_left
        });
        outcome
    }
}

/// Under this name a block waits for the removal of its files. Opening the database removes such names.
fn removal_path(dir: &Path, id: BlockId) -> PathBuf {
    temporary_name(&dir.join(format!("{id}.gone")))
}

/// Renames a block's directory, so that a crash never leaves half a block under its own name. Readers that hold it open go
/// on reading.
fn take_name(fs: &dyn Fs, path: &Path, removal: &Path) -> io::Result<()> {
    match fs.rename(path, removal) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(_) if fs.exists(removal) => {
            // One that had the same name before it.
            fs.remove_dir_all(removal)?;
            fs.rename(path, removal)
        }
        outcome => outcome,
    }
}

fn remove_if_there(fs: &dyn Fs, path: &Path) -> io::Result<()> {
    match fs.remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        outcome => outcome,
    }
}

/// Removes what an interrupted write left. Best effort: gives space back on a full disk; what stays is removed when the
/// database is opened.
pub(super) fn remove_temporary(fs: &dyn Fs, dir: &Path, id: BlockId) {
    let _ = fs.remove_dir_all(&temporary_name(&dir.join(id.to_string())));
}

impl Inner {
    fn leftovers(&self) -> MutexGuard<'_, Leftovers> {
        // What a panic leaves in it is there for the next attempt.
        self.leftovers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// To be called before blocks are written, merged, deleted from, or removed.
    ///
    /// # Errors
    /// A block is left over that a restart might find: the caller must not go on.
    pub(super) fn clear_leftovers(&self) -> Result<(), MaintainError> {
        let (fs, dir) = (&*self.options.fs, place::blocks(&self.options.dir));
        let mut leftovers = self.leftovers();
        leftovers.clear_names(fs, &dir)?;
        // Nobody has to wait for it. A round of maintenance tells what stays.
        let _ = leftovers.clear_space(fs, &dir);
        Ok(())
    }

    /// Removes blocks that are not in the layout.
    ///
    /// # Errors
    /// The first that could not be removed; it is remembered, and so are the others.
    pub(super) fn remove_blocks(
        &self,
        gone: impl IntoIterator<Item = Leftover>,
    ) -> Result<(), MaintainError> {
        let (fs, dir) = (&*self.options.fs, place::blocks(&self.options.dir));
        let mut leftovers = self.leftovers();
        leftovers.add(gone);
        let names = leftovers.clear_names(fs, &dir);
        names.and(leftovers.clear_space(fs, &dir))
    }

    /// Removes what came of an attempt to write blocks. The attempt's own error says more than one of this.
    pub(super) fn undo_blocks(&self, written: &[Leftover]) {
        let dir = place::blocks(&self.options.dir);
        for leftover in written {
            remove_temporary(&*self.options.fs, &dir, leftover.id);
        }
        if let Err(error) = self.remove_blocks(written.iter().copied()) {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "a block that could not be finished stays for now");
        }
    }
}
