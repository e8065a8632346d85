//! Putting a snapshot in place of a data directory: checked block by block before anything is written.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cairn_disk::checked::temporary_name;
use cairn_disk::lock::LOCK_FILE;
use cairn_disk::{DirEntry, Fs, create_dir_durably};

use crate::block::{Block, BlockError, BlockId, TOMBSTONES_FILE};
use crate::damage::DamageLog;
use crate::db::{DAMAGED_SUFFIX, link_block, place};

/// Folders that may lie in a data directory that has no database.
const HARMLESS_FOLDERS: [&str; 2] = [place::SNAPSHOTS, "lost+found"];

/// Why nothing was restored. The target is as it was.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// There are no blocks where the snapshot should be.
    #[error("{dir} is no snapshot: it has no folder `blocks` with blocks in it")]
    NoSnapshot {
        /// The directory that was given.
        dir: PathBuf,
    },
    /// It is a copy of a data directory rather than a snapshot: its newest samples are in the log, which is not restored.
    #[error(
        "{dir} is a data directory and no snapshot: it has a write-ahead log ({found}), whose samples would be left out; \
         restore from a snapshot (POST /api/v1/admin/tsdb/snapshot makes one), or use a copy of the whole directory as the \
         data directory"
    )]
    HasLog {
        /// The directory that was given.
        dir: PathBuf,
        /// What was found in it.
        found: PathBuf,
    },
    /// The target has data already, which would be mixed with the snapshot's.
    #[error("{dir} holds a database already ({found}); move it away, or choose an empty folder")]
    NotEmpty {
        /// The data directory that was given.
        dir: PathBuf,
        /// What was found in it.
        found: String,
    },
    /// A block of the snapshot cannot be read as a whole.
    #[error("the snapshot is damaged")]
    Block(#[source] BlockError),
    /// The list of what was deleted of a block cannot be read.
    #[error("the snapshot is damaged: the deletions of {block} cannot be read")]
    Tombstones {
        /// The block's directory.
        block: PathBuf,
    },
    /// The system failed.
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
}

/// What was restored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RestoreReport {
    /// Blocks.
    pub blocks: usize,
    /// Samples in them, deleted ones included.
    pub samples: u64,
    /// Bytes in them.
    pub bytes: u64,
    /// What had been set aside as damaged in the directory that was given, and is not restored: blocks, and lists of what
    /// was deleted of one.
    pub left_out: Vec<PathBuf>,
}

/// Checks every byte of the snapshot in `from` and puts its blocks into the data directory `to`, which must have no
/// database in it. `progress` is told how many blocks were checked, of how many. The caller holds the target's lock.
///
/// Files are linked where both directories are on one file system, else copied: blocks never change, so a database and
/// its snapshot may share them.
///
/// # Errors
/// [`RestoreError`]; the target is as it was.
pub fn restore(
    fs: &dyn Fs,
    from: &Path,
    to: &Path,
    progress: &dyn Fn(usize, usize),
) -> Result<RestoreReport, RestoreError> {
    let io = |action, path: &Path| {
        let path = path.to_owned();
        move |source| RestoreError::Io { action, path, source }
    };
    let list = |path: &Path| match fs.list(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        outcome => outcome.map_err(io("list", path)),
    };
    let (source, log) = (place::blocks(from), place::wal(from));
    let (blocks, others): (Vec<DirEntry>, Vec<DirEntry>) =
        list(&source)?.into_iter().partition(|entry| entry.is_dir && entry.name.parse::<BlockId>().is_ok());
    let names: Vec<String> = blocks.into_iter().map(|entry| entry.name).collect();
    // Before anything is said about blocks: a young database has all it has in its log.
    if let Some(segment) = list(&log)?.into_iter().next() {
        return Err(RestoreError::HasLog { dir: from.to_owned(), found: log.join(segment.name) });
    }
    if names.is_empty() {
        return Err(RestoreError::NoSnapshot { dir: from.to_owned() });
    }
    refuse_a_database(fs, to)?;
    let mut report = RestoreReport { blocks: names.len(), ..RestoreReport::default() };
    let damaged = others.into_iter().filter(|entry| entry.name.ends_with(DAMAGED_SUFFIX));
    report.left_out.extend(damaged.map(|entry| source.join(entry.name)));
    for (done, name) in names.iter().enumerate() {
        progress(done, names.len());
        let block = Block::open(fs, &source.join(name), Arc::new(DamageLog::default()))
            .map_err(RestoreError::Block)?;
        if block.lost_tombstones.is_some() {
            return Err(RestoreError::Tombstones { block: source.join(name) });
        }
        block.check().map_err(RestoreError::Block)?;
        let deletions = source.join(name).join(format!("{TOMBSTONES_FILE}{DAMAGED_SUFFIX}"));
        if fs.exists(&deletions) {
            report.left_out.push(deletions);
        }
        report.samples += block.meta.n_samples;
        report.bytes += block.meta.bytes();
    }
    let target = place::blocks(to);
    let temporary = temporary_name(&target);
    create_dir_durably(fs, to).map_err(io("create", to))?;
    let written = put_blocks(fs, &source, &names, &temporary, &target);
    if let Err(error) = written {
        // A leftover of the temporary name is removed when a database is opened there.
        let _ = fs.remove_dir_all(&temporary);
        return Err(io("write", &target)(error));
    }
    if let Err(error) = fs.sync_dir(to) {
        // Half a success is none: what is there may be gone after the next loss of power.
        let _ = fs.rename(&target, &temporary).and_then(|()| fs.remove_dir_all(&temporary));
        return Err(io("write", to)(error));
    }
    progress(names.len(), names.len());
    Ok(report)
}

fn put_blocks(
    fs: &dyn Fs,
    source: &Path,
    names: &[String],
    temporary: &Path,
    target: &Path,
) -> io::Result<()> {
    if fs.exists(temporary) {
        fs.remove_dir_all(temporary)?;
    }
    fs.create_dir_all(temporary)?;
    for name in names {
        link_block(fs, &source.join(name), &temporary.join(name))?;
    }
    fs.sync_dir(temporary)?;
    // An empty folder of that name gives way.
    fs.rename(temporary, target)
}

/// A lock file, empty folders, snapshots and what a file system keeps for itself are no database.
fn refuse_a_database(fs: &dyn Fs, dir: &Path) -> Result<(), RestoreError> {
    if !fs.exists(dir) {
        return Ok(());
    }
    let list = |path: &Path| {
        fs.list(path).map_err(|source| RestoreError::Io { action: "list", path: path.to_owned(), source })
    };
    for entry in list(dir)? {
        let path = dir.join(&entry.name);
        let is_data = if entry.is_dir {
            !HARMLESS_FOLDERS.contains(&entry.name.as_str()) && !list(&path)?.is_empty()
        } else {
            entry.name != LOCK_FILE
        };
        if is_data {
            return Err(RestoreError::NotEmpty { dir: dir.to_owned(), found: entry.name });
        }
    }
    Ok(())
}
