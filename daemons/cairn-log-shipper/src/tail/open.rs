//! An open file, and how many of them there may be.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::MAX_OPEN_FILES;
use super::file::Reader;

/// Descriptors that are not for tailed files: listener, destinations, positions, folders being walked.
const RESERVE: u64 = 128;

/// One file that is open, with a reader for each target that wants it.
#[derive(Debug)]
pub(super) struct OpenFile {
    /// The file.
    pub(super) file: Arc<File>,
    /// The name that is tailed and shipped as `filename`.
    pub(super) origin: PathBuf,
    /// Device and inode.
    pub(super) inode: (u64, u64),
    /// It has lost its name.
    pub(super) is_rotated: bool,
    /// The name is a symbolic link: what happens behind it happens in another folder.
    pub(super) is_link: bool,
    /// One for each target that wants it.
    pub(super) readers: Vec<Reader>,
}

impl OpenFile {
    /// Whether lines of it are still to come by the time alone.
    pub(super) fn waits(&self) -> bool {
        self.readers.iter().any(Reader::waits)
    }

    /// Whether the kernel may say nothing about what is to be read here.
    pub(super) fn must_be_polled(&self) -> bool {
        self.is_rotated || self.is_link || self.waits()
    }
}

/// Raises the process's soft limit, which is 1,024 on most systems, as far as is allowed and of use. Answers how many
/// files may be tailed at once: the rest is needed for delivering what they hold.
pub(super) fn raise_limit() -> usize {
    let wanted = MAX_OPEN_FILES as u64 + RESERVE;
    let limit = getrlimit(Resource::RLIMIT_NOFILE).and_then(|(soft, hard)| {
        let raised = wanted.min(hard);
        if soft >= raised {
            return Ok(soft);
        }
        setrlimit(Resource::RLIMIT_NOFILE, raised, hard).map(|()| raised)
    });
    let limit = limit.unwrap_or_else(|error| {
        tracing::warn!(%error, "cannot learn how many files may be open");
        2 * RESERVE
    });
    places(limit)
}

fn places(limit: u64) -> usize {
    let places = limit.saturating_sub(RESERVE).max(limit / 2).max(1);
    usize::try_from(places).unwrap_or(MAX_OPEN_FILES).min(MAX_OPEN_FILES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_descriptors_are_left_for_delivery() {
        assert_eq!(places(1024), 896);
        assert_eq!(places(100), 50);
        assert_eq!(places(1 << 20), MAX_OPEN_FILES);
    }
}
