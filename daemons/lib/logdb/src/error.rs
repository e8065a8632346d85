//! What can go wrong while opening and maintaining. Errors of pushing are in [`crate::push`].

use std::io;
use std::path::PathBuf;

use cairn_disk::header::HeaderError;
use cairn_disk::{LockError, WalError, is_no_space};

use crate::catalogue::CatalogueError;

/// Why a store could not be opened. Nothing on disk was changed beyond cutting a torn WAL tail and removing
/// temporary files.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process has the folder, or it cannot be used at all.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The folder or a file in it cannot be used.
    #[error("use {path}")]
    Io {
        /// What was touched.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The catalogue cannot be used.
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
    /// A chunk file of a newer version.
    #[error(transparent)]
    ChunkFile(#[from] HeaderError),
    /// The write-ahead log cannot be read or written, or is of a newer version.
    #[error(transparent)]
    Wal(#[from] WalError),
}

/// Why maintenance stopped early. Nothing is lost: the heads keep what was not written, and the WAL has it too.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MaintainError {
    /// A chunk file cannot be written or removed.
    #[error("write {path}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The catalogue cannot be written.
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
    /// The write-ahead log cannot be cut or shortened.
    #[error(transparent)]
    Wal(#[from] WalError),
}

impl MaintainError {
    /// Whether the disk is full: freeing space heals it.
    pub fn is_no_space(&self) -> bool {
        match self {
            Self::Io { source, .. } => is_no_space(source),
            Self::Catalogue(error) => error.is_no_space(),
            Self::Wal(error) => error.is_no_space(),
        }
    }
}
