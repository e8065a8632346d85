//! Making sure of a data directory before anything is opened in it.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Why a directory cannot be used. The message says who owns it and what to do.
#[derive(Debug, thiserror::Error)]
pub enum DirError {
    /// It does not exist and cannot be made.
    #[error("create directory {path}: make it, or choose another with --data-dir")]
    Create {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Something else has that name.
    #[error("{path} is not a directory: move it away, or choose another with --data-dir")]
    NotADirectory {
        /// The path.
        path: PathBuf,
    },
    /// It exists, but this process must not write in it.
    #[error(
        "directory {path} is not writable: it belongs to user {owner} (mode {mode:o}), this process runs as user {me}; \
         chown it, or choose another with --data-dir"
    )]
    NotWritable {
        /// The directory.
        path: PathBuf,
        /// Numeric id of its owner.
        owner: u32,
        /// Its permission bits.
        mode: u32,
        /// Numeric id of this process's effective user.
        me: u32,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// Name of the file that is made and removed at once to see whether the directory takes files.
const PROBE_NAME: &str = ".cairn-write-probe";

/// Creates `path` (with its parents) unless it is there, and checks that files can be made in it.
///
/// A full disk is no error here: the stores start on one, and answer reads.
///
/// # Errors
/// [`DirError`], which names the path, its owner and what to do.
pub fn ensure_data_dir(path: &Path) -> Result<(), DirError> {
    std::fs::create_dir_all(path).map_err(|source| {
        if path.exists() && !path.is_dir() {
            DirError::NotADirectory { path: path.to_owned() }
        } else {
            DirError::Create { path: path.to_owned(), source }
        }
    })?;
    let probe = path.join(format!("{PROBE_NAME}-{}", std::process::id()));
    match std::fs::File::create(&probe) {
        Ok(_) => {
            // What cannot be removed is an empty file that the next start overwrites.
            let _ = std::fs::remove_file(&probe);
            Ok(())
        }
        Err(source) if source.kind() == io::ErrorKind::StorageFull => Ok(()),
        Err(source) => {
            let (owner, mode) =
                std::fs::metadata(path).map_or((u32::MAX, 0), |meta| (meta.uid(), meta.mode() & 0o7777));
            let me = nix::unistd::geteuid().as_raw();
            Err(DirError::NotWritable { path: path.to_owned(), owner, mode, me, source })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn makes_parents_and_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b");
        ensure_data_dir(&path).unwrap();
        ensure_data_dir(&path).unwrap();
        assert_eq!(std::fs::read_dir(&path).unwrap().count(), 0);
    }

    #[test]
    fn a_file_in_the_way_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, "x").unwrap();
        let error = ensure_data_dir(&path).unwrap_err();
        assert!(matches!(error, DirError::NotADirectory { .. }), "{error}");
        let below = ensure_data_dir(&path.join("c")).unwrap_err();
        assert!(below.to_string().contains("--data-dir"), "{below}");
    }

    #[test]
    fn a_directory_that_refuses_files_is_named_with_its_owner() {
        // /proc refuses files even to root, unlike a directory of mode 0500.
        let error = ensure_data_dir(Path::new("/proc/self")).unwrap_err();
        assert!(
            error.to_string().starts_with("directory /proc/self is not writable: it belongs to user"),
            "{error}"
        );
    }
}
