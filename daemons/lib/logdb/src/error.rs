//! What can go wrong while opening, maintaining and asking. Errors of pushing are in [`crate::push`].

use std::io;
use std::path::PathBuf;

/// Why a store could not be opened. Nothing on disk was changed beyond cutting a torn WAL tail.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The folder or a file in it cannot be used.
    #[error("use {path}")]
    Io {
        /// What was touched.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// Why maintenance stopped early. Nothing is lost: the heads keep what was not written, and the WAL has it too.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MaintainError {
    /// A chunk file cannot be written.
    #[error("write {path}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}
