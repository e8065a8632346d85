//! Why a block could not be read or written.

use std::io;
use std::path::{Path, PathBuf};

/// Why a block, or a part of it, could not be read or written. What is read is never changed.
#[derive(Debug, thiserror::Error)]
pub enum PromBlockError {
    /// The system refused.
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
    /// The bytes are not what they should be: a checksum does not hold, or the content makes no sense.
    #[error("{path}: {what} at byte {offset}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where the damaged part starts.
        offset: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// `meta.json` is not the description of a block.
    #[error("{path}: not the description of a block")]
    Meta {
        /// The file.
        path: PathBuf,
        /// What the JSON parser said.
        #[source]
        source: serde_json::Error,
    },
    /// A version or encoding that this build does not know.
    #[error("{path}: {what} {found} is not known to this build")]
    Unknown {
        /// The file.
        path: PathBuf,
        /// Of what.
        what: &'static str,
        /// Which one it is.
        found: u64,
    },
    /// More than the format, or this build, can hold.
    #[error("{path}: {what}: more than {limit}")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// What there is too much of.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
}

impl PromBlockError {
    /// Whether the system failed, rather than the bytes being wrong: then nothing else of the block is worth trying.
    pub fn is_io(&self) -> bool {
        match self {
            // A file that is not there, or ends too early, is damage: it will not come back by asking again.
            Self::Io { source, .. } => {
                !matches!(source.kind(), io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof)
            }
            _ => false,
        }
    }

    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }

    pub(crate) fn damaged(path: &Path, offset: u64, what: &'static str) -> Self {
        Self::Damaged { path: path.to_owned(), offset, what }
    }
}

/// Bytes whose meaning cannot be made out; whoever knows the file and place makes a [`PromBlockError`] of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed {0}")]
pub struct Malformed(pub &'static str);
