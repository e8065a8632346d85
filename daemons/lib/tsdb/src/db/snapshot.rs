//! A copy of the database that costs next to no space: the blocks' files under second names.
//!
//! Blocks never change, so a hard link to each of their files is a backup that stays what it is while the database
//! goes on. The head is flushed to blocks first. A snapshot is a data directory by itself.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};

use cairn_disk::checked::temporary_name;
use cairn_disk::{Fs, create_dir_durably};

use super::maintain::MaintainError;
use super::{Inner, place};
use crate::block::{Block, CHUNKS_FILE, INDEX_FILE, META_FILE, TOMBSTONES_FILE};

/// A file is copied in pieces of this size where it cannot be linked.
const COPY_BYTES: usize = 1 << 20;

impl Inner {
    /// Makes the snapshot `name`; answers where it lies. What was stored before the call is in it, unless it is in the
    /// head and `skip_head` is set.
    pub(super) fn snapshot_to(
        &self,
        name: &str,
        skip_head: bool,
        now_ms: i64,
    ) -> Result<PathBuf, MaintainError> {
        let (fs, parent) = (&*self.options.fs, place::snapshots(&self.options.dir));
        let target = parent.join(name);
        // Held to the end: nothing is flushed, merged, removed or deleted from under the links.
        let _maintenance = self.maintenance.lock().unwrap_or_else(PoisonError::into_inner);
        if !skip_head {
            self.flush(now_ms)?;
        }
        let blocks = self.layout().blocks.clone();
        let written = write_snapshot(fs, &self.options.dir, &blocks, &target);
        written.map_err(|source| MaintainError::io("write a snapshot to", &target, source))?;
        tracing::info!(snapshot = %target.display(), blocks = blocks.len(), "snapshot written");
        Ok(target)
    }
}

fn write_snapshot(fs: &dyn Fs, data_dir: &Path, blocks: &[Arc<Block>], target: &Path) -> io::Result<()> {
    if fs.exists(target) {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    let temporary = temporary_name(target);
    let written = link_blocks(fs, data_dir, blocks, &temporary).and_then(|()| {
        fs.rename(&temporary, target)?;
        fs.sync_dir(&place::snapshots(data_dir)).inspect_err(|_| {
            // A snapshot that may be gone after the next loss of power is none, and its name is free again.
            let _ = fs.rename(target, &temporary);
        })
    });
    if written.is_err() {
        // Best effort: gives space back on a full disk. A leftover is removed when the database is opened.
        let _ = fs.remove_dir_all(&temporary);
    }
    written
}

/// Second names of all blocks below `to`, durable but for its own.
fn link_blocks(fs: &dyn Fs, data_dir: &Path, blocks: &[Arc<Block>], to: &Path) -> io::Result<()> {
    let to_blocks = place::blocks(to);
    create_dir_durably(fs, &place::snapshots(data_dir))?;
    if fs.exists(to) {
        // An earlier attempt could not remove it.
        fs.remove_dir_all(to)?;
    }
    fs.create_dir_all(&to_blocks)?;
    for block in blocks {
        let name = block.meta.id.to_string();
        link_block(fs, &place::blocks(data_dir).join(&name), &to_blocks.join(&name))?;
    }
    fs.sync_dir(&to_blocks)?;
    fs.sync_dir(to)
}

/// Gives a block's files second names in a new directory, or copies them where that cannot be. Its own name is durable
/// once the caller has synced the directory above.
pub(crate) fn link_block(fs: &dyn Fs, from: &Path, to: &Path) -> io::Result<()> {
    fs.create_dir_all(to)?;
    for file in [CHUNKS_FILE, INDEX_FILE, META_FILE, TOMBSTONES_FILE] {
        let source = from.join(file);
        if file == TOMBSTONES_FILE && !fs.exists(&source) {
            continue;
        }
        link_or_copy(fs, &source, &to.join(file))?;
    }
    fs.sync_dir(to)
}

fn link_or_copy(fs: &dyn Fs, from: &Path, to: &Path) -> io::Result<()> {
    match fs.hard_link(from, to) {
        Err(error) if !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::AlreadyExists) => {
            copy(fs, from, to)
        }
        outcome => outcome,
    }
}

fn copy(fs: &dyn Fs, from: &Path, to: &Path) -> io::Result<()> {
    let source = fs.open_read(from)?;
    let target = fs.create_new(to)?;
    let mut buffer = vec![0; COPY_BYTES];
    let mut offset = 0;
    loop {
        let read = match source.read_at(&mut buffer, offset) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        target.write_all_at(&buffer[..read], offset)?;
        offset += read as u64;
    }
    target.sync_data()
}
