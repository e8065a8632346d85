//! One process per data directory.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use crate::fs::create_dir_durably;
use crate::fs_real::RealFs;

/// Name of the lock file in a data directory.
pub const LOCK_FILE: &str = "LOCK";

/// The longest process number, with room to spare: nothing more of a lock file is read.
const MAX_PID_TEXT: u64 = 20;

/// Why a data directory could not be locked.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process works there.
    #[error("data directory {dir} is in use by {holder}; stop it first, or choose another directory", holder = holder(.pid))]
    Held {
        /// The data directory.
        dir: PathBuf,
        /// Its process number, if the lock file says it.
        pid: Option<u32>,
    },
    /// Not there, not writable, not a directory.
    #[error("data directory {dir} cannot be used: it must exist and be writable by this user")]
    Io {
        /// The data directory.
        dir: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

fn holder(pid: &Option<u32>) -> String {
    match pid {
        Some(pid) => format!("process {pid}"),
        None => "another process".to_owned(),
    }
}

/// An exclusive `flock` on the file `LOCK`. The kernel releases it when the process ends, however it ends, so a
/// file left behind never blocks a start.
#[derive(Debug)]
pub struct DirLock {
    _file: File,
}

impl DirLock {
    /// Locks a directory, creating it where it is missing, and leaves this process's number in the file for others
    /// to name.
    ///
    /// # Errors
    /// [`LockError`]: held by another process, or the directory cannot be written.
    pub fn acquire(dir: &Path) -> Result<Self, LockError> {
        let io = |source| LockError::Io { dir: dir.to_owned(), source };
        create_dir_durably(&RealFs, dir).map_err(io)?;
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(dir.join(LOCK_FILE))
            .map_err(io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                let pid = match (&mut file).take(MAX_PID_TEXT).read_to_string(&mut text) {
                    Ok(_) => text.trim().parse().ok(),
                    Err(_) => None,
                };
                return Err(LockError::Held { dir: dir.to_owned(), pid });
            }
            Err(TryLockError::Error(source)) => return Err(io(source)),
        }
        // The number is only for the message above; a full disk must not keep a store from serving reads.
        let _ = write_pid(&mut file);
        Ok(Self { _file: file })
    }
}

fn write_pid(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn second_holder_is_told_who_is_first() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        let first = DirLock::acquire(&data).unwrap();
        let error = DirLock::acquire(&data).unwrap_err();
        let want = format!(
            "data directory {} is in use by process {}; stop it first, or choose another directory",
            data.display(),
            std::process::id()
        );
        assert_eq!(error.to_string(), want);
        drop(first);
        DirLock::acquire(&data).unwrap();
    }

    #[test]
    fn a_file_in_the_way_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        std::fs::write(&data, b"").unwrap();
        let error = DirLock::acquire(&data).unwrap_err();
        assert!(matches!(error, LockError::Io { .. }));
        assert!(error.to_string().contains(&data.display().to_string()));
    }
}
